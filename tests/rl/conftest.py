"""Conversations made by hand, with token ids as a server would give them: a token is a letter's number."""

import pytest

from coral.types import (
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    Failure,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unsure,
)

END = 1
"""Token that ends a reply. 2 and 3 open a user's and an assistant's message."""


class Letters:
    """A tokenizer: one token per letter."""

    eos_token_id = END

    def decode(self, ids, *, skip_special_tokens=True):
        del skip_special_tokens
        return "".join(chr(token) if token > 31 else f"<{token}>" for token in ids)


def ids(text):
    return tuple(map(ord, text))


@pytest.fixture(scope="session")
def tokenizer():
    return Letters()


@pytest.fixture(scope="session")
def view():
    """What a seat reads before a turn: the problem, and what was said, its own turns marked 3."""

    def read(seat, said):
        tokens = [2, *ids("Q"), END]
        for speaker, text in said:
            tokens += [3 if speaker == seat else 2, *ids(text), END]
        return (*tokens, 3)

    return read


@pytest.fixture(scope="session")
def talk(view):
    """A conversation of a pair: `(text, answer)` in turn, the responder first; answer A is right."""

    def make(*said, number=0, stop=None, problem="p", **changes):
        turns = []
        for index, (text, answer) in enumerate(said):
            seat = "opener" if index % 2 else "responder"
            before = [
                ("opener" if i % 2 else "responder", words) for i, (words, _) in enumerate(said[:index])
            ]
            own = (*ids(text), END)
            reply = Reply(
                text=text,
                belief=Unsure() if answer is None else Answered(answer),
                correct=answer == "A",
                finish_reason=FinishReason.STOP,
                extraction=Extraction(by="rules"),
                token_ids=own,
                token_logprobs=tuple(-0.1 * (i + 1) for i in range(len(own))),
            )
            turns.append(Turn(seat=seat, replies=(reply,), prompt_token_ids=view(seat, before)))
        latest = [answer for _, answer in said[-2:]]
        agreed = len(latest) == 2 and latest[0] == latest[1] is not None
        return Conversation(
            schema=SCHEMA,
            id=f"{problem}#{number}",
            problem=Problem(id=problem, task="quiz", question="Q", target="A", choices=("x", "y", "z")),
            speakers={
                "responder": Speaker(name="partner", model="m"),
                "opener": Speaker(name="agent", model="m"),
            },
            opening="Q",
            turns=tuple(turns),
            stop=stop or (StopReason.AGREED if agreed else StopReason.MAX_TURNS),
            seed=0,
            started_at=0.0,
            seconds=0.0,
            failure=Failure(where="turn 1", type="Unreachable", message="gone") if stop else None,
            **changes,
        )

    return make
