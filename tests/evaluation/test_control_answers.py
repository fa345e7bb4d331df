"""Where the wrong answer of a control comes from: what a run of one agent alone most often got wrong."""

import shutil
import warnings

import pytest

import coral
from coral.errors import ConfigError, Notice, RunFolderError
from coral.evaluation.config import EvalConfig
from coral.evaluation.plan import open_plan
from coral.types import RESPONDER, Answered


def solo(tmp_path, answers, *, limit=3, name="solo", task="sally_anne", **more):
    """A run whose agent answers each problem by its samples: `answers(target, choices, sample)`."""
    told, counts = {}, {}
    config = EvalConfig(task={"name": task}, limit=limit)
    with open_plan(config) as plan:
        for problem in plan.problems:
            told[plan.task.opening(problem)] = problem

    def speak(messages):
        text = next(text for text in told if text in messages[1]["content"])
        sample = counts[text] = counts.get(text, -1) + 1
        problem = told[text]
        letters = [chr(65 + i) for i in range(len(problem.choices)) if chr(65 + i) != problem.target]
        return f"Answer: ({answers(problem.target, letters, sample)})"

    folder = tmp_path / name
    coral.evaluate(
        task, agent=speak, protocol="single", limit=limit, output=str(folder), max_connections=1, **more
    )
    return folder


def held(folder, **options):
    """What the control partner of a run submits, by problem."""
    run = coral.evaluate(
        "sally_anne", agent=lambda _: "I am not sure yet.", opener="agent", max_turns=1,
        partner={"control": "wrong", "control_answers": str(folder)}, **{"limit": 3, **options},
    )  # fmt: skip
    return {
        talk.problem.id: talk.turns[0].reply.belief.value
        for talk in run.conversations()
        if talk.turns[0].seat == RESPONDER and isinstance(talk.turns[0].reply.belief, Answered)
    }


def wrong_of(folder):
    """The wrong letters of each problem of a run, in order."""
    found = {}
    for talk in coral.load_run(folder).conversations():
        letters = [chr(65 + i) for i in range(len(talk.problem.choices))]
        found[talk.problem.id] = [letter for letter in letters if letter != talk.problem.target]
    return found


@pytest.mark.parametrize(
    ("samples", "which"),
    [
        ("121", 1),  # the most frequent one
        ("r22r1", 2),  # right answers are no wrong ones
        ("2", 2),
        ("12", 1),  # of equally frequent ones the first sample's
        ("1222", 2),
    ],
)
def test_the_most_frequent_wrong_answer_is_insisted_on(tmp_path, samples, which):
    """Of K samples alone, the wrong answer that most of them gave; ties go to the first sample."""

    def answers(target, wrong, sample):
        return target if samples[sample] == "r" else wrong[int(samples[sample])]

    folder = solo(tmp_path, answers, samples=len(samples))
    expected = {name: letters[which] for name, letters in wrong_of(folder).items()}
    assert held(folder, output=str(tmp_path / "run")) == expected


def test_where_it_is_never_wrong_one_of_ours_stands_in(tmp_path):
    """A problem that the run always solves has none: ours is taken, and the user hears for how many."""
    folder = solo(tmp_path, lambda target, wrong, sample: target)
    with pytest.warns(Notice, match="3 of 3 problems have no wrong answer"):
        found = held(folder, output=str(tmp_path / "run"))
    assert all(answer in wrong_of(folder)[name] for name, answer in found.items())


def test_what_it_answers_decides_and_not_where_it_lies(tmp_path):
    """A moved run is the same source; another one is not, and the folder is refused."""
    folder = solo(tmp_path, lambda target, wrong, sample: wrong[0])
    out = str(tmp_path / "run")
    first = held(folder, output=out)
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert held(moved, output=out) == first
    other = solo(tmp_path, lambda target, wrong, sample: wrong[1], name="other")
    with pytest.raises(RunFolderError, match="control_answers"):
        held(other, output=out)


def test_what_cannot_serve_is_refused(tmp_path):
    """Another task, several agents, other problems, no run at all, or no control: cause and remedy."""
    pair = tmp_path / "pair"
    coral.evaluate("sally_anne", agent=lambda _: "Answer: (A)", limit=2, output=str(pair))
    other = tmp_path / "other"
    coral.evaluate(
        "split_chain", agent=lambda _: "Answer: (A)", protocol="single", limit=2, output=str(other)
    )
    apart = solo(tmp_path, lambda target, wrong, sample: wrong[0], name="apart", seed=0)
    for folder, message in ((pair, "several agents"), (other, "task"), (tmp_path / "none", "none")):
        with pytest.raises((ConfigError, RunFolderError), match=message):
            held(folder, output=str(tmp_path / "run"))
    with pytest.raises(ConfigError, match="none of these problems"):
        held(apart, output=str(tmp_path / "run"), data_seed=99)
    with pytest.raises(ConfigError, match="not a control partner"):
        coral.evaluate(
            "sally_anne", agent=lambda _: "Answer: (A)", partner={"control_answers": str(apart)}, limit=2,
            output=str(tmp_path / "run"),
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_kinds_that_never_err_ignore_it(tmp_path):
    """In a study the option stands for all arms; `right` is the same run with and without."""
    folder = solo(tmp_path, lambda target, wrong, sample: wrong[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for partner in ({"control": "right"}, {"control": "right", "control_answers": str(folder)}):
            coral.evaluate(
                "sally_anne", agent=lambda _: "Answer: (A)", partner=partner, limit=2,
                output=str(tmp_path / "run"),
            )  # fmt: skip
