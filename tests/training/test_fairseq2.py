"""fairseq2's recipes: the config and the launch script hold the published values."""

import subprocess

import pytest
import yaml

from coral.errors import DataError
from coral.training.config import TrainConfig
from coral.training.fairseq2 import launch_script, recipe_config
from coral.training.train import write_fairseq2


def config(**options):
    given = {"rows": "rows", "output": "out/run", "backend": "fairseq2", "dry_run": True}
    return TrainConfig(**{**given, **options})


@pytest.mark.parametrize(
    ("kind", "preset", "lr", "warmup", "steps", "tokens", "nodes"),
    [
        ("dpo", "8b", 1e-6, 50, 1000, 8192, 1),
        ("dpo", "70b", 1e-6, 50, 1000, 4096, 16),
        ("sft", "8b", 1e-7, 100, 200, 8192, 1),
        ("sft", "70b", 2.5e-6, 50, 1000, 8192, 4),
    ],
)
def test_presets_hold_the_published_values(kind, preset, lr, warmup, steps, tokens, nodes):
    """The figures of the released configs, one row a recipe and size."""
    written = recipe_config(config(kind=kind, preset=preset))
    optimizer = written["optimizer"]["config"]["_set_"]
    assert optimizer == {"lr": lr, "betas": [0.9, 0.95], "eps": 1e-8, "weight_decay": 0.1}
    schedule = written["lr_scheduler"]["config"]["_set_"]
    assert (schedule["num_warmup_steps"], schedule["final_lr_scale"]) == (warmup, 0.1)
    assert written["regime"]["_set_"]["num_steps"] == steps
    assert written["dataset"]["_set_"]["max_num_tokens"] == tokens
    assert written["dataset"]["_set_"]["source_encode_mode"] == "as_is"
    assert ("gang" in written) == (preset == "70b")
    assert ("criterion" in written) == (kind == "dpo")
    assert f"#SBATCH --nodes={nodes}\n" in launch_script(config(kind=kind, preset=preset))


def test_dpo_of_70b_accumulates_and_shares_the_model():
    """What the published 70B run needs beside its size: 8 GPUs a copy, one row a step, 8 steps together."""
    written = recipe_config(config(preset="70b"))
    assert written["gang"]["_set_"]["tensor_parallel_size"] == 8
    assert written["trainer"]["_set_"]["gradient_accumulation"] == 8
    assert written["dataset"]["_set_"]["batch_size"] == 1
    criterion = written["criterion"]["_set_"]
    assert criterion["config"]["reference_model"] == {"name": "llama3_1_70b_instruct"}
    assert (criterion["config"]["beta"], criterion["config"]["nll_scale"]) == (0.1, 0.0)


def test_rows_of_another_format_are_refused(tmp_path):
    """fairseq2 would find no text in them, hours later on a cluster."""
    (tmp_path / "train.jsonl").write_text('{"prompt": [], "chosen": [], "rejected": []}\n')
    with pytest.raises(DataError, match="no src, tgt_chosen, tgt_rejected") as caught:
        write_fairseq2(config(rows=str(tmp_path), output=str(tmp_path / "out")))
    assert "--format fairseq2" in caught.value.remedy
    (tmp_path / "train.jsonl").write_text('{"src": "a", "tgt": "b"}\n')
    write_fairseq2(config(kind="sft", rows=str(tmp_path), output=str(tmp_path / "out")))


def test_options_go_before_the_preset():
    """What is given on the command line is what is written."""
    written = recipe_config(
        config(
            model="my_model",
            learning_rate=3e-6,
            max_steps=77,
            warmup_steps=5,
            beta=0.3,
            seed=4,
            save_steps=11,
        )
    )
    assert written["model"]["_set_"]["name"] == "my_model"
    assert written["criterion"]["_set_"]["config"]["reference_model"]["name"] == "my_model"
    assert written["optimizer"]["config"]["_set_"]["lr"] == 3e-6
    assert written["regime"]["_set_"]["num_steps"] == 77
    assert written["regime"]["_set_"]["checkpoint_every_n_steps"] == 11
    assert written["lr_scheduler"]["config"]["_set_"]["num_warmup_steps"] == 5
    assert written["criterion"]["_set_"]["config"]["beta"] == 0.3
    assert written["common"]["_set_"]["seed"] == 4


@pytest.mark.parametrize(
    ("kind", "recipe"), [("dpo", "preference_finetune"), ("sft", "instruction_finetune")]
)
def test_files_are_written_and_the_script_is_a_script(tmp_path, kind, recipe):
    """The config reads back as YAML, and the shell accepts the script, also where the path has a blank."""
    output = tmp_path / "my run"
    written, script = write_fairseq2(config(kind=kind, output=str(output)))
    assert yaml.safe_load(written.read_text()) == recipe_config(config(kind=kind, output=str(output)))
    assert f"lm \\\n    {recipe} \\\n" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)
