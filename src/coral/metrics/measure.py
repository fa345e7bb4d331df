"""The metrics of a single conversation."""

from __future__ import annotations

from math import isnan

from coral.metrics.catalog import metrics_by
from coral.metrics.cost import EXTRACTOR, PriceTable, Tokens
from coral.metrics.counts import billed_columns, counts_of, needs_gold
from coral.metrics.info import MetricInfo
from coral.metrics.outcome import Rules
from coral.metrics.probes import is_of_probe, probe_columns
from coral.metrics.trace import Trace
from coral.types import Conversation, StopReason


def measure(
    conversation: Conversation,
    trace: Trace,
    rules: Rules,
    *,
    prices: PriceTable | None = None,
    extractor: str | None = None,
) -> dict[str, float | None]:
    """Every metric of one conversation, and the counts that ratios are made of, by name.

    None: not defined for this conversation (a share of nothing), or a number it needs is not known. Of a
    failed conversation only `failure_rate` is defined.

    Args:
        rules: of the conversation's protocol.
        prices: costs are None without.
        extractor: model name of the extractor.
    """
    probed = any(turn.probe for turn in conversation.turns)
    metrics = [info for info in metrics_by(rules) if probed or not is_of_probe(info)]
    if conversation.stop is StopReason.FAILED:
        return {info.name: 1.0 if info.kind == "failures" else None for info in metrics}
    counts = counts_of(conversation, trace, rules)
    if probed:
        counts |= probe_columns(conversation, trace, rules.speakers, rules.max_turns)
    graded = any(turn.correct is not None for turn in trace.turns if turn.belief >= 0)
    if not (conversation.problem.target or graded):
        counts |= {name: float("nan") for name in counts if needs_gold(name)}
    counts["cost"] = _cost(conversation, counts, prices, extractor)
    values = {info.name: _value(info, counts) for info in metrics}
    if not (conversation.problem.target or graded):
        values |= {info.name: None for info in metrics if info.kind == "strict"}
    return {**{name: None if isnan(count) else count for name, count in counts.items()}, **values}


def _value(info: MetricInfo, counts: dict[str, float]) -> float | None:
    if info.kind == "failures":
        return 0.0
    if info.kind == "majority":  # of several conversations
        return None
    whole = counts.get(info.denominator, 0.0) if info.denominator else 1.0
    part = counts.get(info.numerator, 0.0)
    if not whole or isnan(whole) or isnan(part):
        return 0.0 if info.kind == "strict" else None
    return part / whole


def _cost(
    conversation: Conversation, counts: dict[str, float], prices: PriceTable | None, extractor: str | None
) -> float:
    if prices is None:
        return float("nan")
    models: dict[str, str | None] = {
        speaker.name: speaker.model for speaker in conversation.speakers.values()
    }
    models[EXTRACTOR] = extractor
    tokens = {role: Tokens(*(counts[column] for column in billed_columns(role))) for role in models}
    return sum(prices.cost(models[role], spent) for role, spent in tokens.items())
