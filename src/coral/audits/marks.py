"""Marks what errors of reading alone could produce, where runs were audited."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from coral.audits.report import AuditResults
from coral.audits.statistics import Headline, reading_alone
from coral.comparison.compare import SeveralRuns
from coral.errors import RunFolderError
from coral.metrics import Comparison
from coral.store.folder import RunFolder


def headlines_of(folder: str | Path) -> dict[str, Headline]:
    """What audits have found of the runs below or beside a folder, by the name of the run: those of the run
    itself, and those of the study that it is an arm of. Damaged results are none.
    """
    path = Path(folder).expanduser().resolve()
    places = [path, path.parent.parent] if path.parent.name == "arms" else [path]
    found: dict[str, Headline] = {}
    for place in reversed(places):
        for arm in audited(place):
            found |= {arm[0]: arm[1]}
    return found


def audited(folder: Path) -> Iterator[tuple[str, Headline]]:
    """The arms of the audit in a folder, and their headlines."""
    try:
        results = RunFolder(folder / "audit").read("results.json", AuditResults)
    except RunFolderError:  # damaged, or in the form of another version
        return
    for arm in results.arms if results else ():
        if arm.headline is not None:
            yield arm.name, arm.headline


def mark(runs: SeveralRuns) -> SeveralRuns:
    """The comparisons, each told whether errors of reading alone could produce its headline, where audits of
    both runs say so.
    """
    paths = [runs.baseline, *runs.others]
    known: dict[str, Headline] = {}
    for path in paths:
        known |= headlines_of(path)
    first = _as_audited(runs.baseline, known)
    compared = []
    for path, one in zip(runs.others, runs.compared, strict=True):
        verdict = _verdict(one.comparisons[0], _as_audited(path, known), first)
        compared.append(msgspec.structs.replace(one, reading_alone=verdict))
    return msgspec.structs.replace(runs, compared=tuple(compared))


def _as_audited(path: str, known: Mapping[str, Headline]) -> Headline | None:
    """None of a run that was not audited, or that has other conversations now than when it was."""
    found = known.get(Path(path).expanduser().resolve().name)
    if found is None:
        return None
    endings = RunFolder(path).endings()
    return found if found.conversations == len(endings.well) + len(endings.failed) else None


def _verdict(found: Comparison, b: Headline | None, a: Headline | None) -> bool | None:
    if found.difference is None or a is None or b is None:
        return None
    return reading_alone(found.difference, b, a)


def of_arms(folder: Path, conversations: Mapping[str, int]) -> dict[str, Headline]:
    """The audited arms of a study that still have as many conversations as when they were audited."""
    return {name: found for name, found in audited(folder) if conversations.get(name) == found.conversations}
