"""One class per service: what is told to it, in its own words. Each is called in a thread (`report.py`)."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Protocol

PROJECT = "coral"
"""Of runs, where WANDB_PROJECT, TRACKIO_PROJECT or MLFLOW_EXPERIMENT_NAME names none."""
LONGEST_VALUE = 500
"""Characters of an option's value, where the service limits them."""

Cell = str | float | int | None
Table = tuple[Sequence[str], Sequence[Sequence[Cell]]]
"""Columns and rows."""


class Service(Protocol):
    """A run at a service. Any method may raise, or never return."""

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Figures at a step."""

    def table(self, name: str, table: Table) -> None:
        """A table, at the end."""

    def finish(self) -> None:
        """Nothing follows."""


def identity_of(folder: Path) -> str:
    """Tells the run of one folder from others, so that a run that resumes is the same one there."""
    return hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]


class Wandb:
    """Weights & Biases. `WANDB_MODE=offline` writes to the folder alone."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        import os

        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=name,
            id=identity_of(folder),
            resume="allow",
            dir=str(folder),
            config={**config, "folder": str(folder.absolute())},
            notes=f"coral run folder: {folder.absolute()}",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def table(self, name: str, table: Table) -> None:
        columns, rows = table
        self._run.log({name: self._wandb.Table(columns=list(columns), data=[list(row) for row in rows])})

    def finish(self) -> None:
        self._run.finish()


class Trackio:
    """Trackio, in its local store."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        import os

        import trackio

        self._trackio = trackio
        with redirect_stdout(StringIO()):  # it chats where our tables are printed, in colours
            self._run = trackio.init(
                project=os.environ.get("TRACKIO_PROJECT", PROJECT),
                name=f"{name}-{identity_of(folder)[:6]}",
                resume="allow",
                config={**flat(config), "folder": str(folder.absolute())},
                embed=False,
                auto_log_cpu=False,
                auto_log_gpu=False,
            )

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=step)

    def table(self, name: str, table: Table) -> None:
        import pandas as pd

        columns, rows = table
        frame = pd.DataFrame([list(row) for row in rows], columns=list(columns))
        self._run.log({name: self._trackio.Table(dataframe=frame)})

    def finish(self) -> None:
        with redirect_stdout(StringIO()):
            self._trackio.finish()  # the run's own method would be called once more, and chat, at exit


class Mlflow:
    """MLflow, wherever MLFLOW_TRACKING_URI says."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        import os

        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        self._metric = Metric
        self._client = client = MlflowClient()
        wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        found = client.get_experiment_by_name(wanted)
        experiment = client.create_experiment(wanted) if found is None else found.experiment_id
        tags = {"coral.folder": str(folder.absolute()), "coral.id": identity_of(folder)}
        before = client.search_runs([experiment], f"tags.`coral.id` = '{tags['coral.id']}'")
        run = before[0] if before else client.create_run(experiment, tags=tags, run_name=name)
        self._id: str = run.info.run_id
        if before:
            client.update_run(self._id, status="RUNNING")
        else:
            params = [Param(key, str(value)[:LONGEST_VALUE]) for key, value in flat(config).items()]
            for first in range(0, len(params), 100):
                client.log_batch(self._id, params=params[first : first + 100])

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        metrics = [self._metric(name, value, now, step) for name, value in figures.items()]
        for first in range(0, len(metrics), 1000):
            self._client.log_batch(self._id, metrics=metrics[first : first + 1000])

    def table(self, name: str, table: Table) -> None:
        import csv
        import io

        columns, rows = table
        text = io.StringIO()
        csv.writer(text).writerows([columns, *rows])
        self._client.log_text(self._id, text.getvalue(), f"{name}.csv")

    def finish(self) -> None:
        self._client.set_terminated(self._id)


class Tensorboard:
    """Event files in FOLDER/tensorboard."""

    def __init__(self, folder: Path, name: str, config: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._writer = EventFileWriter(str(folder / "tensorboard"))
        told = {**flat(config), "folder": str(folder.absolute()), "run": name}
        self.table("config", (("option", "value"), [(key, str(value)) for key, value in told.items()]))

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        values = [self._summary.Value(tag=name, simple_value=value) for name, value in figures.items()]
        self._write(step, self._summary(value=values))

    def table(self, name: str, table: Table) -> None:
        from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2
        from tensorboard.plugins.text import metadata

        columns, rows = table
        lines = [columns, ["---"] * len(columns), *rows]
        text = "\n".join(
            f"| {' | '.join('' if one is None else str(one) for one in line)} |" for line in lines
        )
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[text.encode()],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        )
        described = metadata.create_summary_metadata(name, "")
        value = self._summary.Value(tag=f"{name}/text_summary", tensor=tensor, metadata=described)
        self._write(0, self._summary(value=[value]))

    def finish(self) -> None:
        self._writer.close()

    def _write(self, step: int, summary: Any) -> None:
        self._writer.add_event(self._event(wall_time=time.time(), step=step, summary=summary))


Open = Callable[[Path, str, Mapping[str, Any]], Service]
"""Begins a run: its folder, its name, its options."""
SERVICES: dict[str, Open] = {"wandb": Wandb, "trackio": Trackio, "mlflow": Mlflow, "tensorboard": Tensorboard}


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Options of options by dotted names; what is not set is left out."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        elif value not in (None, "", [], ()):
            found[f"{prefix}{key}"] = value if isinstance(value, str | int | float | bool) else str(value)
    return found
