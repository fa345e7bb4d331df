"""Every recipe of the loop is checked to its last step, on samples of the real data."""

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

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


@pytest.mark.parametrize("config", ["improve", "chain"])
def test_the_recipes_of_the_embedded_model_are_sound(tmp_path, config):
    """Each step's options are accepted by its command, and nothing is written."""
    config = ROOT / "recipes" / "tiny_improve" / f"{config}.yaml"
    done = run(["coral", "improve", "--config", config, "--dry_run"], tmp_path)
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


@pytest.fixture
def tiny_improve(monkeypatch):
    """Import a module of the recipe by name."""
    monkeypatch.syspath_prepend(str(ROOT / "recipes" / "tiny_improve"))
    return importlib.import_module


def test_each_arm_is_trained_as_often_as_asked_and_those_of_pairs_on_other_rows(tiny_improve, tmp_path):
    """The loop trains once, so two of three trainings are further ones, each with a seed of its own."""
    for arm in ("pair-sft", "pair-dpo", "alone-dpo"):
        (tmp_path / "models" / f"{arm}-1" / "rows").mkdir(parents=True)
    found = {one.name: one for one in tiny_improve("run").further(tmp_path, seed=1, trainings=3)}
    assert list(found) == [
        "alone-dpo-training-2",
        "alone-dpo-training-3",
        "pair-dpo-opener",
        "pair-dpo-rows",
        "pair-dpo-rollouts",
        "pair-dpo-chosen",
        "pair-dpo-training-2",
        "pair-dpo-training-3",
        "pair-sft-opener",
        "pair-sft-training-2",
        "pair-sft-training-3",
    ]
    assert found["pair-sft-opener"].build == ("--seat", "opener")
    assert len({one.train for name, one in found.items() if name.startswith("pair-sft")}) == 3


def test_pairs_valued_by_roll_outs_are_of_the_same_conversations(tiny_improve, tmp_path, monkeypatch):
    """Each of the runs that the rows are of is held again with roll-outs, and rows are made of those."""
    recipe, said = tiny_improve("run"), []
    monkeypatch.setattr(recipe, "coral", lambda *words: said.append(words))
    monkeypatch.setattr(recipe, "keep_chosen", None)
    rows = tmp_path / "models" / "pair-dpo-1" / "rows"
    rows.mkdir(parents=True)
    (rows / "config.yaml").write_text('runs: ["samples/pair-1-start", "samples/pair-1-start-rehearsal"]')
    found = {one.name: one for one in recipe.further(tmp_path, seed=1, trainings=1)}
    recipe.train(tmp_path, found["pair-dpo-rollouts"])
    held = [words for words in said if words[0] == "sample"]
    assert [words[2] for words in held] == [
        "samples/pair-1-start/config.yaml",
        "samples/pair-1-start-rehearsal/config.yaml",
    ]
    assert all(words[-2:] == ("--rollouts", "2") for words in held)
    built = next(words for words in said if words[0] == "build")
    assert json.loads(built[built.index("--runs") + 1]) == [words[4] for words in held]
    assert built[-2:] == ("--score", "rollouts")
    assert [words[0] for words in said] == ["sample", "sample", "build", "train", "eval"]


def test_the_chosen_replies_of_pairs_are_rows_for_sft(tiny_improve, tmp_path):
    """Same prompts, in the same order, and nothing of what was rejected."""
    pairs = tmp_path / "pairs"
    pairs.mkdir()
    lines = [{"prompt": [n], "chosen": [f"good {n}"], "rejected": ["bad"]} for n in range(3)]
    (pairs / "train.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    rows = (tiny_improve("run").keep_chosen(pairs, tmp_path / "rows") / "train.jsonl").read_text()
    expected = [{"prompt": [n], "completion": [f"good {n}"]} for n in range(3)]
    assert [json.loads(line) for line in rows.splitlines()] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("You have day 3 in the box (A), my last is day 9 in the jar (B). Later: my last is day 9.", "my"),
        ("You have day 3 in the box (A), my last is day 2 in the jar (B). Later: you have day 3.", "you"),
        ("I agree with you.\nAnswer: (A)", None),
        ("You have day 3 in the box (A). Later: my last is day 9.", None),
    ],
)
def test_how_a_second_speaker_compares(tiny_improve, text, expected):
    """Only who states both days compares."""
    found = tiny_improve("turns").COMPARED.match(text)
    assert (found[3] if found else None) == expected


def test_the_cost_of_an_arm_that_neither_samples_nor_builds(tiny_improve, capsys):
    """A run with `pair-grpo` among its controls has a table, too: it holds its conversations as it trains."""
    start = SimpleNamespace(seconds={"pair": 10.0})
    training = SimpleNamespace(steps=100)
    made = SimpleNamespace(
        arm="pair-grpo", sampled=None, rows=6400, training=training, seconds={"train": 500.0}
    )
    results = SimpleNamespace(models=[start, SimpleNamespace(made=made, seconds={"pair": 20.0})])
    tiny_improve("table").print_cost({"0": results})
    row = capsys.readouterr().out.splitlines()[-1]
    assert row == "| 0 | pair-grpo | 0 | 6,400 | 100 | 10 | 0 | 0 | 500 | 20 | 530 |"


def test_components_tell_what_trainings_vary_by_from_what_seeds_add(tiny_improve):
    """Known answers: no spread within, none between but that of the trainings, and a table by hand."""
    components = tiny_improve("further").components
    assert components([[1.0], [2.0]]) is None
    assert components([[1.0, 2.0]]) is None
    assert components([[1.0, 1.0], [3.0, 3.0]]) == pytest.approx((2.0**0.5, 0.0))
    assert components([[1.0, 3.0], [1.0, 3.0]]) == pytest.approx((0.0, 2.0**0.5))
    # means 2, 5; within (2 + 8) / 2 = 5; between 2 x (1.5^2 + 1.5^2) = 9; (9 - 5) / 2 = 2
    assert components([[1.0, 3.0], [3.0, 7.0]]) == pytest.approx((2.0**0.5, 5.0**0.5))
    # 3 and 1 trainings: grand mean 3, within 2 / 2; between 3 x 1 + 1 x 9 = 12; n0 = (4 - 10 / 4) / 1
    assert components([[1.0, 2.0, 3.0], [6.0]]) == pytest.approx(((12 - 1) ** 0.5 / 1.5**0.5, 1.0))


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
