"""What tells two models apart."""

from pathlib import Path

import pytest

from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.identity import identity
from coral.store.checkpoints import fingerprint, model_fingerprint

SIZE = 8 << 20


def checkpoint(folder, *, changed=None, config="{}"):
    """A folder with a weight file of zeros, `changed` bytes of it ones."""
    folder.mkdir()
    weights = bytearray(SIZE)
    if changed is not None:
        weights[changed] = b"\1" * len(range(*changed.indices(SIZE)))
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text(config)
    return str(folder)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"changed": slice(0, 10)}, "the header"),
        ({"changed": slice(SIZE - 10, SIZE)}, "the last tensor"),
        (
            {"changed": slice(SIZE // 2, SIZE // 2 + SIZE // 64)},
            "one layer in the middle, as an adapter does",
        ),
        ({"config": '{"rope_theta": 1}'}, "the same weights, read otherwise"),
    ],
)
def test_models_that_differ_have_different_fingerprints(tmp_path, change, why):
    """A training must not go on from, nor a loop with, another model of the same name."""
    fingerprints = [
        model_fingerprint(checkpoint(tmp_path / name, **options))
        for name, options in (("a", {}), ("b", {}), ("c", change))
    ]
    assert fingerprints[0] == fingerprints[1] != fingerprints[2], why


def test_a_run_and_a_training_know_a_checkpoint_by_one_fingerprint(tmp_path):
    """What is trained from a folder can be told from what was run from it."""
    folder = Path(checkpoint(tmp_path / "model"))
    config = EvalConfig(task={"name": "sally_anne"}, agent=AgentConfig(model=str(folder)))
    run = identity(config, task={}, split="", data_fingerprint="", prompts="")
    assert run["agent"]["checkpoint"] == model_fingerprint(str(folder)) == fingerprint(folder)


def test_a_name_on_the_hub_stands_for_itself():
    """What is no folder is not read."""
    assert model_fingerprint("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"
