"""A person in a seat: in a real terminal, and through a pipe."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coral.api import load_run
from coral.cli import main
from coral.types import OPENER, RESPONDER, StopReason

DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
AGENT = (
    "import json, sys\n"
    "for line in sys.stdin:\n"
    "    request = json.loads(line)\n"
    "    heard = request['messages'][-1]['content']\n"
    "    print(json.dumps({'text': f'{len(heard)} letters. So \\\\boxed{{7}}', 'reasoning': 'SECRET'}))\n"
)
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


@pytest.fixture
def words(tmp_path):
    """A chat about two problems with a program that always says 7."""
    (tmp_path / "agent.py").write_text(AGENT)
    command = f"{sys.executable} {tmp_path / 'agent.py'}"
    return [
        sys.executable, "-m", "coral", "chat", "gsm8k", "--data", DATA, "--limit", "2", "--agent.command",
        command, "--output", str(tmp_path / "run"),
    ]  # fmt: skip


class Sitting:
    """A person at a terminal of their own."""

    def __init__(self, words):
        self.pid, self._terminal = pty.fork()
        if not self.pid:
            os.environ["COLUMNS"] = "100"
            os.execv(words[0], words)
        self.shown = ""
        self._read = 0

    def sees(self, mark, within_s=60.0):
        """Wait until something is shown; returns what is new up to there."""
        deadline = time.monotonic() + within_s
        while mark not in self.shown[self._read :]:
            assert time.monotonic() < deadline, f"{mark!r} is not shown: {self.shown}"
            if select.select([self._terminal], [], [], 0.2)[0]:
                try:
                    chunk = os.read(self._terminal, 65_536)
                except OSError:  # it has ended
                    chunk = b""
                assert chunk, f"it ended before {mark!r}: {self.shown}"
                self.shown = ESCAPES.sub("", self.shown + chunk.decode()).replace("\r\n", "\n")
        end = self.shown.index(mark, self._read) + len(mark)
        new, self._read = self.shown[self._read : end], end
        return new

    def types(self, text):
        self.sees("You> ")
        os.write(self._terminal, text.encode())

    def leaves(self):
        """Read to its end; returns the exit code."""
        while True:
            try:
                chunk = os.read(self._terminal, 65_536)
            except OSError:
                break
            if not chunk:
                break
            self.shown += ESCAPES.sub("", chunk.decode()).replace("\r\n", "\n")
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self._terminal)
        return code


def test_a_person_sees_what_a_seat_sees(words, tmp_path):
    """The opening, the instructions and the other's words; no answer, no reasoning, no id of a problem.

    What they say is read and stored as anybody's, with the time that it took.
    """
    person = Sitting(words)
    person.types("I say 5, the answer is 5.\n")
    person.types("Ok.\\\nYou convince me: \\boxed{7}\n")
    assert "conversation is over: you agree" in person.sees("== Problem 2 of 2 ==")
    person.types("\x04")
    assert person.leaves() == 0
    screen = " ".join(person.shown.split())
    assert "1 of 2 conversations are finished and kept" in screen
    assert "and human" in screen
    assert "partner 2 (human)" in screen
    records = [json.loads(line) for line in Path(DATA).read_text().splitlines()]
    problems = [c.problem for c in load_run(tmp_path / "run").conversations()]
    (question,) = [record["question"] for record in records if record["question"] == problems[0].question]
    assert " ".join(question.split()) in screen
    assert "You and a partner work on one problem" in screen
    assert "SECRET" not in screen
    assert problems[0].id not in screen
    (conversation,) = load_run(tmp_path / "run").conversations()
    assert conversation.stop is StopReason.AGREED
    assert [turn.seat for turn in conversation.turns] == [RESPONDER, OPENER, RESPONDER]
    assert conversation.speakers[RESPONDER].model == "human"
    first, _, last = (turn.reply for turn in conversation.turns)
    assert first.text == "I say 5, the answer is 5."
    assert last.text == "Ok.\nYou convince me: \\boxed{7}"
    assert last.belief.value == "7"
    assert first.latency_s > 0
    assert (first.usage.completion_tokens, first.attempts) == (0, 1)
    identity = load_run(tmp_path / "run").identity()
    assert (identity["partner"], identity["opener"]) == ({"model": "human"}, "agent")


@pytest.mark.parametrize("leaving", ["\x04", "\x03"], ids=["Ctrl-D", "Ctrl-C"])
def test_leaving_in_the_middle_keeps_what_was_said(words, tmp_path, leaving):
    """The next session shows the conversation so far, and nothing is asked twice of the model."""
    words = [*words, "--seat", "opener"]
    first = Sitting(words)
    first.types("I doubt it.\n")
    first.types(leaving)
    assert first.leaves() == 0
    assert "0 of 2 conversations are finished and kept" in " ".join(first.shown.split())
    second = Sitting(words)
    second.types("Fine. \\boxed{7}\n")
    assert "You said:\n  I doubt it." in second.shown
    second.types("\x04")
    assert second.leaves() == 0
    (conversation,) = load_run(tmp_path / "run").conversations()
    assert [turn.seat for turn in conversation.turns] == [RESPONDER, OPENER, RESPONDER, OPENER]
    assert conversation.turns[1].reply.text == "I doubt it."


def test_pasted_lines_are_one_message(words, tmp_path):
    """And an empty line is none."""
    person = Sitting(words)
    person.types("\n")
    person.types("First line.\nSecond line: \\boxed{7}\n")
    person.types("\x04")
    assert person.leaves() == 0
    (conversation,) = load_run(tmp_path / "run").conversations()
    assert conversation.turns[0].reply.text == "First line.\nSecond line: \\boxed{7}"


def piped(words, text):
    return subprocess.run(words, input=text, capture_output=True, text=True, check=False)


def test_a_pipe_takes_a_line_per_turn(words, tmp_path):
    """Where it is asked for: then a finished run shows its summary like any other."""
    done = piped([*words, "--human_input", "stdin"], "\\boxed{7}\n\\boxed{7}\n")
    assert done.returncode == 0, done.stderr
    assert "Agreement, and right" in done.stdout
    assert len(list(load_run(tmp_path / "run").conversations())) == 2
    words[3] = "eval"
    again = piped([*words, "--partner", "human", "--human_input", "stdin"], "")
    assert "and human" in " ".join(again.stdout.split())
    assert again.returncode == 0


def test_a_killed_chat_resumes(words, tmp_path):
    """What was said stands in the journal."""
    person = Sitting(words)
    person.types("I doubt it.\n")
    person.sees("You> ")
    os.kill(person.pid, signal.SIGKILL)
    os.waitpid(person.pid, 0)
    done = piped([*words, "--human_input", "stdin"], "\\boxed{7}\n")
    assert "You said:\n  I doubt it." in done.stderr
    (conversation,) = load_run(tmp_path / "run").conversations()
    assert [turn.reply.text for turn in conversation.turns][::2] == ["I doubt it.", "\\boxed{7}"]


REFUSED = [
    (["chat", "sally_anne"], "this is not a terminal", "--human_input stdin"),
    (["eval", "sally_anne", "--partner", "human"], "this is not a terminal", "--human_input stdin"),
    (["chat", "sally_anne", "--partner", "openai/gpt-4o"], "the partner is you", "--agent MODEL"),
    (["chat", "sally_anne", "--agent", "human"], "agent and partner are people", "--partner MODEL"),
    (["chat", "sally_anne", "--protocol", "cot"], "a chat is between two", "leave --protocol out"),
    (["chat", "sally_anne", "--seat", "middle"], "must be one of opener, responder", "coral chat"),
    (["chat", "sally_anne", "--processes", "2"], "a person talks to one process", "leave processes out"),
    (["chat", "sally_anne", "--sessions", "2"], "--sessions is of a page", "give --web"),
    (["chat", "sally_anne", "--host", "0.0.0.0"], "--host is of a page", "give --web"),
    (["chat", "sally_anne", "--welcome", "x"], "--welcome is of a page", "give --web"),
    (["chat", "sally_anne", "--web", "--welcome", "none.txt"], "cannot read none.txt", "a text file"),
    (["chat", "sally_anne", "--web", "--address", "me"], "not the address of a page", "https://"),
    (["chat", "sally_anne", "--web", "--processes", "2"], "a person talks to one process", "leave processes"),
    (["chat"], "no task given", "coral tasks"),
    (["sample", "sally_anne", "--partner", "human"], "speaks once per turn", "--candidates 1"),
    (["eval", "sally_anne", "--extractor.model", "human"], "does not extract beliefs", "coral audit"),
    (
        ["eval", "sally_anne", "--agent", "human", "--partner", "m", "--extractor.mode", "hybrid"],
        "does not extract beliefs",
        "name a model",
    ),
    (["eval", "sally_anne", "--agent", "human"], "agent and partner are people", "--partner MODEL"),
    (
        ["eval", "sally_anne", "--partner", "human", "--partner.command", "cat"],
        "needs no command",
        "leave it",
    ),
    (["doctor", "--agent.model", "human"], "nobody is asked here", "coral chat"),
]


@pytest.mark.parametrize(("words", "cause", "remedy"), REFUSED, ids=[" ".join(row[0]) for row in REFUSED])
def test_what_a_person_cannot_do(words, cause, remedy, capsys, tmp_path, monkeypatch):
    """Refused with the remedy, before anything is written."""
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert cause in said
    assert remedy in said
    assert not list(tmp_path.iterdir())


def test_a_dry_run_needs_no_terminal(capsys):
    """It shows what the person would be shown; their words cost nothing."""
    assert main(["chat", "sally_anne", "--limit", "2", "--dry_run"]) == 0
    assert "to the partner (human)" in " ".join(capsys.readouterr().out.split())
