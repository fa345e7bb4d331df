"""`coral train` as a user meets it: other processes, killed and run again."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from coral.training.checkpoints import last_checkpoint

pytest.importorskip("trl")

WARM = """
import json, os, sys
import torch, transformers, trl
import coral.training.train
from coral.cli import main

trl.SFTConfig, trl.SFTTrainer, transformers.LlamaForCausalLM
torch.set_num_threads(1)


def run(order):
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1), os.dup2(output, 2)
    os.environ.update(order["environment"])
    code = main(order["arguments"])
    sys.stdout.flush(), sys.stderr.flush()
    os._exit(code)


for line in sys.stdin:
    order = json.loads(line)
    if "pid" in order:
        ended, status = os.waitpid(order["pid"], os.WNOHANG)
        answer = os.waitstatus_to_exitcode(status) if ended else None
    else:
        answer = os.fork() or run(order)
    print(json.dumps(answer), flush=True)
"""
"""A process with the libraries loaded, which takes seconds; each command is a fork of it."""


class Process:
    """A `coral train` in a process of its own."""

    def __init__(self, order, output, arguments, environment):
        self._order, self._output = order, output
        self._pid = order(arguments=arguments, environment=environment, output=str(output))
        self._code = None

    @property
    def said(self):
        return self._output.read_text()

    def send(self, number):
        os.kill(self._pid, number)

    def wait(self):
        """Its exit code, negative where a signal ended it."""
        deadline = time.monotonic() + 60
        while self._code is None:
            assert time.monotonic() < deadline, f"it does not end: {self.said}"
            time.sleep(0.01)
            self._code = self._order(pid=self._pid)
        return self._code

    def end(self):
        """Kill it, unless it has ended: a test that fails leaves no training behind."""
        if self._code is None:
            self.send(signal.SIGKILL)
            self.wait()

    def wait_for_checkpoint(self, folder):
        """Until it has saved a whole checkpoint."""
        deadline = time.monotonic() + 60
        while last_checkpoint(folder / "checkpoints") is None:
            assert time.monotonic() < deadline, f"no checkpoint in time: {self.said}"
            time.sleep(0.005)


@pytest.fixture(scope="module")
def order():
    """Sends an order to the warm process; returns its answer."""
    warm = subprocess.Popen(
        [sys.executable, "-c", WARM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    def send(**what):
        warm.stdin.write(json.dumps(what) + "\n")
        warm.stdin.flush()
        return json.loads(warm.stdout.readline())

    yield send
    warm.kill()
    warm.communicate()


@pytest.fixture
def start(order, tmp_path):
    """Starts a command."""
    started = []

    def begin(arguments, name="said", **environment):
        started.append(Process(order, tmp_path / name, arguments, environment))
        return started[-1]

    yield begin
    for process in started:
        process.end()


@pytest.fixture
def command(tiny_model, row_folders, tmp_path):
    """The arguments of a quick SFT training; more may follow."""

    def built(*more):
        options = {
            "model": tiny_model,
            "rows": row_folders["sft"],
            "output": tmp_path / "out",
            "batch_size": 8,
            "save_steps": 5,
            "logging_steps": 5,
            "device": "cpu",
        }
        flags = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return ["train", "sft", *flags, *map(str, more)]

    return built


def test_kill_9_and_the_same_command_again(command, start, tmp_path):
    """A killed training goes on from its last checkpoint, and a finished one is told to be finished."""
    arguments = command("--max_steps", 60)
    killed = start(arguments)
    killed.wait_for_checkpoint(tmp_path / "out")
    killed.send(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "out" / "train.json").exists()
    again = start(arguments, "again")
    assert again.wait() == 0, again.said
    record = json.loads((tmp_path / "out" / "train.json").read_bytes())
    assert record["steps"] == 60
    assert 5 <= record["resumed_from"] < 60
    assert f"since step {record['resumed_from']}" in again.said
    finished = start(arguments, "finished")
    assert finished.wait() == 0
    assert "is finished: 60 steps" in finished.said.replace("\n", " ")


def test_the_first_interrupt_saves_and_stops(command, start, tmp_path):
    """SIGTERM ends the step, saves, and exits with 130; nothing trained is lost."""
    process = start(command("--max_steps", 100_000))
    process.wait_for_checkpoint(tmp_path / "out")
    process.send(signal.SIGTERM)
    assert process.wait() == 130, process.said
    assert "the same command resumes" in process.said
    assert not (tmp_path / "out" / "train.json").exists()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def both(command, start):
    """Starts a training of two processes, as a launcher does."""

    def launch(*more):
        world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
        world["MASTER_PORT"] = free_port()
        return [
            start(command(*more), f"said-{rank}", RANK=str(rank), LOCAL_RANK=str(rank), **world)
            for rank in range(2)
        ]

    return launch


def test_two_processes_train_as_one(both, tmp_path):
    """The batch is shared out, and one of them claims the folder, prints and writes."""
    first, second = both("--max_steps", 4)
    assert [first.wait(), second.wait()] == [0, 0], first.said + second.said
    assert first.said.count("trained 4 steps") == 1
    assert first.said.count("trained tokens marked") == 1
    assert "trained" not in second.said
    record = json.loads((tmp_path / "out" / "train.json").read_bytes())
    assert (record["processes"], record["accumulation"]) == (2, 1)


def test_a_signal_ends_several_processes_at_once(both, tmp_path):
    """None of them waits for the others: the same command goes on from the last checkpoint."""
    processes = both("--max_steps", 100_000)
    processes[0].wait_for_checkpoint(tmp_path / "out")
    for process in processes:
        process.send(signal.SIGTERM)
    assert [process.wait() for process in processes] == [-signal.SIGTERM] * 2
