"""A study: all arms on the same problems, one run after the other, and a report."""

from __future__ import annotations

import asyncio
import dataclasses
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from coral.audits.marks import of_arms
from coral.budget import OutOfBudget
from coral.comparison.tables import as_csv, latex
from coral.errors import ConfigError, MissingExtra, Notice, RunFolderError
from coral.evaluation.config import EvalConfig
from coral.evaluation.given import refuse_running_loop
from coral.evaluation.plan import check_agents, open_plan
from coral.evaluation.processes import run as hold_run
from coral.evaluation.progress import Progress
from coral.evaluation.run import Run
from coral.evaluation.watch import Watch
from coral.metrics import Summary, load_prices
from coral.options import build_config, load_yaml_file, read_words, types_of
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.studies.config import StudyConfig
from coral.studies.forecast import Forecast, piloted
from coral.studies.measured import measured
from coral.studies.pictures import save_pictures
from coral.studies.report import as_markdown, as_page, tables_of
from coral.studies.results import StudyResults, results_of
from coral.studies.reuse import adopt
from coral.trackers.figures import heads_of, table_of
from coral.trackers.report import Report, reporters


async def run_study(config: StudyConfig, watch: Watch | None = None) -> StudyResults | None:
    """Run all arms, or resume them, and write the report.

    Returns:
        What came of it; None where it was stopped.

    Raises:
        UserError: an option, the data or a folder cannot be used, or the folder is another study's.
    """
    watch = watch or Watch()
    arms = config.arm_configs()
    with _begun(config, arms, watch) as out:
        tracking = Report(reporters(config.report_to), out.path, _stored(config), watch.say)
        try:
            summaries: dict[str, Summary] = {}
            left = Left(config)
            for name, arm in arms.items():
                watch.say(f"arm {name}: {arm.output}")
                run = await left.evaluate(arm, watch.follow(arm.protocol_name))
                if run.summary is None:
                    return None
                summaries[name] = run.summary
                tracking.log(len(summaries), heads_of({name: run.summary}))
            tracking.table("arms", table_of("arm", summaries))
            folders = {name: RunFolder(str(arm.output)) for name, arm in arms.items()}
            return await report(out, folders, config)
        finally:
            await tracking.close()


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
        ConfigError: called inside a running event loop: await `study_async` there.
    """
    refuse_running_loop("study_async")
    return asyncio.run(study_async(options, watch=watch))


async def study_async(
    options: str | Path | Mapping[str, Any], *, watch: Watch | None = None
) -> StudyResults | None:
    """`study` for callers that have an event loop, such as a notebook."""
    if not isinstance(options, Mapping):
        options = load_yaml_file(options)
    config = build_config(StudyConfig, read_words(options, types_of(StudyConfig)), "study")
    if config.dry_run or config.pilot is not None:
        raise ConfigError("dry_run and pilot make no study", remedy="`coral study` says what it would take")
    return await run_study(config, watch)


@contextmanager
def _begun(config: StudyConfig, arms: Mapping[str, EvalConfig], watch: Watch) -> Iterator[RunFolder]:
    """The folder of the study, claimed, once it is clear that every arm can begin.

    Raises:
        UserError: the data or a prompt of an arm cannot be used, or the folder is another study's.
    """
    first, *others = arms.values()
    with open_plan(first) as plan:  # the problems are the same in all arms
        for arm in others:  # a mistake in the last arm is met before the first one is paid for
            check_agents(arm, plan.task)
    out = RunFolder(config.folder)
    _same_preset(out, config)
    with out.claim(config.identity(), _stored(config), lock=config.lock == "file", free_while_empty=False):
        if config.reuse:
            adopt(arms, config.reuse, watch.say)
        yield out


def _same_preset(out: RunFolder, config: StudyConfig) -> None:
    """Refuse the folder of another preset by its name. One whose arms are written out is the same study."""
    wanted = msgspec.json.decode(msgspec.json.encode(config.identity()["study"]))
    differs = out.has_begun and out.record().get("study") not in (None, wanted)
    there = load_yaml_file(out.path / "config.yaml").get("preset") if differs else config.preset
    if there != config.preset:
        held, asked = (
            f"with the preset {one}" if one else "without a preset" for one in (there, config.preset)
        )
        resume = f"--preset {there} resumes" if there else "without --preset, its options resume"
        cause = f"{out.path} holds a study {held}, and this is one {asked}"
        raise RunFolderError(cause, remedy=f"give another --output for a new study; {resume} what is there")


async def run_pilot(config: StudyConfig, watch: Watch | None = None) -> list[Forecast] | None:
    """Hold the pilot of every arm, and say what the whole study will take.

    Returns:
        A forecast per arm; None where it was stopped.

    Raises:
        UserError: as `run_study`.
    """
    assert config.pilot is not None
    arms, watch = config.arm_configs(), watch or Watch()
    with _begun(config, arms, watch):
        return await piloted(arms, config.pilot, watch)


class Left:
    """What the limits of a study leave to its next arm: they hold for all arms together."""

    def __init__(self, config: StudyConfig) -> None:
        self._tokens: float | None = config.max_tokens_total
        self._usd, self._hours = config.max_cost, config.max_hours
        self._began = time.monotonic()

    async def evaluate(self, arm: EvalConfig, progress: Progress) -> Run:
        """Run an arm, or resume it, within what is left.

        Raises:
            OutOfBudget: the next request could pass a limit of the study.
        """
        if (self._tokens is not None and self._tokens < 1) or (self._usd is not None and self._usd <= 0):
            raise OutOfBudget("the study has spent what it may", remedy=_HIGHER)
        hours = None if self._hours is None else self._hours - (time.monotonic() - self._began) / 3600
        if hours is not None and hours <= 0:
            raise OutOfBudget("the study has lasted its hours", remedy=_HIGHER)
        limited = dataclasses.replace(
            arm,
            max_tokens_total=None if self._tokens is None else int(self._tokens),
            max_cost=self._usd,
            max_hours=hours,
        )
        try:
            run = await hold_run(limited, progress)
        except OutOfBudget as error:
            raise OutOfBudget(f"{error} (of what earlier arms left)", remedy=_HIGHER) from None
        if run.summary is not None:
            used = run.summary.usage.values()
            if self._tokens is not None:
                self._tokens -= sum(
                    role.prompt_tokens + role.completion_tokens - role.free_tokens for role in used
                )
            if self._usd is not None:
                self._usd -= run.summary.cost or 0.0
        return run


_HIGHER = "run the same command again with a higher limit: what is there is kept"


async def report(out: RunFolder, folders: Mapping[str, RunFolder], config: StudyConfig) -> StudyResults:
    """Measure the arms and write every file of the report."""
    arms = await measured(folders, load_prices(config.prices))
    audited = of_arms(out.path, {name: arm.tally.num_conversations for name, arm in arms.items()})
    results = results_of(arms, config.planned(), config.groups(), config.pairs(), audited)
    try:
        _write(results, out.path)
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {out.path}: {error.strerror}", remedy="free space or fix the folder"
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
    values = msgspec.to_builtins(config)
    return {name: x for name, x in values.items() if name not in {"data_password", "dry_run"}}
