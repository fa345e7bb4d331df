"""The command line as a user meets it."""

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from types import SimpleNamespace

import pytest

import coral
from coral.cli import COMMANDS, show
from coral.types import Answered, StopReason, Unreadable


def test_help_lists_every_command_and_loads_nothing(coral_command):
    """`coral --help` must be instant: no model, data or terminal library is imported for it."""
    code, output, _ = coral_command("--help")
    assert code == 0
    assert all(f"  {name} " in output for name in COMMANDS)
    probe = "import sys, coral.cli; coral.cli.main(['--help']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    assert not {"aiohttp", "rich", "jsonargparse", "sympy", "numpy", "msgspec"} & set(loaded.split())


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS), ["serve", "scripted"]], ids=str)
def test_every_command_has_help(coral_command, arguments, monkeypatch):
    """Each command explains its options within 80 columns, in words that need no Python, and exits with 0."""
    monkeypatch.setenv("COLUMNS", "80")
    code, output, errors = coral_command(*arguments, "--help")
    assert (code, errors) == (0, "")
    assert "usage" in output
    assert [line for line in output.splitlines() if len(line) > 80] == []
    for noise in (
        "Literal[",
        "Union[",
        "Optional[",
        "| null",
        "default: )",
        "default: null",
        "dict[",
        "None",
    ):
        assert noise not in output, noise


def test_help_tells_defaults_that_say_something(coral_command):
    """A number has its type and default, a switch or choice its default, the rest its words alone."""
    output = " ".join(coral_command("eval", "--help")[1].split())
    assert "session. (type: int, default: 1)" in output
    assert "by default all. May grow in a later session. (type: int) --problems" in output
    assert "all agree. (default: coral)" in " ".join(output.split())
    assert "Run failed conversations of earlier sessions again. (default: false)" in output
    assert "Split of the data; by default the task's first. --data_password" in output
    assert "--partner.OPTION: model, base_url," in output
    assert "--extractor.OPTION: model, base_url," in output
    only_agents = "max_backoff_s, prompt, system_in_user, examples, examples_as, control,"
    assert only_agents in output


def test_print_config_prints_what_was_asked_for(coral_command):
    """`--print_config=skip_default` prints a config file of the options that were given."""
    code, output, _ = coral_command("eval", "hi_tom", "--limit", "3", "--print_config=skip_default")
    assert (code, output) == (0, "task:\n  name: hi_tom\nlimit: 3\n")


@pytest.mark.parametrize(
    ("arguments", "cause", "remedy"),
    [
        (["evl"], "no command 'evl'", "coral eval"),
        (["eval"], "no task given", "coral tasks"),
        (["eval", "hi_tim"], "hi_tim", "did you mean hi_tom"),
        (["eval", "hi_tom", "--agent.modle", "x"], "no option --agent.modle", "--agent.model"),
        (["eval", "hi_tom", "--sample", "3"], "no option --sample", "did you mean --samples"),
        (["eval", "hi_tom", "--agent.model", "openai/gpt-4o"], "", ""),
        (["eval", "hi_tom", "--limit", "none"], "--limit", "--help"),
        (["eval", "hi_tom", "--samples", "0"], "--samples must be at least 1 (got 0)", "the default is 1"),
        (
            ["build", "x", "--score", "bset"],
            "--score must be one of correct, majority, rollouts (got 'bset')",
            "--help",
        ),
        (["train", "--preset", "9b"], "--preset must be one of 8b, 70b (got '9b')", "--help"),
        (["improve", "--secnd.task.x", "3"], "no option --secnd.task.x", "--second.task.x"),
        (["eval", "hi_tom", "--data", "/no/such/file.json", "--agent.model", "x"], "/no/such/file.json", ""),
        (["show"], "no run folder", "coral show DIR"),
        (["show", "/no/such/run"], "not a run folder", ""),
        (["score", "/no/such/run"], "not a run folder", ""),
        (["export", "/no/such/run"], "output missing", "--output"),
        (["serve", "scripted"], "no task given", "--task"),
    ],
)
def test_mistakes_name_cause_and_remedy_without_a_traceback(coral_command, arguments, cause, remedy):
    """What a user can cause exits with 2 and says what to do."""
    code, output, errors = coral_command(*arguments)
    assert code == 2
    assert output == ""
    assert "Traceback" not in errors
    assert cause in errors
    assert remedy in errors
    assert errors.startswith("coral: ")
    assert "\n  -> " in errors


