"""Shell completion: bash itself is asked what it would offer."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from coral.cli import COMMANDS, main

CASES = [
    (["ev"], {"eval"}),
    (["com"], {"compare", "completion"}),
    (["help", "sam"], {"sample"}),
    (["eval", "sally_anne", "--max_tu"], {"--max_turns"}),
    (["eval", "sally_anne", "--agent.mod"], {"--agent.model"}),
    (["eval", "sally_anne", "--partner.top"], {"--partner.top_p"}),
    (["eval", "sally_anne", "--extractor.mo"], {"--extractor.model", "--extractor.mode"}),
    (["sample", "sally_anne", "--candi"], {"--candidates"}),
    (["ch"], {"chat"}),
    (["chat", "sally_anne", "--sea"], {"--seat"}),
    (["chat", "sally_anne", "--agent.com"], {"--agent.command"}),
    (["eval", "sally_anne", "--partner.http_re"], {"--partner.http_request", "--partner.http_reply"}),
    (["eval", "sally_anne", "--extractor.fu"], {"--extractor.function"}),
    (["eval", "sally_anne", "--human"], {"--human_input"}),
    (["show", "runs/a", "--onl"], {"--only"}),
    (["eval", "sally_anne"], set()),
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


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_have_a_script(shell, capsys):
    """It asks the same command for words."""
    assert main(["completion", shell]) == 0
    assert "coral completion words" in capsys.readouterr().out


def test_another_shell_is_refused(capsys):
    """With those that there are."""
    assert main(["completion", "csh"]) == 2
    assert "bash, zsh, fish" in capsys.readouterr().err
    assert "completion" in COMMANDS
