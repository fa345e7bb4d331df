"""What a run is going to do, known before the first request."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from coral import prompts
from coral.conversation import examples, protocols
from coral.conversation.extraction import BLOCK_TOKENS, answers_are_blocks, template_for
from coral.conversation.own_prompts import for_protocol, own_prompts, refuse_whole_problem, stated
from coral.conversation.protocols import ConversationProtocol
from coral.errors import ConfigError, DataError, UserError
from coral.evaluation.config import AgentConfig, EvalConfig, ExtractorConfig
from coral.evaluation.problem_list import load_ids
from coral.store.disk_list import DiskList, store_problems
from coral.store.folder import RunFolder
from coral.store.prompts import RunPrompts
from coral.store.shards import Shard
from coral.tasks import boundary, registry, sources
from coral.tasks.judged import JudgedTask, rules_of, with_verdicts
from coral.tasks.protocol import Source, Task
from coral.types import Message, Problem


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A task, its problems, and how they are talked about.

    Attributes:
        name: of the task, by which the registry finds it again.
        fingerprint: of the data as read.
        systems: the rendered system prompt of each agent.
        extraction: the template that asks a model for a belief.
        second_look: the template of an extractor's second request; empty where its mode has none.
        probe: what seats are asked off the record; empty where they are not.
        judge: the template that asks a model for a grade; empty where none is asked.
        opening: the template by which problems are stated; empty: as the task does.
        examples: few-shot examples by agent, where they are shown as turns.
    """

    name: str
    task: Task
    source: Source
    problems: DiskList
    fingerprint: str
    protocol: ConversationProtocol
    systems: dict[str, str]
    extraction: str
    second_look: str
    probe: str
    judge: str = ""
    opening: str = ""
    examples: dict[str, tuple[Message, ...]] = field(default_factory=dict)

    def stated(self, problem: Problem) -> str:
        """A problem as its agents are told it."""
        return stated(self.opening, self.task, problem)

    @property
    def task_settings(self) -> dict[str, Any]:
        """The task's name and all of its options, defaults included."""
        task = rules_of(self.task)
        if ":" in self.name:
            return registry.described(task)
        options: dict[str, Any] = {}
        if dataclasses.is_dataclass(task) and not isinstance(task, type):
            options = dataclasses.asdict(task)
        return {"name": task.info.name, **options}

    @property
    def prompts_fingerprint(self) -> str:
        """Identifies all prompts of the run."""
        return prompts.fingerprint(*self.run_prompts.texts)

    @property
    def run_prompts(self) -> RunPrompts:
        """All prompts of the run, as the run folder keeps them."""
        return RunPrompts(
            systems=self.systems,
            extraction=self.extraction,
            protocol=dict(self.protocol.prompts),
            second_look=self.second_look,
            probe=self.probe,
            judge=self.judge,
            opening=self.opening,
            examples=self.examples,
        )

    @contextmanager
    def judged_in(self, folder: RunFolder) -> Iterator[Plan]:
        """The plan with a task that knows, and keeps, the verdicts of the judge in a run folder."""
        task = with_verdicts(self.task, folder)
        try:
            yield dataclasses.replace(self, task=task)
        finally:
            if isinstance(task, JudgedTask):
                task.verdicts.close()

    def same_problems(self, split: str) -> bool:
        """Whether another split names exactly the problems of this run's (as `all` and the default may)."""
        other = dataclasses.replace(self.source, split=split)
        try:
            pairs = zip_longest(*(boundary.problems(self.task, one) for one in (self.source, other)))
            return all(a is not None and b is not None and a.id == b.id for a, b in pairs)
        except UserError:
            return False

    def pending(
        self, finished: AbstractSet[str], samples: int, shard: Shard | None = None
    ) -> tuple[array[int], int]:
        """Which conversations are to be held, as `problem index * samples + sample`, and how many there are
        with the finished ones: of the whole run, or of one of its shards.

        Samples of one problem stand together: they share a prompt, which servers keep.
        """
        pending = array("Q")
        indices = self._dealt(shard) if shard else range(len(self.problems))
        for index in indices:
            problem = self.problems[index]
            for sample in range(samples):
                if f"{problem.id}#{sample}" not in finished:
                    pending.append(index * samples + sample)
        return pending, len(indices) * samples

    def _dealt(self, shard: Shard) -> list[int]:
        """The problems of a shard, dealt by their rank: a larger `limit` deals no problem anew."""
        ranked = self.problems.ranked(self.source.seed)
        return sorted(ranked[shard.index :: shard.count])


def with_room(options: ExtractorConfig, told: Mapping[str, Any], task: Task) -> ExtractorConfig:
    """An extractor's options with room for a whole program where answers are programs.

    Args:
        told: what the user set.
    """
    if "max_tokens" in told or not answers_are_blocks(task):
        return options
    return dataclasses.replace(options, max_tokens=BLOCK_TOKENS)


