"""All ordered pairs of some models: the effects are those that simulated squares are made of."""

import numpy as np
import pytest

import coral
from coral.cli import main
from coral.errors import ConfigError, RunFolderError
from coral.studies.config import StudyConfig
from coral.studies.matrix import _Directed, _of_persuasion, _of_right

MODELS = ("a", "b", "c")
OPENER, RESPONDER = np.array([-0.1, 0.0, 0.1]), np.array([-0.15, 0.05, 0.1])


def square(rng, problems, samples=2):
    """Cells of 0 and 1: a mean, openers, responders, problems, and responders that find some of them hard."""
    hard = rng.normal(0, 0.1, problems)
    crossed = rng.normal(0, 0.08, (3, problems))
    cells = {}
    for i, a in enumerate(MODELS):
        for j, b in enumerate(MODELS):
            rates = np.clip(0.5 + OPENER[i] + RESPONDER[j] + hard + crossed[j], 0.02, 0.98)
            right = rng.binomial(samples, rates)
            cells[a, b] = {f"p{place}": (float(one), float(samples)) for place, one in enumerate(right)}
    return cells


def truth(kind, model):
    """What an effect is by construction."""
    place = MODELS.index(model)
    known = {"opener": OPENER, "responder": RESPONDER, "responder minus opener": RESPONDER - OPENER}
    return known[kind][place]


@pytest.mark.parametrize("problems", [10, 50, 200])
def test_the_effects_hold_what_the_square_is_made_of(problems):
    """Of 100 intervals 93 to 97 hold the truth, up to what 100 squares of 9 effects can tell."""
    rng, held = np.random.default_rng(problems), []
    for _ in range(100):
        found = _of_right(square(rng, problems), MODELS)
        held += [one.low <= truth(one.kind, one.model) <= one.high for one in found]
    assert len(held) == 900
    assert 0.92 < np.mean(held) < 0.985


@pytest.mark.parametrize("mean", [0.02, 0.98])
@pytest.mark.parametrize("problems", [10, 50, 200])
def test_the_effects_hold_where_nearly_all_are_wrong_or_right(mean, problems):
    """At least 93 of 100, up to what 100 squares can tell; nearly all where little varies."""
    rng, held, step = np.random.default_rng(problems), [], {"a": -0.005, "b": 0.0, "c": 0.005}
    for _ in range(100):
        cells = {
            (a, b): {f"p{n}": (float(one), 1.0) for n, one in enumerate(rng.random(problems) < rate)}
            for a in MODELS
            for b in MODELS
            for rate in [np.clip(mean + step[a] + step[b], 0, 1)]
        }
        for one in _of_right(cells, MODELS):
            true = 0.0 if one.kind == "responder minus opener" else step[one.model]
            held.append(one.low <= true <= one.high)
    assert np.mean(held) > 0.92


def test_effects_of_persuasion_are_told_from_who_speaks_first():
    """Actors, partners and the order, without a diagonal and with cells of different sizes."""
    actor, partner, order = np.array([0.1, 0.0, -0.1]), np.array([-0.2, 0.05, 0.15]), 0.1
    rng, held, values = np.random.default_rng(4), [], []
    for _ in range(60):
        cells = {}
        for i, a in enumerate(MODELS):
            for j, b in enumerate(MODELS):
                for first in (True, False):
                    if i != j:
                        events = rng.binomial(2, 0.6, 100)
                        won = rng.binomial(events, 0.5 + actor[i] + partner[j] + order * (first - 0.5))
                        cells[_Directed(a, b, first)] = {
                            f"p{p}": (float(w), float(n))
                            for p, (w, n) in enumerate(zip(won, events, strict=True))
                            if n
                        }
        for one in _of_persuasion(cells, MODELS):
            known = {"actor": actor, "partner": partner}
            true = order if not one.model else known[one.kind][MODELS.index(one.model)]
            held.append(one.low <= true <= one.high)
            values.append(one.value - true)
    assert len(held) == 60 * 7
    assert np.mean(held) > 0.92
    assert abs(np.mean(values)) < 0.005


