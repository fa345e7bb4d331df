"""Whole studies, as a user starts them, against scripted agents on loopback."""

import asyncio
import json
import re
import shutil

import pytest
import yaml

import coral
from coral.cli import main
from coral.comparison.contrasts import parse_contrast
from coral.comparison.rows import BESIDE_CONTROLS, notes_of
from coral.display.line import headline_of
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.watch import Watch
from coral.options import build_config, load_yaml_file
from coral.studies.config import StudyConfig
from coral.studies.report import contrasts_in_short
from coral.studies.results import Contrast, StudyResults, with_power


def options(url, data, out, **more):
    return {
        "task": {"name": "hi_tom"},
        "data": data,
        "agent": {"model": "scripted", "base_url": url},
        "extractor": {"mode": "rules"},
        "limit": 10,
        "output": str(out),
        **more,
    }


async def test_controls_from_start_to_report(serve, data, tmp_path):
    """All arms are about the same problems, and every file of the report is there and says n."""
    async with serve(accuracy=0.5, stubbornness=0.4) as (url, _):
        results = await coral.study_async(options(url, data, tmp_path / "study", preset="controls"))
    assert [arm.name for arm in results.arms][:2] == ["right", "right_stance"]
    assert {arm.problems for arm in results.arms} == {10}
    firsts = {arm.metrics["first_accuracy"].mean for arm in results.arms}
    assert len(firsts) == 1, "with one seed the first answers are the same in all arms"
    assert [found.toward for found in results.flips] == ["wrong", "right"]
    for found in results.flips:
        parts = {part.name: part.share for part in found.parts}
        assert parts["spontaneous"] + parts["conforming"] + parts["reasoned"] == pytest.approx(
            found.whole.share
        )
    names = {path.name for path in (tmp_path / "study").iterdir()}
    assert {"report.md", "report.html", "results.json", "tables", "flips.png", "arms.png"} <= names
    page = (tmp_path / "study" / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "http" not in page.replace("http://127.0.0.1", "")
    report = (tmp_path / "study" / "report.md").read_text()
    assert "| wrong_nothing |" in report
    stored = json.loads((tmp_path / "study" / "results.json").read_text())
    assert stored["contrasts"][0]["p_holm"] >= stored["contrasts"][0]["p_value"]
    assert all(one["detectable"] > 0.05 for one in stored["contrasts"]), "ten problems find no 5 points"
    for name in ("arms", "contrasts", "flips", "power"):
        assert (tmp_path / "study" / "tables" / f"{name}.tex").read_text().count(r"\\") > 1
        assert (tmp_path / "study" / "tables" / f"{name}.csv").is_file()


async def test_arms_beside_controls_are_compared_as_the_study_does(serve, data, tmp_path):
    """`coral compare` of two arms: what is right is the agent's last answer, not what the control says."""
    out = tmp_path / "study"
    async with serve(accuracy=0.6, stubbornness=0.4) as (url, _):
        results = await coral.study_async(options(url, data, out, preset="controls"))
    arms = {arm.name: arm for arm in results.arms}
    compared = await coral.compare_async(out / "arms" / "wrong_nothing", out / "arms" / "wrong")
    headline = compared.comparisons[0]
    assert (headline.a, headline.b) == (arms["wrong_nothing"].right.mean, arms["wrong"].right.mean)
    assert headline.a > 0
    assert [one.metric for one in compared.comparisons].count(headline.metric) == 1
    assert BESIDE_CONTROLS in notes_of(compared)


async def test_the_live_line_of_an_arm_says_what_its_report_will(serve, data, tmp_path):
    """Beside a control partner the agent's last answer, elsewhere what is agreed and right."""
    lines = {}
    watch = Watch(begin=lambda progress, protocol: lines.update({len(lines): (progress, protocol)}))
    async with serve(accuracy=0.6, stubbornness=0.4) as (url, _):
        beside = {"opener": "partner", "max_turns": 3, "partner": {"control": "wrong"}}
        arms = {"pair": {}, "wrong": beside, "cot": {"protocol": "cot"}}
        results = await coral.study_async(options(url, data, tmp_path / "study", arms=arms), watch=watch)
    said = {headline_of(*one) for one in lines.values()}
    shares = {arm.name: f"{arm.right.mean:.0%}" for arm in results.arms}
    assert said == {
        f"agreed and right {shares['pair']}", f"last answer right {shares['wrong']}", f"right {shares['cot']}"
    }  # fmt: skip
    assert shares["wrong"] != "0%"


@pytest.mark.parametrize(
    ("metric", "stderr", "problems", "found", "needed"),
    [
        (
            "right",
            0.0,
            5,
            0.8169,
            1363,
        ),  # nothing differed on five problems, which does not mean: nothing could
        ("right", 0.0, 500, 0.01348, 91),
        ("to_wrong", 0.1, 20, 0.3113, 634),
        ("conversation_gain", 0.05, 100, 0.1428, 789),
        ("total_tokens", 10.0, 20, 28.016, None),
        ("total_tokens", 0.0, 20, None, None),
        ("right", None, 1, None, None),
    ],
)
def test_what_a_contrast_could_have_found(metric, stderr, problems, found, needed):
    """As `coral power` says of the same runs: never 0 because nothing differed on a few problems."""
    contrast = Contrast("a - b", "arms", metric, 0.0, None, None, None, None, None, None, None, problems)
    told = with_power(contrast, stderr)
    assert told.detectable == (None if found is None else pytest.approx(found, rel=5e-3))
    assert told.needed == (None if needed is None else pytest.approx(needed, abs=2))


def test_problems_that_a_difference_needs_are_those_of_the_data():
    """Where one of four problems has something to count, four times as many must be held; what was found by
    those that have does not change."""
    contrast = Contrast("a - b", "flips", "to_wrong", 0.1, None, None, None, None, None, None, None, 50)
    few, of_all = with_power(contrast, 0.07), with_power(contrast, 0.07, 200)
    assert of_all.detectable == pytest.approx(few.detectable)
    assert of_all.needed == pytest.approx(4 * few.needed, abs=4)


async def test_each_wording_meets_votes_of_its_own_at_equal_cost(serve, data, tmp_path):
    """A pair in one wording against votes in another would compare wordings."""
    async with serve(accuracy=0.6) as (url, _):
        results = await coral.study_async(
            options(url, data, tmp_path / "study", preset="equal_cost", prompts=["agent", "same"])
        )
    pairs = {(one.arm, one.alone) for one in results.equal_cost if one.arm.startswith("pair")}
    assert pairs == {("pair.agent", "single.agent"), ("pair.same", "single.same")}
    assert {point.arm for point in results.curve} == {"single.agent", "single.same"}
    assert not any(point.arm.startswith("single") for point in results.points)


async def test_members_of_one_model_are_told_apart_by_their_options(serve, data, tmp_path):
    """Two agents of one model stand against each of them alone, in synergy and at equal cost, whichever arm
    comes first; an agent alone with one sample has no votes, and makes no contrast twice."""
    cold, hot = {"temperature": 0.0}, {"temperature": 0.9}
    arms = {
        "cold": {"protocol": "single", "agent": cold, "samples": 3},
        "hot": {"protocol": "single", "agent": hot, "samples": 2},
        "both": {"agent": cold, "partner": hot},
        "hotter": {"agent": hot},
        "other": {"agent": {"temperature": 0.5}},
    }
    async with serve(accuracy=0.6) as (url, _):
        several = await coral.study_async(options(url, data, tmp_path / "several", arms=arms))
        once = {
            **arms,
            "cold": {"protocol": "single", "agent": cold},
            "hot": {"protocol": "single", "agent": hot},
        }
        one = await coral.study_async(options(url, data, tmp_path / "once", arms=once))
    members = {"both": {"cold", "hot"}, "hotter": {"hot"}}
    assert {made.arm: set(made.members) for made in several.synergy} == members
    assert {(made.arm, made.alone) for made in several.equal_cost if made.by == "tokens"} == {
        ("hot", "cold"), ("both", "cold"), ("both", "hot"), ("hotter", "hot"), ("other", "cold"),
    }  # fmt: skip
    assert {made.arm: set(made.members) for made in one.synergy} == members
    assert (one.curve, one.equal_cost) == ((), ())
    assert {contrast.kind for contrast in one.contrasts} == {"arms"}


def test_the_table_of_contrasts_is_short_where_nothing_is_known():
    """A dash per figure, not per part of a figure."""
    nothing = Contrast("a - b", "arms", "right", None, None, None, None, None, None, None, None, 0)
    results = StudyResults(schema=2, version="", task="t", problems=0, arms=(), contrasts=(nothing,))
    assert contrasts_in_short(results).rows == (("a - b", "-", "-", "-", "-"),)


async def test_controls_send_no_request_of_their_own(serve, data, tmp_path):
    """Eight arms of ten problems: the agent's turns are all that is asked."""
    async with serve(accuracy=0.5) as (url, asked):
        await coral.study_async(options(url, data, tmp_path / "study", preset="controls"))
        sent = asked.total()
        turns = sum(
            turn.seat == "responder"
            for arm in (tmp_path / "study" / "arms").iterdir()
            for talk in coral.load_run(arm).conversations()
            for turn in talk.turns
        )
    assert sent == turns


async def test_equal_cost_from_start_to_report(serve, data, tmp_path):
    """The curve of one agent, the pair at its own price, synergy, and what could have been detected."""
    async with serve(accuracy=0.6) as (url, _):
        results = await coral.study_async(options(url, data, tmp_path / "study", preset="equal_cost"))
    assert [point.samples for point in results.curve] == list(range(1, 9))
    single = next(arm for arm in results.arms if arm.name == "single")
    assert results.curve[0].accuracy == pytest.approx(single.right.mean)
    assert results.curve[0].low == pytest.approx(single.right.low)
    assert results.curve[0].high == pytest.approx(single.right.high)
    assert {one.arm for one in results.equal_cost} == {"pair", "self_refine"}
    assert all(one.problems == 10 for one in results.equal_cost)
    synergy = results.synergy[0]
    assert (synergy.arm, synergy.members) == ("pair", ("single",))
    pair = next(arm for arm in results.arms if arm.name == "pair")
    assert synergy.over_mean.value == pytest.approx(pair.right.mean - single.right.mean)
    report = (tmp_path / "study" / "report.md").read_text()
    for part in ("At the arm's own price", "Synergy", "What the design could have detected", "oracle"):
        assert part in report


async def test_a_stopped_study_resumes(serve, data, tmp_path, content):
    """Stopped in the middle of an arm, the same command gives what an uninterrupted one gives."""
    async with serve(latency_s=0.005) as (url, _):
        more = {"preset": "controls", "max_connections": 2}
        whole = await coral.study_async(options(url, data, tmp_path / "a", **more))
        watch = Watch()
        task = asyncio.create_task(coral.study_async(options(url, data, tmp_path / "b", **more), watch=watch))
        while not (tmp_path / "b" / "arms" / "right_vacuous" / "journal").exists():
            await asyncio.sleep(0.005)
        watch.interrupt()
        assert await task is None
        again = await coral.study_async(options(url, data, tmp_path / "b", **more))
    for arm in whole.arms:
        runs = [coral.load_run(tmp_path / name / "arms" / arm.name) for name in "ab"]
        assert content(runs[0]) == content(runs[1])
    assert again.flips == whole.flips


async def test_a_study_may_grow_and_is_no_other(serve, data, tmp_path):
    """More problems go on with the folder; another arm or contrast is another study."""
    arms = {"alone": {"protocol": "single"}, "pair": {}}
    async with serve() as (url, _):
        out = tmp_path / "study"
        first = await coral.study_async(options(url, data, out, arms=arms, limit=4))
        grown = await coral.study_async(options(url, data, out, arms=arms, limit=8))
        assert (first.problems, grown.problems) == (4, 8)
        assert [one.text for one in first.contrasts][:1] == ["pair - alone"]
        for other in (
            {"arms": {**arms, "third": {"seed": 5}}},
            {"arms": arms, "contrasts": ["alone - pair"]},
        ):
            with pytest.raises(RunFolderError, match="other options"):
                await coral.study_async(options(url, data, out, **other))


PAIRS = {"preset": "pairs", "models": [{"name": "a"}, {"name": "b", "temperature": 0.5}]}
OF_ONE = {"arms": {"alone": {"protocol": "single"}}}


@pytest.mark.parametrize(
    ("there", "now", "told", "resumes"),
    [
        (PAIRS, {"preset": "controls"}, "the preset pairs, .* with the preset controls", "--preset pairs"),
        (PAIRS, {**PAIRS, "preset": "matrix"}, "preset pairs, .* with the preset matrix", "--preset pairs"),
        (PAIRS, OF_ONE, "with the preset pairs, and this is one without a preset", "--preset pairs"),
        (OF_ONE, {"preset": "controls"}, "without a preset, .* preset controls", "without --preset"),
        ({"preset": "equal_cost"}, PAIRS, "equal_cost, .* with the preset pairs", "--preset equal_cost"),
    ],
)  # fmt: skip
async def test_the_folder_of_another_preset_is_refused_by_its_name(
    serve, data, tmp_path, there, now, told, resumes
):
    """Not by each of its arms and contrasts; and told with what resumes the one that is there."""
    async with serve() as (url, _):
        await coral.study_async(options(url, data, tmp_path / "study", limit=1, **there))
        with pytest.raises(RunFolderError, match=f"{told}$") as caught:
            await coral.study_async(options(url, data, tmp_path / "study", limit=1, **now))
    assert resumes in caught.value.remedy
    assert "another --output" in caught.value.remedy


async def test_arms_of_a_preset_that_are_written_out_are_the_same_study(serve, data, tmp_path):
    """The preset is a short way to say them."""
    async with serve() as (url, asked):
        given = options(url, data, tmp_path / "study", limit=1)
        await coral.study_async({**given, "preset": "equal_cost"})
        sent = asked.total()
        config = build_config(StudyConfig, {**given, "preset": "equal_cost"}, "study")
        written_out = {"arms": config.arm_options(), "contrasts": [one.text for one in config.planned()]}
        await coral.study_async({**given, **written_out})
        assert asked.total() == sent


ARMS = {"alone": {"protocol": "single"}, "pair": {}}
REFUSED = [
    ({}, "the study has no arms", "--preset controls"),
    ({"arms": ARMS, "contrasts": ["pair - lone"]}, "names no arm 'lone'", "alone, pair"),
    ({"arms": ARMS, "contrasts": ["pair"]}, "'pair' is not a contrast", "pair - alone"),
    ({"arms": ARMS, "contrasts": ["pair - pair"]}, "with itself", "two arms"),
    ({"arms": ARMS, "contrasts": [": pair - alone"]}, "is not a contrast", "METRIC"),
    ({"arms": ARMS, "contrasts": ["pair - alone", "pair  -  alone"]}, "would count twice", "leave one"),
    ({"arms": ARMS, "contrasts": ["pair - alone", "alone - pair"]}, "would count twice", "leave one"),
    ({"arms": {"a": {}, 1: {}}}, "arms: 1 is a name, and not a text", '"1"'),
    ({"arms": {"a": {}, "b": 5}}, "arms.b must be a mapping", ""),
    ({"arms": {"a": {"limit": 3}, "b": {}}}, "the arm a sets limit", "whole study"),
    ({"arms": {"a": {"task": {"name": "gsm8k"}}}}, "the arm a sets task", "same problems|two studies"),
    ({"arms": {"a": {"data_seed": 3}}}, "the arm a sets data_seed", "whole study"),
    ({"arms": {"a": {"output": "x"}}}, "the arm a sets output", "whole study"),
    ({"arms": {"a": {"protocl": "single"}}}, "no option arms.a.protocl", "protocol"),
    ({"arms": {"a": {"agent": {"modl": "x"}}}}, "arms.a.agent.modl", "model"),
    ({"arms": {"a b": {}}}, "cannot be an arm's name", "letters"),
    ({"arms": {"../a": {}}}, "cannot be an arm's name", "letters"),
    ({"arms": {"a": {"majority": True}}}, "has no majority", "panel"),
    ({"preset": "control", "arms": {}}, "preset must be one of", ""),
]


@pytest.mark.parametrize(("given", "cause", "remedy"), REFUSED, ids=lambda value: str(value)[:30])
def test_bad_input_is_refused_before_anything_is_sent(given, cause, remedy, tmp_path):
    """An arm, a contrast or an option that there is not: the cause and the remedy, and no folder."""
    with pytest.raises(ConfigError, match=re.escape(cause)) as caught:
        coral.study({"task": {"name": "sally_anne"}, "output": str(tmp_path / "study"), **given})
    assert re.search(remedy, caught.value.remedy)
    assert not (tmp_path / "study").exists()


def test_an_arm_of_which_nothing_is_said_is_one_without_options(tmp_path):
    """As people write it: `pair:`, and nothing behind it; an arm of a preset keeps its own."""
    path = tmp_path / "study.yaml"
    path.write_text("task: {name: sally_anne}\narms:\n  alone: {protocol: single}\n  pair:\n")
    config = build_config(StudyConfig, load_yaml_file(path), "study")
    assert config.arm_options() == {"alone": {"protocol": "single"}, "pair": {}}
    preset = build_config(StudyConfig, {"task": {"name": "sally_anne"}, "preset": "equal_cost",
                                        "arms": {"single": None}}, "study")  # fmt: skip
    assert preset.arm_options()["single"]["protocol"] == "single"


def test_an_unknown_metric_of_a_contrast_is_refused(tmp_path):
    """A metric that there is not, or that an arm does not have."""
    base = {"task": {"name": "sally_anne"}, "arms": ARMS}
    for text, cause in (("agrement: pair - alone", "no metric"), ("agreement: pair - alone", "no metric")):
        with pytest.raises(ConfigError, match=cause):
            coral.study({**base, "contrasts": [text], "output": str(tmp_path / "study")})
        assert not (tmp_path / "study").exists()


async def test_arms_on_other_problems_are_refused_when_read(serve, data, tmp_path):
    """A folder of an arm that was swapped for one about other problems is noticed."""
    async with serve() as (url, _):
        out = tmp_path / "study"
        await coral.study_async(options(url, data, out, arms=ARMS, limit=4))
        shutil.rmtree(out / "arms" / "pair")
        await coral.evaluate_async(
            "sally_anne", agent={"model": "scripted", "base_url": url}, extractor={"mode": "rules"}, limit=4,
            output=str(out / "arms" / "pair"),
        )  # fmt: skip
        with pytest.raises(RunFolderError, match="other options"):
            await coral.study_async(options(url, data, out, arms=ARMS, limit=4))


def test_a_yaml_file_and_the_command_line(tmp_path, capsys):
    """`coral study STUDY.yaml`: the file may say everything, words win, and the end is printed with n."""
    study = {
        "task": "sally_anne", "limit": 3, "output": str(tmp_path / "study"),
        "arms": {"alone": {"protocol": "single", "samples": 2}, "pair": {"max_turns": 3}},
        "contrasts": ["pair - alone", "unreadable_rate: pair - alone"],
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    assert main(["study", str(tmp_path / "study.yaml"), "--limit", "4"]) == 0
    said = capsys.readouterr().out
    assert "sally_anne, 4 problems" in said
    assert "(n = 8)" in said
    assert "report.html" in said
    assert re.search(r"pair - alone +[-+][\d.]+ \[[-+.\d, ]+\] +[\d.]+ +[\d.]+ +[\d,]+\n", said)
    assert "finds: a true difference of this size in 8 of 10 studies" in " ".join(said.split())
    results = json.loads((tmp_path / "study" / "results.json").read_text())
    assert -1 <= results["contrasts"][0]["correlation"] <= 1
    assert "5 points need problems" in (tmp_path / "study" / "report.md").read_text()
    assert main(["study", "sally_anne"]) == 2
    assert "no arms" in capsys.readouterr().err
    assert main(["study", "sally_anne", "--preset", "controls", "--arms.pair.limit", "3"]) == 2
    assert "sets limit" in capsys.readouterr().err


def test_contrasts_are_read():
    """With a metric and without; spaces do not matter."""
    assert parse_contrast("pair - alone")[1:] == ("right", "pair", "alone")
    assert parse_contrast(" turns :a -  b ")[1:] == ("turns", "a", "b")


def test_an_arm_takes_what_the_study_says_and_changes_it():
    """Options of the study hold for all arms, an arm's own win, and an arm's protocol drops what it lacks."""
    config = StudyConfig(
        task={"name": "sally_anne"},
        partner={"temperature": 0.7},
        samples=3,
        seed=4,
        arms={"alone": {"protocol": "single", "samples": 8}, "pair": {"partner": {"control": "wrong"}}},
    )
    arms = config.arm_configs()
    assert (arms["alone"].samples, arms["pair"].samples) == (8, 3)
    assert arms["alone"].partner == {}
    assert arms["pair"].partner == {"temperature": 0.7, "control": "wrong"}
    assert arms["pair"].data_seed == 4
    assert arms["alone"].output.endswith("/arms/alone")


async def test_limits_hold_for_all_arms_together(serve, data, tmp_path):
    """What the first arms spend is missing for the later ones; a higher limit resumes the study."""
    from coral.errors import StoppedEarly

    async with serve() as (url, _):
        more = {"arms": ARMS, "limit": 6, "agent": {"model": "scripted", "base_url": url, "max_tokens": 120}}
        whole = await coral.study_async(options(url, data, tmp_path / "a", **more))
        tokens = [arm.metrics["total_tokens"].mean * arm.conversations for arm in whole.arms]
        limit = int(tokens[0] + tokens[1] / 2)
        with pytest.raises(StoppedEarly, match="tokens") as caught:
            await coral.study_async(options(url, data, tmp_path / "b", max_tokens_total=limit, **more))
        assert "higher limit" in caught.value.remedy
        again = await coral.study_async(options(url, data, tmp_path / "b", **more))
    assert [arm.right for arm in again.arms] == [arm.right for arm in whole.arms]


def test_a_dry_run_and_a_pilot(tmp_path, capsys):
    """What each arm will take: by assumption without a request; from a pilot whose problems count."""
    words = ["study", "sally_anne", "--preset", "equal_cost", "--limit", "6", "--output", str(tmp_path / "s")]
    words += ["--arms.single.samples", "2", "--arms.self_refine.max_turns", "2", "--arms.pair.max_turns", "2"]
    assert main([*words, "--dry_run"]) == 0
    said = capsys.readouterr().out
    assert "nothing was sent" in said
    assert "self_refine" in said
    assert not (tmp_path / "s").exists()
    assert main([*words, "--pilot", "2"]) == 0
    said = capsys.readouterr().out
    assert "from a pilot of 2 problems, which count" in said
    single = next(line for line in said.splitlines() if line.startswith("single"))
    assert single.split()[1] == "12"
    assert coral.load_run(tmp_path / "s" / "arms" / "single").planned() == 4
    assert main([*words]) == 0
    assert "sally_anne, 6 problems" in capsys.readouterr().out
