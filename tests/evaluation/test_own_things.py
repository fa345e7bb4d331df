"""Task objects and metrics of a user: real runs with functions as agents."""

import importlib
import json
import sys
from pathlib import Path

import pytest

import coral
from coral.api import evaluate_async, score_async
from coral.cli import main
from coral.errors import ConfigError, Notice
from coral.plugins import failures

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def own(monkeypatch):
    """The module of the user, imported from the working folder."""
    monkeypatch.chdir(HERE)
    sys.modules.pop("own_things", None)
    monkeypatch.syspath_prepend(str(HERE))
    yield importlib.import_module("own_things")
    sys.modules.pop("own_things", None)


def options(path, **more):
    return {"output": str(path / "run"), "max_turns": 4, **more}


async def test_a_task_object_is_evaluated_and_scored_by_its_class(own, tmp_path, capsys):
    """run.json holds class and fields; score and show find the class again, as the command line does."""
    run = await evaluate_async(own.Sums(most=6), agent=own.adds, **options(tmp_path))
    assert run.summary.metrics["agreement_correctness"].mean == 1.0
    assert run.summary.groups.keys() == {"parity"}
    task = json.loads((run.path / "run.json").read_text())["task"]
    assert task == {"name": "own_things:Sums", "most": 6, "digits": [3, 4], "notes": None}
    assert await score_async(run.path, regrade=True) == run.summary
    again = await evaluate_async(own.Sums(most=6), agent=own.adds, **options(tmp_path))
    assert again.summary == run.summary
    assert main(["show", str(run.path), "0#0"]) == 0
    assert "answer 3" in capsys.readouterr().out


def test_a_task_class_is_named_on_the_command_line(tmp_path, capsys):
    """`coral eval module:Class --task.option value`."""
    words = ["eval", "own_things:Sums", "--task.most", "3", "--agent.model", "python:own_things:adds"]
    words += ["--metrics", "own_things:ends_right", "own_things:words", "--output", str(tmp_path / "run")]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "own_things:Sums" in shown
    assert "ends right" in shown
    assert "100.0 %" in shown.partition("ends right")[2].splitlines()[0]
    assert main(["score", str(tmp_path / "run"), "--everything"]) == 0
    assert "own_things:words" in capsys.readouterr().out


async def test_fields_decide_the_run(own, tmp_path):
    """A task object with another field is another run."""
    await evaluate_async(own.Sums(most=2), agent=own.adds, **options(tmp_path))
    with pytest.raises(coral.RunFolderError, match=r"task\.most: 2 there, 3 now"):
        await evaluate_async(own.Sums(most=3), agent=own.adds, **options(tmp_path))


async def test_an_object_of_one_of_our_tasks_is_the_named_task(tmp_path, own):
    """So its run is found again under the name."""
    from coral.tasks.sally_anne import SallyAnne

    found = coral.estimate(SallyAnne(size=8), agent=own.adds)
    assert found.problems == 8
    run = await evaluate_async(
        SallyAnne(size=2), agent=lambda _: "It is in the box.", max_failed_rate=1.0, **options(tmp_path)
    )
    assert run.summary.task == "sally_anne"


async def test_a_class_that_cannot_be_imported_is_told_with_what_to_do(own, tmp_path, capsys):
    """Score, show and regrade of a run from a notebook: the error says how; `task=` does it."""

    class Here(own.Sums):
        pass

    run = await evaluate_async(Here(), agent=own.adds, **options(tmp_path))
    with pytest.raises(ConfigError, match="cannot be imported") as error:
        await score_async(run.path)
    assert "task=" in error.value.remedy
    assert await score_async(run.path, task=Here()) == run.summary
    assert main(["show", str(run.path), "0#0"]) == 2
    assert "task=" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda own: own.Sums, "Sums is a class"),
        (lambda _: 7, "a int is no task: it lacks info"),
        (lambda _: "own_things:adds", "no task: it is no class"),
        (lambda _: "own_things:Nothing", "cannot be imported: AttributeError"),
        (lambda _: "no_such_module:Task", "cannot be imported: ModuleNotFoundError"),
        (lambda _: "pathlib:Path", "no task: it lacks problems"),
    ],
)
async def test_what_is_no_task_is_refused(own, make, words, tmp_path):
    """With cause and remedy, before a folder is made."""
    with pytest.raises(ConfigError, match=words) as error:
        await evaluate_async(make(own), agent=own.adds, **options(tmp_path))
    assert error.value.remedy
    assert not (tmp_path / "run").exists()


