"""`--report_to`: a tracker is told of a run; one that fails or hangs costs a line, never the run."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

from coral.api import evaluate_async
from coral.cli import main
from coral.errors import ConfigError, MissingExtra
from coral.evaluation import processes
from coral.evaluation.config import EvalConfig
from coral.evaluation.progress import Progress
from coral.options import build_config
from coral.trackers import report as reports
from coral.trackers.report import Report, reporters, require
from coral.trackers.services import SERVICES, Tensorboard, flat


def options(url, data, path, **more):
    return {
        "task": {"name": "hi_tom"},
        "agent": {"model": "scripted", "base_url": url},
        "extractor": {"mode": "rules"},
        "data": data,
        "limit": 4,
        "output": str(path),
        **more,
    }


class Notebook:
    """A service that writes down what it is told."""

    def __init__(self, folder, name, config):
        self.folder, self.name, self.config = folder, name, config
        self.logged, self.tables, self.finished = [], {}, False

    def log(self, step, figures):
        self.logged.append((step, dict(figures)))

    def table(self, name, table):
        self.tables[name] = table

    def finish(self):
        self.finished = True


@pytest.fixture
def notebooks(monkeypatch):
    """All notebooks that runs have opened, under the name of wandb."""
    made = []

    def opened(*arguments):
        made.append(Notebook(*arguments))
        return made[-1]

    monkeypatch.setitem(SERVICES, "wandb", opened)
    monkeypatch.setattr("coral.evaluation.config.require", lambda names: None)
    monkeypatch.setattr("coral.trackers.figures.LOG_EVERY_S", 0.02)
    return made


async def test_a_run_is_told_as_it_goes_and_at_its_end(serve, data, tmp_path, notebooks):
    """Options, the folder, the headline over time, and the whole summary with its intervals."""
    async with serve(latency_s=0.2) as (url, _):
        config = build_config(EvalConfig, options(url, data, tmp_path / "run", report_to="wandb"), "run")
        run = await processes.run(config, Progress())
    (told,) = notebooks
    assert (told.folder, told.name, told.finished) == (tmp_path / "run", "run", True)
    assert told.config["limit"] == 4
    steps = [step for step, _ in told.logged]
    assert steps == sorted(steps)
    assert len(told.logged) >= 2, "some on the way"
    assert "live/agreed" in told.logged[-2][1]
    last = told.logged[-1][1]
    assert last["agreement_correctness"] == run.summary.metrics["agreement_correctness"].mean
    assert last["total/conversations"] == 4
    assert "total/usd" not in last, "unknown is not 0"
    columns, rows = told.tables["summary"]
    assert columns[:4] == ("metric", "value", "low", "high")
    assert {row[0] for row in rows} == set(run.summary.metrics)


async def test_a_study_and_its_arms_are_one_run_there(serve, data, tmp_path, notebooks):
    """A headline per arm as it ends, and one table of all."""
    from coral.studies.study import study_async

    async with serve() as (url, _):
        asked = options(url, data, tmp_path / "study", report_to="wandb")
        assert await study_async({**asked, "arms": {"alone": {"protocol": "cot"}, "pair": {}}})
    (told,) = notebooks
    assert [list(figures) for _, figures in told.logged] == [
        ["alone/accuracy"], ["pair/agreement_correctness"]
    ]  # fmt: skip
    assert {row[0] for row in told.tables["arms"][1]} == {"alone", "pair"}


class Raises(Notebook):
    """Fails at one of its methods."""

    where = "log"

    def __getattribute__(self, name):
        if name == type(self).where:
            raise SystemExit("the service is down")
        return super().__getattribute__(name)


def failing(where):
    kind = type("Failing", (Raises,), {"where": where})
    if where != "open":
        return kind

    def opened(*arguments):
        raise RuntimeError("cannot\nbe opened")

    return opened


@pytest.mark.parametrize("where", ["open", "log", "table", "finish"])
async def test_a_tracker_that_fails_costs_a_line(tmp_path, where):
    """Wherever it fails, whatever it raises; another one beside it gets everything."""
    said, made = [], []

    def opened(*arguments):
        made.append(Notebook(*arguments))
        return made[-1]

    report = Report(
        ("bad", "good"), tmp_path, {}, said.append, services={"bad": failing(where), "good": opened}
    )
    for step in range(3):
        report.log(step, {"a": 1.0, "unknown": None})
    report.table("t", (("x",), [[1]]))
    await report.close(within_s=10)
    (line,) = said
    assert line.startswith("bad gets nothing more of this run")
    assert "\n" not in line
    (good,) = made
    assert good.logged == [(0, {"a": 1.0}), (1, {"a": 1.0}), (2, {"a": 1.0})]
    assert good.finished


@pytest.mark.parametrize("where", ["open", "log", "table", "finish"])
async def test_a_tracker_that_hangs_costs_a_line_and_its_time(tmp_path, where):
    """Nothing that is told waits for it, and the end waits no longer than it may."""
    said, free = [], threading.Event()

    class Hangs(Notebook):
        pass

    def hang(*_):
        free.wait(60)
        return Notebook(tmp_path, "", {})

    if where != "open":
        setattr(Hangs, where, hang)
    report = Report(("bad",), tmp_path, {}, said.append, services={"bad": hang if where == "open" else Hangs})
    began = time.monotonic()
    for step in range(3 * reports.MOST_WAITING):
        report.log(step, {"a": 1.0})
    report.table("t", (("x",), [[1]]))
    await report.close(within_s=0.1)
    free.set()
    assert len(said) == 1
    assert "did not take everything within 0.1 s" in said[0]
    assert time.monotonic() - began < 30


async def test_a_run_with_a_hanging_tracker_ends_as_it_would(serve, data, tmp_path, monkeypatch, content):
    """The summary is whole; only a note says that the tracker was left alone."""
    free = threading.Event()
    monkeypatch.setitem(SERVICES, "wandb", lambda *_: free.wait(60))
    monkeypatch.setattr("coral.evaluation.config.require", lambda names: None)
    monkeypatch.setattr(Report.close, "__defaults__", (0.1,))
    async with serve() as (url, _):
        plain = await evaluate_async(**_named(options(url, data, tmp_path / "plain")))
        progress = Progress()
        config = build_config(EvalConfig, options(url, data, tmp_path / "run", report_to="wandb"), "run")
        run = await processes.run(config, progress)
    free.set()
    assert content(run) == content(plain)
    assert run.summary == plain.summary or run.summary.metrics.keys() == plain.summary.metrics.keys()
    assert any("wandb did not take everything" in note for note in progress.notes)


def _named(asked):
    task = asked.pop("task")["name"]
    return {"task": task, **asked}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("none", ()),
        ("", ()),
        ("wandb", ("wandb",)),
        (" wandb , mlflow,", ("wandb", "mlflow")),
        ("wandb,wandb", ("wandb",)),
    ],
)
def test_trackers_are_named_with_commas(text, names):
    """In any spacing, each once."""
    assert reporters(text) == names


@pytest.mark.parametrize("text", ["wandbb", "none,wandb", "wandb;mlflow", "WANDB", "comet", "wandb mlflow"])
def test_an_unknown_tracker_is_refused(text):
    """With those that there are."""
    with pytest.raises(ConfigError, match="cannot report to") as caught:
        reporters(text)
    assert "wandb, trackio, mlflow, tensorboard" in caught.value.remedy


def test_a_tracker_that_is_not_installed_is_said_before_anything_is_asked(monkeypatch, capsys):
    """With the extra that brings it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="--report_to mlflow needs the package 'mlflow'") as caught:
        require(("mlflow",))
    assert "[track]" in caught.value.remedy
    monkeypatch.undo()
    assert main(["eval", "hi_tom", "--report_to", "comet"]) == 2
    assert "cannot report to 'comet'" in capsys.readouterr().err


