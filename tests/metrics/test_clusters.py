"""Problems that were drawn together, such as two programs for one task, are one draw."""

from __future__ import annotations

import msgspec
import pytest

from coral.comparison import power, seeds
from coral.metrics import compare, summarize
from coral.metrics.statistics import cluster_names, clustered_ratio, spread_of

WORDS = ["RR", "XR", "XXR", "R?XX", "XX", "RXR", "??", "RR", "XRR", "RRR"]
OTHERS = ["RR", "RR", "XXX", "RRXX", "XR", "RXR", "RR", "XX", "RRR", "X?R"]
NAMES = (
    "agreement_correctness", "agreement_correctness_strict", "agreement", "turns", "conversation_tokens",
    "unsure_rate", "assertiveness", "conversation_gain",
)  # fmt: skip


def twins(conversation, words):
    """Two problems per cluster: one as told, one as the next one is told."""
    made = [
        conversation(words[(n + of) % len(words)], problem=f"p{n}{'ab'[of]}")
        for n in range(len(words))
        for of in (0, 1)
    ]
    return [
        msgspec.structs.replace(
            one, problem=msgspec.structs.replace(one.problem, cluster=one.problem.id[:-1])
        )
        for one in made
    ]


def samples(conversation, words):
    """The same as two samples of one problem."""
    return [
        conversation(words[(n + of) % len(words)], problem=f"p{n}", sample=of)
        for n in range(len(words))
        for of in (0, 1)
    ]


@pytest.mark.parametrize("name", NAMES)
async def test_an_estimate_is_as_sure_as_with_samples_of_one_problem(conversation, tally, name):
    mine = summarize(await tally(twins(conversation, WORDS))).metrics[name]
    theirs = summarize(await tally(samples(conversation, WORDS))).metrics[name]
    for field in ("mean", "stderr", "low", "high", "n"):
        assert getattr(mine, field) == pytest.approx(getattr(theirs, field))
    assert mine.num_problems > theirs.num_problems


@pytest.mark.parametrize("name", NAMES[:-1])  # a gain is not known of each conversation
async def test_a_difference_is_as_sure_as_with_samples_of_one_problem(conversation, tally, name):
    mine, theirs = [
        compare(await tally(made(conversation, WORDS)), await tally(made(conversation, OTHERS)), name)
        for made in (twins, samples)
    ]
    for field in ("a", "b", "difference", "stderr", "low", "high", "p_value"):
        assert getattr(mine, field) == pytest.approx(getattr(theirs, field))


async def test_only_shared_problems_of_a_cluster_count(conversation, tally):
    """A cluster of which two runs hold different problems is no pair."""
    whole = twins(conversation, WORDS)
    result = compare(await tally(whole[::2]), await tally(whole[:5]), "agreement")
    assert (result.num_problems, result.num_only_a, result.num_only_b) == (3, 7, 2)


async def test_clusters_outlive_parts_and_sorting(conversation, tally):
    """A run in shards may hold a cluster in two of them."""
    whole = twins(conversation, WORDS)
    first, second = await tally(whole[1::2][::-1]), await tally(whole[::2])
    first.merge(second.part())
    first.sort()
    mine, theirs = summarize(first), summarize(await tally(whole))
    assert first.cluster_names == {one.problem.id: one.problem.cluster for one in whole}
    for name in NAMES:
        assert msgspec.structs.astuple(mine.metrics[name]) == pytest.approx(
            msgspec.structs.astuple(theirs.metrics[name]), nan_ok=True
        )


CLUSTERS = {f"{n}{of}": f"{n}" for n in range(4) for of in "ab"}
"""Of problems with the rates below; "5" is alone."""
FIRST = dict(zip([*CLUSTERS, "5"], [1.0, 0.5, 0.0, 0.0, 1.0, 1.0, 0.5, 0.0, 1.0], strict=True))
SECOND = dict(zip([*CLUSTERS, "5"], [1.0, 1.0, 0.0, 0.5, 1.0, 0.0, 0.5, 1.0, 0.0], strict=True))


def test_a_spread_tells_the_standard_error():
    """Of values in clusters: as many independent values with it tell as much of the mean."""
    values, names = list(FIRST.values()), cluster_names(list(FIRST), CLUSTERS)
    assert spread_of(values) == pytest.approx(0.46398, abs=1e-5)
    assert spread_of(values, names) == pytest.approx(
        3 * clustered_ratio(values, [1.0] * 9, names).stderr, abs=1e-12
    )
    design = power.between(FIRST, SECOND, "", CLUSTERS)
    assert design.spread == pytest.approx(spread_of([SECOND[one] - FIRST[one] for one in FIRST], names))
    assert design.problems == 9


def test_means_over_seeds_take_a_cluster_as_one_draw():
    """Twins that always agree tell as much as one problem each."""
    runs = [{"a": 1.0, "b": 0.0, "c": 1.0}, {"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 0.0, "b": 0.0, "c": 1.0}]
    doubled = [{f"{key}{of}": rate for key, rate in run.items() for of in "12"} for run in runs]
    clusters = {name: name[0] for name in doubled[0]}
    single, double = seeds.seed_mean("xyz", runs), seeds.seed_mean("xyz", doubled, clusters=clusters)
    assert (double.mean, double.low, double.high) == pytest.approx((single.mean, single.low, single.high))
    assert double.num_problems == 6
    alone = seeds.difference(runs[:2], runs[2:])
    value, interval = seeds.difference(doubled[:2], doubled[2:], clusters)
    assert (value, *interval) == pytest.approx((alone[0], *alone[1]))
