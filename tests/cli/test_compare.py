"""`coral compare A B`: two stored runs on the same problems."""

import csv
import json
import re
import shutil

import pytest

import coral
from coral import tasks
from coral.api import evaluate_async, load_run
from coral.serving.app import ChatServer
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source


@pytest.fixture
async def alone(hi_tom, tmp_path):
    """The same 12 problems and 3 more, answered by one agent that is right more often."""
    path = tmp_path / "alone"
    task = tasks.load("hi_tom")
    knowledge = Knowledge(task, task.problems(Source(data=hi_tom, split="")))
    server = ChatServer(serve_scripted(knowledge, Persona(accuracy=0.8)))
    async with listening(server, host="127.0.0.1", port=0) as url:
        await evaluate_async(
            "hi_tom", agent={"model": "scripted", "base_url": url}, data=hi_tom, limit=15, protocol="cot",
            output=str(path),
        )  # fmt: skip
    return path


def _copy(run, path, old, new):
    """A copy of a run in which a text is another."""
    shutil.copytree(run, path)
    changed = 0
    for file in [path / "run.json", *path.glob("conversations*"), *path.glob("conversations/*")]:
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            changed += text.count(old)
            file.write_text(text.replace(old, new), encoding="utf-8")
    assert changed
    return path


async def test_a_pair_and_one_agent_are_compared_by_strict_scores(finished, alone):
    """Both shares are of all conversations about the shared problems, and pairing is by problem."""
    runs = await coral.compare_async(alone, finished)
    right = {
        item.problem.id: item.turns[-1].reply.correct is True for item in load_run(alone).conversations()
    }
    pair = json.loads((finished / "summary.json").read_text())["metrics"]["agreement_correctness_strict"]
    shared = {item.problem.id for item in load_run(finished).conversations()}
    headline = runs.comparisons[0]
    assert (runs.protocols, headline.num_problems, headline.num_only_a) == (("cot", "coral"), 12, 3)
    assert headline.a == pytest.approx(sum(right[name] for name in shared) / 12)
    assert headline.b == pytest.approx(pair["mean"])
    assert headline.low < headline.difference < headline.high
    assert {item.metric for item in runs.comparisons[1:]} >= {"turns", "total_tokens"}
    assert "conformity" not in {item.metric for item in runs.comparisons}


async def test_what_talking_changed_is_that_of_the_pair_on_the_shared_problems(finished, alone):
    """First answers against last ones come from the pair's own run, and from one agent's nothing."""
    for a, b in ((alone, finished), (finished, alone)):
        runs = await coral.compare_async(a, b)
        summary = json.loads((finished / "summary.json").read_text())
        by_turn = {
            f"{kind}_within/{turn}": estimate
            for turn, step in summary["by_turn"].items()
            for kind, estimate in step.items()
        }
        stored = {**summary["metrics"], **by_turn}
        assert "agreement_within/2" in runs.changes
        assert list(runs.changes)[:4] == [
            "first_accuracy", "opener_first_accuracy", "final_accuracy", "conversation_gain",
        ]  # fmt: skip
        for name, estimate in runs.changes.items():
            assert (estimate.mean, estimate.n) == (stored[name]["mean"], stored[name]["n"]), name
        first = {item.metric: item for item in runs.comparisons}["first_accuracy"]
        assert {first.a, first.b} >= {runs.changes["first_accuracy"].mean}
    assert (await coral.compare_async(finished, finished)).changes == {}


def test_two_pairs_are_compared_by_what_pairs_have(finished):
    """From Python: a run against itself has no difference in anything, and an interval around none."""
    runs = coral.compare(finished, finished)
    assert {"agreement", "conformity"} <= {item.metric for item in runs.comparisons}
    assert {item.difference for item in runs.comparisons} <= {0.0, None}
    assert runs.comparisons[0].low < 0 < runs.comparisons[0].high


def test_a_run_beside_itself_is_no_other_seed(coral_command, finished):
    """One run named twice is compared, and no mean over seeds is made of it."""
    code, output, _ = coral_command("compare", finished, finished)
    assert code == 0
    assert "mean over seeds" not in output


