"""From a stream of conversations to the summary of a run."""

from __future__ import annotations

import gc
import random
import tracemalloc

import msgspec
import pytest

from coral.conversation.protocols import Settings, build
from coral.errors import ConfigError
from coral.metrics import (
    METRICS,
    AnswerClasses,
    PriceTable,
    Summary,
    Tally,
    load_prices,
    measure,
    summarize,
    trace_of,
)
from coral.types import StopReason, Usage

PAIR = build("pair", Settings(agents=("agent", "partner")))
ALONE = build("single", Settings(agents=("agent",)))


EXACTLY = {"mean", "stderr", "low", "high", "n", "num_failed", "num_unscored", "num_problems"}


async def test_the_stored_form(conversation, tally):
    """summary.json has the documented keys and reads back as it was."""
    runs = [conversation("RR", problem=f"p{i}", group={"order": str(i % 3)}) for i in range(6)]
    summary = summarize(await tally(runs))
    raw = msgspec.json.decode(msgspec.json.encode(summary))
    assert set(raw) == {
        "schema",
        "version",
        "own",
        "task",
        "protocol",
        "models",
        "metrics",
        "groups",
        "usage",
        "requests",
        "conversations",
        "owed",
        "problems",
        "stop_reasons",
        "failures",
        "cost",
        "candidates",
        "by_turn",
        "adjustments",
        "probes",
        "without_gold",
        "judged",
    }
    assert all(set(one) == EXACTLY for one in raw["metrics"].values())
    assert raw["usage"]["agent"]["completion_tokens"] == 6 * 2 * 10
    assert (raw["schema"], raw["requests"], raw["conversations"]) == (2, 12, 6)
    assert msgspec.json.decode(msgspec.json.encode(summary), type=Summary) == summary


async def test_means_are_means_of_what_measure_says(conversation, trace, tally):
    """A metric that is a mean over conversations is the mean of `measure` over them."""
    runs = [conversation(w, problem=w) for w in ("XRR", "RXRXX", "R?RR", "RR", "X!X", "X")]
    single = [measure(one, await trace(one), PAIR, prices=load_prices()) for one in runs]
    metrics = summarize(await tally(runs)).metrics
    for info in METRICS:
        if info.kind in {"mean", "mean_rate", "strict"} and info.name in metrics:
            values = [one[info.name] for one in single if one[info.name] is not None]
            assert metrics[info.name].n == len(values)
            if values:
                assert metrics[info.name].mean == pytest.approx(sum(values) / len(values), rel=1e-6), (
                    info.name
                )


async def test_ratios_are_pooled(conversation, tally):
    """1 right of XRR, 1 right and 1 wrong of XRRXX, none of RR: 2/3, not a mean of rates."""
    runs = [conversation(w, problem=w) for w in ("XRR", "XRRXX", "RR")]
    one = summarize(await tally(runs)).metrics["correct_persuasion"]
    assert (one.mean, one.n, one.num_problems) == (pytest.approx(2 / 3), 3, 2)


async def test_samples_of_a_problem_are_one_cluster(conversation, tally):
    """Ten equal samples of two problems say as much as one each."""
    few = [conversation(w, problem=w) for w in ("RR", "XX")]
    many = [conversation(w, problem=w, sample=i) for w in ("RR", "XX") for i in range(10)]
    one, ten = [summarize(await tally(runs)).metrics["agreement_correctness"] for runs in (few, many)]
    assert (one.mean, one.stderr, one.num_problems) == (ten.mean, ten.stderr, ten.num_problems)
    assert (one.n, ten.n) == (2, 20)


async def test_failed_and_unscored_are_told_apart(conversation, tally):
    """Scored R and X; U has no grade; one failed."""
    runs = [
        conversation("RR", problem="a"),
        conversation("XX", problem="b"),
        conversation("UU", problem="c"),
        conversation("R", problem="d", stop=StopReason.FAILED),
    ]
    summary = summarize(await tally(runs))
    one = summary.metrics["agreement_correctness"]
    assert (one.mean, one.n, one.num_unscored, one.num_failed) == (0.5, 2, 1, 1)
    strict = summary.metrics["agreement_correctness_strict"]
    assert (strict.mean, strict.n, strict.num_failed) == (1 / 4, 4, 0)
    assert (summary.metrics["failure_rate"].mean, summary.metrics["failure_rate"].n) == (1 / 4, 4)
    assert summary.stop_reasons == {"agreed": 3, "failed": 1}


