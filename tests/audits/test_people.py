"""Several people: a sheet each, what most of them say counts, and how far they agree is told."""

import csv
import io

import pytest

import coral
from coral.audits.audit import AuditConfig, audit, drawn_texts
from coral.audits.people import most_say, read_people, sheet_name
from coral.audits.sheet import set_answer, write_sheet
from coral.errors import ConfigError, UserError
from coral.types import Answered, Unreadable, Unsure


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A pair that always says A, on 6 problems."""
    folder = tmp_path_factory.mktemp("people") / "run"
    coral.evaluate("sally_anne", agent=lambda messages: "Answer: (A)", limit=6, output=str(folder))
    return folder


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        (["A"], Answered("A")),
        (["A", "A", "B"], Answered("A")),
        (["A", "B"], None),
        (["A", "A", "B", "B"], None),
        (["A", "B", "unsure", "unsure"], Unsure()),
        (["unreadable", "unreadable", "A"], Unreadable("a reader could not tell")),
        (["(a)", "A", "B", "unsure"], Answered("A")),
        (["unsure", "unreadable"], None),
    ],
    ids=str,
)
async def test_what_most_people_say_counts(run, tmp_path, said, wanted):
    """More than anything else; where they are divided, the text is left out."""
    texts, task = await drawn_texts([str(run)], AuditConfig(sample=200))
    key = min(texts)
    for number, answer in enumerate(said):
        write_sheet(tmp_path / f"p{number}.csv", texts.values(), task)
        set_answer(tmp_path / f"p{number}.csv", key, answer)
    people = read_people(tmp_path, texts, task)
    assert len(people) == len(said)
    assert await most_say(people, texts, task) == ({} if wanted is None else {key: wanted})


async def test_an_audit_of_several_people(run, tmp_path):
    """Each pair of people has its agreement; divided texts are counted and left out."""
    texts, task = await drawn_texts([str(run)], AuditConfig())
    keys = sorted(texts)
    for name, answers in (("Ada", "AAB"), ("Bo", "AAB"), ("Cy", "ABA")):
        sheet = tmp_path / f"{name}.csv"
        write_sheet(sheet, texts.values(), task)
        for key, answer in zip(keys, answers, strict=False):
            set_answer(sheet, key, answer)
    set_answer(tmp_path / "Ada.csv", keys[3], "A")
    set_answer(tmp_path / "Bo.csv", keys[3], "B")
    (tmp_path / "._Ada.csv").write_bytes(b"\0\1 left by a file manager")
    found = await audit([str(run)], AuditConfig(labels=str(tmp_path)))
    assert (found.people, found.labelled, found.disputed) == (3, 3, 1)
    readers = [one.readers for one in found.agreements]
    assert readers == [("first reading", "people"), ("Ada", "Bo"), ("Ada", "Cy"), ("Bo", "Cy")]
    said = (run / "audit" / "report.md").read_text()
    assert "They are 3; what most of them say counts." in said
    assert "divided" in said


async def test_a_sheet_keeps_what_else_stands_in_it(run, tmp_path):
    """Columns and answers that people added themselves."""
    texts, task = await drawn_texts([str(run)], AuditConfig())
    sheet, (first, second, *_) = tmp_path / "s.csv", sorted(texts)
    write_sheet(sheet, texts.values(), task)
    rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "remark"])
        writer.writeheader()
        writer.writerows(
            {**row, "remark": f"r {row['key']}", "answer": "B" * (row["key"] == first)} for row in rows
        )
    set_answer(sheet, second, "unsure")
    after = {row["key"]: row for row in csv.DictReader(io.StringIO(sheet.read_text("utf-8-sig"), newline=""))}
    assert (after[first]["answer"], after[second]["answer"]) == ("B", "unsure")
    assert all(row["remark"] == f"r {key}" for key, row in after.items())


@pytest.mark.parametrize(
    "name", ["", " ", "../x", "a/b", ".hidden", "x" * 61, "a\0b", "a\n", "_x", "-x", "x."]
)
def test_a_name_that_is_no_file_s_is_refused(name):
    """No name leads out of the folder, or to a file that is looked over."""
    with pytest.raises(UserError):
        sheet_name(name)


def test_names_of_people_are_kept():
    """As they are written, in any script."""
    assert [sheet_name(name) for name in ("Ada", "Jean-Luc P.L", "李雷", "Zoë 2")] == [
        "Ada.csv", "Jean-Luc P.L.csv", "李雷.csv", "Zoë 2.csv",
    ]  # fmt: skip


async def test_an_empty_folder_is_no_labels(run, tmp_path):
    """It says how people get to fill sheets."""
    with pytest.raises(ConfigError, match="holds no sheet"):
        await audit([str(run)], AuditConfig(labels=str(tmp_path)))
