r"""GSM8K: grade-school word problems with a number as answer (Cobbe et al. 2021).

A record as published; the socratic files have the same questions with sub-questions in the answer:
    {"question": "Josh decides to ...", "answer": "The cost of ...\n#### 70000"}
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from coral.answers import math
from coral.tasks import files, mathematics, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Problem

_PUBLISHED = ("test", "train")
_FINAL = re.compile(r"####\s*(-?[\d,]*\.?\d+)\s*$")


@dataclass(frozen=True)
class Gsm8k(mathematics.MathematicalAnswers):
    """GSM8K. An id is a hash of question and number, so plain and socratic files give the same ids."""

    info: ClassVar[TaskInfo] = TaskInfo(
        name="gsm8k",
        title="GSM8K: grade-school word problems, a number as answer",
        size="1,319 test / 7,473 train",
        origin="OpenAI, https://github.com/openai/grade-school-math",
        license="MIT",
        fetch="curl -fLO https://raw.githubusercontent.com/openai/grade-school-math/"
        "master/grade_school_math/data/test.jsonl",
        splits=_PUBLISHED,
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`. In a folder the socratic files come second."""
        if source.graded:
            mathematics.need_library()
        return distinct((row, _problem(row)) for row in self._rows(source))

    def _rows(self, source: Source) -> Iterator[Row]:
        sources.split_of(source, self.info)
        path = sources.locate(source, self.info)
        found = sources.data_files(path, self.info, published=_PUBLISHED, split=source.split)
        for file in _without_twins(found, path):
            yield from files.read(file)

    def opening(self, problem: Problem) -> str:
        return f"I'm trying to solve this word problem:\n\n{problem.question}"


def _without_twins(found: list[Path], root: Path) -> list[Path]:
    """Socratic files repeat the questions of the plain ones: of both, the plain ones are read."""
    plain = [file for file in found if "socratic" not in str(file.relative_to(root)).lower()]
    return plain or found


def _problem(row: Row) -> Problem:
    question = row.text("question")
    target = _target(row)
    return Problem(id=content_id(question, target), task=Gsm8k.info.name, question=question, target=target)


def _target(row: Row) -> str:
    """The number after `####`, without thousands separators."""
    match = _FINAL.search(row.text("answer"))
    if match is None:
        raise row.error("the field 'answer' does not end in '#### ' and a number")
    number = match[1].replace(",", "")
    belief = math.parse(number)
    return belief.value if isinstance(belief, Answered) else number
