"""Servers that the loop starts and stops around its steps."""

import asyncio
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

import coral
from coral.errors import ConfigError, Interrupted, UserError
from coral.evaluation.watch import Watch
from coral.improvement.config import ServeConfig
from coral.improvement.pools import pool_config
from coral.improvement.servers import Checkpoint, Servers, check_start

SERVE = ("{python}", "-m", "coral", "serve", "{checkpoint}", "--port", "{port}", "--name", "{name}")
UNNAMED = SERVE[:-2]
SLEEP = "import time; time.sleep(60)"


STUB = str(Path(__file__).parents[1] / "cluster" / "stub_server.py")
FAST = {"check_every_s": 0.1, "probe_every_s": 0.3, "drain_s": 5, "stop_within_s": 2, "silent_after_s": 5}
SMALL = (sys.executable, STUB, "--host", "{host}", "--port", "{port}", "--name", "{name}")


@asynccontextmanager
async def serving(config, checkpoints, folder, **more):
    async with Servers(config, folder, **more) as servers:
        yield await servers.at(checkpoints)


def started(**options):
    return ServeConfig(**{"kind": "command", "command": SERVE, **options})


async def test_a_server_is_ready_in_the_body_and_gone_after_it(guesser, tmp_path):
    """Readiness is that the server lists its model; the end of the body stops it."""
    import aiohttp

    start = Checkpoint("start", str(guesser))
    async with serving(started(), [start, start], tmp_path) as places, aiohttp.ClientSession() as session:
        address = f"{places[start]['base_url']}/models"
        async with session.get(address) as response:
            assert '"start"' in await response.text()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(address)
    assert "serving start" in (tmp_path / "server-start.log").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"command": ("{python}", "-c", "raise SystemExit('no memory')", "{port}")}, "no memory"),  # it ended
        (
            {"command": ("{python}", "-c", SLEEP, "{port}"), "ready_within_s": 0.5},
            "after 0.5 s",
        ),
        ({"command": UNNAMED}, "does not list 'start', but guesser"),  # it never will
    ],
)
async def test_a_server_that_does_not_serve_is_an_error_with_its_words(guesser, tmp_path, options, said):
    """By a deadline, not by a guess; what it wrote last is in the message, and nothing stays behind."""
    begun = time.monotonic()
    with pytest.raises(UserError, match=said):
        async with serving(started(**options), [Checkpoint("start", str(guesser))], tmp_path):
            raise AssertionError("it is not ready")
    assert time.monotonic() - begun < 20


async def test_a_stop_while_a_server_starts_is_heeded(guesser, tmp_path):
    """A large model takes half an hour to load; Ctrl-C does not wait for it."""
    sleeps = started(command=("{python}", "-c", SLEEP, "{port}"))
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        async with serving(
            sleeps,
            [Checkpoint("start", str(guesser))],
            tmp_path,
            stopping=lambda: time.monotonic() > begun + 1,
        ):
            raise AssertionError("it is not ready")
    assert time.monotonic() - begun < 20


async def test_an_endpoint_is_prepared_and_used_where_it_is(tmp_path):
    """A running server is told to load the checkpoint, and asked for it under its name."""
    note = tmp_path / "note"
    prepare = (sys.executable, "-c", f"open({str(note)!r}, 'w').write('{{name}} {{checkpoint}}')")
    config = ServeConfig(kind="endpoint", base_url="http://host/v1", prepare=prepare, model="m-{name}")
    checkpoint = Checkpoint("pair-dpo-1", "/somewhere")
    async with serving(config, [checkpoint], tmp_path) as places:
        assert places[checkpoint] == {
            "model": "m-pair-dpo-1",
            "base_url": "http://host/v1",
            "revision": "/somewhere",
        }
    assert note.read_text() == "pair-dpo-1 /somewhere"


