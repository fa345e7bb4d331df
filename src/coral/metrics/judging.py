"""What the judge of a run said, counted: how often it was asked, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from coral.metrics.cost import paid_turns
from coral.types import Conversation, Judgement, Record


class Judged(Record, frozen=True, omit_defaults=False):
    """The verdicts of a run.

    Attributes:
        model: the judge's.
        asked: answers it was asked about, each once in a run; the sum of the next five.
        cannot_tell: it said that question and reference do not settle it.
        no_verdict: its reply holds none of the three.
        refused: its server refused the request. Like those of the two before, such an answer has no grade.
        known: answers met again, whose verdict was there.
    """

    model: str
    asked: int = 0
    right: int = 0
    wrong: int = 0
    cannot_tell: int = 0
    no_verdict: int = 0
    refused: int = 0
    known: int = 0


def judged_of(model: str | None, counts: Mapping[str, int]) -> Judged | None:
    """The counts of a run's judge; None where it has none."""
    if model is None:
        return None
    return Judged(model=model, asked=sum(counts.values()) - counts.get("known", 0), **counts)


def verdicts_of(conversation: Conversation) -> Iterator[str]:
    """Names of `Judged`'s counts, one for each answer that rules did not grade."""
    for turn in paid_turns(conversation):
        replies = turn.replies if turn.probe is None else (*turn.replies, turn.probe.reply)
        yield from (_state(reply.judgement) for reply in replies if reply.judgement is not None)


def _state(judgement: Judgement) -> str:
    if not judgement.attempts:
        return "known"
    if judgement.text is None:
        return "refused"
    return "no_verdict" if judgement.verdict is None else judgement.verdict.replace(" ", "_")
