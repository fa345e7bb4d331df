"""What is said off the record against what is said: hand-worked values."""

import msgspec
import pytest

from coral.metrics import Tally, compare, measure, metric, summarize, trace_of
from coral.metrics.probes import PROBES
from coral.types import Parent, Probe

from .conftest import belief_of, equal, grade_of, rules_of


def probed(one, words, probabilities=None):
    """The conversation of the shorthand, each turn with a private belief; `-` is a turn without a probe."""
    stated = probabilities or [None] * len(words)
    turns = []
    for turn, word, probability in zip(one.turns, words, stated, strict=True):
        reply = msgspec.structs.replace(turn.reply, belief=belief_of(word), correct=grade_of(word))
        probe = None if word == "-" else Probe(reply=reply, probability=probability)
        turns.append(msgspec.structs.replace(turn, probe=probe))
    return msgspec.structs.replace(one, turns=tuple(turns))


async def tallied(conversations, protocol="coral"):
    sums = Tally(task="t", rules=rules_of(protocol), probed=True)
    for one in conversations:
        sums.add(one, await trace_of(one, equal))
    sums.sort()
    return sums


# Of public RRRX... and private ...: (compared, differs, private right of readable, only private, only public)
WORKED = [
    ("XR", "XR", (2, 0, 1, 2, 0, 0)),
    ("XR", "RR", (2, 1, 2, 2, 1, 0)),
    ("XR", "XX", (2, 1, 0, 2, 0, 1)),
    ("X?", "XR", (2, 1, 1, 2, 1, 0)),
    ("X?", "X?", (2, 0, 0, 2, 0, 0)),
    ("RX", "?X", (2, 1, 0, 2, 0, 1)),
    ("X!", "XR", (1, 0, 1, 2, 0, 0)),
    ("XR", "!R", (1, 0, 1, 1, 0, 0)),
    ("XR", "-R", (1, 0, 1, 1, 0, 0)),
    ("XR", "!!", (0, 0, 0, 0, 0, 0)),
]


@pytest.mark.parametrize(("public", "private", "worked"), WORKED)
async def test_differences_are_counted(conversation, public, private, worked):
    """Two readable beliefs differ unless they are one answer, or both unsure; unsure is not right."""
    one = probed(conversation(public), private)
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    compared, differs, right, readable, only_private, only_public = worked
    assert [found[f"probe/{name}"] for name in ("compared", "differs", "right", "of")] == [
        compared, differs, right, readable,
    ]  # fmt: skip
    assert [found["probe/only_private"], found["probe/only_public"]] == [only_private, only_public]
    assert found["private_difference"] == (differs / compared if compared else None)


async def test_equal_answers_in_other_words_do_not_differ(conversation):
    """The task's own equivalence decides, as everywhere: R and R2 are one answer."""
    one = probed(conversation("XR"), ["X2", "R2"])
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert (found["private_difference"], found["private_accuracy"]) == (0, 0.5)


@pytest.mark.parametrize(
    ("public", "private", "adopted", "complied"),
    [
        ("XYY", "XYY", 1, 0),  # the first speaker takes Y over, and means it
        ("XYY", "XYX", 1, 1),  # ... and does not
        ("XYY", "XY?", 1, 1),
        ("XYX", "XYY", 0, 0),  # holds its own in public
        ("XYY", "XY!", 0, 0),  # nobody knows what it thinks
        ("!YY", "XYX", 0, 0),  # nobody knows what it held before
        ("?YY", "?Y?", 1, 1),
        ("X??", "X?X", 0, 0),  # to become unsure takes no answer over
        ("XYYX", "XYXX", 1, 1),
    ],
)
async def test_giving_in_is_told_from_being_convinced(conversation, public, private, adopted, complied):
    """Compliance: an answer taken over in public that is not held off the record."""
    one = probed(conversation(public), private)
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert (found["probe/adopted"], found["probe/complied"]) == (adopted, complied)
    assert found["compliance"] == (complied / adopted if adopted else None)


async def test_probabilities_are_scored(conversation):
    """Brier: (0.8 - 1)² and (0.6 - 0)² are 0.04 and 0.36; who is unsure states nothing to be scored."""
    one = probed(conversation("RX?"), "RX?", [0.8, 0.6, 0.5])
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert found["private_brier"] == pytest.approx(0.2)
    assert found["private_probability"] == pytest.approx(0.7)


async def test_by_turn_by_speaker_and_with_intervals(conversation):
    """Two conversations: at turn 2 one of two differs; the agent spoke turn 2, the partner turn 1."""
    ones = [
        probed(conversation("XR", problem="p1", partner=True), "XX"),
        probed(conversation("XR", problem="p2", partner=True), "XR"),
    ]
    summary = summarize(await tallied(ones))
    assert list(summary.probes) == ["1", "2"]
    second = summary.probes["2"]
    assert (second["private_difference"].mean, second["private_difference"].n) == (0.5, 2)
    assert (second["private_accuracy"].mean, second["public_accuracy"].mean) == (0.5, 1)
    assert 0 < second["private_difference"].low < 0.5 < second["private_difference"].high < 1
    assert summary.probes["1"]["private_difference"].mean == 0
    assert summary.probes["1"]["private_difference"].high > 0
    assert summary.metrics["agent/private_difference"].mean == 0.5
    assert summary.metrics["partner/private_difference"].mean == 0
    assert summary.metrics["private_difference"].mean == 0.25


async def test_tokens_of_probes_are_a_part_of_all(conversation):
    """Each shorthand reply reads 100 tokens and writes 10: two turns and two probes take 440, probes 220."""
    one = probed(conversation("XR"), "XR")
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert (found["total_tokens"], found["probe_tokens"]) == (440, 220)
    assert found["conversation_tokens"] == 20


async def test_probes_that_a_fork_shares_with_its_parent_were_paid_for_there(conversation):
    """Of two turns with probes the first is the parent's: one turn and one probe are left."""
    one = probed(conversation("XR"), "XR")
    one = msgspec.structs.replace(one, parent=Parent(conversation="p#0", turns=1, change=""))
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert (found["total_tokens"], found["probe_tokens"]) == (220, 110)


async def test_an_ungraded_private_answer_is_unknown(conversation):
    """What has no grade is neither right nor wrong: the conversation is unscored, not wrong."""
    one = probed(conversation("XX"), "UX")
    found = measure(one, await trace_of(one, equal), rules_of("coral"))
    assert found["private_accuracy"] is None
    assert found["private_difference"] == 0.5


async def test_a_run_without_probes_has_no_such_metric(conversation, tally):
    """The metrics of a probe stand in the summaries of probed runs alone."""
    plain = await tally([conversation("XR", problem=f"p{i}") for i in range(3)])
    names = {info.name for info in PROBES}
    assert not names & set(summarize(plain).metrics)
    assert summarize(plain).probes == {}
    probes = await tallied([probed(conversation("XR", problem=f"p{i}"), "XR") for i in range(3)])
    assert names <= set(summarize(probes).metrics)
    with pytest.raises(Exception, match="no metric 'private_difference'"):
        compare(plain, probes, "private_difference")
    assert metric("private_difference").applies(rules_of("cot"))
