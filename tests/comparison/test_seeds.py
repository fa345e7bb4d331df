"""The mean over seeds: its interval holds what other seeds and other problems would change."""

from __future__ import annotations

import json
import random
import zlib

import pytest

import coral
from coral.cli import main
from coral.comparison.seeds import Part, difference, freedom, from_summaries, mean_parts, seed_mean


def rates(rng, problems, seed_effect, problem_effects):
    """A run whose problems are right with these chances."""
    chances = [min(1.0, max(0.0, 0.5 + seed_effect + one)) for one in problem_effects]
    return {str(n): float(rng.random() < chance) for n, chance in zip(range(problems), chances, strict=True)}


def test_the_variance_is_that_of_a_two_way_layout():
    """Worked by hand: two seeds, three problems, means 2/3 and 1/3."""
    import numpy as np

    table = np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    problems, seeds = mean_parts(table)
    # Problems: means 1, 1/2, 0, so MS = 2 * (1/4 + 0 + 1/4) / 2 = 1/2. Seeds: MS = 3 * (2 * 1/36) = 1/6.
    assert problems == pytest.approx((1 / 2 / 6, 2))
    assert seeds == pytest.approx((1 / 6 / 6, 1))
    assert freedom([Part(1.0, 2), Part(1.0, 4)]) == pytest.approx(4 / (1 / 2 + 1 / 4))


@pytest.mark.parametrize(("spread", "seeds"), [(0.0, 3), (0.15, 3), (0.15, 5)])
def test_intervals_hold_the_truth_as_often_as_they_say(spread, seeds):
    """Of 300 simulated configurations, about 95 in 100; the problems alone would be far too sure of it."""
    rng = random.Random(f"{spread}:{seeds}")
    held = equal = 0
    for _ in range(300):
        effects = [rng.uniform(-0.2, 0.2) for _ in range(60)]
        runs = [
            [rates(rng, 60, rng.uniform(-spread, spread), effects) for _ in range(seeds)] for _ in range(2)
        ]
        found = seed_mean(["run"] * seeds, runs[0])
        held += found.low <= 0.5 <= found.high
        _, (low, high) = difference(*runs)
        equal += low <= 0 <= high
    assert held / 300 >= 0.9
    assert equal / 300 >= 0.9


def test_more_seeds_that_differ_leave_a_wider_interval_than_one_claims():
    """Runs that differ by seed say less about the next one than one of them says of itself."""
    alike = [{str(n): float(n % 2) for n in range(40)}] * 3
    apart = [{str(n): float(n % 10 < most) for n in range(40)} for most in (2, 5, 8)]
    same, other = seed_mean(["a", "b", "c"], alike), seed_mean(["a", "b", "c"], apart)
    assert (same.mean, same.spread, other.mean) == (0.5, 0.0, 0.5)
    assert other.spread == pytest.approx(0.3)
    assert other.high - other.low > 1.5 * (same.high - same.low)


BORDERS = {
    "all right": ([{"a": 1.0, "b": 1.0}] * 2, 1.0, 2),
    "none right": ([{"a": 0.0, "b": 0.0}] * 3, 0.0, 2),
    "one problem shared": ([{"a": 1.0, "b": 1.0}, {"a": 1.0, "c": 0.0}], 1.0, 1),
    "none shared": ([{"a": 1.0}, {"b": 1.0}], None, 0),
    "one seed": ([{"a": 1.0, "b": 0.0, "c": 1.0}], 2 / 3, 3),
    "rates of several samples": ([{"a": 0.5, "b": 0.25}, {"a": 0.75, "b": 0.5}], 0.5, 2),
}


