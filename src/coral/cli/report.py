"""Tables of results, for a terminal of 80 columns."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from coral.cli.candidates import adjusted, candidates_table, size_of
from coral.cli.terminal import standard_output
from coral.cli.visible import one_line, shell_word
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import CostEstimate as Volumes
from coral.metrics import METRICS, Estimate, MetricInfo, RoleUsage, Summary, load_prices, metric
from coral.metrics.counts import needs_gold
from coral.metrics.own import own_info
from coral.models.config import HUMAN
from coral.models.providers import provider_named

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
"""What the table holds unless all is asked for, headline first."""
COLUMNS = ("value", "95% interval", "n", "failed", "unscored")


def print_summary(
    summary: Summary, path: Path, *, everything: bool = False, asked: int | None = None
) -> None:
    """The results of a run: what it was, its metrics, and the headline by group.

    Args:
        everything: all metrics, by the names that they have in the file.
        asked: conversations that the session asked for, where there was one: the folder may hold more.
    """
    out = standard_output()
    out.print(_title(summary, asked), style="bold")
    out.print(_metrics_table(summary, everything=everything))
    if len(summary.by_turn) > 1:
        out.print(_by_turn_table(summary))
    if summary.probes:
        out.print(_probes_table(summary))
    for dimension, values in summary.groups.items():
        groups = _group_table(dimension, values, ungraded=_is_ungraded(summary))
        if groups.row_count:
            out.print(groups)
    if summary.candidates is not None:
        out.print(candidates_table(summary))
    for line in _footnotes(summary, path):
        out.print(line, markup=False, soft_wrap=True)


def _title(summary: Summary, asked: int | None) -> str:
    counted = size_of(summary, asked)
    if summary.owed:
        counted += f" of {summary.conversations + summary.owed}: unfinished, so it leans to short ones"
    names = summary.models.values()
    who = one_line(" and ".join(dict.fromkeys(names)))
    return f"\n{summary.task} · {summary.protocol} · {who}\n{counted}"


def _metrics_table(summary: Summary, *, everything: bool) -> Table:
    table = _table("metric", *COLUMNS, gap=1 if everything else 2)
    for info in (*METRICS, *_own(summary)):
        estimate = summary.metrics.get(info.name)
        if estimate is None or not (everything or _wanted(info, estimate, summary)):
            continue
        table.add_row(
            info.name if everything else info.title,
            value_of(info, estimate.mean),
            interval_text(info, estimate),
            f"{estimate.n}",
            f"{estimate.num_failed}",
            f"{estimate.num_unscored}",
            style="bold" if info.headline else "",
        )
    return table


def _own(summary: Summary) -> list[MetricInfo]:
    """The metrics that the user added."""
    return [own_info(name, is_share=unit == "share") for name, unit in summary.own.items()]


def _wanted(info: MetricInfo, estimate: Estimate, summary: Summary) -> bool:
    """Whether a row says something that no other row says."""
    if info.numerator.startswith("own/"):
        return True
    if info.name not in SHOWN:
        return False
    metrics = summary.metrics
    if _is_ungraded(summary) and needs_gold(info.numerator):
        return False
    if info.kind == "strict":  # differs only where conversations failed or could not be scored
        headlines = [metrics[one.name] for one in METRICS if one.headline and one.name in metrics]
        return any(headline.num_failed + headline.num_unscored for headline in headlines)
    if info.kind in {"vote_low", "vote_high", "pass_any_high"}:  # differs only where samples are unread
        return estimate.mean != metrics[info.name.rpartition("_")[0]].mean
    if info.name == "unsure_to_right":
        return bool(metrics["unsure_rate"].mean)
    if info.name == "first_accuracy" and _answers_once(summary):  # differs only by a second chance
        return (metrics["turns"].mean or 1) > 1
    return info.headline or estimate.mean is not None


def _answers_once(summary: Summary) -> bool:
    return "conversation_gain" not in summary.metrics


STEPS = 6
"""Most rows of the table by turn: the first ones, and the last."""


def _by_turn_table(summary: Summary) -> Table:
    """Agreement, and right agreement, had the conversations been cut after so many turns."""
    table = _table("within so many turns", "agreed", COLUMNS[1], "and right", COLUMNS[1], width=20)
    for turn, estimates in _few(summary.by_turn):
        cells = (
            (value_of(metric(name), one.mean), interval_text(metric(name), one))
            for name, one in estimates.items()
        )
        table.add_row(turn, *(cell for pair in cells for cell in pair))
    return table


def _few(by_turn: dict[str, dict[str, Estimate]]) -> list[tuple[str, dict[str, Estimate]]]:
    steps = list(by_turn.items())
    return [*steps[: STEPS - 1], *steps[STEPS - 1 :][-1:]]


def _probes_table(summary: Summary) -> Table:
    """What was said off the record against what was said, by turn."""
    table = _table("off the record, by turn", "differs", COLUMNS[1], "right", "in public", "n", width=20)
    for turn, estimates in _few(summary.probes):
        differs, private, public = (
            estimates[name] for name in ("private_difference", "private_accuracy", "public_accuracy")
        )
        info = metric("private_difference")
        table.add_row(
            turn,
            value_of(info, differs.mean),
            interval_text(info, differs),
            value_of(info, private.mean),
            value_of(info, public.mean),
            f"{differs.n}",
        )
    return table


def _group_table(dimension: str, values: dict[str, dict[str, Estimate]], *, ungraded: bool) -> Table:
    table = _table(one_line(f"by {dimension}"), *COLUMNS)
    names = ("majority_agreement",) if ungraded else ("agreement_correctness", "accuracy")
    for info in map(metric, names):
        for value, metrics in values.items():
            estimate = metrics.get(info.name)
            if estimate is not None:
                table.add_row(
                    one_line(value),
                    value_of(info, estimate.mean),
                    interval_text(info, estimate),
                    f"{estimate.n}",
                    f"{estimate.num_failed}",
                    f"{estimate.num_unscored}",
                )
    return table


def _table(first: str, *others: str, gap: int = 2, width: int = 28) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    table.add_column(first, min_width=width, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


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


def _footnotes(summary: Summary, path: Path) -> list[str]:
    stops = ", ".join(f"{count} {name}" for name, count in summary.stop_reasons.items())
    used = ", ".join(
        f"{role} {usage.requests} ({_used(summary.models.get(role), usage)})"
        for role, usage in summary.usage.items()
    )
    alone = _answers_once(summary) and not summary.failures  # one turn is all there is
    lines = [
        *_about_gold(summary),
        *([] if alone else [f"ended: {stops}"]),
        f"requests: {used or 'none was answered'}",
    ]
    lines += _judged(summary)
    if unpriced := _unpriced(summary):
        lines.append(f"cost: unknown, {unpriced} has no price; --prices FILE gives it one (coral prices)")
    if summary.failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary.failures.items())
        lines.append(
            f"failed: {kinds}; `coral show DIR --only failed` says why, --retry_failed runs them again"
        )
    lines += adjusted(summary)
    return [
        *lines,
        f"\nread them: coral show {shell_word(path)}",
        f"all metrics: {one_line(path)}/summary.json",
    ]


def _is_ungraded(summary: Summary) -> bool:
    """No problem has a gold answer."""
    return summary.without_gold == summary.problems > 0


def _about_gold(summary: Summary) -> list[str]:
    """What takes the place of right and wrong where problems have no gold answer."""
    if not summary.without_gold:
        return []
    whole = "none" if _is_ungraded(summary) else f"{summary.without_gold:,} without"
    lines = [f"gold answers: {whole} ({summary.problems:,} problems); nothing is right or wrong there"]
    if "majority_agreement" in summary.metrics:
        lines += [
            "agrees with the majority: whether an answer is the most frequent one of the others;",
            "it estimates accuracy, and is too high where mistakes are shared",
        ]
    else:
        lines.append("--samples 5 adds an estimate: how often an answer is that of most others")
    return lines


def _unpriced(summary: Summary) -> str:
    """A model that is sold, and whose price is not known; empty where there is none."""
    if summary.cost is not None:
        return ""
    sellers = {name: provider_named(name.partition("/")[0]) for name in summary.models.values()}
    table = load_prices()
    return next(
        (
            one_line(name)
            for name, seller in sellers.items()
            if seller and not seller.local and not table.price(name)
        ),
        "",
    )


def _used(model: str | None, usage: RoleUsage) -> str:
    """What a role used, and how many of its replies cost less than others."""
    if model == HUMAN:
        return HUMAN
    parts = [f"{usage.prompt_tokens:,} in", f"{usage.completion_tokens:,} out"]
    if usage.from_cache:
        parts.append(f"{usage.from_cache:,} from the cache, free")
    if usage.batched:
        parts.append(f"{usage.batched:,} of batches, half price")
    return ", ".join(parts)


def _judged(summary: Summary) -> list[str]:
    """What the judge said, and what it did not."""
    judged = summary.judged
    if judged is None:
        return []
    said = f"{judged.right} right, {judged.wrong} wrong, {judged.cannot_tell} cannot tell"
    lost = {"no verdict in its reply": judged.no_verdict, "refused": judged.refused}
    said += "".join(f", {number} {why}" for why, number in lost.items() if number)
    again = f"; {judged.known} more were met again" if judged.known else ""
    return [f"judged by {one_line(judged.model)}: {judged.asked} answers ({said}){again}"]


def print_estimate(config: EvalConfig, volumes: Volumes) -> None:
    """What a run would send."""
    out = standard_output()
    out.print(
        f"{config.task_name} · {config.protocol_name} · {volumes.problems} problems, "
        f"{volumes.conversations} conversations · nothing was sent\n",
        style="bold",
    )
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("if conversations take")
    for name in ("requests", "tokens in", "tokens out", "cost"):
        table.add_column(name, justify="right", no_wrap=True)
    for volume in volumes.volumes:
        cost = "price unknown" if volume.usd is None else f"${volume.usd:,.2f}"
        table.add_row(
            volume.assumption,
            f"{volume.requests:,}",
            f"{volume.prompt_tokens:,}",
            f"{volume.completion_tokens:,}",
            cost,
        )
    out.print(table)
    first = volumes.speaker
    out.print(f"\nThe first request, to the {first.name} ({one_line(first.model)}):", style="bold")
    for message in volumes.first:
        out.print(f"[{message.role.value}]", style="dim", markup=False)
        out.print(message.content, markup=False)
