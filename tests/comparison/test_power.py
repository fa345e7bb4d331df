"""What a design finds, and what it needs: checked against simulated studies."""

import zlib

import numpy as np
import pytest

import coral
from coral.cli import main
from coral.comparison.power import Design, assumed
from coral.errors import ConfigError
from coral.metrics import detectable_with
from coral.metrics.paired import paired_difference
from coral.metrics.statistics import clustered_ratio


def found(rng, rates, correlation, problems, repeats):
    """How often 0 is outside the interval of the paired difference of two simulated runs."""
    a, b = rates
    both = a * b + correlation * np.sqrt(a * (1 - a) * b * (1 - b))
    chances = [both, a - both, b - both, 1 - a - b + both]
    hits = 0
    for _ in range(repeats):
        kind = rng.choice(4, problems, p=chances)
        first, second = (kind < 2).astype(float), ((kind == 0) | (kind == 2)).astype(float)
        ones = np.ones(problems)
        interval = paired_difference(
            clustered_ratio(first, ones), clustered_ratio(second, ones), "proportion"
        ).interval
        hits += not interval.low <= 0 <= interval.high
    return hits / repeats


@pytest.mark.parametrize(
    ("rates", "correlation"), [((0.5, 0.6), 0.5), ((0.5, 0.6), 0.0), ((0.9, 0.95), 0.3), ((0.3, 0.5), 0.2)]
)
def test_a_study_of_the_needed_size_finds_the_difference(rates, correlation):
    """With so many problems 8 of 10 simulated studies leave 0 outside, whatever the correlation."""
    design = assumed(*rates, correlation)
    problems = design.needed(rates[1] - rates[0])
    share = found(np.random.default_rng(problems), rates, correlation, problems, 300)
    assert 0.72 < share < 0.9


def test_both_directions_agree():
    """The difference that n problems find needs n problems; correlation and problems make it smaller."""
    design = assumed(0.6, 0.6, 0.4)
    for problems in (20, 100, 1000):
        assert design.needed(design.detectable(problems)) == problems
    assert (
        assumed(0.6, 0.6, 0.8).detectable(100) < design.detectable(100) < assumed(0.6, 0.6, 0).detectable(100)
    )
    assert Design(source="", rates=(0, 0), correlation=0, spread=3**-0.5, problems=0).detectable(
        200
    ) == pytest.approx(detectable_with(200))
    assert design.needed(1e-9) is None


@pytest.mark.parametrize(
    ("rates", "cause"),
    [((1.2, 0.5, 0.0), "rate_a must be between 0 and 1"), ((0.1, 0.9, 0.9), "cannot correlate by 0.9")],
)
def test_impossible_assumptions_are_refused(rates, cause):
    """A share is a share, and not every pair of rates can correlate by as much."""
    with pytest.raises(ConfigError, match=cause):
        assumed(*rates)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], "a pilot run or two, or assumed rates"),
        (["nowhere"], "not a run folder"),
        (["runs/a", "--rate_a", "0.5"], "a pilot run and --rate_a are both given"),
        (["--rate_a", "0.5", "--power", "1.5"], "power must be at least 0.5 and below 1"),
        (["--rate_a", "0.5", "--correlation", "1"], "correlation must be at least -1 and below 1"),
    ],
)
def test_bad_input_of_the_command(words, cause, capsys):
    """The cause, and no traceback."""
    assert main(["power", *words]) == 2
    assert cause in capsys.readouterr().err


def test_the_command_says_both_directions(capsys):
    """From assumed rates: what so many problems find, and what a difference needs."""
    assert main(["power", "--rate_a", "0.6", "--rate_b", "0.65", "--correlation", "0.5"]) == 0
    said = capsys.readouterr().out
    assert "rates 60.0% and 65.0%, correlation 0.50" in said
    assert f"{assumed(0.6, 0.65, 0.5).needed(0.05):,}" in said


# Runs without gold answers ----------------------------------------------------------------------------------


notices = pytest.mark.filterwarnings("ignore::coral.errors.Notice")


@pytest.fixture
def without_gold(tmp_path):
    """Makes a run about questions that have no gold answer."""
    data = tmp_path / "open.jsonl"
    data.write_text("".join(f'{{"question": "Is {n} nice?"}}\n' for n in range(12)))
    task = {"name": "open", "question": "question", "kind": "exact", "gold": False}

    def speak(messages):
        return f"Answer: {zlib.crc32(str(messages).encode()) % 2}"

    def make(name, **options):
        coral.evaluate(task, data=data, agent=speak, output=tmp_path / name, **options)
        return str(tmp_path / name)

    return make


@notices
def test_samples_stand_for_gold(without_gold, capsys):
    """A pilot of several samples is planned by agreement with the majority, and the design says so."""
    run = without_gold("run", protocol="cot", samples=3)
    assert main(["power", run]) == 0
    said = capsys.readouterr().out
    assert "by agreement with the majority (12 problems)" in " ".join(said.split())
    assert main(["power", run, run]) == 0
    assert f"{run}, by agreement with the majority" in " ".join(capsys.readouterr().out.split())


@notices
@pytest.mark.parametrize("metric", [(), ("--metric", "accuracy_strict"), ("--metric", "pass_any")])
def test_one_sample_without_gold_is_refused(without_gold, capsys, metric):
    """Nothing is right or wrong: no 0% is made up, and the remedy says what can be planned by."""
    run = without_gold("run", protocol="cot")
    assert main(["power", run, *metric]) == 2
    said = capsys.readouterr().err
    assert "has a gold answer" in said
    assert "--samples 2" in said


@notices
def test_a_pair_without_gold_is_planned_by_what_needs_none(without_gold, capsys):
    """Agreement is known without gold answers."""
    assert main(["power", without_gold("run", max_turns=4), "--metric", "agreement"]) == 0
    assert "12 problems" in capsys.readouterr().out


@notices
def test_runs_of_different_measures_are_refused(without_gold, tmp_path, capsys):
    """One with gold answers beside one without: the cause is told."""
    data = tmp_path / "graded.jsonl"
    data.write_text("".join(f'{{"question": "Is {n} nice?", "answer": "1"}}\n' for n in range(12)))
    task = {"name": "open", "question": "question", "answer": "answer", "kind": "exact"}
    coral.evaluate(
        task, data=data, agent=lambda messages: "Answer: 1", protocol="cot", output=tmp_path / "graded"
    )
    run = without_gold("run", protocol="cot", samples=2)
    assert main(["power", run, str(tmp_path / "graded")]) == 2
    assert "only one of the runs has gold answers" in capsys.readouterr().err
