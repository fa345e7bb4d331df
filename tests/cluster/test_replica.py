"""The supervisor of a replica, with real servers that die, hang, lie and take each other's ports."""

from __future__ import annotations

import ast
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import coral.cluster.replica
from coral.cluster.replica.node import Port

PACKAGE = Path(coral.cluster.replica.__file__).parent
STUB = str(Path(__file__).with_name("stub_server.py"))
ENDS_WITHIN_S = 120


def complete(url, key=None, content="hello"):
    """The text of a completion that a client asks for."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    body = json.dumps({"model": "stub", "messages": [{"role": "user", "content": content}]})
    connection.request(
        "POST", f"{parts.path}/chat/completions", body, {"Authorization": f"Bearer {key}"} if key else {}
    )
    response = connection.getresponse()
    read = json.loads(response.read())
    connection.close()
    return read["choices"][0]["message"]["content"] if response.status == 200 else response.status


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_it_runs_in_any_environment(path):
    """The supervisor is read by Python 3.9 and imports the standard library and itself alone."""
    for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 9))):
        if isinstance(node, ast.Import):
            assert all(alias.name.split(".")[0] in sys.stdlib_module_names for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            name = node.module.split(".")[0]
            assert name in sys.stdlib_module_names or path.name == "__main__.py"


def test_it_runs_as_a_module(tmp_path):
    """Where Coral is installed, its name is enough."""
    command = [
        sys.executable,
        "-m",
        "coral.cluster.replica",
        "--folder",
        tmp_path,
        "--max_failed_starts",
        "1",
    ]
    done = subprocess.run(
        [*command, "--", "/no/such/program"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, "")


def test_ready_is_a_completion(supervise):
    """Its record holds what a client needs, and the address answers."""
    replica = supervise()
    record = replica.await_state("ready")
    assert (record["model"], record["starts"], record["why"]) == ("stub", 1, None)
    assert complete(record["url"]).startswith("hello from")


NOT_READY = {
    "completions fail though /health answers": ("fail", "a completion fails: 500 "),
    "completions are empty though they are 200": ("lie", 'no completion in \'{"error"'),
}


@pytest.mark.parametrize("name", NOT_READY)
def test_healthy_is_not_ready(supervise, name, eventually):
    """A server that only says that it is healthy gets no requests; its record says what fails."""
    words, why = NOT_READY[name]
    replica = supervise(words=words)
    record = eventually(lambda: (found := replica.record()).get("why") and found)
    assert (record["state"], record["url"], record["starts"]) == ("starting", None, 1)
    assert why in record["why"]


NEVER_READY = {
    "completions hang though /health answers": ("hang", "not ready after 1 s: "),
    "nothing is answered": ("deaf", "not ready after 1 s: /health does not answer"),
}


@pytest.mark.parametrize("name", NEVER_READY)
def test_who_does_not_answer_fails_in_time(supervise, name):
    """A server that holds its tongue is waited for as long as the options say; the record says for what."""
    words, why = NEVER_READY[name]
    replica = supervise(words=words, flags=("--ready_within_s", "1", "--max_failed_starts", "1"))
    assert replica.process.wait(ENDS_WITHIN_S) == 1
    record = replica.record()
    assert (record["state"], record["url"]) == ("failed", None)
    assert record["why"].startswith(why)


CANNOT_START = {
    "it crashes": ("crash", None, "the server ended with exit code 2"),
    "no such program": ("", ["/no/such/program"], "/no/such/program: No such file or directory"),
    "no program": ("", ["/"], "/: Permission denied"),
    "it ends without a word": ("", ["true"], "the server ended with exit code 0"),
    "it is killed": ("", ["bash", "-c", "kill -9 $$"], "the server ended with signal 9"),
}


@pytest.mark.parametrize("name", CANNOT_START)
def test_a_server_that_cannot_start_fails_after_three_tries(supervise, name):
    """Not for ever, and the end of the log says why; the record stays when the supervisor has ended."""
    words, server, why = CANNOT_START[name]
    replica = supervise(words=words, server=server)
    assert replica.process.wait(ENDS_WITHIN_S) == 1
    record = replica.record()
    assert (record["state"], record["starts"]) == ("failed", 3)
    assert record["why"].startswith(why)
    assert ("CUDA out of memory" in record["why"]) == (words == "crash")


def test_a_log_that_cannot_be_written_is_told(supervise, tmp_path):
    """As with a full disk: the replica has failed, rather than ended without a word."""
    log = tmp_path / "logs" / "one.log"
    log.mkdir(parents=True)
    replica = supervise()
    assert replica.process.wait(ENDS_WITHIN_S) == 1
    record = replica.record()
    assert (record["state"], record["why"]) == ("failed", f"{log}: Is a directory")


SILENCE = {
    "stopped": lambda r: os.kill(r.server_pid(), signal.SIGSTOP),
    "deaf": lambda r: r.control.write_text("deaf"),
    "hung behind a healthy face": lambda r: r.control.write_text("hang"),
    "dead engine that says 200": lambda r: r.control.write_text("lie"),
    "dead engine behind a healthy face": lambda r: r.control.write_text("fail"),
}
SAID = {
    "dead engine that says 200": ": a completion fails: no completion in ",
    "dead engine behind a healthy face": ": a completion fails: 500 ",
}
HARM = {
    "kill -9": lambda r: os.kill(r.server_pid(), signal.SIGKILL),
    "exit": lambda r: os.kill(r.server_pid(), signal.SIGTERM),
    **SILENCE,
}


@pytest.mark.parametrize("name", HARM)
def test_a_broken_server_is_started_again(supervise, name):
    """However it breaks, it comes back in the same job."""
    replica = supervise()
    before = replica.await_state("ready")
    HARM[name](replica)
    if replica.control.exists():  # obeyed by the next server, too, which then never gets ready
        replica.await_state("starting", starts=2)
        replica.control.unlink()
    after = replica.await_state("ready", starts=2)
    assert after["pid"] == before["pid"]
    assert complete(after["url"]).startswith("hello from")


@pytest.mark.parametrize("name", sorted(SILENCE.keys() - {"deaf"}))  # which looks as one that is stopped
def test_clients_are_told_to_stay_away_from_a_silent_server(supervise, name, eventually):
    """Long before it is given up; once it answers again it takes requests, and was never started again."""
    replica = supervise(flags=("--give_up_after_s", "12" if name.startswith("hung") else "600"))
    replica.await_state("ready")
    SILENCE[name](replica)
    record = replica.await_state("unwell")
    assert record["why"].startswith("no sign of life for ")
    # On busy cores it may only have been late at first: the reason comes with the next completion.
    eventually(lambda: SAID.get(name, "") in (replica.record()["why"] or ""))
    os.kill(replica.server_pid(), signal.SIGCONT)
    replica.control.unlink(missing_ok=True)
    assert replica.await_state("ready")["starts"] == 1


@pytest.mark.parametrize(
    ("before", "words"), [("", "hang busy"), ("uncounted", "hang uncounted"), ("", "slow")]
)
def test_a_busy_server_is_left_alone(supervise, before, words, eventually):
    """Slow is not dead: tokens flow, or none were ever counted, for longer than a hung server is given."""
    replica = supervise(words=before, flags=("--give_up_after_s", "6"))
    replica.await_state("ready")
    replica.control.write_text(words)
    beat = replica.record()["beat"]
    # Ten a second from the beat's own thread, and as many from looks: six seconds and more.
    eventually(lambda: replica.record()["beat"] > beat + 130)
    assert replica.record()["starts"] == 1
    replica.control.unlink()
    assert replica.await_state("ready")["starts"] == 1


def test_the_server_dies_with_its_supervisor(supervise, ended, eventually):
    """Kill -9 of the supervisor leaves no server behind that nobody looks after."""
    replica = supervise()
    replica.await_state("ready")
    pid = replica.server_pid()
    replica.process.kill()
    eventually(lambda: ended(pid))


def test_children_in_sessions_of_their_own_end_before_a_restart(supervise, tmp_path, ended, eventually):
    """An engine's worker that outlives its server would hold the GPU's memory."""
    stray = tmp_path / "stray"
    server = [sys.executable, STUB, "--port", "{port}", "--stray", str(stray)]
    replica = supervise(server=server)
    replica.await_state("ready")
    (first,) = stray.read_text().split()
    os.kill(replica.server_pid(), signal.SIGKILL)
    replica.await_state("ready", starts=2)
    eventually(lambda: ended(int(first)))
    second = int(stray.read_text().split()[1])
    replica.end()
    eventually(lambda: ended(second))


DEVICES = {
    "numbers": ("0,1,2,3", ["0,1", "2,3"]),
    "UUIDs": ("GPU-a,GPU-b", ["GPU-a", "GPU-b"]),
    "MIG devices": (
        "MIG-1/2/0,MIG-1/3/0,MIG-2/1/0,MIG-2/1/1",
        ["MIG-1/2/0,MIG-1/3/0", "MIG-2/1/0,MIG-2/1/1"],
    ),
    "none": ("", ["", ""]),
}


@pytest.mark.parametrize("name", DEVICES)
def test_replicas_of_one_job_share_its_gpus(supervise, name, monkeypatch, eventually):
    """Each has its record, its port and its part of the devices as they are named; all drain with the job."""
    devices, shares = DEVICES[name]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", devices)
    job = several(supervise)
    records = eventually(lambda: len(found := ready(job)) == 2 and found)
    assert [record["gpus"] for record in records] == shares
    assert [record["slot"] for record in records] == [0, 1]
    assert len({record["url"] for record in records}) == 2
    job.process.terminate()
    assert job.process.wait(ENDS_WITHIN_S) == 0
    assert not list(job.folder.glob("*.json"))


def test_gpus_that_cannot_be_shared_evenly_are_told(supervise, monkeypatch):
    """Rather than leaving one idle."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    job = several(supervise)
    assert job.process.wait(ENDS_WITHIN_S) == 1
    assert job.process.stderr.read() == b"replica: 3 GPUs cannot be shared evenly by 2 replicas\n"


