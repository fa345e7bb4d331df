"""`coral make mbpp_cr`: sets that are balanced, resumed, and never somebody else's."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from aiohttp import web

from coral.cli import main
from coral.errors import ConfigError, DataError, RunFolderError, UserError
from coral.generation.make import Made, make
from coral.generation.make_config import MakeConfig, SamplerConfig
from coral.jail import drivers

RECORDS = [
    {
        "task_id": 1,
        "text": "Write a function that doubles a number.",
        "code": "def double(x):\n    return x * 2",
        "test_list": ["assert double(3) == 6", "assert double(0) == 0"],
    },
    {
        "task_id": 2,
        "text": "Write a function that gives the larger one.",
        "code": "def larger(a, b):\n    if a > b:\n        return a\n    return b",
        "test_list": ["assert larger(1, 2) == 2", "assert larger(5, 2) == 5"],
    },
]
RIGHT = "I add it up.\n```python\ndef double(x):\n    return x + x\n```"
SAME_AGAIN = "```python\ndef double(x):  # the same in other clothes\n    return (x + x)\n```"
WRONG = "```python\ndef double(x):\n    return x ** 2\n```"
RAISES = "```python\ndef double(x):\n    return y\n```"
ENDLESS = "```python\ndef double(x):\n    while True:\n        pass\n```"
NO_CODE = "I would rather not."


@pytest.fixture
def data(tmp_path):
    """Two problems of MBPP's form."""
    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    return path


def config(data, **options):
    return MakeConfig(
        task="mbpp_cr",
        data=str(data),
        output=str(data.with_name("set.jsonl")),
        allow_unsafe_code=True,
        **options,
    )


def rows(data):
    return [json.loads(line) for line in data.with_name("set.jsonl").read_text().splitlines()]


def run(data, **options):
    return asyncio.wait_for(make(config(data, **options), Made()), 120)


async def test_without_a_model_mistakes_are_put_into_solutions(data):
    """The default: as many right programs as wrong ones, with operator, lineage and split in each line."""
    made = await run(data, pairs=2, seed=5)
    found = rows(data)
    assert Counter((row["problem"], row["label"]) for row in found) == {
        ("1", "correct"): 2, ("1", "incorrect"): 2, ("2", "correct"): 2, ("2", "incorrect"): 2,
    }  # fmt: skip
    for row in found:
        assert (row["operator"] == "none") is (row["label"] == "correct") is (row["outcome"] == "passed")
        assert row["split"] in {"train", "validation", "test"}
        assert row["made"]["seed"] == 5
        assert {"data", "coral", "python", "rewrites", "split_seed"} <= row["made"].keys()
    assert made.written
    assert sum(made.operators.values()) == sum(made.splits.values()) == len(found)


async def test_the_same_command_runs_nothing_twice(data):
    """What programs did is kept: a second session writes the same set without running any."""
    await run(data)
    before = data.with_name("set.jsonl").read_bytes()
    kept = list((data.parent / "set.jsonl.parts" / "runs").iterdir())
    data.with_name("set.jsonl").unlink()
    await run(data)
    assert data.with_name("set.jsonl").read_bytes() == before
    assert list((data.parent / "set.jsonl.parts" / "runs").iterdir()) == kept


async def test_a_limit_may_grow(data):
    """The first problems are the same ones."""
    await run(data, limit=1)
    first = rows(data)
    await run(data)
    assert rows(data)[: len(first)] == first
    assert len(rows(data)) > len(first)


async def test_a_session_that_is_stopped_writes_no_set(data):
    """An interrupted session leaves what programs did, and the next one resumes."""
    made = Made()
    made.stop()
    assert not (await make(config(data), made)).written
    assert not data.with_name("set.jsonl").exists()
    assert (await run(data)).written


@pytest.mark.parametrize("options", [{"pairs": 3}, {"seed": 1}, {"split_seed": 1}])
async def test_other_options_are_refused(data, options):
    """A set is of one piece; the message says what differs."""
    await run(data)
    [(name, now)] = options.items()
    told = rf"was begun with other options:\n  {name}: .* there, {now} now$"
    with pytest.raises(RunFolderError, match=told):
        await run(data, **options)


async def test_other_data_are_refused(data):
    """By content, not by name."""
    await run(data)
    data.write_text(data.read_text().replace("doubles", "doubles up"))
    with pytest.raises(RunFolderError, match=r"other options:\n  data: not the same$"):
        await run(data)


