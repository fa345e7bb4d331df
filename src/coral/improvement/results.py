"""What came of an improvement: read from its folders, so that a report can be made again at any time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.comparison.compare import CHANGES
from coral.errors import RunFolderError
from coral.evaluation.measure import tally_run
from coral.improvement.arms import Sight, parts, sights
from coral.improvement.collapse import StyleStatistics, style_of
from coral.improvement.config import GRPO, ImproveConfig
from coral.improvement.done import Done, load_done
from coral.improvement.gate import Verdict
from coral.improvement.loop import START, Trained, sampled_in
from coral.metrics import Comparison, Summary, Tally, compare
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of
from coral.training.record import Training, load_training
from coral.types import Record

HEADLINE: dict[Sight, str] = {
    "pair": "agreement_correctness",
    "alone": "accuracy_strict",
    "second": "agreement_correctness",
    "final": "agreement_correctness",
}
"""The figure of each way to evaluate. Alone, what cannot be read is wrong: a pair pays for it, too."""
JUDGED: dict[Sight, str] = {
    "pair": "agreement_correctness_strict",
    "alone": "accuracy_strict",
    "second": "agreement_correctness_strict",
    "final": "agreement_correctness_strict",
}
"""What a gate compares: a checkpoint gains nothing by conversations that fail or have no grade."""
SOCIAL = (
    "agreement",
    "turns",
    "persuasion",
    "correct_persuasion",
    "persuasion_success_rate",
    "assertiveness",
    "correct_assertion",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
)
"""What is compared of the pair's conversations before and after."""


class Provenance(Record, frozen=True, omit_defaults=False):
    """How a checkpoint was made.

    Attributes:
        sampled: the run that its rows were built of; None where conversations were held while it trained.
        rows: trained on; of grpo, trajectories.
        seconds: of each step (sample, build, train), in the session that finished it. A run that arms share
            is counted with each.
        rehearsed: the second run that its rows were built of; None where there is none.
    """

    arm: str
    iteration: int
    came_from: str
    sampled: Summary | None
    rows: int
    training: Training
    verdict: Verdict
    seconds: dict[str, float]
    rehearsed: Summary | None = None


class ModelResult(Record, frozen=True, omit_defaults=False):
    """A model and its evaluations.

    Attributes:
        made: None of the starting model.
        measured: the evaluation's summary, by sight; `final` of the start, the best and the last of each arm.
        since_start: headline against the starting model, paired, by sight.
        social: other figures of the pair against the starting model's.
    """

    name: str
    path: str
    made: Provenance | None
    measured: dict[Sight, Summary]
    since_start: dict[Sight, Comparison]
    social: dict[str, Comparison]
    style: StyleStatistics
    seconds: dict[str, float]


REPORT = "report.json"
"""The file of the results, in the loop's folder."""


class Results(Record, frozen=True, omit_defaults=False):
    """All of an improvement.

    Attributes:
        models: the starting model first, then the checkpoints in the order of training.
        head_to_head: the last checkpoint of the main arm against that of each control, by control and sight.
    """

    task: str
    second_task: str | None
    main_arm: str
    models: tuple[ModelResult, ...]
    head_to_head: dict[str, dict[str, Comparison]]