@pytest.mark.parametrize("case", BORDERS)
def test_what_hardly_says_anything(case):
    """No interval of width zero, none outside of 0 and 1, and none where two problems are missing."""
    runs, mean, problems = BORDERS[case]
    found = seed_mean(["run"] * len(runs), runs)
    assert found.num_problems == problems
    assert found.mean == (None if mean is None else pytest.approx(mean))
    if problems < 2:
        assert found.low is None
        assert difference(runs[:1], runs[1:]) is None
    else:
        assert 0.0 <= found.low < found.high <= 1.0


def test_summaries_alone_are_rather_too_wide():
    """Errors between problems and between seeds are added, though both hold the rest."""
    rng = random.Random(1)
    effects = [rng.uniform(-0.4, 0.4) for _ in range(200)]
    runs = [rates(rng, 200, 0.0, effects) for _ in range(3)]
    found = seed_mean(["a", "b", "c"], runs)
    means = [sum(run.values()) / 200 for run in runs]
    low, high = from_summaries(means, [(mean * (1 - mean) / 200) ** 0.5 for mean in means], 200)
    assert low <= found.low < found.high <= high


def speaks(messages):
    """Right or wrong, by the text alone."""
    text = " ".join(message["content"] for message in messages)
    return ["The answer is 7.", "The answer is 8."][zlib.crc32(text.encode()) % 2]


def doubts(messages):
    return "The answer is 7."


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two configurations; of the first two seeds, of the second one. And one that is not finished."""
    path = tmp_path_factory.mktemp("seeds")
    rows = [{"question": f"{n} + 1?", "answer": 7} for n in range(6)]
    data = path / "mine.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "open", "kind": "number", "question": "question", "answer": "answer"}
    for name, seed, agent in (("a0", 0, speaks), ("a1", 1, speaks), ("b0", 0, doubts)):
        coral.evaluate(task, data=data, agent=agent, max_turns=4, seed=seed, output=path / "runs" / name)
    return path / "runs"


def test_compare_shows_the_mean_of_each_configuration(runs, capsys):
    """Runs that differ in their seed alone are one row, and the next row is held against it."""
    assert main(["compare", *(str(runs / name) for name in ("a0", "a1", "b0"))]) == 0
    out = capsys.readouterr().out
    told = out[out.index("mean over seeds") :].splitlines()
    assert [line.split()[:2] for line in told[2:3]] == [["a", "b"]]
    assert told[3].split()[0] == "c"
    several = coral.compare(runs / "a0", runs / "a1", runs / "b0")
    first, second = several.seeds
    assert [len(one.runs) for one in several.seeds] == [2, 1]
    assert second.mean == 1.0
    assert second.difference == pytest.approx(1.0 - first.mean)
    assert second.difference_low < second.difference
    assert all(len(line) <= 80 for line in told[:4])


def test_compare_of_two_seeds_and_of_two_configurations(runs, capsys):
    """Two seeds of one configuration have a mean; two configurations of one seed have none."""
    assert main(["compare", str(runs / "a0"), str(runs / "a1")]) == 0
    assert "mean over seeds" in capsys.readouterr().out
    assert main(["compare", str(runs / "a0"), str(runs / "b0")]) == 0
    assert "mean over seeds" not in capsys.readouterr().out


def test_list_shows_the_mean_behind_its_runs(runs, capsys):
    """One row per configuration of several seeds, on 80 columns; a damaged run is in none."""
    assert main(["list", str(runs)]) == 0
    lines = capsys.readouterr().out.splitlines()
    [mean] = [line for line in lines if line.startswith("2 seeds")]
    assert lines[lines.index(mean) - 1].startswith(("a0", "a1"))
    assert "agreement_correctness" in mean
    assert all(len(line) <= 80 for line in lines)


def test_frames_name_configuration_and_seed(runs):
    """So that a mean over seeds is a `groupby`."""
    pytest.importorskip("pandas")
    frame = coral.frame([runs / "a0", runs / "a1", runs / "b0"])
    assert list(frame.columns[:4]) == ["run", "config", "seed", "conversation"]
    assert sorted(frame.groupby("config")["seed"].nunique()) == [1, 2]
