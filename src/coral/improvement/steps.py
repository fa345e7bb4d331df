"""The steps of the loop, each done once: a folder with `step.json` is complete and is not touched again.

A step that was stopped resumes by the means of its own job: runs have journals, trainings have checkpoints.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from coral.config import dump_yaml
from coral.errors import Interrupted, UserError
from coral.evaluation import processes
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.evaluation.watch import Watch
from coral.improvement.arms import EvalSpec, Sight
from coral.improvement.collapse import signs_of_collapse
from coral.improvement.config import ImproveConfig
from coral.improvement.done import MARK, Done, Drawn, load_done, write_record, write_text
from coral.improvement.gate import judge, seen, told
from coral.improvement.loop import START
from coral.improvement.problems import write_problems
from coral.improvement.results import JUDGED, ResultCache, load_verdict
from coral.improvement.servers import Servers
from coral.metrics import Comparison, Summary
from coral.rl.config import GrpoConfig, stored
from coral.rows.build import BuildConfig, build
from coral.rows.report import Report
from coral.serving.launch import fill, run_supervised, tail
from coral.trackers.figures import heads_of
from coral.trackers.report import Report as Tracking
from coral.training.config import TrainConfig
from coral.training.record import load_training

C = TypeVar("C", bound=EvalConfig)


class Steps:
    """Does the steps."""

    def __init__(
        self,
        config: ImproveConfig,
        out: Path,
        cache: ResultCache,
        watch: Watch,
        servers: Servers,
        tracking: Tracking,
    ) -> None:
        self._config, self._out, self._book, self._watch = config, out, cache, watch
        self._servers, self._tracking, self._told = servers, tracking, 0

    async def evaluate(self, spec: EvalSpec[EvalConfig]) -> None:
        """Evaluate."""
        await self._run("evaluate", spec)

    async def sample(self, spec: EvalSpec[SampleConfig]) -> Drawn | None:
        """Sample; returns what was drawn."""
        done = await self._run("sample", spec)
        return Drawn(done.candidates or 0, done.problems or 0)

    async def build(self, config: BuildConfig) -> int | None:
        """Build rows; returns their number."""

        async def work() -> Done:
            written = Path(config.output) / "report.json"
            if written.is_file():  # complete, but the process ended before it was marked
                report = msgspec.json.decode(written.read_bytes(), type=Report)
            else:
                report = await build(config)
            return Done(step="build", seconds=0.0, rows=report.rows)

        return (await self._once(Path(config.output), work)).rows

    async def train(self, config: TrainConfig) -> None:
        """Train in a process of its own: what it holds of memory and devices goes with it. No server has any
        of them meanwhile.
        """
        folder = Path(config.output)

        async def work() -> Done:
            options = folder.with_name("train.yaml")
            write_text(options, dump_yaml(msgspec.to_builtins(config)))
            await self._servers.free()
            launch = self._config.launch or ("{python}", "-m", "coral", "train", "--config", "{config}")
            await self._train(folder, options, launch)
            return Done(step="train", seconds=0.0)

        await self._once(folder, work)

    async def learn(self, config: GrpoConfig) -> None:
        """Train on conversations held meanwhile, in a process of its own."""
        folder = Path(config.output)

        async def work() -> Done:
            options = folder.with_name("grpo.yaml")
            write_text(options, dump_yaml(stored(config)))
            await self._servers.free()
            await self._train(
                folder, options, ("{python}", "-m", "coral", "train", "grpo", "--config", "{config}")
            )
            return Done(step="train", seconds=0.0)

        await self._once(folder, work)

    def choose_problems(self, config: SampleConfig, iteration: int) -> Path | None:
        """Write the ids of an iteration's problems; None for all."""
        return write_problems(self._config, config, self._out, iteration)

    async def judge(self, arm: str, model: str, against: str) -> bool:
        """Judge a checkpoint, and keep the verdict."""
        folder = self._out / "models" / model
        verdict = load_verdict(folder)
        if verdict is None:
            sight: Sight = "alone" if arm.startswith("alone") else "pair"
            verdict = judge(
                self._config.gate,
                model=model,
                against=against,
                target=await self._judged(against, model, sight),
                second=await self._judged(against, model, "second") if self._config.second else None,
                signs=signs_of_collapse(self._book.style(START), self._book.style(model), self._config.signs),
            )
            write_record(folder / "gate.json", verdict)
        taken = "taken over" if verdict.accepted else "not taken over"
        self._watch.say(
            f"{model} against {against}: {told(verdict.target)}; {taken} (so many problems show a difference "
            f"of {seen(verdict.target)} in 8 of 10 cases)"
        )
        return verdict.accepted

    async def _judged(self, against: str, model: str, sight: Sight) -> Comparison:
        return await self._book.compare(against, model, sight, JUDGED[sight])

    async def _run(self, step: str, spec: EvalSpec[C]) -> Done:
        """Evaluate or sample, with the models served meanwhile."""
        config = spec.config

        async def work() -> Done:
            places = await self._servers.at(spec.checkpoints)
            run = await processes.run(spec.at(places), self._watch.follow(config.protocol_name))
            if run.summary is None:
                raise Interrupted("the loop was stopped")
            _check_failures(run.summary, config)
            self._told += 1
            self._tracking.log(self._told, heads_of({Path(str(config.output)).name: run.summary}))
            drawn = run.summary.candidates
            return Done(
                step=step,
                seconds=0.0,
                problems=run.summary.problems,
                candidates=drawn.drawn if drawn else None,
            )

        return await self._once(Path(str(config.output)), work)

    async def _once(self, folder: Path, work: Callable[[], Awaitable[Done]]) -> Done:
        """Do a step unless it is done, and mark it."""
        done = load_done(folder)
        if done is not None:
            return done
        if self._watch.stop.is_set():
            raise Interrupted("the loop was stopped")
        name = folder.relative_to(self._out)
        self._watch.say(f"{name} ...")
        started = time.monotonic()
        done = msgspec.structs.replace(await work(), seconds=round(time.monotonic() - started, 2))
        write_record(folder / MARK, done)
        self._watch.say(f"{name}: done in {done.seconds:.1f} s")
        return done

    async def _train(self, folder: Path, options: Path, launch: Sequence[str]) -> None:
        names = {"config": str(options), "python": sys.executable}
        log = folder.with_name("train.log")
        training = asyncio.create_task(run_supervised([fill(part, names) for part in launch], log))
        stopping = asyncio.create_task(self._watch.stop.wait())
        try:
            await asyncio.wait({training, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not training.done():
                raise Interrupted("the loop was stopped")
        finally:
            for task in (training, stopping):
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        code = training.result()
        if code or load_training(folder) is None:
            raise UserError(
                f"the training ended with {code}:\n{tail(log)}", remedy=f"all it wrote is in {log}"
            )


def _check_failures(summary: Summary, config: EvalConfig) -> None:
    """Nothing is built on a step of which much is missing.

    Raises:
        UserError: too many conversations failed.
    """
    failed = summary.stop_reasons.get("failed", 0)
    if failed > config.max_failed_rate * summary.conversations:
        raise UserError(
            f"{failed} of {summary.conversations} conversations of {config.output} failed",
            remedy="fix what `coral show` says of them; the same command runs them again, or accepts them "
            "with a higher common.max_failed_rate",
        )
