"""`--reuse`: runs of another study are copied where they are the same, and else refused with the reason."""

import shutil

import pytest

import coral
from coral.errors import ConfigError


def options(folder, models, **more):
    return {
        "task": {"name": "sally_anne"}, "limit": 4, "preset": "pairs", "extractor": {"mode": "rules"},
        "models": [{"name": name, "model": f"python:reuse_speakers:{name}"} for name in models],
        "output": str(folder), **more,
    }  # fmt: skip


@pytest.fixture
def speakers(tmp_path, monkeypatch):
    """Functions that count how often they are asked."""
    words = "\n".join(
        f"def {name}(messages):\n    asked.append('{name}')\n    return 'Answer: ({letter})'"
        for name, letter in (("a", "A"), ("b", "B"), ("c", "A"))
    )
    (tmp_path / "reuse_speakers.py").write_text(f"asked = []\n{words}\n")
    monkeypatch.syspath_prepend(tmp_path)
    import reuse_speakers as speakers

    monkeypatch.setattr(speakers, "asked", [])
    yield speakers
    import sys

    del sys.modules["reuse_speakers"]


async def test_a_larger_matrix_holds_only_the_new_pairs(tmp_path, speakers):
    """What the smaller one has is taken as it is; the smaller one may then be deleted."""
    small = await coral.study_async(options(tmp_path / "small", "ab"))
    speakers.asked.clear()
    larger = options(tmp_path / "larger", "abc", reuse=[str(tmp_path / "small")])
    found = await coral.study_async(larger)
    assert len(found.arms) == 9
    new = [arm for arm in (tmp_path / "larger" / "arms").iterdir() if "c" in arm.name]
    turns = sum(len(talk.turns) for arm in new for talk in coral.load_run(arm).conversations())
    assert len(new) == 5
    assert len(speakers.asked) == turns
    by_name = {arm.name: arm.right for arm in found.arms}
    assert {arm.name: arm.right for arm in small.arms}.items() <= by_name.items()
    shutil.rmtree(tmp_path / "small")
    speakers.asked.clear()
    assert await coral.study_async({**larger, "reuse": []}) == found
    assert not speakers.asked


async def test_a_run_of_another_name_is_an_arm_too(tmp_path, speakers):
    """Options decide what a run is, not its name; what it lacks is held."""
    run = await coral.evaluate_async(
        "sally_anne", limit=2, agent="python:reuse_speakers:a", partner="python:reuse_speakers:b",
        extractor={"mode": "rules"}, output=str(tmp_path / "run"),
    )  # fmt: skip
    before = len(speakers.asked)
    turns = sum(len(talk.turns) for talk in run.conversations())
    assert before == turns
    arms = {
        "mine": {"agent": "python:reuse_speakers:a", "partner": "python:reuse_speakers:b"},
        "other": {"max_turns": 2},
    }
    study = {
        "task": {"name": "sally_anne"}, "limit": 4, "extractor": {"mode": "rules"}, "arms": arms,
        "agent": {"model": "python:reuse_speakers:c"}, "output": str(tmp_path / "study"),
        "reuse": [str(tmp_path / "run")],
    }  # fmt: skip
    found = await coral.study_async(study)
    assert {arm.conversations for arm in found.arms} == {4}
    talks = [
        talk
        for arm in found.arms
        for talk in coral.load_run(tmp_path / "study" / "arms" / arm.name).conversations()
    ]
    assert len(speakers.asked) == sum(len(talk.turns) for talk in talks)


@pytest.fixture
async def small(tmp_path, speakers):
    """A study of one pair, as far as anybody looks."""
    folder = tmp_path / "small"
    await coral.evaluate_async(
        "sally_anne", limit=4, agent="python:reuse_speakers:a", extractor={"mode": "rules"},
        output=str(folder / "arms" / "pair"),
    )  # fmt: skip
    speakers.asked.clear()
    return folder


def study_of(arms, tmp_path, small):
    return {
        "task": {"name": "sally_anne"}, "limit": 4, "extractor": {"mode": "rules"}, "arms": arms,
        "agent": {"model": "python:reuse_speakers:a"},
        "output": str(tmp_path / "study"), "reuse": [str(small)],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_turns": 3}, r"not the run of the arm pair, .*:\n  max_turns: 20 there, 3"),
        ({"seed": 5}, r"seed: 0 there, 5 now"),
        ({"agent": {"model": "python:reuse_speakers:b"}}, r"agent\.model: .*:a\" there, .*:b\" now"),
        ({"limit": 2}, r"holds 4 conversations, and the arm pair is to have 2"),
        ({"task": {"name": "sally_anne", "split_information": True}}, r"task\.split_information"),
        ({"reuse": ["nowhere"]}, "nowhere holds no run"),
        ({"arms": {"x": {"max_turns": 2}, "y": {"max_turns": 3}}}, r"no run in .*small is an arm"),
    ],
)  # fmt: skip
async def test_what_is_not_the_same_run_is_refused(tmp_path, speakers, small, change, message):
    """With the option that differs, and before anything is asked."""
    with pytest.raises(ConfigError, match=message):
        await coral.study_async({**study_of({"pair": {}, "x": {"max_turns": 2}}, tmp_path, small), **change})
    assert not speakers.asked