def test_dry_run_says_what_would_be_sent_and_writes_nothing(coral_command, hi_tom, tmp_path):
    """Problems, requests, tokens, the first request; money only where the price is known."""
    code, output, errors = coral_command(
        "eval", "hi_tom", "--data", hi_tom, "--limit", "10", "--samples", "2", "--agent.model", "nobody",
        "--agent.base_url", "http://127.0.0.1:9/v1", "--output", tmp_path / "run", "--dry_run",
    )  # fmt: skip
    assert (code, errors) == (0, "")
    assert "10 problems, 20 conversations" in output
    assert "price unknown" in output
    assert "[user]" in output
    assert all(len(line) <= 80 for line in output.splitlines())
    assert not (tmp_path / "run").exists()


def test_dry_run_prices_a_known_model(coral_command, hi_tom, tmp_path):
    """The user's own price table counts."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("my-model: {prompt: 1.0, completion: 2.0}\n")
    code, output, _ = coral_command(
        "eval", "hi_tom", "--data", hi_tom, "--limit", "10", "--agent.model", "my-model", "--prices", prices,
        "--agent.base_url", "http://127.0.0.1:9/v1", "--dry_run",
    )  # fmt: skip
    assert code == 0
    assert "$" in output
    assert "price unknown" not in output


def test_score_prints_a_table_of_80_columns_headline_first(coral_command, finished):
    """The headline comes first, with value, interval and denominators."""
    code, output, errors = coral_command("score", finished)
    assert (code, errors) == (0, "")
    lines = [line for line in output.splitlines() if line.strip()]
    assert all(
        len(line) <= 80 for line in lines if not line.startswith(("requests", "read them", "all metrics"))
    )
    assert lines[:2] == ["hi_tom · coral · scripted", "12 problems, 12 conversations"]
    assert lines[2].split() == ["outcome", "value", "95%", "interval", "n"]
    assert lines[3].startswith("Agreement, and right")
    assert "strict" not in output, "nothing failed: the strict score would say the same"


def test_what_talking_changed_stands_directly_under_the_headline(coral_command, finished):
    """First answers against last ones come before everything else that a table tells of a pair."""
    _, output, _ = coral_command("score", finished)
    rows = [line[:28].rstrip() for line in output.splitlines()]
    first = rows.index("Agreement, and right")
    assert rows[first + 1 : first + 5] == [
        "Agreement", "First answer right", "Opener's first answer right", "Last answer right",
    ]  # fmt: skip
    assert rows[first + 5] == "Conversation gain, points"
    assert rows.index("Right at a turn, not agreed") < rows.index("Right when agreed")
    steps = rows[next(i for i, row in enumerate(rows) if row.startswith("within turns")) + 1 :]
    assert steps[0].startswith("2 ")


def test_score_can_show_every_metric(coral_command, finished):
    """By the names of summary.json, the published code's values included."""
    _, output, _ = coral_command("score", finished, "--everything")
    summary = json.loads((finished / "summary.json").read_text())
    joined = "".join(output.split())
    assert all(name in joined for name in summary["metrics"])
    assert "reference/persuade_rate" in joined


def test_show_lists_and_reads_conversations(coral_command, finished):
    """The list has a row a conversation; one is shown whole, with belief and verdict beside each turn."""
    code, listed, _ = coral_command("show", finished)
    conversations = {c.id: c for c in coral.load_run(finished).conversations()}
    assert code == 0
    assert all(identity in listed for identity in conversations)
    longest = max(conversations.values(), key=lambda c: len(c.turns))
    code, whole, _ = coral_command("show", finished, longest.id)
    assert code == 0
    for number, turn in enumerate(longest.turns, 1):
        assert f"{number} {turn.seat} · scripted" in whole
        if isinstance(turn.reply.belief, Answered):
            assert turn.reply.belief.value in whole
    assert f"gold: {longest.problem.target}" in whole


def test_show_reads_the_first_of_the_list_whole(coral_command, finished):
    """`--read 2` shows two conversations instead of a list."""
    code, output, _ = coral_command("show", finished, "--read", "2")
    assert code == 0
    assert output.count("gold: ") == 2