async def test_the_table_fits_a_terminal(coral_command, finished, alone):
    """The command shows both figures, the difference and what was left out, in 80 columns."""
    code, output, errors = coral_command("compare", alone, finished)
    assert (code, errors) == (0, "")
    words = " ".join(output.split())
    assert "hi_tom, on 12 shared problems" in words
    assert "left out: 3 problems that only a has" in words
    order = ("Right, of all", "First answer right", "what talking changed in b", "Conversation gain, points")
    assert sorted(order, key=words.index) == list(order)
    assert re.search(
        r"of \d+ differences that are tested here, these hold among all of them \(Holm\): ", words
    )
    assert [
        line for line in output.splitlines() if len(line) > 80 and not line.startswith(("a: ", "b: "))
    ] == []


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"name": "hi_tom"', '"name": "gsm8k"', "two tasks"),
        ('"problem":{"id":"', '"problem":{"id":"other-', "share no problem"),
        ("Where does", "Where did", "is not the same in both runs"),
    ],
    ids=["another task", "other problems", "one id, two questions"],
)
def test_runs_on_other_problems_are_refused(coral_command, finished, tmp_path, old, new, cause):
    """Figures of different problems must not be subtracted."""
    other = _copy(finished, tmp_path / "other", old, new)
    code, _, errors = coral_command("compare", finished, other)
    assert code == 2
    assert cause in errors
    assert "->" in errors


def test_two_folders_are_needed(coral_command, finished):
    """One folder is no comparison."""
    code, _, errors = coral_command("compare", finished)
    assert code == 2
    assert "two run folders are needed" in errors


async def test_several_runs_are_compared_with_the_first(finished, alone, tmp_path, coral_command):
    """The first is the baseline; raw p-values, and those adjusted for the number of runs (Holm)."""
    shutil.copytree(alone, tmp_path / "again")
    code, output, errors = coral_command("compare", str(finished), str(alone), str(tmp_path / "again"))
    assert (code, errors) == (0, "")
    assert "right of all, each minus the first" in output
    rows = [line.split() for line in output.splitlines() if re.match(r" *[bc]  ", line)]
    assert [row[0] for row in rows] == ["b", "c"]
    assert rows[0][1:] == rows[1][1:]
    raw, adjusted, n = rows[0][-3:]
    assert float(adjusted) == pytest.approx(min(1.0, 2 * float(raw)), abs=2e-4)
    assert n == "12"
    assert output.count("8 of 10 such comparisons find a true difference of") == 2


async def test_several_runs_are_compared_from_python(finished, alone, tmp_path):
    """Each against the first as if alone, adjusted p-values beside, and what the design finds and needs."""
    shutil.copytree(alone, tmp_path / "again")
    several = await coral.compare_async(finished, alone, tmp_path / "again")
    pair = await coral.compare_async(finished, alone)
    assert several.baseline == str(finished)
    assert several.others == (str(alone), str(tmp_path / "again"))
    assert several.compared[0] == pair
    raw = [runs.comparisons[0].p_value for runs in several.compared]
    assert several.p_holm == tuple(min(1.0, 2 * p) for p in raw)
    design = pair.design
    assert design.problems == 12
    assert design.rates == pytest.approx((pair.comparisons[0].a, pair.comparisons[0].b))
    assert design.detectable(design.needed(0.05)) <= 0.05


async def test_a_comparison_ends_with_what_it_could_have_found(finished, alone, coral_command):
    """The difference that 8 of 10 such comparisons find, the problems that 5 points need, the correlation."""
    design = (await coral.compare_async(finished, alone)).design
    _, output, _ = coral_command("compare", str(finished), str(alone))
    last = " ".join(output.split())
    assert f"find a true difference of {100 * design.detectable(12):.1f} points" in last
    assert f"one of 5 points needs {design.needed(0.05):,} problems" in last
    assert f"(correlation of the two on a problem {design.correlation:.2f})" in last


# By group, with votes, and as files -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def voted(hi_tom, tmp_path_factory):
    """The same 12 problems, three samples each by one agent."""
    path = tmp_path_factory.mktemp("voted") / "run"
    coral.evaluate(
        "hi_tom", agent=lambda messages: "Answer: red_basket", data=hi_tom, limit=12, protocol="cot",
        samples=3, output=str(path),
    )  # fmt: skip
    return path


def test_groups_are_compared_on_their_problems_alone(finished, voted):
    """Each group has the figures of its own problems, n adds up, and p-values are adjusted for all groups."""
    runs = coral.compare(finished, voted, by="order")
    parts = {part.group: part for part in runs.groups}
    assert runs.by == "order"
    assert list(parts) == sorted(parts, key=int)
    assert sum(part.comparison.num_problems for part in runs.groups) == 12
    right = {}
    for conversation in load_run(finished).conversations():
        beliefs = [turn.reply.correct is True for turn in conversation.turns[-2:]]
        agreed = conversation.stop.value == "agreed" and all(beliefs)
        right.setdefault(conversation.problem.group["order"], []).append(agreed)
    for group, part in parts.items():
        assert part.comparison.a == pytest.approx(sum(right[group]) / len(right[group]))
        assert part.p_holm >= part.comparison.p_value
    several = coral.compare(finished, voted, voted, by="order")
    assert [len(one.groups) for one in several.compared] == [len(parts)] * 2
    again = {part.group: part for part in several.compared[0].groups}
    assert all(again[name].p_holm >= part.p_holm for name, part in parts.items())


