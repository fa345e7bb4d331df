"""Every metric, in the order of tables. Tables, documents and the arithmetic all read this."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from coral.errors import ConfigError
from coral.metrics.entries import BELIEFS, EFFORT, OUTCOME, SOCIAL
from coral.metrics.info import MetricInfo
from coral.metrics.published import REFERENCE

SPEAKERS = ("agent", "partner")
OF_A_SPEAKER = (
    "valid_answer_rate",
    "persuasion",
    "persuasion_quality",
    "persuasion_success_rate",
    "assertiveness",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
    "tokens_per_turn",
)
"""Metrics that are split by speaker where agent and partner differ."""


def _of_speaker(speaker: str, info: MetricInfo) -> MetricInfo:
    """Over the speaker's own turns. A speaker may have no turn in a conversation, so a mean of rates becomes
    a ratio.
    """
    pooled = info.kind == "mean_rate"
    return replace(
        info,
        name=f"{speaker}/{info.name}",
        title=f"{info.title}, {speaker}",
        kind="ratio",
        interval="proportion" if pooled and info.unit == "share" else info.interval,
        numerator=f"{speaker}/{info.numerator}",
        denominator=f"{speaker}/{info.denominator}",
        protocols=("coral",),
        help=f"{info.help.rstrip('.')}; turns of the {speaker} only.",
    )


_CORE = (*OUTCOME, *BELIEFS, *SOCIAL, *EFFORT)
METRICS: tuple[MetricInfo, ...] = (
    *_CORE,
    *(_of_speaker(speaker, info) for speaker in SPEAKERS for info in _CORE if info.name in OF_A_SPEAKER),
    *REFERENCE,
)
"""All metrics, in the order of tables."""

BY_NAME = {info.name: info for info in METRICS}


def metric(name: str) -> MetricInfo:
    """Look a metric up; `agreement_within/3` is agreement within the first three turns.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    kind, _, turns = name.partition("_within/")
    if kind in BY_TURN and turns.isdecimal():
        return within(int(turns))[BY_TURN.index(kind)]
    near = get_close_matches(name, BY_NAME, n=3)
    raise ConfigError(
        f"no metric '{name}'",
        remedy=f"did you mean {' or '.join(near)}?" if near else "docs/metrics.md lists the metrics",
    )


BY_TURN = ("agreement", "agreement_correctness")
"""What is also told by turn."""


def within(turns: int) -> tuple[MetricInfo, MetricInfo]:
    """Agreement and agreement correctness, had conversations been cut after so many turns."""
    said = f"{turns} turn{'s' if turns > 1 else ''}"
    titles = (f"Agreed within {said}", f"... within {said}, and right")
    columns = (f"agreed_by/{turns}", f"right_by/{turns}")
    agreement, right = (
        replace(BY_NAME[kind], name=f"{kind}_within/{turns}", title=title, numerator=column, headline=False)
        for kind, title, column in zip(BY_TURN, titles, columns, strict=True)
    )
    return agreement, right
