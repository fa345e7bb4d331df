"""`coral chat TASK`: a person talks with a model about one problem after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse
from coral.cli.report import print_estimate, print_summary
from coral.cli.session import in_view
from coral.config import option
from coral.conversation import protocols
from coral.conversation.protocols import PAIR
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate
from coral.evaluation.measure import save_summary, score
from coral.models.config import HUMAN
from coral.store.folder import RunFolder

ABOUT = (
    "Talk with a model about the problems of a task, from one of the two seats. You see what a model in your "
    "seat would see. What is said is stored as any conversation; the same command resumes."
)


@dataclass(frozen=True, kw_only=True)
class ChatConfig(EvalConfig):
    """All options of a chat: those of an evaluation, with a person as the partner."""

    seat: Literal["opener", "responder"] = option("responder", decides=False)
    """The person's seat. responder: speaks first. opener: answers to what the model says first."""

    def __post_init__(self) -> None:
        """Seat the person.

        Raises:
            ConfigError: somebody else sits there, or names the option and what it may be.
        """
        if self.partner.get("model", HUMAN) != HUMAN:
            raise ConfigError(
                "the partner is you", remedy="name the model you talk with: --agent MODEL, without --partner"
            )
        if protocols.name_of(protocols.normal(self.protocol)) != PAIR:
            raise ConfigError("a chat is between two", remedy="leave --protocol out")
        object.__setattr__(self, "partner", {**self.partner, "model": HUMAN})
        object.__setattr__(self, "opener", "partner" if self.seat == "opener" else "agent")
        super().__post_init__()


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    config = parse(ChatConfig, arguments, command="coral chat TASK", about=ABOUT, positional="task.name")
    if config.dry_run:
        print_estimate(config, estimate(config))
        return EXIT_DONE
    held = run_in_loop(in_view(config))
    summary = held.summary
    if summary is None and held.finished:  # of the problems so far
        folder = RunFolder(held.path)
        summary = run_in_loop(score(folder, prices=config.prices, regrade=False))
        save_summary(folder, summary)
    if summary is not None:
        print_summary(summary, held.path)
    return EXIT_DONE