def test_the_table_stands_in_blocks_with_aligned_columns(coral_command, finished):
    """Outcome, social, reading, cost and groups, ruled off; what is zero in all rows has no column."""
    _, output, _ = coral_command("score", finished)
    lines = output.splitlines()
    heads = [line for line in lines if line.split()[-3:] == ["95%", "interval", "n"]]
    assert [head.split("  ")[0] for head in heads] == [
        "outcome", "social", "reading", "cost", "by deception", "by order",
    ]  # fmt: skip
    assert {head.index("95% interval") for head in heads} == {heads[0].index("95% interval")}
    rules = [number for number, line in enumerate(lines) if line and set(line) == {"─"}]
    starts = [number for number, line in enumerate(lines) if line in heads]
    assert [start - 1 for start in starts[1:]] == rules[: len(starts) - 1]
    assert "failed" not in output
    assert "persuasive: the partner takes the belief over" in output


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_a_narrow_terminal(finished, width, monkeypatch):
    """No figure is cut at 60 columns; rich would put an ellipsis."""
    monkeypatch.delenv("COLUMNS", raising=False)  # it would count for more than the terminal
    monkeypatch.setenv("TERM", "xterm")
    output = in_a_terminal([sys.executable, "-m", "coral", "score", finished], width)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", output).splitlines()
    table = plain[: next(number for number, line in enumerate(plain) if line.startswith("requests"))]
    assert "…" not in output
    assert [line for line in table if len(line) > width] == []


def in_a_terminal(command, width):
    """All that a command writes to a terminal of this width; `script` may lose the end on busy cores."""
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("4H", 50, width, 0, 0))
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its) as process:
        os.close(its)
        read = b""
        with suppress(OSError):  # EIO: nobody has the terminal open any more
            while more := os.read(ours, 65536):
                read += more
    os.close(ours)
    assert process.returncode == 0, read
    return read.decode()


ONLY = {"failed": "6", "long": "5 3 2 1 4 6", "all": "1 2 3 4 5 6"}


@pytest.mark.parametrize(("only", "wanted"), ONLY.items())
def test_show_filters(only, wanted):
    """`--only` narrows the list to what one looks for, or sorts it; kinds have tests of their own."""
    turns = {
        "1": [("b", "x", True), ("a", "x", True)],
        "2": [("b", "x", True), ("a", "y", False), ("b", "y", False)],
        "3": [("b", "y", False), ("a", "x", True), ("b", "x", True), ("a", "x", True)],
        "4": [("b", "z", None), ("a", "z", None)],
        "5": [("b", "y", False), ("a", None, None)] * 3 + [("b", "y", False)],
        "6": [],
    }
    run = SimpleNamespace(conversations=lambda: (_conversation(name, said) for name, said in turns.items()))
    first, number = show._first(run, only, 20)
    assert " ".join(one.id for one in first) == wanted
    assert number == len(first)


@pytest.mark.parametrize(
    ("correct", "colour"),
    [(True, "green"), (False, "red"), (None, "yellow")],
    ids=["right", "wrong", "unknown"],
)
def test_agreed_is_green_only_where_it_is_right(correct, colour):
    """Agreement on a wrong answer is what one looks for with red eyes."""
    said = [("b", "x", correct), ("a", "x", correct)]
    assert show._stop(_conversation("1", said)).style == colour


def test_show_names_an_unknown_conversation(coral_command, finished):
    """A wrong id is the user's to fix."""
    code, _, errors = coral_command("show", finished, "nothing#9")
    assert code == 2
    assert "holds no conversation 'nothing#9'" in errors


def test_export_writes_one_file_and_overwrites_none(coral_command, finished, tmp_path):
    """All conversations, a line each."""
    target = tmp_path / "all.jsonl"
    assert coral_command("export", finished, "--output", target)[0] == 0
    assert len(target.read_text().splitlines()) == 12
    code, _, errors = coral_command("export", finished, "--output", target)
    assert code == 2
    assert "exists" in errors


def test_a_redacted_export_holds_no_text_of_problems_or_replies(coral_command, finished, tmp_path):
    """Ids, beliefs' kinds and verdicts remain; whatever may quote a problem does not."""
    target = tmp_path / "redacted.jsonl"
    assert coral_command("export", finished, "--output", target, "--redact")[0] == 0
    text = target.read_text()
    for conversation in coral.load_run(finished).conversations():
        assert conversation.problem.question not in text
        assert conversation.id in text
        for turn in conversation.turns:
            assert turn.reply.text not in text
            belief = turn.reply.belief
            assert not isinstance(belief, Unreadable) or belief.reason not in text
    assert json.loads(text.splitlines()[0])["turns"][0]["replies"][0]["correct"] in {True, False}


