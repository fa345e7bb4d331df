"""`coral audit`: read a sample of replies again, by a second extractor and by people, blind to the first.

What the sample says that reading is off by is carried into the headline, and differences that reading alone
could produce are marked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.audits.people import most_say, read_people
from coral.audits.report import ArmAudit, AuditResults, as_markdown
from coral.audits.sample import Frame, Reading, arm_of, differences, frame_of
from coral.audits.sheet import Text, write_sheet
from coral.audits.statistics import Audited, Pair, agreement_of, headline, share_of
from coral.audits.verdicts import VerdictAuditor, digest
from coral.audits.watch import Allowance, asking
from coral.batches.model import is_sold
from coral.budget import Limits
from coral.comparison.compare import check_same_task
from coral.comparison.contrasts import Planned, parse_contrast
from coral.comparison.facts import RIGHT
from coral.config import ANY, COUNT, POSITIVE, Options, option
from coral.conversation.calls import Calls
from coral.conversation.extraction import Extractor, template_for
from coral.conversation.judging import JudgeConfig
from coral.conversation.own_reader import own_reader
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import ExtractorConfig, filled_up, reader_named
from coral.evaluation.plan import with_room
from coral.evaluation.progress import Progress
from coral.models.protocol import Candidate
from coral.models.together import all_of
from coral.options import section
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import SCHEMA, Answered, Belief, Extraction, Unreadable, Unsure, Usage
from coral.version import version

FIRST, SECOND, PEOPLE = "first reading", "second extractor", "people"


@dataclass(frozen=True, kw_only=True)
class AuditConfig(Options):
    """All options of an audit."""

    sample: int = option(200, decides=False, within=COUNT)
    """Conversations that are read again, of all runs together; may grow. Of each, the last reply of every
    seat."""
    extractor: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: ExtractorConfig))
    """The second extractor: a model's options, and `mode` (model unless set; rules asks nobody)."""
    judge: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: JudgeConfig))
    """A second judge of the answers that a judge graded: a model's options."""
    verdicts: str | None = option(None, decides=False)
    """The file verdicts.csv of an audit with people's verdicts, which are the truth of what was judged."""
    labels: str | None = option(None, decides=False)
    """The sheet of an audit with people's answers, or a folder with a sheet of each of them: what most say is
    the truth that the readings are held against."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides which conversations are drawn."""
    max_tokens_total: int | None = option(None, decides=False, within=COUNT)
    """Stop before the second extractor and judge have read and written more tokens than this, in all sessions
    together; the same command with a higher limit resumes."""
    max_cost: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before it has cost more USD than this, by the price table."""
    max_hours: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before this session has lasted longer."""
    prices: str | None = option(None, decides=False)
    """Price table (YAML) that overlays the shipped one."""
    max_connections: int = option(64, decides=False, within=COUNT)
    """Most requests in flight to the second extractor."""
    batch: bool = option(False, decides=False)
    """Ask a second extractor and judge of OpenAI or Anthropic by their batch APIs, at half the price: each of
    them in one batch, which may take up to 24 hours."""
    output: str | None = option(None, decides=False)
    """Folder of the audit; by default `audit` in the first run's or the study's."""

    def second(self) -> ExtractorConfig | None:
        """The second extractor's options; None where there is none.

        Raises:
            ConfigError: one is unknown, of the wrong type, or missing.
        """
        if not self.extractor:
            return None
        options = reader_named(self.extractor)
        mode = {"mode": "rules" if "function" in options else "model"}
        found = filled_up(ExtractorConfig(), {**mode, **options}, ExtractorConfig, "extractor")
        if found.mode != "rules" and not (found.model or found.is_placed):
            raise ConfigError("the second extractor has no model", remedy="give --extractor.model MODEL")
        return found

    def second_judge(self) -> JudgeConfig | None:
        """The second judge's options; None where there is none.

        Raises:
            ConfigError: one is unknown, of the wrong type, or missing.
        """
        if not self.judge:
            return None
        found = filled_up(JudgeConfig(), self.judge, JudgeConfig, "judge")
        if not found.model:
            raise ConfigError("the second judge has no model", remedy="give --judge.model MODEL")
        return found

    def check_batch(self) -> None:
        """Refuse batches where nobody who is asked is sold in them.

        Raises:
            ConfigError: says so.
        """
        second, judge = self.second(), self.second_judge()
        asked = [second if second is not None and second.mode != "rules" else None, judge]
        if self.batch and not any(is_sold(one) for one in asked if one is not None):
            raise ConfigError(
                "batch is set, and nobody who is asked here is sold in batches",
                remedy="leave it out, or name one of openai/ or anthropic/: --extractor.model, --judge.model",
            )


