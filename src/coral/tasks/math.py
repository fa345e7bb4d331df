r"""MATH: competition problems with answers in LaTeX (Hendrycks et al. 2021).

The authors publish one file per problem, `train|test/<type>/<n>.json`:
    {"problem": "...", "level": "Level 5", "type": "Algebra", "solution": "... \boxed{2}."}
MATH-500 and its like hold one a line, with `answer`, `subject`, `level` as a number and `unique_id`. The
published Coral code reads lines with `problem` and `answer`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import ClassVar

from coral.answers import math
from coral.tasks import mathematics, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Answered, Problem

_PUBLISHED = ("test", "train")


@dataclass(frozen=True)
class Math(mathematics.MathematicalAnswers):
    """MATH."""

    info: ClassVar[TaskInfo] = TaskInfo(
        name="math",
        title="MATH: competition mathematics, free answers in LaTeX",
        size="5,000 test / 7,500 train (MATH-500: 500 test)",
        origin="Hendrycks et al., https://github.com/hendrycks/math",
        license="MIT; copyright of the problems contested",
        fetch="hf download HuggingFaceH4/MATH-500 test.jsonl --repo-type dataset --local-dir math500",
        splits=_PUBLISHED,
    )

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`."""
        if source.graded:
            mathematics.need_library()
        return distinct((row, _problem(row)) for row in sources.rows(source, self.info, published=_PUBLISHED))

    def opening(self, problem: Problem) -> str:
        return f"I'm trying to solve this mathematics problem:\n\n{problem.question}"


def _problem(row: Row) -> Problem:
    question = row.text("problem")
    target = _target(row)
    return Problem(
        id=_name(row) or content_id(question, target),
        task=Math.info.name,
        question=question,
        target=target,
        group=_group(row),
    )


def _target(row: Row) -> str:
    """The field `answer`, or else what the solution puts into boxes at its end."""
    if row.has("answer"):
        answer = row.scalar("answer")
    else:
        boxed = math.last_boxed(row.text("solution"))
        if boxed is None or not boxed.strip():
            raise row.error("the solution holds no \\boxed answer, and there is no field 'answer'")
        answer = boxed
    belief = math.parse(answer)
    return belief.value if isinstance(belief, Answered) else answer.strip()


def _name(row: Row) -> str | None:
    """`test-algebra-1`, from `unique_id` or from the path of a file that holds one problem."""
    if row.has("unique_id"):
        name = row.scalar("unique_id").removesuffix(".json")
        return published_id(_place(tuple(name.split("/"))) or name, row)
    place = _place(PurePath(row.file).with_suffix("").parts[-3:])
    return published_id(place, row) if place else None


def _place(parts: tuple[str, ...]) -> str | None:
    """`test-algebra-1` for the parts of such a path."""
    told = len(parts) == 3 and parts[0] in _PUBLISHED and parts[2].isdigit()
    return "-".join(parts) if told else None


def _group(row: Row) -> dict[str, str]:
    group = {}
    if row.has("level"):
        group["level"] = row.scalar("level").removeprefix("Level").strip()
    kind = next((name for name in ("type", "subject") if row.has(name)), None)
    if kind:
        group["type"] = row.text(kind)
    return group
