"""`coral serve MODEL`: put a checkpoint, or the scripted agent, behind an OpenAI-compatible address."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.errors import ConfigError

if TYPE_CHECKING:
    from coral.serving.app import Served

EXIT_CUT_OFF = 1
"""Requests were still in flight when the time to drain ran out."""

ABOUT_CHECKPOINT = (
    "Serve a checkpoint folder (config.json, model.safetensors, tokenizer.json) to any OpenAI client. "
    "`coral serve scripted --help` shows the scripted agent, which needs no model."
)
ABOUT_SCRIPTED = (
    "Serve scripted agents that know a data set's problems and argue about them. A client chooses one by "
    "its model name: scripted, or scripted:accuracy=0.9,stubbornness=0.8 for one that differs."
)


def run(argv: Sequence[str]) -> int:
    """Run the command until a signal ends it; returns its exit code.

    Raises:
        UserError: an option, the data or the checkpoint cannot be used.
    """
    name, flags = take_name(argv)
    from coral.serving.serve import CheckpointConfig, ScriptedConfig, serve_checkpoint, serve_scripted_agent

    if name == "scripted":
        scripted = parse(ScriptedConfig, flags, command="coral serve scripted", about=ABOUT_SCRIPTED)
        return _exit_code(run_in_loop(serve_scripted_agent(scripted, on_ready=_announce)))
    config = parse(CheckpointConfig, flags, command="coral serve MODEL", about=ABOUT_CHECKPOINT)
    if name is None:
        raise ConfigError("nothing to serve", remedy="name a checkpoint folder, or 'scripted'")
    return _exit_code(run_in_loop(serve_checkpoint(name, config, on_ready=_announce)))


def _announce(url: str, served: Served) -> None:
    """One line on standard output, at once: scripts wait for it."""
    print(f"serving {', '.join(served.names)} on {url} (SIGTERM or Ctrl-C drains and stops)", flush=True)


def _exit_code(finished: bool) -> int:
    if finished:
        return 0
    print("stopped with requests in flight: they took longer than --drain_s", file=sys.stderr)
    return EXIT_CUT_OFF
