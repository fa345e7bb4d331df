"""What a judge said, held against a second judge and against people, who are blind to it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from coral import prompts
from coral.audits.report import ArmAudit, VerdictAudit
from coral.audits.sample import Frame, Reading, arm_of, differences
from coral.audits.sheet import add_rows, rows_of
from coral.audits.statistics import Audited, Pair, agreement_of, headline, share_of
from coral.audits.watch import Allowance, asking
from coral.comparison.contrasts import Planned
from coral.config import deciding
from coral.conversation.judging import Judge, JudgeConfig, verdict_of
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import ExtractorConfig
from coral.evaluation.progress import Progress
from coral.models import embedded
from coral.models.together import all_of
from coral.store.folder import RunFolder
from coral.store.verdicts import Judged, Verdicts
from coral.tasks.judged import JudgedTask
from coral.types import Answered, Judgement, Problem, Usage, Verdict

FIRST, SECOND, PEOPLE = "first judge", "second judge", "people"
HEADER = ("key", "question", "reference", "answer", "verdict")
NO_VERDICT = "no verdict"

Found = Mapping[str, Verdict | None]
"""Verdicts on the answers of texts, by a text's key; None: a judge replied without one."""


class Answer(NamedTuple):
    """An answer to a problem that was judged."""

    task: JudgedTask
    problem: Problem
    value: str

    @property
    def spelling(self) -> str:
        """What it shares with the answers that are judged with it."""
        return self.task.judgeable.spelling(self.value, self.problem)

    @property
    def key(self) -> str:
        """Names it and tells nothing about it."""
        whole = f"{self.problem.id}\0{self.spelling}"
        return hashlib.blake2b(whole.encode(), digest_size=6).hexdigest()


@dataclasses.dataclass(frozen=True)
class VerdictAuditor:
    """Has the judged answers of a sample judged again.

    Attributes:
        batch: it is asked by batches, where it is sold so.
        judge: the second one's options; None for none.
        labels: file with people's verdicts; None for none.
        progress: counters of the answers that are judged again.
        allowance: what the limits of the audit leave.
    """

    out: RunFolder
    max_connections: int
    batch: bool
    judge: JudgeConfig | None
    labels: str | None
    progress: Progress
    allowance: Allowance

    async def audit(
        self, frames: Sequence[Frame], readings: Sequence[Reading], planned: Sequence[Planned]
    ) -> VerdictAudit | None:
        """What the sample says; None where nothing in it was judged.

        Args:
            planned: contrasts of a study.

        Raises:
            UserError: the labels cannot be used, or the second judge does not answer.
        """
        judged = {one.text.key: answer for one in readings if (answer := _judged_in(one)) is not None}
        if not judged:
            if self.judge is not None or self.labels is not None:
                raise ConfigError(
                    "no answer in the sample was graded by a judge",
                    remedy="leave out --judge and --verdicts: they are for runs with --task.judge.model",
                )
            return None
        answers = {answer.key: answer for answer in judged.values()}
        _write_sheet(self.out.path / "verdicts.csv", answers)
        read: dict[str, Found] = {FIRST: {key: _first(answer) for key, answer in judged.items()}}
        again: dict[str, Judgement] = {}
        labels: dict[str, Verdict | None] = {}
        if self.judge is not None:
            again = await self._ask(answers, self.judge)
            read[SECOND] = _spread({key: judgement.verdict for key, judgement in again.items()}, judged)
        if self.labels is not None:
            labels = _read_labels(self.labels, answers)
            read[PEOPLE] = _spread(labels, judged)
        found = await _results(frames, readings, judged, read, planned)
        return msgspec.structs.replace(
            found,
            answers=len(answers),
            labelled=len(labels),
            unanswered=len(answers) - len(again) if self.judge is not None else 0,
            requests=sum(one.attempts for one in again.values()),
            usage=Usage.total(one.usage for one in again.values() if one.usage is not None),
        )

    async def _ask(self, answers: Mapping[str, Answer], options: JudgeConfig) -> dict[str, Judgement]:
        """What the second judge says of each answer that it replies to."""
        asked = digest(options)
        who, most = "the second judge", self.max_connections
        async with asking(self.out, options, most, self.progress, who, batch=self.batch) as second:
            judge = Judge(
                task=next(iter(answers.values())).task,
                model=await second.models.open(options, "--judge"),
                sampling=options.sampling(),
                template=prompts.builtin("judge"),
            )
            second.watch.budget = self.allowance.budget(judge.model, second.watch)
            journaled = {key: second.journal.of(key) for key in answers}
            ordered = sorted(answers, key=lambda key: not journaled[key].holds(asked))
            self.progress.total += len(answers)

            async def ask(key: str) -> Judgement:
                calls, answer = second.watch.over(key, journaled[key]), answers[key]
                self.progress.in_flight += 1
                try:
                    said = await judge.ask(
                        answer.value,
                        answer.problem,
                        calls=calls,
                        conversation_id=key,
                        step=asked,
                        seed="audit",
                    )
                finally:
                    self.progress.in_flight -= 1
                self.progress.done += 1
                return said

            found = await all_of(ask(key) for key in ordered)
        judgements = dict(zip(ordered, found, strict=True))
        return {key: one for key, one in judgements.items() if key not in second.watch.unanswered}


def _judged_in(one: Reading) -> Answer | None:
    """The answer of a sampled text, where a judge was asked about it."""
    reply = one.conversation.turns[one.text.place].reply
    task = one.frame.task
    if reply.judgement is None or not isinstance(one.first, Answered) or not isinstance(task, JudgedTask):
        return None
    return Answer(task, one.conversation.problem, one.first.value)


