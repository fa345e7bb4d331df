"""GPQA, on synthetic rows with its columns and its traps. No real row is in this repository."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest
import pyzipper

from coral.errors import ConfigError, DataError, MissingExtra
from coral.tasks import registry
from coral.types import Problem

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

RECORD = {
    "Question": "2+2?",
    "Correct Answer": "4",
    "Incorrect Answer 1": "3",
    "Incorrect Answer 2": "5",
    "Incorrect Answer 3": "22",
    "Record ID": "rec1",
}


def right(problem: Problem) -> str:
    return problem.choices[ascii_uppercase.index(problem.target)]


def test_the_fixture_is_read(load: Load, data: Path) -> None:
    """Newlines inside fields, blanks around answers and commas inside them survive."""
    first, second, *_ = load("gpqa", data / "gpqa" / "SYNTHETIC_fixture.csv")
    assert first.question == "How many sides does a hexagon have?\n(Assume a flat, simple polygon.)"
    assert right(first) == "6"
    assert "Chlorine, Cl2" in second.choices
    assert second.group == {"domain": "Chemistry"}


def test_choices_are_shuffled_by_seed_and_record(load: Load, write: Write) -> None:
    """The right answer moves about over the records, is the same for a seed, and another for another seed."""
    path = write("gpqa_main.jsonl", [RECORD | {"Record ID": f"rec{number}"} for number in range(80)])
    drawn = [problem.target for problem in load("gpqa", path, seed=1)]
    assert drawn == [problem.target for problem in load("gpqa", path, seed=1)]
    assert drawn != [problem.target for problem in load("gpqa", path, seed=2)]
    assert {drawn.count(letter) > 8 for letter in "ABCD"} == {True}
    assert {right(problem) for problem in load("gpqa", path, seed=1)} == {"4"}


def test_the_order_of_the_file_changes_no_shuffle(load: Load, write: Write) -> None:
    """A record's choices depend on its id alone, so a subset is evaluated as the whole is."""
    records = [RECORD | {"Record ID": f"rec{number}"} for number in range(10)]
    whole = {problem.id: problem for problem in load("gpqa", write("a.jsonl", records))}
    assert all(whole[problem.id] == problem for problem in load("gpqa", write("b.jsonl", records[::-2])))


async def test_choices_that_read_the_same_are_one(load: Load, data: Path) -> None:
    """A distractor may repeat the right answer: nobody can tell the two letters apart, so both are right."""
    problem = load("gpqa", data / "gpqa" / "SYNTHETIC_fixture.csv")[2]
    task = registry.load("gpqa")
    twins = [letter for letter, text in zip("ABCD", problem.choices, strict=True) if text == right(problem)]
    assert len(twins) == 2
    assert [await task.grade(letter, problem) for letter in twins] == [True, True]
    assert await task.same(twins[0], twins[1], problem)
    assert [await task.grade(letter, problem) for letter in "ABCD" if letter not in twins] == [False, False]


def test_the_converted_form(load: Load, write: Write) -> None:
    """The published Coral code reads `choices` in their final order and `label` from 0."""
    path = write("gpqa.jsonl", [{"Question": "2+2?", "choices": ["3", "5", "4", "22"], "label": 2}])
    [problem] = load("gpqa", path, seed=5)
    assert (problem.choices, problem.target) == (("3", "5", "4", "22"), "C")


@pytest.mark.parametrize(
    ("record", "message", "why"),
    [
        (RECORD | {"Incorrect Answer 2": ""}, "'Incorrect Answer 2' is missing", "a distractor is missing"),
        (RECORD | {"Question": None}, "'Question' is missing", "no question"),
        ({"Question": "?", "choices": ["a", "b"], "label": 2}, "'label' holds 2", "a label too far"),
        (
            {"Question": "?", "choices": ["a", "b"], "label": -1},
            "'label' holds -1",
            "Python's last is no label",
        ),
        ({"Question": "?", "choices": "a, b", "label": 0}, "'choices' is not a list", "a text"),
    ],
)
def test_bad_records(load: Load, write: Write, record: dict[str, Any], message: str, why: str) -> None:
    """A bad record is reported with file, line and field."""
    path = write("gpqa.jsonl", [record])
    with pytest.raises(DataError, match=message) as caught:
        load("gpqa", path)
    assert "line 1" in str(caught.value), why


