"""MMLU-Pro: what its published files hold, and what of it needs care."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coral.errors import DataError
from coral.types import Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

RECORD = {"question_id": 7, "question": "2+2?", "options": ["3", "4", "5"], "answer": "B", "category": "math"}


def test_the_sample_is_read_whole(load: Load, data: Path) -> None:
    """141 rows of 14 categories, numbered by `question_id`."""
    problems = load("mmlu_pro", data / "mmlu_pro")
    assert len(problems) == 141
    assert len({problem.group["category"] for problem in problems}) == 14
    assert {3 <= len(problem.choices) <= 10 for problem in problems} == {True}
    assert problems[0].id == "170"


def test_the_letter_decides_in_question_3983(load: Load, data: Path) -> None:
    """There `answer` is C and `answer_index` 1, which is B: the letter is right."""
    problem = next(item for item in load("mmlu_pro", data / "mmlu_pro") if item.id == "3983")
    assert problem.target == "C"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["3", "4", "5"], "a list, as published"),
        ("['3', '4', '5']", "a text in Python's notation"),
        ('["3", "4", "5"]', "a text in JSON"),
        ("['3' '4'\n '5']", "a text in numpy's notation, which has no commas"),
        (["3", " 4\n", "5"], "blanks around a choice"),
        (["3", "4", "5", "N/A", "N/A"], "the filling of an early revision"),
    ],
)
def test_forms_of_options(load: Load, write: Write, options: Any, why: str) -> None:
    """Whichever way options are written, the choices and the gold letter are the same."""
    [problem] = load("mmlu_pro", write("test.jsonl", [RECORD | {"options": options}]))
    assert (problem.choices, problem.target) == (("3", "4", "5"), "B"), why


def test_a_csv_copy_is_read(load: Load, write: Write) -> None:
    """In csv the options are a text and the id a text."""
    text = "question_id,question,options,answer,category\n7,2+2?,\"['3', '4']\",B,math\n"
    [problem] = load("mmlu_pro", write("test.csv", text))
    assert (problem.id, problem.choices) == ("7", ("3", "4"))


def test_seeded_parts_of_the_test_split(load: Load, data: Path) -> None:
    """To train on a part of it, the test split can be divided by a seed; together the parts are the split."""
    parts = [
        {problem.id for problem in load("mmlu_pro", data / "mmlu_pro", split=f"seeded-{part}", seed=3)}
        for part in ("train", "validation", "test")
    ]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 141
    assert len(parts[0]) > 90


@pytest.mark.parametrize(
    ("change", "message", "why"),
    [
        ({"options": None}, "'options' is missing", "no options"),
        ({"options": ["4"]}, "holds 1 options", "one option is no choice"),
        ({"options": "three, four"}, "not a list of texts", "a text that is no list"),
        ({"options": ["3", 4]}, "not a list of texts", "a number among the options"),
        ({"answer": "D"}, "names none of the 3 options", "a letter too far"),
        ({"answer": "BC"}, "names none of the 3 options", "two letters"),
        ({"answer": ""}, "'answer' is missing", "no answer"),
        ({"question": " "}, "'question' is missing", "no question"),
    ],
)
def test_bad_records(load: Load, write: Write, change: dict[str, Any], message: str, why: str) -> None:
    """A bad record is reported with file, line and field; none is skipped."""
    path = write("test.jsonl", [RECORD, RECORD | {"question_id": 8} | change])
    with pytest.raises(DataError, match=message) as caught:
        load("mmlu_pro", path)
    assert f"{path}, line 2: " in str(caught.value), why
    assert caught.value.remedy, why


def test_ids_are_unique(load: Load, write: Write) -> None:
    """One `question_id` twice is an error of the file."""
    with pytest.raises(DataError, match="line 2: the id '7' is there for the second time"):
        load("mmlu_pro", write("test.jsonl", [RECORD, RECORD]))


def test_the_hubs_parquet_is_read(load: Load, tmp_path: Path) -> None:
    """The hub's file keeps the options as a list column; the rows are the same as in jsonl."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist([RECORD]), tmp_path / "data" / "test-00000-of-00001.parquet")
    pq.write_table(pa.Table.from_pylist([RECORD]), tmp_path / "data" / "validation-00000-of-00001.parquet")
    assert [problem.choices for problem in load("mmlu_pro", tmp_path, split="test")] == [("3", "4", "5")]
    assert len(load("mmlu_pro", tmp_path, split="validation")) == 1


def test_no_choice_is_lost_in_the_sample(load: Load, data: Path) -> None:
    """The choices are the published options in their order."""
    lines = (data / "mmlu_pro" / "test.sample.jsonl").read_text(encoding="utf-8").splitlines()
    published = [[option.strip() for option in json.loads(line)["options"]] for line in lines]
    assert [list(problem.choices) for problem in load("mmlu_pro", data / "mmlu_pro")] == published
