"""What a conversation is worth to a seat."""

import pytest

from coral.conversation import protocols
from coral.conversation.protocols import Settings
from coral.errors import ConfigError, UserError
from coral.rl.rewards import reward_group
from coral.types import StopReason

PAIR = protocols.build("pair", Settings(agents=("agent", "partner")))
GROUP = {
    "agreed, right": (("r", "A"), ("o", "A")),
    "agreed, wrong": (("r", "B"), ("o", "B")),
    "found": (("r", "B"), ("o", "A"), ("r", "A")),
    "lost": (("r", "A"), ("o", "B"), ("r", "B")),
    "never agreed": (("r", "A"), ("o", "B")),
    "unsure first": (("r", None), ("o", "A"), ("r", "A")),
    "nobody answers": (("r", None), ("o", None)),
}
EXPECTED = {
    ("agreed_right", "responder"): [1, 0, 1, 0, 0, 1, 0],
    ("agreed_right", "opener"): [1, 0, 1, 0, 0, 1, 0],
    ("own_right", "responder"): [1, 0, 1, 0, 1, 1, 0],
    ("own_right", "opener"): [1, 0, 1, 0, 0, 1, 0],
    ("belief_gain", "responder"): [0, 0, 1, -1, 0, 0, 0],
    ("belief_gain", "opener"): [0, 0, 0, 0, 0, 0, 0],
    # agreed answers: A B A B - A -
    ("majority", "responder"): [1, 0, 1, 0, 0, 1, 0],
}


class Task:
    """Answers are equal where their letters are."""

    async def same(self, a, b, problem):
        return a == b


@pytest.fixture
def group(talk):
    return [talk(*said, number=number) for number, said in enumerate(GROUP.values())]


@pytest.mark.parametrize(("name", "seat"), EXPECTED)
async def test_rewards(group, name, seat):
    """Each reward of each seat on seven ways to end."""
    values = await reward_group(name, group, (seat,), PAIR, Task())
    assert [one[seat] for one in values] == EXPECTED[name, seat]


async def test_a_majority_looks_at_no_gold(talk):
    """Two agree on B, one on A: B is the majority, right or not; of as many votes each counts."""
    said = [(("r", letter), ("o", letter)) for letter in "BBA"]
    group = [talk(*one, number=number) for number, one in enumerate(said)]
    values = await reward_group("majority", group, ("opener",), PAIR, Task())
    assert [one["opener"] for one in values] == [1, 1, 0]
    values = await reward_group("majority", group[1:], ("opener",), PAIR, Task())
    assert [one["opener"] for one in values] == [1, 1]


async def test_a_failed_conversation_has_no_reward(talk):
    """It says nothing about what was said in it, and takes no part in a majority."""
    group = [talk(("r", "B"), ("o", "B"), stop=StopReason.FAILED), talk(("r", "A"), ("o", "A"), number=1)]
    values = await reward_group("majority", group, ("opener",), PAIR, Task())
    assert values == [{}, {"opener": 1.0}]


def short(conversation, seat):
    """A user's reward."""
    return None if seat == "opener" else 1 / len(conversation.turns)


async def later(conversation, seat):
    return short(conversation, seat)


def broken(conversation, seat):
    raise KeyError(seat)


@pytest.mark.parametrize("name", ["short", "later"])
async def test_a_users_function(talk, name):
    """It gets a conversation and a seat, returns a number or None, and may be a coroutine."""
    values = await reward_group(
        f"{__name__}:{name}", [talk(*GROUP["found"])], ("opener", "responder"), PAIR, Task()
    )
    assert values == [{"opener": None, "responder": pytest.approx(1 / 3)}]


async def test_a_reward_that_fails_is_named(talk):
    """It stops the training: a step without rewards teaches nothing, and the next would fail alike."""
    with pytest.raises(UserError, match="broken fails on conversation p#0: KeyError: 'opener'"):
        await reward_group(f"{__name__}:broken", [talk(*GROUP["found"])], ("opener",), PAIR, Task())


def no_number(conversation, seat):
    return float("nan")


def endless(conversation, seat):
    return float("-inf")


@pytest.mark.parametrize("name", ["no_number", "endless"])
async def test_a_reward_is_finite(talk, name):
    """One that is not would leave all conversations of its group without an advantage."""
    with pytest.raises(UserError, match=f"{name} fails on conversation p#0: .*finite"):
        await reward_group(f"{__name__}:{name}", [talk(*GROUP["found"])], ("opener",), PAIR, Task())


@pytest.mark.parametrize("name", ["agreed", "", "no_module:f"])
async def test_an_unknown_reward_is_refused(talk, name):
    """With those that there are."""
    with pytest.raises(ConfigError) as caught:
        await reward_group(name, [talk(*GROUP["found"])], ("opener",), PAIR, Task())
    assert "agreed_right" in caught.value.remedy
