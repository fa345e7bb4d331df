"""`kill -9` at any moment."""

import asyncio
import json
import signal
import subprocess
import sys

import pytest

import coral


def command(url, data, path, **more):
    flags = {
        "agent.model": "scripted", "agent.base_url": url, "data": data, "output": path, "limit": 30,
        "max_connections": 6, "extractor.mode": "model", **more,
    }  # fmt: skip
    return [
        sys.executable, "-m", "coral", "eval", "hi_tom",
        *(part for name, value in flags.items() for part in (f"--{name}", str(value))),
    ]  # fmt: skip


async def finish(arguments):
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def stop_after(arguments, counter, requests, number):
    """Start a run, and send it a signal once the server has seen so many requests."""
    already = sum(counter.values())
    process = await asyncio.create_subprocess_exec(
        *arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    while sum(counter.values()) - already < requests and process.returncode is None:
        await asyncio.sleep(0.002)
    if process.returncode is None:
        process.send_signal(number)
    output, _ = await process.communicate()
    return process.returncode, output.decode()


@pytest.mark.parametrize("moments", [(3,), (40, 25), (90,)])
async def test_after_a_kill_the_finished_set_is_that_of_an_undisturbed_run(
    serve, data, tmp_path, content, moments
):
    """Nothing is lost or doubled, and only requests that were in flight at a kill are sent again."""
    async with serve(latency_s=0.004) as (url, counter):
        assert (await finish(command(url, data, tmp_path / "whole")))[0] == 0
        wanted = set(counter)
        counter.clear()
        arguments = command(url, data, tmp_path / "run")
        for requests in moments:
            code, output = await stop_after(arguments, counter, requests, signal.SIGKILL)
            assert code == -signal.SIGKILL, output
        code, output = await finish(arguments)
        assert code == 0, output
    whole, run = coral.load_run(tmp_path / "whole"), coral.load_run(tmp_path / "run")
    assert content(run) == content(whole)
    assert len(list(run.conversations())) == 30
    assert set(counter) == wanted
    again = sum(counter.values()) - len(wanted)
    assert again <= 6 * len(moments), "more was sent again than could have been in flight"


async def test_ctrl_c_finishes_cleanly_and_says_how_to_go_on(serve, data, tmp_path, content):
    """Exit code 130, requests in flight are kept, nothing is sent twice."""
    async with serve(latency_s=0.004) as (url, counter):
        arguments = command(url, data, tmp_path / "run")
        code, output = await stop_after(arguments, counter, 40, signal.SIGINT)
        assert code == 130, output
        assert "run the same command again to resume" in output
        assert "Traceback" not in output
        code, output = await finish(arguments)
        assert code == 0, output
        assert "were kept" in output
    assert counter.most_common(1)[0][1] == 1
    assert len(content(coral.load_run(tmp_path / "run"))) == 30


async def test_a_torn_last_line_is_owed_again(serve, data, tmp_path, content):
    """What a power cut leaves behind the last newline is run again; the torn bytes stay where they are."""
    async with serve() as (url, _):
        arguments = command(url, data, tmp_path / "run", limit=4)
        await finish(arguments)
        whole = content(coral.load_run(tmp_path / "run"))
        path = tmp_path / "run" / "conversations" / "00000.jsonl"
        path.write_bytes(path.read_bytes()[:-20])
        torn = path.read_bytes()
        code, output = await finish(arguments)
    assert code == 0, output
    assert content(coral.load_run(tmp_path / "run")) == whole
    assert path.read_bytes() == torn


async def test_too_many_failed_conversations_exit_with_3(serve, data, tmp_path):
    """A script sees that the run is finished and not to be trusted."""
    async with serve(faults="filter:1") as (url, _):
        code, output = await finish(command(url, data, tmp_path / "run", limit=3))
    assert code == 3, output
    assert "3 of 3 conversations failed, more than --max_failed_rate 0.05 allows" in output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["stop_reasons"] == {"failed": 3}
    assert summary["metrics"]["agreement_correctness"]["mean"] is None


async def test_a_full_disk_is_an_error_with_a_remedy(serve, data, tmp_path):
    """No traceback, exit code 2, the way on; afterwards the same command finishes the run."""
    async with serve() as (url, _):
        arguments = command(url, data, tmp_path / "run", samples=5)
        no_space = [sys.executable, "-c", SMALL_FILES, *arguments[3:]]
        code, output = await finish(no_space)
        assert code == 2, output
        assert "run the same command again" in output
        assert "Traceback" not in output
        code, output = await finish(arguments)
    assert code == 0, output
    assert len(list(coral.load_run(tmp_path / "run").conversations())) == 150


SMALL_FILES = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
from coral.cli import main
sys.exit(main(sys.argv[1:]))
"""
"""The nearest to a full disk that a test can make: writes fail once a file has 400 kB."""
