"""Options, published values, and what a training comes to in steps."""

import dataclasses

import pytest

from coral.errors import ConfigError, MissingExtra
from coral.training.config import TrainConfig, decisive
from coral.training.libraries import require_libraries
from coral.training.plan import plan_training


def config(**options):
    return TrainConfig(**{"model": "m", "rows": "r", "output": "o", **options})


@pytest.mark.parametrize(
    ("options", "rows", "processes", "expected"),
    [
        ({}, 640, 1, (20, 8, 1e-6, 2)),
        ({}, 640, 8, (20, 1, 1e-6, 2)),
        ({"epochs": 2.5}, 640, 1, (50, 8, 1e-6, 5)),
        ({"epochs": 1.0}, 1, 1, (1, 8, 1e-6, 0)),
        ({"max_steps": 1000}, 640, 1, (1000, 8, 1e-6, 50)),
        ({"max_steps": 1000, "warmup_steps": 0}, 640, 1, (1000, 8, 1e-6, 0)),
        ({"kind": "sft"}, 640, 1, (20, 8, 2.5e-6, 2)),
        ({"kind": "sft", "preset": "8b"}, 640, 8, (200, 1, 1e-7, 100)),
        ({"kind": "sft", "preset": "8b", "max_steps": 10}, 640, 8, (10, 1, 1e-7, 5)),
        ({"preset": "70b"}, 640, 8, (1000, 1, 1e-6, 50)),
        ({"preset": "8b", "max_steps": 3000}, 640, 8, (3000, 1, 1e-6, 50)),
        ({"preset": "8b", "learning_rate": 0.0}, 640, 8, (1000, 1, 0.0, 50)),
        ({"batch_size": 2}, 640, 1, (320, 1, 1e-6, 32)),
    ],
)
def test_the_plan_follows_options_and_devices(options, rows, processes, expected):
    """Steps and the rows of a step are those asked for on any number of devices."""
    plan = plan_training(config(**options), rows, processes)
    assert (plan.steps, plan.accumulation, plan.learning_rate, plan.warmup_steps) == expected
    assert plan.accumulation * plan.device_batch_size * processes == config(**options).batch_size


def test_a_batch_that_does_not_divide_is_refused():
    """Rows of a step are never silently more or fewer than asked for."""
    with pytest.raises(ConfigError, match="does not divide") as error:
        plan_training(config(batch_size=20, device_batch_size=4), 100, 8)
    assert "multiple of" in error.value.remedy


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": ""}, "no model"),
        ({"rows": ""}, "no rows"),
        ({"output": ""}, "no output"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"learning_rate": -1.0}, "learning_rate"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"eval_fraction": 1.0}, "eval_fraction"),
        ({"eval_fraction": 0.1, "eval_rows": "e"}, "both"),
        ({"backend": "fairseq2"}, "does not run"),
        ({"kind": "sft", "beta": 0.2}, "beta says nothing about sft"),
        ({"desirable_weight": 2.0}, "desirable_weight says nothing about dpo"),
        ({"kind": "kto", "undesirable_weight": -1.0}, "undesirable_weight must be at least 0"),
        ({"lora_rank": 8}, "lora_rank is given, and no adapter"),
        ({"kind": "sft", "reference": "x"}, "reference says nothing about sft"),
        ({"backend": "fairseq2", "dry_run": True, "kind": "kto"}, "no kto recipe"),
        ({"kind": "kto", "device_batch_size": 1}, "kto compares"),
        ({"report_to": "tensorboard,abacus"}, "abacus"),
    ],
)
def test_options_that_cannot_be_used_are_refused_at_the_door(options, message):
    """Each says what would do instead."""
    with pytest.raises(ConfigError, match=message) as error:
        config(**options)
    assert error.value.remedy


def test_what_decides_the_weights_and_what_does_not():
    """Every option is either in the identity of a training or known not to change its weights."""
    base = decisive(config())
    for name, value in {"save_steps": 7, "report_to": "wandb", "device_batch_size": 2, "threads": 1}.items():
        assert decisive(dataclasses.replace(config(), **{name: value})) == base
    for name, value in {"beta": 0.2, "seed": 1, "lora": True, "eval_fraction": 0.1, "max_steps": 9}.items():
        assert decisive(dataclasses.replace(config(), **{name: value})) != base


@pytest.mark.parametrize(
    ("options", "decides", "why"),
    [
        ({}, False, "pairs do not know of each other"),
        ({"kind": "sft"}, False, "tokens count over the whole step"),
        ({"kind": "kto"}, True, "rows are compared with those beside them"),
        ({"sft_weight": 0.2}, True, "a mean over the tokens of a device's batch"),
        ({"loss": "aot"}, True, "a loss that sorts a device's batch"),
    ],
)
def test_rows_on_a_device_decide_weights_where_the_loss_looks_at_them(options, decides, why):
    """A training may go on with smaller batches on a device only where that changes nothing."""
    one, other = (decisive(config(device_batch_size=size, **options)) for size in (2, 4))
    assert (one != other) is decides, why


TRAIN = "pip install 'collaborative-reasoner[train]' (from a checkout: pip install '.[train]')"


@pytest.mark.parametrize(
    ("package", "remedy", "why"),
    [
        ("trackio", "pip install trackio", "a service's own package is in no extra"),
        ("wandb", "pip install wandb", "the same"),
        ("tensorboard", TRAIN, "in the extra"),
        ("trl", TRAIN, "in the extra"),
    ],
)
def test_a_missing_package_is_named_with_what_brings_it(monkeypatch, package, remedy, why):
    """What is missing is said before anything is loaded, and the remedy installs it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == package else object())
    with pytest.raises(MissingExtra, match=package) as caught:
        require_libraries((package,))
    assert caught.value.remedy == remedy, why


def test_kto_needs_two_rows_on_a_device():
    """Its comparison within a batch is impossible with one row, however the batch came to be shared out."""
    with pytest.raises(ConfigError, match="kto compares") as error:
        plan_training(config(kind="kto", batch_size=8), 100, 8)
    assert "at least 16" in error.value.remedy
