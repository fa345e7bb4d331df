"""bubblewrap: namespaces of its own, a read-only root made of the interpreter alone, no network.

Of the machine's files a process sees the interpreter, the system's shared libraries and four devices. /proc,
/sys and the rest of /etc are not there, and nothing can be written but /tmp, a file system in memory that
ends with it.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import subprocess
from pathlib import Path

from coral.errors import SandboxError
from coral.jail import interpreter, processes, seccomp
from coral.jail.cells import Cell
from coral.jail.interpreter import Role
from coral.jail.processes import Nursery

TMP_MIB = 64
"""Size of /tmp, which is memory."""
_LIBRARIES = (
    "/lib", "/lib64", "/lib32", "/libx32", "/usr/lib", "/usr/lib64", "/usr/lib32", "/usr/local/lib",
    "/usr/local/lib64", "/nix/store", "/gnu/store",
)  # fmt: skip
_MORE = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_COUNTED_APART = (5, 14)
"""The version of Linux that counts processes of a user namespace apart from the user's others."""
_OWN_PROCESSES = 16
"""What else may run in the user namespace: interpreters that wait, with their inits."""
_FORBIDS_NAMESPACES = (0, 8)
"""The version of bubblewrap that can forbid namespaces in the jail; before, the filter alone does."""


class Afresh:
    """The driver that starts bubblewrap and an interpreter for every program. See `drivers.py`."""

    name = "bubblewrap_exec"
    about = "namespaces; an interpreter started for every program"

    def start(self, role: Role) -> Cell:
        """Start an interpreter with walls of its own."""
        rules = seccomp.rules(processes=role == "tests")
        code = interpreter.code_of(role, compiled=True)
        command = [*_walls(), "--cap-drop", "ALL"]
        if rules is None:
            if os.geteuid() == 0:
                raise SandboxError("on this processor nothing keeps root's programs from the devices")
            return processes.start(
                [*command, *interpreter.command()], code=code, environment={}, by_shell=True
            )
        ours, theirs = os.pipe()
        try:
            os.write(theirs, rules)
            os.close(theirs)
            command += ["--seccomp", str(ours), *interpreter.command()]
            return processes.start(command, code=code, environment={}, passed=[ours], by_shell=True)
        finally:
            os.close(ours)

    def close(self) -> None:
        """Nothing waits."""

    def folder(self) -> str:
        """None: a program has /tmp."""
        return ""

    def processes(self, most: int) -> int:
        """The kernel's limit of processes; 0 where it would count those of the user outside, too."""
        version = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
        return most + _OWN_PROCESSES if version >= _COUNTED_APART else 0

    def remedy(self, why: str) -> str:
        """What would make it work, by the words with which it failed."""
        return remedy(why)


class Forking(Afresh):
    """The driver that starts bubblewrap and an interpreter once, and forks the latter for every program."""

    name = "bubblewrap"
    about = "namespaces; an interpreter forked for every program"

    def __init__(self) -> None:
        self._nursery: Nursery | None = None

    def start(self, role: Role) -> Cell:
        """A copy of an interpreter that is there, in namespaces of its own within bubblewrap's walls."""
        if role == "tests":  # started once, and forks by itself
            return super().start(role)
        if self._nursery is not None:
            try:
                return self._nursery.start()
            except SandboxError:  # killed from outside
                self.close()
        self._nursery = _new_nursery()
        return self._nursery.start()

    def close(self) -> None:
        """End what waits for programs."""
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None


def _new_nursery() -> Nursery:
    rules = seccomp.rules(processes=False)
    if rules is None:
        raise SandboxError("there is no filter of system calls for this processor")
    command = [*_walls(), "--cap-drop", "ALL", "--cap-add", "CAP_SYS_ADMIN", *interpreter.command()]
    code = interpreter.code_of("nursery", compiled=True)
    return Nursery(command, code=code, setup=(TMP_MIB << 20).to_bytes(8, "big") + rules)


@functools.lru_cache
def _walls() -> tuple[str, ...]:
    """The command line up to what runs in the jail.

    Raises:
        SandboxError: there is no bubblewrap, or none that can forbid what has to be.
    """
    words = [_found(), "--unshare-all", "--unshare-user", *_no_namespaces(), "--die-with-parent"]
    words += ["--new-session", "--uid", "65534", "--gid", "65534", "--hostname", "jail", "--clearenv"]
    for name, value in interpreter.environment().items():
        words += ["--setenv", name, value]
    for path in _present(_LIBRARIES + _MORE):
        is_link = path.is_symlink()
        words += [
            "--symlink" if is_link else "--ro-bind",
            str(path.readlink() if is_link else path),
            str(path),
        ]
    files = interpreter.files()
    for file in map(os.fspath, files):
        words += ["--ro-bind", file, file]
    for folder in map(os.fspath, interpreter.packages([*files, *_present(_LIBRARIES)])):
        words += ["--tmpfs", folder, "--remount-ro", folder]
    for device in map(os.fspath, _present(_DEVICES)):
        words += ["--dev-bind", device, device]
    words += ["--size", str(TMP_MIB << 20), "--tmpfs", "/tmp", "--chdir", "/tmp", "--remount-ro", "/"]  # noqa: S108
    return tuple(words)


def _present(paths: tuple[str, ...]) -> list[Path]:
    return [path for path in map(Path, paths) if path.exists()]


def _found() -> str:
    found = shutil.which("bwrap")
    if found is None:
        raise SandboxError("bwrap is not installed")
    return found


def _no_namespaces() -> list[str]:
    """The option that forbids namespaces in the jail, where there is one."""
    said = subprocess.run([_found(), "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    version = tuple(int(part) for part in re.findall(r"\d+", said)[:2])
    if version >= _FORBIDS_NAMESPACES:
        return ["--disable-userns"]
    if seccomp.rules(processes=False) is None:
        raise SandboxError(f"{said.strip() or 'this bwrap'} cannot forbid namespaces in the jail: 0.8 can")
    return []


_INSTALL = "install the package bubblewrap (apt, dnf, pacman and apk call it so)"
_SWITCHES = {
    "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    "/proc/sys/user/max_user_namespaces": ("0", "sysctl -w user.max_user_namespaces=15000"),
    "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or give bwrap an AppArmor profile",
    ),
}
"""Files of the kernel that forbid user namespaces, by the value that does, and what permits them."""
_CONTAINERS = ("/.dockerenv", "/run/.containerenv")


def remedy(why: str, *, root: Path = Path("/")) -> str:
    """What would make bubblewrap work here, by the words with which it failed and what the kernel says."""
    if "not installed" in why or "0.8" in why:
        return _INSTALL
    if "root's programs" in why:
        return "run it as another user than root"
    for name, (forbids, permits) in _SWITCHES.items():
        switch = root / name.lstrip("/")
        if switch.exists() and switch.read_text().strip() == forbids:
            return f"as root: {permits}"
    if any((root / name.lstrip("/")).exists() for name in _CONTAINERS):
        return (
            "this container forbids user namespaces: start it with --security-opt seccomp=unconfined "
            "(Docker and Podman; some also need --security-opt apparmor=unconfined)"
        )
    return "user namespaces have to be permitted on this machine"
