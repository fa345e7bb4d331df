"""The protocols: who speaks, when it ends and what came out; and those that other packages add."""

import re
from pathlib import Path

import pytest

from coral.conversation import protocols
from coral.conversation.protocols import Settings
from coral.conversation.protocols.panel import Panel
from coral.conversation.protocols.self_refine import SelfRefine
from coral.conversation.selection import Draw
from coral.errors import ConfigError
from coral.metrics.trace import trace_of
from coral.plugins import BrokenPlugIn
from coral.types import RESPONDER, Answered, StopReason

THREE = ("agent_1", "agent_2", "agent_3")


async def held_by(sums, protocol, *scripts, **options):
    """A conversation of these speakers, each with what it says."""
    agents = {
        seat: sums["agent"](name, sums["speaking"](*script))
        for (seat, name), script in zip(protocol.speakers.items(), scripts, strict=True)
    }
    return await sums["hold"](protocol, agents, **options)


@pytest.mark.parametrize(
    ("says", "stop", "turns", "why"),
    [
        (["Answer: 4", "Answer: 4.0"], "agreed", 2, "a review that keeps the answer ends it"),
        (["Answer: 3", "Answer: 4", "Answer: 4"], "agreed", 3, "one that fixes it is reviewed again"),
        (["Answer: 3", "hm", "Answer: 3"], "max_turns", 3, "an older answer does not stand in"),
        (["not sure", "not sure", "not sure"], "max_turns", 3, "doubt kept is not an answer kept"),
    ],
)
async def test_one_agent_reviews_its_own_answer(sums, says, stop, turns, why):
    """`self_refine`: up to T turns of one agent; the outcome is its last."""
    conversation = await held_by(sums, SelfRefine(max_turns=3, review="Look again."), says)
    assert (conversation.stop.value, len(conversation.turns)) == (stop, turns), why
    assert {turn.seat for turn in conversation.turns} == {RESPONDER}


@pytest.mark.parametrize(
    ("scripts", "stop", "turns", "why"),
    [
        (
            [["Answer: 4"], ["Answer: 4.0"], ["Answer: 4"]],
            "agreed",
            3,
            "at once, equal by the task",
        ),
        ([["Answer: 4"] * 2, ["Answer: 3", "Answer: 4"], ["Answer: 4"]], "agreed", 5, "the second gives in"),
        ([["Answer: 4"] * 2, ["Answer: 4"] * 2, ["hm"] * 2], "max_turns", 6, "two of three are not all"),
        (
            [["Answer: 4", "hm"], ["Answer: 3", "Answer: 4"], ["Answer: 4"] * 2],
            "max_turns",
            6,
            "no older one",
        ),
    ],
)
async def test_a_panel_talks_until_all_hold_one_answer(sums, scripts, stop, turns, why):
    """Members speak in turn, as often as the limit allows."""
    conversation = await held_by(sums, Panel(members=THREE, max_turns=6), *scripts)
    assert (conversation.stop.value, len(conversation.turns)) == (stop, turns), why
    assert [turn.seat for turn in conversation.turns] == [THREE[i % 3] for i in range(turns)]
    assert [who.name for who in conversation.speakers.values()] == list(THREE)


@pytest.mark.parametrize(
    ("last", "majority", "agreed", "right"),
    [
        (["4", "4", "3"], False, False, False),
        (["4", "4", "3"], True, True, True),
        (["3", "4", "3"], True, True, False),
        (["3", "4", "5"], True, False, False),
        (["4", "hm", "4"], True, True, True),
        (["4", "hm", "hm"], True, False, False),
        (["hm", "hm", "hm"], True, False, False),
        (["4", "4", "4"], True, True, True),
    ],
)
async def test_the_outcome_of_a_panel(sums, last, majority, agreed, right):
    """The unanimous answer; by option, at the limit, what more than half of the members hold."""
    protocol = Panel(members=THREE, max_turns=3, majority=majority)
    conversation = await held_by(sums, protocol, *([f"Answer: {word}"] for word in last))
    same = lambda a, b: sums["task"].same(a, b, conversation.problem)  # noqa: E731
    outcome = protocol.outcome(await trace_of(conversation, same))
    assert (outcome.agreed, outcome.right) == (agreed, right)
    together = last == ["4", "4", "4"]
    assert conversation.stop is (StopReason.AGREED if together else StopReason.MAX_TURNS)


async def test_a_panel_is_rolled_out_from_a_candidate(sums):
    """Roll-outs ask the protocol what came out, too."""
    agents = {name: sums["agent"](name, lambda _: "Answer: 4") for name in THREE}
    draw = Draw(candidates=2, rollouts=1)
    conversation = await sums["hold"](Panel(members=THREE, max_turns=6), agents, draw=draw)
    outcomes = [rollout for reply in conversation.turns[0].replies for rollout in reply.rollouts]
    assert {(one.stop, one.answer, one.correct) for one in outcomes} == {(StopReason.AGREED, "4", True)}
    assert {spent.role for one in outcomes for spent in one.spent} <= set(THREE)


@pytest.mark.parametrize(
    ("name", "agents", "message"),
    [
        ("panel", ("agent_1", "agent_2"), "seats 3 or more agents, and there are 2"),
        ("coral", ("agent",), "seats 2 agents, and there are 1"),
        ("cot", ("agent", "partner"), "seats 1 agents, and there are 2"),
        ("debat", ("agent",), "there is no protocol 'debat'"),
    ],
)
def test_what_does_not_fit_is_an_error(name, agents, message):
    """Said with the numbers, before anything is asked."""
    with pytest.raises(ConfigError, match=message):
        protocols.build(name, Settings(agents=agents))


def test_published_and_plain_names_are_one():
    """`single` and `pair` are `cot` and `coral`, the published words, under which runs are stored."""
    assert protocols.kind("single") is protocols.kind("cot")
    assert protocols.kind("pair") is protocols.kind("coral")
    assert {protocols.kind(name).name for name in protocols.names()} == set(protocols.names())


PAGE = Path(__file__).parents[2] / "docs" / "protocols.md"
DOCUMENTED = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL).group(1)


def install(folder, monkeypatch, entry, code=DOCUMENTED):
    monkeypatch.syspath_prepend(folder)
    (folder / "my_protocols.py").write_text(code)
    info = folder / "my_protocols-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-protocols\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[coral.protocols]\n{entry}\n")


async def test_another_package_adds_a_protocol(sums, tmp_path, monkeypatch):
    """One file with one class, as docs/protocols.md prints it, and an entry point."""
    install(tmp_path, monkeypatch, "twice = my_protocols:Twice")
    assert "twice" in protocols.names()
    protocol = protocols.build("twice", Settings(agents=("agent",)))
    conversation = await held_by(sums, protocol, ["Answer: 4", "Answer: 5"])
    assert [turn.reply.belief for turn in conversation.turns] == [Answered("4"), Answered("5")]


def test_what_is_no_protocol_is_named(tmp_path, monkeypatch):
    """Its package is to blame, and its entry point says where to look."""
    install(tmp_path, monkeypatch, "twice = my_protocols:dataclass")
    with pytest.raises(
        BrokenPlugIn, match="the protocol 'twice' of my-protocols cannot be used: it lacks"
    ) as caught:
        protocols.kind("twice")
    assert "my_protocols:dataclass" in caught.value.remedy
