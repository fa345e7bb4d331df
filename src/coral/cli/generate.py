"""`coral generate IN.jsonl --output OUT.jsonl`: a reply to each row of a file."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.loop import on_interrupt, run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.terminal import Terminal, standard_error
from coral.display.line import clock
from coral.generation import processes
from coral.generation.config import GenerateConfig
from coral.generation.generate import Counts, preview

ABOUT = "Ask a model for a reply to each row of a file. The same command resumes, and asks failed rows again."
EXIT_FAILED_ROWS = 1
LINE_EVERY_S = 5.0


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where a row failed, 130 where it was interrupted.

    Raises:
        UserError: an option, a row or the output cannot be used, or nobody answers.
    """
    name, flags = take_name(arguments)
    if name:
        flags = [*flags, "--input", name]
    config = parse(GenerateConfig, flags, command="coral generate IN.jsonl", about=ABOUT)
    console = Terminal(soft_wrap=True)
    if config.dry_run:
        shown = preview(config)
        console.print(f"{shown.rows} rows; the first one asks:")
        for message in shown.first.messages:
            console.print(f"{message.role.value}: {message.content}")
        return EXIT_DONE
    counts = run_in_loop(_in_view(config))
    _report(config, counts, console)
    if not counts.is_complete:
        return EXIT_INTERRUPTED
    return EXIT_FAILED_ROWS if counts.failed + counts.failed_elsewhere else EXIT_DONE


def cost(counts: Counts) -> str:
    """What the session cost, and what it got for less."""
    parts = ["cost unknown: the model has no price" if counts.usd is None else f"{counts.usd:,.2f} USD"]
    if counts.batched:
        parts.append(f"{counts.batched:,} rows by batch, at half price")
    if counts.from_cache:
        parts.append(f"{counts.from_cache:,} rows from the cache, free")
    return "".join(f", {part}" for part in parts)


async def _in_view(config: GenerateConfig) -> Counts:
    console = standard_error()
    counts = Counts(say=lambda line: console.print(line, soft_wrap=True))

    def stop() -> None:
        counts.stop()
        console.print(f"stopping: {counts.in_flight} requests in flight end; Ctrl-C again stops at once")

    on_interrupt(stop, is_stopping=lambda: counts.stopping)
    telling = asyncio.create_task(_tell(counts, console))
    try:
        return await processes.run(config, counts)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(counts: Counts, console: Terminal) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        console.print(describe(counts), soft_wrap=True)


def describe(counts: Counts) -> str:
    """One line: how far, how fast, what fails and why, how long still."""
    new = counts.answered + counts.failed
    rate = new / max(counts.elapsed_s, 0.001)
    parts = [
        f"{counts.kept + new:,}/{counts.total:,} rows",
        f"{counts.in_flight} active",
        f"{rate:,.0f} rows/s",
    ]
    if waiting := counts.waiting_for():
        parts.append(waiting)
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    if counts.retry_state.retrying and counts.retry_state.latest is not None:
        brief = " ".join(counts.retry_state.latest.brief.split())[:60]
        parts.append(f"{counts.retry_state.retrying} retrying: {brief}")
    if new and not counts.is_complete:
        parts.append(f"{clock((counts.total - counts.kept - new) / rate)} left")
    return " · ".join(parts)


def _report(config: GenerateConfig, counts: Counts, console: Terminal) -> None:
    kept = f", {counts.kept:,} of them by earlier runs" if counts.kept else ""
    failed = f"; {counts.failed:,} failed" if counts.failed else ""
    console.print(f"{counts.kept + counts.answered:,} of {counts.total:,} rows answered{kept}{failed}")
    console.print(f"{counts.prompt_tokens:,} tokens read, {counts.completion_tokens:,} written{cost(counts)}")
    again = "; the same command asks failed rows again" if counts.failed else ""
    if counts.written:
        elsewhere = f"; other shards left {counts.failed_elsewhere:,} rows with an error"
        console.print(f"{config.output}{again}{elsewhere if counts.failed_elsewhere else ''}")
    elif counts.is_complete:
        console.print(f"shard {config.shard} is complete{again}")
        console.print(
            f"not complete: {', '.join(counts.missing)}; whichever ends last writes {config.output}"
        )
    else:
        console.print(f"interrupted: what has arrived is kept in {Path(config.output).name}.parts")
        console.print("run the same command again to resume")
