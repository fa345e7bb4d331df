"""The loop end to end, on a random model, with TRL."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

import coral
from coral.errors import ConfigError, RunFolderError, UserError
from coral.evaluation.watch import Watch
from coral.improvement.results import HEADLINE, Results
from coral.metrics import Summary
from coral.store.checkpoints import model_fingerprint


def test_the_command_goes_round_and_reports(options, config_file, tmp_path):
    """One command: figures before and after, a verdict, a report, and plots that are there."""
    done = subprocess.run(
        [sys.executable, "-m", "coral", "improve", "--config", str(config_file(options))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "since the start" in done.stdout
    assert "conversation gain, points" in done.stdout
    out = tmp_path / "out"
    results = msgspec.json.decode((out / "report.json").read_bytes(), type=Results)
    start, trained = results.models
    assert start.measured["pair"].problems == trained.measured["alone"].problems == 8
    assert trained.made.training.steps == 2
    assert trained.made.verdict.target.num_problems == 8
    assert trained.made.sampled.candidates.drawn >= 8 * 2 * 3
    report = (out / "report.md").read_text()
    for part in (
        "## Models",
        "## What talking changed",
        "## Gate",
        "## How the pair talks",
        "## Data and training",
        "## Cost",
    ):
        assert part in report
    for name in ("headline", "alone_and_pair", "social", "cost"):
        assert (out / "plots" / f"{name}.png").stat().st_size > 5000
        assert "<svg" in (out / "plots" / f"{name}.svg").read_text()
    again = coral.improve(options)
    assert msgspec.json.encode(again) == msgspec.json.encode(results)
    with pytest.raises(RunFolderError, match="samples"):
        coral.improve({**options, "sample": {**options["sample"], "samples": 2}})


MOMENTS = {
    "evaluate": "models/start/pair/conversations/*.jsonl",
    "sample": "samples/pair-1-start/conversations/*.jsonl",
    "build": "coral.rows.build._write_records",
    "rows are whole, and not marked": "coral.improvement.steps.write_record",
    "train": "models/pair-dpo-1/train.log",
    "evaluate again": "models/pair-dpo-1/alone/run.json",
}
"""What appears early in each stage. A build takes milliseconds: it dies in the function that is named."""
DEADLY = """
import importlib, os, signal, sys
module, _, function = sys.argv.pop(1).rpartition(".")
module = importlib.import_module(module)
alive = getattr(module, function)

def deadly(path, *rest):
    if path.parts[-1] == ".rows.partial" or path.parts[-2:] == ("rows", "step.json"):
        os.kill(os.getpid(), signal.SIGKILL)
    return alive(path, *rest)

setattr(module, function, deadly)
from coral.cli import main
main(sys.argv[1:])
"""


def kill_when(command, out, pattern):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if any(path.stat().st_size for path in out.glob(pattern)):
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    return process.wait()


def marks(out):
    return {path: path.stat().st_mtime_ns for path in out.rglob("step.json")}


def test_killed_in_every_stage_it_ends_as_if_undisturbed(options, config_file, tmp_path):
    """`kill -9` anywhere: the same command resumes, finished steps stay, and the rows are the same."""
    whole = tmp_path / "whole"

    def say(line):
        if "rows: done" in line:
            watch.interrupt()

    watch = Watch(say=say)
    assert coral.improve({**options, "output": str(whole)}, watch=watch) is None
    out = tmp_path / "out"
    command = [sys.executable, "-m", "coral", "improve", "--config", str(config_file(options))]
    rows = out / "models" / "pair-dpo-1" / "rows"
    before = {}
    for moment, pattern in MOMENTS.items():
        if pattern.startswith("coral."):
            died = subprocess.run([sys.executable, "-c", DEADLY, pattern, *command[3:]], check=False)
            assert died.returncode == -signal.SIGKILL
        else:
            kill_when(command, out, pattern)
        assert rows.exists() == (moment not in {"evaluate", "sample", "build"})
        if moment == "rows are whole, and not marked":
            assert not (rows / "step.json").exists()
            built = (rows / "train.jsonl").stat().st_mtime_ns
        after = marks(out)
        assert before.items() <= after.items(), f"a finished step was done again before {moment}"
        before = after
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert before.items() <= marks(out).items()
    assert len(marks(out)) == 7
    assert (rows / "train.jsonl").stat().st_mtime_ns == built, "whole rows were built again"
    undisturbed = whole / "models" / "pair-dpo-1" / "rows" / "train.jsonl"
    assert (rows / "train.jsonl").read_bytes() == undisturbed.read_bytes()
    for run in ("models/start/pair", "samples/pair-1-start", "models/pair-dpo-1/alone"):
        files = (out / run).glob("conversations/*")
        names = [line["id"] for path in files for line in lines_of(path)]
        assert len(names) == len(set(names)) == 8


QUICK_TRAINER = """
import shutil, sys
from pathlib import Path
import msgspec, numpy, yaml
from safetensors.numpy import load_file, save_file
from coral.store.checkpoints import model_fingerprint
from coral.training.config import TrainConfig
from coral.training.record import FILE, RowCounts, Training
from coral.training.rows import load_rows

