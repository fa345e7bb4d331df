"""What a speaker is shown."""

from itertools import pairwise

import pytest

from coral.conversation.messages import messages_for
from coral.types import Role, Seat


def view(seat, replies, **options):
    settings = {"system": "be good", "opening": "What is 2+2?", "briefing": "", **options}
    return messages_for(seat, replies=replies, **settings)


@pytest.mark.parametrize("spoken", range(8))
@pytest.mark.parametrize("system", ["be good", ""])
@pytest.mark.parametrize("in_user", [True, False])
def test_messages_satisfy_strict_chat_templates(spoken, system, in_user):
    """After an optional system message: user first, roles in turn, user last, nothing empty."""
    seat = Seat.RESPONDER if spoken % 2 == 0 else Seat.OPENER
    messages = view(seat, [f"turn {n}" for n in range(1, spoken + 1)], system=system, system_in_user=in_user)
    roles = [message.role for message in messages]
    if system and not in_user:
        assert roles.pop(0) is Role.SYSTEM
    assert Role.SYSTEM not in roles
    assert roles[0] is roles[-1] is Role.USER
    assert all(a is not b for a, b in pairwise(roles))
    assert all(message.content for message in messages)


def test_each_seat_sees_every_turn_once_and_its_own_as_assistant():
    """Own turns are `assistant`, the partner's `user`; the opener's statement is no model output."""
    responder = view(Seat.RESPONDER, ["r1", "o1"])
    assert [(m.role.value, m.content) for m in responder[1:]] == [
        ("user", "What is 2+2?"), ("assistant", "r1"), ("user", "o1"),
    ]  # fmt: skip
    opener = view(Seat.OPENER, ["r1", "o1", "r2"])
    assert [m.role.value for m in opener] == ["system", "user", "assistant", "user"]
    assert "What is 2+2?" in opener[1].content
    assert "r1" in opener[1].content
    assert [m.content for m in opener[2:]] == ["o1", "r2"]


@pytest.mark.parametrize("system", ["be good", ""])
@pytest.mark.parametrize("in_user", [True, False])
@pytest.mark.parametrize(
    ("reply", "said"),
    [("so be it", ["user", "assistant", "user"]), (" \n", ["user"])],
    ids=["a reply", "an empty one, which no server takes as a message"],
)
def test_one_agent_is_asked_again_behind_its_own_reply(system, in_user, reply, said):
    """A second chance satisfies strict templates, too, and ends with what is asked."""
    messages = view(
        Seat.RESPONDER, [reply], system=system, system_in_user=in_user, asked_again="State your answer."
    )
    roles = [message.role.value for message in messages if message.role is not Role.SYSTEM]
    assert roles == said
    assert all(message.content.strip() for message in messages)
    assert messages[-1].content.endswith("State your answer.")
    assert any("What is 2+2?" in message.content for message in messages)
    first_turn = {"system": system, "system_in_user": in_user}
    assert view(Seat.RESPONDER, [], asked_again="State it.", **first_turn) == view(
        Seat.RESPONDER, [], **first_turn
    )


def test_a_briefing_reaches_its_seat_below_the_opening():
    """What only one seat is told stands with the problem, also for the opener."""
    for seat, replies in ((Seat.RESPONDER, []), (Seat.OPENER, ["r1"])):
        first = view(seat, replies, briefing="Anna saw the ball.")[1].content
        assert first.index("What is 2+2?") < first.index("Anna saw the ball.")


def test_system_in_user_keeps_the_prompt():
    """A chat template without a system role still gets the system prompt, at the top."""
    messages = view(Seat.RESPONDER, [], system_in_user=True)
    assert len(messages) == 1
    assert messages[0].content.startswith("be good\n\n")


def test_templates_are_not_read_in_problems_or_replies():
    """Braces in a problem or a reply are text, not Jinja."""
    messages = view(Seat.OPENER, ["{{ boom }} {% if %}"], opening="{{ x }}")
    assert "{{ boom }} {% if %}" in messages[1].content
    assert "{{ x }}" in messages[1].content
