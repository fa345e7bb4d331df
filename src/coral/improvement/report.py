"""`report.md`: what an improvement came to, in tables whose every figure has its denominator and interval."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from coral.comparison.compare import CHANGES, STEPS
from coral.improvement.arms import Sight
from coral.improvement.gate import seen, told
from coral.improvement.results import HEADLINE, SOCIAL, ModelResult, Provenance, Results
from coral.metrics import Comparison, Estimate, Summary, holm, metric
from coral.metrics.catalog import BY_TURN

SIGHTS: dict[str, str] = {
    "pair": "in the pair",
    "alone": "alone",
    "second": "second task",
    "final": "problems that no gate saw",
}


INTERVAL = re.compile(r"\[[+-]?\d[\d.,]*, [+-]?\d[\d.,]*\]")
"""An interval, as this page writes them all."""


def render_report(results: Results, plots: Sequence[str] = ()) -> str:
    """The whole report; `plots` are the names of PNG files beside it."""
    top = (f"# Improvement on {results.task}", *headline(results), _started_with(results))
    figures = (
        *_models(results),
        *_final(results),
        *_changes(results),
        *_square(results),
        *_gate(results),
        *_social(results),
    )
    rest = (*_data(results), *_cost(results), *(f"![{name}]({name})" for name in plots))
    intervals = sum(len(INTERVAL.findall(part)) for part in (*top, *figures, *rest))
    return "\n\n".join((*top, *figures, *claims(results, intervals), *rest)) + "\n"


def headline(results: Results) -> Iterable[str]:
    """What came of it, a paragraph each: the best model, and the last checkpoint where it was refused."""
    best, last = best_of(results), last_of(results)
    if best is results.models[0]:
        yield f"No checkpoint of {results.main_arm} was taken over: the model stays as it was."
    else:
        yield f"**{best.name}**: {_before_and_after(results, best)}."
    if last is not None and last.made is not None and last is not best:
        verdict = last.made.verdict
        yield (
            f"The last checkpoint, **{last.name}**: {_before_and_after(results, last)}. It was not taken "
            f"over from {verdict.against}: {'; '.join(verdict.reasons)}."
        )


def _before_and_after(results: Results, model: ModelResult) -> str:
    """The figures that no gate saw come first, where there are some: the others were selected by one."""
    sights = [sight for sight in ("final", "pair") if sight in model.measured]
    return "; ".join(_change_on(results.models[0], model, sight) for sight in sights)


def _change_on(start: ModelResult, model: ModelResult, sight: Sight) -> str:
    before, after = (_figure(one, sight) for one in (start, model))
    problems = model.measured[sight].problems
    what = "problems that no gate saw" if sight == "final" else "held-out problems"
    return (
        f"agreement correctness {before} before and {after} after, on {problems} {what}; "
        f"paired difference **{told(model.since_start[sight])}**"
    )


def last_of(results: Results) -> ModelResult | None:
    """The last checkpoint of the main arm, taken over or not; None where none was trained."""
    made = [model for model in results.models if model.made and model.made.arm == results.main_arm]
    return made[-1] if made else None


def _started_with(results: Results) -> str:
    start = results.models[0].path or "the model in the package"
    return f"It started from {start}. All options are in `loop/config.yaml`."


def best_of(results: Results) -> ModelResult:
    """The last checkpoint of the main arm that was taken over; else the starting model."""
    taken = [
        model
        for model in results.models
        if model.made and model.made.arm == results.main_arm and model.made.verdict.accepted
    ]
    return taken[-1] if taken else results.models[0]


def _models(results: Results) -> Iterable[str]:
    yield "## Models"
    header = ["model", "from", "agreement, and right", "since the start", "alone, right", "since the start"]
    second = results.second_task is not None
    if second:
        header += [f"second task ({results.second_task})", "since the start"]
    rows = []
    for model in results.models:
        row = [model.name, model.made.came_from if model.made else ""]
        for sight in model.measured:
            if sight != "final":
                row.append(_figure(model, sight))
                row.append(told(model.since_start[sight]) if model.made else "")
        rows.append(row)
    yield _table(header, rows)
    yield (
        "Intervals are of 95%; differences are paired by problem, in points. Agreement, and right: share of "
        "conversations that end in agreement on the right answer. Alone: one answer in one turn; one that "
        "cannot be read is wrong."
    )
    without_grade = [line for model in results.models for line in lacking(model)]
    if without_grade:
        yield "\n".join(without_grade)


def _final(results: Results) -> Iterable[str]:
    """The start, and the best and the last of each arm, on problems that decided nothing."""
    models = [model for model in results.models if "final" in model.measured]
    if not models:
        return
    yield "## On problems that no gate saw"
    rows = [
        [model.name, _figure(model, "final"), told(model.since_start["final"]) if model.made else ""]
        for model in models
    ]
    yield _table(["model", "agreement, and right", "since the start"], rows)
    yield "A gate chooses among the figures that it sees, so these are a little too good; these here are not."


def claims(results: Results, intervals: int) -> Iterable[str]:
    """How many intervals the report holds, and which of its differences hold among all of them."""
    found = {
        f"{model.name}, {SIGHTS[sight]}": one
        for model in results.models
        if model.made
        for sight, one in model.since_start.items()
    }
    for arm, by_sight in results.head_to_head.items():
        found |= {
            f"{results.main_arm} against {arm}, {SIGHTS[sight]}": one for sight, one in by_sight.items()
        }
    tested = {name: one.p_value for name, one in found.items() if one.p_value is not None}
    if not tested:
        return
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    holding = [f"{name} ({told(found[name])})" for name, p in adjusted.items() if p < 0.05]
    yield "## What holds among so many figures"
    yield (
        f"This report holds {intervals} intervals of 95%: about one of twenty leaves out the truth by "
        f"chance alone. Of its {len(tested)} differences since the start and between arms, taken together by "
        f"Holm's correction, {'these hold:' if holding else 'none holds.'}"
    )
    if holding:
        yield "\n".join(f"- {line}" for line in holding)


def lacking(model: ModelResult) -> Iterable[str]:
    """Conversations that failed, or whose answer has no grade: the gate counts them as wrong."""
    for sight, summary in model.measured.items():
        counted = summary.metrics[HEADLINE[sight].removesuffix("_strict")]
        if counted.num_failed or counted.num_unscored:
            yield (
                f"- {model.name}, {SIGHTS[sight]}: of {summary.conversations:,} conversations "
                f"{counted.num_failed:,} failed, and {counted.num_unscored:,} cannot be graded"
            )


def _changes(results: Results) -> Iterable[str]:
    """First answers of the pair's conversations against what came of them."""
    yield "## What talking changed"
    rows = [
        [model.name, *(_value(name, model.measured["pair"].metrics.get(name)) for name in CHANGES)]
        for model in results.models
    ]
    yield _table(["model", *(metric(name).title.lower() for name in CHANGES)], rows)
    yield _by_turn(results)
    yield "\n".join(
        f"- {model.name}, conversation gain: {told(model.social['conversation_gain'])} since the start"
        for model in results.models
        if model.made
    )


