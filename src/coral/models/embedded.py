"""Which models run in this process: checkpoint folders, and the tiny one that comes with the package."""

from __future__ import annotations

import re
import shlex
from importlib import resources
from pathlib import Path

from coral.models.config import ModelConfig

TINY = "tiny"
"""Name of the model in the package: what is meant where no model is named."""


def folder_of(config: ModelConfig) -> Path | None:
    """The checkpoint folder that `config` names; None where its model is served over HTTP."""
    if config.is_placed or config.is_person:
        return None
    if config.model in {"", TINY}:
        return Path(str(resources.files("coral"))) / "assets" / TINY
    path = Path(config.model).expanduser()
    try:
        return path if path.is_dir() else None
    except OSError:  # a name that no file can have, such as one of 300 letters
        return None


def name_of(config: ModelConfig) -> str:
    """What records call the model: the one in the package by a name that no server's model has; a command or
    endpoint without a name by its words or address.
    """
    if not config.is_placed and config.model in {"", TINY}:
        return f"{TINY} (embedded)"
    if config.model:
        return config.model
    if config.command:
        return "command:" + " ".join(map(_quoted, config.command_words))
    return config.http.partition("?")[0] if config.http else ""


def folder_recorded(name: str) -> Path | None:
    """The checkpoint folder on this machine that records call `name`, as `name_of` does; None without one."""
    if name == name_of(ModelConfig()):
        return folder_of(ModelConfig())
    return folder_of(ModelConfig(model=name)) if name not in {"", TINY} else None


def _quoted(word: str) -> str:
    return shlex.quote(word) if re.search(r"[\s'\"\\]", word) or not word else word
