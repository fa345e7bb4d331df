"""Servers that the loop starts and stops around a stage."""

import sys
import time

import pytest

import coral
from coral.errors import Interrupted, UserError
from coral.evaluation.watch import Watch
from coral.improvement.config import ServeConfig
from coral.improvement.servers import Checkpoint, serving

SERVE = ("{python}", "-m", "coral", "serve", "{checkpoint}", "--port", "{port}", "--name", "{name}")
UNNAMED = SERVE[:-2]
SLEEP = "import time; time.sleep(60)"


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
        assert places[checkpoint] == {"model": "m-pair-dpo-1", "base_url": "http://host/v1"}
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
