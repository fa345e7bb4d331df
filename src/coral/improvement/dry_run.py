"""`--dry_run`: every step of the loop with its full options, checked and said, not done."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from coral.cluster.pool import place_of
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.evaluation.identity import stored
from coral.evaluation.plan import Plan, open_plan
from coral.improvement.arms import EvalSpec
from coral.improvement.config import ImproveConfig
from coral.improvement.done import Drawn
from coral.improvement.pools import pool_config
from coral.improvement.problems import file_of
from coral.improvement.servers import filled_in, places
from coral.metrics import detectable_in_points, detectable_with
from coral.rl.config import GrpoConfig
from coral.rows.build import BuildConfig
from coral.rows.problem_statistics import HeldOut, is_for_evaluation
from coral.serving.launch import fill
from coral.training.config import TrainConfig
from coral.training.libraries import require_libraries

Say = Callable[[str, object], None]
"""Told the name of a step and its options."""


class DryRun:
    """Goes through the loop and says its steps. Assumes that every checkpoint is taken over.

    What is bound to stop a later step is said now, not after a day: missing data, problems that would be both
    trained and evaluated on, and, before a loop that is to run (`in_earnest`), missing training libraries.
    """

    def __init__(self, config: ImproveConfig, out: Path, say: Say, *, in_earnest: bool = False) -> None:
        self._config, self._out, self._say, self._in_earnest = config, out, say, in_earnest
        self._read: set[str] = set()
        self._held_out = HeldOut()
        self._leak: str | None = None
        self._problems: dict[str, int] = {}

    async def evaluate(self, spec: EvalSpec[EvalConfig]) -> None:
        """Say it.

        Raises:
            ConfigError: problems that no gate may see are among those that it sees.
        """
        sight = Path(str(spec.config.output)).name
        for plan in self._new_data("final" if sight == "final" else "evaluate", spec.config):
            if sight == "final":
                _check_unseen(plan, self._held_out)
            self._problems[sight] = len(plan.problems)
            for problem in plan.problems:
                self._held_out.add(plan.task, problem)
        self._say_run("coral eval", spec)

    async def sample(self, spec: EvalSpec[SampleConfig]) -> Drawn | None:
        """Say it."""
        if spec.config.problems is None:
            self._note_leak(spec.config)
        self._say_run("coral sample", spec)
        return None

    async def build(self, config: BuildConfig) -> int | None:
        """Say it.

        Raises:
            ConfigError: it would refuse the problems that were sampled.
        """
        if config.shared == "stop" and self._leak:
            raise ConfigError(
                self._leak,
                remedy="sample and evaluate on different splits or problems, or leave shared ones out with "
                "build.shared drop",
            )
        shown = dataclasses.replace(config, data_password=None)
        self._say(self._named("coral build", config.output), shown)
        return None

    async def train(self, config: TrainConfig) -> None:
        """Say it.

        Raises:
            MissingExtra: it is to run here, and its libraries are not installed.
        """
        if self._in_earnest and not self._config.launch:
            require_libraries(config.reporters)
        self._say(self._named(f"coral train {config.kind}", config.output), config)
        if self._config.launch:
            names = {"config": str(Path(config.output).with_name("train.yaml")), "python": sys.executable}
            self._say("started by", " ".join(fill(part, names) for part in self._config.launch))

    async def learn(self, config: GrpoConfig) -> None:
        """Say it.

        Raises:
            ConfigError: it would train on problems that are evaluated on.
            MissingExtra: it is to run here, and its libraries are not installed.
        """
        if self._leak:
            raise ConfigError(
                self._leak, remedy="sample and evaluate on different splits or problems: grpo leaves none out"
            )
        if self._in_earnest:
            require_libraries(config.reporters)
        self._say(self._named("coral train grpo", config.output), config)

    async def judge(self, _arm: str, model: str, against: str) -> bool:
        """Say it."""
        self._say(f"gate: {model} against {against}", self._config.gate)
        for sight, problems in self._problems.items():
            if sight in {"pair", "second"}:
                points = detectable_in_points(detectable_with(problems))
                self._say(
                    f"what {problems:,} problems show ({sight})",
                    f"a difference of {points} points in 8 of 10 cases, if a third come out otherwise",
                )
        return True

    def choose_problems(self, config: SampleConfig, iteration: int) -> Path | None:
        """The file that would be written."""
        self._note_leak(config)
        return file_of(self._config, self._out, iteration)

    def _note_leak(self, config: SampleConfig) -> None:
        """Keep why no rows may be made of problems that are to be sampled."""
        for plan in self._new_data("sample", config):
            self._leak = self._leak or _leak_of(plan, self._held_out)

    def _say_run(self, command: str, spec: EvalSpec[EvalConfig] | EvalSpec[SampleConfig]) -> None:
        serve = self._config.serve
        if serve.kind == "command":
            for checkpoint in spec.checkpoints:
                names = filled_in(serve, checkpoint, "PORT")
                self._say("served by", " ".join(fill(word, names) for word in serve.words))
        folder = self._out / "loop"
        if serve.kind == "cluster":
            for checkpoint in spec.checkpoints:
                pool = pool_config(serve.pool, filled_in(serve, checkpoint), folder)
                self._say(f"served by {pool.replicas} replicas, each", place_of(pool).script())
        config = spec.at({one: places(serve, one, folder, 8000) for one in spec.checkpoints})
        config.partner_config(), config.extractor_config()
        self._say(self._named(command, config.output), stored(config))

    def _named(self, command: str, output: str | None) -> str:
        """The step's command and folder."""
        return f"{command}: {Path(str(output)).relative_to(self._out)}"

    def _new_data(self, step: str, config: EvalConfig) -> Iterator[Plan]:
        """The problems of a step and its prompts, unless they were read before."""
        agent = dataclasses.replace(config.agent, model="")
        seeds = config.problem_seed, config.split_seed
        key = repr(
            (
                step,
                config.task,
                config.data,
                config.split,
                *seeds,
                config.limit,
                config.problems,
                agent.prompt,
            )
        )
        if key not in self._read:
            self._read.add(key)
            with open_plan(config) as plan:
                yield plan


def _check_unseen(plan: Plan, seen: HeldOut) -> None:
    """Refuse a final evaluation on problems that a gate sees.

    Raises:
        ConfigError: there is one.
    """
    shared = [problem.id for problem in plan.problems if seen.find(plan.task, problem)]
    if shared:
        raise ConfigError(
            f"{len(shared)} of the {len(plan.problems)} problems of final are also seen by the gate, such as "
            f"{shared[0]}",
            remedy="give final a split, a data_seed or problems of its own",
        )


def _leak_of(plan: Plan, held_out: HeldOut) -> str | None:
    """Why no rows may be made of problems; None where nothing is against it."""
    split = plan.source.split or plan.task.info.splits[0]
    if is_for_evaluation(split):
        return f"conversations would be sampled on the split '{split}', which is meant for evaluation"
    shared = [problem.id for problem in plan.problems if held_out.find(plan.task, problem)]
    if not shared:
        return None
    return (
        f"{len(shared)} of {len(plan.problems)} problems to sample are also evaluated on, such as {shared[0]}"
    )
