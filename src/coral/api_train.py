"""`coral.train`: trainings as a function of the Python API."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from coral.errors import ConfigError
from coral.evaluation.given import refuse_running_loop
from coral.keywords import GrpoOptions, TrainOptions
from coral.options import build_config
from coral.rl.config import GrpoConfig
from coral.rl.train import GrpoResult, train_grpo
from coral.training.config import Kind as TrainingKind
from coral.training.config import TrainConfig
from coral.training.train import TrainResult
from coral.training.train import train as _train

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in `typing` from Python 3.11 on


@overload
def train(
    kind: TrainingKind,
    *,
    model: str | Path,
    output: str | Path,
    rows: str | Path,
    **options: Unpack[TrainOptions],
) -> TrainResult: ...
@overload
def train(
    kind: Literal["grpo"],
    *,
    model: str | Path,
    output: str | Path,
    rollout: Mapping[str, Any],
    **options: Unpack[GrpoOptions],
) -> GrpoResult: ...
def train(  # type: ignore[misc]  # one mapping cannot hold the options of both kinds
    kind: TrainingKind | Literal["grpo"],
    *,
    model: str | Path,
    output: str | Path,
    rows: str | Path | None = None,
    rollout: Mapping[str, Any] | None = None,
    **options: Unpack[TrainOptions],
) -> TrainResult | GrpoResult:
    """Train a model on rows, or on conversations that it holds meanwhile; the same call again resumes a
    training that was stopped.

    Args:
        kind: sft, dpo or kto: on rows. grpo: on conversations.
        model: a checkpoint folder, or a name on the hub.
        output: folder of the trained checkpoint.
        rows: a folder that `coral build` wrote, or one file.
        rollout: of grpo: how conversations are held, in options of `evaluate`, such as task or max_turns.
        options: everything else that `coral train --help` or `coral train grpo --help` lists, such as
            `learning_rate` or `lora`.

    Returns:
        The folder, and what the training was.

    Raises:
        UserError: an option, the model, the rows or the data cannot be used; `remedy` says what to do.
        ConfigError: grpo was called inside a running event loop.
    """
    given = {"model": str(model), "output": str(output), **options}
    wanted, other = ("rollout", rows) if kind == "grpo" else ("rows", rollout)
    if other is not None:
        raise ConfigError(
            f"{kind} trains on {'conversations' if kind == 'grpo' else 'rows'}",
            remedy=f"give {wanted}, and not {'rows' if kind == 'grpo' else 'rollout'}",
        )
    if kind == "grpo":
        refuse_running_loop(remedy='await asyncio.to_thread(coral.train, "grpo", ...)')
        given["rollout"] = rollout or {}
        return train_grpo(build_config(GrpoConfig, given, "", remedy="see `coral train grpo --help`"))
    given |= {"kind": kind, "rows": "" if rows is None else str(rows)}
    return _train(build_config(TrainConfig, given, "", remedy="see `coral train --help`"))
