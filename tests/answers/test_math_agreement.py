"""Published verdicts on pairs of answers, and every row on which ours differ (docs/grading.md)."""

import json
from pathlib import Path
from typing import Any

import pytest

from coral.answers import math
from coral.types import Answered

DATA = Path(__file__).parent.parent / "data" / "grading"
PAIRS = "math_grading_pairs.jsonl"
PROBES = "math_grader_reference_verdicts.jsonl"


def _rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def _answer(text: str) -> str:
    """What `read` finds, or what `parse` makes of it: as rules and extractor do."""
    for belief in (math.read(text), math.parse(text)):
        if isinstance(belief, Answered):
            return belief.value
    return ""


def _pair_verdict(row: dict[str, Any]) -> bool:
    texts = (row["a"], row["b"])
    a, b = texts if row["form"] == "bare" else map(_answer, texts)
    return math.equivalent(a, b)


def _differing(name: str) -> dict[int, dict[str, Any]]:
    return {row["line"]: row for row in _rows("disagreements.jsonl") if row["file"] == name}


@pytest.fixture(scope="module", autouse=True)
def _loaded() -> None:
    math.warm_up()


def test_pairs_agree_with_the_stated_verdict_but_for_the_listed_rows() -> None:
    """224 of 232 published pairs get the verdict that their source states; the others are listed."""
    ours = {line: _pair_verdict(row) for line, row in enumerate(_rows(PAIRS), 1)}
    stated = {line: row["equal"] for line, row in enumerate(_rows(PAIRS), 1)}
    differing = {line: verdict for line, verdict in ours.items() if verdict != stated[line]}
    assert differing == {line: row["ours"] for line, row in _differing(PAIRS).items()}
    assert (len(ours), len(ours) - len(differing)) == (232, 224)


def test_probes_agree_with_the_reference_grader_but_for_the_listed_rows() -> None:
    """86 of 116 probes get the prm800k grader's verdict; each other one is listed with its class."""
    rows = _rows(PROBES)
    ours = {
        line: math.equivalent(row["given"] or "", row["ground_truth"] or "")
        for line, row in enumerate(rows, 1)
    }
    differing = {line: verdict for line, verdict in ours.items() if verdict != rows[line - 1]["grade_answer"]}
    assert differing == {line: row["ours"] for line, row in _differing(PROBES).items()}
    assert (len(ours), len(ours) - len(differing)) == (116, 86)


def test_false_positives_are_two_and_known() -> None:
    """Two pairs alone are equal here and not where they were published, both on purpose."""
    positive = [row for row in _differing(PAIRS).values() if row["ours"]]
    assert {row["class"] for row in positive} == {"unordered list", "inequality as interval"}
    assert len(positive) == 2


def test_all_verdicts_are_symmetric() -> None:
    """On all published rows the order of the two answers does not matter."""
    pairs = [(row["a"], row["b"]) for row in _rows(PAIRS) if row["form"] == "bare"]
    pairs += [(row["given"] or "", row["ground_truth"] or "") for row in _rows(PROBES)]
    assert [math.equivalent(a, b) for a, b in pairs] == [math.equivalent(b, a) for a, b in pairs]


def test_every_class_is_explained() -> None:
    """docs/grading.md explains each class of disagreement."""
    text = (Path(__file__).parents[2] / "docs" / "grading.md").read_text(encoding="utf-8")
    assert [row["class"] for row in _rows("disagreements.jsonl") if f"**{row['class']}**" not in text] == []