async def audit(paths: Sequence[str], config: AuditConfig, progress: Progress | None = None) -> AuditResults:
    """Draw the sample, read it again, and write the report.

    Args:
        progress: counters of the texts that are read again, and the switch to interrupt the audit.

    Raises:
        UserError: a folder, an option or the labels cannot be used, or the second extractor does not answer.
    """
    folders = runs_of(paths)
    for other in list(folders.values())[1:]:
        check_same_task(next(iter(folders.values())), other)
    out = folder_of(paths, config)
    config.check_batch()
    second, judge, progress = config.second(), config.second_judge(), progress or Progress()
    allowance = Allowance(Limits(config.max_tokens_total, config.max_cost, config.max_hours), config.prices)
    async with workers.in_use():
        frames = [await frame_of(name, folder) for name, folder in folders.items()]
        readings = await _drawn(frames, config)
        with _claimed(out, folders, config):
            texts = {one.text.key: one.text for one in readings}
            _write(lambda: write_sheet(out.path / "sheet.csv", texts.values(), frames[0].task), out)
            read = {FIRST: {one.text.key: one.first for one in readings}}
            extractions: list[Extraction] = []
            if second is not None:
                read[SECOND], extractions = await _read_again(
                    readings, second, out, config, progress, allowance
                )
            people: dict[str, dict[str, Belief]] = {}
            if config.labels is not None:
                people = read_people(config.labels, texts, frames[0].task)
                read[PEOPLE] = await most_say(people, texts, frames[0].task)
            planned = planned_in(paths)
            results = await _results(frames, readings, read, extractions, planned)
            results = await _with_people(results, readings, people)
            judges = VerdictAuditor(
                out, config.max_connections, config.batch, judge, config.verdicts, progress, allowance
            )
            verdicts = await judges.audit(frames, readings, planned)
            results = msgspec.structs.replace(results, verdicts=verdicts)
            _write(lambda: _save(results, out.path), out)
    return results


async def drawn_texts(paths: Sequence[str], config: AuditConfig) -> tuple[dict[str, Text], Task]:
    """Draw the sample, and write its sheet: the texts by key, for people to read.

    Raises:
        UserError: as `audit`.
    """
    folders, out = runs_of(paths), folder_of(paths, config)
    for other in list(folders.values())[1:]:
        check_same_task(next(iter(folders.values())), other)
    async with workers.in_use():
        frames = [await frame_of(name, folder) for name, folder in folders.items()]
        texts = {one.text.key: one.text for one in await _drawn(frames, config)}
    with _claimed(out, folders, config):
        _write(lambda: write_sheet(out.path / "sheet.csv", texts.values(), frames[0].task), out)
    return texts, frames[0].task


def folder_of(paths: Sequence[str], config: AuditConfig) -> RunFolder:
    """The folder of the audit."""
    return RunFolder(config.output or Path(paths[0]) / "audit")


def _claimed(
    out: RunFolder, folders: Mapping[str, RunFolder], config: AuditConfig
) -> AbstractContextManager[None]:
    """The folder, kept from other audits meanwhile."""
    identity = {
        "schema": SCHEMA, "version": version(), "audit": {"runs": list(folders), "seed": config.seed},
    }  # fmt: skip
    return out.claim(identity, _stored(config), free_while_empty=False)


def runs_of(paths: Sequence[str]) -> dict[str, RunFolder]:
    """The runs to audit by name: those given, or the arms of a study.

    Raises:
        ConfigError: there is none.
    """
    if not paths:
        raise ConfigError("no run folder given", remedy="coral audit RUN, or coral audit STUDY")
    arms = sorted(Path(paths[0], "arms").glob("*/run.json")) if len(paths) == 1 else []
    if arms:
        return {path.parent.name: RunFolder(path.parent) for path in arms}
    names = [Path(path).name or path for path in paths]
    labels = names if len(set(names)) == len(names) else list(paths)
    return {name: RunFolder(path) for name, path in zip(labels, paths, strict=True)}


