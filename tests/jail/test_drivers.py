"""Which jail is used, and what is said where there is none."""

import pytest

from coral import jail
from coral.cli import doctor
from coral.errors import SandboxError, UserError
from coral.jail import bubblewrap, drivers, processes
from coral.jail.containers import IMAGE, Containers

WORKS = jail.Finding("bubblewrap", works=True, about="walls")
NO_WRAP = jail.Finding(
    "bubblewrap", works=False, about="walls", why="bwrap is not installed", remedy="install it"
)
PLAIN = jail.Finding("plain", works=True, about="nothing", isolates=False)


@pytest.fixture
def here(monkeypatch):
    """Sets what works on this machine."""

    def set_findings(*findings):
        by_name = {finding.driver: finding for finding in findings}
        monkeypatch.setattr(drivers, "DRIVERS", by_name)
        monkeypatch.setattr(drivers, "probe", by_name.__getitem__)
        monkeypatch.setattr("coral.jail.DRIVERS", by_name)
        monkeypatch.setattr("coral.jail.probe", by_name.__getitem__)

    return set_findings


def test_what_isolates_is_used(here):
    here(WORKS, PLAIN)
    assert jail.driver() == jail.driver(allow_unsafe_code=True) == "bubblewrap"


def test_what_isolates_nothing_needs_permission(here):
    """Nobody's machine is opened by a missing package."""
    here(NO_WRAP, PLAIN)
    with pytest.raises(UserError, match="bwrap is not installed") as caught:
        jail.driver()
    assert "install it" in caught.value.remedy
    assert "--allow_unsafe_code true" in caught.value.remedy
    with pytest.raises(UserError, match="isolates nothing"):
        jail.driver("plain")
    assert jail.driver(allow_unsafe_code=True) == jail.driver("plain", allow_unsafe_code=True) == "plain"


def test_what_would_help_is_said_once(here):
    """Two drivers may lack the same package."""
    other = jail.Finding("another", False, "walls", why="bwrap is not installed", remedy=NO_WRAP.remedy)
    here(NO_WRAP, other)
    with pytest.raises(UserError) as caught:
        jail.driver()
    assert caught.value.remedy.count(NO_WRAP.remedy) == 1


def test_an_unknown_driver_is_named():
    with pytest.raises(UserError, match="chroot") as caught:
        jail.driver("chroot")
    assert "bubblewrap" in caught.value.remedy


@pytest.mark.parametrize(
    ("findings", "code", "words"),
    [
        ((WORKS, PLAIN), 0, ["walls", "programs run in bubblewrap"]),
        (
            (NO_WRAP, PLAIN),
            2,
            ["bwrap is not installed", "-> install it", "no program can be run", "allow_unsafe_code"],
        ),
    ],
)
def test_the_doctor_says_what_works_and_why_not(here, capsys, findings, code, words):
    here(*findings)
    assert doctor.run(["--jail"]) == code
    out = capsys.readouterr().out
    assert all(word in out for word in words)


SWITCHED = [
    ("proc/sys/kernel/unprivileged_userns_clone", "0\n", "kernel.unprivileged_userns_clone=1"),
    ("proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n", "AppArmor"),
    ("proc/sys/user/max_user_namespaces", "0\n", "user.max_user_namespaces="),
    (".dockerenv", "", "--security-opt seccomp=unconfined"),
    ("proc/sys/kernel/unprivileged_userns_clone", "1\n", "user namespaces have to be permitted"),
]


@pytest.mark.parametrize(("file", "text", "words"), SWITCHED)
def test_the_remedy_is_what_this_machine_lacks(tmp_path, file, text, words):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert words in bubblewrap.remedy("bwrap: setting up uid map: Permission denied", root=tmp_path)


def test_a_missing_command_has_a_package(tmp_path):
    assert "package bubblewrap" in bubblewrap.remedy("bwrap is not installed", root=tmp_path)
    assert Containers("podman").remedy("podman is not installed") == "install podman"
    assert Containers("docker").remedy(f"there is no image {IMAGE}") == f"docker pull {IMAGE}"


@pytest.fixture
def container_command(tmp_path, monkeypatch):
    """A stand-in for `docker` that answers as it does, and runs what a container would without one."""

    def make(script):
        command = tmp_path / "docker"
        command.write_text(f"#!/bin/sh\n{script}\n")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return make


def test_a_silent_daemon_is_told(container_command):
    container_command("echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    with pytest.raises(SandboxError, match="Cannot connect to the Docker daemon"):
        Containers("docker").start("program")


def test_a_missing_image_is_told(container_command):
    container_command('[ "$1" = info ]')
    with pytest.raises(SandboxError, match=f"there is no image {IMAGE}"):
        Containers("docker").start("program")


def test_a_container_is_started_with_nothing_and_ended(container_command, tmp_path):
    """An interpreter of whatever version gets our code as text; its container is taken away at the end."""
    container_command(
        f'echo "$@" >>{tmp_path}/log\n'
        'case "$1" in run) while [ "$1" != python3 ]; do shift; done; exec "$@";; esac'
    )
    cell = Containers("docker").start("program")
    cell.wait_until_ready()
    cell.kill()
    log = (tmp_path / "log").read_text()
    for option in (
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--memory",
    ):
        assert option in log
    label = log.partition("--name ")[2].split()[0]
    assert f"rm --force {label}" in log


def test_exit_codes_of_shells_are_signals():
    def code(number, *, by_shell):
        cell = processes.start(
            ["/bin/sh", "-c", f"exit {number}"], code=b"", environment={}, by_shell=by_shell
        )
        try:
            return cell.exit_code(float("inf"))
        finally:
            cell.kill()

    assert code(137, by_shell=True) == -9
    assert code(137, by_shell=False) == 137
