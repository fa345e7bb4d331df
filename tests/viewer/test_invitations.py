"""The commands that a page gives to people work as they stand."""

import shlex

import pytest
import yaml

import coral
from coral.cli import main
from coral.people.invitations import seat
from coral.store.folder import RunFolder


def words(run):
    """Of the command for a seat; None where there is none."""
    found = seat(RunFolder(run))
    return found and shlex.split(found["command"])


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """A run with options that an evaluation does not know, in a folder with a blank in its name."""
    path = tmp_path_factory.mktemp("a b") / "it's"
    coral.sample("sally_anne", limit=2, samples=1, candidates=2, max_turns=3, output=path, seed=7)
    return path


def test_a_chat_is_about_the_problems_of_the_run(sampled, capsys):
    """With its agent, into a folder of its own; whatever made the run."""
    chat = words(sampled)
    assert chat[:3] == ["coral", "chat", "sally_anne"]
    assert chat[-3:] == ["--output", f"{sampled}-with-people", "--web"]
    assert main([*chat[1:], "--dry_run", "true"]) == 0
    shown = capsys.readouterr().out
    questions = [one.problem.question for one in coral.load_run(sampled).conversations()]
    assert any(question.splitlines()[-1].split("\n")[0] in shown for question in questions)


def test_a_chat_has_the_options_of_own_data_and_agents(stored, capsys):
    """Fields of a file, and a Python function as the agent."""
    chat = words(stored / "first")
    assert main([*chat[1:], "--dry_run", "true"]) == 0
    assert "What is" in capsys.readouterr().out


PEOPLE = [
    ({"partner": {"model": "human"}}, ["coral", "chat", "--config"]),
    ({"agent": {"control": "wrong"}}, None),
]


@pytest.mark.parametrize(("changes", "begins"), PEOPLE, ids=["resumed", "nobody to talk with"])
def test_other_runs(sampled, tmp_path, changes, begins):
    """A chat is resumed; an agent that says what it was told to is no partner."""
    config = yaml.safe_load((sampled / "config.yaml").read_text())
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config | changes))
    found = words(tmp_path)
    assert (found and found[:3]) == begins


@pytest.mark.parametrize("text", [None, "[", "- 1"])
def test_a_run_without_readable_options_has_no_seat(tmp_path, text):
    """Whom one would talk with is not known."""
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
    assert words(tmp_path) is None
