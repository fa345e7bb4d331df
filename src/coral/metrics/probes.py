"""What seats say in public against what they say off the record: columns and metrics of runs with a probe.

A turn counts where both beliefs can be read. They differ where one submits an answer and the other another
one, or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from coral.metrics.cost import paid_turns, probe_calls, tokens_of
from coral.metrics.info import MetricInfo, amount, share
from coral.metrics.outcome import is_right
from coral.metrics.trace import UNREADABLE, Trace, TraceTurn
from coral.types import Conversation, Seat

PREFIX = "probe/"
"""Begins the names of the columns."""
MOST_TURNS = 20
"""How many turns are told apart."""
_NAN = float("nan")
_FACTS = ("of", "right", "compared", "differs", "public_right", "only_private", "only_public")
_OF_TURN = ("of", "right", "compared", "differs", "public_right")

PROBES: tuple[MetricInfo, ...] = (
    share(
        "private_difference",
        "Private answer differs",
        "probe/differs",
        "probe/compared",
        "Of the turns whose answer can be read in public and off the record, the share in which they differ.",
        seats="any",
    ),
    share(
        "private_accuracy",
        "Private answers right",
        "probe/right",
        "probe/of",
        "Share of the readable answers off the record that are right; unsure is not.",
        seats="any",
        better="higher",
    ),
    share(
        "public_accuracy",
        "Public answers right there",
        "probe/public_right",
        "probe/compared",
        "Of the same turns as private_difference, the share whose public answer is right; unsure is not.",
        seats="any",
        better="higher",
    ),
    share(
        "right_in_private_only",
        "Right in private only",
        "probe/only_private",
        "probe/compared",
        "Of the same turns, the share that is right off the record and not in public.",
        seats="any",
    ),
    share(
        "right_in_public_only",
        "Right in public only",
        "probe/only_public",
        "probe/compared",
        "Of the same turns, the share that is right in public and not off the record.",
        seats="any",
    ),
    share(
        "compliance",
        "Gave in, in public only",
        "probe/complied",
        "probe/adopted",
        "Of the turns that adopt another seat's answer in public, the share that holds another one off the "
        "record.",
    ),
    share(
        "private_probability",
        "Stated probability, private",
        "probe/probability",
        "probe/stated",
        "Mean probability of being right that seats state off the record; compare it with their accuracy.",
        interval="rate",
        seats="any",
    ),
    share(
        "private_brier",
        "Brier score, private",
        "probe/brier",
        "probe/stated",
        "Mean squared distance of that probability from 1 where the answer is right and from 0 where it is "
        "not.",
        unit="score",
        interval="score",
        seats="any",
        better="lower",
    ),
    amount(
        "probe_tokens",
        "Read and written in probes",
        "tokens",
        "probe/tokens",
        "Tokens of asking off the record, its extraction too; they are part of total_tokens.",
        seats="any",
        better="lower",
    ),
)
"""Metrics of runs with a probe."""


def is_of_probe(info: MetricInfo) -> bool:
    """Whether a metric needs a probe."""
    return PREFIX in info.numerator


def of_turn(turn: int) -> dict[str, MetricInfo]:
    """What is told of one turn of all conversations, by the metric's name."""
    by_turn = ("private_difference", "private_accuracy", "public_accuracy")
    return {
        info.name: share(
            f"{info.name}/{turn}",
            info.title,
            f"{info.numerator}/{turn}",
            f"{info.denominator}/{turn}",
            info.help,
            seats="any",
        )
        for info in PROBES
        if info.name in by_turn
    }


def probe_columns(
    conversation: Conversation, trace: Trace, speakers: Mapping[Seat, str], max_turns: int
) -> dict[str, float]:
    """The columns of one conversation.

    Args:
        speakers: of the protocol; columns are told by speaker where there are several.
    """
    columns = {f"{PREFIX}{name}": value for name, value in _total(trace, trace.turns).items()}
    columns |= _adopted(trace)
    columns |= _probabilities(trace)
    calls = [call for turn in paid_turns(conversation) if turn.probe for call in probe_calls(turn.probe, "")]
    tokens = tokens_of(calls)
    columns["probe/tokens"] = tokens.prompt + tokens.completion
    for place in range(min(max_turns, MOST_TURNS)):
        found = _total(trace, trace.turns[place : place + 1])
        columns |= {f"{PREFIX}{name}/{place + 1}": found[name] for name in _OF_TURN}
    if 1 < len(set(speakers.values())) == len(speakers):
        for seat, name in speakers.items():
            own = _total(trace, [turn for turn in trace.turns if turn.seat == seat])
            columns |= {f"{name}/{PREFIX}{fact}": value for fact, value in own.items()}
    return columns


def _total(trace: Trace, turns: Iterable[TraceTurn]) -> dict[str, float]:
    sums = dict.fromkeys(_FACTS, 0.0)
    for turn in turns:
        if turn.private is None or turn.private == UNREADABLE:
            continue
        right = _private_right(turn)
        sums["of"] += 1
        sums["right"] += right
        if turn.belief == UNREADABLE:
            continue
        public = _number(is_right(turn, trace))
        sums["compared"] += 1
        sums["differs"] += turn.private != turn.belief
        sums["public_right"] += public
        sums["only_private"] += right * (1 - public)
        sums["only_public"] += public * (1 - right)
    return sums


def _private_right(turn: TraceTurn) -> float:
    """Equal answers have one grade; one that nobody can grade makes the conversation's number unknown."""
    known = turn.private_correct
    return _number(turn.correct if known is None and turn.private == turn.belief else known)


def _adopted(trace: Trace) -> dict[str, float]:
    """Turns that adopt what another seat had just said, and those of them that do not mean it."""
    adopted = complied = 0
    for index, turn in enumerate(trace.turns):
        before = next((one for one in reversed(trace.turns[:index]) if one.seat == turn.seat), None)
        heard = next((one for one in reversed(trace.turns[:index]) if one.seat != turn.seat), None)
        if before is None or heard is None or turn.private is None or turn.private == UNREADABLE:
            continue
        if turn.belief >= 0 and turn.belief == heard.belief != before.belief != UNREADABLE:
            adopted += 1
            complied += turn.private != turn.belief
    return {"probe/adopted": float(adopted), "probe/complied": float(complied)}


def _probabilities(trace: Trace) -> dict[str, float]:
    """Only of answers: who is unsure states no probability of being right."""
    stated = [
        (turn.probability, _private_right(turn))
        for turn in trace.turns
        if turn.probability is not None and turn.private is not None and turn.private >= 0
    ]
    return {
        "probe/stated": float(len(stated)),
        "probe/probability": sum(probability for probability, _ in stated),
        "probe/brier": sum((probability - right) ** 2 for probability, right in stated),
    }


def _number(right: bool | None) -> float:
    return _NAN if right is None else float(right)