async def test_own_metrics_have_intervals_like_ours(own, tmp_path):
    """A truth is a share with Wilson's interval, as agreement_correctness is; a number has a t interval."""
    metrics = [own.ends_right, own.words, "own_things:right_of_turns"]
    run = await evaluate_async(
        own.Sums(most=9), agent=own.adds, partner=lambda _: "answer 5", metrics=metrics,
        **options(tmp_path, max_turns=3),
    )  # fmt: skip
    found = run.summary.metrics
    right, words, turns = (found[f"own_things:{n}"] for n in ("ends_right", "words", "right_of_turns"))
    last = [c.turns[-1].reply.correct for c in run.conversations()]
    assert right.mean == pytest.approx(sum(last) / 9)
    assert (right.n, right.num_problems, right.num_unscored) == (9, 9, 0)
    assert 0.0 <= right.low < right.mean < right.high <= 1.0
    spoken = [sum(len(t.reply.text.split()) for t in c.turns) for c in run.conversations()]
    assert words.mean == pytest.approx(sum(spoken) / 9)
    assert words.low < words.mean < words.high
    assert turns.n == sum(len(c.turns) for c in run.conversations())
    assert run.summary.own == {
        "own_things:ends_right": "share", "own_things:words": "score", "own_things:right_of_turns": "score"
    }  # fmt: skip
    assert "own_things:ends_right" in run.summary.groups["parity"]["0"]


@pytest.mark.parametrize(
    ("metric", "unknown"),
    [("raises", 4), ("raises_at_times", 1), ("says_nothing", 4), ("is_a_word", 4)],
)
async def test_a_metric_that_raises_is_unknown_counted_and_named(own, metric, unknown, tmp_path, caplog):
    """It ends no run, changes no other number, and says which it was."""
    failures()  # those of other tests
    plain = await evaluate_async(own.Sums(), agent=own.adds, **options(tmp_path))
    run = await evaluate_async(
        own.Sums(), agent=own.adds, metrics=[getattr(own, metric)], **options(tmp_path)
    )
    name = f"own_things:{metric}"
    assert run.summary.metrics[name].num_unscored == unknown
    assert run.summary.metrics[name].n == 4 - unknown
    others = {key: value for key, value in run.summary.metrics.items() if key != name}
    assert others == plain.summary.metrics
    told = [line for line in failures() if name in line]
    assert len(told) == (metric != "says_nothing")


async def test_metrics_are_added_and_taken_away_later(own, tmp_path):
    """`score` has those of the run unless others are given; one that is gone is left out, and told."""
    run = await evaluate_async(own.Sums(), agent=own.adds, metrics=[own.ends_right], **options(tmp_path))
    assert "own_things:ends_right" in (await score_async(run.path)).metrics
    other = await score_async(run.path, metrics=[own.words])
    assert other.own.keys() == {"own_things:words"}
    config = (run.path / "config.yaml").read_text()
    (run.path / "config.yaml").write_text(config.replace("own_things:ends_right", "own_things:gone"))
    with pytest.warns(Notice, match="own_things:gone cannot be imported"):
        assert (await score_async(run.path)).own == {}


@pytest.mark.parametrize(
    "metric", ["own_things:gone", "nobody_adds_this", int, 7, lambda: 1, lambda a, b, c: 1]
)
async def test_what_is_no_metric_is_refused_before_the_run(own, metric, tmp_path):
    """With cause and remedy."""
    with pytest.raises(ConfigError) as error:
        await evaluate_async(own.Sums(), agent=own.adds, metrics=[metric], **options(tmp_path))
    assert error.value.remedy
    assert not (tmp_path / "run").exists()


async def test_a_package_adds_a_metric_by_name(own, tmp_path, monkeypatch):
    """The entry point group `coral.metrics`: name = module:function."""
    package = tmp_path / "packages" / "my_metrics-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: my-metrics\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[coral.metrics]\nspoken_words = own_things:words\n")
    monkeypatch.syspath_prepend(str(package.parent))
    run = await evaluate_async(own.Sums(), agent=own.adds, metrics=["spoken_words"], **options(tmp_path))
    assert run.summary.metrics["spoken_words"].n == 4
