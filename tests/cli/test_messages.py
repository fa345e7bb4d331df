"""What a new user types wrong, and what is said: the cause, and what to do about it."""

from __future__ import annotations

import socket
import threading

import pytest

from coral.cli import main

pytestmark = pytest.mark.filterwarnings("default::coral.errors.Notice")

DRY = ["--dry-run", "--limit", "2"]
TASK = ["eval", "sally_anne"]
DEAD = "http://127.0.0.1:9/v1"

FILES = {
    "task.yaml": "task: sally_anne\nagent: openai/gpt-4o-mini\nlimit: 2\n",
    "sys.txt": "Be brief.\n",
    "empty.jsonl": "",
    "other.jsonl": '{"prompt": "1 + 1?", "reply": "2"}\n',
    "torn.yaml": "limit: [1\n",
    "tab.yaml": "agent:\n\tmodel: x\n",
    "list.yaml": "- limit: 3\n",
    "typo.yaml": "limt: 3\n",
    "nested.yaml": "agent: {temprature: 1}\n",
    "partner.yaml": "partner: {top_p: 2}\n",
    "words.yaml": "limit: many\n",
    "held/run.json": "{}",
}

WORK = [
    (["eval", "--config", "task.yaml", "--dry-run"], "nothing was sent"),
    ([*TASK, "--agent", "openai/gpt-4o-mini", *DRY], "nothing was sent"),
    (["eval", "--task", "sally_anne", *DRY], "nothing was sent"),
    ([*TASK, "--max-turns", "4", *DRY], "at most: 4 turns"),
    (["eval", "--limit", "2", "sally_anne", "--dry-run"], "2 problems"),
    ([*TASK, *DRY, "--agent.temperature", "5"], "most servers take 0 to 2"),
    ([*TASK, *DRY, "--agent.system_prompt", "sys.txt"], "@sys.txt reads it"),
    ([*TASK, *DRY, "--agent.model", "m" * 300, "--agent.base_url", DEAD], "nothing was sent"),
]  # fmt: skip
"""What misled once and is meant to work, or to work with a word of warning."""

