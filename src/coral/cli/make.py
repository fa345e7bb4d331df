"""`coral make mbpp_cr --data mbpp.jsonl --output FILE`: a set of programs to be judged right or wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from coral.cli import EXIT_DONE, EXIT_INTERRUPTED
from coral.cli.generate import EXIT_FAILED_ROWS, LINE_EVERY_S, cost, describe
from coral.cli.loop import on_interrupt, run_in_loop
from coral.cli.options import parse
from coral.cli.terminal import Terminal, standard_error
from coral.generation.make import Made, make
from coral.generation.make_config import MakeConfig

ABOUT = (
    "Make a set of programs that are right or wrong, each labelled by running it: a model's programs, or the "
    "data's own with mistakes put into them. The same command resumes."
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 1 where a problem has no reply, 130 where it was interrupted.

    Raises:
        UserError: programs cannot be run here, an option, the data or the output cannot be used, or nobody
            answers.
    """
    config = parse(MakeConfig, arguments, command="coral make mbpp_cr", about=ABOUT, positional="task")
    made = run_in_loop(_in_view(config))
    _report(config, made, Terminal(soft_wrap=True))
    if not made.written:
        return EXIT_INTERRUPTED
    return EXIT_FAILED_ROWS if made.replies.failed else EXIT_DONE


async def _in_view(config: MakeConfig) -> Made:
    console = standard_error()
    made = Made()
    made.replies.say = lambda line: console.print(line, soft_wrap=True)

    def stop() -> None:
        made.stop()
        console.print(
            f"stopping: {made.replies.in_flight} requests in flight end; Ctrl-C again stops at once"
        )

    on_interrupt(stop, is_stopping=lambda: made.replies.stopping)
    telling = asyncio.create_task(_tell(made, console))
    try:
        return await make(config, made)
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(made: Made, console: Terminal) -> None:
    while True:
        await asyncio.sleep(LINE_EVERY_S)
        ran = sum(made.counts.programs.values())
        line = f"{made.counts.problems:,} problems · {ran:,} programs run" if ran else describe(made.replies)
        console.print(line, soft_wrap=True)


def _report(config: MakeConfig, made: Made, console: Terminal) -> None:
    counts, replies = made.counts, made.replies
    if config.has_model:
        failed = f", {replies.failed:,} failed: the same command asks them again" if replies.failed else ""
        console.print(f"{replies.kept + replies.answered:,} of {replies.total:,} problems answered{failed}")
        tokens = f"{replies.prompt_tokens:,} tokens read, {replies.completion_tokens:,} written"
        console.print(f"{tokens}{cost(replies)}")
    if not made.written:
        console.print(f"interrupted: what has arrived is kept in {config.output}.parts")
        console.print("run the same command again to resume")
        return
    console.print(f"{counts.programs.total():,} programs run: {_listed(counts.programs)}")
    if counts.survived:
        console.print(f"{counts.survived:,} mistakes dropped that no test finds")
    if made.unread:
        console.print(f"{made.unread:,} replies dropped that are cut or hold no program")
    for line in made.complaints:
        console.print(line)
    console.print(f"operators: {_listed(made.operators)}")
    console.print(f"splits: {_listed(made.splits)}")
    console.print(f"{config.output}: {counts.examples:,} programs, half of them correct")


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(
        f"{count:,} {name}" for name, count in sorted(numbers.items(), key=lambda item: -item[1])
    )
