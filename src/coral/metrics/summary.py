"""The summary of a run, in the form that is stored as `summary.json`."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import msgspec

from coral.metrics.candidates import CandidateCounts
from coral.metrics.catalog import BY_TURN, metrics_by, within
from coral.metrics.cost import PriceTable, RoleUsage, load_prices
from coral.metrics.estimate import Estimate, estimate, is_over_samples
from coral.metrics.info import MetricInfo
from coral.metrics.judging import Judged, judged_of
from coral.metrics.probes import MOST_TURNS, is_of_probe, of_turn
from coral.metrics.tally import Tally, View
from coral.types import SCHEMA, Adjustment, Record
from coral.version import version


class Summary(Record, frozen=True, omit_defaults=False):
    """All numbers of a run.

    Attributes:
        version: of the Coral that measured.
        models: the model of each agent, by its name.
        by_turn: agreement and agreement correctness had conversations been cut after so many turns, by the
            turns at which any agreed; empty of one agent alone.
        groups: metrics by dimension and value of `Problem.group`, without the published code's values.
        usage: tokens and requests by agent, of the extractor and of the judge, failed conversations included.
        requests: sent in all, retries and failed ones included.
        conversations: failed ones included.
        owed: conversations that the run still lacks; its numbers lean to short ones until there are none.
        problems: with at least one conversation.
        stop_reasons: conversations by the reason they ended.
        failures: failed conversations by type of error.
        cost: USD of all finished conversations; None where a price or a token count is unknown. Replies from
            the response cache cost nothing, those of a batch half.
        candidates: what a sampled run offers for training; None of an evaluation.
        adjustments: what was changed for models that refuse what the options say, in all conversations.
        own: the metrics that the user added, and the unit of each.
        probes: by turn, what was said off the record against what was said; empty without a probe.
        without_gold: problems that have no gold answer; nothing about them is right or wrong.
        judged: what the judge said; None of a run without one.
    """

    schema: int
    version: str
    task: str
    protocol: str
    models: dict[str, str]
    metrics: dict[str, Estimate]
    groups: dict[str, dict[str, dict[str, Estimate]]]
    usage: dict[str, RoleUsage]
    requests: int
    conversations: int
    owed: int
    problems: int
    stop_reasons: dict[str, int]
    failures: dict[str, int]
    cost: float | None
    candidates: CandidateCounts | None = None
    adjustments: tuple[Adjustment, ...] = ()
    by_turn: dict[str, dict[str, Estimate]] = msgspec.field(default_factory=dict)
    own: dict[str, str] = msgspec.field(default_factory=dict)
    probes: dict[str, dict[str, Estimate]] = msgspec.field(default_factory=dict)
    without_gold: int = 0
    judged: Judged | None = None

    def _repr_html_(self) -> str:
        """The table of the run, as notebooks show it."""
        from coral.metrics.table import as_html

        return as_html(self)


def summarize(
    tally: Tally,
    *,
    prices: PriceTable | None = None,
    extractor: str | None = None,
    candidates: CandidateCounts | None = None,
    owed: int = 0,
    adjustments: Sequence[Adjustment] = (),
) -> Summary:
    """Make the summary of a run.

    Args:
        prices: the shipped table unless given.
        extractor: model name of the extractor; where it was asked and is not named, costs are unknown.
        candidates: of a sampled run.
        owed: conversations that the run still lacks.
        adjustments: what was changed for models of the run.
    """
    table = load_prices() if prices is None else prices
    whole = tally.view()
    usage = tally.usage.by_role()
    return Summary(
        schema=SCHEMA,
        version=version(),
        task=tally.task,
        protocol=tally.protocol,
        models=dict(sorted(tally.models.items())),
        metrics=_estimates(whole, table, extractor, metrics_of(tally)),
        groups=_by_group(tally, table, extractor),
        usage=usage,
        requests=sum(role.requests for role in usage.values()) + tally.failed_requests,
        conversations=tally.num_conversations,
        owed=owed,
        problems=tally.num_problems,
        stop_reasons=dict(sorted(tally.stop_reasons.items())),
        failures=dict(sorted(tally.failures.items())),
        cost=_total_cost(whole, table, extractor),
        candidates=candidates,
        adjustments=tuple(adjustments),
        by_turn=_by_turn(whole),
        own={metric.name: metric.info.unit for metric in tally.own},
        probes=probes_of(whole),
        without_gold=len(tally.without_gold),
        judged=judged_of(tally.judge, tally.judged),
    )


def probes_of(view: View) -> dict[str, dict[str, Estimate]]:
    """What was said off the record against what was said, by turn; empty without a probe."""
    found = {}
    for turn in range(1, MOST_TURNS + 1):
        if f"probe/of/{turn}" not in view.tally.columns:
            break
        estimates = {name: estimate(info, view) for name, info in of_turn(turn).items()}
        if any(one.n for one in estimates.values()):
            found[str(turn)] = estimates
    return found


def metrics_of(tally: Tally) -> list[MetricInfo]:
    """The metrics that a run has: those of its protocol, of its speakers, votes where there are samples to
    vote, and the user's own.

    A run without a single finished conversation has them all, unmeasured.
    """
    ours = [info for info in metrics_by(tally.rules) if _applies(info, tally)]
    return ours + [metric.info for metric in tally.own]


def _applies(info: MetricInfo, tally: Tally) -> bool:
    if is_of_probe(info) and not tally.probed:
        return False
    if info.kind == "majority" and not tally.without_gold:
        return False
    if is_over_samples(info) or info.kind == "majority":
        samples = tally.num_conversations / max(tally.num_problems, 1)
        return samples > 1 and samples >= info.draws
    is_speakers = info.name.partition("/")[0] in tally.rules.speakers.values()
    return not is_speakers or info.denominator in tally.columns


def _estimates(
    view: View, prices: PriceTable, extractor: str | None, metrics: list[MetricInfo]
) -> dict[str, Estimate]:
    costs = view.tally.costs(view.rows, prices, extractor)
    return {info.name: estimate(info, view, costs) for info in metrics}


def _by_group(
    tally: Tally, prices: PriceTable, extractor: str | None
) -> dict[str, dict[str, dict[str, Estimate]]]:
    metrics = [info for info in metrics_of(tally) if not info.name.startswith("reference/")]
    return {
        dimension: {
            value: _estimates(tally.view(values[value]), prices, extractor, metrics)
            for value in sorted(values, key=natural)
        }
        for dimension, values in sorted(tally.problems_by_group().items())
    }


def _by_turn(view: View) -> dict[str, dict[str, Estimate]]:
    return {
        str(turn): {kind: estimate(info, view) for kind, info in zip(BY_TURN, within(turn), strict=True)}
        for turn in view.agreed_turns()
    }


def natural(value: str) -> tuple[bool, int, str]:
    """Numbers by size, before words."""
    return (False, int(value), "") if value.isdecimal() else (True, 0, value)


def _total_cost(view: View, prices: PriceTable, extractor: str | None) -> float | None:
    if not view.rows.size:
        return None
    whole = float(view.tally.costs(view.rows, prices, extractor).sum())
    return None if isnan(whole) else whole