def planned_in(paths: Sequence[str]) -> list[Planned]:
    """The contrasts by what is right that a study has planned; none of runs."""
    if len(paths) != 1 or not Path(paths[0], "arms").is_dir() or not Path(paths[0], "run.json").is_file():
        return []
    study = RunFolder(paths[0]).record().get("study", {})
    planned = [parse_contrast(text) for text in study.get("contrasts", ())]
    return [one for one in planned if one.metric == RIGHT]


async def _drawn(frames: Sequence[Frame], config: AuditConfig) -> list[Reading]:
    found = []
    for frame in frames:
        places = frame.sample(max(1, round(config.sample / len(frames))), config.seed)
        weights = dict(
            zip(places, arm_of(frame, places, [False] * len(places)).weights.tolist(), strict=True)
        )
        for place in places:
            conversation = frame.folder.conversation(frame.ids[place])
            assert conversation is not None
            for turn in frame.deciding(conversation):
                reply = conversation.turns[turn].reply
                text = Text(frame.name, conversation.id, turn, reply.text, conversation.problem)
                found.append(Reading(text, frame, weights[place], conversation, reply.belief))
    if not found:
        raise ConfigError("no reply could be read again", remedy="audit a run with finished conversations")
    return found


async def _read_again(
    readings: Sequence[Reading],
    options: ExtractorConfig,
    out: RunFolder,
    config: AuditConfig,
    progress: Progress,
    allowance: Allowance,
) -> tuple[dict[str, Belief], list[Extraction]]:
    """What the second extractor reads in each text that it answers about, and at what cost; what it has read
    is never asked for again.
    """
    task = readings[0].frame.task
    who, most = "the second extractor", config.max_connections
    async with asking(out, options, most, progress, who, batch=config.batch) as second:
        extractor = Extractor(
            mode=options.mode,
            task=task,
            sampling=with_room(options, config.extractor, task).sampling(),
            template=template_for(task),
            model=None if options.mode == "rules" else await second.models.open(options, "--extractor"),
            reader=own_reader(options.function) if options.function else None,
        )
        watch, asked = second.watch, digest(options)
        watch.budget = allowance.budget(extractor.model, watch)
        calls = {one.text.key: second.journal.of(one.text.key) for one in readings}
        readings = sorted(readings, key=lambda one: not calls[one.text.key].holds(asked))
        progress.total = len(readings)
        found = await all_of(
            _extract(extractor, one, watch.over(one.text.key, calls[one.text.key]), asked, progress)
            for one in readings  # what is there first: the limits count it
        )
    beliefs = {one.text.key: belief for one, (belief, _) in zip(readings, found, strict=True)}
    answered = {key: belief for key, belief in beliefs.items() if key not in watch.unanswered}
    return answered, [how for _, how in found]


async def _extract(
    extractor: Extractor, one: Reading, calls: Calls, asked: str, progress: Progress
) -> tuple[Belief, Extraction]:
    reply = one.conversation.turns[one.text.place].reply
    progress.in_flight += 1
    try:
        found = await extractor.extract(
            Candidate(text=reply.text, finish_reason=reply.finish_reason),
            one.conversation.problem,
            calls=calls,
            conversation_id=one.text.key,
            step=asked,
            seed="audit",
        )
    finally:
        progress.in_flight -= 1
    progress.done += 1
    return found


# Results ----------------------------------------------------------------------------------------------------


