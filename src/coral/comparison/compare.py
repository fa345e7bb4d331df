"""Stored runs on the same problems, paired: no model is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from coral import workers
from coral.comparison.facts import RIGHT, Measured
from coral.comparison.groups import OfGroup, by_group, common_measure, compare_headline
from coral.comparison.power import Design, between, rates_of
from coral.comparison.seeds import SeedMean, difference, seed_mean
from coral.errors import ConfigError
from coral.evaluation.identity import config_digest
from coral.evaluation.measure import owed, own_of, tally_run
from coral.metrics import Comparison, Estimate, MetricInfo, adjusted, compare, holm, metric
from coral.metrics.catalog import BY_TURN
from coral.metrics.estimate import estimate
from coral.metrics.own import OwnMetric, own_info, own_metric
from coral.metrics.tally import Tally, View
from coral.store.folder import RunFolder
from coral.tasks.registry import task_of
from coral.types import Conversation, Record

CHANGES = (
    "first_accuracy",
    "opener_first_accuracy",
    "final_accuracy",
    "conversation_gain",
    "wrong_to_right",
    "right_to_wrong",
    "unsure_to_right",
    "false_agreement",
    "oracle_gap",
)
"""What talking changed: first answers of a pair's conversations against their ends."""
VOTE = "majority_vote"
"""Compared where either run has several samples of a problem; one sample is a vote of one."""
STEPS = 3
"""How many turns agreement is compared by, from the first at which any conversation agreed."""
FURTHER = (
    "agreement",
    "persuasion",
    "correct_persuasion",
    "assertiveness",
    "conformity",
    "lost_right_answer_rate",
    "gained_right_answer_rate",
    "valid_answer_rate",
    "turns",
    "conversation_tokens",
    "total_tokens",
    "tokens_per_right_answer",
)
"""What is compared beside the headline, where both protocols have it."""


class PairedRuns(Record, frozen=True):
    """Run b against run a.

    Attributes:
        protocols: of a and b.
        unfinished: conversations that each still owes: what is there leans to short ones.
        comparisons: the headline first.
        changed: which of the two runs talked, `a` or `b`, where the other is of an agent that answers once.
        changes: what talking changed in the conversations of that run, on the shared problems.
        unreadable: share of the other run's answers that cannot be read.
        same_draws: both runs have one seed and one salt, so what they ask alike they draw alike.
        own: the metrics that the user added, and the unit of each.
        controls: one of them is beside a control partner, where the agent's last answer counts as right.
        design: of the two runs, by their headline: what they find, and what a difference needs.
        graded: some shared problem has a gold answer; else nothing is right or wrong.
        reading_alone: errors of reading alone could produce the difference of the headline, as audits of both
            runs say; None where there are none.
        by: the dimension by which problems are grouped; empty where none was asked for.
        groups: the headline by its values.
        ungrouped: shared problems without a value of it.
    """

    task: str
    protocols: tuple[str, str]
    unfinished: tuple[int, int]
    comparisons: tuple[Comparison, ...]
    changed: str = ""
    changes: dict[str, Estimate] = msgspec.field(default_factory=dict)
    unreadable: float = 0.0
    same_draws: bool = False
    own: dict[str, str] = msgspec.field(default_factory=dict)
    controls: bool = False
    design: Design | None = None
    graded: bool = True
    reading_alone: bool | None = None
    by: str = ""
    groups: tuple[OfGroup, ...] = ()
    ungrouped: int = 0

    def _repr_html_(self) -> str:
        """The tables, as notebooks show them."""
        from coral.comparison.rows import as_html

        return as_html(self)


class SeveralRuns(Record, frozen=True):
    """Several runs, each against the first.

    Attributes:
        baseline: folder of the first.
        others: folders of the others.
        compared: each of them against the first, in order.
        p_holm: p-values of the headlines, adjusted for their number (Holm 1979); None without a p-value.
        seeds: the mean over the seeds of each configuration, in order, where one of them has several runs.
    """

    baseline: str
    others: tuple[str, ...]
    compared: tuple[PairedRuns, ...]
    p_holm: tuple[float | None, ...]
    seeds: tuple[SeedMean, ...] = ()

    def _repr_html_(self) -> str:
        """The tables, as notebooks show them."""
        from coral.comparison.rows import as_html

        return as_html(self)


