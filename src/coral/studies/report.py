"""The report of a study, as Markdown and as HTML, made of its results alone."""

from __future__ import annotations

import html
from base64 import b64encode
from collections.abc import Iterable, Mapping

from coral.comparison.facts import MAJORITY
from coral.comparison.power import Design
from coral.comparison.tables import (
    Table,
    amount,
    as_html,
    between,
    explained,
    figure,
    markdown,
    p_value,
    percent,
    points,
    share,
)
from coral.metrics import Estimate, detectable_in_points
from coral.studies.cost_tables import cost_tables
from coral.studies.flips import complement
from coral.studies.matrix_tables import facet_tables, matrix_tables
from coral.studies.results import ASKED, ArmResult, Contrast, StudyResults, is_graded, is_share


def tables_of(results: StudyResults) -> list[Table]:
    """Every table, in the order of the report."""
    made = (
        _arms(results),
        _majority(results),
        _contrasts(results),
        _flips(results),
        _persuasion(results),
        _probes(results),
        _speakers(results),
        *cost_tables(results),
        *matrix_tables(results.matrix),
        *facet_tables(results.facets),
        _power(results),
    )
    return [explained(table) for table in made if table.rows]


def as_markdown(results: StudyResults, pictures: Iterable[str]) -> str:
    """`report.md`."""
    shown = [f"![{name}]({name})" for name in pictures]
    body = [markdown(table) for table in tables_of(results)]
    return "\n\n".join([f"# {title(results)}", *opening(results), *shown, *body]) + "\n"


_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;font-size:.85rem}td,th{padding:.25rem .6rem;text-align:right;"
    "border-bottom:1px solid #ddd}td{white-space:nowrap}.wide{overflow-x:auto}"
    ".text{text-align:left}img{max-width:100%}"
)


def as_page(results: StudyResults, pictures: Mapping[str, bytes]) -> str:
    """`report.html`: one file, pictures inside, nothing loaded from anywhere.

    Args:
        pictures: PNG files by name.
    """
    shown = [
        f'<p><img alt="{html.escape(name)}" src="data:image/png;base64,{b64encode(data).decode()}"></p>'
        for name, data in pictures.items()
    ]
    name = html.escape(title(results))
    body = [f"<p>{html.escape(text)}</p>" for text in opening(results)]
    body += [*shown, *map(as_html, tables_of(results))]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head>\n<body><h1>{name}</h1>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def title(results: StudyResults) -> str:
    """What the report is called."""
    return f"Study of {results.task}"


def opening(results: StudyResults) -> list[str]:
    """What was done, and what holds among all planned contrasts."""
    number, problems = len(results.arms), f"{results.problems:,}"
    intervals = "Intervals are 95%, clustered by problem; differences are paired by problem, in points."
    lines = [f"{number} arms on the same {problems} problems. {intervals}"]
    tested = [one for one in results.contrasts if one.p_holm is not None]
    if results.without_gold:
        some = f"{results.without_gold:,} of the problems have" if is_graded(results) else "No problem has"
        lines.append(
            f"{some} {'no' if is_graded(results) else 'a'} gold answer, and nothing about them is right or "
            "wrong. Instead it is said how often an answer is the one that most others give: an estimate, no "
            "accuracy."
        )
    if tested:
        holding = [one for one in tested if one.p_holm is not None and one.p_holm < 0.05]
        said = "; ".join(f"{one.text}: {_difference(one)}{_mark(one)}" for one in holding)
        lines.append(
            f"Of {len(tested)} planned contrast{'s' * (len(tested) != 1)}, {len(holding)} "
            f"{'holds' if len(holding) == 1 else 'hold'} "
            "among all of them (Holm, 0.05)" + (f": {said}." if said else ".")
        )
    failed = [f"{arm.failed:,} of {arm.conversations:,} in {arm.name}" for arm in results.arms if arm.failed]
    if failed:
        lines.append(f"Conversations that failed, and are not right: {'; '.join(failed)}.")
    return lines


# Tables -----------------------------------------------------------------------------------------------------


def _share(found: Estimate | None) -> str:
    return share(found, marked=True)


def _arms(results: StudyResults) -> Table:
    return Table(
        "arms",
        "Arms",
        ("arm", "protocol", "partner", "shown", "right, of all", "agent's first right", "agent's last right",
         "tokens per conversation", "USD per conversation", "conversations", "problems", "failed"),
        tuple(_arm(arm) for arm in results.arms),
        "Right, of all: a conversation that failed or has no grade counts as not right. Of a pair: agreed, "
         "and right; beside a control partner that the agent answers before (opener: partner): the agent's "
         "last answer. Tokens: all, read and written, thinking and extraction included; a control partner's "
         "words cost none.",
    )  # fmt: skip


