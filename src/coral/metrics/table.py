"""The table of a run: its metrics in blocks, each with its value as text; as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

from coral.metrics.catalog import METRICS, metric
from coral.metrics.counts import needs_gold
from coral.metrics.entries import BELIEFS, EFFORT, OUTCOME, SOCIAL
from coral.metrics.estimate import Estimate
from coral.metrics.info import MetricInfo
from coral.metrics.own import own_info
from coral.metrics.pass_at import PASS_AT
from coral.metrics.probes import PROBES
from coral.metrics.published import REFERENCE
from coral.metrics.summary import Summary

BLOCKS = {
    "outcome": OUTCOME,
    "social": (*SOCIAL, *PROBES),
    "reading": BELIEFS,
    "cost": EFFORT,
    "published code": REFERENCE,
}
COLUMNS = ("value", "95% interval", "n", "failed", "unscored")
OWN, BY_SPEAKER = "your own", "by speaker"
_BLOCK_OF = {info.name: title for title, infos in BLOCKS.items() for info in infos}
SHOWN = (
    "agreement_correctness",
    "agreement_correctness_strict",
    "agreement",
    "accuracy",
    "accuracy_strict",
    "first_accuracy",
    "opener_first_accuracy",
    "final_accuracy",
    "conversation_gain",
    "wrong_to_right",
    "right_to_wrong",
    "unsure_to_right",
    "false_agreement",
    "oracle_gap",
    "agreed_accuracy",
    "majority_vote",
    "majority_vote_low",
    "majority_vote_high",
    "pass_any",
    "pass_any_high",
    *(info.name for info in PASS_AT),
    "majority_agreement",
    "persuasion",
    "correct_persuasion",
    "assertiveness",
    "correct_assertion",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
    "private_difference",
    "private_accuracy",
    "right_in_private_only",
    "right_in_public_only",
    "compliance",
    "private_probability",
    "private_brier",
    "valid_answer_rate",
    "model_extraction_rate",
    "turns",
    "conversation_tokens",
    "total_tokens",
    "probe_tokens",
    "tokens_per_right_answer",
    "cost",
    "cost_per_right_answer",
)
"""What the table holds unless all is asked for."""


class Row(NamedTuple):
    """A metric of a table, or a group's headline.

    Attributes:
        label: its title, its name where all metrics are shown, or the group.
        info: the metric.
    """

    label: str
    info: MetricInfo
    estimate: Estimate

    @property
    def cells(self) -> tuple[str, str, str, str, str]:
        """Value, 95% interval, n, failed, unscored."""
        one = self.estimate
        counts = (f"{one.n}", f"{one.num_failed}", f"{one.num_unscored}")
        return (value_of(self.info, one.mean), interval_text(self.info, one), *counts)


class Block(NamedTuple):
    """Rows that belong together."""

    title: str
    rows: list[Row]


def blocks_of(summary: Summary, *, everything: bool = False) -> list[Block]:
    """The metrics of a run in blocks, headline first; behind them the headline by group.

    Args:
        everything: all metrics, by the names that they have in the file.
    """
    blocks = {title: Block(title, []) for title in (*BLOCKS, BY_SPEAKER, OWN)}
    for info in (*METRICS, *_own(summary)):
        estimate = summary.metrics.get(info.name)
        if estimate is not None and (everything or _wanted(info, estimate, summary)):
            row = Row(info.name if everything else info.title, info, estimate)
            blocks[_block_of(info)].rows.append(row)
    headlines = ("majority_agreement",) if is_ungraded(summary) else ("agreement_correctness", "accuracy")
    groups = [Block(f"by {name}", list(_of_groups(one, headlines))) for name, one in summary.groups.items()]
    return [block for block in (*blocks.values(), *groups) if block.rows]


def _block_of(info: MetricInfo) -> str:
    return OWN if info.numerator.startswith("own/") else _BLOCK_OF.get(info.name, BY_SPEAKER)


def _own(summary: Summary) -> list[MetricInfo]:
    """The metrics that the user added."""
    return [own_info(name, is_share=unit == "share") for name, unit in summary.own.items()]


def _of_groups(values: dict[str, dict[str, Estimate]], headlines: Sequence[str]) -> Iterator[Row]:
    for info in map(metric, headlines):
        for value, metrics in values.items():
            if (estimate := metrics.get(info.name)) is not None:
                yield Row(value, info, estimate)


def _wanted(info: MetricInfo, estimate: Estimate, summary: Summary) -> bool:
    """Whether a row says something that no other row says."""
    if info.numerator.startswith("own/"):
        return True
    if info.name not in SHOWN:
        return False
    metrics = summary.metrics
    if is_ungraded(summary) and needs_gold(info.numerator):
        return False
    if info.kind == "strict":  # differs only where conversations failed or could not be scored
        headlines = [metrics[one.name] for one in METRICS if one.headline and one.name in metrics]
        return any(headline.num_failed + headline.num_unscored for headline in headlines)
    if info.kind in {"vote_low", "vote_high", "pass_any_high"}:  # differs only where samples are unread
        return estimate.mean != metrics[info.name.rpartition("_")[0]].mean
    if info.name == "unsure_to_right":
        return bool(metrics["unsure_rate"].mean)
    if info.name == "first_accuracy" and answers_once(summary):  # differs only by a second chance
        return (metrics["turns"].mean or 1) > 1
    return info.headline or estimate.mean is not None


def is_ungraded(summary: Summary) -> bool:
    """No problem has a gold answer."""
    return summary.without_gold == summary.problems > 0


FEW = 10
"""Problems up to which intervals may hold less often than they say: those of tokens in 88 of 100 runs."""


def about_few(summary: Summary) -> str:
    """What intervals of so few problems are; empty of more."""
    if not 1 < summary.problems <= FEW:
        return ""
    return f"few problems ({summary.problems}): intervals are approximate, those of tokens too narrow"


def answers_once(summary: Summary) -> bool:
    """Whether nobody was asked for an answer again."""
    return "conversation_gain" not in summary.metrics


def columns_of(blocks: list[Block]) -> list[int]:
    """Which of `COLUMNS` say something: that none failed, or all are scored, needs no column of zeros."""
    rows = [row.estimate for block in blocks for row in block.rows]
    failed, unscored = any(one.num_failed for one in rows), any(one.num_unscored for one in rows)
    return [0, 1, 2, *([3] if failed else []), *([4] if unscored else [])]


def number_of(count: int, thing: str) -> str:
    """So many of something, in words: one has no s."""
    return f"{count} {thing}{'s' * (count != 1)}"


def value_of(info: MetricInfo, value: float | None) -> str:
    """A metric's value with its unit; a dash where there is none."""
    if value is None:
        return "-"
    if info.interval == "difference":  # of shares, in points
        return f"{100 * value:+.1f}"
    match info.unit:
        case "share":
            return f"{100 * value:.1f}%"
        case "tokens":
            return f"{value:,.0f}"
        case "USD":
            return f"${value:.4f}"
        case "score":
            return f"{value:+.2f}"
        case _:
            return f"{value:.2f}"


