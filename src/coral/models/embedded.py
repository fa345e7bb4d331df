"""Which models run in this process: checkpoint folders, and the tiny one that comes with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from coral.models.config import ModelConfig

TINY = "tiny"
"""Name of the model in the package: what is meant where no model is named."""


def folder_of(config: ModelConfig) -> Path | None:
    """The checkpoint folder that `config` names; None where its model is served over HTTP."""
    if config.base_url is not None or config.replicas is not None:
        return None
    if config.model in {"", TINY}:
        return Path(str(resources.files("coral"))) / "assets" / TINY
    path = Path(config.model).expanduser()
    try:
        return path if path.is_dir() else None
    except OSError:  # a name that no file can have, such as one of 300 letters
        return None


def name_of(config: ModelConfig) -> str:
    """What records call the model: the one in the package by a name that no server's model has."""
    is_tiny = config.model in {"", TINY} and config.base_url is None and config.replicas is None
    return f"{TINY} (embedded)" if is_tiny else config.model
