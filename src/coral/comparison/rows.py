"""A comparison as tables of text, for terminals, notebooks and files."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from coral.comparison.compare import VOTE, PairedRuns, SeveralRuns
from coral.comparison.facts import IN_WORDS
from coral.comparison.power import Design
from coral.comparison.tables import Table, between, p_value, percent, points
from coral.comparison.tables import as_html as table_as_html
from coral.metrics import Comparison, MetricInfo, adjusted, detectable_in_points, holm, metric
from coral.metrics.own import own_info
from coral.metrics.table import interval_text, value_of

READING = "*"
BESIDE_CONTROLS = "beside a control partner, which says what it was told to: the agent's last answer"
READ_ALONE = f"{READING} audits of these runs: errors of reading alone could produce this difference"
INTERVAL = "95% interval"


# Two runs ---------------------------------------------------------------------------------------------------


def metrics_table(runs: PairedRuns) -> Table:
    """Each metric of both, and the difference; the headline first."""
    rows = [
        (
            title_of(one, runs),
            *_figures(one, runs, marked=runs.reading_alone is True and one is runs.comparisons[0]),
        )
        for one in shown(runs)
    ]
    return Table("metrics", "", ("metric", "a", "b", "b - a", INTERVAL, "n"), tuple(rows))


def changes_table(runs: PairedRuns) -> Table:
    """Inside the run that talked: its first answers against what came of them."""
    rows = []
    for name, found in runs.changes.items():
        if found.mean is None or (name == "unsure_to_right" and not found.mean):
            continue
        info = metric(name)
        rows.append((info.title, value_of(info, found.mean), interval_text(info, found), f"{found.n}"))
    header = (f"what talking changed in {runs.changed}", "value", INTERVAL, "n")
    return Table("changes", "", header, tuple(rows))


def shown(runs: PairedRuns) -> list[Comparison]:
    """The comparisons that say something: not conformity, where nobody disagreed in either run."""
    return [
        one
        for place, one in enumerate(runs.comparisons)
        if (not place and runs.graded) or one.a is not None or one.b is not None
    ]


def p_table(runs: PairedRuns) -> Table:
    """The p-values of all metrics, raw and adjusted for their number."""
    ones = shown(runs)
    holms = adjusted(holm, [one.p_value for one in ones])
    rows = [
        (title_of(one, runs), p_value(one.p_value), p_value(p))
        for one, p in zip(ones, holms, strict=True)
        if p is not None
    ]
    return Table("p", "", ("p-values", "p", "p, Holm"), tuple(rows))


def measure_of(runs: PairedRuns) -> str:
    """What the headline of a comparison is, in a heading."""
    return IN_WORDS.get(runs.comparisons[0].metric, "right of all")


def title_of(one: Comparison, runs: PairedRuns) -> str:
    """What a metric is called beside others."""
    if one is runs.comparisons[0] and runs.graded:
        return "Right, of all"
    return info_of(one, runs).title


def info_of(one: Comparison, runs: PairedRuns) -> MetricInfo:
    """What is compared."""
    if unit := runs.own.get(one.metric):
        return own_info(one.metric, is_share=unit == "share")
    return metric(one.metric)


def notes_of(runs: PairedRuns) -> list[str]:
    """What a reader of the tables must know, a paragraph each."""
    lines = [
        "differences of shares are in points; n counts problems",
        "right, of all: a conversation that failed or has no grade counts as not right"
        if runs.graded
        else "no problem has a gold answer, so nothing is right or wrong. Agrees with the majority: how "
        "often an answer is the most frequent one of the others of its run (needs --samples 2 or more); "
        "it estimates accuracy, and is too high where mistakes are shared",
    ]
    if runs.graded and runs.controls:
        lines.append(BESIDE_CONTROLS)
    if runs.reading_alone:
        lines.append(READ_ALONE)
    if runs.unreadable:
        lines.append(
            f"{100 * runs.unreadable:.1f}% of the single turns are unreadable; a pair continues, one agent "
            "only with --second_chance true. What talking changed is free of that"
        )
    if runs.changes and runs.same_draws:
        lines.append(
            "one seed: given one prompt and sampling, a and b begin with the same texts; another --salt "
            "draws anew"
        )
    lines.append(_holding(runs))
    first = runs.comparisons[0]
    for letter, alone in (("a", first.num_only_a), ("b", first.num_only_b)):
        if alone:
            lines.append(f"left out: {alone:,} problems that only {letter} has")
    for letter, owed in zip("ab", runs.unfinished, strict=True):
        if owed:
            lines.append(f"{letter} is unfinished, {owed:,} conversations to go: it leans to short ones")
    if runs.design is not None:
        lines.append(power_of(runs.design))
    return lines


ASKED = 0.05
"""The difference for which the problems are said that it needs."""


def power_of(design: Design) -> str:
    """What the comparison could have found by its headline, and what another difference needs."""
    needed = design.needed(ASKED)
    problems = "more problems than there are" if needed is None else f"{needed:,} problems"
    found = detectable_in_points(design.detectable(design.problems))
    return (
        f"8 of 10 such comparisons find a true difference of {found} "
        f"points in {IN_WORDS[design.by]}; one of {100 * ASKED:.0f} points needs {problems} (correlation of "
        f"the two on a problem {design.correlation:.2f})"
    )


def _holding(runs: PairedRuns) -> str:
    """Which differences hold among all that are shown: of twenty, one looks real by chance alone."""
    tested = [one for one in runs.comparisons if one.p_value is not None]
    corrected = holm([one.p_value for one in tested if one.p_value is not None])
    holding = [title_of(one, runs) for one, p in zip(tested, corrected, strict=True) if p < 0.05]
    return (
        f"of {len(tested)} differences that are tested here, these hold among all of them (Holm): "
        f"{'; '.join(holding) or 'none'}"
    )


# Several runs, each against the first -----------------------------------------------------------------------


def runs_table(several: SeveralRuns, *, with_p: bool = True) -> Table:
    """What is right of all; where runs have several samples of a problem, their majority vote below it."""
    rows = []
    letters = ascii_lowercase[1:]
    for letter, runs, p in zip(letters, several.compared, several.p_holm, strict=False):
        one = runs.comparisons[0]
        rows.append(_run_row(letter, one, runs, p_value(p), with_p=with_p))
    for letter, runs in zip(letters, several.compared, strict=False):
        rows += [
            _run_row(f"{letter}, vote", one, runs, "-", with_p=with_p)
            for one in runs.comparisons
            if one.metric == VOTE and one.difference is not None
        ]
    ps = ("p", "p, Holm") if with_p else ()
    return Table("runs", "", ("", "a", "it", "difference", INTERVAL, *ps, "n"), tuple(rows))


def _run_row(label: str, one: Comparison, runs: PairedRuns, p: str, *, with_p: bool) -> tuple[str, ...]:
    marked = runs.reading_alone is True and one is runs.comparisons[0]
    *figures, n = _figures(one, runs, marked=marked)
    ps = (p_value(one.p_value), p) if with_p else ()
    return (label, *figures, *ps, n)


def runs_p_table(several: SeveralRuns) -> Table:
    """The p-values of the headlines, for a terminal in which they have no room beside the figures."""
    rows = [
        (letter, p_value(runs.comparisons[0].p_value), p_value(p))
        for letter, runs, p in zip(ascii_lowercase[1:], several.compared, several.p_holm, strict=False)
    ]
    return Table("p", "", ("p-values", "p", "p, Holm"), tuple(rows))


def runs_notes(several: SeveralRuns) -> list[str]:
    """What a reader of the table of runs must know, a paragraph each."""
    lines = ["differences are in points, paired by problem; n counts shared problems"]
    if any(runs.graded and runs.controls for runs in several.compared):
        lines.append(BESIDE_CONTROLS)
    if any(one.metric == VOTE for runs in several.compared for one in runs.comparisons):
        lines.append("vote: majority vote over the samples of a problem; a single sample votes alone")
    if any(runs.reading_alone for runs in several.compared):
        lines.append(READ_ALONE)
    for letter, runs in zip(ascii_lowercase[1:], several.compared, strict=False):
        if runs.design is not None:
            lines.append(f"{letter}: {power_of(runs.design)}")
    return lines


def seeds_table(several: SeveralRuns) -> Table:
    """The mean over the seeds of each configuration, where runs differ in their seeds alone."""
    letters = dict(zip((several.baseline, *several.others), ascii_lowercase, strict=False))
    rows = []
    for one in several.seeds:
        spread = "-" if one.spread is None else f"{100 * one.spread:.1f}"
        change = points(one.difference), between(one.difference_low, one.difference_high, signed=True)
        figures = (percent(one.mean), between(one.low, one.high), spread, *change, f"{one.num_problems}")
        rows.append((" ".join(letters[run] for run in one.runs), *figures))
    header = ("runs", "mean", INTERVAL, "between seeds", "difference", INTERVAL, "n")
    return Table(
        "seeds", f"mean over seeds, {measure_of(several.compared[0])}", header, tuple(rows), SEEDS_NOTE
    )


SEEDS_NOTE = (
    "intervals hold what other seeds and other problems would change; between seeds: standard deviation"
)


# Groups -----------------------------------------------------------------------------------------------------


def groups_table(several: Sequence[PairedRuns]) -> Table:
    """The headline by group, of each run against the first."""
    rows = []
    for letter, runs in zip(ascii_lowercase[1:], several, strict=False):
        for part in runs.groups:
            label = part.group if len(several) == 1 else f"{letter} {part.group}"
            rows.append((label, *_figures(part.comparison, runs)))
    by = several[0].by
    names = ("a", "b", "b - a") if len(several) == 1 else ("a", "it", "difference")
    header = (f"{measure_of(several[0])}, by {by}", *names, INTERVAL, "n")
    return Table("groups", "", header, tuple(rows))


def groups_p_table(several: Sequence[PairedRuns]) -> Table:
    """The p-values of the groups, adjusted for all groups of all runs."""
    rows = []
    for letter, runs in zip(ascii_lowercase[1:], several, strict=False):
        for part in runs.groups:
            label = part.group if len(several) == 1 else f"{letter} {part.group}"
            rows.append((label, p_value(part.comparison.p_value), p_value(part.p_holm)))
    return Table("groups_p", "", (f"p-values, by {several[0].by}", "p", "p, Holm"), tuple(rows))


def groups_notes(several: Sequence[PairedRuns]) -> list[str]:
    """Problems that are in no group."""
    return [
        f"left out of the groups: {runs.ungrouped:,} problems without '{runs.by}'"
        + ("" if len(several) == 1 else f" ({letter})")
        for letter, runs in zip(ascii_lowercase[1:], several, strict=False)
        if runs.ungrouped
    ]


# All of it --------------------------------------------------------------------------------------------------


def tables_of(
    several: SeveralRuns | PairedRuns, *, p_values: bool = False
) -> Iterator[tuple[Table, list[str]]]:
    """All tables in order, each with the lines that stand below it."""
    compared = (several,) if isinstance(several, PairedRuns) else several.compared
    if len(compared) == 1:
        runs = compared[0]
        yield metrics_table(runs), [] if runs.changes else notes_of(runs)
        if runs.changes:
            yield changes_table(runs), notes_of(runs)
        if p_values:
            yield p_table(runs), []
    elif isinstance(several, SeveralRuns):
        yield runs_table(several), runs_notes(several)
    if compared[0].by:
        yield groups_table(compared), groups_notes(compared)
        if p_values:
            yield groups_p_table(compared), ["adjusted for all groups that are compared here"]
    if isinstance(several, SeveralRuns) and several.seeds:
        yield seeds_table(several), [SEEDS_NOTE]


def heading(several: SeveralRuns | PairedRuns) -> list[str]:
    """What is compared, and which run each letter stands for."""
    compared = (several,) if isinstance(several, PairedRuns) else several.compared
    paths = ("", "") if isinstance(several, PairedRuns) else (several.baseline, *several.others)
    problems = max(one.num_problems for runs in compared for one in runs.comparisons)
    lines = [f"{compared[0].task}, on {problems:,} shared problems"]
    if len(compared) > 1:
        lines = [f"{compared[0].task}, {measure_of(compared[0])}, each minus the first"]
    protocols = [compared[0].protocols[0], *(runs.protocols[1] for runs in compared)]
    for letter, path, protocol in zip(ascii_lowercase, paths, protocols, strict=False):
        lines.append(f"{letter}: {path} ({protocol})" if path else f"{letter}: {protocol}")
    return lines


def as_html(several: SeveralRuns | PairedRuns, *, p_values: bool = False) -> str:
    """All tables for a notebook or a page. Every cell is data, never markup."""
    title, *letters = (html.escape(line) for line in heading(several))
    parts = [f"<p><b>{title}</b><br>{'<br>'.join(letters)}</p>"]
    for table, notes in tables_of(several, p_values=p_values):
        parts.append(table_as_html(table._replace(note="")))
        if notes:
            parts.append(f"<p><small>{'<br>'.join(html.escape(line) for line in notes)}</small></p>")
    return "\n".join(parts)


def _figures(one: Comparison, runs: PairedRuns, *, marked: bool = False) -> tuple[str, ...]:
    """a, b, the difference, its interval, and on how many problems."""
    info = info_of(one, runs)
    change = signed(info, one.difference) + (READING if marked else "")
    ends = "-"
    if one.low is not None and one.high is not None:
        ends = f"{signed(info, one.low)} to {signed(info, one.high)}"
    return value_of(info, one.a), value_of(info, one.b), change, ends, f"{one.num_problems}"


def signed(info: MetricInfo, difference: float | None) -> str:
    """A difference with its sign, of shares in points."""
    if difference is None:
        return "-"
    match info.unit:
        case "share":
            return f"{100 * difference:+.1f}"
        case "tokens":
            return f"{difference:+,.0f}"
        case _:
            return f"{difference:+.2f}"
