"""Tables of results, for a terminal of 80 columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.box import Box
from rich.table import Table
from rich.text import Text

from coral.cli.candidates import adjusted, candidates_table, size_of
from coral.cli.terminal import WIDTH, Terminal, standard_output
from coral.cli.visible import one_line, shell_word
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import CostEstimate as Volumes
from coral.metrics import Estimate, RoleUsage, Summary, load_prices, metric
from coral.metrics.table import (
    COLUMNS,
    Block,
    Row,
    about_few,
    answers_once,
    blocks_of,
    columns_of,
    interval_text,
    is_ungraded,
    number_of,
    value_of,
)
from coral.models.config import HUMAN
from coral.models.providers import provider_named

RULED = Box("    \n    \n    \n    \n ── \n    \n    \n    \n")
"""Nothing but a rule between blocks."""


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
    table, width = _main_table(blocks_of(summary, everything=everything), out, gap=0 if everything else 1)
    out.print(table)
    for further in _further_tables(summary, out):
        out.print("─" * width, style="dim")
        out.print(further)
    if not everything:
        out.print("\n".join(_legend(summary)), style="dim")
    for line in _footnotes(summary, path):
        out.print(line, markup=False, soft_wrap=True)


def _title(summary: Summary, asked: int | None) -> str:
    counted = size_of(summary, asked)
    if summary.owed:
        counted += f" of {summary.conversations + summary.owed}: unfinished, so it leans to short ones"
    names = summary.models.values()
    who = one_line(" and ".join(dict.fromkeys(names)))
    return f"\n{summary.task} · {summary.protocol} · {who}\n{counted}"


def _main_table(blocks: list[Block], out: Terminal, *, gap: int) -> tuple[Table, int]:
    """All blocks below each other, so that their columns are; and how wide that is."""
    columns = columns_of(blocks)
    table = Table(box=RULED, show_header=False, show_edge=False, padding=(0, gap, 0, 0), border_style="dim")
    table.add_column(min_width=28 if out.width >= WIDTH else 16, overflow="fold")
    for _ in columns:
        table.add_column(justify="right", no_wrap=True)
    for block in blocks:
        table.add_section()
        table.add_row(one_line(block.title), *(COLUMNS[column] for column in columns), style="dim")
        for row in block.rows:
            cells = [Text(row.cells[column], _tint(column, row)) for column in columns]
            is_headline = row.info.headline and row.label in {row.info.title, row.info.name}
            table.add_row(one_line(row.label), *cells, style="bold" if is_headline else "")
    return table, min(out.width, out.measure(table).maximum)


def _tint(column: int, row: Row) -> str:
    """Zeros of what failed or has no grade are no news."""
    return "dim" if COLUMNS[column] in {"failed", "unscored"} and row.cells[column] == "0" else ""


def _further_tables(summary: Summary, out: Terminal) -> Iterator[Table]:
    gap = 2 if out.width >= WIDTH else 1
    if len(summary.by_turn) > 1:
        yield _by_turn_table(summary, gap)
    if summary.probes:
        yield _probes_table(summary, gap)
    if summary.candidates is not None:
        yield candidates_table(summary)


def _legend(summary: Summary) -> Iterator[str]:
    yield "n: the conversations, or turns, that a figure is of; intervals by problem"
    if "persuasion" in summary.metrics:
        yield "persuasive: the partner takes the belief over; assertive: kept against it"


STEPS = 6
"""Most rows of the table by turn: the first ones, and the last."""


def _by_turn_table(summary: Summary, gap: int) -> Table:
    """Agreement, and right agreement, had the conversations been cut after so many turns."""
    table = _table("within turns", "agreed", COLUMNS[1], "and right", COLUMNS[1], gap=gap)
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


def _probes_table(summary: Summary, gap: int) -> Table:
    """What was said off the record against what was said, by turn."""
    table = _table("off the record, by turn", "differs", COLUMNS[1], "right", "in public", "n", gap=gap)
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


def _table(first: str, *others: str, gap: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    table.add_column(first, min_width=12, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _footnotes(summary: Summary, path: Path) -> list[str]:
    stops = ", ".join(f"{count} {name}" for name, count in summary.stop_reasons.items())
    used = ", ".join(
        f"{role} {usage.requests} ({_used(summary.models.get(role), usage)})"
        for role, usage in summary.usage.items()
    )
    alone = answers_once(summary) and not summary.failures  # one turn is all there is
    lines = [
        *_about_gold(summary),
        *([] if alone else [f"ended: {stops}"]),
        f"requests: {used or 'none was answered'}",
    ]
    lines += [few] if (few := about_few(summary)) else []
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


def _about_gold(summary: Summary) -> list[str]:
    """What takes the place of right and wrong where problems have no gold answer."""
    if not summary.without_gold:
        return []
    whole = "none" if is_ungraded(summary) else f"{summary.without_gold:,} without"
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
        f"{config.task_name} · {config.protocol_name} · {number_of(volumes.problems, 'problem')}, "
        f"{number_of(volumes.conversations, 'conversation')} · nothing was sent\n",
        style="bold",
    )
    gap = 2 if out.width >= WIDTH else 1
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, gap, 0, 0))
    table.add_column("if conversations take", overflow="fold")
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
