"""Pools by their names: links to the folders of those that this user brought up from this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from coral.cluster.config import PoolConfig
from coral.errors import UserError


def remember(config: PoolConfig) -> None:
    """Let a pool be found by its name. Where that cannot be written, its folder names it."""
    link = _links() / config.job_name
    partial = link.with_name(f".{link.name}.{os.getpid()}")
    with suppress(OSError):
        link.parent.mkdir(parents=True, exist_ok=True)
        partial.symlink_to(config.path)
        partial.replace(link)


def folder_named(name: str) -> Path:
    """The folder of the pool of this name.

    Raises:
        UserError: there is none, or there are several.
    """
    known: dict[str, list[Path]] = {}
    for link in sorted(_links().glob("coral-*-*")):
        if link.is_dir():
            pool = link.name.removeprefix("coral-").rpartition("-")[0]
            known.setdefault(pool, []).append(link.readlink())
    folders = sorted(known.get(name, []))
    if len(folders) == 1:
        return folders[0]
    if folders:
        raise UserError(
            f"several pools are called '{name}'", remedy=f"name a folder: {', '.join(map(str, folders))}"
        )
    there = f"; pools brought up here: {', '.join(known)}" if known else ""
    raise UserError(
        f"'{name}' is not a file, a folder or a pool", remedy=f"name the pool's file or its folder{there}"
    )


def _links() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "coral" / "pools"
