"""GPQA: questions of biology, physics and chemistry by domain experts (Rein et al. 2023).

Its authors ask that no question is ever shown in plain text online, so `info.confidential` is set, and
whatever publishes a run leaves the questions out. The csv files have 78 columns, of which these are read:
Question, Correct Answer, Incorrect Answer 1 to 3, Record ID, High-level domain.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import ClassVar, Literal

from coral.errors import ConfigError, DataError
from coral.tasks import archive, files, lettered, sources
from coral.tasks.files import Row
from coral.tasks.identity import content_id, distinct, published_id
from coral.tasks.protocol import Source, TaskInfo
from coral.types import Problem

Subset = Literal["main", "diamond", "extended"]
_SUBSETS: tuple[Subset, ...] = ("main", "diamond", "extended")
_WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


@dataclass(frozen=True)
class Gpqa(lettered.SplitContext):
    """GPQA.

    Attributes:
        subset: which file of the archive or folder: main 448, diamond 198, extended 546 problems; main where
            it is not given. A single csv file is read as it is.
        split_context: each seat is told half of the context alone, or half of the choices where there is
            too little context; neither half is the problem.
    """

    subset: Subset | None = None
    split_context: bool = False

    info: ClassVar[TaskInfo] = TaskInfo(
        name="gpqa",
        title="GPQA: graduate-level science questions, four choices",
        size="448 main / 198 diamond / 546 extended",
        origin="Rein et al., https://github.com/idavidrein/gpqa (the README there tells the password)",
        license="CC-BY-4.0",
        fetch="curl -fLO https://github.com/idavidrein/gpqa/raw/main/dataset.zip",
        splits=sources.SEEDED,
        confidential=True,
    )

    def __post_init__(self) -> None:
        if self.subset is not None and self.subset not in _SUBSETS:
            raise ConfigError(f"gpqa has no subset '{self.subset}'", remedy=f"it has: {', '.join(_SUBSETS)}")

    def problems(self, source: Source) -> Iterator[Problem]:
        """Stream the problems of a split; see `Task.problems`. `source.seed` shuffles the choices."""
        split = sources.split_of(source, self.info)
        problems = distinct((row, self.grouped(_problem(row, source.seed))) for row in self._rows(source))
        return sources.seeded(problems, split, source.split_seed, key=lambda problem: problem.id)

    def _rows(self, source: Source) -> Iterator[Row]:
        path = sources.locate(source, self.info)
        if path.is_file() and path.suffix.lower() == ".zip":
            yield from archive.read(path, self._file_name(), source.password)
        else:
            for file in self._files(path):
                yield from files.read(file)

    def _file_name(self) -> str:
        return f"gpqa_{self.subset or _SUBSETS[0]}.csv"

    def _files(self, path: Path) -> list[Path]:
        found = sources.data_files(path, self.info)
        if path.is_file() or (len(found) == 1 and self.subset is None):
            return self._check_subset(found)
        chosen = [
            file for file in found if file.name.lower().startswith(self._file_name().removesuffix(".csv"))
        ]
        if not chosen:
            raise DataError(
                f"no {self._file_name()} in '{path}'", remedy=f"to get the data: {self.info.fetch}"
            )
        return chosen

    def _check_subset(self, found: list[Path]) -> list[Path]:
        told = [subset for subset in _SUBSETS if f"gpqa_{subset}" in found[0].name.lower()]
        if self.subset is not None and told and self.subset not in told:
            raise ConfigError(f"'{found[0]}' is not gpqa_{self.subset}", remedy="leave the option subset out")
        return found

    def opening(self, problem: Problem) -> str:
        question, choices = self.known(problem)
        return (
            f"I'm trying to solve this problem:\n\n{question}\n\n"
            f"One of these choices is right:\n{lettered.listing(choices)}"
        )


def _problem(row: Row, seed: int) -> Problem:
    question = row.text("Question")
    name = published_id(row.scalar("Record ID"), row) if row.has("Record ID") else content_id(question)
    choices, target = _converted(row) if row.has("choices") else _shuffled(row, name, seed)
    domain = "High-level domain"
    return Problem(
        id=name,
        task=Gpqa.info.name,
        question=question,
        choices=choices,
        target=target,
        group={"domain": row.text(domain)} if row.has(domain) else {},
    )


def _shuffled(row: Row, name: str, seed: int) -> tuple[tuple[str, ...], str]:
    right = row.text("Correct Answer")
    choices = [right, *(row.text(column) for column in _WRONG)]
    random.Random(f"{seed}:{name}").shuffle(choices)  # noqa: S311 - reproducible on purpose
    return tuple(choices), ascii_uppercase[choices.index(right)]


def _converted(row: Row) -> tuple[tuple[str, ...], str]:
    """As the published Coral code reads it: `choices`, a list in its final order, and `label`, from 0."""
    choices, label = row.value("choices"), row.value("label")
    if not isinstance(choices, list) or not all(isinstance(text, str) for text in choices):
        raise row.error("the field 'choices' is not a list of texts")
    if not isinstance(label, int) or not 0 <= label < len(choices):
        raise row.error(f"the field 'label' holds {label!r}, which names none of the {len(choices)} choices")
    return tuple(text.strip() for text in choices), ascii_uppercase[label]