@pytest.mark.parametrize(
    ("protocol", "words", "ungraded", "headline", "strict"),
    [
        ("coral", ["RR", "XX", "R!"], "UU", "agreement_correctness", "agreement_correctness_strict"),
        ("cot", ["R", "X", "!"], "U", "accuracy", "accuracy_strict"),
    ],
)
async def test_the_strict_scores_of_both_protocols_have_one_denominator(
    conversation, tally, protocol, words, ungraded, headline, strict
):
    """Of right, wrong, unreadable, ungraded and failed: a pair that cannot be read is wrong, a single answer
    unscored. So the headlines have other denominators; the strict ones can be compared.
    """
    runs = [conversation(w, problem=w, protocol=protocol) for w in [*words, ungraded]]
    runs.append(conversation(words[0], problem="f", protocol=protocol, stop=StopReason.FAILED))
    metrics = summarize(await tally(runs, protocol)).metrics
    assert (metrics[strict].mean, metrics[strict].n) == (1 / 5, 5)
    assert metrics[headline].n == {"coral": 3, "cot": 2}[protocol]
    assert metrics["reference/final_success_rate"].n == 4, "failed ones are in no published mean"


async def test_groups(conversation, tally):
    """Each value of each dimension has the metrics of its problems; numbers sort by size."""
    runs = [
        conversation(
            "RR" if order < 3 else "XX", problem=f"p{order}", group={"order": str(order), "kind": "a"}
        )
        for order in (10, 2, 1)
    ]
    groups = summarize(await tally(runs)).groups
    assert list(groups) == ["kind", "order"]
    assert list(groups["order"]) == ["1", "2", "10"]
    assert [one["agreement_correctness"].mean for one in groups["order"].values()] == [1.0, 1.0, 0.0]
    assert groups["kind"]["a"]["agreement_correctness"].mean == pytest.approx(2 / 3)
    assert groups["order"]["1"]["agreement_correctness"].stderr is None, "one problem"


@pytest.mark.parametrize(
    ("samples", "vote", "any_right", "why"),
    [
        (["R", "R", "X"], 1.0, 1.0, "two of three"),
        (["R", "X", "X"], 0.0, 1.0, "outvoted"),
        (["R", "R2", "X", "X2", "Y"], 0.5, 1.0, "a tie between right and wrong: half"),
        (["R", "X", "Y", "Z"], 0.25, 1.0, "a tie of four"),
        (["R", "R2", "X"], 1.0, 1.0, "equal answers in other words are one answer"),
        (["R", "?", "!"], 1.0, 1.0, "who has no answer abstains"),
        (["?", "?"], 0.0, 0.0, "nobody has an answer"),
        (["U", "U", "X"], 0.0, 0.0, "the winner has no grade: it is not known to be right"),
        (["U", "X", "X"], 0.0, 0.0, "the loser has none"),
        (["!", "X", "X"], 0.0, 0.0, "what cannot be read is not right"),
        (["!", "!"], 0.0, 0.0, "nothing can be read"),
        (["U", "R", "R"], 1.0, 1.0, "one is right whatever the other is"),
    ],
)
async def test_votes(conversation, tally, samples, vote, any_right, why):
    """Majority vote and any-right over the samples of one problem. What is not known is not right: leaving
    such problems out would keep those that another sample solved.
    """
    runs = [conversation([word], sample=i, protocol="cot") for i, word in enumerate(samples)]
    metrics = summarize(await tally(runs, "cot")).metrics
    assert (metrics["majority_vote"].mean, metrics["pass_any"].mean) == (vote, any_right), why
    assert metrics["majority_vote"].num_unscored == metrics["pass_any"].num_unscored == 0


@pytest.mark.parametrize(
    ("samples", "low", "high", "any_high", "why"),
    [
        (["R", "R", "X", "!"], 0.5, 1.0, 1.0, "the silent one may tie"),
        (["R", "X", "!"], 0.0, 1.0, 1.0, "it may decide either way"),
        (["R", "R", "R", "!"], 1.0, 1.0, 1.0, "it cannot matter"),
        (["X", "X", "!"], 0.0, 0.0, 1.0, "too late for the vote, but it may be right"),
        (["X", "!", "!"], 0.0, 1.0, 1.0, "two may agree on an answer that nobody was seen to give"),
        (["X", "?"], 0.0, 0.0, 0.0, "who is unsure is known to have no answer"),
        (["U", "U", "X"], 0.0, 1.0, 1.0, "an answer without a grade may be right"),
        (["R", "R", "X", "Y", "!", "!"], 0.0, 1.0, 1.0, "at worst both are for the same wrong one"),
    ],
)
async def test_bounds_of_votes(conversation, tally, samples, low, high, any_high, why):
    """What the figures would be if everything that is not known were wrong, or right."""
    runs = [conversation([word], sample=i, protocol="cot") for i, word in enumerate(samples)]
    metrics = summarize(await tally(runs, "cot")).metrics
    names = ("majority_vote_low", "majority_vote_high", "pass_any_high")
    assert tuple(metrics[name].mean for name in names) == (low, high, any_high), why


