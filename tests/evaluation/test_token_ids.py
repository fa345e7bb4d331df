"""`return_token_ids` in whole runs: what is stored, what a resumed run has, and who cannot give them."""

import json
from pathlib import Path

import msgspec
import pytest

import coral
from coral.errors import FatalReject
from coral.evaluation.config import EvalConfig, agent_config
from coral.store.folder import RunFolder

OPTIONS = {"task": {"name": "sally_anne", "size": 6}, "split": "train", "limit": 2, "max_turns": 4}


def agent(**more):
    return {"model": "tiny", "max_tokens": 40, "temperature": 1.0, **more}


def turns(path):
    return [turn for conversation in RunFolder(Path(path)).conversations() for turn in conversation.turns]


def test_a_run_keeps_what_each_turn_was_made_of(tmp_path):
    """Every turn has its prompt's ids, every reply its own with log probabilities; the texts are those of a
    run without them, whose records do not name them.
    """
    with_ids = coral.evaluate(**OPTIONS, agent=agent(return_token_ids=True), output=str(tmp_path / "a"))
    without = coral.evaluate(**OPTIONS, agent=agent(), output=str(tmp_path / "b"))
    for turn, plain in zip(turns(with_ids.path), turns(without.path), strict=True):
        assert turn.reply.text == plain.reply.text
        assert len(turn.prompt_token_ids) == turn.reply.usage.prompt_tokens
        assert (
            len(turn.reply.token_ids) == len(turn.reply.token_logprobs) == turn.reply.usage.completion_tokens
        )
        assert b"token_ids" not in msgspec.json.encode(plain)
    assert "return_token_ids" not in json.loads((tmp_path / "b" / "run.json").read_text())["agent"]


def test_siblings_keep_theirs(tmp_path):
    """Of several candidates each has its own ids; the prompt stands once."""
    run = coral.sample(
        **OPTIONS, samples=1, candidates=3, agent=agent(return_token_ids=True), output=str(tmp_path / "a")
    )
    for turn in turns(run.path):
        assert turn.prompt_token_ids
        assert all(len(reply.token_ids) == len(reply.token_logprobs) > 0 for reply in turn.replies)


def test_a_function_cannot_give_them(tmp_path):
    """A model without tokens ends the run, with what helps."""
    with pytest.raises(FatalReject, match="gives no token ids") as caught:
        coral.evaluate(
            **OPTIONS,
            agent={"model": lambda _: "The ring is in the box.", "return_token_ids": True},
            output=str(tmp_path / "a"),
        )
    assert "leave out return_token_ids" in caught.value.remedy


def test_a_partner_elsewhere_and_the_extractor_are_not_asked():
    """The option belongs to a server: a partner that is served elsewhere, and the extractor, go without."""
    made = EvalConfig(
        task={"name": "sally_anne"},
        agent=agent_config(agent(return_token_ids=True)),
        partner={"model": "openai/gpt-4o-mini"},
        extractor={"mode": "model"},
    )
    assert not made.partner_config().sampling().return_token_ids
    assert not made.extractor_config().sampling().return_token_ids
    like = EvalConfig(task={"name": "sally_anne"}, agent=agent_config(agent(return_token_ids=True)))
    assert like.partner_config().sampling().return_token_ids
