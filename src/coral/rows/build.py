"""Building training rows from runs: a complete folder, or none.

DIR/train.jsonl      the rows (or train.parquet)
DIR/lineage/         for formats without a column for it: where each row comes from, line by line
DIR/report.json      counts of every filter, duplicates, shared problems, lengths
DIR/config.yaml      all options; `coral build --config DIR/config.yaml --output OTHER` builds the same rows
DIR/README.md        a card for people and for the hub
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from coral import workers
from coral.config import dump_yaml, option
from coral.errors import ConfigError, Rejected, RunFolderError
from coral.rows.assemble import Assembly, OnShared, assemble
from coral.rows.formats import Format, Render, check_format
from coral.rows.options import RowOptions
from coral.rows.problem_statistics import HeldOut
from coral.rows.report import Report
from coral.rows.run import SampledRun, open_runs
from coral.rows.write import FileType, card, require_writer
from coral.store.folder import RunFolder
from coral.store.lock import take_lock
from coral.store.push import push, require_hub
from coral.tasks.protocol import Source
from coral.tasks.registry import task_of
from coral.types import Message


@dataclass(frozen=True, kw_only=True)
class BuildConfig(RowOptions):
    """All options of a build."""

    runs: list[str] = option(decides=True, names=True, default_factory=list)
    """Run folders to make rows of (the first arguments of the command)."""
    output: str = option("", decides=False)
    """Folder to write. It must not exist: nothing is overwritten."""
    format: Format = option("trl", decides=True)
    """trl, openai, sharegpt: lists of messages. fairseq2: text, rendered with `tokenizer`'s chat template."""
    file: FileType = option("jsonl", decides=True)
    """jsonl or parquet."""
    tokenizer: str | None = option(None, decides=True)
    """fairseq2: a model or tokenizer folder with a chat template."""
    held_out: list[str] = option(decides=True, names=True, default_factory=list)
    """What no row may come from: run folders of evaluations, or names of splits of the runs' own data."""
    data_password: str | None = option(None, decides=False)
    """Password of an encrypted archive (GPQA) whose split is held out. Never stored."""
    shared: OnShared = option("stop", decides=True)
    """What to do if the runs share problems with held-out data, or were sampled on an evaluation split: stop;
    drop (leave the shared problems out; of an evaluation split, `held_out` must then say which problems are
    evaluated on); keep (make rows of them all the same)."""
    unfinished: bool = option(False, decides=True)
    """Take what is there of runs that are not finished."""
    push_to_hub: str | None = option(None, decides=False)
    """OWNER/NAME of a data set on the Hugging Face hub to upload the folder to."""
    public: bool = option(False, decides=False)
    """Make the data set on the hub public, if it is new."""


async def build(config: BuildConfig) -> Report:
    """Make rows of runs, and write them with a report of how they were chosen.

    The same runs and options give the same rows in the same order, whatever order the conversations are
    stored in.

    Raises:
        UserError: an option, a run or the output cannot be used; no row is left; or the runs share problems
            with held-out data.
    """
    tokenizer = _check(config)
    render = await _renderer(tokenizer) if tokenizer else None
    runs = open_runs(config.runs, unfinished=config.unfinished)
    _check_confidential(config, runs)
    held_out = _held_out(config, runs)
    output = Path(config.output)
    with _complete_or_nothing(output) as folder:
        assembly = Assembly(
            options=config,
            runs=tuple(runs),
            held_out=held_out,
            on_shared=config.shared,
            folder=folder,
            form=config.format,
            file_type=config.file,
            render=render,
        )
        async with workers.in_use():
            report = await assemble(assembly)
        _write_records(folder, report, config)
    if config.push_to_hub:
        push(output, config.push_to_hub, public=config.public)
    return report


def _check(config: BuildConfig) -> Path | None:
    """See what can be seen without reading a run; returns the folder of a chat template, if any."""
    if not config.runs:
        raise ConfigError("no run given", remedy="coral build RUN... --kind sft|dpo|kto --output DIR")
    if not config.output:
        raise ConfigError("no output given", remedy="name a new folder with --output")
    check_format(config.format, config.kind, has_template=config.tokenizer is not None)
    require_writer(config.file)
    if config.push_to_hub:
        require_hub()
    return Path(config.tokenizer).expanduser() if config.tokenizer else None


def _check_confidential(config: BuildConfig, runs: Sequence[SampledRun]) -> None:
    confidential = [run.task_name for run in runs if run.task.info.confidential]
    if config.push_to_hub and confidential:
        raise ConfigError(
            f"rows of {confidential[0]} hold its problems, and its authors ask that none is published",
            remedy="leave --push_to_hub out",
        )


