"""Docker and Podman: a container for each process, without network, on a read-only image of Python.

A container takes some tenths of a second to start, so this is for machines where bubblewrap cannot be had.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys

from coral.errors import SandboxError
from coral.jail import interpreter, processes
from coral.jail.cells import Cell
from coral.jail.interpreter import Role

IMAGE = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
_TMP_MIB = 64
_MEMORY_MIB = 2048
_PROCESSES = 32
_OF_A_USER = ("nofile=256", "nproc=4096")
"""All containers share a user, so the limit of its processes is far above a container's own."""
_LONGEST_S = 600
"""A container ends after so many seconds, whoever forgot it: the death of its client does not end it."""
_ASKING_S = 20
_numbers = itertools.count()


class Containers:
    """The driver. See `drivers.py`.

    Args:
        name: of the command, which is that of the driver.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.about = f"a container of {IMAGE} for every program"
        self._is_there = False

    def start(self, role: Role) -> Cell:
        """Start a container with an interpreter that waits for work."""
        if not self._is_there:
            self._look()
            self._is_there = True
        label = f"coral-jail-{os.getpid()}-{next(_numbers)}"
        return processes.start(
            self.command(label, role),
            code=interpreter.code_of(role, compiled=False),
            environment={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            by_shell=True,
            stop=[self.name, "rm", "--force", label],
        )

    def command(self, label: str, role: Role) -> list[str]:
        """What starts the container of this name."""
        limits = ["--memory", f"{_MEMORY_MIB}m", "--memory-swap", f"{_MEMORY_MIB}m", "--cpus", "1"]
        limits += ["--pids-limit", str(_PROCESSES)]
        # Those not named are the most that there is, to which nobody may go from within another container.
        limits += [word for limit in ("core=0", *_OF_A_USER) for word in ("--ulimit", limit)]
        walls = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--user", "65534:65534"]
        walls += ["--security-opt", "no-new-privileges", "--ipc", "private"]
        walls += ["--tmpfs", f"/tmp:rw,noexec,nosuid,nodev,size={_TMP_MIB}m,mode=1777"]  # noqa: S108  theirs
        walls += ["--workdir", "/tmp"]  # noqa: S108
        variables = [word for pair in interpreter.environment().items() for word in ("--env", "=".join(pair))]
        ended = [] if role == "tests" else ["timeout", "-s", "KILL", str(_LONGEST_S)]
        started = ["python3", *interpreter.OPTIONS, "-c", interpreter.BOOT]
        run = [self.name, "run", "--rm", "--interactive", "--name", label, "--pull", "never"]
        return [*run, *walls, *limits, *variables, IMAGE, *ended, *started]

    def close(self) -> None:
        """Nothing waits."""

    def folder(self) -> str:
        """None: a program has /tmp."""
        return ""

    def processes(self, most: int) -> int:  # noqa: ARG002
        """No limit of the kernel's: the container has one."""
        return 0

    def remedy(self, why: str) -> str:
        """What would make it work, by the words with which it failed."""
        if "not installed" in why:
            return f"install {self.name}"
        if IMAGE in why:
            return f"{self.name} pull {IMAGE}"
        return f"`{self.name} info` must work for this user"

    def _look(self) -> None:
        """See that there is a command, somebody who answers it, and an image.

        Raises:
            SandboxError: there is not.
        """
        if shutil.which(self.name) is None:
            raise SandboxError(f"{self.name} is not installed")
        try:
            for words, lacks in (
                (["info"], None),
                (["image", "inspect", IMAGE], f"there is no image {IMAGE}"),
            ):
                asked = subprocess.run(  # noqa: S603
                    [self.name, *words], capture_output=True, text=True, check=False, timeout=_ASKING_S
                )
                if asked.returncode:
                    said = asked.stderr.strip().splitlines()
                    raise SandboxError(lacks or (said[-1] if said else f"{self.name} {words[0]} fails"))
        except subprocess.TimeoutExpired:
            raise SandboxError(f"{self.name} does not answer in {_ASKING_S} s") from None


_PASSED_ON = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DOCKER_HOST", "CONTAINER_HOST")
"""What the command itself needs. Nothing of it reaches a container."""
