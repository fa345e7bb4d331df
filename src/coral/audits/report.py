"""What an audit found, as a record and as Markdown."""

from __future__ import annotations

from coral.audits.statistics import Agreement, Between, Headline, Share
from coral.comparison.tables import Table, figure, markdown, points
from coral.types import Record, Usage


class ArmAudit(Record, frozen=True, omit_defaults=False):
    """One arm.

    Attributes:
        texts: that were read again.
        errors: share of them in which the first reading differs from the reference, with its interval.
        headline: right of all, plain and corrected; None where no problem has a gold answer.
    """

    name: str
    texts: int
    errors: Share
    headline: Headline | None


class VerdictAudit(Record, frozen=True, omit_defaults=False):
    """What an audit found of a judge.

    Attributes:
        reference: who the first judge is held against: people, where they have judged, else the second judge;
            empty where nobody has yet.
        answers: on the sheet; `labelled`: of them by people.
        unanswered: answers that the second judge refused.
        requests: to the second judge, and the tokens they took.
    """

    reference: str
    agreements: tuple[Agreement, ...]
    arms: tuple[ArmAudit, ...]
    differences: tuple[Between, ...]
    answers: int = 0
    labelled: int = 0
    unanswered: int = 0
    requests: int = 0
    usage: Usage = Usage()


class AuditResults(Record, frozen=True, omit_defaults=False):
    """What an audit found.

    Attributes:
        reference: who the first reading is held against: people, where they have read, else the second
            extractor; empty where nobody has read yet.
        texts: on the sheet; `labelled`: of them by people, `disputed`: in which people read different things,
            and none of them most often: these are left out.
        people: how many of them read.
        unanswered: texts that the second extractor refused to read; nobody is held against those.
        requests: to the second extractor, and the tokens they took.
        verdicts: the same of a judge's verdicts; None where nothing in the sample was judged.
    """

    schema: int
    version: str
    task: str
    reference: str
    texts: int
    labelled: int
    agreements: tuple[Agreement, ...]
    arms: tuple[ArmAudit, ...]
    differences: tuple[Between, ...]
    unanswered: int
    requests: int
    usage: Usage
    verdicts: VerdictAudit | None = None
    people: int = 0
    disputed: int = 0


def as_markdown(results: AuditResults) -> str:
    """`report.md`."""
    parts = [f"# Audit of {results.task}", opening(results), *_as_tables(results)]
    if results.verdicts is not None:
        parts += ["## The judge", judge_opening(results.verdicts), *_as_tables(results.verdicts)]
    return "\n\n".join(parts) + "\n"


def _as_tables(found: AuditResults | VerdictAudit) -> list[str]:
    return [markdown(table) for table in tables_of(found) if table.rows]


def judge_opening(found: VerdictAudit) -> str:
    """What was judged again, and by whom."""
    said = f"{found.answers:,} answers in these texts were graded by a judge."
    if not found.reference:
        return f"{said} Nobody has judged them again: fill verdicts.csv and give it as --verdicts."
    said += f" It is held against {'people' if found.labelled else 'the second judge'}"
    said += f", who judged {found.labelled:,} of them." if found.labelled else "."
    if found.requests:
        said += f" The second judge took {found.requests:,} requests."
    if found.unanswered:
        said += f" Answers that it refused, and that are left out: {found.unanswered:,}."
    return said


def opening(results: AuditResults) -> str:
    """What was read again, and by whom."""
    said = f"{results.texts:,} texts were drawn, from every stratum of every arm."
    divided = f" Texts on which people are divided, and that are left out: {results.disputed:,}."
    if not results.reference and results.disputed:
        return said + divided
    if not results.reference:
        return (
            f"{said} Nobody has read them yet: `coral audit RUN --label` asks people in the browser; or fill "
            "the column 'answer' of sheet.csv and give it as --labels."
        )
    who = "people" if results.reference == "people" else "the second extractor"
    said += f" The first readings are held against {who}"
    said += f", who read {results.labelled:,} of them." if results.labelled else "."
    if results.people > 1:
        said += f" They are {results.people}; what most of them say counts."
    if results.disputed:
        said += divided
    if results.requests:
        said += f" The second extractor took {results.requests:,} requests."
    if results.unanswered:
        said += f" Texts that it refused to read, and that are left out: {results.unanswered:,}."
    return said


def tables_of(results: AuditResults | VerdictAudit) -> list[Table]:
    """Agreement, arms, and their differences."""
    return [_agreements(results), _arms(results), _differences(results)]


def _agreements(results: AuditResults | VerdictAudit) -> Table:
    rows = [(" and ".join(one.readers), share_text(one.agreement), _kappa(one)) for one in results.agreements]
    return Table(
        "agreement",
        "Who agrees with whom",
        ("readers", "agree", "kappa"),
        tuple(rows),
        "Both submit the same answer, or neither does, in the same way. Kappa: agreement beyond chance "
         "(Cohen 1960), its interval from that of the agreement. Each text weighs by what it stands for.",
    )  # fmt: skip


def _arms(results: AuditResults | VerdictAudit) -> Table:
    rows = [
        (
            arm.name,
            share_text(arm.errors),
            *_corrected(arm.headline),
        )
        for arm in results.arms
    ]
    return Table(
        "audited_arms",
        "Right of all, corrected",
        ("arm", "texts read otherwise", "as it was read", "corrected", "reading is off by", "conversations"),
        tuple(rows),
        "Corrected: prediction-powered (Angelopoulos et al. 2023): what was read of all conversations, plus "
         "what the sample says reading is off by. The rest of a conversation is taken as it happened.",
    )  # fmt: skip


def _corrected(found: Headline | None) -> tuple[str, str, str, str]:
    if found is None:
        return "-", "-", "-", "-"
    return (
        figure(found.plain, found.plain_low, found.plain_high),
        figure(found.corrected, found.low, found.high),
        figure(found.off, found.off_low, found.off_high, signed=True),
        f"{found.audited:,} of {found.conversations:,}",
    )


def _differences(results: AuditResults | VerdictAudit) -> Table:
    rows = [
        (
            f"{one.left} - {one.right}",
            points(one.plain),
            figure(one.corrected, one.low, one.high, signed=True),
            "could be reading alone" if one.reading_alone else "",
        )
        for one in results.differences
    ]
    return Table(
        "audited_differences",
        "Differences",
        ("arms", "as they were read", "corrected", ""),
        tuple(rows),
        "In points, paired by problem. Marked: were there no true difference, errors of reading, as the "
         "sample shows them, could produce the one that was read.",
    )  # fmt: skip


def _kappa(one: Agreement) -> str:
    if one.kappa is None:
        return "-"
    if one.kappa_low is None or one.kappa_high is None:
        return f"{one.kappa:.2f} -"
    return f"{one.kappa:.2f} [{one.kappa_low:.2f}, {one.kappa_high:.2f}]"


def share_text(found: Share) -> str:
    """A share, its interval, and of how many."""
    return f"{figure(found.value, found.low, found.high)} (n = {found.n:,})"