async def test_the_loop_evaluates_a_model_that_it_serves(options, tmp_path):
    """The same loop with a server between: the figures are those of the engine in this process."""

    async def figures(output, **more):
        def say(line):
            if "start/pair: done" in line:
                watch.interrupt()

        watch = Watch(say=say)
        assert await coral.improve_async({**options, **more, "output": str(output)}, watch=watch) is None
        summary = output / "models" / "start" / "pair"
        return {c.id: [t.reply.text for t in c.turns] for c in coral.load_run(summary).conversations()}

    serve = {"kind": "command", "command": list(SERVE)}
    options = {**options, "common": {**options["common"], "extractor": {"mode": "rules"}}}
    served = await figures(tmp_path / "served", serve=serve)
    assert served == await figures(tmp_path / "embedded")


def clustered(*, server=SMALL, **pool):
    options = {"replicas": 1, "server": list(server), "replica": FAST, **pool}
    return ServeConfig(kind="cluster", pool=options)


def pids(folder):
    """The supervisors that live, by the checkpoint whose pool they are of."""
    found = {}
    for path in folder.glob("pools/*/pids/*"):
        pid = int(path.read_text().split()[0])
        if psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            found[path.parents[1].name] = pid
    return found


START, NEXT = Checkpoint("start", "/models/start"), Checkpoint("pair-dpo-1", "/models/next")


async def test_a_pool_goes_on_as_long_as_steps_need_its_checkpoint(tmp_path):
    """Brought up once for consecutive steps, exchanged for another checkpoint, gone before a training."""
    async with Servers(clustered(), tmp_path) as servers:
        places = await servers.at([START])
        pool = str(tmp_path / "pools" / "start")
        assert places == {START: {"model": "start", "replicas": pool, "revision": START.path}}
        first = pids(tmp_path)
        assert list(first) == ["start"]
        assert await servers.at([START]) == places
        assert pids(tmp_path) == first, "the next step needs the same: nothing is started"
        both = await servers.at([NEXT, START])
        assert list(both) == [NEXT, START]
        assert pids(tmp_path)["start"] == first["start"]
        await servers.at([NEXT])
        assert list(pids(tmp_path)) == ["pair-dpo-1"]
        await servers.free()
        assert pids(tmp_path) == {}, "the devices are free"
        await servers.at([NEXT])
    assert pids(tmp_path) == {}


async def test_a_server_goes_on_as_long_as_steps_need_its_checkpoint(tmp_path):
    """The same of servers that the loop starts itself: three steps about one checkpoint load it once."""
    command = (sys.executable, STUB, "--port", "{port}", "--name", "{name}")
    async with Servers(ServeConfig(command=command), tmp_path) as servers:
        first = await servers.at([START])
        assert await servers.at([START]) == first
        assert (await servers.at([NEXT]))[NEXT] != first[START]
        await servers.free()
        assert (await servers.at([START]))[START]["base_url"] != first[START]["base_url"]


async def test_a_pool_of_which_no_replica_can_start_is_an_error_with_its_words(tmp_path):
    """Three tries of the supervisor, then the loop ends with the server's last lines; nothing stays."""
    control = tmp_path / "control"
    control.write_text("crash")
    config = clustered(server=(*SMALL, "--control", str(control)), replica={**FAST, "max_failed_starts": 1})
    with pytest.raises(UserError, match="CUDA out of memory"):
        async with serving(config, [START], tmp_path):
            raise AssertionError("it is not ready")
    assert pids(tmp_path) == {}


async def test_a_stop_while_a_pool_loads_is_heeded(tmp_path):
    """The pool that was begun is ended, too."""
    slow = clustered(server=(*SMALL, "--delay_s", "60"))
    begun = time.monotonic()
    with pytest.raises(Interrupted):
        async with serving(slow, [START], tmp_path, stopping=lambda: time.monotonic() > begun + 1):
            raise AssertionError("it is not ready")
    assert pids(tmp_path) == {}


