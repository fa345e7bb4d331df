"""What `import coral` offers: every name a user meets, and keyword options that agree with the commands'."""

import ast
import dataclasses
import inspect
import json
import os
import typing
from pathlib import Path

import pytest

import coral
from coral import keywords
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.rl.config import GrpoConfig
from coral.rows.build import BuildConfig
from coral.training.config import TrainConfig

OBJECTS = {"task", "agent", "partner", "agents", "extractor", "metrics"}
"""Parameters that take objects beside the values of options."""


@pytest.mark.parametrize("name", coral.__all__)
def test_every_name_is_there(name):
    """What is announced can be imported."""
    assert getattr(coral, name) is not None


def test_type_checkers_see_what_is_there():
    """The imports for type checkers name the same things as the ones at run time."""
    tree = ast.parse(Path(coral.__file__).read_text())
    seen = {
        (node.module, alias.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        for alias in node.names
    }
    assert seen == {(home, name) for home, names in coral._HOMES.items() for name in names}
    assert sorted(name for _, name in seen) == coral.__all__


def test_what_the_functions_return_and_raise_is_exported():
    """A user can name the type of whatever comes out."""
    for name in ("evaluate", "sample", "estimate", "build", "score", "compare", "train", "load_run"):
        for returned in inspect.signature(getattr(coral, name)).return_annotation.split(" | "):
            assert returned in coral.__all__, f"{name} returns {returned}"


@pytest.mark.parametrize(
    ("options", "config", "parameters"),
    [
        (keywords.EvaluateOptions, EvalConfig, OBJECTS | {"dry_run"}),
        (keywords.SampleOptions, SampleConfig, OBJECTS | {"dry_run"}),
        (keywords.BuildOptions, BuildConfig, {"runs", "output", "held_out"}),
        (keywords.TrainOptions, TrainConfig, {"kind", "model", "rows", "output"}),
        (keywords.GrpoOptions, GrpoConfig, {"model", "output", "rollout"}),
    ],
    ids=["evaluate", "sample", "build", "train", "train-grpo"],
)
def test_keyword_options_are_those_of_the_command(options, config, parameters):
    """Names and types: a new option of a command without its keyword fails here. A path may be a `Path`,
    and a section a mapping or its foremost option."""
    wanted = typing.get_type_hints(config)
    fields = {item.name for item in dataclasses.fields(config)} - parameters
    spelled = typing.get_type_hints(options)
    assert spelled.keys() == fields
    for name, kind in spelled.items():
        parts = {part for part in typing.get_args(kind) if typing.get_origin(part) is not os.PathLike}
        is_path = parts != set(typing.get_args(kind))
        is_section = kind in (keywords.Command, keywords.Templates) and dataclasses.is_dataclass(wanted[name])
        assert kind == wanted[name] or is_section or (is_path and parts == set(typing.get_args(wanted[name])))


@pytest.mark.parametrize("name", ["evaluate", "evaluate_async", "sample", "sample_async", "estimate", "build",
                                  "build_async", "train"])  # fmt: skip
def test_no_function_takes_anything(name):
    """Options are spelled out for an editor, and a function and its async form take the same."""
    parameters = inspect.signature(getattr(coral, name)).parameters
    (options,) = [one for one in parameters.values() if one.kind is one.VAR_KEYWORD]
    assert options.annotation.startswith("Unpack["), options.annotation
    twin = inspect.signature(getattr(coral, name.removesuffix("_async"))).parameters
    assert parameters.keys() - {"progress"} == twin.keys()


LOOPING = {
    "evaluate": ("sally_anne",),
    "sample": ("sally_anne",),
    "improve": ({},),
    "study": ({},),
    "build": ("run",),
    "score": ("run",),
    "compare": ("run", "other"),
}


@pytest.mark.parametrize("name", LOOPING)
async def test_a_notebook_is_told_what_to_await(name):
    """Where a loop runs, each function names its twin; nothing is left unawaited."""
    options = {"output": "rows"} if name == "build" else {}
    with pytest.raises(ConfigError, match="an event loop is running here") as caught:
        getattr(coral, name)(*LOOPING[name], **options)
    assert f"await coral.{name}_async(...)" in caught.value.remedy


@pytest.mark.parametrize("as_file", [False, True])
def test_short_names_mean_the_same_in_python(tmp_path, as_file):
    """`task: sally_anne` and `agent: MODEL` in a mapping or a file, as on the command line."""
    options = {
        "task": "sally_anne", "limit": 2, "extractor": "rules", "agent": "scripted", "dry_run": True,
        "arms": {"a": {"protocol": "single"}, "b": {"partner": "other"}},
    }  # fmt: skip
    (tmp_path / "study.yaml").write_text(json.dumps(options))
    with pytest.raises(ConfigError, match="dry_run and pilot make no study"):
        coral.study(tmp_path / "study.yaml" if as_file else options)


CALLS = [
    ({"lmit": 3}, "no option lmit", "did you mean limit?"),
    ({"temperature": 0}, "no option temperature", "did you mean agent={'temperature': ...}?"),
    ({"limit": "many"}, "limit must be a whole number (got 'many')", "coral eval --help"),
    ({"data": [{"question": "?"}]}, "data is a list, not a path", "@coral.task()"),
    ({"agent": ""}, "an agent's name is empty", "leave it out"),
    ({"protocol": "cott"}, "no protocol 'cott'", "did you mean cot?"),
]


@pytest.mark.parametrize(("options", "cause", "remedy"), CALLS, ids=lambda value: str(value)[:30])
def test_mistakes_in_python_are_told_as_on_the_command_line(options, cause, remedy):
    """The option, what it was given, and what it may be."""
    with pytest.raises(ConfigError) as refused:
        coral.evaluate("sally_anne", **options)
    assert cause in str(refused.value)
    assert remedy in refused.value.remedy


def test_a_stored_run_offers_what_a_fresh_one_does(tmp_path):
    """Frames, pictures, the table of a notebook; where there is no run, that is said at once."""
    run = coral.evaluate(
        "sally_anne", agent=lambda _: "Answer: (A)", protocol="cot", limit=2, output=tmp_path / "run"
    )
    stored = coral.load_run(tmp_path / "run")
    assert stored.summary == run.summary
    assert stored._repr_html_() == run._repr_html_()
    assert len(stored.turns()) == len(stored.conversations_frame()) == 2
    with pytest.raises(coral.UserError, match="is not a run folder"):
        coral.load_run(tmp_path / "nowhere")
