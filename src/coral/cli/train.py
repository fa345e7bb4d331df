"""`coral train sft|dpo|kto`: train a model on rows, or resume a training.

`coral train grpo` is in `grpo.py`: it trains on conversations, not on rows.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text

from coral.cli import EXIT_INTERRUPTED
from coral.cli.options import parse, take_name
from coral.cli.signals import save_and_stop
from coral.cli.terminal import Terminal
from coral.training.config import TrainConfig
from coral.training.libraries import process_rank

if TYPE_CHECKING:
    from coral.training.check import Check, ShownReply
    from coral.training.train import Prepared, TrainResult

ABOUT = "Train a model on the rows of `coral build`: sft, dpo or kto, with TRL. On conversations: `grpo`."
COLOURS = {"completion": "green", "chosen": "green", "rejected": "red"}
CONTEXT_SHOWN = 600
"""Characters of a shown row's context, from its end."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: an option, the model or the rows cannot be used, or the loss is no number any more.
    """
    name, flags = take_name(arguments)
    if name == "grpo":
        from coral.cli import grpo

        return grpo.run(flags)
    if name:
        flags = [*flags, "--kind", name]
    config = parse(TrainConfig, flags, command="coral train sft|dpo|kto", about=ABOUT)
    console = Terminal(soft_wrap=True)
    if config.backend == "fairseq2":
        return _write_fairseq2(config, console)
    return _train(config, console)


def _write_fairseq2(config: TrainConfig, console: Terminal) -> int:
    from coral.training.train import write_fairseq2

    written, script = write_fairseq2(config)
    console.print(f"wrote {written} and {script}; nothing was run")
    console.print(f"where fairseq2 0.4 is installed: sbatch {script}")
    return 0


def _train(config: TrainConfig, console: Terminal) -> int:
    from coral.training.train import train
    from coral.training.trainer import Watch

    stop = threading.Event()
    watch = Watch(on_log=lambda *line: _print_log(console, *line), stopping=stop.is_set)
    alone = process_rank()[1] == 1  # of several, one that stopped by itself would leave the others waiting
    with save_and_stop(stop, console, catch=alone and not config.dry_run):
        result = train(config, watch=watch, on_check=lambda prepared: _print_check(console, config, prepared))
    if config.dry_run or process_rank()[0]:
        return 0
    return _print_result(console, result)


def _print_check(console: Terminal, config: TrainConfig, prepared: Prepared) -> None:
    for reply in prepared.data.train.shown:
        console.print(_marked(reply, colours=console.is_terminal))
    _print_counts(console, "rows", prepared.data.train)
    if prepared.data.held_out is not None:
        _print_counts(console, "held-out rows", prepared.data.held_out)
    plan = prepared.plan
    console.print(
        f"{plan.steps} steps of {config.batch_size} rows ({plan.processes} device(s) x "
        f"{plan.device_batch_size} rows x {plan.accumulation} accumulated), learning rate "
        f"{plan.learning_rate:g} after {plan.warmup_steps} steps of warm-up"
    )


def _marked(reply: ShownReply, *, colours: bool) -> Text:
    """A row as text: its context dim, what is trained in colour, or in brackets where there is none."""
    context = reply.context
    if len(context) > CONTEXT_SHOWN:
        context = f"...{context[-CONTEXT_SHOWN:]}"
    trained = reply.trained if colours else f"[[{reply.trained}]]"
    return Text.assemble(
        (f"{reply.column} of {reply.row}, trained tokens marked:\n", "bold"),
        (context, "dim"),
        (trained, f"bold {COLOURS[reply.column]}"),
        "\n",
    )


def _print_counts(console: Terminal, what: str, check: Check) -> None:
    console.print(
        f"{len(check.kept)} {what}, {check.trained_tokens} of {check.all_tokens} tokens trained, longest "
        f"{check.longest} of {check.limit} tokens; {len(check.too_long)} too long and left out"
    )
    lost = {"pairs with two equal replies": check.equal, "rows with control tokens": check.controlled}
    for name, rows in lost.items():
        if rows:
            console.print(f"left out: {len(rows)} {name}, such as {rows[0]}")


def _print_log(console: Terminal, step: int, steps: int, values: Mapping[str, float]) -> None:
    shown = {
        name: value
        for name, value in values.items()
        if name.removeprefix("eval_")
        in {
            "loss",
            "train_loss",
            "rewards/accuracies",
            "rewards/margins",
            "mean_token_accuracy",
            "learning_rate",
        }
    }
    if shown:
        figures = "  ".join(f"{name} {value:.4g}" for name, value in shown.items())
        console.print(f"step {step}/{steps}  {figures}")


def _print_result(console: Terminal, result: TrainResult) -> int:
    training = result.training
    if training is None:
        console.print(f"interrupted: a checkpoint is kept in {result.path}; the same command resumes from it")
        return EXIT_INTERRUPTED
    if result.prepared is None:
        console.print(f"{result.path} is finished: {training.steps} steps")
        return 0
    path = result.path
    since = f" since step {training.resumed_from}" if training.resumed_from else ""
    console.print(
        f"trained {training.steps} steps in {training.seconds:.0f} s{since} on {training.device}: {path}"
    )
    console.print(f"evaluate it: coral serve {path}")
    return 0
