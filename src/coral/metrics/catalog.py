"""Every metric, in the order of tables. Tables, documents and the arithmetic all read this."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from functools import cache
from itertools import permutations

from coral.errors import ConfigError
from coral.metrics.entries import BELIEFS, EFFORT, OUTCOME, SOCIAL
from coral.metrics.info import MetricInfo, share
from coral.metrics.outcome import Rules
from coral.metrics.probes import PROBES
from coral.metrics.published import REFERENCE

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
    "private_difference",
    "private_accuracy",
)
"""Metrics that are split by speaker where there are several."""


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
        seats="several",
        revised=False,
        help=f"{info.help.rstrip('.')}; turns of the {speaker} only.",
    )


def _persuades(speaker: str, listener: str) -> MetricInfo:
    """Who persuades whom, of three or more."""
    pair = f"{speaker}>{listener}"
    return share(
        f"{pair}/persuasion_success_rate",
        f"{speaker} persuades {listener}",
        f"{pair}/adopted",
        f"{pair}/met",
        f"Of the turns of {listener} that meet another answer of {speaker}'s, the share that adopts it.",
    )


_CORE = (*OUTCOME, *BELIEFS, *SOCIAL, *PROBES, *EFFORT)


@cache
def _of_speakers(names: tuple[str, ...]) -> tuple[MetricInfo, ...]:
    return tuple(_of_speaker(name, info) for name in names for info in _CORE if info.name in OF_A_SPEAKER)


METRICS: tuple[MetricInfo, ...] = (*_CORE, *_of_speakers(("agent", "partner")), *REFERENCE)
"""All metrics of one agent and of two, in the order of tables."""

BY_NAME = {info.name: info for info in METRICS}


def metrics_by(rules: Rules) -> list[MetricInfo]:
    """All metrics that are defined for conversations by these rules, in the order of tables."""
    names = tuple(dict.fromkeys(rules.speakers.values()))
    by_speaker = _of_speakers(names) if len(names) == len(rules.speakers) else ()
    by_pair = [_persuades(a, b) for a, b in permutations(names, 2)] if len(names) > 2 else []
    return [info for info in (*_CORE, *by_speaker, *by_pair, *REFERENCE) if info.applies(rules)]


def metric(name: str) -> MetricInfo:
    """Look a metric up; `agreement_within/3` is agreement within the first three turns, `agent_2/persuasion`
    that of a speaker, `agent_1>agent_2/persuasion_success_rate` that of one speaker over another.

    Raises:
        ConfigError: there is none of that name.
    """
    if name in BY_NAME:
        return BY_NAME[name]
    kind, _, turns = name.partition("_within/")
    if kind in BY_TURN and turns.isdecimal():
        return within(int(turns))[BY_TURN.index(kind)]
    who, _, what = name.partition("/")
    speaker, _, listener = who.partition(">")
    if listener and what == "persuasion_success_rate":
        return _persuades(speaker, listener)
    if who and what in OF_A_SPEAKER:
        return _of_speaker(who, BY_NAME[what])
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