async def _renderer(folder: Path) -> Render:
    """How prompts are rendered. A template is tried first, in a process that can be killed."""
    from coral.engine.prompt import PromptMaker
    from coral.engine.tokens import load_template

    prompts = PromptMaker(folder)
    try:
        await prompts.check(template_alone=True)
    finally:
        await prompts.close()
    template = load_template(folder)
    if template is None:
        raise ConfigError(
            f"{folder} has no chat template",
            remedy="name a folder with chat_template.jinja, or with one in its tokenizer_config.json",
        )

    def render(messages: Sequence[Message]) -> str:
        try:
            return template.render(messages, {})
        except Rejected as error:
            raise ConfigError(
                str(error), remedy="for templates without a system role, sample with system_in_user"
            ) from None

    return render


# Held-out problems ------------------------------------------------------------------------------------------


def _held_out(config: BuildConfig, runs: Sequence[SampledRun]) -> HeldOut:
    """The problems of evaluation runs, and of splits of the runs' own data.

    Raises:
        UserError: a name is neither a run nor a split, or its data cannot be read.
    """
    held_out = HeldOut()
    for name in config.held_out:
        if (Path(name) / "run.json").is_file():
            _hold_run_out(RunFolder(name), held_out)
        elif not _hold_split_out(name, runs, held_out, config.data_password):
            raise ConfigError(
                f"'{name}' is neither a run folder nor a split of the runs' data",
                remedy="give --held_out the folder that `coral eval` printed, or a split such as test",
            )
    return held_out


def _hold_run_out(folder: RunFolder, held_out: HeldOut) -> None:
    task = task_of(folder)
    held_out.add_split(task, str(folder.identity()["split"]) or task.info.splits[0])
    for conversation in folder.conversations():
        held_out.add(task, conversation.problem)


def _hold_split_out(split: str, runs: Sequence[SampledRun], held_out: HeldOut, password: str | None) -> bool:
    """Hold out a split of each run's data that has it; returns whether one has."""
    concerned = [run for run in runs if split in run.task.info.splits]
    for run in concerned:
        options = _options_of(run)
        seed = int(run.identity.get("data_seed", run.identity["seed"]))
        split_seed = int(run.identity.get("split_seed", seed))
        data = options.get("data")
        source = Source(data=data, split=split, seed=seed, split_seed=split_seed, password=password)
        held_out.add_split(run.task, split)
        for problem in run.task.problems(source):
            held_out.add(run.task, problem)
    return bool(concerned)


def _options_of(run: SampledRun) -> dict[str, str | None]:
    path = run.folder.path / "config.yaml"
    try:
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, yaml.YAMLError):
        raise RunFolderError(f"{path} cannot be read", remedy="restore it from a copy") from None


# The folder -------------------------------------------------------------------------------------------------


@contextmanager
def _complete_or_nothing(output: Path) -> Iterator[Path]:
    """A folder beside `output` that takes its place at the end; whatever goes wrong leaves nothing behind.

    Raises:
        RunFolderError: `output` exists, cannot be written, or another process builds it.
    """
    if output.exists() and not (output.is_dir() and not any(output.iterdir())):
        raise RunFolderError(
            f"{output} exists", remedy="nothing is overwritten: give another --output, or delete it first"
        )
    partial = output.parent / f".{output.name}.partial"
    lock = None
    try:
        partial.mkdir(parents=True, exist_ok=True)
        lock = _lock(partial)
        for left in partial.iterdir():  # by a process that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield partial
        partial.rename(output)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {output}: {error.strerror or error}",
            remedy="free space or fix the folder, then run the same command again",
        ) from None
    finally:
        if lock is not None:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(lock)


def _lock(folder: Path) -> int:
    """Keep other processes out of a folder, for as long as the descriptor is open."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not take_lock(descriptor, folder.parent):
            raise RunFolderError(
                f"another process builds {folder.name.removeprefix('.').removesuffix('.partial')}",
                remedy="wait for it, stop it, or give another --output",
            )
    except RunFolderError:
        os.close(descriptor)
        raise
    return descriptor


def _write_records(folder: Path, report: Report, config: BuildConfig) -> None:
    text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode() + "\n"
    (folder / "report.json").write_text(text, encoding="utf-8")
    (folder / "README.md").write_text(card(report, config.file, config.format), encoding="utf-8")
    again = dataclasses.replace(config, push_to_hub=None, data_password=None)
    options = dump_yaml(msgspec.to_builtins(again))
    (folder / "config.yaml").write_text(options, encoding="utf-8")
