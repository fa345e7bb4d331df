"""A run as the source of rows: its conversations, its task, and the prompts its speakers saw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from coral import prompts
from coral.conversation import protocols
from coral.conversation.messages import Told
from coral.conversation.protocols import ConversationProtocol
from coral.conversation.sight import ProblemPool, Sight
from coral.errors import RunFolderError
from coral.store.folder import RunFolder
from coral.store.prompts import RunPrompts, load_prompts
from coral.tasks import registry
from coral.tasks.protocol import Task
from coral.types import Conversation, Message


@dataclass(frozen=True)
class SpeakerPrompt:
    """What decides how a speaker is addressed.

    Attributes:
        examples: few-shot examples that it was shown as turns.
        sight: what it was shown of the others' turns; None: everything.
        control: it is a control partner: nobody learns to speak like it.
    """

    system: str
    system_in_user: bool
    examples: tuple[Message, ...] = ()
    sight: Sight | None = None
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class SampledRun:
    """A run to make rows of.

    Attributes:
        name: tells the runs of one build apart; part of every row's lineage.
        identity: what the run was made with (`run.json`).
        protocol: by which the conversations were held.
        speaker_prompts: by the speaker's name.
    """

    name: str
    folder: RunFolder
    identity: Mapping[str, Any]
    task: Task
    protocol: ConversationProtocol
    speaker_prompts: Mapping[str, SpeakerPrompt]

    @property
    def task_name(self) -> str:
        return self.task.info.name

    def conversations(self) -> Iterator[Conversation]:
        """Stream the conversations.

        Raises:
            RunFolderError: a stored line is damaged.
        """
        return self.folder.conversations()

    def prompt(self, conversation: Conversation, index: int) -> tuple[Message, ...]:
        """The messages that the speaker of turn `index` (from 0) answered: made as the conversation loop
        makes them.
        """
        seat = conversation.turns[index].seat
        speaker_prompt = self.speaker_prompts[conversation.speakers[seat].name]
        told = Told(
            system=speaker_prompt.system,
            opening=conversation.opening,
            briefing=self.task.briefing(conversation.problem, seat),
            system_in_user=speaker_prompt.system_in_user,
            examples=speaker_prompt.examples,
        )
        before = conversation.turns[:index]
        sight = speaker_prompt.sight
        shown = before if sight is None else sight.of(before, seat, conversation.problem)
        return self.protocol.messages(seat, told, shown)

    def learnable(self, conversation: Conversation, index: int) -> bool:
        """Whether turn `index` is a model's own: not a control partner's."""
        name = conversation.speakers[conversation.turns[index].seat].name
        return not self.speaker_prompts[name].control


def problem_key(run: SampledRun, conversation: Conversation) -> str:
    """Names a problem across runs: its task and id."""
    return f"{run.task_name}/{conversation.problem.id}"


def open_run(path: str | Path, name: str, *, unfinished: bool = False) -> SampledRun:
    """Open a run folder to make rows of it.

    Args:
        unfinished: take what is there of a run that is not finished.

    Raises:
        UserError: there is no run; it is not finished; its prompts cannot be made again; its task is unknown.
    """
    folder = RunFolder(path)
    identity = folder.identity()
    if not unfinished and not (folder.path / "summary.json").is_file():
        raise RunFolderError(
            f"{folder.path} is not finished",
            remedy="run the command that made it again to resume, or take what is there with --unfinished",
        )
    told = load_prompts(folder)
    _check(told, folder, identity)
    task = registry.task_of(folder)
    no_system_role = {made.model for made in folder.adjustments() if made.setting == "system"}
    return SampledRun(
        name=name,
        folder=folder,
        identity=identity,
        task=task,
        protocol=protocols.stored(identity, told.protocol),
        speaker_prompts={
            who: replace(
                _speaker_prompt(system, identity.get(who, {}), no_system_role, task),
                examples=told.examples.get(who, ()),
            )
            for who, system in told.systems.items()
        },
    )


def _speaker_prompt(
    system: str, options: Mapping[str, Any], no_system_role: AbstractSet[str], task: Task
) -> SpeakerPrompt:
    """How a speaker was addressed: as the options say, or as its model turned out to take it.

    Raises:
        RunFolderError: it was shown words that are not kept.
    """
    shown = options.get("sees", "everything")
    if shown == "unrelated":
        raise RunFolderError(
            "a speaker of this run was shown unrelated reasons, which a run does not keep",
            remedy="make rows of a run without --agent.sees unrelated",
        )
    return SpeakerPrompt(
        system,
        bool(options.get("system_in_user")) or options.get("model") in no_system_role,
        sight=None if shown == "everything" else Sight(shown=shown, task=task, others=ProblemPool(tuple)),
        control="control" in options,
    )


def open_runs(paths: list[str], *, unfinished: bool = False) -> list[SampledRun]:
    """Open several runs, each named after its folder; those that share a name are numbered.

    Raises:
        UserError: as `open_run`; or the same folder is named twice.
    """
    resolved = [Path(path).resolve() for path in paths]
    twice = [path.name for path in resolved if resolved.count(path) > 1]
    if twice:
        raise RunFolderError(f"the run {twice[0]} is named twice", remedy="name each run once")
    runs: list[SampledRun] = []
    for path, whole in zip(paths, resolved, strict=True):
        taken = {run.name for run in runs}
        names = (whole.name, *(f"{whole.name}-{number}" for number in range(2, len(paths) + 2)))
        runs.append(open_run(path, next(name for name in names if name not in taken), unfinished=unfinished))
    return runs


def _check(told: RunPrompts, folder: RunFolder, identity: Mapping[str, Any]) -> None:
    """Rows must hold the prompts of the run, to the letter."""
    if prompts.fingerprint(*told.texts) != identity["prompts"]:
        raise RunFolderError(
            f"{folder.path / 'prompts.json'} does not hold the prompts that the run was made with",
            remedy="run the command that made it again: for a finished run it sends nothing, and writes them",
        )