async def test_a_file_of_somebody_else_is_left_alone(data):
    """OUTPUT is overwritten only where this command wrote it."""
    data.with_name("set.jsonl").write_text("precious")
    with pytest.raises(RunFolderError, match="is not the work of this command"):
        await run(data)
    assert data.with_name("set.jsonl").read_text() == "precious"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "mbpp"}, "'mbpp' cannot be made"),
        ({"task": ""}, "nothing to make is named"),
        ({"data": ""}, "no data are named"),
        ({"output": ""}, "no output is named"),
        ({"output": "mbpp.jsonl"}, "data and output are one file"),
        ({"pairs": 0}, "pairs must be at least 1"),
    ],
)
def test_options_that_make_nothing(options, message):
    """Each says what is missing, with a command that works."""
    with pytest.raises(ConfigError, match=message) as caught:
        MakeConfig(**{"task": "mbpp_cr", "data": "mbpp.jsonl", "output": "set.jsonl", **options})
    assert caught.value.remedy


class Programmer:
    """Answers `double` with one program after the other, and `larger` with the right one alone."""

    replies = (RIGHT, SAME_AGAIN, WRONG, RAISES, ENDLESS, NO_CODE)

    def __call__(self, body):
        text = body["messages"][-1]["content"]
        larger = "```python\ndef larger(a, b):\n    return max(a, b)\n```"
        choices = [
            {
                "index": number,
                "message": {"role": "assistant", "content": reply if "double(" in text else larger},
                "finish_reason": "length" if body.get("cut") else "stop",
            }
            for number, reply in enumerate(self.replies[: body["n"]])
        ]
        usage = {"prompt_tokens": 3, "completion_tokens": 2 * len(choices)}
        return web.json_response({"id": "1", "choices": choices, "usage": usage})


def served(echo, **more):
    return SamplerConfig(
        model="m", base_url=echo.url, backoff_s=0.001, max_backoff_s=0.01, max_attempts=2, **more
    )


async def test_a_models_programs_are_run_labelled_and_balanced(data, echo):
    """Layout and comments make no second program; what does not end, or is none, is no example."""
    echo.react = Programmer()
    made = await run(data, agent=served(echo), samples=6, pairs=4)
    found = rows(data)
    assert Counter(row["label"] for row in found) == {"correct": 1, "incorrect": 1}
    [right] = [row for row in found if row["label"] == "correct"]
    assert right["program"] == "def double(x):\n    return x + x"
    assert right["operator"] == "sampled"
    assert right["made"]["model"] == "m"
    assert right["made"]["sample"] == 0
    assert made.counts.programs == {"right": 2, "wrong": 2, "unsettled": 1}
    assert made.counts.unbalanced == 1
    assert made.unread == 1
    assert {body["temperature"] for body in echo.bodies} == {0.8}


async def test_a_model_is_asked_once(data, echo):
    """A resumed session asks only what has no reply: nothing paid for is lost."""
    plan = Programmer()
    echo.react = lambda body: plan(body) if "double(" in str(body) else echo.error(400)
    made = await run(data, agent=served(echo), samples=3)
    assert (made.replies.answered, made.replies.failed) == (1, 1)
    assert made.written
    asked = len(echo.bodies)
    echo.react = plan
    made = await run(data, agent=served(echo), samples=3)
    assert (made.replies.kept, made.replies.answered) == (1, 1)
    assert all("larger" in str(body["messages"]) for body in echo.bodies[asked:])


async def test_a_model_that_is_always_right_gives_no_set(data, echo):
    """No balance, no set; the message says what to change."""
    plan = Programmer()
    plan.replies = (RIGHT, SAME_AGAIN)
    echo.react = plan
    with pytest.raises(DataError, match="has both right and wrong programs: 2 right and 0 wrong") as caught:
        await run(data, agent=served(echo), samples=2)
    assert "--samples" in caught.value.remedy
    assert not data.with_name("set.jsonl").exists()


async def test_no_jail_is_told_before_a_model_is_asked(data, echo, monkeypatch):
    """Programs that nobody can run are not paid for."""
    monkeypatch.setattr(drivers, "DRIVERS", {"plain": drivers.DRIVERS["plain"]})
    options = {"task": "mbpp_cr", "data": str(data), "output": str(data.with_name("set.jsonl"))}
    with pytest.raises(UserError, match="no jail for untrusted programs works here"):
        await make(MakeConfig(**options, agent=served(echo)), Made())
    assert echo.bodies == []
    assert not data.with_name("set.jsonl.parts").exists()


def test_the_command_says_what_it_made(data, capsys):
    """The report counts programs, mistakes and splits, and names the file."""
    output = data.with_name("set.jsonl")
    words = ["make", "mbpp_cr", "--data", str(data), "--output", str(output), "--allow_unsafe_code", "true"]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "programs run: " in told
    assert "operators: 2 none" in told
    assert f"{output}: 4 programs, half of them correct" in told
    assert Path(output).exists()
