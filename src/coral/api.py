"""The Python API: every option of the command line under the same name."""

from __future__ import annotations

import asyncio
import dataclasses
import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from coral.agents.function import Function
from coral.agents.open import Objects
from coral.conversation.own_prompts import TemplatesConfig
from coral.conversation.own_reader import ReaderFunction, is_reader
from coral.display import notebook
from coral.errors import ConfigError
from coral.evaluation.config import AgentConfig, EvalConfig, SampleConfig, SampledAgentConfig, agent_config
from coral.evaluation.estimate import CostEstimate
from coral.evaluation.estimate import estimate as _estimate
from coral.evaluation.given import Given, refuse_running_loop
from coral.evaluation.measure import save_summary
from coral.evaluation.measure import score as _score
from coral.evaluation.processes import run as _run
from coral.evaluation.progress import Progress
from coral.evaluation.run import Run, StoredRun
from coral.evaluation.watch import Watch
from coral.improvement.config import ImproveConfig
from coral.improvement.improve import improve as _improve
from coral.improvement.results import Results
from coral.keywords import BuildOptions, EvaluateOptions, SampleOptions
from coral.metrics import Summary
from coral.metrics.own import MetricFunction
from coral.models.config import ModelConfig
from coral.models.protocol import Model
from coral.options import build_config, in_a_section, load_yaml_file, read_words, types_of
from coral.plugins import kind_of
from coral.rows.build import BuildConfig
from coral.rows.build import build as _build
from coral.rows.report import Report
from coral.serving.launch import LaunchConfig
from coral.store.folder import RunFolder
from coral.tasks import registry
from coral.tasks.protocol import Task

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in `typing` from Python 3.11 on

TaskLike = str | Mapping[str, Any] | Task
"""A task's name, its name and options, or a `Task` object."""
Agent = str | Mapping[str, Any] | AgentConfig | Model | Function
"""A model's name, options, a `Model`, or an (async) function from messages to the reply's text."""
Extractor = Agent | ReaderFunction | type
"""A model as any agent; or an (async) function of a turn's text and its problem, or a class of such."""


def evaluate(
    task: TaskLike,
    *,
    agent: Agent | None = None,
    partner: Agent | None = None,
    agents: Sequence[Agent] = (),
    extractor: Extractor | None = None,
    metrics: Sequence[str | MetricFunction] = (),
    **options: Unpack[EvaluateOptions],
) -> Run:
    """Let agents converse over a task, and measure how well they reason together.

    The same call again resumes a run that was stopped, or returns the finished one.

    Args:
        task: the task's name, a mapping of `name` and the task's own options, or a `Task` object.
        agent: a model's name, a mapping of the options of `--agent.*` (whose `model` may be an object), a
            `Model` object, or an (async) function from messages to text; by default the embedded model.
        partner: the second agent; like `agent` where not set.
        agents: all agents of a protocol with several.
        extractor: how beliefs are extracted: a model, or a function of a turn's text and its problem. A
            function or object that speaks is read by rules alone unless this says otherwise.
        metrics: further ones: functions of a trace, `module:function`, or names that packages add.
        options: everything else that `coral eval --help` lists, such as `data`, `limit`, `protocol`.

    Returns:
        The run: its folder, its summary, and its conversations as a stream.

    Raises:
        UserError: an option, the data or the run folder cannot be used; `remedy` says what to do.
        FatalReject: the server refuses every request.
        ConfigError: called inside a running event loop: await `evaluate_async` there.
    """
    refuse_running_loop("evaluate_async")
    return asyncio.run(
        evaluate_async(
            task,
            agent=agent,
            partner=partner,
            agents=agents,
            extractor=extractor,
            metrics=metrics,
            **options,
        )
    )


async def evaluate_async(
    task: TaskLike,
    *,
    agent: Agent | None = None,
    partner: Agent | None = None,
    agents: Sequence[Agent] = (),
    extractor: Extractor | None = None,
    metrics: Sequence[str | MetricFunction] = (),
    progress: Progress | None = None,
    **options: Unpack[EvaluateOptions],
) -> Run:
    """`evaluate` for callers that have an event loop, such as a notebook, where a bar shows how far it is.

    Args:
        task: as in `evaluate`; likewise the others.
        progress: counters to watch, and the switch to interrupt the run; with it there is no bar.
    """
    given = Given()
    own = {"agents": agents, "extractor": extractor, "metrics": metrics}
    config = _config(EvalConfig, AgentConfig, task, agent, partner, {**options, **own}, given)
    return await _in_view(config, progress, given)


