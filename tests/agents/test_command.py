"""Programs as agents: real processes that answer, crash, hang, talk too much and are killed."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from coral.agents.command import CommandModel
from coral.api import evaluate_async, load_run, sample_async
from coral.errors import BadResponse, ConfigError, Notice, Rejected, StoppedEarly, Unreachable
from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.models.protocol import Request, Sampling
from coral.types import FinishReason, Message, Role, StopReason

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
MORE = msgspec.Raw(b'{"level": 2}')
HEAD = "import json, os, signal, sys, time\nfor line in sys.stdin:\n    request = json.loads(line)\n"
SEVEN = 'print(json.dumps({"text": "It is \\\\boxed{7}"}))'


@pytest.fixture
def program(tmp_path):
    """Writes a program that runs `body` for each request; returns its command."""

    def write(body, head=HEAD):
        path = tmp_path / f"agent{len(list(tmp_path.glob('agent*')))}.py"
        path.write_text(head + "".join(f"    {line}\n" for line in body.splitlines()))
        return (sys.executable, str(path))

    return write


def request(text="hello", **more):
    messages = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, text))
    sampling = Sampling(temperature=0.5, max_tokens=64, stop=("END",))
    return Request(
        **{"messages": messages, "sampling": sampling, "seed": 3, "conversation_id": "p#0", **more}
    )


async def asked(command, *requests, **options):
    """What a command replies to requests made at once; errors as values."""
    options = {"backoff_s": 0.001, **options}
    async with (
        Connections() as connections,
        CommandModel(ModelConfig(command=command, **options), connections) as model,
    ):
        return await asyncio.gather(*map(model.generate, requests or (request(),)), return_exceptions=True)


async def test_a_line_of_json_in_and_one_out(program):
    """The schema of docs/own_agents.md: what is asked, and everything that a reply may hold."""
    reply = {
        "text": "It is 7", "finish_reason": "length", "reasoning": "3 + 4", "id": None,
        "usage": {"prompt_tokens": 9, "completion_tokens": 2, "reasoning_tokens": 1},
    }  # fmt: skip
    command = program(
        f'reply = json.loads({json.dumps(json.dumps(reply))}); reply["id"] = request["id"]\n'
        'reply["text"] = line\nprint(json.dumps(reply))'
    )
    (generation,) = await asked(
        command, request(sampling=msgspec.structs.replace(request().sampling, extra=MORE)), model="mine"
    )
    (candidate,) = generation.candidates
    assert json.loads(candidate.text) == {
        "id": "p#0/3",
        "conversation": "p#0",
        "model": "mine",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}],
        "sampling": {"temperature": 0.5, "max_tokens": 64, "stop": ["END"]},
        "seed": 3,
        "level": 2,
    }
    assert (candidate.finish_reason, candidate.reasoning) == (FinishReason.LENGTH, "3 + 4")
    assert (generation.usage.prompt_tokens, generation.usage.completion_tokens) == (9, 2)
    assert generation.attempts == 1


LENIENT = [
    (SEVEN, "It is \\boxed{7}"),
    ('print(json.dumps({"text": "a\\nb — ✓"}))', "a\nb — ✓"),
    ('sys.stdout.buffer.write(b\'\\n\\n{"text": "x \\\\ud83d"}\\r\\n\'); sys.stdout.flush()', "x \ufffd"),
    ('print(json.dumps({"text": "<think>hm</think>so 7", "more": [1]}))', "so 7"),
    ('sys.stderr.write("loading" * 99_999); ' + SEVEN, "It is \\boxed{7}"),
    ('print(json.dumps({"text": "y" * 300_000}))', "y" * 300_000),
]


@pytest.mark.parametrize(("body", "text"), LENIENT, ids=range(len(LENIENT)))
async def test_a_reply_is_read_as_that_of_a_server(program, body, text):
    """Line breaks, half surrogates, thinking marks, long lines; standard error may be flooded."""
    (generation,) = await asked(program(body))
    assert generation.candidates[0].text == text


FAULTS = [
    ('print("Loading the model")', BadResponse, "no JSON: Loading the model", "standard error"),
    ('print(json.dumps({"reply": "7"}))', BadResponse, "no text at 'text', but reply", '{"text"'),
    ('print(json.dumps({"text": 7}))', BadResponse, "no text at 'text'", '{"text"'),
    ("print('[' * 5000)", BadResponse, "the reply is", '{"text"'),
    ('print(json.dumps({"text": " "}))', BadResponse, "the content of the reply is empty", ""),
    ('print(json.dumps({"error": "no such tool"}))', Rejected, "reports an error: no such tool", ""),
    ('print(json.dumps({"text": "7", "id": "q"}))', Unreachable, "another request", "each line"),
    ("sys.stderr.write('no such file: w.bin'); sys.exit(3)", Unreachable,
     "ended with 3 before it replied; its last words: no such file: w.bin", "coral-agent-"),
    ("os.kill(os.getpid(), signal.SIGKILL)", Unreachable, "ended with 137 before it replied", "fix the"),
    ("os.close(1); time.sleep(60)", Unreachable, "closed its output before it replied", "fix the"),
    ("time.sleep(60)", Unreachable, "gave no reply within 0.5 s", "flush"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
@pytest.mark.parametrize(("body", "kind", "cause", "remedy"), FAULTS, ids=[row[2] for row in FAULTS])
async def test_what_goes_wrong_is_named_with_what_helps(program, body, kind, cause, remedy, monkeypatch):
    """Each fault of a program fails the request, with its own words and the remedy; none hangs."""
    monkeypatch.setattr("coral.agents.command.GRACE_S", 0.3)
    options = {"request_timeout_s": 0.5} if "0.5 s" in cause else {}
    (failed,) = await asked(program(body), **options)
    assert type(failed) is kind
    assert cause in str(failed)
    assert remedy in failed.remedy


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
async def test_a_script_that_no_system_can_start_is_told(tmp_path):
    """However soon its pipe is closed: at once, or once the request is being written."""
    script = tmp_path / "agent.sh"
    script.write_text("echo hi\n")
    script.chmod(0o700)
    failed = await asked((str(script),), *[request()] * 4)
    assert {type(one) for one in failed} == {Unreachable}
    assert all("cannot be started" in str(one) and "#!/bin/sh" in one.remedy for one in failed)


async def test_a_second_line_is_no_reply_to_the_next_request(program):
    """What comes behind a reply is noticed, and nobody gets the words that were said to another."""
    own = 'text = json.dumps({"text": request["messages"][-1]["content"]}); print(text + "\\n" + text)'
    outcomes = []
    async with (
        Connections() as connections,
        CommandModel(ModelConfig(command=program(own)), connections) as model,
    ):
        for number in range(3):
            outcomes += await asyncio.gather(model.generate(request(str(number))), return_exceptions=True)
            await asyncio.sleep(0.2)
    assert any("a line that nobody asked for" in str(one) for one in outcomes)
    for number, outcome in enumerate(outcomes):
        assert isinstance(outcome, Unreachable) or outcome.candidates[0].text == str(number)


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
async def test_a_crash_is_survived(program, tmp_path):
    """The request goes to another process, and its sendings are counted; the run is told once."""
    mark = tmp_path / "crashed"
    body = f"if not os.path.exists({str(mark)!r}): open({str(mark)!r}, 'w'); sys.exit(1)\n{SEVEN}"
    first, second = await asked(program(body), request(), request("again"), workers=1)
    assert (first.attempts, second.attempts) == (2, 1)


async def test_a_program_may_answer_once_and_end(program):
    """As a script around curl does: no crash, no pause, nothing sent twice."""
    found = await asked(program(f"{SEVEN}; break"), *(request(str(i)) for i in range(4)), workers=1)
    assert [one.attempts for one in found] == [1] * 4


async def test_workers_answer_at_the_same_time(program):
    """As many processes as `workers`; each request meets one of its own, and no more are started."""
    body = 'time.sleep(0.3); print(json.dumps({"text": str(os.getpid())}))'
    found = await asked(program(body), *(request(str(i)) for i in range(9)), workers=3)
    pids = [one.candidates[0].text for one in found]
    assert len(set(pids)) == 3
    assert len(set(pids[:3])) == 3


@pytest.mark.parametrize("end", ["leave", "kill"])
def test_everything_ends_with_the_run(program, tmp_path, end, eventually, ended):
    """The program, and what it starts itself, also after `kill -9` of the run."""
    body = (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        + ("time.sleep(600)" if end == "kill" else SEVEN)
    )
    words = [
        sys.executable,
        "-m",
        "coral",
        "eval",
        "gsm8k",
        "--data",
        DATA,
        "--limit",
        "1",
        "--protocol",
        "cot",
    ]
    words += ["--agent.command", " ".join(program(body)), "--output", str(tmp_path / "run")]
    run = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: (tmp_path / "pids").exists() and len((tmp_path / "pids").read_text().split()) == 2)
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    if end == "kill":
        run.kill()
    run.wait()
    eventually(lambda: all(map(ended, pids)))


def options(path, **more):
    return {"data": DATA, "output": str(path), "limit": 4, "max_turns": 4, **more}


async def test_a_run_is_recorded_by_its_words_and_resumes(program, tmp_path):
    """run.json holds the words and a digest of the script; what was said is not asked for again."""
    log = tmp_path / "asked"
    command = program(f"open({str(log)!r}, 'a').write('.')\n{SEVEN}")
    run = await evaluate_async("gsm8k", agent={"command": command}, **options(tmp_path / "run"))
    assert {c.stop for c in run.conversations()} == {StopReason.AGREED}
    identity = load_run(run.path).identity()["partner"]
    assert identity["command"] == list(command)
    assert identity["model"] == f"command:{' '.join(command)}"
    assert len(identity["source"]) == 16
    assert next(run.conversations()).speakers["opener"].model == identity["model"]
    before = len(log.read_text())
    again = {**options(tmp_path / "run"), "limit": 5}
    run = await evaluate_async("gsm8k", agent={"command": " ".join(command)}, **again)
    assert (run.finished, len(log.read_text())) == (5, before + 2)
    assert load_run(run.path).identity()["extractor"] == {"mode": "rules"}


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
@pytest.mark.parametrize("body", ["sys.exit(2)", 'print("hi")', 'print(json.dumps({"error": "no"}))'])
async def test_a_run_that_comes_to_nothing_stops(program, tmp_path, body):
    """Nothing is stored as failed, and the program's own words are told."""
    with pytest.raises(StoppedEarly) as stopped:
        await evaluate_async(
            "gsm8k",
            agent={"command": program(body), "backoff_s": 0.001},
            **{**options(tmp_path / "run"), "limit": 12},
        )
    assert "command:" in str(stopped.value)
    assert not list(load_run(tmp_path / "run").conversations())