def _arm(arm: ArmResult) -> tuple[str, ...]:
    partner = f"control: {arm.control}" if arm.control else ", ".join(dict.fromkeys(arm.models.values()))
    found = arm.metrics
    last = found.get("final_accuracy", found.get("first_accuracy"))
    return (
        arm.name,
        arm.protocol,
        partner,
        arm.shown,
        _share(arm.right),
        _share(found.get("first_accuracy")),
        _share(last),
        amount(found.get("total_tokens")),
        amount(found.get("cost"), ".5f"),
        f"{arm.conversations:,}",
        f"{arm.problems:,}",
        f"{arm.failed:,}",
    )


def _majority(results: StudyResults) -> Table:
    rows = [
        (arm.name, _share(arm.metrics[MAJORITY]), f"{arm.metrics[MAJORITY].num_problems:,}")
        for arm in results.arms
        if MAJORITY in arm.metrics
    ]
    return Table(
        "majority",
        "Agreement with the majority",
        ("arm", "agrees with the majority", "problems"),
        tuple(rows),
        "On problems without a gold answer: share of conversations that end in the answer most frequent "
         "among all other conversations on the problem, of all arms. Tied answers share the credit, and no "
         "answer agrees with none. It estimates accuracy only as far as majorities are right. Mistakes that "
         "models share count as right, so it leans high; where the majority is wrong, a right answer counts "
         "against its arm. An arm with more samples casts more votes.",
    )  # fmt: skip


def _contrasts(results: StudyResults) -> Table:
    return Table(
        "contrasts",
        "Planned contrasts",
        ("contrast", "by", "difference", "95% interval", "p", "p, Holm", "problems", "left out"),
        tuple(
            (
                one.text,
                one.metric.replace("_", " "),
                f"{_difference(one)}{_mark(one)}",
                _interval(one),
                p_value(one.p_value),
                p_value(one.p_holm),
                f"{one.problems:,}",
                f"{one.alone:,}",
            )
            for one in results.contrasts
        ),
        "Differences of shares are in points, left minus right. Holm: adjusted for all contrasts of this "
         "table. Left out: problems on which only one side has something to count."
        + (_MARK_NOTE if any(map(_mark, results.contrasts)) else ""),
    )  # fmt: skip


def _mark(one: Contrast) -> str:
    return " (could be reading alone)" if one.reading_alone else ""


_MARK_NOTE = (
    " Could be reading alone: as the audit of this study shows them, errors of reading could produce the "
    "difference were there none."
)


def _difference(one: Contrast) -> str:
    if one.difference is None:
        return "-"
    return points(one.difference) if is_share(one.metric) else f"{one.difference:+,.2f}"


def _interval(one: Contrast) -> str:
    if one.low is None or one.high is None:
        return "-"
    if is_share(one.metric):
        return between(one.low, one.high, signed=True)
    return f"[{one.low:+,.2f}, {one.high:+,.2f}]"


def _flips(results: StudyResults) -> Table:
    rows = []
    for found in results.flips:
        for part in (*found.parts, found.whole):
            is_share = len(part.arms) == 1
            rows.append(
                (
                    f"toward {found.toward}",
                    part.name,
                    " - ".join(part.arms),
                    percent(part.share) if is_share else points(part.share),
                    between(part.low, part.high, signed=not is_share),
                    p_value(part.p_value),
                    f"{part.challenged:,}",
                    f"{part.problems:,}",
                )
            )
    return Table(
        "flips",
        "Why answers flip",
        ("direction", "part", "arms", "share", "95% interval", "p", "challenged", "problems"),
        tuple(rows),
        "Challenged: first answers that met another one. Toward wrong: a right answer met a wrong one, and "
         "the next answer is wrong; toward right: the reverse. Spontaneous: the agent was shown nothing, and "
         "asked again. Conforming: what the bare answer adds. Reasoned: what its reasons add. The three add "
         "up to all flips. A next turn that is unsure is not a flip; one that cannot be read is left out.",
    )  # fmt: skip


def _persuasion(results: StudyResults) -> Table:
    rows = [
        (
            one.model,
            ", ".join(one.arms),
            _share(one.resistance),
            _share(one.receptiveness),
            "-" if one.net is None else figure(one.net.value, one.net.low, one.net.high, signed=True),
            "-" if one.net is None else f"{one.net.problems:,}",
        )
        for one in results.persuasion
    ]
    return Table(
        "persuasion",
        "Resistance and net persuasion",
        ("model", "arms", "resistance", "receptiveness", "net persuasion", "problems"),
        tuple(rows),
        "Resistance: right answers that met a wrong one, and were not followed by a wrong one. "
         "Receptiveness: wrong answers that met the right one, and were followed by it. Net persuasion: what "
         "right arguments move beyond what wrong ones do.",
    )  # fmt: skip


