"""Runs on some of a task's problems, and on the same problems with other seeds."""

from pathlib import Path

import pytest

import coral
from coral.errors import DataError, RunFolderError
from coral.evaluation.config import EvalConfig
from coral.evaluation.identity import identity
from coral.evaluation.plan import open_plan
from coral.tasks import registry
from coral.tasks.protocol import Source

DATA = Path(__file__).parents[1] / "data"
HI_TOM = DATA / "hi_tom/Hi-ToM_data.sample.json"


def ids(**options):
    with open_plan(EvalConfig(task={"name": "sally_anne", "size": 20}, **options)) as plan:
        return [problem.id for problem in plan.problems]


def test_a_run_takes_the_listed_problems_in_the_order_of_the_data(tmp_path):
    """`problems` names what is used; order, blank lines and spaces of its file say nothing."""
    everything = ids()
    path = tmp_path / "ids.txt"
    path.write_text("\n\n".join(f" {name} " for name in reversed(everything[3:7])))
    assert ids(problems=str(path)) == everything[3:7]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read"),  # no such file
        ("\n", "lists no problem"),  # an empty list would silently be everything
        ("sally_anne-nonsense", "do not hold"),  # an id of other data must not be dropped in silence
    ],
)
def test_a_list_that_does_not_fit_is_an_error(tmp_path, content, said):
    """A list is used as it is, or refused."""
    path = tmp_path / "ids.txt"
    if content is not None:
        path.write_text(content)
    with pytest.raises(DataError, match=said):
        ids(problems=str(path))


def test_the_data_seed_holds_the_problems_still_while_the_seed_changes():
    """Repeating a run with another seed on the same problems needs a seed of the problems' own."""
    assert ids(seed=1, data_seed=0) == ids(seed=2, data_seed=0) == ids()
    assert ids(seed=1) != ids()


@pytest.mark.parametrize(
    ("name", "data", "split"),
    [
        ("hi_tom", "hi_tom/Hi-ToM_data.sample.json", "train"),
        ("explore_tom", "explore_tom/SYNTHETIC_fixture.csv", "train"),
        ("gpqa", "gpqa/SYNTHETIC_fixture.csv", "train"),
        ("mmlu_pro", "mmlu_pro/test.sample.jsonl", "seeded-test"),
    ],
)
def test_only_its_own_seed_deals_a_split_anew(name, data, split):
    """Every task without published splits deals them by `split_seed`, and by no other seed."""

    def part(**seeds):
        source = Source(data=str(DATA / data), split=split, **seeds)
        return frozenset(problem.id for problem in registry.load(name).problems(source))

    assert {part(seed=seed) for seed in range(6)} == {part()}
    assert len({part(split_seed=seed) for seed in range(6)}) > 1


def test_a_seed_never_moves_a_split():
    """What is tested in a run with one seed is not trained on in a run with another."""

    def part(**seeds):
        config = EvalConfig(task={"name": "hi_tom"}, data=str(HI_TOM), **seeds)
        with open_plan(config) as plan:
            return {problem.id for problem in plan.problems}

    trained = part(split="train", seed=0)
    assert trained.isdisjoint(part(split="test", seed=1) | part(split="test", seed=2, data_seed=3))
    assert part(split="train", seed=1) == trained
    assert part(split="train", split_seed=1) != trained


def test_a_run_of_before_keeps_its_split():
    """A run without `split_seed` in its record dealt its splits by the seed of its problems: going on with
    it under another split is refused, and naming that seed goes on.
    """

    def recorded(**options):
        config = EvalConfig(task={"name": "sally_anne"}, **options)
        return identity(config, task={}, split="test", data_fingerprint="", prompts="")

    assert "split_seed" not in recorded()
    assert recorded(seed=1)["split_seed"] == 0
    assert "split_seed" not in recorded(seed=1, split_seed=1)
    assert "split_seed" not in recorded(seed=2, data_seed=1, split_seed=1)


async def test_other_problems_are_another_run(serve, data, tmp_path):
    """The list is part of what decides the results, so it may not change between sessions."""
    path = tmp_path / "ids.txt"
    with open_plan(EvalConfig(task={"name": "hi_tom"}, data=data)) as plan:
        names = [problem.id for problem in plan.problems]
    async with serve() as (url, _):
        options = {
            "agent": {"model": "scripted", "base_url": url},
            "data": data,
            "output": str(tmp_path / "run"),
            "problems": str(path),
        }
        path.write_text("\n".join(names[:3]))
        run = await coral.evaluate_async("hi_tom", **options)
        assert run.total == 3
        path.write_text("\n".join(names[2::-1]))
        assert (await coral.evaluate_async("hi_tom", **options)).finished == 3
        path.write_text("\n".join(names[:4]))
        with pytest.raises(RunFolderError, match="problems"):
            await coral.evaluate_async("hi_tom", **options)
