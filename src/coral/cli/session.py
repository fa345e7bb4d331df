"""What `coral eval` and `coral sample` share: a job in view, what an interrupt does, and how to resume."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from coral.agents.person import Face
from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.live import shown
from coral.cli.loop import on_interrupt, run_in_loop
from coral.cli.options import parse
from coral.cli.person import face_for
from coral.cli.report import print_estimate
from coral.cli.terminal import Terminal, standard_error
from coral.cli.visible import visible
from coral.evaluation import processes
from coral.evaluation.breaker import nothing_read
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate
from coral.evaluation.given import Given
from coral.evaluation.progress import Progress
from coral.evaluation.run import Run
from coral.metrics import Summary
from coral.tasks import boundary
from coral.types import Unreadable

EXIT_TOO_MANY_FAILED = 3
_LONGEST_CAUSE = 300


C = TypeVar("C", bound=EvalConfig)


class Show(Protocol):
    """Prints the summary of a finished run; `asked`: conversations that this session asked for."""

    def __call__(self, summary: Summary, path: Path, *, asked: int | None) -> None: ...


def run_job(
    kind: type[C],
    arguments: Sequence[str],
    *,
    command: str,
    about: str,
    show: Show,
) -> int:
    """Read the options of a job, run it in view, and show its results; or only say what it would send.

    Args:
        kind: the job's options; the task's name may stand right behind the command.
        show: prints the summary of a run that is finished.

    Returns:
        The exit code: 0, 3 where too many conversations failed or no belief could be read, 130 where it was
        interrupted.
    """
    config = parse(kind, arguments, command=f"{command} TASK", about=about, positional="task.name")
    if config.dry_run:
        print_estimate(config, estimate(config))
        return EXIT_DONE
    run = run_in_loop(in_view(config))
    if run.summary is None:
        return EXIT_DONE if run.missing else EXIT_INTERRUPTED
    show(run.summary, run.path, asked=run.total)
    objections = list(_objections(run, run.summary, config))
    for objection in objections:
        standard_error().print(objection, soft_wrap=True)
    return EXIT_TOO_MANY_FAILED if objections else EXIT_DONE


def _objections(run: Run, summary: Summary, config: EvalConfig) -> Iterator[str]:
    """Why a finished run is none that one should rely on."""
    failed, of = summary.stop_reasons.get("failed", 0), summary.conversations
    if failed > config.max_failed_rate * of:
        allowed = f"--max_failed_rate {config.max_failed_rate:g}"
        said = Counter(one.failure.message for one in run.conversations() if one.failure is not None)
        why, times = said.most_common(1)[0]
        yield (
            f"{failed} of {of} conversations failed, more than {allowed} allows; {times} of them by: "
            f"{visible(why)[:_LONGEST_CAUSE]}\n"
            f"  -> coral show {run.path} --only failed, then --retry_failed true"
        )
    if summary.metrics["unreadable_rate"].mean == 1.0:
        turns = (turn for conversation in run.conversations() for turn in conversation.turns)
        beliefs = [turn.reply.belief for turn in turns]
        why, remedy = nothing_read(Counter(one.reason for one in beliefs if isinstance(one, Unreadable)))
        yield f"no answer could be read from any of {len(beliefs)} replies; {why}\n  -> {remedy}"


async def in_view(config: C, seat: Callable[[C, Progress, Terminal], Face | None] = face_for) -> Run:
    """Run a job, and tell how it goes, or let people take part in it.

    Args:
        seat: gives people a face where they do.
    """
    console = standard_error()
    progress = Progress()
    face = seat(config, progress, console)
    _with_interrupts(progress, console, face)
    if face is None:
        async with shown(progress, console, protocol=config.protocol_name):
            run = await processes.run(config, progress)
    else:  # who talks needs the screen
        run = await processes.run(config, progress, Given(face=face))
    for failure in boundary.failures():
        console.print(f"{failure}: what it was asked is counted as unreadable, unknown or not the same")
    if run.missing:
        console.print(
            f"shard {config.shard} is complete: {run.finished} conversations in {run.path}\n"
            f"not complete: {', '.join(run.missing)}; whichever ends last measures the whole",
        )
    elif run.summary is None:
        console.print(
            f"interrupted: {run.finished} of {run.total} conversations are finished and kept in {run.path}\n"
            "run the same command again to resume",
        )
    return run


def _with_interrupts(progress: Progress, console: Terminal, face: Face | None) -> None:
    """First Ctrl-C: let requests in flight finish. Second: stop at once."""

    def stop() -> None:
        progress.stopping = True
        if face is not None:
            console.print("\nstopping: what was said is kept")
            return
        console.print(
            f"stopping: {progress.in_flight} conversations finish their requests in flight; "
            "Ctrl-C again stops at once",
        )

    on_interrupt(stop, is_stopping=lambda: progress.stopping)
