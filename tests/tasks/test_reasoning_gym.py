"""`reasoning_gym:NAME`: generated problems, seeds, splits and options, graded by their own verifiers."""

import importlib.util
import subprocess
import sys

import msgspec
import pytest

import coral
from coral import workers
from coral.cli import main
from coral.errors import ConfigError, MissingExtra
from coral.store.folder import RunFolder
from coral.tasks import boundary, reasoning_gym, registry
from coral.tasks.protocol import Source
from coral.types import Answered, Unreadable, Unsure

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

needs_package = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="needs the extra reasoning-gym"
)
EVERY_KIND = (
    "leg_counting", "basic_arithmetic", "countdown", "sudoku", "knights_knaves", "maze", "simple_equations",
    "family_relationships", "propositional_logic", "rubiks_cube", "prime_factorization",
)  # fmt: skip
"""Families with numbers, formulas, grids, words, moves; one right answer, many, or none that is stated."""


def problems(family, *, seed=0, split="", **options):
    task = registry.load(f"reasoning_gym:{family}", **options)
    return task, list(task.problems(Source(data=None, split=split, seed=seed)))


@needs_package
@pytest.mark.parametrize("family", EVERY_KIND)
async def test_the_familys_own_answer_is_right_and_another_is_not(family):
    """As its verifier says, in a worker, from what a stored problem holds."""
    task, found = problems(family, size=2)
    async with workers.in_use():
        for problem in found:
            assert len({one.id for one in found}) == 2
            assert problem.question in task.opening(problem)
            assert await boundary.grade(task, "no such answer", problem) is False
            if problem.target != reasoning_gym.UNSTATED:
                assert await boundary.grade(task, problem.target, problem) is True
                assert await boundary.same(task, problem.target, f" {problem.target}\n", problem)


@needs_package
async def test_several_right_answers_are_one_answer():
    """A verifier takes any expression that gives the number: those who found different ones agree."""
    task, [problem] = problems("countdown", size=1, min_numbers=3, max_numbers=3)
    turned = f"({problem.target})"
    async with workers.in_use():
        right = await boundary.grade(task, problem.target, problem)
        other = await boundary.grade(task, turned, problem)
        assert right is True
        assert await boundary.same(task, problem.target, turned, problem) is (other is True)
        assert not await boundary.same(task, problem.target, "1", problem)


@needs_package
def test_seeds_sizes_splits_and_options_decide_the_problems():
    """The same seed makes the same problems, more of them begin alike, and no problem is in two splits."""
    ids = {
        (seed, split): [one.id for one in problems("leg_counting", seed=seed, split=split, size=20)[1]]
        for seed in (0, 1)
        for split in ("test", "validation", "train")
    }
    assert [one.id for one in problems("leg_counting", size=30)[1]][:20] == ids[0, "test"]
    assert ids[0, "test"] != ids[1, "test"]
    by_split = {split: {*ids[0, split], *ids[1, split]} for split in ("test", "validation", "train")}
    assert not by_split["test"] & by_split["train"]
    assert not by_split["test"] & by_split["validation"]
    _, [single] = problems("leg_counting", size=1, min_animals=1, max_animals=1)
    assert "," not in single.question.partition("if you have")[2]


@needs_package
def test_levels_set_what_is_not_set():
    """The curriculum grades the family's options; one of the user's own stands."""
    easy = registry.load("reasoning_gym:leg_counting", level=0)
    hard = registry.load("reasoning_gym:leg_counting", level=9, min_instances=3)
    assert hard.options["max_animals"] > easy.options["max_animals"]
    assert hard.options["min_instances"] == 3
    assert registry.load("reasoning_gym:leg_counting", level=900).options["max_animals"] >= 36


READ = [
    ("So.\n<answer>5</answer>", Answered("5")),
    ("<answer>4</answer> No.\n<answer>\n1 2\n3 4\n</answer>", Answered("1 2\n3 4")),
    ("<ANSWER> x </ANSWER>", Answered("x")),
    ("It is 5.", Unreadable("nothing between <answer> and </answer>")),
    ("<answer></answer>", Unreadable("empty")),
    ("<answer>I am not sure yet</answer>", Unsure()),
    ("I am not sure yet.", Unsure()),
    ("<answer>5", Unreadable("nothing between <answer> and </answer>")),
]


@needs_package
@pytest.mark.parametrize(("text", "belief"), READ)
def test_answers_stand_between_tags(text, belief):
    """The last pair counts, whatever lines it holds."""
    task, [problem] = problems("leg_counting", size=1)
    assert task.read(text, problem) == belief


@needs_package
def test_a_bare_answer_is_read_without_tags_and_label():
    """As an extractor gives it."""
    task, [problem] = problems("leg_counting", size=1)
    assert task.parse("Answer: 12", problem) == Answered("12")
    assert task.parse("Answer: <answer>12</answer>", problem) == Answered("12")


