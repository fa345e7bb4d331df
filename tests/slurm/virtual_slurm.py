"""A real SLURM cluster in a folder: munge, slurmctld and virtual nodes with fake GPUs, on loopback.

    python tests/slurm/virtual_slurm.py up DIR [--nodes 2] [--gpus 2]     starts it; prints an export
    python tests/slurm/virtual_slurm.py down DIR                          ends every job and daemon
    python tests/slurm/virtual_slurm.py status DIR

    with VirtualSlurm(folder) as cluster:
        cluster.run("sbatch", "--wait", "script.sh")
        cluster.kill_node("n2")

Needs root and Debian's packages (apt-get install slurm-wlm munge), no systemd and no database: `sacct` does
not work, `squeue` and `scontrol` do. All nodes are this machine and have the address 127.0.0.1 (slurmd binds
what the host name resolves to); nothing listens on other interfaces.

Every process of the cluster carries SLURM_CONF=DIR/slurm.conf in its environment: that is how `down` finds
them all, also jobs whose daemon was killed. Partitions: `main` (default) and `urgent`, whose jobs preempt by
requeueing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol")
NODE = "VIRTUAL_SLURM_NODE"
"""In the environment of a slurmd and its slurmstepds: which node they are."""

SHORT = "short"
"""A link in the folder to one of a short name."""

ENV_DROPPED = ("SLURM_", "SBATCH_", "SRUN_", "SQUEUE_")


class SlurmError(RuntimeError):
    """The cluster did not start; says what the daemons wrote."""


def missing_programs() -> list[str]:
    """What is to be installed first. A fixture skips, or fails in CI, if this is not empty."""
    path = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))
    return [name for name in PROGRAMS if shutil.which(name, path=path) is None]


class VirtualSlurm:
    """A cluster in `folder`. `up` and `down` may be called at any time, also by another process."""

    def __init__(
        self,
        folder: Path | str,
        *,
        nodes: int = 2,
        gpus: int = 2,
        cpus: int = 16,
        requeue_after_s: int = 5,
        node_timeout_s: int = 10,
        kill_wait_s: int = 10,
        preempt_grace_s: int = 5,
    ) -> None:
        self.folder = Path(folder).resolve()
        self.nodes = [f"n{index}" for index in range(1, nodes + 1)]
        self.gpus = gpus
        self.cpus = cpus
        self.requeue_after_s = requeue_after_s
        self.node_timeout_s = node_timeout_s
        self.kill_wait_s = kill_wait_s
        self.preempt_grace_s = preempt_grace_s
        self._children: list[subprocess.Popen[bytes]] = []

    # -- what tests use

    @property
    def env(self) -> dict[str, str]:
        """The environment of SLURM commands; nothing of an outer cluster gets in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ENV_DROPPED)}
        path = os.pathsep.join((kept.get("PATH", ""), "/usr/sbin", "/sbin"))
        return {**kept, "PATH": path, "SLURM_CONF": str(self.folder / "slurm.conf")}

    def run(self, *command: str, timeout_s: float = 60.0, check: bool = True) -> str:
        """Standard output of a command of the cluster."""
        done = subprocess.run(
            command,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if check and done.returncode:
            raise SlurmError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.strip()

    def kill_node(self, node: str, *, noticed: bool = True) -> None:
        """As if the power went: slurmd and all jobs of the node die, and nothing is reported.

        SLURM notices by itself after up to three times `node_timeout_s`, or at once (`noticed`).
        """
        pids = [pid for pid, env in self._processes() if node in (env.get(NODE), env.get("SLURMD_NODENAME"))]
        for number in (signal.SIGSTOP, signal.SIGKILL):  # so that no slurmstepd reports the end of its job
            for pid in pids:
                _kill(pid, number)
        if noticed:
            self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=killed")

    def start_node(self, node: str) -> None:
        """Start a node that was killed, and put it back to service."""
        self._start_slurmd(node)
        self._wait_idle([node])

    def restore(self) -> None:
        """Put nodes that SLURM took out of service back, and wait until all take jobs."""
        self._wait_idle(self.nodes)

    def kill_controller(self, *, saved: bool = True) -> None:
        """Kill slurmctld, which saves what it knows up to five seconds late.

        Args:
            saved: wait until it has; else it may forget jobs that started just now, and end them later.
        """
        if saved:
            (job, *_) = self.run("squeue", "-h", "-r", "-o", "%i").split()
            changed = time.time()
            self.run("scontrol", "update", f"jobid={job}", f"comment={changed}")
            state = self.folder / "state" / "job_state"
            self._wait_for("slurmctld", lambda: state.exists() and state.stat().st_mtime > changed)
        _kill(self._pid("slurmctld"), signal.SIGKILL)

    def restart_controller(self) -> None:
        """End slurmctld by the signal on which it saves all that it knows, and start it again.

        One that is killed later brings no job back that ended before.
        """
        pid = self._pid("slurmctld")
        _kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 60.0
        while pid is not None and self._is_ours(pid) is not None:
            if time.monotonic() > deadline:
                raise SlurmError(f"slurmctld did not end:\n{self._said()}")
            time.sleep(0.05)
        self._reap()
        self.start_controller()

    def start_controller(self) -> None:
        """Start slurmctld again after it was killed; it finds the jobs that it had saved."""
        self._daemon("slurmctld", "slurmctld", "-D")
        self._wait_for("slurmctld", lambda: self.run("squeue", "-h", check=False) or self._answers())

    def announce_preemptions(self, *, grace_s: int | None) -> None:
        """Let a job that is preempted be told at once, with so much time to end; None: as it was."""
        path = self.folder / "slurm.conf"
        line = "SlurmctldParameters=preempt_send_user_signal\n"
        text = path.read_text().replace(line, "")
        path.write_text(text + line * (grace_s is not None))
        self.run("scontrol", "reconfigure")
        grace_s = self.preempt_grace_s if grace_s is None else grace_s
        self.run("scontrol", "update", "partitionname=main", f"gracetime={grace_s}")

    def _answers(self) -> bool:
        return "UP" in self.run("scontrol", "ping", check=False)

    def __enter__(self) -> VirtualSlurm:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    # -- up and down

    def up(self) -> None:
        """Start what does not run yet, and wait until all nodes take jobs."""
        if missing := missing_programs():
            raise SlurmError(f"{', '.join(missing)} not found: apt-get install slurm-wlm munge")
        if os.geteuid() != 0:
            raise SlurmError("the virtual cluster needs root")
        try:
            if not self._alive("slurmctld"):
                self.down()
                self._lay_out()
                self._start_munge()
                self._daemon("slurmctld", "slurmctld", "-D", "-c")
            for node in self.nodes:
                if not self._alive(f"slurmd-{node}"):
                    self._start_slurmd(node)
            self._wait_idle(self.nodes)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """End every job and daemon; the folder and its logs stay."""
        for number, patience_s in ((signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
            deadline = time.monotonic() + patience_s
            while pids := [pid for pid, _ in self._processes()]:
                for pid in pids:
                    _kill(pid, number)
                if time.monotonic() > deadline:
                    break
                time.sleep(0.05)
                self._reap()
        self._reap()
        link = self.folder / SHORT
        if link.is_symlink():
            shutil.rmtree(link.resolve(), ignore_errors=True)
            link.unlink()

    def leftovers(self) -> list[int]:
        """Processes of the cluster that still run."""
        return [pid for pid, _ in self._processes()]

    # -- the parts

    def _lay_out(self) -> None:
        for name in ("state", "logs", "pids"):
            shutil.rmtree(
                self.folder / name, ignore_errors=True
            )  # job ids begin at 1 again: nobody may know old ones
            (self.folder / name).mkdir(parents=True)
        ports = _free_ports(1 + len(self.nodes))
        # A socket's path has at most 107 bytes, and munge wants no folder above it that others can write to
        # but /tmp itself: so the sockets of munge and of job steps are not below `folder`, which may be deep.
        short = Path(tempfile.mkdtemp(prefix="slurm-", dir="/tmp"))
        short.chmod(0o755)
        for node in self.nodes:
            (short / f"disk_list-{node}").mkdir()
        link = self.folder / SHORT
        link.unlink(missing_ok=True)
        link.symlink_to(short)
        host = socket.gethostname().split(".")[0]
        gres = self._gres()
        lines = [
            "ClusterName=virtual",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={ports[0]}",
            "SlurmUser=root",
            "SlurmdUser=root",
            "AuthType=auth/munge",
            "CredType=cred/munge",
            f"AuthInfo=socket={short / 'socket'},cred_expire={self.requeue_after_s}",
            "CommunicationParameters=NoCtldInAddrAny,NoInAddrAny",
            f"StateSaveLocation={self.folder / 'state'}",
            f"SlurmdSpoolDir={short / 'disk_list'}-%n",
            f"SlurmctldPidFile={self.folder / 'pids' / 'slurmctld.own'}",
            f"SlurmdPidFile={self.folder / 'pids' / 'slurmd-%n.own'}",
            f"SlurmctldLogFile={self.folder / 'logs' / 'slurmctld.log'}",
            f"SlurmdLogFile={self.folder / 'logs' / 'slurmd-%n.log'}",
            "ProctrackType=proctrack/linuxproc",
            "TaskPlugin=task/none",
            "JobAcctGatherType=jobacct_gather/none",
            "AccountingStorageType=accounting_storage/none",
            "MpiDefault=none",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "DefMemPerCPU=500",  # else a job that names no memory gets the whole node
            "SlurmdParameters=config_overrides",  # the nodes claim more cores than the machine has
            "ReturnToService=2",
            f"SlurmdTimeout={self.node_timeout_s}",
            f"KillWait={self.kill_wait_s}",
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "SchedulerParameters=bf_interval=2,sched_interval=2",
            "GresTypes=gpu" if self.gpus else "",
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={self.cpus} "
                f"RealMemory=16000 State=UNKNOWN" + (f" Gres=gpu:{self.gpus}" if self.gpus else "")
                for node, port in zip(self.nodes, ports[1:], strict=True)
            ),
            (
                "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 "
                f"GraceTime={self.preempt_grace_s}"
            ),
            "PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10",
        ]
        (self.folder / "slurm.conf").write_text("\n".join(lines) + "\n")
        (self.folder / "gres.conf").write_text("\n".join(gres) + "\n")
        (self.folder / "cgroup.conf").write_text(
            "CgroupPlugin=cgroup/v1\nCgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\n"
            "ConstrainDevices=no\n"
        )

    def _gres(self) -> list[str]:
        """A GPU is a device file; where none can be made, SLURM only counts GPUs."""
        lines = ["AutoDetect=off"]
        devices = self.folder / "devices"
        devices.mkdir(exist_ok=True)
        for node in self.nodes:
            files = [devices / f"{node}-gpu{index}" for index in range(self.gpus)]
            try:
                for file in files:
                    if not file.exists():
                        os.mknod(file, 0o20666, os.makedev(1, 3))
            except PermissionError:
                lines.append(f"NodeName={node} Name=gpu Count={self.gpus}")
            else:
                lines += [f"NodeName={node} Name=gpu File={file}" for file in files]
        return lines

    def _start_munge(self) -> None:
        short = (self.folder / SHORT).resolve()
        key = short / "key"
        key.touch(0o600)
        key.write_bytes(os.urandom(128))
        self._daemon(
            "munged",
            "munged",
            "--foreground",
            f"--key-file={key}",
            f"--socket={short / 'socket'}",
            f"--pid-file={short / 'pid'}",
            f"--log-file={short / 'log'}",
            f"--seed-file={short / 'seed'}",
            "--num-threads=2",
        )
        self._wait_for("munged", (short / "socket").exists)

    def _start_slurmd(self, node: str) -> None:
        self._daemon(f"slurmd-{node}", "slurmd", "-D", "-N", node, env={NODE: node})

    def _daemon(self, name: str, *command: str, env: dict[str, str] | None = None) -> None:
        with (self.folder / "logs" / f"{name}.out").open("ab") as output:
            process = subprocess.Popen(
                command,
                env={**self.env, **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd=self.folder,
            )
        self._children.append(process)
        (self.folder / "pids" / name).write_text(str(process.pid))

    def _wait_idle(self, nodes: list[str]) -> None:
        def idle() -> bool:
            lines = self.run("sinfo", "-h", "-N", "-p", "main", "-o", "%N %T", check=False).splitlines()
            states = dict(line.split() for line in lines)
            for node in nodes:
                if states.get(node, "").startswith(("down", "drain")):
                    self.run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
            return all(states.get(node) in ("idle", "mixed", "allocated") for node in nodes)

        self._wait_for("slurmctld", idle)

    def _wait_for(self, name: str, ready: object, within_s: float = 60.0) -> None:
        deadline = time.monotonic() + within_s
        while not ready():  # type: ignore[operator]
            self._reap()
            pid = self._pid(name)
            if pid is None or not Path(f"/proc/{pid}").exists() or time.monotonic() > deadline:
                raise SlurmError(f"{name} did not start:\n{self._said()}")
            time.sleep(0.05)

    def _reap(self) -> None:
        """Forget the daemons that ended; none stays behind as a zombie."""
        self._children = [child for child in self._children if child.poll() is None]

    def _said(self) -> str:
        logs = sorted((self.folder / "logs").iterdir())
        return "\n".join(f"== {log.name}\n{log.read_text(errors='replace')[-1500:]}" for log in logs)

    def _pid(self, name: str) -> int | None:
        try:
            return int((self.folder / "pids" / name).read_text())
        except (FileNotFoundError, ValueError):
            return None

    def _alive(self, name: str) -> bool:
        pid = self._pid(name)
        return pid is not None and self._is_ours(pid) is not None

    def _processes(self) -> list[tuple[int, dict[str, str]]]:
        """Every process of the cluster with its environment, ourselves and our parents excluded."""
        own = {os.getpid(), os.getppid()}
        pids = (int(entry.name) for entry in Path("/proc").glob("[0-9]*"))
        return [(pid, env) for pid in pids if pid not in own and (env := self._is_ours(pid)) is not None]

    def _is_ours(self, pid: int) -> dict[str, str] | None:
        try:
            raw = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return None
        env = dict(part.split("=", 1) for part in raw.split("\0") if "=" in part)
        ours = env.get("SLURM_CONF") == str(self.folder / "slurm.conf") and state != "Z"
        return env if ours else None


def _kill(pid: int | None, number: int) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _free_ports(count: int) -> list[int]:
    """Ports that are free on all of loopback, below those that the system gives out by itself."""
    ports: list[int] = []
    candidate = 17000 + os.getpid() % 900 * 10
    while len(ports) < count:
        candidate += 1
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", candidate))
            except OSError:
                continue
        ports.append(candidate)
    return ports


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=("up", "down", "status"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--gpus", type=int, default=2)
    options = parser.parse_args()
    cluster = VirtualSlurm(options.folder, nodes=options.nodes, gpus=options.gpus)
    try:
        if options.what == "up":
            cluster.up()
            sys.stdout.write(f"export SLURM_CONF={cluster.folder / 'slurm.conf'}\n")
        elif options.what == "down":
            cluster.down()
        else:
            sys.stdout.write(cluster.run("sinfo", "-N", "-o", "%N %P %T %G") + "\n")
    except SlurmError as error:
        sys.stderr.write(f"virtual_slurm: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
