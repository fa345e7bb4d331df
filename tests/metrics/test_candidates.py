"""Several candidates a turn in metrics: cost is complete, counted once, and the chosen path is measured."""

import msgspec
import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import CandidateCounter, measure, summarize
from coral.metrics.cost import calls_of, tokens_of
from coral.types import Extraction, Failure, FinishReason, Rollout, Spent, StopReason, Usage

PAIR = build("pair", Settings(agents=("agent", "partner")))


SUM = Usage(prompt_tokens=100, completion_tokens=60)
SPENT = (
    Spent(role="agent", calls=2, requests=3, usage=Usage(prompt_tokens=200, completion_tokens=20)),
    Spent(role="extractor", calls=2, requests=2, usage=Usage(prompt_tokens=50, completion_tokens=4)),
)


@pytest.fixture
def tree(conversation):
    """A conversation whose first turn drew several candidates in one request."""

    def make(siblings="X?!", *, usage=SUM, attempts=2, rollouts=(), extraction=None, stop=StopReason.AGREED):
        one = conversation("RR", stop=stop)
        replies = [turn.reply for turn in conversation(f"R{siblings}", stop=stop).turns]
        replies = [msgspec.structs.replace(reply, usage=None, attempts=0) for reply in replies]
        replies[0] = msgspec.structs.replace(replies[0], rollouts=tuple(rollouts))
        if extraction:
            replies[1:] = [msgspec.structs.replace(reply, extraction=extraction) for reply in replies[1:]]
        first = msgspec.structs.replace(one.turns[0], replies=tuple(replies), usage=usage, attempts=attempts)
        return msgspec.structs.replace(one, turns=(first, one.turns[1]))

    return make


async def test_trap_7_the_sum_over_candidates_counts_once(tree, trace):
    """Tokens and retries of a request for several candidates are the request's, not each candidate's."""
    one = tree()
    tokens = tokens_of(calls_of(one))
    assert (tokens.prompt, tokens.completion) == (100 + 100, 60 + 10)
    values = measure(one, await trace(one), PAIR)
    assert values["total_tokens"] == 270
    assert values["conversation_tokens"] is None, "tokens of the chosen candidate alone are not known"


async def test_usage_by_role_counts_replies_and_requests_apart(tree, tally):
    """Four candidates in two requests (one retry), and one reply in one."""
    usage = summarize(await tally([tree()])).usage["agent"]
    assert (usage.calls, usage.requests, usage.num_uncounted) == (4 + 1, 2 + 1, 0)


async def test_a_request_that_no_server_counted_is_unknown(tree, trace, tally):
    """Unknown is not zero: neither for the conversation nor in the count of uncounted replies."""
    one = tree(usage=Usage())
    assert measure(one, await trace(one), PAIR)["total_tokens"] is None
    assert summarize(await tally([one])).usage["agent"].num_uncounted == 4


async def test_rollouts_belong_to_the_cost(tree, tally, trace):
    """By role, requests of failed ones included."""
    failure = Failure(where="turn 1/c0/r1/2 (opener)", type="Unreachable", message="gone", attempts=4)
    ends = [
        Rollout(stop=StopReason.AGREED, turns=2, answer="R", correct=True, spent=SPENT),
        Rollout(stop=StopReason.FAILED, turns=0, failure=failure),
    ]
    one = tree(rollouts=ends)
    assert measure(one, await trace(one), PAIR)["total_tokens"] == 270 + 220 + 54
    summary = summarize(await tally([one]))
    assert summary.usage["extractor"].completion_tokens == 4
    assert summary.usage["agent"].requests == 3 + 3
    assert summary.requests == 3 + 3 + 2 + 4
    assert summary.failures == {}, "a failed roll-out is no failed conversation"


async def test_an_extraction_shared_by_siblings_is_paid_once(tree):
    """The repeated ones were not asked for: they add no call and no unknown tokens."""
    shared = Extraction(by="model", text="Answer: X")
    assert [call.role for call in calls_of(tree(extraction=shared))] == ["agent", "agent"]


async def test_metrics_are_those_of_the_chosen_path(tree, conversation, trace):
    """Siblings change what a conversation cost, not how it came out or who persuaded whom."""
    plain = conversation("RR")
    chosen, alone = tree(), await trace(plain)
    sampled, single = measure(chosen, await trace(chosen), PAIR), measure(plain, alone, PAIR)
    ends = ("prompt", "completion", "t_len")
    cost = {name for name in single if "token" in name or name.endswith(ends)}
    assert {name: value for name, value in sampled.items() if name not in cost} == {
        name: value for name, value in single.items() if name not in cost
    }


@pytest.mark.parametrize(
    ("siblings", "paired", "why"),
    [
        ("X", 1, "a right and a wrong one"),
        ("?", 1, "unsure is not right"),
        ("!", 1, "nor is what cannot be read"),
        ("R", 0, "two right ones have nothing between them"),
    ],
)
def test_turns_of_which_a_pair_can_be_made(tree, siblings, paired, why):
    """A right candidate, and one that is not."""
    counter = CandidateCounter()
    counter.add(tree(siblings))
    assert counter.counts().paired_turns == paired, why


def test_candidates_are_counted_by_grade(tree):
    """The grades add up to all that were drawn; failed conversations are in none of the counts."""
    counter = CandidateCounter()
    ends = [Rollout(stop=StopReason.AGREED, turns=2, correct=True), Rollout(stop=StopReason.FAILED, turns=0)]
    counter.add(tree("XU?!", rollouts=ends))
    counter.add(tree(stop=StopReason.FAILED))
    counts = counter.counts()
    assert (counts.right, counts.wrong, counts.ungraded, counts.unsure, counts.unreadable) == (2, 1, 1, 1, 1)
    assert counts.drawn == 6
    assert (counts.turns, counts.cut) == (2, 0)
    assert (counts.rollouts, counts.right_rollouts, counts.failed_rollouts) == (2, 1, 1)


def test_cut_candidates_are_counted_among_the_unreadable(tree):
    """They are a sign of too small a token limit."""
    one = tree("!")
    replies = (one.turns[0].replies[0], msgspec.structs.replace(
        one.turns[0].replies[1], finish_reason=FinishReason.LENGTH
    ))  # fmt: skip
    first = msgspec.structs.replace(one.turns[0], replies=replies)
    counter = CandidateCounter()
    counter.add(msgspec.structs.replace(one, turns=(first, one.turns[1])))
    assert (counter.counts().cut, counter.counts().unreadable) == (1, 1)
