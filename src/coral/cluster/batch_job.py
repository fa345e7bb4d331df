"""One SLURM job, waited for: `coral cluster job [SBATCH OPTIONS] SCRIPT [ARGUMENTS]`.

For what starts something and waits for its end, as `launch` of `coral improve` does. Unlike with `sbatch
--wait`, a stop ends the job, and after a kill -9 the same command waits for the job that is still there
instead of submitting a second one. A job that SLURM requeues is waited for, too. No accounting is needed.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

from coral.cluster.slurm import run_slurm
from coral.errors import UserError

LOOK_EVERY_S = 2.0
SHOWN_LINES = 12


def run_job(arguments: Sequence[str], say: Callable[[str], object]) -> int:
    """Submit a job, or find the one that an earlier call submitted, and wait for its end.

    Args:
        arguments: of sbatch.
        say: told what happens.

    Returns:
        0 where it completed, 1 where it did not.

    Raises:
        UserError: it cannot be submitted.
    """
    name = _name(arguments)
    job = run_slurm("squeue", "-h", "--me", "-n", name, "-o", "%i").partition("\n")[0]
    was_there = bool(job)
    if not was_there:
        job = run_slurm("sbatch", "--parsable", f"--job-name={name}", *arguments).partition(";")[0]
    for number in (signal.SIGTERM, signal.SIGINT):  # before anybody is told of a job that a stop would end
        signal.signal(number, lambda number, _frame: _cancel(job, number))
    say(f"job {job} is still there: waiting for it" if was_there else f"job {job} submitted")
    while _is_there(job):
        time.sleep(LOOK_EVERY_S)
    return _ending(job, say)


def _name(arguments: Sequence[str]) -> str:
    """The same for the same command in the same folder, and for no other."""
    text = "\0".join((str(Path.cwd()), *arguments))
    return f"coral-job-{zlib.crc32(text.encode()):08x}"


def _cancel(job: str, number: int) -> None:
    """SIGTERM to all of it, and SIGKILL after the site's KillWait: a training saves itself meanwhile."""
    subprocess.run(["scancel", job], check=False)  # noqa: S603, S607 - SLURM's own command
    os._exit(128 + number)


def _is_there(job: str) -> bool:
    """Whether SLURM still lists it. A controller that does not answer says nothing."""
    done = subprocess.run(  # noqa: S603 - SLURM's own command
        ["squeue", "-h", "-j", job, "-o", "%T"],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return bool(done.stdout.strip()) if done.returncode == 0 else "Invalid job id" not in done.stderr


def _ending(job: str, say: Callable[[str], object]) -> int:
    """Tell how it ended. A job that SLURM has forgotten is judged by what it left."""
    try:
        told = run_slurm("scontrol", "show", "job", "-o", job)
    except UserError:
        say(f"job {job} has ended")
        return 0
    found = dict(re.findall(r"\b(JobState|ExitCode|StdOut)=(\S+)", told))
    state, log = found.get("JobState"), Path(found.get("StdOut", ""))
    say(f"job {job}: {state}, exit code {found.get('ExitCode')}; it wrote {log}")
    if state == "COMPLETED":
        return 0
    if log.is_file():
        for line in log.read_text(errors="replace").splitlines()[-SHOWN_LINES:]:
            say(f"  {line}")
    return 1
