"""`coral import`: conversations of the published code become a run, scored and compared as ours are."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from coral import prompts, workers
from coral.conversation.protocols import PAIR, SINGLE
from coral.conversation.protocols.base import unanimous
from coral.errors import DataError, Notice, RunFolderError, UserError
from coral.evaluation.measure import measure_run, save_summary
from coral.exchange.published import Beliefs, OutputFolder, Read, Said, task_in
from coral.metrics import Summary, load_prices
from coral.store.folder import RunFolder
from coral.store.prompts import RunPrompts, save_prompts
from coral.tasks import boundary, registry
from coral.tasks.protocol import Source, Task
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Belief,
    Conversation,
    Extraction,
    Failure,
    FinishReason,
    Parent,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
    Usage,
)
from coral.version import version

SPEAKERS = {RESPONDER: "partner", OPENER: "agent"}
"""Their teacher answers first, their student states the problem."""
ADDED = ("init_prompt", "teacher_inst", "student_inst", "cot_inst")
"""What that code adds to a record of the data set."""


@dataclass(frozen=True, kw_only=True)
class Importing:
    """How to import.

    Attributes:
        task: None: by the fields of the first record.
        beliefs: read: from the texts, by the task's rules. keep: as the published code extracted them.
        model: the model's name, which the outputs do not hold.
        max_turns: the limit; None: the most that any conversation shows.
    """

    source: Path
    output: Path
    task: str | None = None
    beliefs: Beliefs = "read"
    model: str = "unknown"
    max_turns: int | None = None
    skip_damaged: bool = False


async def import_run(config: Importing) -> Summary:
    """Import an output folder of the published code into a new run folder.

    Raises:
        UserError: a file cannot be read or is not of that code, or the output exists or cannot be written.
    """
    if config.output.exists():
        raise RunFolderError(f"{config.output} exists", remedy="choose another --output")
    there = OutputFolder.open(config.source)
    first, counted, limit = _survey(there, config)
    name = config.task or task_in(first.line.metadata)
    if name is None:
        fields = ", ".join(sorted(first.line.metadata)[:12])
        raise DataError(
            f"{first.place}: no task has records with the fields {fields}", remedy="name one with --task"
        )
    task = registry.load(name)
    protocol = SINGLE if limit == 1 else PAIR
    told = _prompts(first.line.metadata, protocol)
    folder = RunFolder(config.output)
    identity = _identity(config, there, task, protocol, told, limit)
    maker = _Maker(config, task, protocol)
    for read in there.lines(skip_damaged=config.skip_damaged):
        maker.problem(read)  # what cannot be read is told before there is a folder
    async with workers.in_use():
        with folder.claim(identity, {"import": str(config.source)}):
            save_prompts(folder, told)
            folder.plan(counted)
            for read in there.lines(skip_damaged=config.skip_damaged):
                folder.append(await maker.conversation(read))
        maker.tell()
        summary = await measure_run(folder, task, prices=load_prices())
    save_summary(folder, summary)
    return summary


def _survey(there: OutputFolder, config: Importing) -> tuple[Read, int, int]:
    """The first conversation, how many there are, and the limit of turns. Every line is read."""
    first, counted, limit = None, 0, 1
    for read in there.lines(skip_damaged=config.skip_damaged, quiet=False):
        first = first or read
        counted += 1
        late = [int(value) for key, value in read.line.metrics.items()
                if key.endswith("n_turns_to_success") and isinstance(value, int | float)]  # fmt: skip
        limit = max(limit, len(read.line.conv_result) - 1, *late)
    if first is None:
        raise DataError(f"'{there.path}' holds no conversation", remedy="name another folder")
    return first, counted, config.max_turns or limit


def _prompts(metadata: Mapping[str, Any], protocol: str) -> RunPrompts:
    """The system prompts as the records hold them; what each of ours says itself."""
    agent, partner = (str(metadata.get(key) or "") for key in ("student_inst", "teacher_inst"))
    if protocol == SINGLE:
        return RunPrompts(systems={"agent": partner}, extraction="", protocol={})
    return RunPrompts(
        systems={"agent": agent, "partner": partner},
        extraction="",
        protocol={"first_reply": prompts.builtin("first_reply")},
    )


def _identity(
    config: Importing, there: OutputFolder, task: Task, protocol: str, told: RunPrompts, limit: int
) -> dict[str, Any]:
    digest = hashlib.sha256()
    for file in there.files:
        digest.update(file.read_bytes())
    agents = ("agent",) if protocol == SINGLE else ("agent", "partner")
    return {
        "schema": SCHEMA,
        "version": version(),
        "task": {"name": task.info.name},
        "split": "",
        "data_sha256": digest.hexdigest(),
        "prompts": prompts.fingerprint(*told.texts),
        "protocol": protocol,
        **({"max_turns": limit, "opener": "agent"} if protocol == PAIR else {}),
        **{name: {"model": config.model} for name in agents},
        "extractor": {"mode": "rules"},
        "seed": 0,
        "imported": {
            "from": there.path.name,
            "format": "collaborative-reasoner",
            "files": [file.name for file in there.files],
            "beliefs": config.beliefs,
        },
    }


@dataclass
class _Maker:
    """Makes conversations of lines, one after the other."""

    config: Importing
    task: Task
    protocol: str
    _samples: Counter[str] = field(default_factory=Counter)
    _problems: dict[bytes, Problem] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)
    _cut: int = 0

    async def conversation(self, read: Read) -> Conversation:
        """One conversation. It ends at the first turn whose request failed: what follows answers an error."""
        opening, *said = read.line.conv_result
        problem = self.problem(read)
        turns: list[Turn] = []
        failure = None
        for number, one in enumerate(said, 1):
            seat = OPENER if one.role == opening.role and self.protocol == PAIR else RESPONDER
            if not one.info.status_ok:
                failure = Failure(
                    where=f"turn {number} ({seat})", type="ModelError", message=str(one.info.error)
                )
                self._cut += number < len(said)
                break
            turns.append(await self._turn(one, seat, problem))
        sample = self._samples[problem.id]
        self._samples[problem.id] += 1
        return Conversation(
            schema=SCHEMA,
            id=f"{problem.id}#{sample}",
            problem=problem,
            speakers=self._speakers(),
            opening=opening.content,
            turns=tuple(turns),
            stop=StopReason.FAILED if failure else await self._stop(turns, problem),
            seed=0,
            started_at=read.started_at,
            seconds=0.0,
            failure=failure,
            parent=Parent(conversation=read.place, turns=0, change="imported from the published code"),
        )

    def tell(self) -> None:
        """Say what was cut."""
        if self._cut:
            warnings.warn(
                f"{self._cut} conversations went on after a request that failed: they end there, as failed",
                Notice,
                stacklevel=2,
            )

    def _speakers(self) -> dict[str, Speaker]:
        if self.protocol == SINGLE:
            return {RESPONDER: Speaker(name="agent", model=self.config.model)}
        return {seat: Speaker(name=name, model=self.config.model) for seat, name in SPEAKERS.items()}

    def problem(self, read: Read) -> Problem:
        """The problem of a line, as the task reads its record; each is read once.

        Raises:
            DataError: the task cannot read it, or two records are called alike.
        """
        record = {key: value for key, value in read.line.metadata.items() if key not in ADDED}
        text = msgspec.json.encode(record)
        key = hashlib.sha256(text).digest()
        if key not in self._problems:
            problem = _problem_of(text, self.task, read.place)
            if problem.id in self._ids:
                raise DataError(
                    f"{read.place}: another record is called {problem.id}, too", remedy="give each its own id"
                )
            self._ids.add(problem.id)
            self._problems[key] = problem
        return self._problems[key]

    async def _turn(self, said: Said, seat: str, problem: Problem) -> Turn:
        candidates = [said, *(one for one in said.info.siblings if one.info.status_ok)]
        told = said.info.usage
        usage = None
        if told is not None:
            usage = Usage(prompt_tokens=told.prompt_tokens, completion_tokens=told.completion_tokens)
        alone = not said.info.siblings
        replies = [await self._reply(one, problem, usage if alone else None) for one in candidates]
        return Turn(
            seat=seat, replies=tuple(replies), usage=None if alone else usage, attempts=0 if alone else 1
        )

    async def _reply(self, said: Said, problem: Problem, usage: Usage | None) -> Reply:
        belief, by = self._belief(said, problem)
        correct = False if isinstance(belief, Unsure) else None
        if isinstance(belief, Answered):
            correct = await boundary.grade(self.task, belief.value, problem)
        return Reply(
            text=said.content,
            belief=belief,
            correct=correct,
            finish_reason=FinishReason.UNKNOWN,
            extraction=by,
            usage=usage,
        )

    def _belief(self, said: Said, problem: Problem) -> tuple[Belief, Extraction]:
        if self.config.beliefs == "read":
            return boundary.read(self.task, said.content, problem), Extraction(by="rules")
        return _kept(said.info.extracted_answer, self.task, problem), Extraction(
            by="model", text=said.info.extractor_words
        )

    async def _stop(self, turns: list[Turn], problem: Problem) -> StopReason:
        if self.protocol == PAIR and turns:
            same = lambda a, b: boundary.same(self.task, a, b, problem)  # noqa: E731
            if await unanimous(turns, tuple(SPEAKERS), same):
                return StopReason.AGREED
        return StopReason.MAX_TURNS


def _kept(extracted: str | None, task: Task, problem: Problem) -> Belief:
    """The published code's extraction as a belief: an error and an empty text are none."""
    if extracted is None or not extracted.strip():
        return Unreadable("the published code extracted nothing")
    if extracted == "not sure yet":
        return Unsure()
    if extracted.startswith("Error"):
        return Unreadable(extracted)
    bare = extracted.removeprefix("The answer is ").removesuffix(".")
    found = boundary.parse(task, bare, problem)
    return found if isinstance(found, Answered) else boundary.read(task, extracted, problem)


def _problem_of(record: bytes, task: Task, place: str) -> Problem:
    """What the task makes of one record of its data set.

    Raises:
        DataError: it is not one.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.jsonl"
        file.write_bytes(record + b"\n")
        try:
            problems = list(_all(task, file))
        except UserError as error:
            told = str(error).replace(str(file), place)
            raise DataError(
                f"{place}: the task {task.info.name} cannot read the record: {told}",
                remedy="give another --task",
            ) from None
    if len(problems) != 1:
        raise DataError(f"{place}: the record holds no problem", remedy="give another --task")
    return problems[0]


def _all(task: Task, file: Path) -> Iterator[Problem]:
    """Of all splits that may be there: a file by this name is of none."""
    return task.problems(Source(data=str(file), split=""))
