"""MBPP-CR: programs to be judged, from a set that was made, or made of MBPP itself."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from coral.errors import ConfigError, DataError, Notice, UserError
from coral.jail import drivers
from coral.mutation import OPERATORS, normalized
from coral.tasks import registry
from coral.tasks.code.threads import streamed
from coral.tasks.protocol import Source
from coral.types import Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

HERE = {"allow_unsafe_code": True}
"""These programs are harmless, and not every machine that runs the tests has a jail."""
RECORD = {
    "task_id": 11,
    "text": "Write a function to count the numbers above two.",
    "code": "def above(xs):\r\n  n = 0\r\n  for x in xs:\r\n    if x > 2:\r\n      n += 1\r\n  return n",
    "test_list": ["assert above([1, 2, 3]) == 1", "assert above([]) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert above([3, 3, 9]) == 3"],
}


@pytest.fixture
def made(data: Path) -> Path:
    """A set of 40 programs, made by `coral make`."""
    return data / "mbpp_cr" / "mbpp_cr.sample.jsonl"


@pytest.fixture
def mbpp(write: Write) -> Path:
    """Two problems of MBPP's form."""
    double = {
        "task_id": 12,
        "text": "Write a function that doubles a number.",
        "code": "def double(x):\n    return x * 2",
        "test_list": ["assert double(3) == 6"],
    }
    return write("mbpp.jsonl", [RECORD, double])


