"""What a report says first, and what its pictures show."""

import msgspec
import pytest

from coral.improvement.collapse import StyleStatistics
from coral.improvement.gate import Verdict
from coral.improvement.plots import draw_headline
from coral.improvement.report import claims, headline, lacking
from coral.improvement.results import ModelResult, Provenance, Results
from coral.metrics import Comparison, Estimate, Summary
from coral.training.record import RowCounts, Training

MANNER = StyleStatistics(
    instant_agreement=0.5, copied_turns=0.0, words_per_turn=9.0, disagreement=0.5, conversations=100
)
TRAINING = Training(
    kind="dpo", identity={}, config={"learning_rate": 1e-4}, rows=RowCounts(100, 100, 0, 0, 0, 90, 900),
    steps=3, processes=1, accumulation=1, last={}, eval_before={}, eval_after={}, seconds=1.0,
    resumed_from=0, device="cpu", versions={},
)  # fmt: skip


def estimate(mean):
    return Estimate(
        mean=mean, stderr=0.04, low=mean - 0.1, high=mean + 0.1, n=100, num_failed=0, num_unscored=0,
        num_problems=100,
    )  # fmt: skip


def summary(mean):
    return Summary(
        schema=2, version="0", task="sally_anne", protocol="coral", models={}, groups={}, usage={},
        requests=1,
        metrics={"agreement_correctness": estimate(mean)}, conversations=100, owed=0, problems=100,
        stop_reasons={}, failures={}, cost=None,
    )  # fmt: skip


def comparison(a, b):
    return Comparison(
        metric="agreement_correctness", a=a, b=b, difference=b - a, stderr=0.01, low=b - a - 0.02,
        high=b - a + 0.02, p_value=0.5, num_problems=100, num_higher=1, num_lower=1, num_only_a=0,
        num_only_b=0,
    )  # fmt: skip


def model(name, mean, came_from=None, *, accepted=True, arm="pair-dpo"):
    made = came_from and Provenance(
        arm=arm, iteration=1, came_from=came_from, sampled=summary(0.5), rows=100, training=TRAINING,
        verdict=Verdict(
            model=name, against=came_from, accepted=accepted, reasons=("target is not higher",),
            target=comparison(0.5, mean), second=None, signs=(),
        ),
        seconds={},
    )  # fmt: skip
    return ModelResult(
        name=name, path="", made=made or None, measured={"pair": summary(mean)},
        since_start={"pair": comparison(0.5, mean)}, social={}, style=MANNER, seconds={},
    )  # fmt: skip


START, BETTER = model("start", 0.5), model("one", 0.6, "start")
WORSE = model("two", 0.4, "start", accepted=False)
STAYS = "No checkpoint of pair-dpo was taken over: the model stays as it was."
TAKEN = (
    "**one**: agreement correctness 50.0% [40.0, 60.0] before and 60.0% [50.0, 70.0] after, on 100 "
    "held-out problems; paired difference **+10.0 points [+8.0, +12.0], n = 100**."
)
REFUSED = (
    "The last checkpoint, **two**: agreement correctness 50.0% [40.0, 60.0] before and 40.0% [30.0, 50.0] "
    "after, on 100 held-out problems; paired difference **-10.0 points [-12.0, -8.0], n = 100**. It was not "
    "taken over from start: target is not higher."
)


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([START, BETTER], [TAKEN]),
        ([START, WORSE], [STAYS, REFUSED]),  # a refused checkpoint has a figure, too
        ([START, BETTER, WORSE], [TAKEN, REFUSED]),
        ([START, WORSE, BETTER], [TAKEN]),  # what was refused before is in the tables
        ([START, BETTER, model("control", 0.9, "start", arm="alone-dpo", accepted=False)], [TAKEN]),
    ],
)
def test_the_headline_tells_the_last_checkpoint_taken_over_or_not(models, said):
    """Before, after, the paired difference, and the reasons of a refusal."""
    results = Results(
        task="sally_anne", second_task=None, main_arm="pair-dpo", models=tuple(models), head_to_head={}
    )
    assert list(headline(results)) == said