@pytest.mark.parametrize("unreadable", [0.0, 0.1, 0.3])
async def test_bounds_hold_the_truth(conversation, tally, unreadable):
    """Of samples of which some cannot be read, figure and truth lie between the bounds, and the share of
    problems with a right sample is never above the truth.
    """
    rng = random.Random(unreadable)
    full, read = [], []
    for problem in range(300):
        hardness = rng.random()
        for sample in range(5):
            word = rng.choice("XYZ") if rng.random() < hardness else "R"
            seen = "!" if rng.random() < unreadable else word
            for runs, one in ((full, word), (read, seen)):
                runs.append(conversation(one, problem=f"p{problem}", sample=sample, protocol="cot"))
    truth, seen = [summarize(await tally(runs, "cot")).metrics for runs in (full, read)]
    for name in ("majority_vote", "pass_any"):
        low = seen.get(f"{name}_low", seen[name]).mean
        assert low <= seen[name].mean <= seen[f"{name}_high"].mean
        assert low <= truth[name].mean <= seen[f"{name}_high"].mean
        assert seen[name].num_problems == truth[name].num_problems == 300


async def test_one_sample_a_problem_votes_as_the_strict_score_counts(conversation, same):
    """The rule for several samples is that for one."""
    sums = Tally(task="t", rules=ALONE)
    classes = AnswerClasses()
    for problem, words in {"a": "R", "b": "X", "c": "!", "d": "U", "e": "?", "f": "RR"}.items():
        for sample, word in enumerate(words):  # one problem has two, so that there is a vote
            one = conversation(word, problem=problem, sample=sample, protocol="cot")
            sums.add(one, await trace_of(one, same, classes))
    metrics = summarize(sums).metrics
    assert (metrics["majority_vote"].mean, metrics["pass_any"].mean) == (2 / 6, 2 / 6)
    assert metrics["accuracy_strict"].mean == pytest.approx(3 / 7)


async def test_a_vote_needs_answers_that_were_compared(conversation, same):
    """Class numbers of separate traces mean nothing to each other: the vote is unscored, not guessed."""
    sums = Tally(task="t", rules=ALONE)
    for i, word in enumerate("RRX"):
        one = conversation(word, sample=i, protocol="cot")
        sums.add(one, await trace_of(one, same))
    vote = summarize(sums).metrics["majority_vote"]
    assert (vote.mean, vote.n, vote.num_unscored) == (None, 0, 1)


async def test_single_samples_have_no_vote(conversation, tally):
    """One sample a problem: a vote would only repeat the score."""
    assert "majority_vote" not in summarize(await tally([conversation("RR")])).metrics


async def test_order_does_not_matter(conversation, tally):
    """Conversations end in any order, in any shard; the numbers are the same to the last digit."""
    runs = [
        conversation(w, problem=f"p{i % 7}", sample=i, group={"g": str(i % 7 % 2)}, tokens=[7 + i] * len(w))
        for i, w in enumerate(["RR", "XRR", "XX", "R?RR", "RXRX", "XRRR", "?RRXX"] * 6)
    ]
    one = summarize(await tally(runs))
    for number in range(4):
        random.Random(number).shuffle(runs)
        assert summarize(await tally(runs)) == one


async def test_nothing_finished(conversation, tally):
    """A run of failures has a summary, without a single made-up number."""
    for runs in ([], [conversation("R", stop=StopReason.FAILED)]):
        summary = summarize(await tally(runs))
        assert summary.metrics["agreement_correctness"].mean is None
        assert summary.cost is None
        assert msgspec.json.encode(summary)


async def test_cost_per_right_answer_pools_and_totals(conversation, tally):
    """Two conversations, one right: the price of both over one. Nothing right: no number."""
    price = (200 * 0.15 + 20 * 0.60) / 1e6
    summary = summarize(await tally([conversation("RR", problem="a"), conversation("XX", problem="b")]))
    assert summary.metrics["cost_per_right_answer"].mean == pytest.approx(2 * price)
    assert summary.cost == pytest.approx(2 * price)
    nothing = summarize(await tally([conversation("XX")]), prices=load_prices()).metrics
    assert nothing["cost_per_right_answer"].mean is None
    unknown = summarize(await tally([conversation("RR")]), prices=PriceTable({}))
    assert (unknown.cost, unknown.metrics["cost"].mean, unknown.metrics["cost"].num_unscored) == (
        None,
        None,
        1,
    )


