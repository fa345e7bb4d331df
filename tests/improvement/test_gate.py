"""What is taken over, and what looks like collapse."""

import msgspec
import pytest

from coral.errors import ConfigError
from coral.evaluation.watch import Watch
from coral.improvement.collapse import StyleStatistics, signs_of_collapse, style_of
from coral.improvement.config import CollapseConfig, GateConfig, ImproveConfig
from coral.improvement.gate import judge, seen, told
from coral.improvement.results import ResultCache
from coral.improvement.servers import Servers
from coral.improvement.steps import Steps
from coral.metrics import Comparison, detectable_with
from coral.store.folder import RunFolder
from coral.trackers.report import Report as Tracking
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    Failure,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
)


def comparison(difference, low, high):
    return Comparison(
        metric="agreement_correctness",
        a=0.5,
        b=0.5 if difference is None else 0.5 + difference,
        difference=difference,
        stderr=0.01,
        low=low,
        high=high,
        p_value=0.5,
        num_problems=100,
        num_higher=1,
        num_lower=1,
        num_only_a=0,
        num_only_b=0,
    )


CLEARLY_UP, UP = comparison(0.05, 0.02, 0.08), comparison(0.01, -0.02, 0.04)
SAME, DOWN = comparison(0.0, -0.03, 0.03), comparison(-0.01, -0.04, 0.02)
CHANCE, WIDE = comparison(0.005, -0.04, 0.049), comparison(0.0, -0.094, 0.094)
CLEARLY_DOWN, UNKNOWN = comparison(-0.05, -0.08, -0.02), comparison(None, None, None)


@pytest.mark.parametrize(
    ("gate", "target", "second", "accepted"),
    [
        ({}, UP, None, False),  # not beyond doubt: better is the default
        ({}, CHANCE, None, False),  # half a point of gain, and four of doubt to either side
        ({}, CLEARLY_UP, None, True),
        ({"target": "higher"}, UP, None, True),  # who asks for any difference gets any difference
        ({"target": "higher"}, SAME, None, False),  # a checkpoint that changes nothing is not worth it
        ({"target": "higher"}, DOWN, None, False),
        ({"target": "not_worse"}, DOWN, None, True),  # at most 4 points are lost: 5 are accepted
        ({"target": "not_worse", "tolerance": 0.03}, DOWN, None, False),  # it may be 4: that is no proof
        ({"target": "not_worse", "tolerance": 0.0}, SAME, None, False),  # no loss at all is hard to prove
        ({"target": "not_worse"}, CLEARLY_DOWN, None, False),
        ({}, CLEARLY_UP, DOWN, True),  # a loss elsewhere that is known to be small
        ({"tolerance": 0.01}, CLEARLY_UP, DOWN, False),  # too few problems to know that
        ({"tolerance": 0.01}, CLEARLY_UP, WIDE, False),  # not significantly worse is not: not worse
        ({}, CLEARLY_UP, CLEARLY_DOWN, False),  # a regression
        ({"tolerance": 0.1}, CLEARLY_UP, CLEARLY_DOWN, True),  # of at most 8 points, where 10 are accepted
        ({"second": "report"}, CLEARLY_UP, CLEARLY_DOWN, True),
        ({}, UNKNOWN, None, False),  # all conversations failed: unknown is not better
        ({"second": "not_worse"}, CLEARLY_UP, UNKNOWN, False),
    ],
)
def test_what_is_worse_is_not_taken_over(gate, target, second, accepted):
    """The paired interval decides, by the rule asked for; a refusal says why."""
    verdict = judge(GateConfig(**gate), model="b", against="a", target=target, second=second, signs=())
    assert verdict.accepted is accepted
    assert verdict.reasons


@pytest.mark.parametrize(
    ("rule", "target", "words"),
    [
        ("higher", CLEARLY_DOWN, "target is not higher: -5.0 points [-8.0, -2.0], n = 100"),
        ("better", CLEARLY_DOWN, "target is not better: -5.0 points [-8.0, -2.0], n = 100"),
        ("not_worse", CLEARLY_DOWN, "target is worse: -5.0 points [-8.0, -2.0], n = 100"),
        ("not_worse", WIDE, "target may be worse by more than 5 points: +0.0 points [-9.4, +9.4], n = 100"),
    ],
)
def test_a_refusal_is_told_in_words(rule, target, words):
    """The rule that was broken, and the figure. What is not known to be worse is not called so."""
    verdict = judge(GateConfig(target=rule), model="b", against="a", target=target, second=None, signs=())
    assert verdict.reasons == (words,)


