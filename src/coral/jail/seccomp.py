"""A filter of system calls for what runs in the jail, as the kernel reads it (classic BPF).

It refuses what no solution of a problem needs and what attacks on a kernel are made of: processes and
namespaces of its own, sockets, mounts, tracing, keys, memory that no limit counts. Threads stay possible.
So is writing to the devices, which are the machine's own, but not changing whose they are and who may use
them: of root they could not be kept otherwise.
"""

from __future__ import annotations

import platform
import struct

EPERM, ENOSYS = 1, 38
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_CLONE_THREAD = 0x00010000
_X32 = 0x40000000

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMNS = {"x86_64": 0, "aarch64": 1}

_REFUSED: dict[str, tuple[int | None, int | None]] = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "semget": (64, 190),
    "msgget": (68, 186), "mq_open": (240, 180), "quotactl": (179, 60), "acct": (163, 89),
    "syslog": (103, 116), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "personality": (135, 92),
    "fanotify_init": (300, 262), "modify_ldt": (154, None), "iopl": (172, None), "ioperm": (173, None),
    "uselib": (134, None), "vhangup": (153, 58),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "setxattrat": (463, 463),
    "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
"""System calls answered with "not permitted", by their numbers on x86_64 and aarch64."""
_FORKS = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_PAIR, _UNIX = (53, 199), 1
"""The call that makes a pair of sockets, and the one family in which it may: asked for another the kernel
makes two sockets of it, for which it loads a module, before it finds that they cannot be a pair."""


def rules(*, processes: bool) -> bytes | None:
    """The filter for this machine as the kernel reads it, or None on a processor that we have no numbers for.

    `processes`: whether new processes may be started, as the tests' process does; namespaces never.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        return None
    column = _COLUMNS[machine]
    refused = [number[column] for number in (*_REFUSED.values(), *(() if processes else _FORKS.values()))]
    lines = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _ERROR | ENOSYS),
        (
            _JUMP_EQUAL,
            0,
            1,
            _CLONE3[column],
        ),  # its flags lie in memory, where no filter can look; libc falls back
        (_RETURN, 0, 0, _ERROR | ENOSYS),
    ]
    for number in refused:
        if number is not None:
            lines += [(_JUMP_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERROR | EPERM)]
    lines += [(_JUMP_EQUAL, 0, 4, _PAIR[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT)]
    lines += [(_JUMP_EQUAL, 1, 0, _UNIX), (_RETURN, 0, 0, _ERROR | EPERM), (_RETURN, 0, 0, _ALLOW)]
    lines += [(_JUMP_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, _FIRST_ARGUMENT_AT), *_clone(processes)]
    lines += [(_RETURN, 0, 0, _ALLOW)]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


_NAMESPACES = 0x7E020000
"""Flags of new namespaces: mount, cgroup, uts, ipc, user, pid, network."""


def _clone(processes: bool) -> list[tuple[int, int, int, int]]:
    """What follows with the flags of `clone` loaded: one jump, and a refusal that it may skip."""
    jump = (_JUMP_BITS, 0, 1, _NAMESPACES) if processes else (_JUMP_BITS, 1, 0, _CLONE_THREAD)
    return [jump, (_RETURN, 0, 0, _ERROR | EPERM)]