@pytest.mark.parametrize(
    ("by", "remedy"),
    [("ordr", "deception, order"), ("", "deception, order"), ("0", "deception, order"), ("Order", "order")],
)
def test_an_unknown_group_is_refused(coral_command, finished, by, remedy):
    """The remedy names the groups that there are. An empty name is none."""
    code, _, errors = coral_command("compare", finished, finished, "--by", by)
    assert (code, remedy in errors) == (2, True)


def test_problems_without_groups_say_how_they_get_one(coral_command, tmp_path):
    """Own data without a group: the option that names the field."""
    data = tmp_path / "own.jsonl"
    data.write_text("".join(f'{{"question": "Is {i} even?", "answer": "{i}"}}\n' for i in range(4)))
    for name in ("a", "b"):
        coral.evaluate(
            {"name": "open", "question": "question", "answer": "answer", "kind": "number"}, data=data,
            agent=lambda messages: "Answer: 1", protocol="cot", output=tmp_path / name,
        )  # fmt: skip
    code, _, errors = coral_command("compare", tmp_path / "a", tmp_path / "b", "--by", "topic")
    assert (code, "no group 'topic'" in errors, "--task.group FIELD" in errors) == (2, True, True)


def test_a_vote_is_among_the_rows_where_there_are_samples(coral_command, finished, voted):
    """A vote of samples against a pair; without samples it would be the headline again."""
    names = [one.metric for one in coral.compare(finished, voted).comparisons]
    assert names[1] == "majority_vote"
    assert "majority_vote" not in {one.metric for one in coral.compare(finished, finished).comparisons}
    _, output, _ = coral_command("compare", finished, voted, finished)
    assert re.search(r"^b, vote +\d", output, re.MULTILINE)
    assert not re.search(r"^c, vote", output, re.MULTILINE)


def test_p_values_are_shown_on_demand(coral_command, finished, voted):
    """Raw and adjusted, of metrics and of groups, within 80 columns."""
    _, plain, _ = coral_command("compare", finished, voted, "--by", "order")
    _, output, _ = coral_command("compare", finished, voted, "--by", "order", "--p-values", "true")
    assert "p, Holm" not in plain
    assert output.count("p, Holm") == 2
    assert [line for line in output.splitlines() if len(line) > 80 and line[1:3] != ": "] == []


def test_a_comparison_is_written_as_what_the_suffix_says(coral_command, finished, voted, tmp_path):
    """One comparison in five forms; nothing is overwritten, and another suffix is refused first."""
    for suffix in ("json", "csv", "html", "md", "tex"):
        file = tmp_path / f"found.{suffix}"
        assert coral_command("compare", finished, voted, "--by", "order", "--output", file)[0] == 0
        text = file.read_text(encoding="utf-8")
        assert "Right, of all" in text or '"comparisons"' in text
        code, _, errors = coral_command("compare", finished, voted, "--output", file)
        assert (code, "already a file" in errors) == (2, True)
    found = json.loads((tmp_path / "found.json").read_text())["compared"][0]
    lines = list(csv.DictReader((tmp_path / "found.csv").read_text().splitlines()))
    assert float(lines[0]["difference"]) == found["comparisons"][0]["difference"]
    grouped = [line for line in lines if line["by"] == "order"]
    assert [line["group"] for line in grouped] == [part["group"] for part in found["groups"]]
    for wrong, cause in (("found.pdf", "'.pdf'"), ("found", "no suffix"), ("no/found.csv", "no folder")):
        code, _, errors = coral_command("compare", finished, voted, "--output", tmp_path / wrong)
        assert (code, cause in errors, "->" in errors) == (2, True, True)


def test_notebooks_show_comparisons_as_tables(finished, voted, tmp_path):
    """Of two runs, and of several; what stands in a cell is data."""
    odd = tmp_path / "<b>odd"
    shutil.copytree(voted, odd)
    two, three = coral.compare(finished, voted, by="order"), coral.compare(finished, voted, odd)
    assert two._repr_html_().count("<table>") == 3
    assert "Majority vote over samples" in two._repr_html_()
    page = three._repr_html_()
    assert "&lt;b&gt;odd" in page
    assert "<b>odd" not in page