def test_what_so_many_problems_show_is_told():
    """A difference of 2.8 standard errors is found in 8 of 10 cases; 300 problems show 9.4 points."""
    assert seen(CLEARLY_UP) == "2.8 points"
    assert seen(msgspec.structs.replace(UNKNOWN, stderr=None)) == "-"
    assert seen(msgspec.structs.replace(SAME, stderr=0.0)) == "4.3 points"  # by chance nothing differed
    assert detectable_with(300) == pytest.approx(0.094, abs=5e-4)


@pytest.mark.parametrize("tolerance", [-0.01, 1.0, 5])
def test_a_tolerance_is_a_share(tolerance):
    """Five points are 0.05; a negative loss is none."""
    with pytest.raises(ConfigError, match="tolerance must be at least 0 and below 1"):
        GateConfig(tolerance=tolerance)


def test_signs_of_collapse_refuse_only_where_asked():
    """By default they are told; with `collapse: refuse` they decide."""
    given = {"model": "b", "against": "a", "target": CLEARLY_UP, "second": None, "signs": ("copied turns",)}
    assert judge(GateConfig(), **given).accepted
    refused = judge(GateConfig(collapse="refuse"), **given)
    assert not refused.accepted
    assert refused.reasons == ("copied turns",)


HEALTHY = StyleStatistics(
    instant_agreement=0.6, copied_turns=0.1, words_per_turn=20.0, disagreement=0.4, conversations=100
)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({}, []),
        ({"instant_agreement": 0.99}, ["agreement at the second turn"]),
        ({"instant_agreement": 0.9}, []),  # more, but not nearly all
        ({"copied_turns": 0.7}, ["copied turns"]),
        ({"words_per_turn": 8.0}, ["words per turn"]),
        ({"words_per_turn": 12.0}, []),  # shorter, but not half
        ({"disagreement": 0.01}, ["conversations with differing answers"]),
        ({"disagreement": None, "words_per_turn": None}, []),  # nothing was said: nothing is known
    ],
)
def test_a_sign_is_what_passes_its_threshold_and_has_changed(changes, named):
    """Each threshold alone; a model that was so from the start has not collapsed."""
    after = StyleStatistics(
        **{name: getattr(HEALTHY, name) for name in StyleStatistics.__struct_fields__} | changes
    )
    signs = signs_of_collapse(HEALTHY, after, CollapseConfig())
    assert [sign.partition(":")[0] for sign in signs] == named
    assert signs_of_collapse(after, after, CollapseConfig()) == ()
    off = CollapseConfig(
        instant_agreement=None, copied_turns=None, length_ratio=None, disagreement_ratio=None
    )
    assert signs_of_collapse(HEALTHY, after, off) == ()


def conversation(*turns, stop=StopReason.AGREED):
    said = tuple(
        Turn(
            seat=(RESPONDER, OPENER)[index % 2],
            replies=(
                Reply(
                    text=text,
                    belief=Answered(answer) if answer else Unsure(),
                    correct=None,
                    finish_reason=FinishReason.STOP,
                    extraction=Extraction(by="rules"),
                ),
            ),
        )
        for index, (text, answer) in enumerate(turns)
    )
    speakers = {RESPONDER: Speaker(name="partner", model="m"), OPENER: Speaker(name="agent", model="m")}
    problem = Problem(id="p", task="t", question="q", target="A")
    return Conversation(
        schema=SCHEMA, id="p#0", problem=problem, opening="q", turns=said, stop=stop, seed=0,
        started_at=0.0, seconds=1.0, speakers=speakers,
    )  # fmt: skip