def _by_turn(results: Results) -> str:
    """Agreement, and right agreement, within the first turns at which conversations of the start agreed."""
    steps = list(results.models[0].measured["pair"].by_turn)[:STEPS]
    names = [f"{kind}_within/{turn}" for turn in steps for kind in BY_TURN]
    rows = []
    for model in results.models:
        found = model.measured["pair"].by_turn
        cells = (_at(found, int(turn)).get(kind) for turn in steps for kind in BY_TURN)
        rows.append([model.name, *(_value(name, cell) for name, cell in zip(names, cells, strict=True))])
    return _table(["model", *(metric(name).title.lower() for name in names)], rows)


def _at(steps: Mapping[str, dict[str, Estimate]], turn: int) -> dict[str, Estimate]:
    """The step that holds at a turn: the last one up to it."""
    before = [step for step in steps if int(step) <= turn]
    return steps[max(before, key=int)] if before else {}


def _square(results: Results) -> Iterable[str]:
    """Better reasoning or better collaboration: the last model of each arm, alone and in the pair."""
    if not results.head_to_head:
        return
    last = {model.made.arm: model for model in results.models if model.made}
    yield "## Trained on the pair's conversations, or alone"
    rows = [
        [model.made.arm if model.made else "before", _figure(model, "alone"), _figure(model, "pair")]
        for model in (results.models[0], *last.values())
    ]
    yield _table(["trained on", "alone, right", "agreement, and right"], rows)
    main = results.main_arm
    yield "The last checkpoint of each arm, taken over or not. Differences are paired by problem:"
    yield "\n".join(
        f"- {main} against {arm}: {_head_to_head(found)}" for arm, found in results.head_to_head.items()
    )


def _head_to_head(by_sight: Mapping[str, Comparison]) -> str:
    return "; ".join(f"{SIGHTS[sight]} {told(one)}" for sight, one in by_sight.items())


def _gate(results: Results) -> Iterable[str]:
    yield "## Gate"
    rows = []
    for model in results.models:
        if model.made is None:
            continue
        verdict = model.made.verdict
        rows.append(
            [
                model.name,
                verdict.against,
                told(verdict.target),
                seen(verdict.target),
                told(verdict.second) if verdict.second else "",
                seen(verdict.second) if verdict.second else "",
                "taken over" if verdict.accepted else f"not taken over: {'; '.join(verdict.reasons)}",
                "; ".join(verdict.signs) or "none",
            ]
        )
    header = ["model", "against", "target", "shows", "second task", "shows", "verdict", "signs of collapse"]
    yield _table(header, rows)
    yield (
        "Target: agreement, and right; of models trained alone, one answer in one turn. Differences are "
        "against the model that it came from. Shows: the true difference that so many problems show in 8 of "
        "10 cases; a smaller one is mostly missed."
    )


