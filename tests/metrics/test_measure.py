"""The metrics of one conversation."""

from __future__ import annotations

import msgspec
import pytest

from coral.conversation.protocols import Settings, build
from coral.metrics import METRICS, PriceTable, Trace, TraceTurn, load_prices, measure
from coral.metrics.probes import is_of_probe
from coral.types import OPENER, RESPONDER, Extraction, FinishReason, StopReason, Usage

PAIR = build("pair", Settings(agents=("agent", "partner")))
ALONE = build("single", Settings(agents=("agent",)))


@pytest.mark.parametrize(
    ("word", "accuracy", "strict", "valid", "why"),
    [
        ("R", 1.0, 1.0, 1.0, "right"),
        ("X", 0.0, 0.0, 1.0, "wrong"),
        ("?", 0.0, 0.0, 0.0, "no answer is not a right one"),
        ("!", None, 0.0, 0.0, "nobody knows what it answered"),
        ("U", None, 0.0, 1.0, "the grader could not tell"),
    ],
)
async def test_chain_of_thought(conversation, trace, word, accuracy, strict, valid, why):
    """Accuracy scores what can be scored; the strict and the published score count the rest as wrong."""
    values = measure(
        one := conversation(word, protocol="cot", stop=StopReason.MAX_TURNS), await trace(one), ALONE
    )
    assert (values["accuracy"], values["accuracy_strict"], values["valid_answer_rate"]) == (
        accuracy,
        strict,
        valid,
    ), why
    assert values["reference/final_success_rate"] == strict, why


@pytest.mark.parametrize(
    ("words", "agreed", "right", "any_right", "first", "why"),
    [
        ("XRR", 1.0, 1.0, 1.0, 2.0, "agreement on the right answer, first given at turn 2"),
        ("RXX", 1.0, 0.0, 1.0, 1.0, "a right answer given up"),
        ("XY", 0.0, 0.0, 0.0, None, "no agreement, nothing right"),
        ("UU", 1.0, None, None, None, "agreed, but the grader could not tell"),
        ("UR", 0.0, 0.0, 1.0, 2.0, "an ungraded answer does not hide a right one"),
        ("", 0.0, 0.0, 0.0, None, "no turn at all: nobody agreed"),
    ],
)
async def test_outcomes_of_pairs(conversation, trace, words, agreed, right, any_right, first, why):
    """No agreement is 0; agreement without a grade is unscored."""
    values = measure(one := conversation(words), await trace(one), PAIR)
    names = ("agreement", "agreement_correctness", "any_turn_right", "turns_to_first_success")
    assert tuple(values[name] for name in names) == (agreed, right, any_right, first), why


@pytest.mark.parametrize(("first", "second"), [(True, None), (None, True), (True, True)])
def test_an_agreed_answer_has_the_grade_of_either_side(conversation, first, second):
    """Where the grader could not tell about one wording, the other's grade is the answer's."""
    turns = (TraceTurn(RESPONDER, 0, 0, first), TraceTurn(OPENER, 0, 1, second))
    assert measure(conversation("RR"), Trace(turns, shared=False), PAIR)["agreement_correctness"] == 1.0


async def test_who_persuades_whom(conversation, trace):
    """X R R of agent (responder) and partner: the partner's turn 2 persuades, the agent fixes its answer."""
    one = conversation("XRR", partner=True, opener="partner")
    values = measure(one, await trace(one), PAIR)
    assert values["partner/persuasion"] == 1.0
    assert values["partner/persuasion_quality"] == 1.0
    assert values["agent/persuasion"] == 0.0
    assert values["agent/gained_right_answer_rate"] == 1.0
    assert values["agent/conformity"] == 1.0
    assert values["partner/conformity"] is None, "the partner spoke once, and had said nothing before"


async def test_speakers_are_told_apart_by_name_not_by_seat(conversation, trace):
    """The same beliefs with the agent as opener: now the agent persuades."""
    values = measure(one := conversation("XRR", partner=True, opener="agent"), await trace(one), PAIR)
    assert (values["agent/persuasion"], values["partner/persuasion"]) == (1.0, 0.0)


async def test_an_agent_with_itself_has_no_speakers(conversation, trace):
    """With one speaker in both seats there is nobody to tell apart."""
    values = measure(one := conversation("XRR"), await trace(one), PAIR)
    assert values["agent/persuasion"] is None


async def test_an_ungraded_persuasion_is_persuasion_of_unknown_quality(conversation, trace):
    """X U U: the partner was persuaded; whether for the better is not known."""
    values = measure(one := conversation("XUU"), await trace(one), PAIR)
    assert values["persuasion"] == pytest.approx(1 / 3)
    assert (values["persuasion_quality"], values["correct_persuasion"]) == (None, None)
    assert values["unsure_persuasion"] == 0.0


