"""Runs of hand-made conversations: sums, answered with bare numbers, in real run folders."""

import json
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from coral import prompts
from coral.api import build_async
from coral.store.folder import RunFolder
from coral.store.prompts import RunPrompts, save_prompts
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    Rollout,
    Speaker,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
    Usage,
)

AGENT = Speaker(name="agent", model="a")
PARTNER = Speaker(name="partner", model="b")
TOLD = RunPrompts(
    systems={"agent": "You are the agent.", "partner": "You are the partner."},
    extraction=prompts.builtin("extraction"),
    protocol={"first_reply": prompts.builtin("first_reply")},
)


def reply(answer, text=None, *, target="4", rollouts=(), cut=False, tokens=None):
    """A candidate that answers `answer`; "?" is unsure, "!" unreadable. `rollouts`: right or not, each."""
    belief = {"?": Unsure(), "!": Unreadable("no single answer")}.get(answer) or Answered(answer)
    correct = {"?": False, "!": None}.get(answer, answer == target)
    return Reply(
        text=f"I say {answer}." if text is None else text,
        belief=belief,
        correct=correct,
        finish_reason=FinishReason.LENGTH if cut else FinishReason.STOP,
        extraction=Extraction(by="rules"),
        usage=None if tokens is None else Usage(prompt_tokens=1, completion_tokens=tokens),
        rollouts=tuple(Rollout(stop=StopReason.AGREED, turns=1, correct=right) for right in rollouts),
    )


def conversation(problem, *turns, sample=0, stop=None, alone=False, target="4", opener=AGENT):
    """A conversation. A turn is a list of candidates (the first goes on), an answer, or (list, chosen)."""
    made = []
    for index, turn in enumerate(turns):
        candidates, chosen = turn if isinstance(turn, tuple) else (turn, 0)
        listed = [candidates] if isinstance(candidates, str | Reply) else candidates
        replies = tuple(one if isinstance(one, Reply) else reply(one, target=target) for one in listed)
        made.append(Turn(seat=OPENER if index % 2 else RESPONDER, replies=replies, chosen=chosen))
    beliefs = [turn.reply.belief for turn in made[-2:]]
    agreed = len(beliefs) == 2 and beliefs[0] == beliefs[1] and isinstance(beliefs[0], Answered)
    return Conversation(
        schema=SCHEMA,
        id=f"{problem}#{sample}",
        problem=Problem(id=problem, task="gsm8k", question=f"What is {problem}?", target=target),
        speakers={RESPONDER: AGENT} if alone else {RESPONDER: PARTNER, OPENER: opener},
        opening=f"I'm trying to solve: What is {problem}?",
        turns=tuple(made),
        stop=stop or (StopReason.AGREED if agreed else StopReason.MAX_TURNS),
        seed=0,
        started_at=0.0,
        seconds=0.0,
    )


class Workshop:
    """Makes runs and builds rows of them."""

    def __init__(self, folder):
        self.folder = folder
        self.built = 0

    def run(self, conversations: Sequence[Conversation], name="run", *, finished=True, told=TOLD, **identity):
        """A run folder that holds these conversations; `identity` overrides what `run.json` says."""
        folder = RunFolder(self.folder / name)
        fingerprint = prompts.fingerprint(*told.texts)
        decided = {
            "schema": SCHEMA,
            "task": {"name": "gsm8k"},
            "split": "train",
            "protocol": "coral",
            "agent": {"model": "a", "system_in_user": False},
            "partner": {"model": "b", "system_in_user": False},
            "seed": 0,
            "prompts": fingerprint,
            **identity,
        }
        with folder.claim(decided, {}):
            save_prompts(folder, told)
            for one in conversations:
                folder.append(one)
            if finished:
                folder.write("summary.json", {})
        return folder.path

    async def build(self, *what, **options):
        """Build rows of run folders, or of one run of these conversations."""
        self.built += 1
        output = self.folder / f"rows-{self.built}"
        is_made = [isinstance(one, Conversation) for one in what]
        runs = [self.run(what, f"run-{self.built}")] if all(is_made) else what
        report = await build_async(*runs, output=output, **options)
        lines = (output / "train.jsonl").read_text().splitlines() if (output / "train.jsonl").exists() else []
        kept = {(count.level, count.name): (count.kept, count.of) for count in report.filters}
        rows = [json.loads(line) for line in lines]
        return SimpleNamespace(report=report, rows=rows, path=output, kept=kept)


@pytest.fixture
def workshop(tmp_path):
    return Workshop(tmp_path)


@pytest.fixture
def say():
    """Makes candidates."""
    return reply


@pytest.fixture
def talk():
    """Makes conversations."""
    return conversation


def replies_of(rows, column="completion"):
    """What the rows teach, sorted."""
    return sorted(row[column][0]["content"] for row in rows)


@pytest.fixture
def texts():
    return replies_of