def test_problems_of_one_cluster_are_one_draw_and_are_counted_each():
    """Twins that always agree tell as much as one of them, of right and of persuasion; both are problems."""
    single = square(np.random.default_rng(5), 20)
    of_persuasion = {_Directed(a, b, a < b): parts for (a, b), parts in single.items() if a != b}
    for effects, cells in ((_of_right, single), (_of_persuasion, of_persuasion)):
        double = {
            key: {f"{name}{of}": part for name, part in parts.items() for of in "xy"}
            for key, parts in cells.items()
        }
        clusters = {f"p{place}{of}": f"p{place}" for place in range(20) for of in "xy"}
        alone, twins = effects(cells, MODELS), effects(double, MODELS, clusters)
        assert len(alone) == len(twins) > 0
        for one, other in zip(alone, twins, strict=True):
            assert (one.problems, other.problems) == (20, 40)
            assert (other.value, other.low, other.high, other.p_value) == pytest.approx(
                (one.value, one.low, one.high, one.p_value)
            )


def test_of_two_models_actor_and_partner_cannot_be_told_apart():
    """That one persuades is that the other is persuaded: only who speaks first is said."""
    parts = {f"p{place}": (float(place % 2), 1.0) for place in range(20)}
    cells = {_Directed(a, b, first): parts for a, b in ("ab", "ba") for first in (True, False)}
    [only] = _of_persuasion(cells, ("a", "b"))
    assert (only.kind, only.model, only.value) == ("speaks first", "", pytest.approx(0.0))


def options(url, data, out, models, **more):
    return {
        "task": {"name": "hi_tom"}, "data": data, "preset": "pairs", "models": models, "limit": 8,
        "agent": {"base_url": url}, "extractor": {"mode": "rules"}, "max_turns": 6, "output": str(out),
        **more,
    }  # fmt: skip


WEAK = {"name": "weak", "model": "scripted:accuracy=0.2,stubbornness=0.2"}
STRONG = {"name": "strong", "model": "scripted:accuracy=0.9,stubbornness=0.9"}
OTHER = {"name": "other", "model": "scripted:accuracy=0.5,stubbornness=0.5"}


async def test_a_larger_matrix_reuses_the_runs_of_a_smaller_one(serve, data, tmp_path):
    """A third model joins: its five pairs are run, the four that are there send nothing."""
    out = tmp_path / "study"
    async with serve() as (url, asked):
        small = await coral.study_async(options(url, data, out, [WEAK, STRONG]))
        before = {path.name: path.stat().st_mtime_ns for path in (out / "arms").glob("*/conversations")}
        sent = asked.total()
        assert [arm.name for arm in small.arms] == [
            "weak__weak", "weak__strong", "strong__weak", "strong__strong",
        ]  # fmt: skip
        again = await coral.study_async(options(url, data, out, [WEAK, STRONG]))
        assert (asked.total(), again.matrix) == (sent, small.matrix)
        large = await coral.study_async(options(url, data, out, [WEAK, STRONG, OTHER]))
        with pytest.raises(RunFolderError, match="other options"):
            await coral.study_async(options(url, data, out, [WEAK, STRONG], seed=7))
    assert len(large.arms) == 9
    old = {cell.arm: cell for cell in small.matrix.cells}
    assert all(old.get(cell.arm, cell) == cell for cell in large.matrix.cells)
    assert before == {path.name: path.stat().st_mtime_ns for path in (out / "arms").glob("*/conversations")
                      if path.parent.name in old}  # fmt: skip


