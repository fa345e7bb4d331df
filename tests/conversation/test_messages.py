"""What a speaker is shown, by each protocol."""

from itertools import pairwise

import pytest

from coral.conversation import protocols
from coral.conversation.messages import CUT_OFF, Told
from coral.conversation.protocols import Settings
from coral.conversation.protocols.pair import messages_for
from coral.conversation.protocols.single import Single
from coral.types import (
    OPENER,
    RESPONDER,
    Extraction,
    FinishReason,
    Reply,
    Role,
    Turn,
    Unreadable,
)

AGENTS = {"cot": 1, "coral": 2, "self_refine": 1, "panel": 4}


def protocol(name, **options):
    agents = {1: ("agent",), 2: ("agent", "partner")}.get(
        AGENTS[name], tuple(f"agent_{i + 1}" for i in range(AGENTS[name]))
    )
    return protocols.build(name, Settings(agents=agents, instruction="Say it.", **options))


def turn(seat, text):
    reply = Reply(
        text=text, belief=Unreadable("none"), correct=None, finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"),
    )  # fmt: skip
    return Turn(seat=seat, replies=(reply,))


def told(**options):
    return Told(**{"system": "be good", "opening": "What is 2+2?", **options})


def spoken_by(held, number, text="turn {}"):
    """The turns that a protocol has after `number` of them."""
    turns = []
    for index in range(number):
        seat = held.next_seat(turns)
        turns.append(turn(seat, text.format(index + 1)))
    return turns


def roles_of(messages):
    return [message.role for message in messages]


@pytest.mark.parametrize("name", AGENTS)
@pytest.mark.parametrize("spoken", range(9))
@pytest.mark.parametrize("system", ["be good", ""])
@pytest.mark.parametrize("in_user", [True, False])
@pytest.mark.parametrize("text", ["turn {}", " \n"], ids=["words", "empty replies"])
def test_messages_satisfy_strict_chat_templates(name, spoken, system, in_user, text):
    """After an optional system message: user first, roles in turn, user last, nothing empty."""
    held = protocol(name, second_chance=name == "cot")
    turns = spoken_by(held, min(spoken, held.max_turns - 1), text)
    messages = held.messages(held.next_seat(turns), told(system=system, system_in_user=in_user), turns)
    roles = roles_of(messages)
    if system and not in_user:
        assert roles.pop(0) is Role.SYSTEM
    assert Role.SYSTEM not in roles
    assert roles[0] is roles[-1] is Role.USER
    assert all(a is not b for a, b in pairwise(roles))
    assert all(message.content.strip() for message in messages)


@pytest.mark.parametrize("name", ["coral", "panel"])
def test_each_seat_sees_every_turn_once_and_its_own_as_assistant(name):
    """Own turns are `assistant`, the others' `user`; the statement of the problem is no model output."""
    held = protocol(name)
    turns = spoken_by(held, 7, "word{}")
    for seat in held.speakers:
        messages = held.messages(seat, told(), turns)
        whole = " ".join(message.content for message in messages)
        assert all(whole.count(one.reply.text) == 1 for one in turns)
        own = [message.content for message in messages if message.role is Role.ASSISTANT]
        assert own == [one.reply.text for one in turns if one.seat == seat]
        assert "What is 2+2?" in messages[1].content


def test_the_words_of_a_pair():
    """The responder reads the problem alone; the opener meets it again with the first reply."""
    view = {"system": "be good", "opening": "What is 2+2?"}
    responder = messages_for(RESPONDER, replies=["r1", "o1"], **view)
    assert [(m.role.value, m.content) for m in responder[1:]] == [
        ("user", "What is 2+2?"), ("assistant", "r1"), ("user", "o1"),
    ]  # fmt: skip
    opener = messages_for(OPENER, replies=["r1", "o1", "r2"], **view)
    assert [m.role.value for m in opener] == ["system", "user", "assistant", "user"]
    assert "What is 2+2?" in opener[1].content
    assert "r1" in opener[1].content
    assert [m.content for m in opener[2:]] == ["o1", "r2"]


def test_texts_alone_are_viewed_as_turns_are():
    """Training data made by rules hold the very messages of the loop."""
    held = protocol("coral")
    for spoken in range(5):
        turns = spoken_by(held, spoken)
        seat = held.next_seat(turns)
        texts = [one.reply.text for one in turns]
        expected = messages_for(seat, system="be good", opening="What is 2+2?", replies=texts)
        assert held.messages(seat, told(), turns) == expected


def test_members_of_a_panel_are_told_apart_by_name():
    """What the others said since one's own last turn is one message."""
    held = protocol("panel")
    turns = spoken_by(held, 5, "word{}")
    messages = held.messages("agent_2", told(), turns)
    assert [message.content for message in messages[1:]] == [
        "What is 2+2?\n\nAgent 1:\nword1", "word2", "Agent 3:\nword3\n\nAgent 4:\nword4\n\nAgent 1:\nword5",
    ]  # fmt: skip


def test_who_refines_reviews_its_own_answer():
    """Every answer of its own, and behind each the same request."""
    held = protocol("self_refine")
    messages = held.messages(RESPONDER, told(), spoken_by(held, 2))
    assert [message.content for message in messages[2:]] == ["turn 1", held.review, "turn 2", held.review]
    assert held.review.endswith("Say it.")


def test_a_reply_without_words_is_said_to_be_cut():
    """Servers refuse empty messages."""
    held = protocol("coral")
    assert CUT_OFF in held.messages(OPENER, told(), [turn(RESPONDER, "")])[1].content


@pytest.mark.parametrize("system", ["be good", ""])
@pytest.mark.parametrize("in_user", [True, False])
@pytest.mark.parametrize(
    ("reply", "said"),
    [("so be it", ["user", "assistant", "user"]), (" \n", ["user"])],
    ids=["a reply", "an empty one, which no server takes as a message"],
)
def test_one_agent_is_asked_again_behind_its_own_reply(system, in_user, reply, said):
    """A second chance satisfies strict templates, too, and ends with what is asked."""
    held = Single(second_chance="State your answer.")
    first = told(system=system, system_in_user=in_user)
    messages = held.messages(RESPONDER, first, [turn(RESPONDER, reply)])
    roles = [message.role.value for message in messages if message.role is not Role.SYSTEM]
    assert roles == said
    assert all(message.content.strip() for message in messages)
    assert messages[-1].content.endswith("State your answer.")
    assert any("What is 2+2?" in message.content for message in messages)
    assert held.messages(RESPONDER, first, []) == Single().messages(RESPONDER, first, [])


def test_a_briefing_reaches_its_seat_below_the_opening():
    """What only one seat is told stands with the problem, also for the opener."""
    held = protocol("coral")
    for seat, turns in ((RESPONDER, []), (OPENER, [turn(RESPONDER, "r1")])):
        first = held.messages(seat, told(briefing="Anna saw the ball."), turns)[1].content
        assert first.index("What is 2+2?") < first.index("Anna saw the ball.")


def test_system_in_user_keeps_the_prompt():
    """A chat template without a system role still gets the system prompt, at the top."""
    messages = protocol("coral").messages(RESPONDER, told(system_in_user=True), [])
    assert len(messages) == 1
    assert messages[0].content.startswith("be good\n\n")


def test_templates_are_not_read_in_problems_or_replies():
    """Braces in a problem or a reply are text, not Jinja."""
    messages = protocol("coral").messages(
        OPENER, told(opening="{{ x }}"), [turn(RESPONDER, "{{ boom }} {% if %}")]
    )
    assert "{{ boom }} {% if %}" in messages[1].content
    assert "{{ x }}" in messages[1].content
