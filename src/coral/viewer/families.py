"""Runs that belong together: the arms of a study, the models of a loop, runs that are given together.

STUDY/arms/ARM/                     one family, with the contrasts that the study planned
LOOP/models/MODEL/SIGHT/            a family for each sight: start, then the checkpoints as they were trained
LOOP/samples/DATA-ITERATION-MODEL/  what rows were built of: shown, and compared with nothing
LOOP/FOLDER/MODEL/RUN/              trained beside the loop, as by a recipe: RUN is a sight, or sampled
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from coral.comparison.contrasts import parse_contrast
from coral.comparison.listing import SIGHTS, evaluations_of, further_of
from coral.errors import ConfigError, RunFolderError
from coral.improvement.loop import START
from coral.improvement.results import REPORT, Results
from coral.metrics import Comparison
from coral.metrics.catalog import metric
from coral.store.folder import RunFolder
from coral.studies.results import Contrast, StudyResults
from coral.viewer.overview import unit_of


@dataclass(frozen=True)
class Family:
    """Runs of one family.

    Attributes:
        title: for people; empty where runs were just given together.
        runs: folders by the names that they have in the family, in the family's own order.
        baseline: the one that the others are held against; empty where they are not.
        found: what the family's own report says, one difference each.
        note: why there is no such report.
        beside: of the runs, those of models that were trained beside the loop.
    """

    kind: Literal["study", "loop", "samples", "runs"]
    title: str
    runs: Mapping[str, Path]
    baseline: str
    found: tuple[dict[str, Any], ...] = ()
    note: str = ""
    beside: tuple[str, ...] = ()

    def told(self, numbers: Mapping[str, int]) -> dict[str, Any]:
        """As JSON types.

        Args:
            numbers: of its runs on the page, by name.
        """
        rows = [
            {**row, "left": numbers.get(row["left"]), "right": numbers.get(row["right"])}
            for row in self.found
        ]
        return {
            "kind": self.kind, "title": self.title, "runs": list(numbers.values()),
            "baseline": numbers.get(self.baseline), "found": rows, "note": self.note,
            "beside": [numbers[name] for name in self.beside if name in numbers],
        }  # fmt: skip


def families_of(paths: Sequence[Path]) -> list[Family]:
    """The families that folders hold: each a study, a loop, or a run. Runs that are given together are one.

    Raises:
        RunFolderError: `run.json` of a study is damaged.
    """
    found, loose = [], list[Path]()
    for path in paths:
        own = families_in(path)
        found += own
        loose += [] if own else [path]
    names = names_of_runs(loose)
    given = dict(zip(names, loose, strict=True))
    return [Family(kind="runs", title="", runs=given, baseline=names[0]), *found] if given else found


def names_of_runs(paths: Sequence[str | Path]) -> list[str]:
    """The folders' own names where these tell them apart, else the paths as they were given."""
    own = [Path(path).resolve().name for path in paths]
    return [name if own.count(name) == 1 else str(path) for name, path in zip(own, paths, strict=True)]


def families_in(path: Path) -> list[Family]:
    """The families of a study's or loop's folder; none of another folder.

    Raises:
        RunFolderError: `run.json` of a study or loop is damaged.
    """
    arms = {one.parent.name: one.parent for one in sorted(path.glob("arms/*/run.json"))}
    if arms:
        return [_study(path, arms)]
    models = evaluations_of(path)
    return list(_loop(path, models)) if models else []


# Studies ----------------------------------------------------------------------------------------------------


def _study(path: Path, arms: Mapping[str, Path]) -> Family:
    planned = RunFolder(path).record().get("study", {}) if (path / "run.json").is_file() else {}
    order = list(planned.get("arms", ()))
    names = sorted(arms, key=lambda name: (order.index(name) if name in order else len(order), name))
    results, note = _report(path, "results.json", StudyResults, "coral study")
    contrasts = results.contrasts if results else ()
    rights = [one["right"] for one in map(_contrast, contrasts) if one["right"] in arms]
    rights += [one.right for one in map(parse_contrast, planned.get("contrasts", ())) if one.right in arms]
    return Family(
        kind="study",
        title=f"study {path.resolve().name}",
        runs={name: arms[name] for name in names},
        baseline=next(iter(rights), names[0]),
        found=tuple(map(_contrast, contrasts)),
        note=note,
    )


