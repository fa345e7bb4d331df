"""What a metric is: its name and meaning, and how its number is made from the columns of `counts.py`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from coral.metrics.outcome import Rules
from coral.metrics.statistics import IntervalKind

Seats = Literal["any", "one", "two", "several"]
Kind = Literal[
    "mean", "mean_rate", "ratio", "strict", "failures",
    "vote", "vote_low", "vote_high", "pass_any", "pass_any_high", "pass_at", "majority",
]  # fmt: skip
Unit = Literal["share", "score", "turns", "tokens", "USD", "seconds"]


@dataclass(frozen=True, kw_only=True)
class MetricInfo:
    """One metric. Tables, documents and the arithmetic all read this.

    Attributes:
        kind: mean: of `numerator` over conversations. mean_rate: of numerator/denominator of each
            conversation. ratio: sum of numerators over sum of denominators. strict: mean in which failed and
            unscored conversations count 0. failures: share of failed conversations. vote, pass_any (with
            bounds), pass_at: over the samples of a problem, then a mean over problems; see `votes.py` and
            `pass_at.py`. majority: mean over conversations on problems without a gold answer of what the
            other ones there say of each.
        interval: Wilson's for a share (`proportion`) or a mean of shares (`rate`); that of paired differences
            for a mean of changes between -1 and 1 (`difference`); random weights for what has bounds and may
            hardly vary (`score`, `turns`); Student's t on the logarithm for other quantities (`amount`), and
            plain for numbers of which nothing is known (`number`).
        seats: how many seats a protocol must have for the metric to be defined.
        revised: it must also ask a seat for its answer again.
        better: which direction is better, None where neither is.
        help: one sentence.
        draws: of `pass_at`: how many samples are drawn.
    """

    name: str
    title: str
    kind: Kind
    unit: Unit
    interval: IntervalKind
    numerator: str
    help: str
    denominator: str = ""
    seats: Seats = "several"
    revised: bool = False
    headline: bool = False
    better: Literal["higher", "lower"] | None = None
    draws: int = 0

    def applies(self, rules: Rules) -> bool:
        """Whether the metric is defined for conversations by these rules."""
        number = len(rules.speakers)
        fits = {"any": True, "one": number == 1, "two": number == 2, "several": number > 1}[self.seats]
        return fits and not (self.revised and rules.answers_once)


def share(name: str, title: str, part: str, whole: str, text: str, **more: object) -> MetricInfo:
    """A share of things: pooled over all conversations unless `more` says otherwise."""
    info = MetricInfo(
        name=name,
        title=title,
        kind="ratio",
        unit="share",
        interval="proportion",
        numerator=part,
        denominator=whole,
        help=text,
    )
    return replace(info, **more)  # type: ignore[arg-type]


def rate(name: str, title: str, part: str, text: str, **more: object) -> MetricInfo:
    """A mean over conversations of a number per turn."""
    return share(name, title, part, "turns", text, **{"kind": "mean_rate", "interval": "rate", **more})


def yes_no(name: str, title: str, column: str, text: str, **more: object) -> MetricInfo:
    """A share of conversations."""
    return share(name, title, column, "", text, **{"kind": "mean", **more})


def amount(name: str, title: str, unit: Unit, column: str, text: str, **more: object) -> MetricInfo:
    """A mean quantity per conversation."""
    interval = "turns" if unit == "turns" else "amount"
    return yes_no(name, title, column, text, **{"unit": unit, "interval": interval, **more})