def test_a_config_file_says_what_flags_say(coral_command, hi_tom, tmp_path):
    """The flags are the config keys; flags win over files."""
    config = tmp_path / "run.yaml"
    config.write_text(
        f"task: {{name: hi_tom}}\ndata: {hi_tom}\nlimit: 3\nagent: {{model: a, base_url: 'http://127.0.0.1:9'}}\n"
    )
    assert "3 problems" in coral_command("eval", "--config", config, "--dry_run")[1]
    assert "5 problems" in coral_command("eval", "--config", config, "--limit", "5", "--dry_run")[1]


def test_a_smaller_limit_shows_the_whole_folder_and_says_so(coral_command, finished, tmp_path):
    """The table counts what it shows, all problems of the folder, and what was asked for."""
    again = tmp_path / "again"
    shutil.copytree(finished, again)
    code, output, errors = coral_command(
        "eval", "--config", again / "config.yaml", "--output", again, "--limit", "5"
    )
    assert code == 0, errors
    said = "12 problems, 12 conversations: all that the folder holds, more than the 5 asked for"
    assert said in " ".join(output.split())
    assert "asked for" not in coral_command("eval", "--config", again / "config.yaml", "--limit", "12")[1]


def test_the_stored_config_can_be_run_again(coral_command, finished):
    """`config.yaml` of a run folder is itself a config file."""
    code, output, errors = coral_command("eval", "--config", finished / "config.yaml")
    assert code == 0, errors
    assert "12 problems, 12 conversations" in output


def test_a_terminal_without_these_letters_shows_no_traceback(finished):
    """`PYTHONIOENCODING=ascii` is what cron and some clusters give."""
    done = subprocess.run(
        [sys.executable, "-m", "coral", "score", finished],
        capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"Agreement, and right" in done.stdout


def test_the_headline_is_shown_also_where_nothing_was_measured(coral_command, finished, tmp_path):
    """A run that failed as a whole says so, and `show` says why."""
    run = tmp_path / "a run [bold] ü"
    shutil.copytree(finished, run)
    stored = run / "conversations" / "00000.jsonl"
    failure = {"where": "turn 1 (responder)", "type": "Unreachable", "message": "gone", "attempts": 3}
    lines = [json.loads(line) for line in stored.read_text().splitlines()]
    failed = [{**line, "turns": [], "stop": "failed", "failure": failure} for line in lines]
    stored.write_text("".join(json.dumps(line) + "\n" for line in failed))
    code, output, _ = coral_command("score", run)
    assert code == 0
    assert re.search(r"Agreement, and right +- +- +0 +12 ", output)
    assert re.search(r"Agreement, right \(strict\) +0\.0%", output), "failed counts as wrong beside it"
    assert f"coral show '{run}'" in output
    _, listed, _ = coral_command("show", run, "--only", "failed", "--limit", "2")
    assert "Unreachable: gone" in " ".join(listed.split())
    assert "[bold]" in listed


def _conversation(identity, said):
    turns = [
        SimpleNamespace(
            seat=seat,
            reply=SimpleNamespace(
                belief=Unreadable("?") if answer is None else Answered(answer), correct=correct
            ),
        )
        for seat, answer, correct in said
    ]
    agreed = len(turns) > 1 and isinstance(turns[-1].reply.belief, Answered) and len(turns) < 7
    stop = StopReason.AGREED if agreed else StopReason.MAX_TURNS if turns else StopReason.FAILED
    return SimpleNamespace(id=identity, turns=turns, stop=stop, speakers={"b": None, "a": None})


@pytest.mark.parametrize("limit", ["0", "-3"])
def test_show_refuses_a_limit_below_one(coral_command, finished, limit):
    """Nothing to show is no request anybody means."""
    assert coral_command("show", finished, "--limit", limit)[0] == 2


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("# nothing", "holds no options"),
        ("- a", "holds no options"),
        ("a: [", "is not YAML"),
        ("limt: 3", "--limt"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_named(coral_command, tmp_path, content, cause):
    """A file that is no mapping, is no YAML, or names an unknown option."""
    path = tmp_path / "run.yaml"
    path.write_text(content)
    code, _, errors = coral_command("eval", "hi_tom", "--config", path)
    assert code == 2
    assert cause in errors