def test_of_several_a_killed_supervisor_is_started_again(supervise, monkeypatch, ended, eventually):
    """The other one works on; with the first process all end, and no server is left behind."""
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    job = several(supervise)
    first, second = eventually(lambda: len(found := ready(job)) == 2 and found)
    os.kill(first["pid"], signal.SIGKILL)
    after = eventually(lambda: len(found := ready(job)) == 2 and found[0]["pid"] != first["pid"] and found)
    assert after[1]["pid"] == second["pid"]
    job.process.kill()
    eventually(lambda: all(ended(one["pid"]) for one in after))


def several(supervise):
    """A job of two replicas, which name themselves by their slots."""
    return supervise("several", flags=("--count", "2"))


def ready(job):
    """The records of its replicas that take requests, by slot."""
    found = [json.loads(path.read_text()) for path in job.folder.glob("*.json")]
    return sorted((one for one in found if one["state"] == "ready"), key=lambda one: one["slot"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_it_drains(supervise, number, eventually):
    """Requests in flight end well, clients are told at once, and the file goes with the replica."""
    # A probe that hangs is a request in flight, too.
    replica = supervise(flags=("--drain_s", "600", "--give_up_after_s", "600", "--probe_every_s", "600"))
    url = replica.await_state("ready")["url"]
    replica.control.write_text("hang")
    texts = []
    calls = [threading.Thread(target=lambda: texts.append(complete(url))) for _ in range(5)]
    for call in calls:
        call.start()
    eventually(lambda: replica.record().get("in_flight") == 5)
    replica.process.send_signal(number)
    replica.await_state("draining")
    replica.control.unlink()
    for call in calls:
        call.join()
    assert [text.split()[0] for text in texts] == ["hello"] * 5
    assert replica.process.wait(ENDS_WITHIN_S) == 0
    assert replica.record() == {"state": "gone"}


def test_a_server_that_loads_is_stopped_at_once(supervise):
    """Nothing is in flight there, so that nobody waits for it."""
    replica = supervise(words="hang", flags=("--drain_s", "600"))
    replica.await_state("starting", starts=1)
    replica.process.terminate()
    assert replica.process.wait(ENDS_WITHIN_S) == 0


@pytest.fixture
def late(supervise, tmp_path, eventually):
    """A replica whose server waits with its port until `open` exists; with it the port.

    The name decides the port. With one of its own no test before has left connections there that wait for
    their end, for which the system lets nobody else bind it.
    """
    name = uuid.uuid4().hex
    server = [sys.executable, STUB, "--port", "{port}", "--await_file", str(tmp_path / "open")]
    replica = supervise(name, server=server, flags=("--max_failed_starts", "1"))
    log = replica.folder / "logs" / f"{name}.log"
    return replica, int(eventually(lambda: log.exists() and re.search(r"--port (\d+)", log.read_text()))[1])


def test_a_port_that_somebody_else_has_is_left(late, tmp_path):
    """The server cannot bind it, and ends. That is no failed start: it gets another port."""
    replica, port = late
    with socket.socket() as foreign:
        foreign.bind(("127.0.0.1", port))
        (tmp_path / "open").touch()
        record = replica.await_state("ready")
    assert urlsplit(record["url"]).port != port
    assert record["starts"] == 2


def test_a_port_on_which_somebody_elses_server_answers_is_left(late, tmp_path):
    """Even one of the same name is not ours."""
    replica, port = late
    foreign = subprocess.Popen([sys.executable, STUB, "--port", str(port)])
    try:
        record = replica.await_state("starting", starts=2)
        assert record["why"] == f"port {port} was taken by another server"
        (tmp_path / "open").touch()
        assert urlsplit(replica.await_state("ready")["url"]).port != port
    finally:
        foreign.kill()
        foreign.wait()


def test_a_port_is_held_for_life():
    """Two replicas of a node never get the same one, though neither server listens yet."""
    ports = [Port("same") for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    ports[0].close()
    assert Port("same").number == ports[0].number
    for port in ports[1:]:
        port.close()


@pytest.fixture
def open_folder():
    """A folder that every user of this machine can read, with the supervisor and the small server in it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    shutil.copytree(PACKAGE, folder / "replica", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(STUB, folder / "stub_server.py")
    yield folder
    shutil.rmtree(folder)


def test_two_users_of_a_node_do_not_meet(open_folder, eventually):
    """They see neither each other's locks nor processes, and want the same port first: one moves on."""
    python = shutil.which("python3", path="/usr/bin:/bin")
    if os.geteuid() != 0 or python is None or shutil.which("setpriv") is None:
        pytest.skip("needs root, setpriv and a Python for all users")
    started = []
    try:
        for user in (1001, 1002):
            (open_folder / str(user)).mkdir()
            os.chown(open_folder / str(user), user, user)
            command = [
                "setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", python,
                str(open_folder / "replica"), f"--folder={open_folder / str(user)}", "--id=same",
                "--host=127.0.0.1", "--check_every_s=0.2", "--max_failed_starts=1", "--",
                python, str(open_folder / "stub_server.py"), "--port", "{port}",
            ]  # fmt: skip
            started.append(subprocess.Popen(command))
        files = [open_folder / str(user) / "same.json" for user in (1001, 1002)]

        def ready():
            found = [json.loads(file.read_text()) for file in files if file.exists()]
            return len(found) == 2 and all(one["state"] == "ready" for one in found) and found

        assert len({one["url"] for one in eventually(ready)}) == 2
    finally:
        for process in started:
            process.terminate()
            assert process.wait(ENDS_WITHIN_S) == 0


def test_the_pools_key_reaches_the_server(supervise):
    """A server that wants a key is asked with it; no file shows it but the key's own."""
    key = "very-secret-0123456789"
    server = [sys.executable, STUB, "--port", "{port}", "--key_file", "{key_file}"]
    replica = supervise(server=server, key=key)
    url = replica.await_state("ready")["url"]
    assert complete(url, key).startswith("hello from")
    assert complete(url) == 401
    files = {path for path in replica.folder.rglob("*") if path.is_file() and path.name != "key"}
    # A record that is just being written, beside the one that it replaces, is gone before it is read.
    shown = [path.read_text() for path in files if not path.name.startswith(".")]
    assert shown
    assert not [text for text in shown if key in text]


def test_the_record_is_replaced_as_a_whole(supervise, eventually):
    """A reader never finds half a record, however often it looks; and the beat moves."""
    replica = supervise()
    replica.await_state("ready")
    beats = set()
    while len(beats) < 20:
        beats.add(replica.record()["beat"])
    assert len(beats) == 20


def test_a_folder_that_cannot_be_written_ends_no_server(supervise, eventually):
    """The server works on, and is told again when the folder is back."""
    replica = supervise()
    url = replica.await_state("ready")["url"]
    away = replica.folder.with_name(f"{replica.folder.name}-away")
    replica.folder.rename(away)
    try:
        for _ in range(3):
            assert complete(url).startswith("hello")
    finally:
        away.rename(replica.folder)
    beat = replica.record()["beat"]
    eventually(lambda: replica.record()["beat"] > beat)
