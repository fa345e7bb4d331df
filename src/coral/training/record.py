"""`train.json`: what a finished training was. Its presence says that the folder is complete."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from coral.errors import RunFolderError
from coral.types import Record

FILE = "train.json"


class RowCounts(Record, frozen=True):
    """Where the rows went.

    Attributes:
        read: rows on disk; the sum of the six others that count rows where nothing came from `eval_rows`.
        trained: rows trained on.
        held_out: rows evaluated on.
        too_long, held_out_too_long: left out.
        equal_replies, control_tokens: left out of both: pairs whose replies are the same, and rows that hold
            control tokens in what was said.
        trained_tokens: tokens of the replies trained on, once through the rows.
    """

    read: int
    trained: int
    held_out: int
    too_long: int
    held_out_too_long: int
    longest_tokens: int
    trained_tokens: int
    equal_replies: int = 0
    control_tokens: int = 0


class Training(Record, frozen=True):
    """A finished training.

    Attributes:
        identity: what decides the weights: options, and fingerprints of models and rows.
        config: all options, with those settled that were left open.
        steps: optimizer steps taken.
        accumulation: batches of a device whose gradients make one step.
        last: the last value of each logged quantity of the training, such as `loss` or `rewards/margins`.
        eval_before, eval_after: the same on the held-out rows, before the first step and after the last.
        seconds: wall time of the session that finished it.
        resumed_from: step at which that session began.
        device: such as cpu or cuda, with its name.
        versions: of Coral, Python and the libraries.
    """

    kind: str
    identity: dict[str, Any]
    config: dict[str, Any]
    rows: RowCounts
    steps: int
    processes: int
    accumulation: int
    last: dict[str, float]
    eval_before: dict[str, float]
    eval_after: dict[str, float]
    seconds: float
    resumed_from: int
    device: str
    versions: dict[str, str]


def load_training(folder: Path | str) -> Training | None:
    """What the training in `folder` was; None where it is not finished.

    Raises:
        RunFolderError: the record cannot be read.
    """
    path = Path(folder) / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Training)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RunFolderError(f"{path}: {error}", remedy="train again into another folder") from None


def split_history(history: Iterable[Mapping[str, float]]) -> tuple[dict[str, float], ...]:
    """Last training values, first and last evaluation, out of a training's log lines."""
    lines = list(history)
    evaluations = [_named(line, "eval_") for line in lines if "eval_loss" in line]
    trained = [line for line in lines if "loss" in line]
    last = {name: float(value) for name, value in trained[-1].items()} if trained else {}
    return last, evaluations[0] if evaluations else {}, evaluations[-1] if evaluations else {}


def _named(line: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {
        name.removeprefix(prefix): float(value) for name, value in line.items() if name.startswith(prefix)
    }