def test_the_manner_of_conversations_is_counted_by_hand():
    """Two finished conversations: one agrees at once with a copy, one argues in words of its own."""
    style = style_of(
        [
            conversation(("It is in the box, so A.", "A"), ("It is in the box, so A!", "A")),
            conversation(
                ("It is in the box, so A.", "A"),
                ("No, she saw the bag: B.", "B"),
                ("Well.", None),
                ("Yes, B I say.", "B"),
                stop=StopReason.MAX_TURNS,
            ),
            conversation(("Nothing of this counts", "A"), stop=StopReason.FAILED),
        ]
    )
    assert style.conversations == 2
    assert style.instant_agreement == 0.5
    assert style.copied_turns == 1 / 4
    assert style.disagreement == 0.5
    assert style.words_per_turn == pytest.approx((7 + 7 + 7 + 6 + 1 + 4) / 6)
    nothing = style_of([])
    assert nothing.instant_agreement is None
    assert nothing.words_per_turn is None


def alone(problem, answer):
    """One answer to a problem whose right answer is 4; "!" cannot be read, "x" is a failed request."""
    belief = Unreadable("no single answer") if answer == "!" else Answered(answer)
    reply = Reply(
        text=f"Answer: {answer}",
        belief=belief,
        correct=None if answer == "!" else answer == "4",
        finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"),
    )
    failed = answer == "x"
    return Conversation(
        schema=SCHEMA,
        id=f"{problem}#0",
        problem=Problem(id=problem, task="gsm8k", question=f"What is {problem}?", target="4"),
        speakers={RESPONDER: Speaker(name="agent", model="m")},
        opening=problem,
        turns=() if failed else (Turn(seat=RESPONDER, replies=(reply,)),),
        stop=StopReason.FAILED if failed else StopReason.MAX_TURNS,
        seed=0,
        started_at=0.0,
        seconds=1.0,
        failure=Failure(where="turn 1", type="Unreachable", message="gone") if failed else None,
    )


def keep(out, model, answers):
    """Evaluations of a model alone, and (for its style) a pair's that holds nothing."""
    for sight, conversations in (
        ("alone", [alone(str(number), answer) for number, answer in enumerate(answers)]),
        ("pair", []),
    ):
        folder = RunFolder(out / "models" / model / sight)
        with folder.claim({"task": {"name": "gsm8k"}, "protocol": "cot", "agent": {"model": "m"}}, {}):
            for one in conversations:
                folder.append(one)


@pytest.mark.parametrize(
    ("before", "after", "accepted", "why"),
    [
        ("4444411111", "44444!!!!!", False, "what was wrong cannot be read any more: no gain"),
        ("4444411111", "4444!!!!!!", False, "all that can be read is right, and fewer are right"),
        ("4444411111", "44444xxxxx", False, "the hard ones fail"),
        ("4444411111", "4444441!x1", True, "one more is right"),
        ("4444!!!!!!", "4444411111", True, "one more is right, and others are readable now"),
    ],
)
async def test_nothing_is_gained_by_problems_that_drop_out(tmp_path, before, after, accepted, why):
    """Left out of a comparison, failed and unreadable conversations would lift the rest."""
    keep(tmp_path, "start", before)
    keep(tmp_path, "alone-dpo-1", after)
    config = ImproveConfig(gate=GateConfig(target="higher"))
    cache = ResultCache(config, tmp_path)
    tracking = Tracking((), tmp_path, {}, print)
    steps = Steps(config, tmp_path, cache, Watch(), Servers(config.serve, tmp_path), tracking)
    assert await steps.judge("alone-dpo", "alone-dpo-1", "start") is accepted
    change = await cache.compare("start", "alone-dpo-1", "alone")
    assert (change.a, change.b) == (before.count("4") / 10, after.count("4") / 10), why


def test_problems_on_one_side_only_are_told():
    """A comparison that leaves some out says how many."""
    assert told(CLEARLY_UP) == "+5.0 points [+2.0, +8.0], n = 100"
    lacking = msgspec.structs.replace(CLEARLY_UP, num_only_a=2, num_only_b=1)
    assert told(lacking) == "+5.0 points [+2.0, +8.0], n = 100 (3 more on one side only)"
    assert told(UNKNOWN) == "unknown"