def finally_measured(one, mean):
    """The same model, measured on problems that no gate saw, too."""
    return msgspec.structs.replace(
        one,
        measured={**one.measured, "final": summary(mean)},
        since_start={**one.since_start, "final": comparison(0.5, mean)},
    )


def test_the_headline_begins_with_the_problems_that_no_gate_saw():
    """What a gate has chosen by is told second."""
    models = (finally_measured(START, 0.5), finally_measured(BETTER, 0.55))
    results = Results(task="t", second_task=None, main_arm="pair-dpo", models=models, head_to_head={})
    [said] = headline(results)
    first, second = said.split("; agreement correctness ")
    assert first == (
        "**one**: agreement correctness 50.0% [40.0, 60.0] before and 55.0% [45.0, 65.0] after, on 100 "
        "problems that no gate saw; paired difference **+5.0 points [+3.0, +7.0], n = 100**"
    )
    assert "held-out problems" in second


@pytest.mark.parametrize(
    ("p_values", "holding"),
    [
        ([0.04, 0.2], []),  # one of two below 0.05 is no claim: 0.04 * 2
        ([0.02, 0.2], ["one, in the pair"]),
        ([0.03, 0.02], ["one, in the pair", "two, in the pair"]),  # 0.02 * 2, then 0.03, none below 0.04
        ([0.03, 0.03], []),
    ],
)
def test_a_report_claims_what_holds_among_all_its_differences(p_values, holding):
    """Holm's correction over the differences since the start, and how many intervals there are."""
    models = [
        msgspec.structs.replace(
            one, since_start={"pair": msgspec.structs.replace(comparison(0.5, 0.6), p_value=p_value)}
        )
        for one, p_value in zip((BETTER, WORSE), p_values, strict=True)
    ]
    results = Results(
        task="t", second_task=None, main_arm="pair-dpo", models=(START, *models), head_to_head={}
    )
    _, said, *listed = claims(results, 40)
    assert "40 intervals" in said
    assert "Of its 2 differences" in said
    assert [line.removeprefix("- ").partition(" (")[0] for line in "".join(listed).splitlines()] == holding


def test_conversations_without_a_grade_are_told_beside_the_figures():
    """Every figure has its denominator: what failed, and what could not be graded."""
    assert list(lacking(START)) == []
    counted = msgspec.structs.replace(estimate(0.5), num_failed=2, num_unscored=1)
    pair = msgspec.structs.replace(summary(0.5), metrics={"agreement_correctness": counted})
    alone = msgspec.structs.replace(summary(0.5), metrics={"accuracy": counted})
    some = msgspec.structs.replace(START, measured={"pair": pair, "alone": alone})
    assert list(lacking(some)) == [
        "- start, in the pair: of 100 conversations 2 failed, and 1 cannot be graded",
        "- start, alone: of 100 conversations 2 failed, and 1 cannot be graded",
    ]


def drawn(*models, task="sally_anne"):
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure(figsize=(7.2, 4.0), layout="constrained")
    results = Results(task=task, second_task=None, main_arm="pair-dpo", models=models, head_to_head={})
    draw_headline(figure, results)
    figure.draw_without_rendering()
    return figure


def test_a_line_leads_from_the_model_that_a_checkpoint_came_from():
    """After a refusal the next iteration goes on from the model before, and so does the line."""
    refused = model("two", 0.4, "start", accepted=False)
    figure = drawn(START, refused, model("three", 0.7, "start"), model("four", 0.8, "three"))
    lines = [line.get_ydata().tolist() for line in figure.axes[0].get_lines() if line.get_linewidth() == 1.2]
    assert lines == [[50.0, 40.0], [50.0, 70.0], [70.0, 80.0]]


def test_the_legend_hides_no_title():
    """However long the task's name is and however many arms there are."""
    arms = ("pair-dpo", "pair-sft", "pair-kto", "alone-dpo", "alone-sft", "alone-kto")
    figure = drawn(START, *(model(arm, 0.6, "start", arm=arm) for arm in arms), task="a_long_name" * 3)
    [title], [legend] = figure.texts, figure.legends
    assert not title.get_window_extent().overlaps(legend.get_window_extent())
