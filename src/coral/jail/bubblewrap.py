"""bubblewrap: namespaces of its own, a read-only root made of the interpreter alone, no network.

Of the machine's files a process sees the interpreter, the system's shared libraries and three devices. /proc,
/sys and /etc are not there, and nothing can be written but /tmp, a file system in memory that ends with it.
"""

from __future__ import annotations

import functools
import os
import shutil
from pathlib import Path

from coral.jail import interpreter, seccomp
from coral.jail.cells import Cell
from coral.jail.interpreter import Role

TMP_MIB = 64
"""Size of /tmp, which is memory."""
_LIBRARIES = (
    "/lib",
    "/lib64",
    "/lib32",
    "/libx32",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
)
_MORE = ("/etc/ld.so.cache", "/usr/share/zoneinfo", "/nix/store", "/gnu/store")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_COUNTED_APART = (5, 14)
"""The version of Linux that counts processes of a user namespace apart from the user's others."""
_OWN_PROCESSES = 2


class Bubblewrap:
    """The driver. See `drivers.py`."""

    name = "bubblewrap"

    def start(self, role: Role) -> Cell:
        """Start an interpreter that waits for work."""
        code = interpreter.code_of(role, compiled=True)
        rules = seccomp.program_filter(processes=role == "tests")
        if rules is None:
            return Cell([*_prefix(), *interpreter.command()], code=code, environment={})
        ours, theirs = os.pipe()
        try:
            os.write(theirs, rules)
            os.close(theirs)
            command = [*_prefix(), "--seccomp", str(ours), *interpreter.command()]
            return Cell(command, code=code, environment={}, passed=[ours])
        finally:
            os.close(ours)

    def processes(self, most: int) -> int:
        """The kernel's limit of processes; 0 where it would count those of the user outside, too."""
        version = tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdecimal())
        return most + _OWN_PROCESSES if version >= _COUNTED_APART else 0


@functools.lru_cache
def _prefix() -> tuple[str, ...]:
    """The command line up to the program that runs in the jail."""
    words = [shutil.which("bwrap") or "bwrap", "--unshare-all", "--unshare-user", "--disable-userns"]
    words += ["--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid", "65534", "--gid", "65534"]
    words += ["--hostname", "jail", "--clearenv"]
    for name, value in interpreter.environment().items():
        words += ["--setenv", name, value]
    for path in _system_libraries():
        is_link = path.is_symlink()
        words += [
            "--symlink" if is_link else "--ro-bind",
            str(path.readlink() if is_link else path),
            str(path),
        ]
    files = interpreter.files()
    for file in map(os.fspath, files):
        words += ["--ro-bind", file, file]
    for folder in map(os.fspath, interpreter.packages(files)):
        words += ["--tmpfs", folder, "--remount-ro", folder]
    for device in _DEVICES:
        words += ["--dev-bind", device, device]
    words += ["--size", str(TMP_MIB << 20), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"]  # noqa: S108
    return tuple(words)


def _system_libraries() -> list[Path]:
    return [path for path in map(Path, (*_LIBRARIES, *_MORE)) if path.exists()]
