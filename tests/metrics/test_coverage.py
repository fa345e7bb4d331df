"""Intervals hold the truth, and comparisons find what is there: simulated runs, measured as real ones are.

The full grid is `benchmarks/coverage.py`; its tables stand in docs/metrics.md. Here are cells of it that each
rule once failed, with fixed seeds.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

REPEATS = 300
SLACK = 0.025
"""Two standard errors of a share of 95 in 100 over so many repeats."""


@pytest.fixture(scope="module")
def coverage():
    """The benchmark as a module."""
    path = Path(__file__).parents[2] / "benchmarks" / "coverage.py"
    spec = importlib.util.spec_from_file_location("coverage_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def scenario(coverage, name):
    return next(one for one in coverage.SCENARIOS if one.name == name)


@pytest.mark.parametrize(
    ("name", "rate", "problems", "samples"),
    [
        ("turns, some longer", 0.1, 50, 1),
        ("turns, some longer", 0.02, 50, 5),
        ("turns, some longer", 0.98, 10, 1),
        ("turns, some to the limit", 0.02, 50, 1),
        ("turns, some to the limit", 0.98, 200, 1),
        ("persuasion quality", 0.98, 10, 1),
        ("persuasion quality", 0.5, 10, 5),
        ("share of turns", 0.02, 50, 5),
        ("share of turns", 0.98, 10, 1),
        ("gain of a conversation", 0.5, 50, 5),
        ("share of events", 0.5, 50, 1),
        ("share of conversations", 0.98, 10, 5),
    ],
)
def test_an_interval_holds_the_truth(coverage, name, rate, problems, samples):
    """At least 93 of 100 do, also where nearly nothing varies."""
    found = coverage.cover(scenario(coverage, name), rate, problems, samples, REPEATS)
    assert found.covered > 0.93 - SLACK
    assert found.measured > 0.8


@pytest.mark.parametrize(
    ("name", "move", "problems", "samples"),
    [
        ("share of turns", (0.02, 0.1), 50, 1),
        ("share of turns", (0.02, 0.1), 50, 5),
        ("share of conversations", (0.02, 0.1), 10, 5),
        ("share of conversations", (0.5, 0.65), 10, 1),
        ("share of events", (0.5, 0.65), 50, 1),
        ("persuasion quality", (0.3, 0.9), 10, 5),
        ("turns, some longer", (0.02, 0.1), 50, 1),
        ("tokens per right answer", (0.02, 0.1), 50, 1),
    ],
)
def test_the_interval_of_a_difference_holds_the_truth(coverage, name, move, problems, samples):
    """The same of paired differences."""
    found = coverage.compare(scenario(coverage, name), move, problems, samples, REPEATS)
    assert found.covered > 0.93 - SLACK


@pytest.mark.parametrize("name", ["share of conversations", "share of turns"])
def test_false_alarms_are_near_5_of_100_with_several_samples_too(coverage, name):
    """50 problems, five samples of each, no difference: a pseudo problem of size one made this 0 to 2."""
    found = coverage.compare(scenario(coverage, name), (0.5, 0.5), 50, 5, 600)
    assert 0.03 <= found.elsewhere <= 0.07


def test_a_comparison_with_five_samples_has_the_power_that_there_is(coverage):
    """50 problems, 50 against 65% right: nine of ten comparisons find it."""
    found = coverage.compare(scenario(coverage, "share of conversations"), (0.5, 0.65), 50, 5, 300)
    assert found.elsewhere > 0.85
