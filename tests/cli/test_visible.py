"""Nothing that a model, a server or a file says acts on the terminal, hides there or looks like another."""

import ast
import io
import re
import shlex
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import msgspec
import pytest
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

import coral.cli
from coral.cli import main
from coral.cli.doctor import print_diagnosis
from coral.cli.terminal import Terminal
from coral.cli.visible import answer_in_short, one_line, shell_word, visible
from coral.doctor.diagnose import Diagnosis, Finding
from coral.types import OPENER, RESPONDER, Conversation

SHOWN = [
    ("\x1b[2J", r"\x1b[2J", "clears the screen"),
    ("\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07", "fills the clipboard"),
    ("\x1b]0;mine\x1b\\", r"\x1b]0;mine\x1b\\"[:-1], "retitles the window"),
    ("\x9b31m", r"\x9b31m", "the same in one byte"),
    ("a\x08\x08b\x7f", r"a\x08\x08b\x7f", "backspace and delete"),
    ("100\rpaid", r"100\rpaid", "writes over the line"),
    ("two\r\nlines\tof text\n", "two\nlines\tof text\n", "ordinary lines and tabs"),
    ("\u202egnp.exe", r"\u202egnp.exe", "turns the direction of writing"),
    ("\u2066a\u2069\u200f\u061c", r"\u2066a\u2069\u200f\u061c", "the same, isolated"),
    ("a\u200bb\u2060c\ufeff\u00ad", r"a\u200bb\u2060c\ufeff\xad", "characters without a shape"),
    ("a\u3164b\u115f", r"a\u3164b\u115f", "letters without a shape"),
    ("a\u2028b\u0085", r"a\u2028b\x85", "line ends that are none"),
    ("\U000e0041\U000e01ef", r"\U000e0041\U000e01ef", "hidden tags"),
    ("x \ud83d", r"x \ud83d", "half a character"),
    ("[red]a[/red] [/] :smile:", "[red]a[/red] [/] :smile:", "markup is text"),
    ("می‌روم 👨‍👩‍👧 ❤️ ن क्‍ष", "می‌روم 👨‍👩‍👧 ❤️ ن क्‍ष", "joiners are spelling"),
]


@pytest.mark.parametrize(("text", "shown", "reason"), SHOWN, ids=[row[2] for row in SHOWN])
def test_hidden_characters_are_shown(text, shown, reason):
    """What acts, hides or reorders is an escape; every other letter is itself."""
    assert visible(text) == shown, reason
    assert visible(shown) == shown, "shown twice is shown once"


def test_no_control_or_format_character_is_forgotten():
    """Of all characters that act or hide, none stays but newline, tab, joiners and the signs of scripts."""
    kept = {
        character
        for character in map(chr, range(sys.maxunicode + 1))
        if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        and visible(character) == character
    }
    assert {"\n", "\t", "\u200c", "\u200d"} <= kept
    for other in kept - {"\n", "\t", "\u200c", "\u200d"}:
        assert unicodedata.name(other).split()[0] in {"ARABIC", "SYRIAC", "KAITHI", "EGYPTIAN"}, hex(
            ord(other)
        )


@pytest.mark.parametrize("name", ["runs/a b", "runs/it's", "a\nb", "\x1b]0;x\x07'q'", "back\\slash\t", "-x"])
def test_a_shown_command_names_the_path_it_means(name):
    """A path in a command that can be copied is one word of a shell, whatever characters it holds."""
    word = shell_word(name)
    assert "\n" not in word
    assert visible(word) == word
    said = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True).stdout
    assert said.decode() == name
    if name.isprintable():
        assert shlex.split(word) == [name]


HOSTILE = "\x1b]0;mine\x07[/b][red]\u202ex\r"
LOOKS = r"\x1b]0;mine\x07[/b][red]\u202ex\r"


@pytest.mark.parametrize(
    "printed",
    [
        HOSTILE,
        Text(HOSTILE, "bold"),
        Panel(HOSTILE, title=Text(one_line(HOSTILE)), subtitle=Text(one_line(HOSTILE))),
        Text.assemble(("a", "red"), (one_line(HOSTILE), "green")),
    ],
    ids=["str", "Text", "Panel", "assembled"],
)
@pytest.mark.parametrize("colours", [False, True])
def test_whatever_a_console_prints_is_escaped(printed, colours):
    """A console takes texts literally, with colours of its own where there are any."""
    out = io.StringIO()
    console = Terminal(width=80)
    console.file, console._force_terminal = out, colours
    table = Table("name [b]" + HOSTILE)
    table.add_row(printed)
    console.print(printed)
    console.print(table)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())
    assert visible(plain) == plain
    assert r"\u202e" in plain
    assert "[/b][red]" in plain