async def test_seats_may_hold_different_programs(program, tmp_path):
    """A partner with a command of its own; neither is asked to extract, and candidates are drawn singly."""
    seeds = program('print(json.dumps({"text": f"{request[\'seed\']}: \\\\boxed{{7}}"}))')
    run = await sample_async(
        "gsm8k",
        agent={"command": program(SEVEN)},
        partner={"command": seeds},
        candidates=3,
        samples=1,
        **options(tmp_path / "run"),
    )
    conversation = next(run.conversations())
    assert len({speaker.model for speaker in conversation.speakers.values()}) == 2
    said = [{reply.text for reply in turn.replies} for turn in conversation.turns]
    assert [len(texts) for texts in said] == [3, 1]


def test_keys_are_shown_nowhere(program, monkeypatch):
    """What the environment holds under the name of a key is taken out of errors and replies."""
    key = "plain-looking-value-42"
    monkeypatch.setenv("MY_API_KEY", key)
    said = asyncio.run(asked(program('print(json.dumps({"text": "I know " + os.environ["MY_API_KEY"]}))')))
    assert said[0].candidates[0].text == "I know [key]"
    with pytest.warns(Notice) as told:
        failed = asyncio.run(asked(program('sys.stderr.write(os.environ["MY_API_KEY"]); sys.exit(1)')))
    assert key not in str(failed[0]) + str([str(one.message) for one in told])