Own = Callable[[], Sequence[OwnMetric]]
"""Makes the metrics that the user adds, once for each run."""


async def compare_runs(a: RunFolder, b: RunFolder, own: Own | None = None) -> PairedRuns:
    """Compare two stored runs, paired by problem.

    Args:
        own: by default the metrics that either run names.

    Raises:
        UserError: a folder cannot be read, or the runs are not about the same problems.
    """
    return (await compare_several(a, [b], own)).compared[0]


async def compare_several(
    baseline: RunFolder, others: Sequence[RunFolder], own: Own | None = None, by: str | None = None
) -> SeveralRuns:
    """Compare stored runs with the first, each paired by problem.

    Args:
        own: as in `compare_runs`.
        by: a dimension of the problems' groups, by which the headline is compared, too.

    Raises:
        UserError: as `compare_runs`, or the problems have no such group.
    """
    for other in others:
        check_same_task(baseline, other)
    own = own or _named_by(baseline, *others)
    async with workers.in_use():
        first, *rest = [await _measured(folder, own) for folder in (baseline, *others)]
    compared = [_paired(first, other) for other in rest]
    if by is not None:
        found = by_group(by, first, rest)
        compared = [
            msgspec.structs.replace(runs, by=by, groups=groups.groups, ungrouped=groups.ungrouped)
            for runs, groups in zip(compared, found, strict=True)
        ]
    return SeveralRuns(
        baseline=str(baseline.path),
        others=tuple(str(folder.path) for folder in others),
        compared=tuple(compared),
        p_holm=tuple(adjusted(holm, [runs.comparisons[0].p_value for runs in compared])),
        seeds=tuple(_over_seeds([first, *rest])),
    )


def _over_seeds(runs: Sequence[Measured]) -> list[SeedMean]:
    """The mean of each configuration, and its difference to the first; none where all have one run, or where
    nothing is known of any problem.
    """
    once = {str(run.folder.path): run for run in runs}  # a run beside itself is no other seed
    configurations: dict[str, list[Measured]] = {}
    for run in once.values():
        configurations.setdefault(config_digest(run.folder.identity()), []).append(run)
    if len(configurations) == len(once):
        return []
    found: list[SeedMean] = []
    name = common_measure(list(once.values()))
    rates = {key: [_rates(run, name) for run in same] for key, same in configurations.items()}
    baseline, clusters = next(iter(rates.values())), runs[0].tally.cluster_names
    for key, same in configurations.items():
        mean = seed_mean([str(run.folder.path) for run in same], rates[key], name, clusters)
        against = difference(baseline, rates[key], clusters) if found else None
        if against is not None:
            value, (low, high) = against
            mean = msgspec.structs.replace(mean, difference=value, difference_low=low, difference_high=high)
        found.append(mean)
    return found if any(mean.num_problems for mean in found) else []


async def _measured(folder: RunFolder, own: Own) -> Measured:
    questions = Questions()
    tally = await tally_run(folder, task_of(folder), collectors=[questions], own=own())
    return Measured(folder, tally, questions.asked)


def _paired(a: Measured, b: Measured) -> PairedRuns:
    check_same_problems(a.asked, b.asked)
    first, second = a.tally, b.tally
    changed = _talker(first, second)
    changes, unreadable = _what_talking_changed(first, second, changed)
    added = _own(first, second)
    headline = compare_headline(a, b)
    return PairedRuns(
        task=first.task,
        protocols=(first.protocol, second.protocol),
        unfinished=(owed(a.folder, first), owed(b.folder, second)),
        comparisons=(
            headline,
            *(compare(first, second, name) for name in _further(first, second) if name != headline.metric),
            *(compare(first, second, info) for info in added),
        ),
        changed=changed,
        changes=changes,
        unreadable=unreadable,
        same_draws=_draws(a.folder) == _draws(b.folder),
        own={info.name: info.unit for info in added},
        controls="final_accuracy" in (a.headline, b.headline),
        design=_design(a, b),
        graded=a.is_graded and b.is_graded,
    )