config = msgspec.convert(yaml.safe_load(Path(sys.argv[1]).read_text()), TrainConfig)
rows, out = load_rows(config.rows, config.kind), Path(config.output)
shutil.copytree(config.model, out, ignore=shutil.ignore_patterns("*.jsonl", "step.json"))
rng = numpy.random.default_rng(len(rows.rows))
weights = {name: value + rng.normal(0, 0.05, value.shape).astype(value.dtype)
           for name, value in load_file(out / "model.safetensors").items()}
save_file(weights, out / "model.safetensors", metadata={"format": "pt"})
count = len(rows.rows)
counts = RowCounts(read=count, trained=count, held_out=0, too_long=0, held_out_too_long=0,
                   longest_tokens=1, trained_tokens=1)
record = Training(
    kind=config.kind, identity={"model": model_fingerprint(config.model)}, config=msgspec.to_builtins(config),
    rows=counts, steps=1, processes=1, accumulation=1, last={}, eval_before={}, eval_after={}, seconds=0.0,
    resumed_from=0, device="cpu", versions={},
)
(out / FILE).write_bytes(msgspec.json.encode(record))
"""
"""Shakes the weights instead of training them: checkpoints that differ, in a second."""


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def check_figures(results, out):
    """Every figure of the results is that of its own run, and stands in the report."""
    report = (out / "report.md").read_text()
    for model in results.models:
        for sight, summary in model.measured.items():
            stored = out / "models" / model.name / sight / "summary.json"
            assert summary == msgspec.json.decode(stored.read_bytes(), type=Summary)
            change, name = model.since_start[sight], HEADLINE[sight]
            assert change.b == summary.metrics[name].mean
            assert change.a == results.models[0].measured[sight].metrics[name].mean
            assert f"{100 * change.b:.1f}%" in report


def check_origins(by_name, arm, evaluated, start):
    """The second iteration goes on from the model that the gate left, on the conversations of both."""
    first, second = by_name[f"{arm}-1"], by_name[f"{arm}-2"]
    assert second.made.came_from == (first.name if first.made.verdict.accepted else "start")
    came_from = by_name[second.made.came_from]
    assert second.made.training.identity["model"] == model_fingerprint(came_from.path or start)
    rows = lines_of(Path(second.path).parent / "rows" / "train.jsonl")
    data = arm.partition("-")[0]
    assert {row["source"]["run"] for row in rows} == {f"{data}-1-start", f"{data}-2-{came_from.name}"}
    assert evaluated.isdisjoint(row["source"]["conversation"].rpartition("#")[0] for row in rows)


async def test_two_iterations_beside_a_control_give_the_two_by_two(options, tmp_path):
    """Both arms, alone and in the pair, on the same budget."""
    script = tmp_path / "train.py"
    script.write_text(QUICK_TRAINER)
    options |= {
        "launch": ["{python}", str(script), "{config}"],
        "iterations": 2,
        "controls": ["alone-dpo"],
        "stack": True,
        "second": {"task": {"size": 4, "split_information": True}},
        "gate": {"target": "not_worse", "tolerance": 0.9, "second": "report"},  # eight problems prove little
    }
    results = await coral.improve_async(options)
    out = tmp_path / "out"
    by_name = {model.name: model for model in results.models}
    assert list(by_name) == ["start", "pair-dpo-1", "pair-dpo-2", "alone-dpo-1", "alone-dpo-2"]
    assert all(model.measured.keys() == {"pair", "alone", "second"} for model in results.models)
    assert results.head_to_head["alone-dpo"].keys() == {"pair", "alone", "second"}
    check_figures(results, out)
    runs = [coral.load_run(path) for path in (out / "models").glob("*/*") if path.name in HEADLINE]
    evaluated = {one.problem.id for run in runs for one in run.conversations()}
    assert len(evaluated) == 8 + 4
    assert by_name["pair-dpo-1"].made.verdict.accepted, "else nothing is tested of continuing from it"
    for arm in ("pair-dpo", "alone-dpo"):
        check_origins(by_name, arm, evaluated, options["model"])
    for iteration in (1, 2):
        pair, alone = (by_name[f"{arm}-{iteration}"].made for arm in ("pair-dpo", "alone-dpo"))
        assert alone.rows <= pair.rows
        more = alone.sampled.candidates.drawn - pair.sampled.candidates.drawn
        assert 0 <= more < 8 * 3, "as many candidates, rounded up to whole trees"


def test_ctrl_c_ends_with_its_own_code_and_says_how_to_go_on(options, config_file, tmp_path):
    """The command line keeps what is in flight, and exits with 130."""
    command = [sys.executable, "-m", "coral", "improve", "--config", str(config_file(options))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lock = tmp_path / "out" / "models" / "start" / "pair" / "run.json"
    deadline = time.monotonic() + 60
    while not lock.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "the same command resumes" in said


def test_a_training_ends_with_the_loop_that_started_it(options, config_file, tmp_path):
    """`kill -9` of the loop leaves no training behind that would write into the folder of the next."""
    script = tmp_path / "train.py"
    script.write_text(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n"
        "time.sleep(120)\n"
    )
    options["launch"] = ["{python}", str(script)]
    command = [sys.executable, "-m", "coral", "improve", "--config", str(config_file(options))]
    assert kill_when(command, tmp_path, "pid") == -signal.SIGKILL
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError("the training still runs")


def test_what_cannot_be_used_is_met_before_there_is_a_folder(options, tmp_path):
    """Else the fixed command would be refused for other options than the first."""
    with pytest.raises(UserError, match="max_rws"):
        coral.improve({**options, "build": {"max_rws": 3}})
    assert not (tmp_path / "out").exists()


def test_a_run_folder_is_no_place_for_a_loop(options, tmp_path):
    """A sampled run and a loop in one folder could not be told apart later."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "run.json").write_text("{}")
    with pytest.raises(RunFolderError, match="holds a run"):
        coral.improve(options)


