"""The list of metrics, and its documents."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import METRICS, Tally, measure, metrics_of, summarize

PAIR = build("pair", Settings(agents=("agent", "partner")))


DOCS = Path(__file__).parents[2] / "docs"


def test_names_are_unique():
    """A name is a key of the summary."""
    assert len({info.name for info in METRICS}) == len(METRICS)


@pytest.mark.parametrize("info", METRICS, ids=lambda info: info.name)
def test_every_metric_is_documented(info):
    """docs/metrics.md names each metric in code style."""
    assert f"`{info.name}`" in (DOCS / "metrics.md").read_text(encoding="utf-8")


PUBLISHED = [info for info in METRICS if info.name.startswith("reference/")]


@pytest.mark.parametrize("info", PUBLISHED, ids=lambda info: info.name)
def test_every_published_value_is_mapped(info):
    """docs/parity.md maps each published name to ours."""
    assert f"`{info.name.removeprefix('reference/')}`" in (DOCS / "parity.md").read_text(encoding="utf-8")


def test_units_and_intervals_agree():
    """Shares, scores and turns have bounds, and so do their intervals; other quantities are never below 0."""
    of_unit = {"share": {"proportion", "rate", "difference"}, "score": {"score"}, "turns": {"turns"}}
    assert all(info.interval in of_unit.get(info.unit, {"amount"}) for info in METRICS)
    assert all(info.help.endswith(".") and info.title for info in METRICS)


def test_titles_fit_their_column():
    """The table of results has 28 characters for a title; those of a single speaker are no rows of it."""
    assert [
        info.title
        for info in METRICS
        if len(info.title) > 28 and not info.name.startswith(("agent/", "partner/"))
    ] == []


def test_titles_tell_what_is_written_from_what_is_read():
    """Completion tokens alone and all tokens are different rows, and no two rows have one title."""
    for info in METRICS:
        if info.unit == "tokens" and not info.name.startswith("reference/"):
            counts_all = info.numerator == "total_tokens"
            assert ("all" in info.title.lower()) == counts_all, info.title
            assert ("written" in info.title.lower()) == (info.name != "tokens_per_right_answer"), info.title
    assert len({info.title for info in METRICS}) == len(METRICS)


async def test_a_run_has_the_metrics_its_list_says(conversation, tally):
    """`metrics_of` and the summary agree, in the order of tables."""
    sums = await tally([conversation("XRR", partner=True)])
    assert [info.name for info in metrics_of(sums)] == list(summarize(sums).metrics)
    assert not any(name.startswith("agent/") for name in summarize(Tally(task="t", rules=PAIR)).metrics)


async def test_the_worked_example_of_the_documents(conversation, trace):
    """docs/metrics.md shows one conversation; its table holds what `measure` says."""
    one = conversation("XR?RR", tokens=[60, 80, 40, 50, 20])
    values = measure(one, await trace(one), PAIR)
    example = (DOCS / "metrics.md").read_text(encoding="utf-8").split("## A worked example")[1]
    rows = re.findall(r"^\| `([^`]+)` \| (\S+) \|$", example, re.MULTILINE)
    assert len(rows) == 27
    assert {name: None if text == "undefined" else float(text) for name, text in rows} == {
        name: pytest.approx(values[name]) if values[name] is not None else None for name, _ in rows
    }