def test_only_one_module_builds_consoles_and_prints_past_them():
    """A console that is built elsewhere would print raw."""
    for path in Path(coral.cli.__file__).parent.glob("*.py"):
        tree = ast.parse(path.read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
        if path.name != "terminal.py":
            assert not names & {"Console", "rich.console", "get_console"}, path.name
        assert "from_markup" not in path.read_text(), path.name


@pytest.fixture
def hostile(finished, tmp_path):
    """A run whose models, groups, replies, answers and failures hold what acts on a terminal."""
    folder = tmp_path / f"run{HOSTILE.replace('/', '')}"
    shutil.copytree(finished, folder)
    labels = ["[red]2[/red]", "2", "2\u200b", "\x1b[8m2", "[/]", "2\n2"]
    for file in (folder / "conversations").glob("*.jsonl"):
        stored = [msgspec.json.decode(line, type=Conversation) for line in file.read_bytes().splitlines()]
        changed = [_hostile(one, labels[number % len(labels)]) for number, one in enumerate(stored)]
        file.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in changed))
    return folder


def _hostile(conversation, label):
    replace = msgspec.structs.replace
    problem = replace(conversation.problem, group={"kind [/]\x1b": label}, target=HOSTILE)
    speaker = replace(conversation.speakers[RESPONDER], model=f"m{HOSTILE}")
    turns = tuple(
        replace(
            turn, replies=tuple(replace(reply, text=HOSTILE, reasoning=HOSTILE) for reply in turn.replies)
        )
        for turn in conversation.turns
    )
    return replace(
        conversation,
        problem=problem,
        speakers={RESPONDER: speaker, OPENER: speaker},
        opening=HOSTILE,
        turns=turns,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["score"],
        ["score", "--everything"],
        ["show"],
        ["show", "--read", "2", "--reasoning"],
        ["compare", "TWICE"],
    ],
    ids=" ".join,
)
def test_a_run_of_hostile_words_is_shown_escaped(hostile, arguments, capsys):
    """Tables, conversations and paths of a run print nothing that acts on the terminal."""
    command, *rest = (str(hostile) if word == "TWICE" else word for word in arguments)
    assert main([command, str(hostile), *rest]) == 0
    output = capsys.readouterr().out
    assert visible(output) == output
    assert r"\x1b" in output


def test_no_two_groups_bear_one_name(hostile, capsys):
    """Labels that differ only in markup or in what has no shape stay apart."""
    assert main(["score", str(hostile)]) == 0
    output = capsys.readouterr().out
    section = output.split(r"by kind [/]\x1b")[1]
    names = [re.split(r"  +", line)[0] for line in section.splitlines()[1:7]]
    assert sorted(names) == sorted(["[red]2[/red]", "2", r"2\u200b", r"\x1b[8m2", "[/]", r"2\n2"])


def test_doctor_shows_a_servers_words_escaped():
    """Names and errors of a server that is not known yet are the first thing a user sees of it."""
    finding = Finding(probe="reply", verdict="no", seen=HOSTILE, consequence=HOSTILE)
    console = Terminal(width=80)
    console.file = out = io.StringIO()
    print_diagnosis(Diagnosis(model=HOSTILE, addresses=(HOSTILE,), findings=(finding,)), console)
    assert visible(out.getvalue()) == out.getvalue()
    assert out.getvalue().replace("\n", "").replace(" ", "").count(r"\x1b]0;mine\x07[/b][red]") == 4


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", HOSTILE],
        ["eval", HOSTILE],
        [HOSTILE],
        ["eval", "hi_tom", f"--{HOSTILE}", "x"],
        ["tasks", HOSTILE],
    ],
    ids=["path", "task", "command", "option", "name"],
)
def test_errors_repeat_words_escaped(arguments, capsys):
    """What was typed, or what a server or a file said, is quoted in errors without acting on the terminal."""
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert visible(errors) == errors
    assert r"\x1b" in errors


STREAMS = [
    (">/dev/full", ["tasks"], 2, "cannot write to standard output: No space left on device"),
    (">/dev/full", ["show", "RUN"], 2, "cannot write to standard output"),
    (">/dev/full", ["eval", "--help"], 2, "cannot write to standard output"),
    ("2>/dev/full", ["score", "RUN"], 0, ""),
    ("2>/dev/full", ["evl"], 2, ""),
    (">&-", ["score", "RUN"], 0, ""),
    ("2>&-", ["score", "RUN"], 0, ""),
    ("2>&-", ["evl"], 2, ""),
    ("<&- >&- 2>&-", ["score", "RUN"], 0, ""),
    ("| true", ["score", "RUN", "--everything"], 0, ""),
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without /dev/full")
@pytest.mark.parametrize(("streams", "arguments", "code", "cause"), STREAMS, ids=str)
def test_closed_and_full_streams_end_in_words(finished, tmp_path, streams, arguments, code, cause):
    """A standard stream that is closed or full gives a message where one can be read, and no abort."""
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    words = [sys.executable, "-m", "coral", *(str(folder) if word == "RUN" else word for word in arguments)]
    command = f"{shlex.join(words)} {streams}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert cause in done.stderr
    if arguments[0] == "score":
        assert (folder / "summary.json").is_file()


def test_an_answer_in_short():
    """A program takes one short word, the same for the same program; other answers stand as they are."""
    program = "def f():\n    return 1"
    assert answer_in_short("B\x1b") == r"B\x1b"
    assert re.fullmatch("program [0-9a-f]{4}", answer_in_short(program))
    assert answer_in_short(program) == answer_in_short(program) != answer_in_short(f"{program}0")
