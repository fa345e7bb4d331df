"""Which options decide results is said by each option itself, and nowhere else."""

import dataclasses
import importlib
import math
import pkgutil
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest

import coral
from coral.config import Bounds, deciding
from coral.errors import ConfigError
from coral.generation.config import GenerateConfig
from coral.improvement.config import ImproveConfig
from coral.improvement.identity import identify
from coral.improvement.servers import Checkpoint
from coral.options import alternatives, build_config
from coral.rows.build import BuildConfig
from coral.training.config import TrainConfig, decisive

NOT_OPTIONS = {"ConversationConfig", "LlamaConfig"}
"""What is called a config and given by nobody."""


def option_classes():
    """Every dataclass of options in the package, by the names that they all have."""
    found = {}
    for info in pkgutil.walk_packages(coral.__path__, "coral."):
        if "__main__" in info.name or ".replica" in info.name:
            continue
        for kind in vars(importlib.import_module(info.name)).values():
            if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
                continue
            if kind.__name__.endswith(("Config", "Options", "OfKind")) and kind.__module__ == info.name:
                found[kind.__name__, kind.__module__] = kind  # two rooms have a JudgeConfig
    return [found[name] for name in sorted(found) if name[0] not in NOT_OPTIONS]


CLASSES = option_classes()


def test_the_options_of_every_command_are_found():
    """The test below would say nothing of a class that it does not find."""
    names = {kind.__name__ for kind in CLASSES}
    assert names >= {
        "EvalConfig", "SampleConfig", "AgentConfig", "ExtractorConfig", "ModelConfig", "LaunchConfig",
        "RowOptions", "BuildConfig", "TrainConfig", "GenerateConfig", "ImproveConfig", "ServeConfig",
        "GateConfig", "CollapseConfig", "OfKind", "ScoreConfig", "CompareConfig", "ShowConfig",
        "ExportConfig", "DoctorConfig", "ServerConfig", "ScriptedConfig", "PoolConfig", "ReplicaOptions",
    }  # fmt: skip


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_option_says_whether_it_decides(kind):
    """No option without it: a new one must be thought about."""
    for item in dataclasses.fields(kind):
        assert isinstance(item.metadata.get("decides"), bool), item.name


NUMBERS = [
    (kind, item)
    for kind in CLASSES
    for item in dataclasses.fields(kind)
    if {int, float} & set(alternatives(get_type_hints(kind)[item.name]))
]


def outside(bounds):
    """Numbers just beyond the bounds of an option."""
    return [
        *([bounds.least - 1] if bounds.least is not None else []),
        *([bounds.above, bounds.above - 1] if bounds.above is not None else []),
        *([bounds.most + 1] if bounds.most is not None else []),
        *([bounds.below, bounds.below + 1] if bounds.below is not None else []),
    ]


@pytest.mark.parametrize(
    ("kind", "item"), NUMBERS, ids=[f"{kind.__name__}.{item.name}" for kind, item in NUMBERS]
)
def test_every_number_says_what_it_may_be(kind, item):
    """No number without bounds; what lies outside is refused by name, with what was given and what helps."""
    bounds = item.metadata.get("within")
    assert isinstance(bounds, Bounds)
    kinds = alternatives(get_type_hints(kind)[item.name])
    beyond = outside(bounds) + ([math.inf, -math.inf, math.nan] if float in kinds else [])
    for value in beyond:
        with pytest.raises(ConfigError) as refused:
            build_config(kind, {item.name: value}, "--")
        assert f"--{item.name} must be" in str(refused.value)
        assert f"(got {float(value) if float in kinds else value})" in str(refused.value)
        assert "leave it out" in refused.value.remedy


def other(item):
    """Another value that an option may have, by its type, default and bounds."""
    default = item.default_factory() if item.default is dataclasses.MISSING else item.default
    kind = KINDS.get(item.name, Any)
    words = [word for one in alternatives(kind) if get_origin(one) is Literal for word in get_args(one)]
    match default:
        case _ if words:
            return next(word for word in words if word != default)
        case bool():
            return not default
        case int() | float():
            bounds = item.metadata.get("within")
            return default + 1 if bounds is None or bounds.hold(default + 1) else (default or 1) / 2
        case str():
            return f"{default}x"
        case tuple() | list():
            return (*default, "x")
        case _:
            return "x" if str in alternatives(kind) else bool in alternatives(kind) or 1


KINDS = {name: kind for one in (BuildConfig, TrainConfig) for name, kind in get_type_hints(one).items()}


TRAINED = {"kind": "dpo", "model": "m", "rows": "r", "output": "o", "lora": True}


@pytest.mark.parametrize("item", dataclasses.fields(TrainConfig), ids=lambda item: item.name)
def test_what_decides_weights_is_in_the_identity_of_a_training(item):
    """Set otherwise, an option changes what a training is if it decides, and only then."""
    config = TrainConfig(**TRAINED)
    changed = TrainConfig(**TRAINED)
    object.__setattr__(changed, item.name, other(item) if item.name != "lora" else False)
    is_told = decisive(changed) != decisive(config)
    if item.name == "loss":  # with it, a row's loss may depend on those beside it
        assert is_told
        return
    assert is_told is (item.name in deciding(TrainConfig))


@pytest.mark.parametrize("item", dataclasses.fields(GenerateConfig), ids=lambda item: item.name)
def test_what_decides_replies_is_in_the_identity_of_a_batch(item):
    """The same of a batch: where it is written and by how many connections decides nothing."""
    config = GenerateConfig(input="a", output="b")
    changed = GenerateConfig(input="a", output="b")
    if item.name == "agent":
        changed = dataclasses.replace(config, agent=dataclasses.replace(config.agent, model="m"))
    else:
        object.__setattr__(changed, item.name, other(item))
    assert (changed.decisive != config.decisive) is (item.name in deciding(GenerateConfig))


@pytest.mark.parametrize(
    ("section", "kind"), [("build", BuildConfig), ("train", TrainConfig)], ids=["build", "train"]
)
@pytest.mark.parametrize("arm", [None, "dpo"], ids=["all arms", "one arm"])
def test_the_loop_holds_to_what_decides_rows_and_weights(section, kind, arm):
    """What a step's command lets change, the loop lets change, too, and nothing else."""
    for item in dataclasses.fields(kind):
        if item.name == "kind":  # names the arms
            continue
        options = {section: {item.name: other(item)}}
        plain = {"common": {"task": {"name": "sally_anne"}}}
        configs = [
            build_config(ImproveConfig, {**plain, **more}, "improve")
            for more in ({}, {arm: options} if arm else options)
        ]
        one, two = (identify(config, Checkpoint("start", "org/model")) for config in configs)
        one, two = [x[arm].get(section, {}) if arm else x[section] for x in (one, two)]
        assert (one != two) is (item.name in deciding(kind)), item.name
