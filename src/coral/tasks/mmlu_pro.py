"""MMLU-Pro: questions of 14 subjects with up to ten choices (Wang et al. 2024).

A record as published:
    {"question_id": 170, "question": "In one year ...", "options": ["b = .5, a = -2", ...], "answer": "E",
     "answer_index": 4, "cot_content": "", "category": "business", "src": "stemez-Business"}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_uppercase
from typing import ClassVar

from coral.notation.lists import as_list
from coral.tasks import lettered, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

_PUBLISHED = ("test", "validation")


@dataclass(frozen=True)
class MmluPro(lettered.SplitContext):
    """MMLU-Pro. `seeded-train`, `-validation` and `-test` are parts of its test split, to train on one.

    Attributes:
        split_context: each seat is told half of the context alone, or half of the choices where there is
            too little context; neither half is the problem.
    """

    split_context: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="mmlu_pro",
        title="MMLU-Pro: harder questions of 14 subjects, up to ten choices",
        size="12,032 test / 70 validation",
        origin="TIGER-Lab, https://huggingface.co/datasets/TIGER-Lab/MMLU-Pro",
        license="MIT",
        fetch="hf download TIGER-Lab/MMLU-Pro --repo-type dataset --local-dir mmlu_pro",
        splits=(*_PUBLISHED, *sources.SEEDED_SPLITS),
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`."""
        split = "test" if source.split in sources.SEEDED_SPLITS else None
        rows = sources.rows(source, self.info, published=_PUBLISHED, split=split)
        return sources.seeded_part(source, distinct((row, self.grouped(_problem(row))) for row in rows))

    def opening(self, problem: Problem) -> str:
        question, choices = self.known(problem)
        return (
            f"I'm trying to solve this problem:\n\n{question}\n\n"
            f"I have to pick one of these choices:\n{lettered.listing(choices)}"
        )


def _problem(row: Row) -> Problem:
    question = row.text("question")
    choices = _choices(row)
    return Problem(
        id=published_id(row.scalar("question_id"), row)
        if row.has("question_id")
        else content_id(question, *choices),
        task=MmluPro.info.name,
        question=question,
        choices=choices,
        target=_target(row, choices),
        group={"category": row.text("category")} if row.has("category") else {},
    )


def _choices(row: Row) -> tuple[str, ...]:
    """The options, without the "N/A" that fills up short lists at their end in some published files."""
    options = as_list(row.value("options"))
    if options is None or not all(isinstance(option, str) for option in options):
        raise row.error("the field 'options' is not a list of texts")
    texts = [option.strip() for option in options]
    while texts and texts[-1] == "N/A":
        texts.pop()
    if not 2 <= len(texts) <= len(ascii_uppercase):
        raise row.error(f"the field 'options' holds {len(texts)} options")
    return tuple(texts)


def _target(row: Row, choices: tuple[str, ...]) -> str:
    """The letter in `answer`. `answer_index` is not read: in question 3983 it points to another choice."""
    letter = row.scalar("answer").upper()
    if len(letter) != 1 or letter not in ascii_uppercase[: len(choices)]:
        raise row.error(
            f"the field 'answer' holds '{letter}', which names none of the {len(choices)} options"
        )
    return letter