def _design(a: Measured, b: Measured) -> Design | None:
    """None where they share less than two problems of which something is known."""
    name = common_measure((a, b))
    first, second = (_rates(one, name) for one in (a, b))
    if len(first.keys() & second.keys()) < 2:
        return None
    design = between(first, second, f"{a.folder.path} and {b.folder.path}", a.tally.cluster_names)
    return msgspec.structs.replace(design, by=name)


def _rates(run: Measured, name: str) -> dict[str, float]:
    """A measure of a run on each problem."""
    return rates_of(run.tally, metric(run.headline if name == RIGHT else name))


def _named_by(*folders: RunFolder) -> Callable[[], list[OwnMetric]]:
    """Makes the metrics that the options of either run name."""
    names = dict.fromkeys(metric.name for folder in folders for metric in own_of(folder))
    return lambda: [own_metric(name) for name in names]


def _own(a: Tally, b: Tally) -> list[MetricInfo]:
    """The metrics that the user added: shares, where both runs have only truths."""
    pairs = zip(a.own, b.own, strict=True)
    return [own_info(x.name, is_share=x.info.unit == y.info.unit == "share") for x, y in pairs]


def _draws(folder: RunFolder) -> tuple[object, object]:
    identity = folder.identity()
    return identity["seed"], identity.get("salt", "")


def _further(a: Tally, b: Tally) -> list[str]:
    names = (*CHANGES, *_by_turn(a.view(), b.view()), *FURTHER)
    both = [name for name in names if all(metric(name).applies(run.rules) for run in (a, b))]
    if any(run.num_conversations > run.num_problems for run in (a, b)):  # else a vote is the headline
        both.insert(0, VOTE)
    return both


def _by_turn(*views: View) -> list[str]:
    """Agreement, and right agreement, within the first turns at which conversations agreed."""
    turns = sorted({turn for view in views for turn in view.agreed_turns()})
    return [f"{kind}_within/{turn}" for turn in turns[:STEPS] for kind in BY_TURN]


def _talker(a: Tally, b: Tally) -> str:
    """Which run's agents are asked for an answer again, where the other's are not."""
    if a.rules.answers_once == b.rules.answers_once:
        return ""
    return "b" if a.rules.answers_once else "a"


def _what_talking_changed(a: Tally, b: Tally, changed: str) -> tuple[dict[str, Estimate], float]:
    """What talking changed in one run, and how much of the other cannot be read."""
    if not changed:
        return {}, 0.0
    talked, other = (a, b) if changed == "a" else (b, a)
    shared = [name for name in talked.problems if name in other.problems]
    talk = talked.view({talked.problems[name] for name in shared})
    answered = other.view({other.problems[name] for name in shared})
    names = [name for name in CHANGES if metric(name).applies(talked.rules)]
    changes = {name: estimate(metric(name), talk) for name in (*names, *_by_turn(talk))}
    unreadable = estimate(metric("unreadable_rate"), answered).mean
    return changes, unreadable or 0.0


class Questions:
    """A hash of what was asked, by the problem's id: texts need not be kept."""

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}

    def add(self, conversation: Conversation) -> None:
        self.asked[conversation.problem.id] = hash(conversation.problem.question)


def check_same_task(a: RunFolder, b: RunFolder) -> None:
    """Refuse runs of two tasks."""
    tasks = [str(folder.identity()["task"]["name"]) for folder in (a, b)]
    if tasks[0] != tasks[1]:
        raise ConfigError(
            f"the runs are of two tasks: {tasks[0]} and {tasks[1]}",
            remedy="compare runs on the same problems",
        )


def check_same_problems(before: Mapping[str, int], after: Mapping[str, int]) -> None:
    """Refuse runs that share no problem, or call two problems by one id."""
    shared = before.keys() & after.keys()
    if not shared:
        raise ConfigError(
            "the runs share no problem",
            remedy="evaluate both with the same --data, --split, --limit and --seed",
        )
    other = sorted(name for name in shared if before[name] != after[name])
    if other:
        raise ConfigError(
            f"problem {other[0]} is not the same in both runs ({len(other)} of {len(shared)} differ)",
            remedy="evaluate both with the same data and options of the task",
        )