def test_a_training_that_fails_stops_the_loop_with_its_words(options):
    """What the training said last is in the message; nothing is marked complete."""
    options["launch"] = ["{python}", "-c", "raise SystemExit('no such device')"]
    with pytest.raises(UserError, match="no such device"):
        coral.improve(options)


async def test_what_python_cannot_mean_is_refused(options, tmp_path):
    """A dry run must not run, and a call inside an event loop says what to await instead."""
    with pytest.raises(ConfigError, match="dry_run makes no run"):
        await coral.improve_async({**options, "dry_run": True})
    with pytest.raises(ConfigError, match="an event loop is running") as caught:
        coral.improve(options)
    assert "improve_async" in caught.value.remedy
    assert not (tmp_path / "out").exists()


async def test_an_interrupt_keeps_everything(options, tmp_path):
    """Stopped in the middle of sampling, the loop returns; the next call goes on to the next step."""
    lines = []

    def stop(_progress, _protocol):
        if any("samples" in line for line in lines):
            watch.interrupt()

    watch = Watch(say=lines.append, begin=stop)
    assert await coral.improve_async(options, watch=watch) is None
    assert not (tmp_path / "out" / "models" / "pair-dpo-1").exists()
    later = []

    def say(line):
        later.append(line)
        if "rows: done" in line:
            going.interrupt()

    going = Watch(say=say)
    assert await coral.improve_async(options, watch=going) is None
    assert not any("models/start" in line for line in later)


async def test_an_iteration_samples_its_own_part_of_the_problems(options, tmp_path):
    """With `split: even`, the ids of the part are written down, and they alone are sampled."""

    def say(line):
        if "samples/pair-1-start: done" in line:
            watch.interrupt()

    watch = Watch(say=say)
    more = {"split": "even", "iterations": 2}
    assert await coral.improve_async({**options, **more}, watch=watch) is None
    samples = tmp_path / "out" / "samples"
    part = (samples / "problems-1.txt").read_text().split()
    assert len(part) == 4
    sampled = {c.problem.id for c in coral.load_run(samples / "pair-1-start").conversations()}
    assert sampled == set(part)
    with pytest.raises(RunFolderError, match="iterations"):  # another number deals the problems otherwise
        await coral.improve_async({**options, **more, "iterations": 3})


def test_conversations_held_while_it_trains(options, tmp_path):
    """Arms of grpo, of the pair and alone: trained, judged and reported as the others, without a sampling."""
    grpo = {"max_steps": 1, "group_size": 2, "batch_size": 4, "learning_rate": 1e-3, "reward": "own_right"}
    changes = {"build": {"kind": "grpo"}, "controls": ["alone-grpo"], "grpo": grpo}
    results = coral.improve({**options, **changes, "train": {"device": "cpu", "threads": 1}})
    assert [model.name for model in results.models] == ["start", "pair-grpo-1", "alone-grpo-1"]
    assert all(model.made.sampled is None and model.made.rows == 4 for model in results.models[1:])
    assert not (tmp_path / "out" / "samples").exists()
    assert "| pair-grpo-1 | - | - |" in (tmp_path / "out" / "report.md").read_text()
