"""Tasks without gold answers go through every command, and nothing is called right or wrong."""

import re

import msgspec
import pytest

import coral
from coral.cli import main
from coral.comparison.compare import compare_runs, compare_several
from coral.comparison.rows import notes_of
from coral.errors import ConfigError
from coral.store.folder import RunFolder
from coral.studies.fork import ForkConfig, fork
from coral.tasks.sally_anne import SallyAnne

OPTIONS = {"limit": 8, "agent": {"temperature": 1.0}}
TASK = "test_without_gold:NoGold"


class NoGold(SallyAnne):
    """Stories of which nobody knows the answer."""

    def problems(self, source):
        for problem in super().problems(source):
            yield msgspec.structs.replace(problem, target="")


@pytest.fixture(autouse=True)
def importable(monkeypatch, request):
    monkeypatch.syspath_prepend(str(request.path.parent))


async def test_a_study_reports_agreement_with_the_majority(tmp_path, capsys):
    """By arm with n and interval, as the contrast, with what biases it; and no share of right answers."""
    results = await coral.study_async({
        **OPTIONS,
        "task": {"name": TASK},
        "arms": {"alone": {"protocol": "single", "samples": 3}, "pair": {"max_turns": 4}},
        "output": str(tmp_path / "study"),
    })  # fmt: skip
    assert results.without_gold == results.problems == 8
    assert [arm.right.mean for arm in results.arms] == [None, None]
    majority = {arm.name: arm.metrics["majority_agreement"] for arm in results.arms}
    assert (majority["alone"].n, majority["pair"].n) == (24, 8)
    [contrast] = results.contrasts
    assert contrast.metric == "majority_agreement"
    assert contrast.difference == pytest.approx(majority["pair"].mean - majority["alone"].mean)
    assert not results.curve
    assert not results.synergy
    assert not results.facets
    report = (tmp_path / "study" / "report.md").read_text()
    assert "No problem has a gold answer" in report
    assert "## Agreement with the majority" in report
    assert "leans high" in report
    assert "0.0% [" not in report.partition("## Agreement")[0]


def test_runs_are_listed_compared_and_audited(tmp_path, capsys, monkeypatch):
    """No command ends in a traceback or speaks of right answers."""
    monkeypatch.chdir(tmp_path)
    common = [TASK, "--limit", "8", "--agent.temperature", "1", "--samples", "2"]
    assert main(["eval", *common, "--max_turns", "4", "--output", "pair"]) == 0
    assert main(["eval", *common, "--protocol", "cot", "--output", "alone"]) == 0
    said = capsys.readouterr().out
    assert "gold answers: none (8 problems)" in said
    assert said.count("Agrees with the majority") == 2
    assert "and right  " not in said.replace("and right  95%", "")
    for command in (["compare", "alone", "pair"], ["compare", "alone", "pair", "alone"], ["list", "."]):
        assert main(command) == 0
    said = capsys.readouterr().out
    assert "no problem has a gold answer" in said
    assert "right, of all" not in said
    assert "right of all" not in said
    power = r"8 of 10 such comparisons find a true difference of [\d.]+ points in agreement with the majority"
    assert len(re.findall(power, " ".join(said.split()))) == 3
    assert main(["eval", *common, "--max_turns", "4", "--salt", "b", "--output", "again"]) == 0
    assert main(["compare", "pair", "again"]) == 0
    assert "mean over seeds, agreement with the majority" in capsys.readouterr().out
    assert main(["audit", "pair", "--sample", "5", "--extractor.mode", "rules"]) == 0
    assert "right of all" not in capsys.readouterr().out


async def test_what_needs_gold_is_refused(tmp_path):
    """A control partner that insists on the right answer, or on a wrong one, and what a fork counts."""
    for control in ("right", "wrong", "random"):
        with pytest.raises(
            ConfigError, match=f"has no gold answer, and the control partner '{control}' needs"
        ):
            await coral.evaluate_async(
                NoGold(), limit=2, partner={"control": control}, output=str(tmp_path / control)
            )
    run = await coral.evaluate_async(
        NoGold(), limit=2, partner={"control": "echo"}, output=str(tmp_path / "run")
    )
    identity = min(one.id for one in run.conversations())
    with pytest.raises(ConfigError, match="no continuation can be right"):
        await fork(str(run.path), identity, ForkConfig(turn=1, control="echo"))


async def test_one_sample_per_problem_has_no_majority(tmp_path):
    """Then nothing is said in its place, and runs are compared by what they have."""
    runs = [
        await coral.evaluate_async(NoGold(), limit=3, protocol="cot", salt=salt, output=str(tmp_path / salt))
        for salt in "ab"
    ]
    assert "majority_agreement" not in runs[0].summary.metrics
    found = await compare_runs(*(RunFolder(run.path) for run in runs))
    assert found.comparisons[0].difference is None
    assert found.design is None


async def test_pairs_with_one_sample_are_compared_by_agreement(tmp_path):
    """What is left of two pairs without gold and majorities, and what such runs could have found in it."""
    runs = [
        await coral.evaluate_async(NoGold(), limit=3, max_turns=3, salt=salt, output=str(tmp_path / salt))
        for salt in "ab"
    ]
    several = await compare_several(RunFolder(runs[0].path), [RunFolder(runs[1].path)])
    found = several.compared[0]
    assert [one.metric for one in found.comparisons].count("agreement") == 1
    assert (found.comparisons[0].metric, found.design.by) == ("agreement", "agreement")
    assert [one.by for one in several.seeds] == ["agreement"]
    assert any("points in agreement; one of" in note for note in notes_of(found))
    assert not found.graded