class ResultCache:
    """Reads what the steps left; each run is read once."""

    def __init__(self, config: ImproveConfig, out: Path) -> None:
        self._config, self._out = config, out
        self._tallies: dict[tuple[str, Sight], Tally] = {}

    async def tally(self, model: str, sight: Sight) -> Tally:
        """An evaluation, for comparisons."""
        if (model, sight) not in self._tallies:
            folder = RunFolder(self._out / "models" / model / sight)
            self._tallies[model, sight] = await tally_run(folder, task_of(folder))
        return self._tallies[model, sight]

    async def compare(self, a: str, b: str, sight: Sight, metric: str | None = None) -> Comparison:
        """Model b against model a, paired by problem; on the headline unless a metric is named."""
        name = HEADLINE[sight] if metric is None else metric
        return compare(await self.tally(a, sight), await self.tally(b, sight), name)

    def style(self, model: str) -> StyleStatistics:
        """How the pair's conversations go."""
        return style_of(RunFolder(self._out / "models" / model / "pair").conversations())

    async def results(self, trained: Sequence[Trained]) -> Results:
        """Everything."""
        async with workers.in_use():
            start = await self._model(START, None)
            models = [await self._model(one.checkpoint.name, one) for one in trained]
            head_to_head = await self._rivals(trained)
        second = self._config.second
        return Results(
            task=start.measured["pair"].task,
            second_task=_described(start.measured["second"].task, second) if second else None,
            main_arm=self._config.main_arm,
            models=(start, *models),
            head_to_head=head_to_head,
        )

    async def _model(self, name: str, trained: Trained | None) -> ModelResult:
        folder = self._out / "models" / name
        used = sights(self._config)
        if self._final(name):
            used = (*used, "final")
        social = {one: await self.compare(START, name, "pair", one) for one in (*CHANGES, *SOCIAL)}
        return ModelResult(
            name=name,
            path=trained.checkpoint.path if trained else self._config.model,
            made=self._provenance(trained) if trained else None,
            measured={sight: _summary(folder / sight) for sight in used},
            since_start={sight: await self.compare(START, name, sight) for sight in used},
            social=social,
            style=self.style(name),
            seconds={sight: _done(folder / sight).seconds for sight in used},
        )

    def _provenance(self, trained: Trained) -> Provenance:
        folder = self._out / "models" / trained.checkpoint.name
        data = trained.arm.partition("-")[0]
        sampled = [
            sampled_in(self._out, data, trained.iteration, trained.came_from, part)
            for part in parts(self._config)
            if not trained.arm.endswith(GRPO)
        ]
        training = load_training(folder / "train")
        assert training is not None, "a checkpoint of the loop is trained"
        verdict = load_verdict(folder)
        assert verdict is not None, "and judged"
        built = [folder / "rows"] if sampled else []
        steps = {"sample": sampled, "build": built, "train": [folder / "train"]}
        return Provenance(
            arm=trained.arm,
            iteration=trained.iteration,
            came_from=trained.came_from,
            sampled=_summary(sampled[0]) if sampled else None,
            rows=training.rows.trained,
            training=training,
            verdict=verdict,
            seconds={step: sum(_done(path).seconds for path in paths) for step, paths in steps.items()},
            rehearsed=_summary(sampled[1]) if sampled[1:] else None,
        )

    async def _rivals(self, trained: Sequence[Trained]) -> dict[str, dict[str, Comparison]]:
        last = {one.arm: one.checkpoint.name for one in trained}
        main = last.pop(self._config.main_arm)
        head_to_head: dict[str, dict[str, Comparison]] = {}
        for arm, name in last.items():
            used = sights(self._config)
            if self._final(name) and self._final(main):
                used = (*used, "final")
            head_to_head[arm] = {sight: await self.compare(name, main, sight) for sight in used}
        return head_to_head

    def _final(self, model: str) -> bool:
        """Whether a model was measured on problems that no gate saw."""
        return bool(self._config.final) and load_done(self._out / "models" / model / "final") is not None


def _described(task: str, options: Mapping[str, Any]) -> str:
    """The second task's name, with the options of the task that make it another one than the first."""
    own = options.get("task", {})
    changed = [f"{name} {own[name]}" for name in own if name != "name"] if isinstance(own, Mapping) else []
    return ", ".join((task, *changed))


def load_verdict(folder: Path) -> Verdict | None:
    """The gate's verdict about the model of a folder, None where there is none yet.

    Raises:
        RunFolderError: it cannot be read.
    """
    path = folder / "gate.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Verdict)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise RunFolderError(f"{path} is damaged: {error}", remedy="delete it to judge again") from None


def _summary(folder: Path) -> Summary:
    path = folder / "summary.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Summary)
    except (OSError, msgspec.DecodeError) as error:
        raise RunFolderError(f"cannot read {path}: {error}", remedy=f"coral score {folder}") from None


def _done(folder: Path) -> Done:
    done = load_done(folder)
    assert done is not None, "the loop has gone through this step"
    return done
