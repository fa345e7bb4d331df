"""Every recipe of the loop is checked to its last step, on samples of the real data."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"


def run(command, folder, **environment):
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def steps(output):
    return [line.removeprefix("# ") for line in output.splitlines() if line.startswith("# coral")]


def test_the_recipe_of_the_embedded_model_is_sound(tmp_path):
    """Each step's options are accepted by its command, and nothing is written."""
    done = run(
        ["coral", "improve", "--config", ROOT / "recipes/tiny_improve/improve.yaml", "--dry_run"], tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert steps(done.stdout)[:8] == [
        "coral eval: models/start/pair",
        "coral eval: models/start/alone",
        "coral eval: models/start/second",
        "coral eval: models/start/final",
        "coral sample: samples/pair-1-start",
        "coral sample: samples/pair-1-start-rehearsal",
        "coral build: models/pair-sft-1/rows",
        "coral train sft: models/pair-sft-1/train",
    ]
    assert list(tmp_path.iterdir()) == []


def test_the_recipe_of_8b_on_mmlu_pro_is_sound(tmp_path):
    """The script deals real problems to two disjoint lists, and says each server, step and training."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    data, second = DATA / "mmlu_pro/test.sample.jsonl", DATA / "explore_tom/SYNTHETIC_fixture.csv"
    script = ["sh", "recipes/llama8b_mmlu_pro/run.sh", data, second, "--dry_run"]
    done = run(script, tmp_path, EVALUATION="40")
    assert done.returncode == 0, done.stderr
    lists = tmp_path / "runs" / "llama8b_mmlu_pro"
    training, evaluation = (
        set((lists / f"{name}.txt").read_text().split()) for name in ("training", "evaluation")
    )
    assert len(evaluation) == 40
    assert len(training) == 101
    assert not training & evaluation
    assert [step for step in steps(done.stdout) if "train " in step] == [
        "coral train dpo: models/pair-dpo-1/train",
        "coral train sft: models/pair-sft-1/train",
        "coral train dpo: models/alone-dpo-1/train",
        "coral train sft: models/alone-sft-1/train",
    ]
    assert "vllm serve meta-llama/Llama-3.1-8B-Instruct --served-model-name start" in done.stdout
    assert "accelerate launch --config_file recipes/training/one_node_fsdp.yaml" in done.stdout
    assert (tmp_path / "recipes/training/one_node_fsdp.yaml").is_file()
    assert not (lists / "improve").exists()


def test_the_slurm_form_of_8b_on_mmlu_pro_is_sound(tmp_path):
    """Each step is preceded by the batch script of its replicas, each training is a job; nothing is run."""
    shutil.copytree(ROOT / "recipes", tmp_path / "recipes")
    data, second = DATA / "mmlu_pro/test.sample.jsonl", DATA / "explore_tom/SYNTHETIC_fixture.csv"
    slurm = ["--config", "recipes/llama8b_mmlu_pro/slurm.yaml", "--dry_run"]
    done = run(["sh", "recipes/llama8b_mmlu_pro/run.sh", data, second, *slurm], tmp_path, EVALUATION="40")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    served = [line for line in lines if line == "# served by 8 replicas, each"]
    runs = [step for step in steps(done.stdout) if step.startswith(("coral eval", "coral sample"))]
    assert len(served) == len(runs)
    assert done.stdout.count("#SBATCH --gres=gpu:1") == len(runs)
    assert (
        "vllm serve meta-llama/Llama-3.1-8B-Instruct --served-model-name start --host '{host}'" in done.stdout
    )
    launched = [line for line in lines if "-m coral cluster job" in line]
    assert len(launched) == len([step for step in steps(done.stdout) if step.startswith("coral train")])
    assert not (tmp_path / "runs" / "llama8b_mmlu_pro" / "improve").exists()
