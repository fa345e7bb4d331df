"""Tables of what tokens and money buy: votes of one agent, arms at equal cost, and synergy."""

from __future__ import annotations

from coral.comparison.tables import Table, between, figure, p_value, percent, points, share
from coral.studies.measured import Difference
from coral.studies.results import StudyResults


def cost_tables(results: StudyResults) -> list[Table]:
    """The curve of one agent, the arms at their own prices, and what several add to their members."""
    return [_curve(results), _equal_cost(results), _synergy(results)]


def _curve(results: StudyResults) -> Table:
    rows = [
        (
            point.arm,
            f"{point.samples}",
            figure(point.accuracy, point.low, point.high),
            "-" if point.tokens is None else f"{point.tokens:,.0f}",
            "-" if point.usd is None else f"{point.usd:.5f}",
            f"{point.problems:,}",
        )
        for point in (*results.curve, *results.points)
    ]
    return Table(
        "equal_cost",
        "Accuracy and its price",
        ("arm", "samples", "right", "tokens per problem", "USD per problem", "problems"),
        tuple(rows if results.curve else ()),
        "Of one agent: the expected majority vote of so many samples, over all subsets of those of the run; "
         "tied answers share the credit. Of the others: right of all, at one conversation per problem.",
    )  # fmt: skip


def _equal_cost(results: StudyResults) -> Table:
    rows = [
        (
            f"{one.arm} - {one.alone}",
            one.by,
            f"{one.price:,.0f}" if one.by == "tokens" else f"{one.price:.5f}",
            f"{one.samples:.2f}" + ("" if one.reached else " (more than the run has)"),
            percent(one.accuracy),
            percent(one.against),
            points(one.difference),
            between(one.low, one.high, signed=True),
            p_value(one.p_value),
            f"{one.problems:,}",
        )
        for one in results.equal_cost
    ]
    return Table(
        "at_equal_cost",
        "At the arm's own price",
        ("arm - votes", "by", "price", "samples it buys", "arm", "votes", "difference", "95% interval", "p",
         "problems"),
        tuple(rows),
        "Price: mean per problem. Between two numbers of samples a coin decides, at equal mean price; that "
         "the price is an estimate is part of the interval. An arm cheaper than one sample meets one sample, "
         "a dearer one than all samples meets them all.",
    )  # fmt: skip


def _synergy(results: StudyResults) -> Table:
    rows = []
    for one in results.synergy:
        named = zip(one.members, map(_with_interval, one.over_each), strict=True)
        each = [f"{name}: {told}" if len(one.members) > 1 else told for name, told in named]
        rows.append(
            (
                one.arm,
                share(one.oracle, marked=True),
                one.best,
                percent(one.best_per_problem),
                _with_interval(one.over_mean),
                "; ".join(each),
                "yes" if one.weak else "not shown",
                "yes" if one.strong else "not shown",
                f"{one.over_mean.problems:,}",
            )
        )
    return Table(
        "synergy",
        "Synergy",
        ("arm", "oracle of first answers", "best member", "best member per problem", "over the mean member",
         "over each member", "weak", "strong", "problems"),
        tuple(rows),
        "Members: the same agents alone, one sample per problem. Oracle: the first answer of either seat is "
         "right; the second has heard the first. Weak synergy: better than the mean member; strong: better "
         "than every member.",
    )  # fmt: skip


def _with_interval(found: Difference) -> str:
    return figure(found.value, found.low, found.high, signed=True)