def _probes(results: StudyResults) -> Table:
    rows = [
        (
            arm.name,
            turn,
            _share(found["private_difference"]),
            _share(found["private_accuracy"]),
            _share(found["public_accuracy"]),
        )
        for arm in results.arms
        for turn, found in arm.probes.items()
    ]
    whole = [
        (
            arm.name,
            "all",
            _share(arm.metrics["private_difference"]),
            _share(arm.metrics["private_accuracy"]),
            f"gave in, in public only: {_share(arm.metrics.get('compliance'))}",
        )
        for arm in results.arms
        if arm.probes
    ]
    return Table(
        "off_the_record",
        "Off the record",
        ("arm", "turn", "private answer differs", "right in private", "right in public"),
        (*rows, *whole),
        "After each turn its speaker was asked off the record; n counts turns whose answers can be read. "
         "Gave in, in public only: of the turns that take the other's answer over, those that hold another "
         "one off the record.",
    )  # fmt: skip


def _speakers(results: StudyResults) -> Table:
    rows = []
    for arm in results.arms:
        for speaker, found in arm.speakers.items():
            if arm.control and speaker == "partner":
                continue
            rows.append(
                (
                    arm.name,
                    speaker,
                    arm.models.get(speaker, ""),
                    _share(found["persuasion_success_rate"]),
                    _share(complement(found["lost_right_answer_rate"])),
                    _share(found["gained_right_answer_rate"]),
                )
            )
    return Table(
        "speakers",
        "Who persuades",
        ("arm", "speaker", "model", "persuasiveness", "resistance", "receptiveness"),
        tuple(rows),
        "Over all turns of the conversations. Persuasiveness: turns with another answer than the partner's "
         "after which the partner adopts it. Resistance: right answers not given up for the partner's wrong "
         "one (a third answer, or none, is not the partner's). Receptiveness: wrong answers given up for the "
         "partner's right one.",
    )  # fmt: skip


def _power(results: StudyResults) -> Table:
    rows = [
        (
            one.text,
            f"{one.problems:,}",
            _found(one),
            _many(one.needed) if is_share(one.metric) else "-",
            "-" if one.correlation is None else f"{one.correlation:.2f}",
        )
        for one in results.contrasts
        if one.detectable is not None
    ]
    return Table(
        "power",
        "What the design could have detected",
        ("contrast", "problems", "found in 8 of 10 cases", f"{100 * ASKED:.0f} points need problems",
         "correlation"),
        (*rows, _before(results.problems)),
        "True differences of this size leave 0 outside a 95% interval in 8 of 10 studies like this one. "
         "Problems: those with something to count. 5 points need: so many problems of the data, if as large "
         "a share of them has. Correlation: of the two on a problem. `coral power` says how many problems "
         "another difference needs.",
    )  # fmt: skip


def contrasts_in_short(results: StudyResults) -> Table:
    """The planned contrasts and what each could have found, for a terminal."""
    rows = [
        (
            one.text,
            "-" if one.difference is None else f"{_difference(one)}{_mark(one)} {_interval(one)}",
            p_value(one.p_holm),
            _found(one),
            "-" if one.needed is None else f"{one.needed:,}",
        )
        for one in results.contrasts
    ]
    return Table(
        "contrasts",
        "",
        ("planned contrast", "difference", "p, Holm", "finds", "5 points need"),
        tuple(rows),
        "left minus right, of shares in points, with 95% interval; finds: a true difference of this size in "
        "8 of 10 studies like this one; 5 points need: so many problems of the data",
    )


def _found(one: Contrast) -> str:
    if one.detectable is None:
        return "-"
    return detectable_in_points(one.detectable) if is_share(one.metric) else f"{one.detectable:,.2f}"


def power_before(problems: int) -> str:
    """What any two arms could show, in words."""
    _, number, found, needed, _ = _before(problems)
    return (
        f"{number} problems find a true difference of {found} points between two arms in 8 of 10 cases, if "
        f"one of three problems comes out differently; {100 * ASKED:.0f} points need {needed}"
    )


def _before(problems: int) -> tuple[str, str, str, str, str]:
    """What could be said before anything was measured."""
    design = Design(source="assumed", rates=(0, 0), correlation=0, spread=3**-0.5, problems=0)
    return (
        "any two arms, if one of three problems comes out differently",
        f"{problems:,}",
        detectable_in_points(design.detectable(problems)),
        _many(design.needed(ASKED)),
        "-",
    )


def _many(problems: int | None) -> str:
    return "more than there are" if problems is None else f"{problems:,}"
