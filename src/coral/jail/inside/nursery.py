"""An interpreter that has started once for many programs: each gets a copy of it, in namespaces of its own.

It runs within bubblewrap's walls and never runs a program itself. For each program it forks a process that
leaves for new pid, mount and IPC namespaces, with an empty /tmp, gives up every privilege, and forks the
interpreter that will run the program. The program therefore sees no process but its own and that of its
namespace's init, which it cannot signal; it holds no descriptor of anybody else; and when init ends, which it
does with the program or when its owner lets go of the control socket, the kernel ends all that is left.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import socket
import struct

from coral.jail.inside.channel import READY, leave, read_exactly
from coral.jail.inside.program import main as serve_program

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

WARM = (
    "bisect", "collections", "copy", "datetime", "functools", "heapq", "itertools", "json", "math",
    "operator", "random", "re", "resource", "string", "threading", "time", "typing",
)  # fmt: skip
"""Modules that programs import most. Loaded, not bound to names: a program still has to import them."""

_NEW_MOUNTS, _NEW_IPC, _NEW_PIDS = 0x00020000, 0x08000000, 0x20000000
_NO_SUID, _NO_DEVICES = 2, 4
_SET_SECCOMP, _FILTER, _SET_NO_NEW_PRIVILEGES = 22, 2, 38
_CAPABILITIES_VERSION = 0x20080522
_CONTROL_SECONDS = 0.01
_MOST_FILES = 16_384
"""Files, folders and links in /tmp: the kernel's memory for an empty one counts against no size."""


def main() -> None:
    """Fork a process for whoever asks, until the asker is gone."""
    for name in WARM:
        __import__(name)
    setup = read_exactly(0, int.from_bytes(read_exactly(0, 4), "big"))
    tmp_bytes, rules = int.from_bytes(setup[:8], "big"), setup[8:]
    door = socket.socket(fileno=os.dup(0))
    gc.collect()
    gc.freeze()
    os.write(1, READY)
    while True:
        message, numbers, _flags, _address = socket.recv_fds(door, 1, 4)
        if not message:
            leave()
        if os.fork() == 0:
            _leave_for_new_namespaces(numbers, tmp_bytes, rules)
        for number in numbers:
            os.close(number)
        os.wait()


def _leave_for_new_namespaces(numbers: list[int], tmp_bytes: int, rules: bytes) -> NoReturn:
    """Only a child of the process that asked for a pid namespace is in it."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        _surely(libc.unshare(_NEW_MOUNTS | _NEW_IPC | _NEW_PIDS), "unshare")
        if os.fork() == 0:
            _be_init(libc, numbers, tmp_bytes, rules)
    except Exception as error:  # noqa: BLE001  said to whoever asked
        os.write(numbers[2], f"{error}\n".encode())
    leave()


def _be_init(libc: Any, numbers: list[int], tmp_bytes: int, rules: bytes) -> NoReturn:
    """The first process of the namespaces: prepares them, starts the interpreter, tells how it ended."""
    try:
        os.setsid()
        os.dup2(numbers[2], 2)
        options = f"size={tmp_bytes},nr_inodes={_MOST_FILES},mode=700".encode()
        _surely(libc.mount(b"tmpfs", b"/tmp", b"tmpfs", _NO_SUID | _NO_DEVICES, options), "mount")
        os.chdir("/tmp")  # noqa: S108
        _give_up_privileges(libc)
        child = os.fork()
        if child == 0:
            _become_program(libc, numbers, rules)
        control = numbers[3]
        os.dup2(control, 3)
        os.closerange(4, 256)
        for number in (0, 1, 2):
            os.dup2(3, number)
        _await(child, 3)
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    leave()


def _await(child: int, control: int) -> None:
    """Wait until the program has ended, and tell how, or until nobody wants to know any more."""
    watched = select.poll()
    watched.register(control, select.POLLHUP)
    ending = _ending_of(child)
    if ending is not None:
        watched.register(ending, select.POLLIN)
    while True:
        events = watched.poll(None if ending is not None else _CONTROL_SECONDS * 1_000)
        if any(number == control for number, _event in events):
            leave()
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            os.write(control, struct.pack("=i", os.waitstatus_to_exitcode(status)))
            leave()


def _ending_of(child: int) -> int | None:
    try:
        return os.pidfd_open(child)
    except (AttributeError, OSError):  # before Linux 5.3
        return None


def _become_program(libc: Any, numbers: list[int], rules: bytes) -> NoReturn:
    """The interpreter for one program, with three descriptors and the filter of system calls."""
    try:
        os.setsid()
        for number, given in enumerate(numbers[:3]):
            os.dup2(given, number)
        os.closerange(3, 256)
        if rules:
            _filter(libc, rules)
        serve_program()
    except OSError as error:
        os.write(2, f"{error}\n".encode())
    leave()


def _give_up_privileges(libc: Any) -> None:
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    _surely(libc.capset(header, bytes(24)), "capset")


def _filter(libc: Any, rules: bytes) -> None:
    """Install the filter. No privilege is needed, since none can be gained any more."""
    held = ctypes.create_string_buffer(rules, len(rules))
    described = struct.pack("@HP", len(rules) // 8, ctypes.addressof(held))
    _surely(libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), "prctl")
    _surely(libc.prctl(_SET_SECCOMP, _FILTER, described, 0, 0), "seccomp")


def _surely(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


if __name__ == "jail:main":
    main()
