"""Shell completion: bash itself is asked what it would offer."""

from __future__ import annotations

import importlib
import inspect
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from coral.cli import _MODULES, COMMANDS, main
from coral.cli.completion import OPTIONS

CASES = [
    (["ev"], {"eval"}),
    (["com"], {"compare", "completion"}),
    (["help", "sam"], {"sample"}),
    (["eval", "sally_anne", "--max_tu"], {"--max_turns"}),
    (["eval", "sally_anne", "--agent.mod"], {"--agent.model"}),
    (["eval", "sally_anne", "--partner.top"], {"--partner.top_p"}),
    (["eval", "sally_anne", "--extractor.mo"], {"--extractor.model", "--extractor.mode"}),
    (["sample", "sally_anne", "--candi"], {"--candidates"}),
    (["eval", "sally"], {"sally_anne"}),
    (["eval", "choices", "--task.sh"], {"--task.shuffle"}),
    (["eval", "nothing_there", "--task.na"], {"--task.name"}),
    (["ch"], {"chat"}),
    (["chat", "sally_anne", "--sea"], {"--seat"}),
    (["chat", "sally_anne", "--agent.com"], {"--agent.command"}),
    (["eval", "sally_anne", "--partner.http_re"], {"--partner.http_request", "--partner.http_reply"}),
    (["eval", "sally_anne", "--extractor.fu"], {"--extractor.function"}),
    (["eval", "sally_anne", "--human"], {"--human_input"}),
    (["show", "runs/a", "--onl"], {"--only"}),
    (["compare", "runs/a", "runs/b", "--p"], {"--p_values", "--print_config"}),
    (["cluster", "st"], {"status"}),
    (["cluster", "logs", "pool.yaml", "--li"], {"--lines"}),
    (["view", "runs/a", "--po"], {"--port"}),
    (["show", "runs/a"], set()),
]


@pytest.mark.parametrize(
    ("words", "offered"),
    CASES,
    ids=lambda value: " ".join(sorted(value) if isinstance(value, set) else value),
)
def test_bash_offers_commands_and_options(words, offered, tmp_path):
    """The printed script, sourced by a real bash, with this Coral as `coral`."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("a system without bash")
    script = (
        f'coral() {{ "{sys.executable}" -m coral "$@"; }}\n'
        'eval "$(coral completion bash)"\n'
        'COMP_WORDS=(coral "$@"); COMP_CWORD=$#; _coral\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        [bash, "-c", script, "bash", *words], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert set(done.stdout.split()) == offered


def _needed(shell):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"a system without {shell}")
    return path


SOME = [*CASES[1:4], CASES[6], CASES[-4], CASES[-1]]
"""Of the words, that bash is asked for, those that another shell splits or hands over in its own way."""


@pytest.mark.parametrize(("words", "offered"), SOME)
def test_zsh_offers_commands_and_options(words, offered, tmp_path):
    """The printed script, evaluated by a real zsh; what it hands to zsh's own `compadd` is what it offers."""
    zsh = _needed("zsh")
    script = (
        f'coral() {{ "{sys.executable}" -m coral "$@" }}\n'
        'compdef() { }; _files() { }; compadd() { shift; print -rl -- "$@" }\n'
        'eval "$(coral completion zsh)"\n'
        'words=(coral "$@"); CURRENT=$#words; _coral\n'
    )
    done = subprocess.run(
        [zsh, "-f", "-c", script, "zsh", *words], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (set(done.stdout.split()), done.stderr) == (offered, "")


def test_zsh_completes_what_is_typed(tmp_path):
    """A tab in an interactive zsh with its own completion system: the whole way, on a terminal."""
    zsh = _needed("zsh")
    (tmp_path / ".zshrc").write_text(
        "autoload -Uz compinit; compinit -u -D\nunsetopt prompt_cr prompt_sp\n"
        f'coral() {{ if [[ $1 == completion ]]; then "{sys.executable}" -m coral "$@"; '
        'else print -r -- "GOT: $*"; fi }\n'
        'eval "$(coral completion zsh)"\nPS1="ready> "\n'
    )
    process, terminal = pty.fork()
    if not process:
        os.environ.update(ZDOTDIR=str(tmp_path), TERM="dumb", HOME=str(tmp_path))
        os.chdir(tmp_path)
        os.execv(zsh, [zsh, "-i"])
    try:
        _awaited(terminal, b"ready> ")
        os.write(terminal, b"coral eval sally_anne --max_tu\t\r")
        assert b"GOT: eval sally_anne --max_turns" in _awaited(terminal, b"GOT: ", b"\n")
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


def _awaited(terminal, *marks):
    """What a terminal shows until these marks have come, one behind the other."""
    said, place, end = b"", 0, time.monotonic() + 60
    for mark in marks:
        while mark not in said[place:]:
            assert time.monotonic() < end, said
            if select.select([terminal], [], [], 0.2)[0]:
                said += os.read(terminal, 4096)
        place = said.index(mark, place) + len(mark)
    return said


@pytest.mark.parametrize(("words", "offered"), [case for case in SOME if case[1]])
def test_fish_offers_commands_and_options(words, offered, tmp_path):
    """A real fish reads the printed script and is asked what it would offer behind these words."""
    fish = _needed("fish")
    line = " ".join(["coral", *words])
    script = (
        f'function coral; "{sys.executable}" -m coral $argv; end\n'
        "coral completion fish | source\n"
        f"complete -C '{line}'\n"
    )
    home = {**os.environ, "HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        [fish, "--no-config", "-c", script],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=home,
    )  # fmt: skip
    assert {found.split("\t")[0] for found in done.stdout.splitlines()} == offered


def test_every_command_with_options_is_completed():
    """A command whose options are read as all are says where they are."""
    for name in COMMANDS:
        module = importlib.import_module(f"coral.cli.{_MODULES.get(name, name)}")
        if "parse(" in inspect.getsource(module):
            assert any(known.partition(" ")[0] == name for known in OPTIONS), name
    for place in OPTIONS.values():
        module, _, kind = place.partition(":")
        assert hasattr(importlib.import_module(module), kind), place


def test_another_shell_is_refused(capsys):
    """With those that there are."""
    assert main(["completion", "csh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
    assert "completion" in COMMANDS


@pytest.mark.parametrize(
    ("words", "usage"),
    [
        (["cluster", "up"], "usage: coral cluster up FILE"),
        (["eval", "sally_anne"], "usage: coral eval TASK"),
        (["completion", "bash"], "usage: coral completion bash|zsh|fish"),
    ],
)
def test_help_goes_to_the_part_that_is_named(words, usage, capsys):
    """`coral help cluster up` is `coral cluster up --help`."""
    with suppress(SystemExit):
        main(["help", *words])
    assert capsys.readouterr().out.startswith(usage)
