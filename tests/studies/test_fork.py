"""`coral fork`: stored conversations continued from a turn, changed and unchanged."""

import pytest

import coral
from coral.api import evaluate_async
from coral.cli import main
from coral.errors import ConfigError
from coral.store.folder import RunFolder
from coral.studies.fork import ForkConfig, fork
from coral.types import Answered

LETTERS = {"(A)", "(B)", "(C)", "(D)"}


def follower(messages):
    """Says B first, and from then on what the other says."""
    said = [word for message in messages[1:] for word in message["content"].split() if word in LETTERS]
    return f"Answer: {said[-1] if len(messages) > 2 and said else '(B)'}"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Three conversations in which both say B."""
    import sys
    import types

    module = types.ModuleType("coral_follower")
    module.speak = follower
    monkeypatch.setitem(sys.modules, "coral_follower", module)
    folder = tmp_path / "run"
    coral.evaluate(
        "sally_anne", agent="python:coral_follower:speak", limit=3, max_turns=4, output=str(folder)
    )
    return folder


def first(folder):
    return min(RunFolder(folder).conversations(), key=lambda one: one.id)


def test_a_replaced_turn_is_answered_to(run, capsys, tmp_path):
    """The text stands in place of the turn; what follows answers to it; the parent is named."""
    one = first(run)
    assert main(["fork", str(run), one.id, "--turn", "1", "--replace", "Answer: (A)", "--samples", "3"]) == 0
    assert "unchanged" in capsys.readouterr().out
    changed = list(RunFolder(run / "fork" / "changed").conversations())
    assert len(changed) == 3
    for talk in changed:
        assert talk.turns[0].reply.text == "Answer: (A)"
        assert talk.turns[0].reply.belief == Answered("A")
        assert (talk.parent.conversation, talk.parent.turns) == (one.id, 0)
    for talk in RunFolder(run / "fork" / "unchanged").conversations():
        assert talk.turns[:1] == one.turns[:1]
        assert talk.parent.turns == 1


async def test_outcomes_stand_beside_each_other(run):
    """A right control in the seat of turn 1 is followed; n counts continuations, and resuming adds none."""
    one = first(run)
    config = ForkConfig(turn=1, control="right", samples=4)
    found = await fork(str(run), one.id, config)
    assert (found.changed.n, found.unchanged.n, found.conversations) == (4, 4, (one.id,))
    assert found.changed.value == 1.0
    assert found.unchanged.value == found.original == float(one.problem.target == "B")
    assert found.difference == found.changed.value - found.unchanged.value
    assert await fork(str(run), one.id, config) == found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"turn": 1}, "nothing is changed"),
        ({"turn": 1, "replace": "x", "control": "wrong"}, "2 things are changed"),
        ({"replace": "x"}, "begins at one turn"),
        ({"turn": 1, "where": "lost_right_answer", "replace": "x"}, "begins at one turn"),
        ({"turn": 0, "replace": "x"}, "turn"),
    ],
)
def test_options_that_make_no_fork_are_refused(options, message):
    """One change, at one place."""
    with pytest.raises(ConfigError, match=message):
        ForkConfig(**options)


async def test_what_is_not_there_is_refused(run):
    """No such conversation, turn or kind: cause and remedy, and nothing is sent."""
    for conversation, options, message in (
        ("none", {"turn": 1}, "no conversation 'none#0'"),
        (first(run).id, {"turn": 9}, "no turn 9"),
        (None, {"where": "lost_right_answer"}, "no conversation of"),
    ):
        with pytest.raises(ConfigError, match=message):
            await fork(str(run), conversation, ForkConfig(replace="Answer: (A)", **options))
    assert not (run / "fork" / "changed").exists()


async def test_problems_drawn_by_a_seed_of_their_own_are_found_again(run):
    """A data seed of 0 is one: the fork is about the problem of the stored conversation."""
    folder = run.parent / "seeded"
    await evaluate_async(
        "sally_anne", agent="python:coral_follower:speak", limit=3, seed=5, data_seed=0, output=str(folder)
    )
    one = first(folder)
    await fork(str(folder), one.id, ForkConfig(turn=1, control="right", samples=2))
    assert {talk.problem.id for talk in RunFolder(folder / "fork" / "changed").conversations()} == {
        one.problem.id
    }
