"""Lists on the command line and in files, as people write them: `a,b`, `a, b`, `a b` and `[a, b]`."""

from __future__ import annotations

import dataclasses
import typing
from pathlib import Path
from typing import Any

import pytest
from tests.test_decides import CLASSES

from coral.cli.compare import CompareConfig
from coral.cli.options import parse
from coral.cli.plot import PlotConfig
from coral.cli.score import ScoreConfig
from coral.config import dump_yaml
from coral.evaluation.config import EvalConfig
from coral.improvement.config import ImproveConfig
from coral.options import alternatives, build_config, takes_several
from coral.rows.build import BuildConfig
from coral.studies.config import StudyConfig
from coral.training.config import TrainConfig

TEXTS = {
    "ModelConfig.command", "ModelConfig.stop", "LaunchConfig.command", "ServeConfig.command",
    "ServeConfig.prepare", "ImproveConfig.launch", "PoolConfig.server", "PoolConfig.setup", "PoolConfig.gpus",
    "PlotConfig.labels", "JudgeConfig.aspects",
}  # fmt: skip
"""Options that hold several texts, in which a comma is a comma."""


def lists() -> dict[str, Any]:
    """The options that hold a list of texts, by the class that brings them in."""
    return {
        f"{kind.__name__}.{item.name}": item
        for kind in CLASSES
        for item in dataclasses.fields(kind)
        if item.name in vars(kind).get("__annotations__", {})
        and takes_several(hint := typing.get_type_hints(kind)[item.name])
        and any(str in map(_first, typing.get_args(one)) for one in alternatives(hint))
    }


def _first(kind: Any) -> Any:
    return alternatives(kind)[0]


def test_every_list_of_texts_holds_names_or_stands_here() -> None:
    """A new one must be thought about: people write commas between names."""
    assert {name for name, item in lists().items() if not item.metadata.get("names")} == TEXTS


def test_names_in_one_text_from_python() -> None:
    """As on the command line; the entries of a list are what they are."""
    assert build_config(ScoreConfig, {"metrics": "m:x, m.py:y"}, "score").metrics == ("m:x", "m.py:y")
    assert build_config(ScoreConfig, {"metrics": ["m:x,y"]}, "score").metrics == ("m:x,y",)


SPELLINGS = [["a,b"], ["a, b"], ["a,", "b"], ["a", "b"], ["[a, b]"], ["[a,b]"], ["'a' , b"]]


def given(kind: Any, option: str, words: list[str]) -> Any:
    more = ["--task", "hi_tom"] if issubclass(kind, EvalConfig) else []
    if issubclass(kind, StudyConfig):
        more += ["--preset", "matrix" if option == "models" else "controls"]
    return getattr(parse(kind, [*more, f"--{option}", *words], command="coral it", about=""), option)


@pytest.mark.parametrize("words", SPELLINGS[:-1], ids=" ".join)
@pytest.mark.parametrize(
    ("kind", "option", "names"),
    [
        (EvalConfig, "metrics", ("m:x", "m.py:y")),
        (ScoreConfig, "metrics", ("m:x", "m.py:y")),
        (CompareConfig, "metrics", ("m:x", "m.py:y")),
        (BuildConfig, "runs", ["runs/x", "runs/y"]),
        (BuildConfig, "held_out", ["runs/x", "runs/y"]),
        (ImproveConfig, "controls", ("alone-dpo", "pair-sft")),
        (StudyConfig, "models", ("ollama/a:1b", "openai/b")),
        (StudyConfig, "prompts", ("agent", "@mine.txt")),
        (StudyConfig, "reuse", ("runs/x", "runs/y")),
    ],
)
def test_names_in_every_spelling(kind: Any, option: str, names: Any, words: list[str]) -> None:
    """One list whichever way it is written."""
    spelled = [word.replace("a", "\0").replace("b", names[1]).replace("\0", names[0]) for word in words]
    assert given(kind, option, spelled) == names


def test_one_name_in_brackets_that_yaml_cannot_read() -> None:
    """`@` begins no text there."""
    assert given(StudyConfig, "prompts", ["[@mine.txt]"]) == ("@mine.txt",)


@pytest.mark.parametrize(
    ("words", "contrasts"),
    [
        (["right - wrong, right - base"], ("right - wrong", "right - base")),
        (["right - wrong", "turns: right - base"], ("right - wrong", "turns: right - base")),
    ],
)
def test_contrasts_have_commas_between_them(words: list[str], contrasts: Any) -> None:
    """No name of an arm has one."""
    arms = ["--arms", "{right: {}, wrong: {max_turns: 4}, base: {max_turns: 2}}"]
    config = parse(
        StudyConfig, ["--task", "hi_tom", *arms, "--contrasts", *words], command="coral it", about=""
    )
    assert config.contrasts == contrasts