@pytest.fixture
def folder(data: Path, tmp_path: Path) -> Path:
    """The authors' folder: three subsets and a file about experts."""
    text = (data / "gpqa" / "SYNTHETIC_fixture.csv").read_text(encoding="utf-8")
    for name in ("main", "diamond", "extended", "experts"):
        (tmp_path / f"gpqa_{name}.csv").write_text(text.replace("rec_SYNTH", name), encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(("subset", "read"), [(None, "main"), ("main", "main"), ("diamond", "diamond")])
def test_a_subset_of_the_folder(load: Load, folder: Path, subset: str | None, read: str) -> None:
    """Of the folder one subset is read, main by default; the three overlap, so never all of them."""
    problems = load("gpqa", folder, options={"subset": subset})
    assert [problem.id for problem in problems] == [f"{read}_{number}" for number in (1, 2, 3, 4)]


def test_a_subset_that_is_not_there(load: Load, folder: Path) -> None:
    """A subset that the data do not hold is refused, and so is one that does not exist."""
    with pytest.raises(ConfigError, match="is not gpqa_main"):
        load("gpqa", folder / "gpqa_diamond.csv", options={"subset": "main"})
    (folder / "gpqa_main.csv").unlink()
    with pytest.raises(DataError, match=r"no gpqa_main\.csv in"):
        load("gpqa", folder)
    with pytest.raises(ConfigError, match="cannot take subset='platinum'"):
        registry.load("gpqa", subset="platinum")


@pytest.fixture
def aes_archive(data: Path, tmp_path: Path) -> Path:
    """The synthetic rows in an archive encrypted with AES, as the authors' is laid out."""
    path = tmp_path / "dataset.zip"
    with pyzipper.AESZipFile(path, "w", pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"open-sesame")
        for name in ("main", "experts"):
            archive.write(data / "gpqa" / "SYNTHETIC_fixture.csv", f"dataset/gpqa_{name}.csv")
    return path


@pytest.fixture(params=["aes", "zipcrypto"])
def archive(request: pytest.FixtureRequest, data: Path) -> Path:
    """The archive under both encryptions of the zip format."""
    if request.param == "aes":
        path: Path = request.getfixturevalue("aes_archive")
        return path
    return data / "gpqa" / "SYNTHETIC_zipcrypto.zip"


def test_the_encrypted_archive(load: Load, data: Path, archive: Path) -> None:
    """The authors' archive is read as it is, and gives what the csv in it gives."""
    assert load("gpqa", archive, password="open-sesame") == load(
        "gpqa", data / "gpqa" / "SYNTHETIC_fixture.csv"
    )


@pytest.mark.parametrize(("password", "message"), [(None, "is encrypted"), ("wrong-pw", "does not open")])
def test_a_missing_or_wrong_password(load: Load, archive: Path, password: str | None, message: str) -> None:
    """The user is told; the password itself is in no message."""
    with pytest.raises(DataError, match=message) as caught:
        load("gpqa", archive, password=password)
    assert "wrong-pw" not in f"{caught.value}{caught.value.remedy}"


def test_pyzipper_is_optional(load: Load, aes_archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pyzipper an AES archive names the pip install to run."""
    monkeypatch.setitem(sys.modules, "pyzipper", None)
    with pytest.raises(MissingExtra) as caught:
        load("gpqa", aes_archive, password="open-sesame")
    assert "[gpqa]" in caught.value.remedy


def test_a_damaged_archive(load: Load, tmp_path: Path, archive: Path) -> None:
    """An archive cut off by a broken download is a DataError."""
    path = tmp_path / "cut.zip"
    path.write_bytes(archive.read_bytes()[:-30])
    with pytest.raises(DataError, match="is damaged"):
        load("gpqa", path, password="open-sesame")


def test_gpqa_is_confidential() -> None:
    """The authors ask that no question is shown online; exports and listings look at this mark."""
    assert registry.info("gpqa").confidential
