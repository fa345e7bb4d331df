"""Which driver works on this machine, and why the others do not."""

from __future__ import annotations

import functools
from typing import Protocol

import msgspec

from coral.errors import SandboxError, UserError
from coral.jail.bubblewrap import Afresh, Forking
from coral.jail.cells import Cell
from coral.jail.containers import Containers
from coral.jail.interpreter import Role
from coral.jail.plain import Plain


class Driver(Protocol):
    """Starts interpreters that are shut in."""

    name: str
    about: str

    def start(self, role: Role) -> Cell:
        """Start an interpreter; it need not be ready for work yet.

        Raises:
            SandboxError: it cannot be started.
        """

    def close(self) -> None:
        """End what this started in advance."""

    def folder(self) -> str:
        """A new folder on the machine for a program to work in; empty where the jail has one inside."""

    def processes(self, most: int) -> int:
        """`Limits.processes` as a limit that the kernel keeps; 0: it cannot."""

    def remedy(self, why: str) -> str:
        """What would make it work, by the words with which it failed."""


class Finding(msgspec.Struct, frozen=True):
    """Whether a driver works here.

    Attributes:
        about: what the driver is.
        isolates: whether it keeps a program from the machine at all.
        why: it does not work.
        remedy: what would make it work.
    """

    driver: str
    works: bool
    about: str
    isolates: bool = True
    why: str = ""
    remedy: str = ""


DRIVERS: dict[str, Driver] = {
    driver.name: driver
    for driver in (Forking(), Afresh(), Containers("podman"), Containers("docker"), Plain())
}
"""In the order in which they are tried."""


ALLOW = "--allow_unsafe_code true"


@functools.lru_cache
def probe(name: str) -> Finding:
    """Start an interpreter by this driver, and say whether that worked. Asked once per process."""
    driver = DRIVERS[name]
    try:
        cell = driver.start("program")
        cell.wait_until_ready()
        cell.kill()
    except SandboxError as error:
        why = str(error)
        return Finding(name, False, driver.about, name != Plain.name, why, driver.remedy(why))
    finally:
        driver.close()
    return Finding(name, True, driver.about, name != Plain.name)


def choose(name: str | None = None, *, allow_unsafe_code: bool = False) -> str:
    """The name of the driver to use: the given one, or the first that isolates and works here.

    Raises:
        UserError: none does; `plain` isolates nothing and needs `allow_unsafe_code`.
    """
    if name is not None and name not in DRIVERS:
        raise UserError(f"no jail is called '{name}'", remedy=f"one of {', '.join(DRIVERS)}")
    if name == Plain.name and not allow_unsafe_code:
        raise UserError("the plain driver isolates nothing", remedy=f"{ALLOW} permits it")
    wanted = [name] if name else [one for one in DRIVERS if one != Plain.name or allow_unsafe_code]
    findings = []
    for one in wanted:
        finding = probe(one)
        if finding.works:
            return one
        findings.append(finding)
    why = "; ".join(f"{finding.driver}: {finding.why}" for finding in findings)
    remedies = dict.fromkeys(finding.remedy for finding in findings if finding.remedy)
    raise UserError(
        f"no jail for untrusted programs works here ({why})",
        remedy="; or ".join([*remedies, f"{ALLOW} runs them as your own programs, with all that you may do"]),
    )