def of_problem(problems: list[Problem]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for problem in problems:
        found.setdefault(problem.source["problem"], Counter())[problem.target] += 1
    return found


def test_half_of_the_programs_of_each_problem_are_correct(load: Load, made: Path) -> None:
    """Who always says the same is right half of the time, on every problem."""
    labels = of_problem(load("mbpp_cr", made))
    assert len(labels) == 20
    assert all(one["correct"] == one["incorrect"] for one in labels.values())


def test_programs_for_one_task_are_one_draw(load: Load, made: Path) -> None:
    """Intervals take them together: what is hard about a task is hard about both."""
    problems = load("mbpp_cr", made)
    assert {problem.cluster for problem in problems} == {problem.source["problem"] for problem in problems}
    assert len({problem.cluster for problem in problems}) < len(problems)


def test_groups_name_the_mistake(load: Load, made: Path) -> None:
    """Statistics split by label and by the mistake that was made on purpose."""
    for problem in load("mbpp_cr", made):
        assert problem.group["label"] == problem.target
        wanted = {"none"} if problem.target == "correct" else set(OPERATORS)
        assert problem.group["operator"] in wanted


def test_splits_share_no_problem(load: Load, made: Path) -> None:
    """All programs for one problem are in one split, and the splits are the whole."""
    parts = [load("mbpp_cr", made, split=split) for split in ("train", "validation", "test")]
    ids = [{problem.source["problem"] for problem in part} for part in parts]
    assert all(ids)
    assert len(set.union(*ids)) == sum(map(len, ids))
    assert sum(map(len, parts)) == len(load("mbpp_cr", made))


def test_the_opening_shows_program_and_tests(load: Load, made: Path) -> None:
    """What is to be judged stands there; the tests can be left out."""
    problem = load("mbpp_cr", made)[0]
    for shown in (True, False):
        opening = registry.load("mbpp_cr", show_tests=shown).opening(problem)
        assert problem.source["program"].strip() in opening
        assert (problem.source["tests"] in opening) is shown


def test_mbpp_itself_is_made_into_a_set(load: Load, mbpp: Path) -> None:
    """Without `coral make` the set is there at once: programs that were run, none of them MBPP's own text."""
    problems = load("mbpp_cr", mbpp, options={**HERE, "pairs": 2})
    two = Counter(correct=2, incorrect=2)
    assert of_problem(problems) == {"11": two, "12": two}
    programs = [problem.source["program"] for problem in problems]
    assert len(set(programs)) == len(programs)
    assert normalized(RECORD["code"]) not in programs
    space: dict[str, Any] = {}
    for problem in problems:
        exec(problem.source["program"], space)
        holds = _holds(problem.source["problem"], space)
        assert holds is (problem.target == "correct")


def _holds(problem: str, space: dict[str, Any]) -> bool:
    """Whether all tests hold, the challenge test included, which nobody is shown."""
    try:
        if problem == "12":
            return bool(space["double"](3) == 6)
        return [space["above"](xs) for xs in ([1, 2, 3], [], [3, 3, 9])] == [1, 0, 3]
    except Exception:  # noqa: BLE001 - a wrong program
        return False


def test_the_same_seed_makes_the_same_set(load: Load, mbpp: Path) -> None:
    """A run resumes on the problems it began with; another seed makes other mistakes."""
    first, again, other = (load("mbpp_cr", mbpp, options=HERE, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert [problem.id for problem in first] != [problem.id for problem in other]


async def test_a_set_is_made_from_within_an_event_loop(load: Load, mbpp: Path) -> None:
    """A run reads its problems while its loop runs."""
    await asyncio.sleep(0)
    assert load("mbpp_cr", mbpp, options=HERE)


def test_who_reads_one_problem_waits_for_no_other(mbpp: Path) -> None:
    """`--limit 1` ends without the rest."""
    task = registry.load("mbpp_cr", **HERE)
    problems = iter(task.problems(Source(data=str(mbpp), split="")))
    assert next(problems).source["problem"] == "11"
    problems.close()  # type: ignore[attr-defined]


def test_a_machine_without_a_jail_is_told_first(
    load: Load, mbpp: Path, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is asked of a model, with what helps; a set that was made needs none."""
    plain = {"plain": drivers.DRIVERS["plain"]}
    monkeypatch.setattr(drivers, "DRIVERS", plain)
    with pytest.raises(UserError, match="no jail for untrusted programs works here") as caught:
        load("mbpp_cr", mbpp)
    assert "--allow_unsafe_code" in caught.value.remedy
    assert len(load("mbpp_cr", made)) == 40


def test_solutions_that_fail_are_left_out_and_named(load: Load, write: Write) -> None:
    """A problem whose own solution fails says nothing about other programs."""
    broken = {**RECORD, "task_id": 13, "code": "def above(xs):\n    return 7"}
    path = write("mbpp.jsonl", [broken, RECORD])
    with pytest.warns(Notice, match=r"1 problems of .* left out, whose own solutions fail here: 13 \(failed"):
        assert {problem.source["problem"] for problem in load("mbpp_cr", path, options=HERE)} == {"11"}


def test_data_without_any_usable_problem(load: Load, write: Write) -> None:
    """The message says what fails, and how to find out whose fault it is."""
    path = write("mbpp.jsonl", [{**RECORD, "code": "def above(xs):\n    return 7"}])
    with pytest.raises(DataError, match=r"no problem of .* has both .* fail here: 11 \(failed") as caught:
        load("mbpp_cr", path, options=HERE)
    assert "coral doctor --jail" in caught.value.remedy


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ("gsm8k/test.sample.jsonl", "line 1: this is neither a program of a set"),
        ("humaneval/HumanEval.jsonl.gz", "line 1: this is neither a program of a set"),
    ],
)
def test_the_data_of_another_task(load: Load, data: Path, sample: str, message: str) -> None:
    """It is told from MBPP and from a set by its first record."""
    with pytest.raises(DataError, match=message) as caught:
        load("mbpp_cr", data / sample, options=HERE)
    assert "mbpp.jsonl" in caught.value.remedy


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "maybe"}, "line 2: this is no program of such a set: Invalid enum value 'maybe'"),
        ({"tests": "assert f()"}, "line 2: this is no program of such a set: Expected `array`"),
        ({"split": None}, "line 2: this is no program of such a set: Expected `str`"),
    ],
)
def test_a_damaged_line_of_a_set(
    load: Load, made: Path, write: Write, change: dict[str, Any], message: str
) -> None:
    """No line is skipped: the label would be missing from the balance."""
    rows = [json.loads(line) for line in made.read_text().splitlines()]
    rows[1] |= change
    with pytest.raises(DataError, match=message):
        load("mbpp_cr", write("set.jsonl", rows))


def test_a_set_keeps_its_own_splits(load: Load, made: Path) -> None:
    """Another `--split_seed` would move problems that somebody trained on into the test split."""
    with pytest.raises(ConfigError, match="was divided with split_seed 0, not 3") as caught:
        load("mbpp_cr", made, split="test", split_seed=3)
    assert "make the set again with --split_seed 3" in caught.value.remedy


def test_what_fails_while_it_is_made_reaches_the_reader() -> None:
    """An exception in the thread is the reader's."""

    async def one_then_none() -> AsyncIterator[int]:
        yield 1
        raise DataError("no more", remedy="")

    items = streamed(one_then_none)
    assert next(items) == 1
    with pytest.raises(DataError, match="no more"):
        next(items)