MISTAKES = [
    ([*TASK, "-m", "x"], "'-m' is not an option", "did you mean --agent.model MODEL?"),
    ([*TASK, "--limit", "five"], "--limit must be a whole number (got 'five')", "coral eval"),
    ([*TASK, "--limit", "-5"], "--limit must be at least 1 (got -5)", "leave it out"),
    ([*TASK, "--extractor.mode", "ruls"], "--extractor.mode must be one of rules, model, hybrid",
     "did you mean rules?"),
    (["eval", "choices", "--data", "empty.jsonl"], "empty.jsonl is empty", "name the file"),
    (["eval", "gsm8k", "--data", "other.jsonl"], "the field 'question' is missing",
     "coral eval choices --data other.jsonl"),
    (["compare", *("run",) * 27], "27 run folders are given", "at most 26"),
    (["compare", "a", "b", "c"], "a is not a run folder", "`coral eval` printed"),
    (["export", "r", "--output", "e.xls"], "'e.xls' does not end in .jsonl, .csv, .parquet", "suffix"),
    # further ones: numbers
    ([*TASK, "--limit", "0"], "--limit must be at least 1 (got 0)", "leave it out"),
    ([*TASK, "--limit", "2.5"], "--limit must be a whole number (got '2.5')", "coral eval"),
    ([*TASK, "--max_cost", "-1"], "--max_cost must be above 0 (got -1", "leave it out"),
    ([*TASK, "--max_failed_rate", "5"], "--max_failed_rate must be between 0 and 1 (got 5", "is 0.05"),
    ([*TASK, "--agent.top_p", "0"], "--agent.top_p must be above 0 and at most 1 (got 0", "leave it out"),
    ([*TASK, "--partner.top_p", "2"], "--partner.top_p must be above 0 and at most 1 (got 2", "leave it out"),
    ([*TASK, "--extractor.max_tokens", "0"], "--extractor.max_tokens must be at least 1 (got 0)", "default"),
    ([*TASK, "--agent.temperature", "inf"], "--agent.temperature must be a finite number", "default is 0.2"),
    (["sample", "sally_anne", "--candidates", "0"], "--candidates must be at least 1 (got 0)", "is 5"),
    (["serve", "scripted", "--port", "99999"], "--port must be between 0 and 65535 (got 99999)", "8765"),
    (["show", "r", "--limit", "0"], "--limit must be at least 1 (got 0)", "default is 20"),
    (["power", "--rate_a", "60"], "--rate_a must be between 0 and 1 (got 60", "leave it out"),
    # words and types
    ([*TASK, "--agent.max_tokens", "lots"], "--agent.max_tokens must be a whole number (got 'lots')", "eval"),
    ([*TASK, "--dry_run", "maybe"], "--dry_run must be true or false (got 'maybe')", "coral eval"),
    ([*TASK, "--opener", "agnet"], "--opener must be one of agent, partner (got 'agnet')", "mean agent?"),
    ([*TASK, "--partner.sees", "all"], "--partner.sees must be one of", "coral eval"),
    # unknown options
    ([*TASK, "--limt", "3"], "no option --limt", "did you mean --limit?"),
    ([*TASK, "--temperature", "0"], "no option --temperature", "did you mean --agent.temperature?"),
    ([*TASK, "--max_tokens", "9"], "no option --max_tokens", "did you mean --agent.max_tokens?"),
    ([*TASK, "--agent.modle", "x"], "no option --agent.modle", "did you mean --agent.model?"),
    ([*TASK, "--partner.modle", "x"], "no option --partner.modle", "did you mean --partner.model?"),
    ([*TASK, "--extractor.mod", "rules"], "no option --extractor.mod", "did you mean --extractor.mod"),
    (["evl"], "no command 'evl'", "did you mean `coral eval`?"),
    # files
    (["eval", "--config", "none.yaml"], "cannot read none.yaml", "give a YAML file"),
    (["eval", "--config", "torn.yaml"], "torn.yaml is not YAML: line 2: expected ','", "a YAML file"),
    (["eval", "--config", "tab.yaml"], "tab.yaml is not YAML: line 2: found character '\\t'", "a YAML file"),
    (["eval", "--config", "list.yaml"], "list.yaml holds no options", "give a YAML file"),
    ([*TASK, "--config", "typo.yaml"], "no option --limt", "did you mean --limit?"),
    ([*TASK, "--config", "nested.yaml"], "no option --agent.temprature", "did you mean --agent.temperature?"),
    ([*TASK, "--config", "partner.yaml"], "--partner.top_p must be above 0 and at most 1", "leave"),
    ([*TASK, "--config", "words.yaml"], "--limit must be a whole number (got 'many')", "coral eval"),
    (["eval", "choices", "--data", "none.csv"], "none.csv", ""),
    ([*TASK, "--agent.system_prompt", "@none.txt"], "none.txt", ""),
    # what is no task
    (["eval", "typo.yaml"], "typo.yaml is not a task", "`--config typo.yaml` reads them"),
    (["eval", "held"], "held is not a task", "`--config held/config.yaml` resumes it"),
    (["sample", "held"], "held is not a task", "`--config held/config.yaml` resumes it"),
    (["study", "held"], "held is a folder, not a task", "coral study held/config.yaml"),
    (["study", "held", "--preset", "controls"], "held is a folder, not a task", "held/config.yaml"),
]  # fmt: skip


def typed(value):
    """The words of a command as its test's name; the others are left out."""
    return " ".join(value)[:60] if isinstance(value, list) else ""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The command is run where its files lie."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "held").mkdir()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


@pytest.mark.parametrize(("words", "said"), WORK, ids=typed)
def test_what_misled_once_works(words, said, capsys):
    """Exit code 0, and the run or the warning that the user expects."""
    assert main(words) == 0
    told = capsys.readouterr()
    assert said in told.out + told.err


@pytest.mark.parametrize(("words", "cause", "remedy"), MISTAKES, ids=typed)
def test_a_mistake_is_told_with_what_helps(words, cause, remedy, capsys):
    """Exit code 2, one line of cause that names what was typed, one of remedy, and no traceback."""
    assert main(words) == 2
    first, *rest = capsys.readouterr().err.splitlines()
    assert cause in first
    advice = " ".join(rest)
    assert advice.strip().startswith("->")
    assert remedy in advice


@pytest.fixture
def plain():
    """The port of a server that answers everything in plain HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1000)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_https_on_a_plain_port_is_named(plain, capsys):
    """The address is to be fixed, not a certificate."""
    assert main([*TASK, "--limit", "1", "--agent.model", "m",
                 "--agent.base_url", f"https://127.0.0.1:{plain}/v1"]) != 0  # fmt: skip
    assert "the server speaks http, not https?" in capsys.readouterr().err
