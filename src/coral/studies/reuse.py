"""Runs of other studies that are arms of this one, too: copied, not held again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.plan import open_plan
from coral.evaluation.session import decided_by
from coral.evaluation.setup import settled
from coral.store.folder import RunFolder
from coral.store.others import changes

_NOT_OF_THE_RUN = shutil.ignore_patterns("lock", "fork", "audit", "*.partial")


def adopt(arms: Mapping[str, EvalConfig], places: Sequence[str], say: Callable[[str], None]) -> None:
    """Copy runs from other studies, or from run folders, to the arms that have none yet and are the same run.

    Raises:
        ConfigError: a place holds no run that is an arm of this study, a run has the name of an arm and other
            options, or it holds more conversations than the arm.
        RunFolderError: a folder cannot be read or written.
    """
    runs = {place: _runs_in(place) for place in places}
    lacking = [name for name, arm in arms.items() if not RunFolder(str(arm.output)).has_begun]
    used = set()
    for name in lacking:
        wanted, most = _wanted(arms[name])
        for place, there in runs.items():
            found = next((run for run in there.values() if _is_same(run.identity(), wanted)), None)
            if found is not None:
                _copy(found, Path(str(arms[name].output)), most, name)
                say(f"arm {name}: reused {found.path}")
                used.add(place)
                break
            if name in there:
                raise ConfigError(
                    f"{there[name].path} is not the run of the arm {name}, which has other options:\n"
                    + "\n".join(changes(there[name].identity(), wanted)),
                    remedy="give the same options, or leave --reuse out",
                )
    idle = [place for place in places if lacking and place not in used and len(lacking) == len(arms)]
    if idle:
        raise ConfigError(
            f"no run in {idle[0]} is an arm of this study", remedy="give a folder with the same runs, or none"
        )


def _runs_in(place: str) -> dict[str, RunFolder]:
    """The arms of a study by name, or the one run that a folder is."""
    folder = Path(place).expanduser()
    arms = sorted(folder.glob("arms/*/run.json"))
    if not arms and not (folder / "run.json").is_file():
        raise ConfigError(f"{place} holds no run", remedy="--reuse takes the folder of a study or of a run")
    paths = [path.parent for path in arms] or [folder]
    return {path.name if arms else "": RunFolder(path) for path in paths}


def _wanted(arm: EvalConfig) -> tuple[dict[str, Any], int]:
    """What decides an arm's run, as a file says it, and how many conversations it is to have."""
    config = settled(arm)
    with open_plan(config) as plan:
        decided = msgspec.json.encode(decided_by(config, plan, Given()))
        return msgspec.json.decode(decided), len(plan.problems) * config.samples


def _is_same(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return {**there, "version": None} == {**wanted, "version": None}


def _copy(run: RunFolder, target: Path, most: int, name: str) -> None:
    """Copy a run completely or not at all.

    Raises:
        ConfigError: it holds more than the arm.
        RunFolderError: it cannot be copied.
    """
    endings = run.endings()
    held = len(endings.well) + len(endings.failed)
    if held > most:
        raise ConfigError(
            f"{run.path} holds {held:,} conversations, and the arm {name} is to have {most:,}",
            remedy="give --limit and --samples as large as there, or leave --reuse out",
        )
    partial = target.with_name(f"{target.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(run.path, partial, ignore=_NOT_OF_THE_RUN)
        partial.rename(target)
    except OSError as error:
        raise RunFolderError(
            f"cannot copy {run.path} to {target}: {error}", remedy="free space, or leave --reuse out"
        ) from None
