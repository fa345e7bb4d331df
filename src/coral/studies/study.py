"""A study: all arms on the same problems, one run after the other, and a report."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import MissingExtra, Notice, RunFolderError
from coral.evaluation.evaluate import evaluate
from coral.evaluation.plan import open_plan
from coral.evaluation.watch import Watch
from coral.metrics import load_prices
from coral.options import build_config, load_yaml_file
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.studies.config import StudyConfig
from coral.studies.measured import measured
from coral.studies.pictures import save_pictures
from coral.studies.report import as_markdown, as_page, tables_of
from coral.studies.results import StudyResults, results_of
from coral.studies.tables import as_csv, latex


async def run_study(config: StudyConfig, watch: Watch | None = None) -> StudyResults | None:
    """Hold all arms, or go on with them, and write the report.

    Returns:
        What came of it; None where it was stopped.

    Raises:
        UserError: an option, the data or a folder cannot be used, or the folder is another study's.
    """
    watch = watch or Watch()
    arms = config.arm_configs()
    out = RunFolder(config.folder)
    with ExitStack() as stack:
        for arm in arms.values():  # a mistake in the last arm is met before the first one is paid for
            stack.enter_context(open_plan(arm))
        stack.close()
        options = _stored(config)
        stack.enter_context(
            out.claim(config.identity(), options, lock=config.lock == "file", free_while_empty=False)
        )
        for name, arm in arms.items():
            watch.say(f"arm {name}: {arm.output}")
            run = await evaluate(arm, watch.follow(arm.protocol))
            if run.summary is None:
                return None
        folders = {name: RunFolder(str(arm.output)) for name, arm in arms.items()}
        return await report(out, folders, config)


def study(options: str | Path | Mapping[str, Any], *, watch: Watch | None = None) -> StudyResults | None:
    """Hold the arms of a study on the same problems, and write a report: `coral study STUDY.yaml`.

    The same call again resumes a study that was stopped, or measures a finished one again.

    Args:
        options: a YAML file of options, or a mapping of them; docs/studies.md explains them.
        watch: told every arm; can stop the study.

    Returns:
        What came of it; None where `watch` stopped it.

    Raises:
        UserError: an option, the data or a folder cannot be used, or the folder is another study's.
    """
    return asyncio.run(study_async(options, watch=watch))


async def study_async(
    options: str | Path | Mapping[str, Any], *, watch: Watch | None = None
) -> StudyResults | None:
    """`study` for callers that have an event loop, such as a notebook."""
    if not isinstance(options, Mapping):
        options = load_yaml_file(options)
    return await run_study(build_config(StudyConfig, options, "study"), watch)


async def report(out: RunFolder, folders: Mapping[str, RunFolder], config: StudyConfig) -> StudyResults:
    """Measure the arms and write every file of the report."""
    arms = await measured(folders, load_prices(config.prices))
    results = results_of(arms, config.planned())
    try:
        _write(results, out.path)
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {out.path}: {error.strerror}", remedy="free space or mend the folder"
        ) from None
    return results


def _write(results: StudyResults, out: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(results), indent=2).decode()
    write_whole(out / "results.json", f"{text}\n")
    (out / "tables").mkdir(exist_ok=True)
    for table in tables_of(results):
        write_whole(out / "tables" / f"{table.name}.tex", latex(table))
        write_whole(out / "tables" / f"{table.name}.csv", as_csv(table))
    try:
        pictures = save_pictures(results, out)
    except MissingExtra as error:
        warnings.warn(f"{error}: the report has no pictures; {error.remedy}", Notice, stacklevel=2)
        pictures = {}
    write_whole(out / "report.md", as_markdown(results, pictures))
    write_whole(out / "report.html", as_page(results, pictures))


def _stored(config: StudyConfig) -> dict[str, Any]:
    """All options as `config.yaml` keeps them: without secrets, and readable by `--config`."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    del values["data_password"], values["dry_run"]
    return values