def sample(
    task: TaskLike,
    *,
    agent: Agent | None = None,
    partner: Agent | None = None,
    agents: Sequence[Agent] = (),
    extractor: Extractor | None = None,
    metrics: Sequence[str | MetricFunction] = (),
    **options: Unpack[SampleOptions],
) -> Run:
    """Sample conversations for training: several candidates per turn, one continues, the others are stored.

    The same call again resumes a run that was stopped, or returns the finished one.

    Args:
        task: as in `evaluate`; likewise `agent` and `partner`.
        options: everything else that `coral sample --help` lists, such as `candidates`, `select`, `rollouts`.

    Returns:
        The run: its folder, its summary (with `candidates`), and its conversations as a stream.

    Raises:
        UserError: an option, the data or the run folder cannot be used; `remedy` says what to do.
        FatalReject: the server refuses every request.
        ConfigError: called inside a running event loop: await `sample_async` there.
    """
    refuse_running_loop("sample_async")
    return asyncio.run(
        sample_async(
            task,
            agent=agent,
            partner=partner,
            agents=agents,
            extractor=extractor,
            metrics=metrics,
            **options,
        )
    )


async def sample_async(
    task: TaskLike,
    *,
    agent: Agent | None = None,
    partner: Agent | None = None,
    agents: Sequence[Agent] = (),
    extractor: Extractor | None = None,
    metrics: Sequence[str | MetricFunction] = (),
    progress: Progress | None = None,
    **options: Unpack[SampleOptions],
) -> Run:
    """`sample` for callers that have an event loop, such as a notebook.

    Args:
        task: as in `sample`; likewise the others.
        progress: counters to watch, and the switch to interrupt the run; with it there is no bar.
    """
    given = Given()
    own = {"agents": agents, "extractor": extractor, "metrics": metrics}
    config = _config(SampleConfig, SampledAgentConfig, task, agent, partner, {**options, **own}, given)
    return await _in_view(config, progress, given)


async def _in_view(config: EvalConfig, progress: Progress | None, given: Given) -> Run:
    """A job, with a bar where it runs in a notebook and the caller watches nothing."""
    if progress is not None:
        return await _run(config, progress, given)
    progress = Progress()
    async with notebook.shown(progress, protocol=config.protocol_name):
        return await _run(config, progress, given)


def improve(options: str | Path | Mapping[str, Any], *, watch: Watch | None = None) -> Results | None:
    """Improve a model by its own conversations, and write a report: `coral improve --config FILE`.

    The same call again resumes where it stopped, or returns what came of a finished one.

    Args:
        options: a YAML file of options, or a mapping of them; docs/improve.md explains them.
        watch: told every step; can stop the loop.

    Returns:
        What came of it; None where `watch` stopped it.

    Raises:
        UserError: an option, the data or a folder cannot be used, a server or a training failed.
        ConfigError: called inside a running event loop: await `improve_async` there.
    """
    refuse_running_loop("improve_async")
    return asyncio.run(improve_async(options, watch=watch))


async def improve_async(
    options: str | Path | Mapping[str, Any], *, watch: Watch | None = None
) -> Results | None:
    """`improve` for callers that have an event loop, such as a notebook."""
    if not isinstance(options, Mapping):
        options = load_yaml_file(options)
    config = build_config(ImproveConfig, read_words(options, types_of(ImproveConfig)), "improve")
    if config.dry_run:
        raise ConfigError(
            "dry_run makes no run", remedy="`coral improve --config FILE --dry_run` says the steps"
        )
    return await _improve(config, watch)


C = TypeVar("C", bound=EvalConfig)


def _config(
    kind: type[C],
    seat: type[AgentConfig],
    task: TaskLike,
    agent: Agent | None,
    partner: Agent | None,
    options: Mapping[str, Any],
    given: Given,
) -> C:
    """The options of a job; what stands in them as an object is put into `given`, and named."""
    _refuse_unknown(kind, options)
    if options.get("dry_run"):
        raise ConfigError("dry_run makes no run", remedy="call coral.estimate with the same arguments")
    plain = {name: os.fspath(v) if isinstance(v, os.PathLike) else v for name, v in options.items()}
    serve = plain.pop("serve", {})
    plain["agents"] = tuple(_as_mapping(one, given.models) for one in plain["agents"])
    extractor, own = plain.pop("extractor"), plain.pop("templates", {})
    if extractor is not None and is_reader(extractor):
        extractor = {"function": given.named_reader(extractor)}
    return kind(
        serve=build_config(LaunchConfig, {"command": serve} if isinstance(serve, str) else serve, "serve"),
        templates=build_config(TemplatesConfig, own, "templates", remedy="docs/prompts.md explains them"),
        task=_named_task(task, given),
        agent=agent_config(_as_mapping(agent, given.models) if agent is not None else {}, seat),
        partner=_as_mapping(partner, given.models) if partner is not None else {},
        extractor=_as_mapping(extractor, given.models) if extractor is not None else {},
        **{**plain, "metrics": given.named_metrics(plain.get("metrics", ()))},
    )


def _named_task(task: TaskLike, given: Given) -> dict[str, Any]:
    if isinstance(task, str):
        return {"name": task}
    if isinstance(task, Mapping):
        return _judge_named(dict(task), task.get("judge"), given)
    given.task = task
    return _judge_named(registry.described(task), getattr(task, "judge", None), given)


