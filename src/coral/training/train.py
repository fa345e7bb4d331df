"""What `coral train` does: check the rows, train on them, and leave a checkpoint that says it is complete."""

from __future__ import annotations

import errno
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import yaml

from coral.errors import ConfigError, RunFolderError
from coral.store.checkpoints import model_fingerprint
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.training.check import Check, check_rows, refuse_long
from coral.training.config import TrainConfig, TrainerConfig, decisive
from coral.training.encode import Encoder, load_encoder
from coral.training.export import export_model
from coral.training.fairseq2 import CONFIG, SCRIPT, launch_script, recipe_config
from coral.training.libraries import library_versions, process_rank, quiet_libraries, require_libraries
from coral.training.plan import Plan, plan_training
from coral.training.record import FILE, RowCounts, Training, load_training, split_history
from coral.training.rows import Row, RowSet, check_rendered, load_rows, split_rows
from coral.training.trainer import Data, Session, Watch, resolved, run_training

OnCheck = Callable[["Prepared"], None]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A training before its first step: its rows checked, its steps counted."""

    data: Data
    plan: Plan
    encoder: Encoder


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a session left behind.

    Attributes:
        path: the output folder; a checkpoint folder once `training` is there.
        training: the finished training; None where it was interrupted or only checked.
        prepared: what the check found; None where the training was finished before.
    """

    path: Path
    training: Training | None
    prepared: Prepared | None


def train(
    config: TrainConfig, *, watch: Watch | None = None, on_check: OnCheck = lambda _prepared: None
) -> TrainResult:
    """Train, resume a training that was stopped, or return one that is finished.

    Args:
        config: all options.
        watch: who follows the steps.
        on_check: called before the first step with what the check found, in the first process alone.

    Raises:
        UserError: an option, the model or the rows cannot be used, or the loss is no number any more.
    """
    require_libraries(config.reporters)
    rank, processes = process_rank()
    output = Path(config.output).expanduser()
    refuse_foreign_model(output)
    with quiet_libraries():
        rows = load_rows(config.rows, config.kind)
        identity = identify(config, rows)
        prepared = None
        if config.dry_run or load_training(output) is None:
            prepared = prepare(config, rows, processes)
            if rank == 0:
                on_check(prepared)
        if config.dry_run:
            return TrainResult(path=output, training=None, prepared=prepared)
        with _claimed(output, identity, config, rank):
            training = load_training(output)
            if training is None and prepared is not None:
                with telling_of_space(output):
                    training = _train(config, prepared, output, identity, watch or Watch())
            if training is not None:
                clean(config, output, rank)
            return TrainResult(path=output, training=training, prepared=prepared)


def identify(config: TrainConfig, rows: RowSet) -> dict[str, Any]:
    """What decides the trained weights: must be the same in each session."""
    reference = {"reference": model_fingerprint(config.reference)} if config.reference else {}
    template = {"chat_template": digest_of(config.chat_template)} if config.chat_template else {}
    return {
        "training": {**decisive(config), **template},
        "model": model_fingerprint(config.model),
        **reference,
        "rows_sha256": rows.sha256,
    }


def digest_of(path: str) -> str:
    """Identifies a file by its content.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).expanduser().read_bytes()).hexdigest()
    except OSError as error:
        raise ConfigError(
            f"cannot read the chat template {path}: {error.strerror}",
            remedy="name a file with a Jinja template",
        ) from None


def prepare(config: TrainConfig, rows: RowSet, processes: int) -> Prepared:
    """Check the rows against the model's chat template and context, and count the steps.

    Raises:
        UserError: the template would train something else than the replies, or rows are too long.
    """
    encoder = load_encoder(config.model, config.chat_template)
    limit = _limit(config)
    training, held_out = split_rows(rows.rows, config.eval_fraction, config.seed)
    if config.eval_rows:
        held_out = load_rows(config.eval_rows, config.kind).rows
    if not training or (config.eval_fraction and not held_out):
        raise ConfigError(
            f"eval_fraction {config.eval_fraction} leaves {len(training)} rows to train on and "
            f"{len(held_out)} to evaluate on",
            remedy="give another share or seed, or held-out rows with --eval_rows",
        )

    def checked(chosen: tuple[Row, ...], what: str, show: int) -> Check:
        check = check_rows(chosen, encoder, kind=config.kind, limit=limit, show=show)
        refuse_long(check, drop=config.drop_long, what=what)
        return check

    data = Data(
        rows=rows,
        train=checked(training, "rows", config.show_rows),
        held_out=checked(held_out, "held-out rows", 0) if held_out else None,
    )
    plan = plan_training(config, len(data.train.kept), processes)
    return Prepared(data=data, plan=plan, encoder=encoder)


def write_fairseq2(config: TrainConfig) -> tuple[Path, Path]:
    """Write the config and the launch script of fairseq2's recipe into the output folder; nothing is run.

    Raises:
        ConfigError: the folder cannot be written.
        DataError: the rows are of another format.
    """
    check_rendered(config.rows, config.kind)
    folder = Path(config.output).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(msgspec.to_builtins(recipe_config(config)), sort_keys=False)
        write_whole(folder / CONFIG, text)
        write_whole(folder / SCRIPT, launch_script(config))
    except OSError as error:
        raise ConfigError(
            f"cannot write to {folder}: {error.strerror}", remedy="choose another --output"
        ) from None
    return folder / CONFIG, folder / SCRIPT


def _limit(config: TrainConfig) -> int:
    """Most tokens of a row: the model's context, or less on request."""
    context = context_of(config.model)
    wanted = config.max_row_tokens or context
    if wanted is None:
        raise ConfigError(
            f"'{config.model}' does not say how long its context is", remedy="give --max_row_tokens"
        )
    if context is not None and wanted > context:
        raise ConfigError(
            f"max_row_tokens is {wanted}, but the model's context has {context}",
            remedy=f"give at most {context}",
        )
    return int(wanted)