def interval_text(info: MetricInfo, estimate: Estimate) -> str:
    """The 95% interval with its unit; a dash where there is none."""
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{value_of(info, estimate.low).removesuffix('%')} to {value_of(info, estimate.high)}"


def as_html(summary: Summary) -> str:
    """The table for a notebook, in whatever colours its theme has."""
    blocks = blocks_of(summary)
    columns = columns_of(blocks)
    who = " and ".join(dict.fromkeys(summary.models.values()))
    told = f"{number_of(summary.problems, 'problem')}, {number_of(summary.conversations, 'conversation')}"
    if summary.owed:
        told += f", {summary.owed} to go"
    lines = [
        f"<p><b>{escape(summary.task)} · {escape(summary.protocol)} · {escape(who)}</b><br>{told}</p>",
        '<table style="text-align: right">',
    ]
    for block in blocks:
        heads = "".join(f"<th>{COLUMNS[column]}</th>" for column in columns)
        lines.append(f'<tr><th style="text-align: left">{escape(block.title)}</th>{heads}</tr>')
        for row in block.rows:
            cells = "".join(f"<td>{escape(row.cells[column])}</td>" for column in columns)
            weight = "; font-weight: bold" if row.info.headline and row.label == row.info.title else ""
            hint = escape(row.info.help, quote=True)
            first = f'<td style="text-align: left{weight}" title="{hint}">{escape(row.label)}</td>'
            lines.append(f"<tr>{first}{cells}</tr>")
    few = about_few(summary)
    return "\n".join([*lines, "</table>", *([f"<p><small>{few}</small></p>"] if few else [])])