async def test_usage_by_role(conversation, tally):
    """Tokens and requests by role, failed conversations included; what is not counted is said."""
    runs = [
        conversation("RR", problem="a", partner=True, tokens=[10, 20]),
        conversation("R", problem="b", partner=True, tokens=[None], stop=StopReason.FAILED),
    ]
    usage = summarize(await tally(runs)).usage
    # The opener is the agent, so the partner has the responder's turns 1 and 1.
    assert (usage["agent"].completion_tokens, usage["agent"].requests) == (20, 1)
    partner = usage["partner"]
    assert (partner.completion_tokens, partner.calls, partner.num_uncounted) == (10, 2, 1)


@pytest.mark.parametrize(
    ("second", "why"),
    [
        ({"beliefs": "R", "protocol": "cot"}, "another protocol"),
        ({"beliefs": "RR", "model": "openai/gpt-4o"}, "another model"),
        ({"beliefs": "RR", "partner": True}, "a partner where there was none"),
    ],
)
async def test_runs_are_not_mixed(conversation, tally, second, why):
    """One tally measures one run."""
    with pytest.raises(ConfigError):
        await tally([conversation("RR"), conversation(**second)])


async def test_memory_is_below_a_kilobyte_a_conversation(conversation, trace):
    """A tally keeps numbers, no conversations."""
    one = conversation("XRXR", partner=True)
    seen = await trace(one)
    sums = Tally(task="t", rules=PAIR)
    sums.add(one, seen)
    gc.collect()
    tracemalloc.start()
    for i in range(1000):
        problem = msgspec.structs.replace(one.problem, id=f"problem-{i}")
        sums.add(msgspec.structs.replace(one, problem=problem), seen)
    gc.collect()  # lists of free tuples count as used
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / 1000 < 800


def test_cached_tokens_are_never_more_than_prompt_tokens():
    """A server that reports more cached than prompt tokens does not make a call cheaper than free."""
    from coral.metrics.cost import Call, tokens_of

    tokens = tokens_of([Call("agent", Usage(prompt_tokens=10, completion_tokens=1, cached_tokens=50), 1)])
    assert tokens == (10.0, 10.0, 1.0)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        (["R", "X", "X", "X", "X"], {1: 1 / 5, 5: 1.0}),
        (["X", "X", "X", "X", "X"], {1: 0.0, 5: 0.0}),
        (["R", "R", "X", "?", "!", "U"], {1: 2 / 6, 5: 1.0}),
        (["R", *["X"] * 9], {1: 1 / 10, 5: 1 / 2, 10: 1.0}),
        (["R"] * 3 + ["X"] * 7, {1: 3 / 10, 5: 1 - 21 / 252, 10: 1.0}),
        (["R", "X"], {1: 1 / 2}),
    ],
)
async def test_pass_at_k(conversation, tally, samples, expected):
    """1 - C(n - c, k) / C(n, k), for every k that has as many samples; what cannot be read is not right."""
    runs = [conversation([word], sample=i, protocol="cot") for i, word in enumerate(samples)]
    metrics = summarize(await tally(runs, "cot")).metrics
    found = {k: metrics[f"pass_at_{k}"].mean for k in (1, 5, 10, 100) if f"pass_at_{k}" in metrics}
    assert found == pytest.approx(expected)


async def test_a_problem_with_too_few_samples_is_unscored(conversation, tally):
    """It is not counted among the others with another k, and says so."""
    runs = [
        conversation(["R" if i == 0 else "X"], sample=i, protocol="cot", problem=name)
        for name, number in (("p1", 8), ("p2", 2))
        for i in range(number)
    ]
    estimate = summarize(await tally(runs, "cot")).metrics["pass_at_5"]
    assert (estimate.mean, estimate.n, estimate.num_unscored) == (pytest.approx(5 / 8), 1, 1)


async def test_pass_at_k_has_an_interval(conversation, tally):
    """Over problems, as every share."""
    runs = [
        conversation(["R" if (i + number) % 3 == 0 else "X"], sample=i, protocol="cot", problem=f"p{number}")
        for number in range(6)
        for i in range(5)
    ]
    estimate = summarize(await tally(runs, "cot")).metrics["pass_at_1"]
    assert estimate.low < estimate.mean < estimate.high