def _spread(verdicts: Found, judged: Mapping[str, Answer]) -> Found:
    """From verdicts by answer to verdicts by text."""
    return {text: verdicts[answer.key] for text, answer in judged.items() if answer.key in verdicts}


def _first(answer: Answer) -> Verdict | None:
    known = answer.task.verdicts.find(answer.problem.id, answer.spelling)
    return None if known is None else known.judgement.verdict


async def _results(
    frames: Sequence[Frame],
    readings: Sequence[Reading],
    judged: Mapping[str, Answer],
    read: Mapping[str, Found],
    planned: Sequence[Planned],
) -> VerdictAudit:
    reference = next((name for name in (PEOPLE, SECOND) if read.get(name)), "")
    arms, audited = [], []
    for frame in frames if reference else ():
        own = [one for one in readings if one.frame is frame]
        arm = await _held_against(frame, own, judged, read[reference])
        pairs = _pairs(own, read[FIRST], read[reference])
        errors = share_of([(pair.problem, pair.weight, float(not pair.same)) for pair in pairs])
        arms.append(ArmAudit(name=frame.name, texts=len(pairs), errors=errors, headline=headline(arm)))
        audited.append((frame, arm))
    agreements = [
        agreement_of((a, b), pairs)
        for a, b in ((FIRST, SECOND), (FIRST, PEOPLE), (SECOND, PEOPLE))
        if (pairs := _pairs(readings, read.get(a, {}), read.get(b, {})))
    ]
    return VerdictAudit(
        reference=reference,
        agreements=tuple(agreements),
        arms=tuple(arms),
        differences=tuple(differences(audited, planned)),
    )


async def _held_against(
    frame: Frame, own: Sequence[Reading], judged: Mapping[str, Answer], reference: Found
) -> Audited:
    """The arm with the conversations of which the reference has judged all that was judged and decides."""
    by_conversation: dict[str, list[Reading]] = {}
    for one in own:
        by_conversation.setdefault(one.conversation.id, []).append(one)
    mine = {one.text.key: judged[one.text.key] for one in own if one.text.key in judged}
    other = dataclasses.replace(frame, task=_as_judged_by(frame, mine, reference))
    places, second = [], []
    where = {identity: place for place, identity in enumerate(frame.ids)}
    for identity, group in sorted(by_conversation.items()):
        asked = [one for one in group if one.text.key in mine]
        if any(one.text.key not in reference for one in asked):
            continue
        places.append(where[identity])
        again = {one.text.place: one.first for one in asked}
        second.append(await other.is_right(group[0].conversation, again))
    return arm_of(frame, places, second)


def _as_judged_by(frame: Frame, judged: Mapping[str, Answer], reference: Found) -> JudgedTask:
    """The task as if the reference had been the judge, where it judged."""
    assert isinstance(frame.task, JudgedTask)
    verdicts = Verdicts()
    for known in frame.task.verdicts:
        verdicts.keep(known)
    for text, answer in judged.items():
        if text in reference:
            judgement = Judgement(verdict=reference[text])
            verdicts.keep(Judged(answer.problem.id, answer.spelling, "", "", judgement))
    return JudgedTask(frame.task.rules, verdicts)


def _pairs(readings: Sequence[Reading], a: Found, b: Found) -> list[Pair]:
    """What two judges said of the texts whose answers both of them have judged."""
    numbers = {name: n for n, name in enumerate(sorted({one.conversation.problem.id for one in readings}))}
    found = []
    for one in readings:
        key = one.text.key
        if key in a and key in b:
            kinds = a[key] or NO_VERDICT, b[key] or NO_VERDICT
            found.append(Pair(numbers[one.conversation.problem.id], one.weight, kinds, kinds[0] == kinds[1]))
    return found


# People -----------------------------------------------------------------------------------------------------


def _write_sheet(path: Path, answers: Mapping[str, Answer]) -> None:
    cells = {
        key: (key, one.problem.question, "\n".join(one.task.judgeable.references(one.problem)), one.value, "")
        for key, one in answers.items()
    }
    try:
        add_rows(path, HEADER, cells)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror}", remedy="free space or fix the folder"
        ) from None


def _read_labels(path: str, answers: Mapping[str, Answer]) -> dict[str, Verdict | None]:
    """People's verdicts by key; rows without one are not judged yet.

    Raises:
        ConfigError: the file cannot be read, is of another audit, or holds what is no verdict.
    """
    found: dict[str, Verdict | None] = {}
    for line, row in rows_of(Path(path), HEADER):
        key, said = (row.get("key") or "").strip(), (row.get("verdict") or "").strip()
        if key not in answers:
            raise ConfigError(
                f"{path}, line {line}: no answer of this audit has the key '{key}'",
                remedy="give the sheet of this audit: same runs, and --sample at least as large",
            )
        if not said:
            continue
        verdict = verdict_of(said)
        if verdict is None:
            raise ConfigError(
                f"{path}, line {line}: '{said}' is not a verdict", remedy="write right, wrong or cannot tell"
            )
        if found.setdefault(key, verdict) != verdict:
            raise ConfigError(
                f"{path}, line {line}: the answer {key} has two verdicts", remedy="leave one row for each key"
            )
    return found


def digest(options: ExtractorConfig | JudgeConfig) -> str:
    """Tells models apart in one folder: what another one was asked is no answer of this one's."""
    values = {name: getattr(options, name) for name in deciding(type(options))}
    values["model"] = embedded.name_of(options)
    return hashlib.sha256(msgspec.json.encode(values)).hexdigest()[:12]
