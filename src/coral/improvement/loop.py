"""The loop itself: which steps there are, and in which order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from coral.evaluation.config import EvalConfig, SampleConfig
from coral.improvement import arms
from coral.improvement.arms import EvalSpec, Part, Sight
from coral.improvement.config import GRPO, ImproveConfig
from coral.improvement.done import Drawn
from coral.improvement.servers import Checkpoint
from coral.rl.config import GrpoConfig
from coral.rows.build import BuildConfig
from coral.training.config import TrainConfig

START = "start"


def sampled_in(out: Path, data: str, iteration: int, model: str, part: Part) -> Path:
    """The folder of a sampling."""
    suffix = "-rehearsal" if part == "rehearsal" else ""
    return out / "samples" / f"{data}-{iteration}-{model}{suffix}"


class Executor(Protocol):
    """Does the steps, or only says what they would be; then numbers are None, as they are not known."""

    async def evaluate(self, spec: EvalSpec[EvalConfig]) -> None: ...

    async def sample(self, spec: EvalSpec[SampleConfig]) -> Drawn | None: ...

    async def build(self, config: BuildConfig) -> int | None: ...

    async def train(self, config: TrainConfig) -> None: ...

    async def learn(self, config: GrpoConfig) -> None: ...

    async def judge(self, arm: str, model: str, against: str, /) -> bool:
        """Whether a checkpoint is taken over."""
        ...

    def choose_problems(self, config: SampleConfig, iteration: int, /) -> Path | None:
        """The file of an iteration's problems; None for all."""
        ...


class Trained(NamedTuple):
    """A checkpoint of the loop.

    Attributes:
        came_from: the model that it was sampled from, and is compared with.
    """

    checkpoint: Checkpoint
    arm: str
    iteration: int
    came_from: str


class Loop:
    """One improvement: every arm, iteration by iteration."""

    def __init__(self, config: ImproveConfig, start: Checkpoint, out: Path, executor: Executor) -> None:
        self._config, self._start, self._out, self._doer = config, start, out, executor
        self._drawn: dict[tuple[int, Part], Drawn | None] = {}
        self._rows: dict[tuple[str, int], int | None] = {}
        self._finalists: list[Checkpoint] = []

    async def go_round(self) -> list[Trained]:
        """Every arm, one after the other; returns what was trained, in order.

        What no gate sees is measured of the start before anything is trained, so that no row comes of it, and
        of each arm's best model, and its last, when all is decided.
        """
        await self._measure(self._start)
        await self._measure_finally(self._start)
        trained = [one for arm in self._config.arms for one in await self._improve(arm)]
        for model in self._finalists:
            await self._measure_finally(model)
        return trained

    async def _improve(self, arm: str) -> list[Trained]:
        """All iterations of an arm. Each begins with the best model so far."""
        best, sampled, done = self._start, list[list[Path]](), list[Trained]()
        for iteration in range(1, self._config.iterations + 1):
            if arm.endswith(GRPO):
                new = await self._learn(arm, iteration, best)
            else:
                parts = arms.parts(self._config)
                sampled.append([await self._sample(arm, iteration, best, part) for part in parts])
                used = sampled if self._config.stack else sampled[-1:]
                new = await self._train(arm, iteration, best, [run for runs in used for run in runs])
            await self._measure(new)
            done.append(Trained(new, arm, iteration, best.name))
            if await self._doer.judge(arm, new.name, best.name):
                best = new
        self._finalists += [one for one in dict.fromkeys((best, new)) if one != self._start]
        return done

    async def _measure(self, model: Checkpoint) -> None:
        """All evaluations of a model that a gate may see."""
        for sight in arms.sights(self._config):
            await self._evaluate(model, sight)

    async def _measure_finally(self, model: Checkpoint) -> None:
        """The evaluation that none sees, where there is one."""
        if self._config.final:
            await self._evaluate(model, "final")

    async def _evaluate(self, model: Checkpoint, sight: Sight) -> None:
        output = self._folder(model.name) / sight
        await self._doer.evaluate(arms.evaluation(self._config, sight, model, self._start, output))

    async def _sample(self, arm: str, iteration: int, model: Checkpoint, part: Part) -> Path:
        """Sample for an arm. Arms with the same data, iteration and model share the run."""
        data = arm.partition("-")[0]
        output = sampled_in(self._out, data, iteration, model.name, part)
        plain = arms.sampling(self._config, part, data, iteration, model, self._start, output)
        spec = arms.sampling(
            self._config,
            part,
            data,
            iteration,
            model,
            self._start,
            output,
            problems=self._doer.choose_problems(plain.config, iteration) if part == "sample" else None,
            samples=self._budget(iteration, part, plain.config) if data == "alone" else None,
        )
        drawn = await self._doer.sample(spec)
        if arm == self._config.main_arm:
            self._drawn[iteration, part] = drawn
        return output

    def _budget(self, iteration: int, part: Part, config: SampleConfig) -> int | None:
        """Trees a problem that give a model alone as many candidates as the pair had."""
        drawn = self._drawn.get((iteration, part))
        if drawn is None or not drawn.problems:
            return None
        return max(1, math.ceil(drawn.candidates / drawn.problems / config.candidates))

    async def _train(self, arm: str, iteration: int, model: Checkpoint, runs: Sequence[Path]) -> Checkpoint:
        """Build rows of an arm's runs and train on them."""
        data, _, kind = arm.partition("-")
        name = f"{arm}-{iteration}"
        rows, output = self._folder(name) / "rows", self._folder(name) / "train"
        self._rows[arm, iteration] = await self._doer.build(
            arms.building(
                self._config,
                arm,
                runs,
                rows,
                evaluations=self._evaluations(),
                max_rows=self._most_rows(kind, iteration) if data == "alone" else None,
            )
        )
        await self._doer.train(
            arms.training(
                self._config,
                arm,
                iteration,
                start=self._start,
                current=model,
                rows=rows,
                output=output,
            )
        )
        return Checkpoint(name, str(output))

    async def _learn(self, arm: str, iteration: int, model: Checkpoint) -> Checkpoint:
        """Train on conversations that are held meanwhile, about the problems that other arms sample."""
        name = f"{arm}-{iteration}"
        output, data = self._folder(name) / "train", arm.partition("-")[0]
        plain = arms.sampling(self._config, "sample", data, iteration, model, self._start, output)
        learning = arms.learning(
            self._config,
            arm,
            iteration,
            start=self._start,
            current=model,
            problems=self._doer.choose_problems(plain.config, iteration),
            output=output,
        )
        await self._doer.learn(learning)
        return Checkpoint(name, str(output))

    def _evaluations(self) -> list[Path]:
        """Runs whose problems no row may come of."""
        held_out: tuple[Sight, ...] = ("final",) if self._config.final else ()
        return [self._folder(START) / sight for sight in (*arms.sights(self._config), *held_out)]

    def _most_rows(self, kind: str, iteration: int) -> int | None:
        """As many rows as the pair's arm of that kind has; as the main arm where there is none."""
        same_kind = (f"pair-{kind}", iteration)
        return self._rows.get(same_kind, self._rows.get((self._config.main_arm, iteration)))

    def _folder(self, model: str) -> Path:
        return self._out / "models" / model