def _judge_named(options: dict[str, Any], judge: Any, given: Given) -> dict[str, Any]:
    """The options of a task with its judge as a mapping, and by name where it is an object."""
    return {**options, "judge": _as_mapping(judge, given.models)} if judge else options


def _refuse_unknown(kind: type[Any], options: Mapping[str, Any]) -> None:
    known = {item.name for item in dataclasses.fields(kind)}
    for name, value in options.items():
        if name not in known:
            inside = [one.partition(".")[0] for one in in_a_section(name, types_of(kind))]
            near = [f"{section}={{'{name}': ...}}" for section in inside]
            near = near or difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}? " if near else ""
            raise ConfigError(f"no option {name}", remedy=f"{hint}Options: {', '.join(sorted(known))}")
        if name == "data" and not isinstance(value, str | os.PathLike | None):
            raise ConfigError(
                f"data is {kind_of(value)}, not a path",
                remedy="write it to a file, or yield its records from a function under @coral.task() and "
                "evaluate that: docs/own_data.md",
            )


def estimate(
    task: TaskLike,
    *,
    agent: Agent | None = None,
    partner: Agent | None = None,
    agents: Sequence[Agent] = (),
    extractor: Extractor | None = None,
    **options: Unpack[EvaluateOptions],
) -> CostEstimate:
    """What `evaluate` with the same arguments would send: problems, requests, tokens, money. Sends nothing.

    Raises:
        UserError: an option or the data cannot be used.
    """
    given = Given()
    own = {**options, "agents": agents, "extractor": extractor}
    return _estimate(_config(EvalConfig, AgentConfig, task, agent, partner, own, given), given.task)


def build(
    *runs: str | Path,
    output: str | Path,
    held_out: str | Path | Sequence[str | Path] = (),
    **options: Unpack[BuildOptions],
) -> Report:
    """Make training rows of stored runs, and write them with a report of how they were chosen.

    Args:
        runs: run folders.
        output: a new folder; nothing is overwritten.
        held_out: data, or run folders, whose problems must not be in the rows.
        options: everything else that `coral build --help` lists, such as `kind` or `score`.

    Returns:
        The report: rows, what each filter kept, duplicates, shared problems.

    Raises:
        UserError: an option, a run or the output cannot be used; no row is left; or the runs share problems
            with held-out data.
        ConfigError: called inside a running event loop: await `build_async` there.
    """
    refuse_running_loop("build_async")
    return asyncio.run(build_async(*runs, output=output, held_out=held_out, **options))


async def build_async(
    *runs: str | Path,
    output: str | Path,
    held_out: str | Path | Sequence[str | Path] = (),
    **options: Unpack[BuildOptions],
) -> Report:
    """`build` for callers that have an event loop, such as a notebook."""
    _refuse_unknown(BuildConfig, options)
    names = [held_out] if isinstance(held_out, str | os.PathLike) else held_out
    return await _build(
        BuildConfig(
            runs=[os.fspath(run) for run in runs],
            output=os.fspath(output),
            held_out=[os.fspath(name) for name in names],
            **options,
        )
    )


def score(
    path: str | Path,
    *,
    prices: str | Path | None = None,
    regrade: bool = False,
    task: Task | None = None,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> Summary:
    """Measure a stored run again, without a model, and write its `summary.json`.

    Args:
        path: the run folder.
        prices: prices (YAML) that are laid over the shipped ones.
        regrade: grade every stored answer anew.
        task: the run's, where it was handed in as an object and its class cannot be imported.
        metrics: as in `evaluate`; by default those of the run.

    Raises:
        UserError: the folder or the price table cannot be read, or the folder not be written.
    """
    refuse_running_loop("score_async")
    return asyncio.run(score_async(path, prices=prices, regrade=regrade, task=task, metrics=metrics))


async def score_async(
    path: str | Path,
    *,
    prices: str | Path | None = None,
    regrade: bool = False,
    task: Task | None = None,
    metrics: Sequence[str | MetricFunction] | None = None,
) -> Summary:
    """`score` for callers that have an event loop, such as a notebook."""
    folder, given = RunFolder(path), Given()
    own = None if metrics is None else given.own_metrics(given.named_metrics(metrics))
    summary = await _score(folder, prices=prices, regrade=regrade, task=task, own=own)
    save_summary(folder, summary)
    return summary


def load_run(path: str | Path) -> StoredRun:
    """A stored run, to read: its `conversations()`, `turns()`, `summary`, `plot()`.

    Raises:
        UserError: there is no run.
    """
    run = StoredRun(path)
    run.identity()
    return run


def _as_mapping(agent: Agent, objects: Objects) -> dict[str, Any]:
    if isinstance(agent, str):
        if not agent:  # of a variable that is not set: the tiny model would take its place
            raise ConfigError("an agent's name is empty", remedy="give a name, or leave it out")
        return {"model": agent}
    if isinstance(agent, ModelConfig):
        return {item.name: getattr(agent, item.name) for item in dataclasses.fields(agent)}
    if isinstance(agent, Mapping):
        return objects.named(agent)
    return {"model": objects.add(agent)}