def _contrast(one: Contrast) -> dict[str, Any]:
    sides = ("", "")
    with suppress(ConfigError):  # of prices, which are no two arms
        parsed = parse_contrast(one.text)
        sides = parsed.left, parsed.right
    return {
        "text": one.text, "left": sides[0], "right": sides[1], "a": one.right, "b": one.left,
        "difference": one.difference, "low": one.low, "high": one.high, "p_value": one.p_value,
        "p_holm": one.p_holm, "problems": one.problems, "reading_alone": bool(one.reading_alone),
        **_words(one.metric),
    }  # fmt: skip


# Loops ------------------------------------------------------------------------------------------------------


def _loop(path: Path, models: list[Path]) -> Iterator[Family]:
    results, note = _report(path, REPORT, Results, "coral improve")
    order = [model.name for model in results.models] if results else [START]
    title, further = path.resolve().name, [one.parent for one in further_of(path)]
    evaluated = [one.parent for one in models] + [one for one in further if one.name in SIGHTS]
    for sight in sorted({one.name for one in evaluated}, key=SIGHTS.index):
        folders = {_model(path, one): one for one in evaluated if one.name == sight}
        own = [name for name in folders if "/" not in name]
        names = sorted(own, key=lambda name: (order.index(name) if name in order else len(order), name))
        beside = [name for name in folders if "/" in name]
        yield Family(
            kind="loop",
            title=f"{title}, {sight}",
            runs={f"{name}, {sight}": folders[name] for name in [*names, *beside]},
            baseline=f"{START if START in folders else [*names, *beside][0]}, {sight}",
            found=tuple(_changes(results, sight)) if results else (),
            note=note,
            beside=tuple(f"{name}, {sight}" for name in beside),
        )
    samples = [one.parent for one in sorted(path.glob("samples/*/run.json"))]
    samples += [one for one in further if one.name not in SIGHTS]
    if samples:
        runs = {f"sampled {one.relative_to(path)}".replace(" samples/", " "): one for one in samples}
        yield Family(kind="samples", title=f"{title}, what was sampled", runs=runs, baseline="")


def _model(loop: Path, evaluation: Path) -> str:
    """A model of the loop by its name; one that was trained beside it with the folder that it lies in."""
    model = evaluation.parent
    return model.name if model.parent == loop / "models" else str(model.relative_to(loop))


def _changes(results: Results, sight: str) -> Iterator[dict[str, Any]]:
    """Each checkpoint against the start, then the last of the main arm against those of its controls."""
    start = results.models[0].name
    for model in results.models[1:]:
        for name, one in model.since_start.items():
            if name == sight:
                yield _change(f"{model.name} - {start}", f"{model.name}, {sight}", f"{start}, {sight}", one)
    for control, by_sight in results.head_to_head.items():
        if sight in by_sight:
            yield _change(f"{results.main_arm} - {control}, last of each", "", "", by_sight[sight])


def _change(text: str, left: str, right: str, one: Comparison) -> dict[str, Any]:
    return {
        "text": text, "left": left, "right": right, "a": one.a, "b": one.b, "difference": one.difference,
        "low": one.low, "high": one.high, "p_value": one.p_value, "p_holm": None,
        "problems": one.num_problems, "reading_alone": False, **_words(one.metric),
    }  # fmt: skip


# Both -------------------------------------------------------------------------------------------------------


def _words(name: str) -> dict[str, str]:
    """Title and unit of a metric; a name that is none stands for itself, as a study's own facts do."""
    try:
        info = metric(name)
    except ConfigError:
        return {"title": name.replace("_", " "), "unit": "share"}
    return {"title": info.title, "unit": unit_of(info)}


def _report(path: Path, name: str, kind: type[Any], command: str) -> tuple[Any, str]:
    """What a report says, or why it says nothing."""
    try:
        found = RunFolder(path).read(name, kind)
    except RunFolderError as error:
        why = f"another version of Coral wrote it, or {error}"
        return None, f"the report cannot be read: {why}; `{command}` makes it anew"
    return found, "" if found else f"there is no report yet: `{command}` writes it when all runs have ended"
