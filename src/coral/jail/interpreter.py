"""The interpreter in the jail: which files it consists of, and how our code gets into it."""

from __future__ import annotations

import functools
import marshal
import os
import sys
import sysconfig
from importlib import resources
from pathlib import Path
from typing import Literal

Role = Literal["program", "tests"]
"""Whose process it is. That of the tests starts one process per check; a program starts none."""
Part = Literal["program", "tests", "nursery"]

OPTIONS = ("-S", "-s", "-B", "-X", "utf8")
"""No site packages, and nothing written. Not `-I`: it would ignore the environment, which is ours to the last
variable, and with it the hash seed, without which the order of a set differs from one check to the next."""
ENVIRONMENT = {"PYTHONHASHSEED": "0", "HOME": "/tmp", "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}  # noqa: S108

BOOT = """\
import posix, marshal, sys
def read(size):
    data = b""
    while len(data) < size:
        data += posix.read(0, size - len(data)) or posix._exit(0)
    return data
sys.path[:] = [path for path in sys.path if path]
for name, code in marshal.loads(read(int.from_bytes(read(4), "big"))):
    module = sys.modules[name] = type(sys)(name)
    exec(code, module.__dict__)
"""
"""What it is started with (`-c`): it reads our code and runs it, so that no file of ours lies in the jail."""

_PARTS: dict[Part, tuple[str, ...]] = {
    "program": ("standard", "wire", "channel"),
    "tests": ("standard", "wire", "channel"),
    "nursery": ("standard", "wire", "channel", "program"),
}
"""What a part imports of ours, in that order."""


@functools.lru_cache
def code_of(part: Part, *, compiled: bool) -> bytes:
    """The frame that `BOOT` reads. `compiled` for an interpreter of our own version, which starts sooner."""
    names = {one: f"coral.jail.inside.{one}" for one in _PARTS[part]} | {part: "jail:main"}
    folder = resources.files("coral.jail.inside")
    modules = []
    for one, name in names.items():
        text = (folder / f"{one}.py").read_text(encoding="utf-8")
        modules.append(
            (name, compile(text, f"<jail {one}>", "exec", dont_inherit=True) if compiled else text)
        )
    data = marshal.dumps(modules)
    return len(data).to_bytes(4, "big") + data


def executable() -> Path:
    """The interpreter itself, not a virtual environment's link to it."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def files() -> list[Path]:
    """What the interpreter consists of, beside the system's libraries: itself and its own library folders."""
    base = {"base": sys.base_prefix, "installed_base": sys.base_prefix}
    base |= {"platbase": sys.base_exec_prefix, "installed_platbase": sys.base_exec_prefix}
    folders = [Path(sysconfig.get_path(name, vars=base)) for name in ("stdlib", "platstdlib")]
    found = [executable(), *folders]
    prefix = Path(sys.base_prefix).resolve()
    if prefix not in (Path("/"), Path("/usr")) and not Path.home().is_relative_to(prefix):
        found.append(prefix / "lib")  # libpython and what it needs, in conda's and other folders
    return [path for path in dict.fromkeys(found) if path.exists()]


def packages(folders: list[Path]) -> list[Path]:
    """Folders of installed packages within these, which are no part of the interpreter."""
    names = ("site-packages", "dist-packages")
    candidates = [folder / name for folder in folders for name in names]
    candidates += [found for folder in folders for found in folder.glob("python3*/*-packages")]
    return [path for path in dict.fromkeys(one.resolve() for one in candidates) if path.is_dir()]


def environment() -> dict[str, str]:
    """All variables of a process in the jail; none is the user's."""
    return dict(ENVIRONMENT)


def command() -> list[str]:
    """How the interpreter is started."""
    return [os.fspath(executable()), *OPTIONS, "-c", BOOT]
