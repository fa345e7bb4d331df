"""`coral train grpo`: train a model on conversations that it holds meanwhile, or resume."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

from rich.text import Text

from coral.cli import EXIT_INTERRUPTED
from coral.cli.options import parse
from coral.cli.signals import save_and_stop
from coral.cli.terminal import Terminal
from coral.rl.config import GrpoConfig
from coral.rl.rehearsal import shown
from coral.rl.train import GrpoResult, Prepared, train_grpo
from coral.training.trainer import Watch

ABOUT = "Train a model on conversations that it holds meanwhile: GRPO, with TRL."
SHOWN = ("reward", "reward_std", "agreement", "failed", "trained_share", "loss", "entropy", "learning_rate")


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        UserError: an option, the model or the data cannot be used, or conversations or loss come to nothing.
    """
    config = parse(GrpoConfig, arguments, command="coral train grpo", about=ABOUT)
    console = Terminal(soft_wrap=True)
    stop = threading.Event()
    watch = Watch(on_log=lambda *line: _print_log(console, *line), stopping=stop.is_set)
    with save_and_stop(stop, console, catch=not config.dry_run):
        result = train_grpo(
            config, watch=watch, on_check=lambda prepared: _print_check(console, config, prepared)
        )
    return 0 if config.dry_run else _print_result(console, result)


def _print_check(console: Terminal, config: GrpoConfig, prepared: Prepared) -> None:
    for trajectory in prepared.shown[: config.show_rows]:
        console.print(
            Text(f"a conversation as the {trajectory.seat} sees it, trained tokens marked:", "bold")
        )
        pieces = shown(trajectory, prepared.encoder)
        console.print(Text.assemble(*(_piece(text, trained, console) for text, trained in pieces)), "\n")
    plan = prepared.plan
    conversations = config.batch_size // config.seats_per_group
    console.print(
        f"{plan.steps} steps of {conversations} conversations in groups of {config.group_size}, "
        f"{config.batch_size} trajectories ({plan.device_batch_size} x {plan.accumulation} accumulated), "
        f"sampled by {'the embedded engine' if prepared.engine else 'transformers'}, "
        f"rewarded by {config.reward}"
    )


def _piece(text: str, trained: bool, console: Terminal) -> tuple[str, str]:
    if not trained:
        return text, "dim"
    return (text, "bold green") if console.is_terminal else (f"[[{text}]]", "")


def _print_log(console: Terminal, step: int, steps: int, values: Mapping[str, float]) -> None:
    figures = "  ".join(f"{name} {values[name]:.4g}" for name in SHOWN if name in values)
    if "reward" in values:
        console.print(f"step {step}/{steps}  {figures}")


def _print_result(console: Terminal, result: GrpoResult) -> int:
    training = result.training
    if training is None:
        console.print(f"interrupted: a checkpoint is kept in {result.path}; the same command resumes from it")
        return EXIT_INTERRUPTED
    if result.prepared is None:
        console.print(f"{result.path} is finished: {training.steps} steps")
        return 0
    since = f" since step {training.resumed_from}" if training.resumed_from else ""
    console.print(
        f"trained {training.steps} steps in {training.seconds:.0f} s{since} on {training.device}: "
        f"{result.path}"
    )
    console.print(f"evaluate it: coral eval TASK --agent.model {result.path}")
    return 0
