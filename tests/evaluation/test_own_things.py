"""Task objects and metrics of a user: real runs with functions as agents."""

import importlib
import json
import re
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
    assert "100.0%" in shown.partition("ends right")[2].splitlines()[0]
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
        (lambda _: 7, "an int is not a task: it lacks info"),
        (lambda _: "own_things:adds", "is not a task but a"),
        (lambda _: "own_things:Nothing", "cannot be imported: there is no"),
        (lambda _: "no_such_module:Task", "cannot be imported: ModuleNotFoundError"),
        (lambda _: "pathlib:Path", "not a task: it lacks problems"),
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


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Makes an installed package of entry points."""

    def make(group, line):
        folder = tmp_path / "packages" / f"my_{group.rpartition('.')[2]}-1.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\n{line}\n")
        monkeypatch.syspath_prepend(str(folder.parent))

    return make


async def test_a_package_adds_a_metric_by_name(own, tmp_path, package):
    """The entry point group `coral.metrics`: name = module:function."""
    package("coral.metrics", "spoken_words = own_things:words")
    run = await evaluate_async(own.Sums(), agent=own.adds, metrics=["spoken_words"], **options(tmp_path))
    assert run.summary.metrics["spoken_words"].n == 4


@pytest.fixture
async def two_runs(own, tmp_path):
    """An agent that adds and one that guesses, each with its own idea of what to measure."""
    runs = []
    for name, agent, metrics in (("a", lambda _: "answer 3", [own.ends_right]), ("b", own.adds, [own.words])):
        run = await evaluate_async(
            own.Sums(most=6), agent=agent, metrics=metrics, output=str(tmp_path / name), max_turns=2
        )
        runs.append(run.path)
    return runs


async def test_own_metrics_are_compared_with_intervals_like_ours(own, two_runs):
    """Those of either run, on both runs; the difference is paired by problem, as Coral's own are."""
    found = {one.metric: one for one in (await coral.compare_async(*two_runs)).comparisons}
    right, words = (found[f"own_things:{name}"] for name in ("ends_right", "words"))
    assert (right.a, right.b, right.num_problems) == (pytest.approx(1 / 6), 1.0, 6)
    assert right.low < right.difference < right.high
    assert right.difference == pytest.approx(found["agreement_correctness_strict"].difference)
    assert right.p_value == pytest.approx(found["agreement_correctness_strict"].p_value)
    assert words.difference == 0.0


@pytest.mark.parametrize(
    ("metrics", "units"),
    [
        (["own_things:right_of_turns"], {"own_things:right_of_turns": "score"}),
        ("own_things:ends_right_by", {"own_things:ends_right_by": "share"}),
        (["spoken_words"], {"spoken_words": "score"}),
        ([], {}),
    ],
    ids=str,
)
async def test_other_own_metrics_can_be_compared_later(two_runs, metrics, units, package):
    """By module:function or by the name that a package gives them, in place of those of the runs."""
    package("coral.metrics", "spoken_words = own_things:words")
    runs = await coral.compare_async(*two_runs, metrics=metrics)
    assert runs.own == units
    assert {one.metric for one in runs.comparisons} >= units.keys()


def test_own_metrics_stand_in_the_table_of_a_comparison(two_runs, capsys):
    """`coral compare A B --metrics module:function ...`, with the titles that a run's table has."""
    a, b = map(str, two_runs)
    assert main(["compare", a, b, "--metrics", "own_things:ends_right", "own_things:words"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^ends right +16\.7% +100\.0% +\+83\.3 ", shown, re.MULTILINE)
    assert re.search(r"^words ", shown, re.MULTILINE)


async def test_a_metric_that_raises_in_one_run_is_compared_where_it_is_known(own, two_runs):
    """It ends no comparison."""
    failures()
    (found,) = [
        one
        for one in (await coral.compare_async(*two_runs, metrics=[own.raises_at_times])).comparisons
        if one.metric == "own_things:raises_at_times"
    ]
    assert (found.a, found.b, found.num_problems) == (1.0, 1.0, 5)
    assert failures()


def test_a_protocol_of_a_package_has_options_of_its_own(own, tmp_path, package):
    """`--protocol.times 3`: typed by its class, part of what decides the run, and kept with it."""
    package("coral.protocols", "times = own_things:Times")
    words = ["eval", "own_things:Sums", "--protocol", "times", "--protocol.times", "3"]
    words += ["--agent.model", "python:own_things:adds", "--output", str(tmp_path / "run")]
    assert main(words) == 0
    run = coral.load_run(tmp_path / "run")
    assert {len(c.turns) for c in run.conversations()} == {3}
    assert run.identity()["protocol"] == "times"
    assert run.identity()["protocol_options"] == {"times": 3, "again": "again"}
    again = main(["eval", "--config", str(tmp_path / "run" / "config.yaml")])
    assert again == 0
    assert main(["score", str(tmp_path / "run")]) == 0
    other = {"name": "times", "again": "once more"}
    made = coral.evaluate(own.Sums(), agent=own.adds, protocol=other, output=str(tmp_path / "other"))
    assert {len(c.turns) for c in made.conversations()} == {2}
    with pytest.raises(coral.RunFolderError, match="protocol_options"):
        coral.evaluate(own.Sums(), agent=own.adds, protocol="times", output=str(tmp_path / "other"))


@pytest.mark.parametrize(
    ("protocol", "said"),
    [
        ({"name": "times", "tims": 3}, "did you mean protocol.times?"),
        ({"name": "times", "times": "often"}, "protocol.times must be a whole number (got 'often')"),
        ({"name": "times", "again": "twice"}, "must be one of again, once more"),
        ({"name": "pair", "times": 3}, "the protocol coral has no option 'times'"),
        ({"times": 3}, "the protocol coral has no option 'times'"),
        ({"name": "tmes"}, "did you mean times?"),
    ],
    ids=str,
)
async def test_options_that_a_protocol_does_not_have_are_refused(own, protocol, said, tmp_path, package):
    """Before the run, with the option's name and what it may be."""
    package("coral.protocols", "times = own_things:Times")
    with pytest.raises(ConfigError) as refused:
        await evaluate_async(own.Sums(), agent=own.adds, protocol=protocol, **options(tmp_path))
    assert said in f"{refused.value} {refused.value.remedy}"
