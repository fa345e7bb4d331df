"""Metrics: pure functions of finished conversations, with honest uncertainty. See docs/metrics.md.

tally = Tally(task="hi_tom", rules=protocols.build("pair", Settings(agents=("agent", "partner"))))
for conversation in conversations:
    tally.add(conversation, await trace_of(conversation, same))
summary = summarize(tally)
"""

from coral.metrics.candidates import CandidateCounter, CandidateCounts
from coral.metrics.catalog import METRICS, metric
from coral.metrics.claims import (
    adjusted,
    benjamini_hochberg,
    detectable,
    detectable_in_points,
    detectable_with,
    holm,
)
from coral.metrics.compare import Comparison, compare
from coral.metrics.cost import Price, PriceTable, RoleUsage, load_prices
from coral.metrics.estimate import Estimate
from coral.metrics.info import MetricInfo
from coral.metrics.measure import measure
from coral.metrics.summary import Summary, metrics_of, summarize
from coral.metrics.tally import Tally
from coral.metrics.trace import UNREADABLE, UNSURE, AnswerClasses, Trace, TraceTurn, trace_of

__all__ = [
    "METRICS",
    "UNREADABLE",
    "UNSURE",
    "AnswerClasses",
    "CandidateCounter",
    "CandidateCounts",
    "Comparison",
    "Estimate",
    "MetricInfo",
    "Price",
    "PriceTable",
    "RoleUsage",
    "Summary",
    "Tally",
    "Trace",
    "TraceTurn",
    "adjusted",
    "benjamini_hochberg",
    "compare",
    "detectable",
    "detectable_in_points",
    "detectable_with",
    "holm",
    "load_prices",
    "measure",
    "metric",
    "metrics_of",
    "summarize",
    "trace_of",
]