async def test_the_report_of_a_matrix(serve, data, tmp_path):
    """Seats are right, heat maps are drawn, raw p-values stand beside those of Benjamini and Hochberg."""
    out = tmp_path / "study"
    async with serve() as (url, _):
        found = await coral.study_async(options(url, data, out, [WEAK, STRONG], preset="matrix"))
    matrix = found.matrix
    assert matrix.models == ("weak", "strong")
    assert {arm.name for arm in found.arms} >= {"weak", "strong"}, "each model alone, too"
    cell = next(one for one in matrix.cells if (one.opener, one.responder) == ("weak", "strong"))
    arm = next(one for one in found.arms if one.name == cell.arm)
    firsts = {
        talk.turns[0].seat for talk in coral.load_run(out / "arms" / cell.arm).conversations() if talk.turns
    }
    assert firsts == {"responder"}
    assert arm.metrics["first_accuracy"].mean > 0.5, "the strong one answers first"
    assert set(matrix.persuades) == {"weak>strong", "strong>weak"}
    assert all(one.p_bh >= one.p_value for one in (*matrix.effects, *matrix.tests))
    assert {one.text for one in matrix.tests} >= {"strong__weak - weak__strong", "weak__strong - weak__weak"}
    report = (out / "report.md").read_text()
    for part in ("![matrix.png]", "All ordered pairs", "What a model adds", "p, BH", "Pairs against each"):
        assert part in report
    assert (out / "matrix.png").stat().st_size > 10_000
    assert "data:image/png" in (out / "report.html").read_text()


def test_a_partner_takes_nothing_from_the_agent_that_is_another_model():
    """Each model has its own options, and the study's where it sets none, in either seat."""
    config = StudyConfig(
        task={"name": "sally_anne"}, preset="pairs",
        models=({"name": "a", "model": "x", "temperature": 0.9, "base_url": "http://a/v1"}, "y"),
    )  # fmt: skip
    arms = config.arm_configs()
    assert list(arms) == ["a__a", "a__y", "y__a", "y__y"]
    assert (arms["a__y"].agent.temperature, arms["a__y"].partner_config().temperature) == (
        0.9, config.agent.temperature,
    )  # fmt: skip
    assert arms["a__y"].partner_config().base_url == config.agent.base_url
    assert arms["y__a"].partner_config().temperature == 0.9
    assert arms["y__a"].partner_config().base_url == "http://a/v1"
    assert arms["a__a"].partner == {}


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"preset": "pairs"}, "needs two models"),
        ({"preset": "matrix", "models": ["a"]}, "needs two models"),
        ({"preset": "pairs", "models": ["x/a", "y/a"]}, "two of the models are called 'a'"),
        ({"preset": "pairs", "models": ["a", {"temperature": 1}]}, "has no name"),
        ({"preset": "pairs", "models": ["a", {"model": "b", "temprature": 1}]}, "models.b.temprature"),
        ({"preset": "controls", "models": ["a", "b"]}, "no preset pairs them"),
        ({"preset": "pairs", "models": ["a", "b"], "contrasts": ["a__b - b__c"]}, "names no arm 'b__c'"),
        ({"preset": "controls", "prompts": ["agent", "agent"]}, "twice"),
        ({"preset": "controls", "prompts": ["agent", ","]}, "is not a prompt"),
    ],
)
def test_bad_input_is_refused(given, cause, tmp_path):
    """The cause by name, before anything is sent."""
    with pytest.raises(ConfigError, match=cause):
        coral.study({"task": {"name": "sally_anne"}, "output": str(tmp_path / "s"), **given})
    assert not (tmp_path / "s").exists()


def test_models_on_the_command_line(capsys):
    """Words, or one word with commas."""
    for words in (["m1", "m2"], ["m1,m2"]):
        assert main(["study", "sally_anne", "--preset", "pairs", "--models", *words, "--limit", "3",
                     "--dry_run"]) == 0  # fmt: skip
        said = capsys.readouterr().out
        assert [name for name in ("m1__m1", "m1__m2", "m2__m1", "m2__m2") if name in said] == [
            "m1__m1", "m1__m2", "m2__m1", "m2__m2",
        ]  # fmt: skip
