"""A batch in shards: several processes answer it, and the output is that of one."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys

import pytest

from coral.budget import OutOfBudget
from coral.errors import ConfigError, RunFolderError, UserError
from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts
from coral.generation.processes import run


def command(batch, **more):
    flags = {
        "output": batch.output, "agent.model": "m", "agent.base_url": batch.url, "max_connections": 8, **more,
    }  # fmt: skip
    words = [str(part) for name, value in flags.items() for part in (f"--{name}", value)]
    return [sys.executable, "-m", "coral", "generate", str(batch.input), *words]


async def start(words):
    return await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


async def finish(words):
    """The exit code, and what was told; lines of progress left out, which are more the longer it takes."""
    process = await start(words)
    told, _ = await process.communicate()
    lines = [line for line in told.decode().splitlines() if " active · " not in line]
    return process.returncode, "\n".join(lines)


@pytest.fixture
async def undivided(batch, echo):
    """A batch of 41 rows of all forms, and the output of one process; the server has forgotten it."""
    rows = [{"prompt": f"row {number}", "mine": number} for number in range(39)]
    body = {"messages": [{"role": "user", "content": "batch"}], "n": 2}
    batch.write(*rows[:20], {"custom_id": "x", "body": body}, b"", {"prompt": "\u2028 ü"}, *rows[20:])
    await batch.run()
    whole = batch.output.read_bytes()
    batch.output = batch.output.with_name("divided.jsonl")
    batch.parts = batch.output.with_name("divided.jsonl.parts")
    asked = +echo.asked
    echo.asked.clear()
    return whole, asked


async def test_processes_write_what_one_process_writes(batch, echo, undivided):
    """Byte for byte, each row asked exactly once; the command counts all of them."""
    whole, asked = undivided
    code, told = await finish(command(batch, processes=3))
    assert (code, told.splitlines()[0]) == (0, "41 of 41 rows answered"), told
    assert batch.output.read_bytes() == whole
    assert echo.asked == asked
    code, told = await finish(command(batch, processes=3))
    assert (code, told.splitlines()[0]) == (0, "41 of 41 rows answered, 41 of them by earlier runs"), told
    assert (echo.asked, batch.output.read_bytes()) == (asked, whole)


async def test_whoever_ends_last_writes_the_output(batch, echo, undivided):
    """Shards are started one by one, by anybody; until all are complete there is no output."""
    whole, asked = undivided
    for index, missing in ((2, "0/3, 1/3"), (0, "1/3")):
        code, told = await finish(command(batch, shard=f"{index}/3"))
        assert code == 0, told
        assert f"shard {index}/3 is complete" in told
        assert f"not complete: {missing}; whichever ends last writes" in told
        assert not batch.output.exists()
    counts = await batch.run(shard="1/3")
    assert (counts.total, counts.answered, counts.written, counts.missing) == (14, 14, True, ())
    assert (echo.asked, batch.output.read_bytes()) == (asked, whole)


async def test_shards_that_end_at_the_same_moment(batch, undivided):
    """Several may write the output: it is whole and the same."""
    whole, _ = undivided
    counts = await asyncio.gather(*(batch.run(shard=f"{index}/5") for index in range(5)))
    assert any(one.written for one in counts)
    assert batch.output.read_bytes() == whole


async def test_more_shards_than_rows(batch, echo):
    """Those without a row are complete at once."""
    batch.prompts(2)
    for index in range(4):
        await batch.run(shard=f"{index}/4")
    assert [row["mine"] for row in batch.replies()] == [0, 1]
    assert echo.asked.total() == 2


async def test_a_killed_shard_resumes_alone(batch, echo, undivided):
    """Nothing that others hold is asked again, and of its own at most what was in flight."""
    whole, asked = undivided
    await batch.run(shard="0/2")
    before = echo.asked.total()
    echo.delay_s = 0.05
    process = await start(command(batch, shard="1/2", max_connections=3))
    while echo.asked.total() < before + 8:
        await asyncio.sleep(0.005)
    process.kill()
    await process.communicate()
    assert not batch.output.exists()
    echo.delay_s = 0.0
    assert (await batch.run(shard="1/2")).written
    assert set(echo.asked) == set(asked)
    assert echo.asked.total() <= asked.total() + 3
    assert batch.output.read_bytes() == whole


async def test_ctrl_c_reaches_all_processes(batch, echo, undivided):
    """What is in flight is kept, the exit code is 130, and the same command resumes."""
    whole, asked = undivided
    echo.delay_s = 0.1
    words = command(batch, processes=2, max_connections=4)
    process = await start(words)
    while echo.asked.total() < 8:
        await asyncio.sleep(0.005)
    process.send_signal(signal.SIGINT)
    told, _ = await process.communicate()
    assert process.returncode == 130, told.decode()
    assert "run the same command again to resume" in told.decode()
    echo.delay_s = 0.0
    code, told = await finish(words)
    assert code == 0, told
    assert (echo.asked, batch.output.read_bytes()) == (asked, whole)


async def test_failed_rows_are_counted_wherever_they_failed(batch, echo):
    """The exit code counts the lines of the output; a shard asks its own failed rows again."""
    batch.prompts(10)
    echo.react = lambda b: echo.error(400) if b["messages"][-1]["content"] == "row 4" else None
    code, told = await finish(command(batch, shard="0/2"))
    assert (code, told.splitlines()[0]) == (1, "4 of 5 rows answered; 1 failed"), told
    code, told = await finish(command(batch, shard="1/2"))
    assert code == 1, told
    assert "other shards left 1 rows with an error" in told
    assert [row["mine"] for row in batch.replies() if row["error"]] == [4]
    echo.react = lambda b: None
    before = echo.asked.total()
    code, told = await finish(command(batch, shard="0/2"))
    assert (code, echo.asked.total() - before) == (0, 1), told
    assert not [row for row in batch.replies() if row["error"]]


async def test_rows_that_were_changed_or_added(batch, echo):
    """Only their shards have something to do, and the output waits for them."""
    batch.prompts(6)
    for index in range(3):
        await batch.run(shard=f"{index}/3")
    before = +echo.asked
    rows = [{"prompt": f"row {number}", "mine": number} for number in range(8)]
    batch.write(rows[0], {"prompt": "changed"}, *rows[2:])
    first = batch.output.read_bytes()
    assert (await batch.run(shard="2/3")).missing == ("0/3", "1/3")
    assert batch.output.read_bytes() == first
    await batch.run(shard="0/3")
    assert (await batch.run(shard="1/3")).written
    contents = [row["response"]["choices"][0]["message"]["content"] for row in batch.replies()]
    assert contents == ["row 0!", "changed!", *(f"row {number}!" for number in range(2, 8))]
    assert set(echo.asked - before) == {"changed", "row 6", "row 7"}


DIVISIONS = [
    ({"shard": "0/2"}, {"shard": "0/3"}, "in 2 shards, not in 3 shards", "--shard I/2"),
    ({"processes": 2}, {"processes": 4}, "in 2 shards, not in 4 shards", "--processes 2"),
    ({"shard": "1/2"}, {}, "in 2 shards, not undivided", "--shard I/2"),
    ({}, {"shard": "1/2"}, "undivided, not in 2 shards", "leave out --shard"),
    ({}, {"processes": 2}, "undivided, not in 2 shards", "leave out --shard"),
    ({"shard": "0/2"}, {"shard": "1/2", "seed": 3}, "seed: 0 there, 3 now", "give the same ones"),
]


@pytest.mark.parametrize(("begun", "resumed", "cause", "remedy"), DIVISIONS)
async def test_a_batch_stays_as_it_was_divided(batch, echo, begun, resumed, cause, remedy):
    """Rows would be asked twice otherwise: refused before a request, with the way on."""
    batch.prompts(4)
    await run(batch.config(**begun), Counts())
    asked = echo.asked.total()
    with pytest.raises(UserError, match=cause) as refused:
        await run(batch.config(**resumed), Counts())
    assert remedy in refused.value.remedy
    assert echo.asked.total() == asked


async def test_two_processes_of_one_shard(batch, echo):
    """The second is kept out."""
    batch.prompts(8)
    echo.delay_s = 0.2
    both = (batch.run(shard="0/2"), batch.run(shard="0/2"))
    refused = [
        one for one in await asyncio.gather(*both, return_exceptions=True) if isinstance(one, RunFolderError)
    ]
    assert len(refused) == 1
    assert "another process works in" in str(refused[0])


async def test_what_ends_a_process_ends_the_batch_with_its_cause(batch, echo):
    """A refused key in one shard: the command says it as one process would, and the others stop."""
    batch.prompts(300)
    echo.react = lambda body: echo.error(401, "no such key")
    code, told = await finish(command(batch, processes=2))
    assert code == 2, told
    assert "no such key" in told
    assert "Traceback" not in told
    assert echo.asked.total() < 60


@pytest.mark.parametrize("shard", ["2/2", "-1/2", "1", "0/0", "a/b", "1/2/3"])
def test_what_is_no_shard(shard):
    """It is refused by name, and so are both ways to divide at once."""
    with pytest.raises(ConfigError, match="shard"):
        GenerateConfig(input="a", output="b", shard=shard)
    with pytest.raises(ConfigError, match="both divide"):
        GenerateConfig(input="a", output="b", shard="0/2", processes=2)


LIMITED = {"undivided": {}, "a shard has its share": {"shard": "0/1"}, "processes": {"processes": 1}}


@pytest.mark.parametrize("name", LIMITED)
async def test_a_limit_on_tokens_holds_over_sessions(batch, echo, name):
    """The work stops before the limit, what is paid for is kept, and a higher limit resumes it."""
    batch.prompts(40)
    limited = {"agent": {"max_tokens": 2}, "max_connections": 4, **LIMITED[name]}
    with pytest.raises(OutOfBudget, match="tokens") as stopped:
        await batch.run(**limited, max_tokens_total=100)
    assert "higher limit" in stopped.value.remedy
    assert 0 < echo.asked.total() <= 20, "five tokens a row"
    asked = echo.asked.total()
    with pytest.raises(OutOfBudget):
        await batch.run(**limited, max_tokens_total=100)
    assert echo.asked.total() <= 20, "what an earlier session spent counts"
    await batch.run(**limited)
    assert (echo.asked.total(), asked > 0) == (40, True)


async def test_money_needs_a_price(batch, echo):
    """A limit in USD for a model without one is refused before anything is sent."""
    batch.prompts(2)
    with pytest.raises(ConfigError, match="has no price"):
        await batch.run(max_cost=1.0)
    assert not echo.asked


@pytest.mark.parametrize("option", ["max_tokens_total", "max_cost", "max_hours"])
def test_a_limit_is_above_zero(option):
    """A limit of nothing is refused by name."""
    with pytest.raises(ConfigError, match=f"{option} must be "):
        GenerateConfig(input="a", output="b", **{option: 0})