def _social(results: Results) -> Iterable[str]:
    yield "## How the pair talks, before and after"
    names = [model.name for model in results.models]
    rows = []
    for name in SOCIAL:
        cells = [_value(name, model.measured["pair"].metrics.get(name)) for model in results.models]
        rows.append([metric(name).title, *cells])
    styles = [model.style for model in results.models]
    rows += [
        ["Agreement at the second turn", *(_percent(one.instant_agreement) for one in styles)],
        ["Turns that repeat the partner's words", *(_percent(one.copied_turns) for one in styles)],
        ["Conversations with differing answers", *(_percent(one.disagreement) for one in styles)],
        [
            "Words a turn",
            *("-" if one.words_per_turn is None else f"{one.words_per_turn:.1f}" for one in styles),
        ],
    ]
    yield _table(["", *names], rows)
    lines = [
        f"- {model.name}, {metric(name).title.lower()}: {_change(name, model.social[name])} since the start"
        for model in results.models
        if model.made
        for name in ("persuasion", "assertiveness", "conformity")
        if model.social[name].difference is not None
    ]
    if lines:
        yield "\n".join(lines)


def _data(results: Results) -> Iterable[str]:
    yield "## Data and training"
    header = ["model", "problems", "conversations", "candidates", "right", "tokens written"]
    header += ["rows", "tokens in rows", "steps", "learning rate"]
    yield _table(header, [_data_row(model.name, model.made) for model in results.models if model.made])
    rehearsed = [
        f"- {model.name}: {made.rehearsed.conversations:,} further conversations on "
        f"{made.rehearsed.problems:,} problems are its rehearsal; its rows are of both"
        for model in results.models
        if (made := model.made) and made.rehearsed
    ]
    if rehearsed:
        yield "\n".join(rehearsed)


def _data_row(name: str, made: Provenance) -> list[str]:
    training, sampled = made.training, ["-"] * 5
    if made.sampled is not None:
        drawn = made.sampled.candidates
        sampled = [
            f"{made.sampled.problems:,}",
            f"{made.sampled.conversations:,}",
            f"{drawn.drawn:,}" if drawn else "-",
            _percent(drawn.right / drawn.drawn if drawn and drawn.drawn else None),
            f"{_tokens(made.sampled, 'completion_tokens'):,}",
        ]
    return [
        name,
        *sampled,
        f"{made.rows:,}",
        f"{training.rows.trained_tokens:,}",
        f"{training.steps}",
        f"{training.config['learning_rate']:g}",
    ]


def _cost(results: Results) -> Iterable[str]:
    yield "## Cost"
    header = ["model", "sampling, tokens", "sampling, s", "rows, s", "training, s"]
    header += ["evaluation, tokens", "evaluation, s", "in all, s"]
    yield _table(header, [_cost_row(model) for model in results.models])
    devices = sorted({model.made.training.device for model in results.models if model.made})
    yield (
        f"Tokens are read and written together. Seconds are of the session that finished a step. Trained on: "
        f"{', '.join(devices)}. A sampling that arms share is counted with each."
    )


def _cost_row(model: ModelResult) -> list[str]:
    evaluation = sum(model.seconds.values())
    row = [model.name, "", "", "", ""]
    whole = evaluation
    if model.made:
        each = [model.made.seconds[step] for step in ("sample", "build", "train")]
        sampled = model.made.sampled
        row[1:] = [f"{_tokens(sampled):,}" if sampled else "-", *(f"{one:.0f}" for one in each)]
        whole += sum(each)
    read_and_written = sum(_tokens(one) for one in model.measured.values())
    return [*row, f"{read_and_written:,}", f"{evaluation:.0f}", f"{whole:.0f}"]


def _tokens(summary: Summary, field: str | None = None) -> int:
    usage = summary.usage.values()
    fields = (field,) if field else ("prompt_tokens", "completion_tokens")
    return sum(getattr(role, name) for role in usage for name in fields)


def _figure(model: ModelResult, sight: Sight) -> str:
    return _share(model.measured[sight].metrics[HEADLINE[sight]])


def _share(estimate: Estimate) -> str:
    """A share with its interval."""
    if estimate.mean is None:
        return "-"
    if estimate.low is None or estimate.high is None:
        return _percent(estimate.mean)
    return f"{100 * estimate.mean:.1f}% [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def points(estimate: Estimate | None) -> str:
    """A difference of shares with its interval, in points."""
    if estimate is None or estimate.mean is None:
        return "unknown"
    interval = (estimate.low, estimate.high)
    spread = ", ".join(f"{100 * end:+.1f}" for end in interval if end is not None)
    return f"{100 * estimate.mean:+.1f} [{spread}]" if spread else f"{100 * estimate.mean:+.1f}"


def _value(name: str, estimate: Estimate | None) -> str:
    if estimate is None or estimate.mean is None:
        return "-"
    if metric(name).interval == "difference":
        return f"{points(estimate)} (n = {estimate.n})"
    if metric(name).unit != "share":
        spread = "" if estimate.low is None else f" [{estimate.low:.2f}, {estimate.high:.2f}]"
        return f"{estimate.mean:.2f}{spread} (n = {estimate.n})"
    return f"{_share(estimate)} (n = {estimate.n})"


def _change(name: str, comparison: Comparison) -> str:
    if metric(name).unit == "share":
        return told(comparison)
    return f"{comparison.difference:+.2f} [{comparison.low:+.2f}, {comparison.high:+.2f}]"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}%"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)