@contextmanager
def open_plan(config: EvalConfig, task: Task | None = None) -> Iterator[Plan]:
    """Read the task, its problems and the prompts.

    Args:
        task: in place of the one that the options name.

    Raises:
        UserError: no such task, data, split or prompt, or a bad record.
    """
    task = with_verdicts(
        registry.checked(task) if task else registry.load(config.task_name, **config.task_options)
    )
    source = Source(
        data=config.data,
        split=config.split or "",
        seed=config.problem_seed,
        split_seed=config.split_seed,
        password=config.data_password,
    )
    fingerprint = sources.fingerprint(source, task.info) or getattr(rules_of(task), "fingerprint", "")
    own = own_prompts(config.templates)
    protocol = _protocol(config, task, own)
    systems, shown = _told(config, task)
    problems = store_problems(
        _graded(_wanted(task, source, config), config), limit=config.limit, seed=config.problem_seed
    )
    try:
        for name, agent in config.participants().items():
            if agent.examples is not None:
                examples.refuse_leaks(_examples(name, agent), problems, f"--{name}.examples")
        refuse_whole_problem(own.get("opening", ""), task, problems[0], protocol.speakers)
        yield Plan(
            name=config.task_name,
            task=task,
            source=source,
            problems=problems,
            fingerprint=fingerprint,
            protocol=protocol,
            systems=systems,
            extraction=own.get("extraction") or template_for(task),
            second_look=prompts.builtin("second_look") if config.extractor_config().mode == "hybrid" else "",
            probe=prompts.render(prompts.builtin("probe"), instruction=task.instruction)
            if config.probe
            else "",
            judge=(own.get("judge") or prompts.builtin("judge")) if config.judge_config() else "",
            opening=own.get("opening", ""),
            examples=shown,
        )
    finally:
        problems.close()


NEEDS_GOLD = frozenset({"right", "wrong", "random"})
"""Control partners whose stance is made of the gold answer."""


def _graded(problems: Iterator[Problem], config: EvalConfig) -> Iterator[Problem]:
    """The problems; refused where a control partner needs a gold answer and one has none."""
    kinds = {agent.control for agent in config.participants().values()}
    needing = sorted(kind for kind in kinds if kind in NEEDS_GOLD)
    for problem in problems:
        if needing and not problem.target:
            raise ConfigError(
                f"problem {problem.id} has no gold answer, and the control partner '{needing[0]}' needs one",
                remedy="take data with answers, or the control partners echo and unsure",
            )
        yield problem


def _protocol(config: EvalConfig, task: Task, own: Mapping[str, str]) -> ConversationProtocol:
    """The protocol of a run, with what it says in place of our words."""
    plain = protocols.build(config.protocol_name, config.settings(task.instruction))
    further = getattr(type(plain), "further_prompts", ())  # plug-ins need not name any
    said = for_protocol(own, {*plain.prompts, *further}, config.protocol_name, task.instruction)
    return protocols.build(config.protocol_name, config.settings(task.instruction, said)) if said else plain


def _told(config: EvalConfig, task: Task) -> tuple[dict[str, str], dict[str, tuple[Message, ...]]]:
    """The system prompt of each agent, and the examples that it is shown as turns."""
    library = prompts.load_library(config.prompt_library) if config.prompt_library else {}
    systems, shown = {}, {}
    for name, agent in config.participants().items():
        systems[name] = _system_prompt(name, agent, config, task, library)
        if agent.examples is None:
            continue
        if agent.examples_as == "system":
            systems[name] = examples.within(systems[name], _examples(name, agent))
        else:
            shown[name] = _examples(name, agent)
    return systems, shown


def _examples(name: str, agent: AgentConfig) -> tuple[Message, ...]:
    return examples.load_examples(agent.examples or "", f"--{name}.examples")


def check_agents(config: EvalConfig, task: Task) -> None:
    """Build the protocol and the prompts of a run, without reading the data.

    Raises:
        UserError: the options do not fit the protocol, or a prompt cannot be used.
    """
    _protocol(config, task, own_prompts(config.templates))
    _told(config, task)


def _wanted(task: Task, source: Source, config: EvalConfig) -> Iterator[Problem]:
    """The task's problems; with `problems`, those of them that its file lists."""
    if config.problems is None:
        yield from boundary.problems(task, source)
        return
    missing = set(load_ids(config.problems))
    for problem in boundary.problems(task, source):
        if problem.id in missing:
            missing.discard(problem.id)
            yield problem
    if missing:
        raise DataError(
            f"{config.problems} lists {len(missing)} ids that the data do not hold, such as {min(missing)}",
            remedy="give the data, split, seed and task options that the ids come from",
        )


def _system_prompt(
    name: str, agent: AgentConfig, config: EvalConfig, task: Task, library: dict[str, str]
) -> str:
    """One of the user's own keeps the form of answers: the instruction stands below it."""
    if agent.system_prompt is None:
        template = prompts.choose(agent.prompt or protocols.kind(config.protocol_name).system_prompt, library)
    else:
        given = "agent" if agent.system_prompt == config.agent.system_prompt else name  # said once of both
        template = prompts.text_or_file(agent.system_prompt, f"--{given}.system_prompt")
        template = prompts.instructed(template) if template.strip() else template
    return prompts.render(
        template,
        instruction=task.instruction,
        task_specific_inst=task.instruction,
        task_name=task.info.title or task.info.name,
    )