async def test_turns_cut_off_run_on_and_read_by_a_model(conversation, trace):
    """Shares of turns that hit the token limit, wrote past their end, and needed an extractor."""
    one = conversation("RX")
    cut = msgspec.structs.replace(one.turns[0].reply, finish_reason=FinishReason.LENGTH)
    read = Extraction(by="model", text="X", attempts=1)
    asked = msgspec.structs.replace(one.turns[1].reply, extraction=read, overrun=40)
    turns = tuple(
        msgspec.structs.replace(turn, replies=(reply,))
        for turn, reply in zip(one.turns, (cut, asked), strict=True)
    )
    one = msgspec.structs.replace(one, turns=turns)
    values = measure(one, await trace(one), PAIR)
    rates = ("truncated_rate", "overrun_rate", "model_extraction_rate")
    assert [values[rate] for rate in rates] == [0.5, 0.5, 0.5]
    assert values["total_tokens"] is None, "the extractor's tokens are not known"


GARBLED = [
    ("plain", 0, 0.0),
    ("x \ufffd", 1, 0.5),
    ("\ufffd\ufffd y \ufffd", 3, 0.5),
    ("Gr\u00fc\u00dfe, \U0001f600 \u4f60\u597d \ufffc", 0, 0.0),
]


@pytest.mark.parametrize(("text", "characters", "share"), GARBLED)
async def test_turns_with_broken_characters(conversation, trace, text, characters, share):
    """Characters that could not be read are counted, and the share of turns that hold one."""
    one = conversation("RR")
    garbled = msgspec.structs.replace(one.turns[0].reply, text=text)
    first = msgspec.structs.replace(one.turns[0], replies=(garbled,))
    values = measure(one := msgspec.structs.replace(one, turns=(first, one.turns[1])), await trace(one), PAIR)
    assert (garbled.garbled, values["garbled_rate"]) == (characters, share)


async def test_a_failed_conversation_has_no_metrics(conversation, trace):
    """Only that it failed is known."""
    values = measure(one := conversation("RR", stop=StopReason.FAILED), await trace(one), PAIR)
    assert {name: value for name, value in values.items() if value is not None} == {"failure_rate": 1.0}


async def test_a_full_context_ends_without_agreement(conversation, trace):
    """It is an outcome, not a failure."""
    values = measure(one := conversation("X", stop=StopReason.CONTEXT_FULL), await trace(one), PAIR)
    assert (values["agreement_correctness"], values["failure_rate"]) == (0.0, 0.0)


async def test_cost(conversation, trace):
    """gpt-4o-mini, 2 turns: 200 prompt tokens at 0.15 and 20 completion tokens at 0.60 USD a million."""
    one = conversation("RR")
    values = measure(one, await trace(one), PAIR, prices=load_prices())
    assert values["cost"] == pytest.approx((200 * 0.15 + 20 * 0.60) / 1e6)
    assert values["cost_per_right_answer"] == values["cost"]
    assert measure(one, await trace(one), PAIR)["cost"] is None


async def test_an_unknown_price_is_no_price(conversation, trace):
    """A model that is not in the table has cost None, never 0."""
    one = conversation("RR", model="local/llama")
    assert measure(one, await trace(one), PAIR, prices=load_prices())["cost"] is None
    assert measure(one, await trace(one), PAIR, prices=PriceTable({}))["cost"] is None


async def test_an_extractor_of_unknown_price_makes_the_cost_unknown(conversation, trace):
    """Extraction is paid for, too; its model is named by the caller."""
    one = conversation("R", protocol="cot")
    asked = Extraction(by="model", text="R", attempts=1, usage=Usage(prompt_tokens=50, completion_tokens=5))
    reply = msgspec.structs.replace(one.turns[0].reply, extraction=asked)
    one = msgspec.structs.replace(one, turns=(msgspec.structs.replace(one.turns[0], replies=(reply,)),))
    assert measure(one, await trace(one), PAIR, prices=load_prices())["cost"] is None
    cost = measure(one, await trace(one), PAIR, prices=load_prices(), extractor="openai/gpt-4o-mini")["cost"]
    assert cost == pytest.approx((150 * 0.15 + 15 * 0.60) / 1e6)


async def test_nothing_but_beliefs_and_grades_matters(conversation, trace):
    """Texts never enter a metric: other words, same numbers."""
    one = conversation("XRR")
    other = msgspec.structs.replace(
        one,
        turns=tuple(
            msgspec.structs.replace(turn, replies=(msgspec.structs.replace(turn.reply, text="Error: E"),))
            for turn in one.turns
        ),
    )
    assert measure(one, await trace(one), PAIR) == measure(other, await trace(other), PAIR)


def test_a_metric_of_every_protocol_is_measured(conversation):
    """`measure` has a value or None for each metric of the protocol; those of a probe need one."""
    for protocol, rules in (("coral", PAIR), ("cot", ALONE)):
        one = conversation("", protocol=protocol, stop=StopReason.CONTEXT_FULL)
        values = measure(one, Trace((), shared=False), rules)
        wanted = {info.name for info in METRICS if info.applies(rules)}
        assert wanted - {info.name for info in METRICS if is_of_probe(info)} <= set(values)
        headlines = [info.name for info in METRICS if info.headline and info.applies(rules)]
        assert headlines == {"coral": ["agreement_correctness", "agreement"], "cot": ["accuracy"]}[protocol]