def test_options_of_options_are_dotted():
    """What is not set is left out."""
    nested = {"a": {"b": 1, "c": {"d": "x"}}, "e": None, "f": [], "g": [1, 2], "h": False}
    assert flat(nested) == {"a.b": 1, "a.c.d": "x", "g": "[1, 2]", "h": False}


# The services themselves, where they are installed; nothing leaves this machine -----------------------------

FIGURES = [(0, {"live/agreed": 0.0}), (5, {"live/agreed": 0.5, "total/usd": 1.25})]
TABLE = (("metric", "value", "low"), [["a/b", 0.5, None], ["c", 1.0, 0.25]])


def tell(service):
    for step, figures in FIGURES:
        service.log(step, figures)
    service.table("summary", TABLE)
    service.finish()


def test_tensorboard_gets_event_files(tmp_path):
    """Scalars and tables, without a training library."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tell(Tensorboard(tmp_path, "run", {"agent": {"model": "m"}}))
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(one.step, one.value) for one in found.Scalars("live/agreed")] == [(0, 0.0), (5, 0.5)]
    texts = [event.tensor_proto.string_val[0].decode() for event in found.Tensors("config/text_summary")]
    assert f"| folder | {tmp_path} |" in texts[0]
    assert "| a/b | 0.5 |  |" in found.Tensors("summary/text_summary")[0].tensor_proto.string_val[0].decode()


TELL = """
import sys
from pathlib import Path
from coral.trackers.services import SERVICES

