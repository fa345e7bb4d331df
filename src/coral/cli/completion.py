"""`coral completion SHELL`: a script that lets the shell complete commands and options."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from coral.cli import COMMANDS, EXIT_DONE
from coral.errors import ConfigError
from coral.options import is_section, section_types, types_of

SCRIPTS = {
    "bash": """_coral() {
  local IFS=$'\\n'
  COMPREPLY=($(coral completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _coral coral
""",
    "zsh": """_coral() {
  local -a found
  found=(${(f)"$(coral completion words "${(@)words[2,CURRENT]}" 2>/dev/null)"})
  if (( $#found )); then compadd -- $found; else _files; fi
}
compdef _coral coral
""",
    "fish": """complete -c coral -a '(coral completion words (commandline -opc)[2..] (commandline -ct))'
""",
}
HELP = (
    "usage: coral completion bash|zsh|fish\n\n"
    "Print a script that completes commands and options. For bash, in ~/.bashrc:\n\n"
    '  eval "$(coral completion bash)"\n\n'
    "For zsh the same in ~/.zshrc behind compinit; for fish:\n\n"
    "  coral completion fish > ~/.config/fish/completions/coral.fish"
)
OPTIONS = {
    "eval": "coral.evaluation.config:EvalConfig",
    "chat": "coral.cli.chat:ChatConfig",
    "sample": "coral.evaluation.config:SampleConfig",
    "build": "coral.rows.build:BuildConfig",
    "train": "coral.training.config:TrainConfig",
    "improve": "coral.improvement.config:ImproveConfig",
    "study": "coral.studies.config:StudyConfig",
    "audit": "coral.cli.audit:AuditCommand",
    "fork": "coral.studies.fork:ForkConfig",
    "generate": "coral.generation.config:GenerateConfig",
    "make": "coral.generation.make_config:MakeConfig",
    "doctor": "coral.doctor.diagnose:DoctorConfig",
    "serve": "coral.serving.serve:ScriptedConfig",
    "score": "coral.cli.score:ScoreConfig",
    "compare": "coral.cli.compare:CompareConfig",
    "list": "coral.cli.list_runs:ListConfig",
    "prices": "coral.cli.prices:PricesConfig",
    "power": "coral.cli.power:PowerConfig",
    "show": "coral.cli.show:ShowConfig",
    "export": "coral.cli.export:ExportConfig",
    "plot": "coral.cli.plot:PlotConfig",
    "view": "coral.cli.view:ViewConfig",
    "judge": "coral.cli.judge:JudgeConfig",
    "import": "coral.cli.import_run:ImportConfig",
    "cluster up": "coral.cli.cluster:UpConfig",
    "cluster status": "coral.cli.cluster:StatusConfig",
    "cluster down": "coral.cli.cluster:DownConfig",
    "cluster logs": "coral.cli.cluster:LogsConfig",
}
"""Where the options of a command are; others are completed by their names alone."""
TAKE_TASK = ("eval", "chat", "sample", "tasks")
"""Commands whose first word is a task."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: there is no such shell.
    """
    if not arguments or (arguments[0] != "words" and {"-h", "--help"} & set(arguments)):
        print(HELP)
        return EXIT_DONE
    shell, *words = arguments
    if shell == "words":
        for found in _found(words):
            print(found)
        return EXIT_DONE
    if shell not in SCRIPTS:
        raise ConfigError(f"no completion for '{shell}'", remedy=f"give one of {', '.join(SCRIPTS)}")
    print(SCRIPTS[shell], end="")
    return EXIT_DONE


def _found(words: Sequence[str]) -> Iterator[str]:
    """What the last of the words behind `coral` may become."""
    if len(words) < 2:
        yield from (name for name in COMMANDS if name.startswith(words[0] if words else ""))
        return
    command, begun = words[0], words[-1]
    parts = {name.partition(" ")[2] for name in OPTIONS if name.startswith(f"{command} ")}
    if parts and len(words) == 2:
        yield from sorted(name for name in parts if name.startswith(begun))
        return
    if parts:
        command = f"{command} {words[1]}"
    if command == "help":
        yield from (name for name in COMMANDS if name.startswith(begun))
    elif len(words) == 2 and command in TAKE_TASK and not begun.startswith("-"):
        from coral.tasks import registry

        yield from (name for name in registry.names() if name.startswith(begun))
    elif begun.startswith("-") and command in OPTIONS:
        module, _, name = OPTIONS[command].partition(":")
        kind = getattr(importlib.import_module(module), name)
        plain = begun.replace("-", "_")
        task = {"task": {"name": "" if words[1].startswith("-") else words[1]}}
        given = _options(types_of(kind), "--", begun, task)
        options = ["--config", "--print_config", "--help", *given]
        yield from (option for option in options if option.replace("-", "_").startswith(plain))


def _options(
    types: Mapping[str, Any], prefix: str, begun: str, known: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """The options of a section; those of sections inside it once their dot is typed.

    Args:
        known: what the words tell of sections whose options depend on it: those of the task that is named.
    """
    for name, kind in types.items():
        yield f"{prefix}{name}"
        if is_section(kind) and begun.startswith(f"{prefix}{name}."):
            yield from _options(section_types(kind, known.get(name, {})), f"{prefix}{name}.", begun, {})