def context_of(model: str) -> int | None:
    """Most tokens that a model reads, as it says itself.

    Raises:
        ConfigError: there is no such model.
    """
    from transformers import AutoConfig

    try:
        found: int | None = getattr(AutoConfig.from_pretrained(model), "max_position_embeddings", None)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no model in '{model}': {str(error).splitlines()[0]}",
            remedy="name a checkpoint folder with config.json, or a model on the hub",
        ) from None
    return found


@contextmanager
def _claimed(output: Path, identity: Mapping[str, Any], config: TrainConfig, rank: int) -> Iterator[None]:
    """The first process holds the folder; the others of the same launch work in it, too."""
    if rank:
        yield
        return
    with RunFolder(output).claim(identity, msgspec.to_builtins(config), free_while_empty=False):
        yield


def _train(
    config: TrainConfig, prepared: Prepared, output: Path, identity: dict[str, Any], watch: Watch
) -> Training | None:
    started = time.monotonic()
    session = run_training(
        config,
        prepared.plan,
        prepared.data,
        prepared.encoder,
        folder=output / "checkpoints",
        watch=watch,
    )
    if not session.finished:
        return None
    export_model(session.trainer, config, prepared.encoder, output)
    training = _record(config, prepared, session, identity, time.monotonic() - started)
    if session.trainer.is_world_process_zero():
        lines = b"".join(msgspec.json.encode(line) + b"\n" for line in session.history)
        write_whole(output / "history.jsonl", lines)
        RunFolder(output).write(FILE, training)
    return training


def refuse_foreign_model(output: Path) -> None:
    """Keep a training from writing over a model that it did not train, such as the one it begins with.

    Raises:
        RunFolderError: there is such a model.
    """
    if RunFolder(output).has_begun:
        return
    found = next((path for name in ("*.safetensors", "config.json") for path in output.glob(name)), None)
    if found is not None:
        raise RunFolderError(
            f"{output} holds a model already ({found.name}), and no training that could be resumed",
            remedy="give another --output: the trained model would be written over it",
        )


SCARCE_BYTES = 1_000_000
"""With less than this free, a file that could not be written met the end of the disk."""


@contextmanager
def telling_of_space(folder: Path) -> Iterator[None]:
    """Tell of a full disk: the libraries that write checkpoints say it in words of their own, or not at all.

    Raises:
        RunFolderError: the disk is full.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        stated = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
        if not stated and shutil.disk_usage(folder).free > SCARCE_BYTES:
            raise
        raise RunFolderError(
            f"cannot write to {folder}: no space left on the device",
            remedy="free space, then run the same command again: it resumes from the last whole checkpoint",
        ) from error


def _record(
    config: TrainConfig, prepared: Prepared, session: Session, identity: dict[str, Any], seconds: float
) -> Training:
    data, plan = prepared.data, prepared.plan
    held_out = data.held_out
    checks = [data.train, held_out] if held_out else [data.train]
    last, before, after = split_history(session.history)
    return Training(
        kind=config.kind,
        identity=identity,
        config=msgspec.to_builtins(resolved(config, plan)),
        rows=RowCounts(
            read=len(data.rows.rows),
            trained=len(data.train.kept),
            held_out=len(held_out.kept) if held_out else 0,
            too_long=len(data.train.too_long),
            held_out_too_long=len(held_out.too_long) if held_out else 0,
            longest_tokens=data.train.longest,
            trained_tokens=data.train.trained_tokens,
            equal_replies=sum(len(check.equal) for check in checks),
            control_tokens=sum(len(check.controlled) for check in checks),
        ),
        steps=plan.steps,
        processes=plan.processes,
        accumulation=plan.accumulation,
        last=last,
        eval_before=before,
        eval_after=after,
        seconds=round(seconds, 2),
        resumed_from=session.resumed_from,
        device=device_of(session.trainer),
        versions=library_versions(),
    )


def device_of(trainer: Any) -> str:
    """Where a trainer computes, with the device's name."""
    import torch

    device = trainer.accelerator.device
    return f"{device.type} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else str(device)


def clean(config: TrainerConfig, output: Path, rank: int) -> None:
    """Checkpoints with optimizer state go once the record is there, unless they are to stay."""
    if rank == 0 and not config.keep_checkpoints:
        shutil.rmtree(output / "checkpoints", ignore_errors=True)