service = SERVICES[sys.argv[1]](Path(sys.argv[2]), "run", {"agent": {"model": "m"}, "limit": 4})
service.log(0, {"live/agreed": 0.5})
service.log(5, {"live/agreed": 0.75})
service.table("summary", (("metric", "value"), [["a/b", 0.5], ["c", None]]))
service.finish()
"""


def told_in_a_process(name, folder, **environ):
    """A process tells a real service of a run, and nothing is sent anywhere; returns what it printed."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", TELL, name, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=folder,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **environ},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def rows_of(database, query):
    with sqlite3.connect(database) as raw:
        rows = raw.execute(query).fetchall()
    raw.close()
    return rows


def test_mlflow_gets_a_run_and_the_same_one_again(tmp_path):
    """Parameters, metrics by step, the table; a session that resumes writes on in the same run."""
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    folder = tmp_path / "it's a run"
    for _ in range(2):
        told_in_a_process("mlflow", folder, MLFLOW_TRACKING_URI=f"sqlite:///{tmp_path}/m.db")
    database = tmp_path / "m.db"
    assert rows_of(database, "SELECT COUNT(*), MIN(status) FROM runs") == [(1, "FINISHED")]
    assert rows_of(database, "SELECT key, value FROM params ORDER BY key") == [
        ("agent.model", "m"), ("limit", "4")
    ]  # fmt: skip
    assert rows_of(database, "SELECT DISTINCT step, value FROM metrics ORDER BY step") == [
        (0, 0.5),
        (5, 0.75),
    ]
    assert rows_of(database, "SELECT value FROM tags WHERE key = 'coral.folder'") == [(str(folder),)]
    (table,) = folder.rglob("summary.csv")
    assert table.read_text().splitlines() == ["metric,value", "a/b,0.5", "c,"]


def test_wandb_writes_offline(tmp_path):
    """Nothing is sent; what `wandb sync` would send lies in the run's folder."""
    pytest.importorskip("wandb")
    assert told_in_a_process("wandb", tmp_path, WANDB_MODE="offline") == ""
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert file.stat().st_size > 500
    (table,) = (tmp_path / "wandb").rglob("summary_*.table.json")
    assert json.loads(table.read_text())["data"] == [["a/b", 0.5], ["c", None]]


def test_trackio_writes_its_local_store(tmp_path):
    """Figures by step, in the database of the project; standard output stays ours."""
    pytest.importorskip("trackio")
    assert told_in_a_process("trackio", tmp_path, TRACKIO_DIR=str(tmp_path)) == ""
    (database,) = tmp_path.glob("*.db")
    rows = [(step, json.loads(text)) for step, text in rows_of(database, "SELECT step, metrics FROM metrics")]
    assert {(step, one["live/agreed"]) for step, one in rows if "live/agreed" in one} == {(0, 0.5), (5, 0.75)}