async def _results(
    frames: Sequence[Frame],
    readings: Sequence[Reading],
    read: Mapping[str, Mapping[str, Belief]],
    extractions: Sequence[Extraction],
    planned: Sequence[Planned],
) -> AuditResults:
    reference = next((name for name in (PEOPLE, SECOND) if read.get(name)), "")
    arms, audited = [], []
    for frame in frames:
        own = [one for one in readings if one.frame is frame and one.text.key in read.get(reference, {})]
        if not own:
            continue
        arm = await _held_against(frame, own, read[reference])
        pairs = await _pairs(own, read[FIRST], read[reference])
        errors = share_of([(pair.problem, pair.weight, float(not pair.same)) for pair in pairs])
        arms.append(
            ArmAudit(
                name=frame.name,
                texts=len(own),
                errors=errors,
                headline=headline(arm) if frame.graded else None,
            )
        )
        audited.append((frame, arm))
    agreements = []
    for a, b in ((FIRST, SECOND), (FIRST, PEOPLE), (SECOND, PEOPLE)):
        both = [
            one for one in readings if one.text.key in read.get(a, {}) and one.text.key in read.get(b, {})
        ]
        if both:
            agreements.append(agreement_of((a, b), await _pairs(both, read[a], read[b])))
    usages = [one.usage for one in extractions if one.usage is not None]
    return AuditResults(
        schema=SCHEMA,
        version=version(),
        task=frames[0].task.info.name,
        reference=reference,
        texts=len(readings),
        labelled=len(read.get(PEOPLE, {})),
        agreements=tuple(agreements),
        arms=tuple(arms),
        differences=tuple(differences(audited, planned)),
        unanswered=len(readings) - len(read[SECOND]) if SECOND in read else 0,
        requests=sum(one.attempts for one in extractions),
        usage=Usage.total(usages),
    )


async def _with_people(
    results: AuditResults, readings: Sequence[Reading], people: Mapping[str, Mapping[str, Belief]]
) -> AuditResults:
    """The results with how far people agree with each other, and on how many texts they are divided."""
    found = []
    for a, b in combinations(people, 2):
        both = [one for one in readings if one.text.key in people[a] and one.text.key in people[b]]
        if both:
            found.append(agreement_of((a, b), await _pairs(both, people[a], people[b])))
    read = {key for said in people.values() for key in said}
    return msgspec.structs.replace(
        results,
        agreements=(*results.agreements, *found),
        people=len(people),
        disputed=len(read) - results.labelled,
    )


async def _held_against(frame: Frame, own: Sequence[Reading], reference: Mapping[str, Belief]) -> Audited:
    """The arm with the conversations of which the reference has read all that decides, as it reads them."""
    by_conversation: dict[str, list[Reading]] = {}
    for one in own:
        by_conversation.setdefault(one.conversation.id, []).append(one)
    places, second = [], []
    where = {identity: place for place, identity in enumerate(frame.ids)}
    for identity, group in sorted(by_conversation.items()):
        conversation = group[0].conversation
        if len(group) < len(frame.deciding(conversation)):
            continue
        changed = {
            one.text.place: reference[one.text.key] for one in group if reference[one.text.key] != one.first
        }
        places.append(where[identity])
        second.append(await frame.is_right(conversation, changed))
    return arm_of(frame, places, second)


async def _pairs(readings: Sequence[Reading], a: Mapping[str, Belief], b: Mapping[str, Belief]) -> list[Pair]:
    numbers = {name: n for n, name in enumerate(sorted({one.conversation.problem.id for one in readings}))}
    found = []
    for one in readings:
        said = a[one.text.key], b[one.text.key]
        problem, task = one.conversation.problem, one.frame.task
        kinds = [await _kind(belief, one) for belief in said]
        same = type(said[0]) is type(said[1])
        if isinstance(said[0], Answered) and isinstance(said[1], Answered):
            same = await boundary.same(task, said[0].value, said[1].value, problem)
        found.append(Pair(numbers[problem.id], one.weight, (kinds[0], kinds[1]), same))
    return found


async def _kind(belief: Belief, one: Reading) -> str:
    match belief:
        case Answered(value):
            right = await boundary.grade(one.frame.task, value, one.conversation.problem)
            if right is None and not one.frame.graded:
                return "answered"
            return "right" if right else "wrong"
        case Unsure():
            return "unsure"
        case Unreadable():
            return "unreadable"


# Files ------------------------------------------------------------------------------------------------------


def _stored(config: AuditConfig) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(config)
    return values


def _save(results: AuditResults, out: Path) -> None:
    text = msgspec.json.format(msgspec.json.encode(results), indent=2).decode()
    write_whole(out / "results.json", f"{text}\n")
    write_whole(out / "report.md", as_markdown(results))


def _write(write: Callable[[], None], out: RunFolder) -> None:
    try:
        write()
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {out.path}: {error.strerror}", remedy="free space or fix the folder"
        ) from None