@pytest.mark.parametrize("words", [*SPELLINGS[:3], ["[a, b]"]], ids=" ".join)
@pytest.mark.parametrize(("kind", "option"), [(TrainConfig, "report_to"), (TrainConfig, "lora_targets")])
def test_names_in_one_text(kind: Any, option: str, words: list[str]) -> None:
    """Trackers, adapters' modules: a list of them is the text with commas; the next word may be another's."""
    kinds = {"a": "wandb", "b": "tensorboard"}
    spelled = ["".join(kinds.get(letter, letter) for letter in word) for word in words]
    config = parse(
        kind,
        ["--kind", "sft", "--rows", "r", "--model", "m", "--output", "o", "--lora", f"--{option}", *spelled],
        command="c",
        about="",
    )
    assert [part.strip() for part in getattr(config, option).split(",")] == ["wandb", "tensorboard"]


def test_a_tracker_takes_no_word_behind_it() -> None:
    """The task may stand there."""
    config = parse(
        EvalConfig, ["--report_to", "none", "hi_tom"], command="c", about="", positional="task.name"
    )
    assert (config.report_to, config.task_name) == ("none", "hi_tom")


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("http://a/v1,http://b/v1", ("http://a/v1", "http://b/v1")),
        ("http://a/v1", "http://a/v1"),
        ("[http://a/v1, http://b/v1]", ("http://a/v1", "http://b/v1")),
    ],
)
def test_addresses_with_commas_between_them(text: str, urls: Any) -> None:
    """Several replicas; one address is a text."""
    words = ["--task", "hi_tom", "--agent.model", "m", "--agent.base_url", text]
    assert parse(EvalConfig, words, command="c", about="").agent.base_url == urls


@pytest.mark.parametrize(
    ("models", "found"),
    [
        ("scripted:accuracy=0.5,seed=1", ("scripted:accuracy=0.5,seed=1",)),
        ("scripted:accuracy=0.5,seed=1,openai/b", ("scripted:accuracy=0.5,seed=1", "openai/b")),
        ("ollama/a:1b,ollama/b:2b", ("ollama/a:1b", "ollama/b:2b")),
    ],
)
def test_a_comma_within_a_name(models: str, found: Any) -> None:
    """That of a scripted model holds some before `option=`."""
    assert given(StudyConfig, "models", [models, "last"]) == (*found, "last")


def test_a_folder_whose_name_holds_a_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is there is meant."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x,y").mkdir()
    assert given(BuildConfig, "runs", ["x,y"]) == ["x,y"]
    assert given(BuildConfig, "runs", ["x,z"]) == ["x", "z"]


TEXT = "Be brief, kind, and clear"


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        (EvalConfig, "agent.system_prompt", TEXT),
        (EvalConfig, "agent.stop", (TEXT,)),
        (EvalConfig, "agent.command", TEXT),
        (EvalConfig, "data", TEXT),
        (PlotConfig, "labels", (TEXT,)),
    ],
)
def test_a_comma_in_a_text_is_a_comma(kind: Any, option: str, value: Any, tmp_path: Path) -> None:
    """On the command line and in YAML."""
    more = ["--task", "hi_tom"] if kind is EvalConfig else []
    (tmp_path / "o.yaml").write_text(dump_yaml({option: TEXT}))
    for words in ([f"--{option}", TEXT], ["--config", str(tmp_path / "o.yaml")]):
        found: Any = parse(kind, [*more, *words], command="coral it", about="")
        for part in option.split("."):
            found = getattr(found, part)
        assert found == value


@pytest.mark.parametrize(
    ("yaml", "option", "value"),
    [
        ("metrics: m:x, m:y", "metrics", ("m:x", "m:y")),
        ("metrics: [m:x, m:y]", "metrics", ("m:x", "m:y")),
        ("report_to: [none]", "report_to", "none"),
        ("agent: {base_url: 'http://a/v1, http://b/v1'}", "agent.base_url", ("http://a/v1", "http://b/v1")),
        ("agent: {stop: 'a, b'}", "agent.stop", ("a, b",)),
        ("task: {orders: '0, 2'}", "task", {"orders": [0, 2], "name": "sally_anne"}),
    ],
)
def test_lists_in_yaml(yaml: str, option: str, value: Any, tmp_path: Path) -> None:
    """A text in the place of a list is read as on the command line."""
    (tmp_path / "o.yaml").write_text(f"{yaml}\n")
    found: Any = parse(
        EvalConfig, ["--task.name", "sally_anne", "--config", str(tmp_path / "o.yaml")], command="c", about=""
    )
    for part in option.split("."):
        found = getattr(found, part)
    assert found == value
