"""`coral cluster up|status|down|logs`: a pool of replicas on this machine, on SLURM or on Ray."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coral.cli import EXIT_DONE
from coral.cli.options import parse, take_name
from coral.cli.terminal import Terminal
from coral.cluster import pool
from coral.cluster.batch_job import run_job
from coral.cluster.config import PoolConfig
from coral.cluster.names import folder_named, remember
from coral.config import COUNT, option
from coral.errors import ConfigError, UserError

ABOUT = {
    "up": "Bring a pool to the wanted number of replicas: start or drain the difference.",
    "status": "Show a line per replica; exit code 1 if fewer are ready than wanted.",
    "down": "End a pool when its requests in flight have ended.",
    "logs": "Show the end of a replica's log.",
    "job": "Submit a SLURM job, or find it, and wait for its end.",
}
HELP = """usage: coral cluster COMMAND FILE [--OPTION VALUE ...]

Keep a pool of replicas of a server, on this machine, on SLURM or on Ray.

  up       start what is missing, or drain what is too much
  status   show a line per replica
  down     end the pool when its requests in flight have ended
  logs     show the end of the replicas' logs
  job      run `sbatch` with what follows, and wait for the job's end; a stop
           ends the job, and the same command finds one that is still there

FILE is the pool's YAML file, or its folder, or its name. `coral cluster
COMMAND --help` tells the options of a command."""
EXIT_TOO_FEW = 1
WATCH_EVERY_S = 2.0


@dataclass(frozen=True, kw_only=True)
class UpConfig(PoolConfig):
    """A pool, and what to do about it."""

    dry_run: bool = option(False, decides=False)
    """Print what would be run for a replica; start nothing."""
    wait: bool = option(False, decides=False)
    """Return when all replicas are ready; exit code 1 if that does not come about."""


@dataclass(frozen=True, kw_only=True)
class StatusConfig(PoolConfig):
    """A pool, and how to show it."""

    watch: bool = option(False, decides=False)
    """Show it again and again; with `max`, bring it to the number that its requests ask for."""
    json: bool = option(False, decides=False)
    """Print the records as JSON, one per line."""


@dataclass(frozen=True, kw_only=True)
class DownConfig(PoolConfig):
    """A pool, and how to end it."""

    now: bool = option(False, decides=False)
    """Do not wait for requests in flight."""


@dataclass(frozen=True, kw_only=True)
class LogsConfig(PoolConfig):
    """A pool, and what of its logs to show."""

    lines: int = option(40, decides=False, within=COUNT)
    """Lines from the end of each log."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: the file cannot be used, or the place cannot be asked.
    """
    action, rest = take_name(arguments)
    if action not in ABOUT:
        if action is None:
            print(HELP)
            return EXIT_DONE
        raise ConfigError(f"no command `coral cluster {action}`", remedy=f"commands: {', '.join(ABOUT)}")
    return {"up": _up, "status": _status, "down": _down, "logs": _logs, "job": _job}[action](rest)


def _with_file(arguments: Sequence[str]) -> list[str]:
    """The file of the pool, or the folder that holds a copy of it, or the pool's name, as an option."""
    name, flags = take_name(arguments)
    if name is None:
        if not flags:
            raise ConfigError("no pool is given", remedy="name its file, its folder, or the pool itself")
        return flags
    path = Path(name)
    if not path.exists() and path.name == name and not path.suffix:
        path = folder_named(name)
    if path.is_dir():
        path /= pool.SAVED
        if not path.exists():
            raise ConfigError(
                f"there is no pool in {path.parent}", remedy="bring it up first: coral cluster up FILE"
            )
    return ["--config", str(path), *flags]


def _up(arguments: Sequence[str]) -> int:
    config = parse(UpConfig, _with_file(arguments), command="coral cluster up FILE", about=ABOUT["up"])
    console = Terminal(soft_wrap=True)
    if config.dry_run:
        pool.caution(config)
        print(pool.place_of(config).script(), end="")
        return EXIT_DONE
    console.print(pool.up(config))
    pool.save(config)
    remember(config)
    is_ready = not config.wait or pool.wait_ready(config, console.print)
    if not is_ready:
        seen = pool.look(config)
        _print_status(config, seen, console)
        if not seen:
            console.print(
                f"no replica has spoken; what was written instead: coral cluster logs {config.path}"
            )
    console.print(f"use it: --agent.model {config.model or 'NAME'} --agent.replicas {config.path}")
    return EXIT_DONE if is_ready else EXIT_TOO_FEW


def _status(arguments: Sequence[str]) -> int:
    config = parse(
        StatusConfig, _with_file(arguments), command="coral cluster status FILE", about=ABOUT["status"]
    )
    console = Terminal(soft_wrap=True)
    seen = _show(config, console)
    while config.watch:
        time.sleep(WATCH_EVERY_S)
        try:
            done = pool.adjust(config) if config.max is not None else ""
            if done:
                print(done, file=sys.stderr)
            seen = _show(config, console)
        except UserError as error:  # a scheduler that does not answer, or another command: it passes
            print(error, file=sys.stderr)
    is_enough = sum(one.is_ready for one in seen) >= pool.wanted(config, seen)
    return EXIT_DONE if is_enough else EXIT_TOO_FEW


def _show(config: StatusConfig, console: Terminal) -> list[pool.Seen]:
    seen = pool.look(pool.as_brought_up(config))
    if config.json:
        _print_json(seen)
    else:
        _print_status(config, seen, console)
    return seen


def _print_json(seen: Sequence[pool.Seen]) -> None:
    import msgspec

    for one in seen:
        print(msgspec.json.encode({"state": one.state, "job": one.job, "record": one.record}).decode())


def _print_status(config: PoolConfig, seen: Sequence[pool.Seen], console: Terminal) -> None:
    """A line per replica: job, state, node, address, and why it is not ready."""
    rows = [("job", "state", "node", "address", "")]
    for one in seen:
        record, job = one.record, one.job
        rows.append(
            (
                record.job if record else (job.id if job else ""),
                one.state,
                record.node if record else (job.node if job else ""),
                (record.url if record else None) or "-",
                one.why.partition("\n")[0],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows if seen else ():
        columns = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
        console.print("  ".join((*columns, row[4])).rstrip())
    for one in seen:
        if one.state == "failed" and one.record and one.record.why:
            console.print(f"\n{one.record.job}: {one.record.why}\n")
    console.print(pool.summary(pool.wanted(config, seen), seen))


def _down(arguments: Sequence[str]) -> int:
    config = parse(DownConfig, _with_file(arguments), command="coral cluster down FILE", about=ABOUT["down"])
    left = pool.down(config, now=config.now)
    print(f"still there: {', '.join(job.id for job in left)}" if left else "down")
    return EXIT_TOO_FEW if left else EXIT_DONE


def _logs(arguments: Sequence[str]) -> int:
    name, rest = take_name(arguments)
    replica, flags = take_name(rest)
    file = _with_file([name] if name else [])
    config = parse(LogsConfig, [*file, *flags], command="coral cluster logs FILE", about=ABOUT["logs"])
    console = Terminal(soft_wrap=True)
    seen = pool.look(pool.as_brought_up(config))
    names = [replica] if replica else [one.record.id for one in seen if one.record]
    for path in [pool.log_of(config, one) for one in names] or pool.outputs(config):
        console.print(f"== {path}")
        lines = path.read_text(errors="replace").splitlines()
        console.print("\n".join(lines[-config.lines :]))
    return EXIT_DONE


def _job(arguments: Sequence[str]) -> int:
    """Run a job to its end. What follows is sbatch's, and no option of ours."""
    if not arguments:  # sbatch would wait for a script on the standard input
        raise ConfigError("no batch script given", remedy="coral cluster job [SBATCH OPTIONS] SCRIPT")
    if arguments[0] in {"-h", "--help"}:
        print(HELP)
        return EXIT_DONE
    return run_job(arguments, lambda line: print(line, flush=True))
