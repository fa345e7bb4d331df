"""`coral compare A B ...`: stored runs on the same problems, paired."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from textwrap import wrap

from rich.table import Table

from coral.audits.marks import mark
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_names
from coral.cli.terminal import standard_output
from coral.cli.visible import shell_word
from coral.comparison.compare import PairedRuns, SeveralRuns, compare_several
from coral.comparison.power import Design
from coral.comparison.tables import between, percent, points
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.given import Given
from coral.metrics import Comparison, MetricInfo, holm, metric
from coral.metrics.own import own_info
from coral.metrics.table import interval_text, value_of
from coral.store.folder import RunFolder

ABOUT = (
    "Compare two stored runs on the problems that both have, paired by problem, without a model. A pair and "
    "one agent alone are compared by the share of all conversations that end right."
)


@dataclass(frozen=True, kw_only=True)
class CompareConfig(Options):
    """What is compared beside Coral's own metrics."""

    metrics: tuple[str, ...] | None = option(None, decides=True)
    """Further metrics, `module:function` each, or names that packages add; by default those of either run."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    runs, flags = take_names(arguments)
    config = parse(CompareConfig, flags, command="coral compare A B", about=ABOUT)
    if len(runs) < 2:
        raise ConfigError("two run folders are needed", remedy="coral compare runs/alone runs/pair")
    if len(runs) > len(ascii_lowercase):
        raise ConfigError(
            f"{len(runs)} run folders are given", remedy=f"compare at most {len(ascii_lowercase)} at a time"
        )
    a, *others = runs
    own = None if config.metrics is None else functools.partial(Given().own_metrics, config.metrics)
    several = mark(run_in_loop(compare_several(RunFolder(a), [RunFolder(other) for other in others], own)))
    if len(others) == 1:
        print_comparison(several.compared[0], a, others[0])
    else:
        print_several(several)
    print_seeds(several)
    return 0


def print_seeds(several: SeveralRuns) -> None:
    """The mean over the seeds of each configuration, where runs differ in their seeds alone."""
    if not several.seeds:
        return
    out = standard_output()
    out.print("\nmean over seeds, right of all", style="bold", markup=False)
    letters = dict(zip((several.baseline, *several.others), ascii_lowercase, strict=False))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("runs", "mean", "95% interval", "between seeds", "difference", "95% interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in several.seeds:
        runs = " ".join(letters[run] for run in one.runs)
        spread = "-" if one.spread is None else f"{100 * one.spread:.1f}"
        change = points(one.difference), between(one.difference_low, one.difference_high, signed=True)
        row = (percent(one.mean), between(one.low, one.high), spread, *change, f"{one.num_problems}")
        table.add_row(runs, *row)
    out.print(table)
    out.print(
        "intervals hold what other seeds and other problems would change; between seeds: standard deviation",
        markup=False,
        soft_wrap=True,
    )


def print_several(several: SeveralRuns) -> None:
    """What is right of all conversations: each run against the first, adjusted for their number."""
    out = standard_output()
    compared = several.compared
    out.print(f"\n{compared[0].task}, right of all, each minus the first", style="bold", markup=False)
    out.print(f"a: {shell_word(several.baseline)} ({compared[0].protocols[0]})", markup=False, soft_wrap=True)
    letters = ascii_lowercase[1:]
    for letter, other, runs in zip(letters, several.others, compared, strict=False):
        out.print(f"{letter}: {shell_word(other)} ({runs.protocols[1]})", markup=False, soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("", "a", "it", "difference", "95% interval", "p", "p, Holm", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for letter, runs, p_holm in zip(letters, compared, several.p_holm, strict=False):
        one = runs.comparisons[0]
        info = metric(one.metric)
        ps = ("-" if p is None else f"{p:.4f}" for p in (one.p_value, p_holm))
        shares = (value_of(info, one.a), value_of(info, one.b))
        sign = READING if runs.reading_alone else ""
        row = (*shares, f"{_signed(info, one.difference)}{sign}", _interval(info, one), *ps)
        table.add_row(letter, *row, f"{one.num_problems}")
    out.print(table)
    out.print("differences are in points, paired by problem; n counts shared problems", markup=False)
    if any(runs.reading_alone for runs in compared):
        out.print(READ_ALONE, markup=False)
    for letter, runs in zip(letters, compared, strict=False):
        if runs.design is not None:
            out.print(f"{letter}: {power_of(runs.design)}", markup=False, soft_wrap=True)


READING = "*"
READ_ALONE = f"{READING} audits of these runs: errors of reading alone could produce this difference"


def print_comparison(runs: PairedRuns, a: str, b: str) -> None:
    """Each metric of both, and the difference, for a terminal of 80 columns."""
    out = standard_output()
    shared = max(one.num_problems for one in runs.comparisons)
    out.print(f"\n{runs.task}, on {shared:,} shared problems", style="bold")
    for letter, path, protocol in zip("ab", (a, b), runs.protocols, strict=True):
        out.print(f"{letter}: {shell_word(path)} ({protocol})", markup=False, soft_wrap=True)
    out.print(_table(runs))
    if runs.changes:
        out.print(_changes_table(runs))
    for line in _footnotes(runs):
        out.print(line, markup=False, soft_wrap=True)


def _table(runs: PairedRuns) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("metric", overflow="fold")
    for name in ("a", "b", "b - a", "95% interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for place, comparison in enumerate(runs.comparisons):
        if (place or not runs.graded) and comparison.a is None and comparison.b is None:
            continue  # such as conformity, where nobody disagreed in either run
        info = _info(comparison, runs)
        table.add_row(
            _title(comparison, runs),
            value_of(info, comparison.a),
            value_of(info, comparison.b),
            _signed(info, comparison.difference) + (READING if runs.reading_alone and not place else ""),
            _interval(info, comparison),
            f"{comparison.num_problems}",
            style="" if place else "bold",
        )
    return table


def _changes_table(runs: PairedRuns) -> Table:
    """Inside the run that talked: its first answers against what came of them."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(f"what talking changed in {runs.changed}", overflow="fold")
    for name in ("value", "95% interval", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, estimate in runs.changes.items():
        if estimate.mean is None or (name == "unsure_to_right" and not estimate.mean):
            continue
        info = metric(name)
        style = "bold" if name == "conversation_gain" else ""
        cells = value_of(info, estimate.mean), interval_text(info, estimate), f"{estimate.n}"
        table.add_row(info.title, *cells, style=style)
    return table


def _signed(info: MetricInfo, difference: float | None) -> str:
    if difference is None:
        return "-"
    match info.unit:
        case "share":
            return f"{100 * difference:+.1f}"
        case "tokens":
            return f"{difference:+,.0f}"
        case _:
            return f"{difference:+.2f}"


def _interval(info: MetricInfo, comparison: Comparison) -> str:
    if comparison.low is None or comparison.high is None:
        return "-"
    return f"{_signed(info, comparison.low)} to {_signed(info, comparison.high)}"


def _footnotes(runs: PairedRuns) -> list[str]:
    lines = [
        "differences of shares are in points; n counts problems",
        "right, of all: a conversation that failed or has no grade counts as not right"
        if runs.graded
        else "no problem has a gold answer, so nothing is right or wrong. Agrees with the majority: how\n"
        "often an answer is the most frequent one of the others of its run (needs --samples 2 or more);\n"
        "it estimates accuracy, and is too high where mistakes are shared",
    ]
    if runs.reading_alone:
        lines.append(READ_ALONE)
    if runs.unreadable:
        lines += [
            f"{100 * runs.unreadable:.1f}% of the single turns are unreadable; a pair continues, one agent",
            "only with --second_chance true. What talking changed is free of that",
        ]
    if runs.changes and runs.same_draws:
        lines += [
            "one seed: given one prompt and sampling, a and b begin with the same texts;",
            "another --salt draws anew",
        ]
    lines += wrap(_holding(runs), 80)
    headline = runs.comparisons[0]
    for letter, alone in (("a", headline.num_only_a), ("b", headline.num_only_b)):
        if alone:
            lines.append(f"left out: {alone:,} problems that only {letter} has")
    for letter, owed in zip("ab", runs.unfinished, strict=True):
        if owed:
            lines.append(f"{letter} is unfinished, {owed:,} conversations to go: it leans to short ones")
    if runs.design is not None:
        lines += wrap(power_of(runs.design), 80)
    return lines


ASKED = 0.05
"""The difference for which the problems are said that it needs."""


def power_of(design: Design) -> str:
    """What the comparison could have found in what is right of all, and what another difference needs."""
    needed = design.needed(ASKED)
    problems = "more problems than there are" if needed is None else f"{needed:,} problems"
    return (
        f"8 of 10 such comparisons find a true difference of {100 * design.detectable(design.problems):.1f} "
        f"points in what is right of all; one of {100 * ASKED:.0f} points needs {problems} (correlation of "
        f"the two on a problem {design.correlation:.2f})"
    )


def _holding(runs: PairedRuns) -> str:
    """Which differences hold among all that are shown: of twenty, one looks real by chance alone."""
    tested = [one for one in runs.comparisons if one.p_value is not None]
    adjusted = holm([one.p_value for one in tested if one.p_value is not None])
    holding = [_title(one, runs) for one, p in zip(tested, adjusted, strict=True) if p < 0.05]
    return (
        f"of {len(tested)} differences that are tested here, these hold among all of them (Holm): "
        f"{'; '.join(holding) or 'none'}"
    )


def _title(comparison: Comparison, runs: PairedRuns) -> str:
    return (
        "Right, of all"
        if comparison is runs.comparisons[0] and runs.graded
        else _info(comparison, runs).title
    )


def _info(comparison: Comparison, runs: PairedRuns) -> MetricInfo:
    if unit := runs.own.get(comparison.metric):
        return own_info(comparison.metric, is_share=unit == "share")
    return metric(comparison.metric)
