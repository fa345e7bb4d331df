"""A seat's view as tokens: what is trained, what is not, and what is refused."""

import msgspec
import pytest

from coral.errors import ConfigError
from coral.rl import trajectories

SAID = (("is it A", "A"), ("no B", "B"), ("yes A", "A"), ("A", "A"))


def changed(conversation, number, *, own=None, prompt=None, **reply):
    """The conversation with other ids in a turn, from 1."""
    turns = list(conversation.turns)
    turn = turns[number - 1]
    if own is not None:
        reply |= {"token_ids": own, "token_logprobs": (-0.5,) * len(own)}
    first = msgspec.structs.replace(turn.replies[0], **reply)
    more = {} if prompt is None else {"prompt_token_ids": prompt}
    turns[number - 1] = msgspec.structs.replace(turn, replies=(first,), **more)
    return msgspec.structs.replace(conversation, turns=tuple(turns))


def trained(trajectory, tokenizer):
    """The trained tokens as text, runs apart."""
    runs, open_ = [], False
    for token, kept in zip(trajectory.completion_ids, trajectory.mask, strict=True):
        if kept:
            runs = [*runs[:-1], [*runs[-1], token]] if open_ else [*runs, [token]]
        open_ = bool(kept)
    return [tokenizer.decode(run) for run in runs]


def test_each_seat_has_its_whole_view(talk, view, tokenizer):
    """One sequence per seat: its last view and reply, its own words and end marks trained, others' not."""
    responder, opener = trajectories(talk(*SAID), tokenizer)
    assert (responder.seat, opener.seat) == ("responder", "opener")
    assert trained(responder, tokenizer) == ["is it A<1>", "yes A<1>"]
    assert trained(opener, tokenizer) == ["no B<1>", "A<1>"]
    whole = (*view("responder", [("responder", "is it A"), ("opener", "no B")]), *map(ord, "yes A"), 1)
    assert responder.prompt_ids + responder.completion_ids == whole
    assert responder.prompt_ids == view("responder", [])
    assert len(responder.mask) == len(responder.logprobs) == len(responder.completion_ids)
    assert [value < 0 for value in responder.logprobs] == [kept == 1 for kept in responder.mask]
    assert (responder.group, responder.conversation_id, responder.reward) == ("p", "p#0", None)


def test_rewards_and_seats_are_the_callers(talk, tokenizer):
    """Only the seats asked for, each with its own reward; one that never spoke has no trajectory."""
    (opener,) = trajectories(
        talk(*SAID), tokenizer, seats=("opener",), rewards={"opener": 0.5, "responder": 1.0}
    )
    assert (opener.seat, opener.reward) == ("opener", 0.5)
    assert [one.seat for one in trajectories(talk(SAID[0]), tokenizer)] == ["responder"]


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (b"is it B", ["is it ", "yes A<1>"]),  # other tokens for the same text, from there on
        (b"xs it A", ["yes A<1>"]),  # from the first token on
        (b"is it A and more", ["is it A", "yes A<1>"]),  # cut where a stop text stood
        (b" is it A", ["yes A<1>"]),  # trimmed by the template
        (b"is", ["is", "yes A<1>"]),  # the server writes more than was sampled
    ],
)
def test_tokens_that_no_later_view_holds_are_not_trained(talk, tokenizer, own, expected):
    """A reply that reads otherwise later on is trained only as far as it reads as it was sampled."""
    (responder,) = trajectories(changed(talk(*SAID), 1, own=tuple(own)), tokenizer, seats=("responder",))
    assert trained(responder, tokenizer) == expected


def test_the_last_reply_is_always_trained(talk, tokenizer):
    """It stands behind its own prompt, whatever its text is."""
    conversation = changed(talk(*SAID), 3, own=(7, 8, 9))
    (responder,) = trajectories(conversation, tokenizer, seats=("responder",))
    assert responder.completion_ids[-3:] == (7, 8, 9)
    assert responder.mask[-3:] == (1, 1, 1)


@pytest.mark.parametrize("prompt", [b"P<other>", b"", b"\x02"])
def test_a_template_that_rewrites_the_past_is_refused(talk, tokenizer, prompt):
    """Where a later view does not begin with an earlier one, no one sequence trains both turns."""
    conversation = changed(talk(*SAID), 3, prompt=(*prompt, 2))
    with pytest.raises(
        ConfigError, match="before turn 3 the responder reads another beginning than before turn 1"
    ):
        trajectories(conversation, tokenizer)


@pytest.mark.parametrize(
    ("lacking", "what"),
    [
        ({"token_ids": None, "token_logprobs": None}, "its token ids"),
        ({"token_logprobs": None}, "token ids"),
        ({"prompt": ()}, "the prompt's token ids"),  # as llama.cpp leaves it
    ],
)
def test_without_ids_there_is_no_trajectory(talk, tokenizer, lacking, what):
    """Text is never tokenized again: a run without ids is refused, with the option that keeps them."""
    conversation = changed(talk(*SAID), 2, **lacking)
    with pytest.raises(ConfigError, match=rf"turn 2 \(opener\) lacks .*{what}") as caught:
        trajectories(conversation, tokenizer)
    assert "return_token_ids true" in caught.value.remedy
