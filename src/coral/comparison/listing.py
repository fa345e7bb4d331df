"""The runs below a folder at a glance: for `coral list` and the viewer's start page."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from coral.errors import RunFolderError, UserError
from coral.evaluation.identity import config_digest
from coral.metrics import METRICS, Estimate, MetricInfo, Summary
from coral.metrics.table import interval_text, value_of
from coral.store.folder import RunFolder
from coral.store.others import LOOP, is_loop, is_of_a_run, kind_of, record_in
from coral.types import SCHEMA


@dataclass(frozen=True)
class Listed:
    """A run, a study or a loop, as it is listed.

    Attributes:
        changed: when, in seconds since the epoch.
        headline: in words; of a run that cannot be read, why.
        ended: how many conversations, of how many.
        config: the same for runs that differ in their seeds alone; empty where it is not known.
    """

    path: Path
    changed: float
    headline: str = ""
    ended: str = ""
    cost: str = ""
    config: str = ""
    summary: Summary | None = None


def runs_below(root: Path) -> Iterator[Path]:
    """Folders of runs, studies and loops; what lies inside one, such as shards or arms, is left out."""
    for folder, inner, names in os.walk(root):
        if "run.json" in names or is_loop(Path(folder)):
            inner.clear()
            yield Path(folder)
        inner.sort()


SIGHTS = ("pair", "alone", "second", "final")
"""Each way in which a loop evaluates a model: a folder of that name in the model's, in the order of use."""


def evaluations_of(loop: Path) -> list[Path]:
    """`run.json` of each evaluation of a loop; beside them lie the trainings'."""
    return sorted(one for one in loop.glob("models/*/*/run.json") if one.parent.name in SIGHTS)


def further_of(loop: Path) -> list[Path]:
    """`run.json` of each run of conversations that others put into a loop's folder, as FOLDER/MODEL/RUN:
    evaluations of models that a recipe trained beside the loop, for one.
    """
    own = {"models", "samples", LOOP}
    found = [one for one in loop.glob("*/*/*/run.json") if one.relative_to(loop).parts[0] not in own]
    return sorted(one for one in found if is_of_a_run(record_in(one.parent)))


def listed(path: Path) -> Listed:
    """Read what is told of a run, or of the runs of a study or loop together."""
    if arms := list(path.glob("arms/*/run.json")):
        told = "study, arms ended" if (path / "results.json").is_file() else "study, no report yet"
        return _several(path, arms, told)
    if models := evaluations_of(path):
        told = "loop, evaluations ended" if (path / "report.json").is_file() else "loop, no report yet"
        return _several(path, models, told)
    files = (path / "run.json", path / "summary.json")
    changed = max((file.stat().st_mtime for file in files if file.exists()), default=path.stat().st_mtime)
    folder = RunFolder(path)
    if is_loop(path):
        return Listed(path, changed, "loop, nothing evaluated yet")
    try:
        record = folder.record()
        if not is_of_a_run(record):
            return Listed(path, changed, kind_of(path, record))
        summary = summary_of(folder)
        headline, ended, cost = _cells(folder, summary)
        config = config_digest(folder.identity()) if summary is not None else ""
    except UserError as error:
        return Listed(path, changed, str(error).removeprefix(f"{path}/"))
    return Listed(path, changed, headline, ended, cost, config, summary)


def _several(path: Path, runs: Sequence[Path], what: str) -> Listed:
    ended = [one.with_name("summary.json") for one in runs if one.with_name("summary.json").is_file()]
    changed = max(file.stat().st_mtime for file in (path, *runs, *ended))
    return Listed(path, changed, what, f"{len(ended)}/{len(runs)}")


def summary_of(folder: RunFolder) -> Summary | None:
    """The summary of a run; None where there is none.

    Raises:
        RunFolderError: it is damaged, or of another version of Coral.
    """
    try:
        return folder.read("summary.json", Summary)
    except RunFolderError:
        if folder.identity().get("schema") == SCHEMA:
            raise
        raise RunFolderError(
            "summary of another version: `coral score` makes it anew", remedy=f"coral score {folder.path}"
        ) from None


def headline_of(summary: Summary) -> tuple[MetricInfo, Estimate]:
    """The first headline that a summary holds."""
    info = next(info for info in METRICS if info.headline and info.name in summary.metrics)
    return info, summary.metrics[info.name]


def _cells(folder: RunFolder, summary: Summary | None) -> tuple[str, str, str]:
    """Headline, how many conversations have ended, and what they cost."""
    if summary is None:
        endings = folder.endings()
        return "", f"{len(endings.well) + len(endings.failed)}/{folder.planned() or '?'}", ""
    heads = [info for info in METRICS if info.headline and info.name in summary.metrics]
    heads += [info for info in METRICS if info.kind == "majority" and info.name in summary.metrics]
    info = next((info for info in heads if summary.metrics[info.name].n), heads[0])
    found = summary.metrics[info.name]
    headline = f"{info.name} {value_of(info, found.mean)} {interval_text(info, found)}".strip()
    ended = summary.conversations
    counted = f"{ended}/{ended + summary.owed}" if summary.owed else str(ended)
    return headline, counted, "" if summary.cost is None else f"${summary.cost:,.2f}"