BAD = {
    "no such family": ("leg_countin", {}, "no family 'leg_countin'", "did you mean leg_counting"),
    "another problem in every process": ("word_ladder", {}, "in every process", "take another one"),
    "an option of another family": ("leg_counting", {"depth": 3}, "no option 'depth'", "min_animals"),
    "a number that is none": (
        "leg_counting", {"min_animals": "many"}, "cannot take min_animals", "whole number",
    ),
    "options that contradict": (
        "leg_counting", {"min_animals": 9, "max_animals": 2}, "max_animals must be >= min_animals",
        "coral tasks",
    ),
    "no problem": ("leg_counting", {"size": 0}, "size=0", "from 1"),
    "a level below 0": ("leg_counting", {"level": -1}, "level=-1", "from 0"),
}  # fmt: skip


@needs_package
@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_made_is_refused(case):
    """With the cause, and what to give instead."""
    family, options, message, remedy = BAD[case]
    with pytest.raises(ConfigError) as refused:
        registry.load(f"reasoning_gym:{family}", **options)
    assert message in str(refused.value)
    assert remedy in refused.value.remedy


@needs_package
def test_data_and_too_many_problems_are_refused():
    """It reads no file, and a narrow family has only so many problems."""
    task = registry.load("reasoning_gym:leg_counting")
    with pytest.raises(ConfigError, match="reads no file"):
        next(task.problems(Source(data="x.jsonl", split="")))
    with pytest.raises(ConfigError, match="no split 'dev'"):
        next(task.problems(Source(data=None, split="dev")))


@needs_package
async def test_a_verifier_that_fails_grades_nothing(monkeypatch):
    """Another version may make another problem of the seed: then nobody knows, and the run goes on."""
    task, [problem] = problems("leg_counting", size=1)
    other = msgspec.structs.replace(problem, question="?")
    async with workers.in_use():
        assert await boundary.grade(task, problem.target, other) is None
    assert any("grader" in line for line in boundary.failures())


@needs_package
def test_a_run_is_held_kept_and_scored_again(tmp_path, capsys):
    """By name on the command line and in Python; run.json names family, options and version."""

    def knows(messages):
        return "Half of it, I would say. <answer>12</answer>"

    run = coral.evaluate(
        {"name": "reasoning_gym:leg_counting", "size": 4, "max_animals": 4}, agent=knows, protocol="cot",
        output=str(tmp_path / "run"),
    )  # fmt: skip
    identity = RunFolder(run.path).identity()
    assert identity["task"]["name"] == "reasoning_gym:leg_counting"
    assert (identity["task"]["size"], identity["task"]["max_animals"]) == (4, 4)
    assert identity["data_sha256"].startswith("reasoning-gym 0.")
    assert run.summary.metrics["accuracy"].n == 4
    assert coral.score(run.path, regrade=True).metrics == run.summary.metrics
    given = "eval reasoning_gym:leg_counting --task.size 3 --task.min_animals 2 --dry_run --agent.model m"
    assert main([*given.split(), "--agent.base_url", "http://localhost:1"]) == 0
    assert "<answer>" in capsys.readouterr().out


@needs_package
def test_the_families_are_listed_and_shown(capsys):
    """`coral tasks` names them, with one of them its options, defaults and first problem."""
    assert main(["tasks"]) == 0
    assert "`coral tasks reasoning_gym` lists them" in capsys.readouterr().out
    assert main(["tasks", "reasoning_gym"]) == 0
    names = capsys.readouterr().out
    assert "leg_counting" in names
    assert "sudoku" in names
    assert main(["tasks", "reasoning_gym:leg_counting"]) == 0
    shown = capsys.readouterr().out
    assert "--task.min_animals: a whole number, by default 3" in shown
    assert "right answer:" in shown
    assert main(["eval", "reasoning_gym", "--dry_run"]) == 2
    assert "coral tasks reasoning_gym" in capsys.readouterr().err


def test_without_the_package_the_remedy_is_told(monkeypatch, capsys):
    """`coral tasks` still lists all others."""
    reasoning_gym.families.cache_clear()
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    monkeypatch.setattr(reasoning_gym, "is_installed", lambda: False)
    with pytest.raises(MissingExtra, match="reasoning_gym:NAME") as missing:
        registry.load("reasoning_gym:leg_counting")
    assert "collaborative-reasoner[reasoning-gym]" in missing.value.remedy
    assert main(["tasks"]) == 0
    out = capsys.readouterr().out
    assert "hi_tom" in out
    assert "about 100 generated tasks:\n  pip install 'collaborative-reasoner[reasoning-gym]'" in out
    assert main(["tasks", "reasoning_gym:leg_counting"]) == 2
    assert "pip install" in capsys.readouterr().err


def test_the_command_line_starts_without_it():
    """It is imported where a family is asked for."""
    code = (
        "import sys, coral.cli; from coral.tasks import registry; registry.names(); "
        "print('reasoning_gym' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
