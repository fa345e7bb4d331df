"""Tables of a matrix of models, and of what varies a result."""

from __future__ import annotations

from collections.abc import Sequence

from coral.comparison.tables import Table, amount_of, between, p_value, points, share
from coral.metrics.components import PROBLEM, Component
from coral.studies.facets import Facets
from coral.studies.matrix import Effect, Matrix, PairTest


def matrix_tables(matrix: Matrix | None) -> list[Table]:
    """The cells, the effects, the tests and the variance of a matrix."""
    if matrix is None:
        return []
    return [_cells(matrix), _effects(matrix), _tests(matrix), _variance(matrix)]


def _cells(matrix: Matrix) -> Table:
    rows = [
        (
            cell.opener,
            cell.responder,
            share(cell.right, marked=True),
            share(cell.persuasion.get(cell.opener), marked=True),
            share(cell.persuasion.get(cell.responder), marked=True),
            amount_of(cell.tokens),
            amount_of(cell.usd, ".5f"),
        )
        for cell in matrix.cells
    ]
    return Table(
        "pairs",
        "All ordered pairs",
        ("opener", "responder", "agreed and right, of all", "opener persuades", "responder persuades",
         "tokens per conversation", "USD per conversation"),
        tuple(rows),
        "The responder speaks first. Persuades: of the turns with another answer than the partner's, those "
         "after which the partner adopts it.",
    )  # fmt: skip


def _effects(matrix: Matrix) -> Table:
    rows = [
        (
            one.kind,
            one.model or "all",
            "agreed and right" if one.of == "right" else "persuades",
            *_tested(one),
        )
        for one in matrix.effects
    ]
    return Table(
        "effects",
        "What a model adds",
        ("effect", "model", "on", *_TESTED),
        tuple(rows),
        "Against the mean of all cells, in points; effects of a kind sum to zero over the models. Opener and "
         "responder: the seat of the model. Actor: how readily it persuades, partner: how readily "
         "it is persuaded, whoever the other is. Problems are random, the models are these. BH: adjusted for "
         "all effects (Benjamini and Hochberg).",
    )  # fmt: skip


_TESTED = ("points", "95% interval", "p", "p, BH", "problems")


def _tested(one: Effect | PairTest) -> tuple[str, ...]:
    interval = between(one.low, one.high, signed=True)
    return points(one.value), interval, p_value(one.p_value), p_value(one.p_bh), f"{one.problems:,}"


def _tests(matrix: Matrix) -> Table:
    rows = [(one.text, *_tested(one)) for one in matrix.tests]
    return Table(
        "pair_tests",
        "Pairs against each other",
        ("pairs", *_TESTED),
        tuple(rows),
        "In what is agreed and right, paired by problem: the same two models in the other order, and a pair "
         "against each of its models talking to itself. BH: adjusted for all tests of this table.",
    )  # fmt: skip


def _variance(matrix: Matrix) -> Table:
    return Table(
        "variance",
        "Where the variance of the pairs comes from",
        ("source", "variance", "95% interval", "share", "levels"),
        tuple(_component(one, _problems(matrix.variance)) for one in matrix.variance),
        "Crossed random effects of opener, responder and problem on what is agreed and right, of the mean of "
         "a problem's conversations in a pair; samples: the rest. The interval of a source with few levels "
         "is wide; of what varies by problem it is told by leaving out one problem at a time.",
    )  # fmt: skip


def _component(one: Component, problems: int) -> tuple[str, str, str, str, str]:
    return (
        one.name,
        f"{one.variance:.4f}",
        f"not estimable from {problems:,} problems"
        if one.low is None or one.high is None
        else f"[{one.low:.4f}, {one.high:.4f}]",
        f"{100 * one.share:.1f}%",
        f"{one.levels:,}",
    )


def _problems(found: Sequence[Component]) -> int:
    return next((one.levels for one in found if one.name == PROBLEM), 0)


def facet_tables(facets: tuple[Facets, ...]) -> list[Table]:
    """The variance components, and what to buy."""
    rows = [
        (found.name, *_component(one, _problems(found.components)))
        for found in facets
        for one in found.components
    ]
    return [
        Table(
            "facets",
            "What varies the result",
            ("arm", "source", "variance", "95% interval", "share", "levels"),
            tuple(rows),
            "Variance components of what is right of all, of one conversation. The share of problem is the "
             "intra-class correlation: how alike two conversations about one problem are. Intervals of what "
             "varies by problem are told by leaving out one problem at a time.",
        ),
        Table(
            "what_to_buy",
            "What to buy",
            ("arm", "standard error", "twice the problems", "twice the wordings", "twice the samples", "buy"),
            tuple(_purchase(found) for found in facets),
            "Standard errors in points, if other problems, wordings and samples could have been drawn; each "
             "purchase takes twice the conversations.",
        ),
    ]  # fmt: skip


def _purchase(found: Facets) -> tuple[str, ...]:
    doubled = (found.doubled.get(facet) for facet in ("problem", "wording", "samples"))
    plural = {"problem": "problems", "wording": "wordings"}
    return (
        found.name,
        f"{100 * found.stderr:.1f}",
        *("-" if one is None else f"{100 * one:.1f}" for one in doubled),
        plural.get(found.advice, found.advice),
    )