async def test_a_pool_that_a_killed_loop_has_left_is_used_or_ended(tmp_path):
    """`kill -9` of the loop leaves its pool; the next session takes over what it needs, and ends the rest."""
    killed = Servers(clustered(), tmp_path)
    await killed.at([START, NEXT])
    left = pids(tmp_path)
    assert len(left) == 2
    async with Servers(clustered(), tmp_path) as servers:
        await servers.at([NEXT])
        assert pids(tmp_path) == {"pair-dpo-1": left["pair-dpo-1"]}
    assert pids(tmp_path) == {}
    await killed.free()


async def test_a_second_stop_ends_a_pool_at_once(tmp_path):
    """What is cancelled does not wait for requests in flight."""
    reached = asyncio.Event()

    async def hold():
        async with serving(clustered(replica={**FAST, "drain_s": 60}), [START], tmp_path):
            reached.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(hold())
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert pids(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "cluster"}, "there is no pool"),
        ({"kind": "command", "command": SERVE, "pool": {"server": SMALL}}, "there is a pool"),
        ({"kind": "embedded", "pool": {"server": SMALL}}, "there is a pool"),
        ({"pool": {"server": SMALL, "folder": "/shared/x"}}, "serve.pool.folder is decided by the loop"),
        ({"pool": {"server": SMALL, "model": "x"}}, "serve.pool.model is decided by the loop"),
        ({"pool": {"server": ["vllm", "serve"]}}, "does not say its port"),
        ({"pool": {"server": SMALL, "place": "slurm", "slurm": {"time": 86400}}}, "slurm.time is the number"),
        ({"pool": {"server": SMALL, "replicsa": 3}}, "replicsa"),
        ({"pool": {"server": "vllm serve m --port {port}"}}, "command is one text"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_pool_is_refused_before_anything_runs(options, said, tmp_path):
    """By the first check of the loop's options, with the option's name."""
    with pytest.raises(ConfigError, match=said):
        check_start(ServeConfig(**options), str(tmp_path))


def test_a_single_line_of_setup_is_a_line(tmp_path):
    """As in a pool's own file, where a list of one may be left out."""
    pool = pool_config({"server": SMALL, "setup": "module load cuda"}, {"name": "x", "model": "m"}, tmp_path)
    assert pool.setup == ("module load cuda",)


async def test_the_loop_on_a_pool_is_the_loop_in_one_process(options, tmp_path):
    """Evaluated, sampled, built, trained and evaluated again by replicas: the start says the same words, and
    the same runs are there of what is trained (on rows in the order in which conversations happened to end).
    """
    server = [sys.executable, "-m", "coral", "serve", "{checkpoint}", "--name", "{name}", "--host", "{host}"]
    pool = {"replicas": 2, "server": [*server, "--port", "{port}"], "replica": FAST}
    options = {**options, "common": {**options["common"], "extractor": {"mode": "rules"}}}
    said = []

    async def texts(output, **more):
        watch = Watch(say=said.append)
        results = await coral.improve_async({**options, **more, "output": str(output)}, watch=watch)
        runs = [path.parent for path in sorted(output.glob("*/**/run.json")) if path.parent.name != "loop"]
        return len(results.models), {
            str(run.relative_to(output)): {
                c.id: [turn.reply.text for turn in c.turns] for c in coral.load_run(run).conversations()
            }
            for run in runs
            if (run / "conversations").is_dir()
        }

    served = await texts(tmp_path / "served", serve={"kind": "cluster", "pool": pool})
    assert pids(tmp_path / "served" / "loop") == {}
    ups = [line for line in said if " there, 2 processes for 2 more" in line]
    assert len(ups) == 2, "one pool for the start's evaluations and the sampling, one for the checkpoint's"
    embedded = await texts(tmp_path / "embedded")
    assert (served[0], served[1].keys()) == (embedded[0], embedded[1].keys())
    of_start = [run for run in served[1] if "pair-dpo" not in run]
    assert len(of_start) == 3
    assert {run: served[1][run] for run in of_start} == {run: embedded[1][run] for run in of_start}
