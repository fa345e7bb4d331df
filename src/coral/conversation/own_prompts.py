"""Prompts of the user's own, beside the system prompts: each a template in place of one of ours."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from coral import prompts
from coral.config import Options, option
from coral.errors import ConfigError
from coral.tasks import lettered
from coral.tasks.protocol import Task
from coral.types import Problem


@dataclass(frozen=True, kw_only=True)
class TemplatesConfig(Options):
    """Prompts in place of ours: each a text, or @FILE."""

    opening: str | None = option(None, decides=True)
    """How a problem is stated, to all agents. Filled with `opening` (the task's own statement), `question`
    and `choices`."""
    first_reply: str | None = option(None, decides=True)
    """In a pair, how the first reply comes to the agent that stated the problem. Filled with `opening` and
    `reply`."""
    extraction: str | None = option(None, decides=True)
    """What an extractor is asked. Filled with `question`, `reply` and `instruction`."""
    judge: str | None = option(None, decides=True)
    """What a judge is asked. Filled with `question`, `reference` and `answer`."""
    review: str | None = option(None, decides=True)
    """In self_refine, what the agent is asked after each of its turns. Filled with `instruction`, which
    stands below it where it is not placed."""
    second_chance: str | None = option(None, decides=True)
    """With `second_chance`, what an agent is asked whose reply submits no answer. Filled as `review`."""
    panel: str | None = option(None, decides=True)
    """In a panel, how each reply comes to the other members. Filled with `name` and `reply`."""


_VALUES = {
    "opening": ("opening", "question", "choices"),
    "first_reply": ("opening", "reply"),
    "extraction": ("question", "reply", "instruction"),
    "judge": ("question", "reference", "answer"),
    "review": ("instruction",),
    "second_chance": ("instruction",),
    "panel": ("name", "reply"),
}
"""What each of them is filled with."""
_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "opening": (("opening", "question"),),
    "first_reply": (("opening",), ("reply",)),
    "extraction": (("reply",),),
    "judge": (("reference",), ("answer",)),
    "review": (),
    "second_chance": (),
    "panel": (("reply",),),
}
"""What each of them must name: of every group one."""


def own_prompts(config: TemplatesConfig) -> dict[str, str]:
    """The templates that are set, by name.

    Raises:
        ConfigError: a file cannot be read, or a template is broken, names what there is not, or lacks what it
            is there to say.
    """
    return {
        item.name: _template(item.name, getattr(config, item.name))
        for item in dataclasses.fields(config)
        if getattr(config, item.name) is not None
    }


def _template(name: str, given: str) -> str:
    where = f"--templates.{name}"
    text = prompts.text_or_file(given, where)
    if not text.strip():
        raise ConfigError(f"{where} is empty", remedy="give a text, or leave it out")
    for group in _NEEDED[name]:
        if not _naming(where, text, group):
            raise ConfigError(
                f"{where} does not name {' or '.join(group)}",
                remedy=f"put {{{{ {group[0]} }}}} where it belongs; it may use {', '.join(_VALUES[name])}",
            )
    try:
        prompts.render(text, **dict.fromkeys(_VALUES[name], "x"))
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", remedy=error.remedy) from None
    return text


def _naming(where: str, text: str, values: tuple[str, ...]) -> bool:
    try:
        return prompts.names_any(text, values)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}", remedy=error.remedy) from None


_OF_PROTOCOLS = {
    "first_reply": ("the protocol {} frames no first reply", "leave it out"),
    "review": ("the protocol {} asks for no review", "leave it out, or add --protocol self_refine"),
    "second_chance": (
        "this run gives no second chance ({})",
        "leave it out, or add --protocol cot --second_chance true",
    ),
    "panel": ("the protocol {} is not a panel", "leave it out, or add --protocol panel"),
}
"""What protocols say, and why one of them does not."""


def for_protocol(
    own: Mapping[str, str], said: Collection[str], protocol: str, instruction: str
) -> dict[str, str]:
    """Those that a protocol says itself, as it says them.

    Args:
        said: the names of what it says.
        instruction: the task's, which stands below a prompt that asks for an answer and does not place it.

    Raises:
        ConfigError: one is set that it does not say.
    """
    for name, (cause, remedy) in _OF_PROTOCOLS.items():
        if name in own and name not in said:
            raise ConfigError(f"--templates.{name}: {cause.format(protocol)}", remedy=remedy)
    found = {name: text for name, text in own.items() if name in said}
    for name in found.keys() & {"review", "second_chance"}:
        found[name] = prompts.render(prompts.instructed(found[name]), instruction=instruction)
    return found


def stated(template: str, task: Task, problem: Problem) -> str:
    """A problem as it is stated: as its task does, or by a template around that."""
    opening = task.opening(problem)
    if not template:
        return opening
    choices = lettered.listing(problem.choices)
    return prompts.render(template, opening=opening, question=problem.question, choices=choices)


def refuse_whole_problem(template: str, task: Task, problem: Problem, seats: Mapping[str, str]) -> None:
    """Refuse an opening that tells every seat the whole problem, where the task tells each its part.

    Raises:
        ConfigError: it would.
    """
    split = any(task.briefing(problem, seat) for seat in seats)
    if template and split and prompts.names_any(template, ("question", "choices")):
        raise ConfigError(
            "--templates.opening would tell all agents the whole problem, of which each is to know a part",
            remedy="use {{ opening }} alone: what the task states to all",
        )
