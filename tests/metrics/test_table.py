"""The table of a run, as the terminal and notebooks show it."""

from pathlib import Path

import msgspec
import pytest

from coral.evaluation.run import Run
from coral.metrics import METRICS, Estimate, Summary
from coral.metrics.table import BLOCKS, blocks_of, columns_of
from coral.types import SCHEMA


def estimate(mean=0.5, **more):
    numbers = {"stderr": 0.1, "low": 0.3, "high": 0.7, "n": 10, "num_failed": 0, "num_unscored": 0}
    return Estimate(mean=mean, **{**numbers, "num_problems": 10, **more})


@pytest.fixture
def summary():
    metrics = {info.name: estimate() for info in METRICS}
    return Summary(
        schema=SCHEMA, version="0", task="a <task>", protocol="coral", models={"agent": "<b>m</b>"},
        metrics={**metrics, "own": estimate(2.0)}, groups={"<kind>": {"<x>": metrics}}, usage={}, requests=0,
        conversations=10, owed=0, problems=10, stop_reasons={}, failures={}, cost=None, own={"own": "share"},
    )  # fmt: skip


def test_every_metric_is_in_one_block(summary):
    """Whatever the catalog holds has its place where all is shown."""
    rows = [row.label for block in blocks_of(summary, everything=True) for row in block.rows]
    assert sorted(rows) == sorted([*(info.name for info in METRICS), "own", "<x>", "<x>"])
    assert {info.name for infos in BLOCKS.values() for info in infos} <= set(rows)


def test_the_headline_opens_the_first_block_and_groups_close_the_table(summary):
    """Outcome, social, reading, cost, the user's own, and then the headline by group."""
    blocks = blocks_of(summary)
    assert [block.title for block in blocks] == [
        "outcome", "social", "reading", "cost", "your own", "by <kind>",
    ]  # fmt: skip
    assert blocks[0].rows[0].info.headline


@pytest.mark.parametrize(
    ("more", "columns"),
    [
        ({}, [0, 1, 2]),
        ({"num_failed": 1}, [0, 1, 2, 3]),
        ({"num_unscored": 1}, [0, 1, 2, 4]),
        ({"num_failed": 2, "num_unscored": 1}, [0, 1, 2, 3, 4]),
    ],
)
def test_columns_of_zeros_are_left_out(summary, more, columns):
    """One figure that lacks a conversation brings its column back, for all."""
    metrics = {**summary.metrics, "turns": estimate(**more)}
    assert columns_of(blocks_of(msgspec.structs.replace(summary, metrics=metrics))) == columns


def test_a_notebook_shows_the_table_and_nobody_elses_html(summary):
    """Names of models, tasks and groups come from files and servers: they are text."""
    html = Run(path=Path("runs/<r>"), summary=summary, finished=10, total=10)._repr_html_()
    assert "<td>50.0%</td><td>30.0 to 70.0%</td><td>10</td>" in html
    for written in ("a <task>", "<b>m</b>", "<kind>", "<x>", "<r>"):
        assert written not in html
    assert "a &lt;task&gt; · coral · &lt;b&gt;m&lt;/b&gt;" in html


@pytest.mark.parametrize(("problems", "said"), [(1, False), (2, True), (10, True), (11, False)])
def test_few_problems_are_told(summary, problems, said):
    """Ten draws of a long tail rarely hold the tail, so the table says what its intervals are."""
    few = msgspec.structs.replace(summary, problems=problems)
    assert ("intervals are approximate" in few._repr_html_()) is said


def test_an_unfinished_run_says_how_far_it_is():
    """There is no table yet."""
    assert (
        "3 of 10 conversations are finished"
        in Run(path=Path("runs/a"), summary=None, finished=3, total=10)._repr_html_()
    )