REFUSED = [
    ("./nothing.sh", "there is no program './nothing.sh'", "give the path"),
    ("", "command is empty", "leave it out"),
    ("agent.sh", "agent.sh is not in PATH", "./agent.sh"),
    ("cat | head", "no shell reads the command", "sh -c"),
    ("cat > x", "no shell reads the command", "sh -c"),
    ("A=1 ./agent.sh", "there is no program 'A=1'", "env A=1"),
    ("say 'hello", "cannot be split into words", "quote it"),
    ("./agent.sh --api-key abcdefghijk", "holds a secret in --api-key", "environment variable"),
    ("./agent.txt", "may not be executed", "chmod +x"),
]


@pytest.mark.parametrize(("command", "cause", "remedy"), REFUSED, ids=[row[0] or "empty" for row in REFUSED])
async def test_commands_that_cannot_be_run(command, cause, remedy, tmp_path, monkeypatch):
    """Before there is a run folder."""
    monkeypatch.chdir(tmp_path)
    Path("agent.txt").write_text("cat")
    Path("agent.sh").write_text("cat")
    Path("agent.sh").chmod(0o700)
    with pytest.raises(ConfigError) as refused:
        await evaluate_async("gsm8k", agent={"command": command}, **options(tmp_path / "run"))
    assert cause in str(refused.value)
    assert remedy in refused.value.remedy
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("other", [{"base_url": "http://x"}, {"http": "http://x"}, {"replicas": "pool"}])
def test_one_place_alone(other):
    """An agent is a command or served somewhere."""
    with pytest.raises(ConfigError, match="both say where"):
        ModelConfig(command="cat", **other)
