"""Training end to end on a Llama of ten thousand parameters. One module: the libraries load for seconds."""

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from coral.errors import RunFolderError, UserError
from coral.models.protocol import Request, Sampling
from coral.training.config import TrainConfig
from coral.training.record import load_training
from coral.training.train import train
from coral.training.trainer import Watch

pytest.importorskip("trl")


@pytest.fixture
def config(tiny_model, row_folders, tmp_path):
    """A quick DPO training; keywords change it."""

    def built(kind="dpo", **options):
        quick = {
            "max_steps": 4,
            "batch_size": 8,
            "learning_rate": 1e-2,
            "save_steps": 2,
            "logging_steps": 1,
            "device": "cpu",
            "model": str(tiny_model),
            "rows": str(row_folders[kind]),
            "output": str(tmp_path / "out"),
        }
        return TrainConfig(kind=kind, **{**quick, **options})

    return built


def stop_at(step):
    """A watch that stops a training after `step`."""
    seen = []
    return Watch(on_log=lambda at, _steps, _values: seen.append(at), stopping=lambda: step - 1 in seen)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sft", {}),
        ("dpo", {"eval_fraction": 0.3}),
        ("dpo", {"sft_weight": 0.5}),
        ("kto", {}),
        ("sft", {"lora": True, "lora_rank": 2}),
        ("dpo", {"lora": True, "lora_rank": 2}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value) or "plain",
)
def test_each_kind_lowers_its_loss_and_leaves_a_checkpoint(config, kind, options):
    """Full and low-rank training of each kind learns, and the folder says that it is complete."""
    options = {"max_steps": 8, **options}
    result = train(config(kind, **options))
    history = [json.loads(line) for line in (result.path / "history.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in history if "loss" in line]
    assert len(losses) == 8
    assert losses[-1] < losses[0]
    training = load_training(result.path)
    assert training == result.training
    assert (training.steps, training.device) == (8, "cpu")
    assert training.rows.read == 24
    assert training.rows.trained + training.rows.held_out == 24
    assert (result.path / "model.safetensors").is_file()
    assert not (result.path / "checkpoints").exists()
    assert (result.path / "adapter").is_dir() == bool(options.get("lora"))


def test_the_weights_of_kto_scale_its_loss(config, tmp_path):
    """At the first step the model is its reference: every row costs half of its weight."""
    losses = []
    for weight in (1.0, 3.0):
        weights = {"desirable_weight": weight, "undesirable_weight": weight}
        result = train(config("kto", max_steps=1, output=str(tmp_path / str(weight)), **weights))
        losses.append(json.loads((result.path / "history.jsonl").read_text().splitlines()[0])["loss"])
    assert losses == pytest.approx([0.5, 1.5], abs=0.01)


@pytest.mark.parametrize("kind", ["sft", "dpo"])
def test_of_several_turns_the_last_reply_alone_is_trained(config, tmp_path, kind):
    """Earlier replies of the seat are context, wrong ones too: TRL and the check agree on every token."""
    good, bad = ([{"role": "assistant", "content": text}] for text in ("the answer is A", "the answer is B"))
    asked = {"role": "user", "content": "where ball"}
    replies = {"sft": {"completion": good}, "dpo": {"chosen": good, "rejected": bad}}[kind]
    prompt = [asked, {"role": "assistant", "content": "I think B"}, asked]
    rows = tmp_path / "rows.jsonl"
    rows.write_text((json.dumps({"prompt": prompt, **replies}) + "\n") * 8)
    training = train(config(kind, rows=str(rows), max_steps=1)).training
    assert training.rows.trained_tokens == 8 * len(replies) * len(["the", "answer", "is", "A", "<|end|>"])


async def test_the_checkpoint_loads_in_transformers_and_in_the_embedded_engine(config):
    """A trained model answers what it was trained to, in both."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from coral.engine.model import EmbeddedModel
    from coral.types import Message, Role

    path = train(config("sft", max_steps=60, save_steps=60)).path
    model = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    asked = [{"role": "user", "content": "where ball"}]
    tokens = tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    reply = model.generate(**tokens, max_new_tokens=8, do_sample=False)
    assert "the answer is A" in tokenizer.decode(reply[0], skip_special_tokens=True)
    async with EmbeddedModel(path, name="tiny") as engine:
        generations = await engine.generate(
            Request(
                messages=(Message(Role.USER, "where ball"),), sampling=Sampling(temperature=0.0, max_tokens=8)
            )
        )
    assert generations.candidates[0].text.strip() == "the answer is A"


@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_a_stopped_training_goes_on_to_the_very_same_weights(config, tmp_path, lora):
    """Stopping after step 3 and going on changes nothing: weights equal those of one session, bit by bit."""
    whole = train(config("dpo", output=str(tmp_path / "whole"), lora=lora))
    stopped = train(config("dpo", lora=lora), watch=stop_at(3))
    assert stopped.training is None
    assert load_training(stopped.path) is None
    resumed = train(config("dpo", lora=lora))
    assert resumed.training.resumed_from == 3
    weights = [(result.path / "model.safetensors").read_bytes() for result in (whole, resumed)]
    assert weights[0] == weights[1]


def test_a_torn_checkpoint_is_passed_over(config):
    """A kill while a checkpoint is written leaves a part of one; the training goes on from the one before."""
    train(config("dpo"), watch=stop_at(3))
    checkpoints = Path(config("dpo").output) / "checkpoints"
    shutil.copytree(checkpoints / "checkpoint-3", checkpoints / "checkpoint-4")
    torn = checkpoints / "checkpoint-4" / "trainer_state.json"
    torn.write_bytes(torn.read_bytes()[:20])
    assert train(config("dpo")).training.resumed_from == 3


def test_a_kill_between_the_last_step_and_the_record_is_made_good(config):
    """Without its record a folder is not finished; all steps taken, only the export is repeated."""
    first = train(config("dpo", keep_checkpoints=1))
    weights = (first.path / "model.safetensors").read_bytes()
    (first.path / "train.json").unlink()
    (first.path / "model.safetensors").write_bytes(b"torn")
    again = train(config("dpo", keep_checkpoints=1))
    assert again.training.resumed_from == 4
    assert (again.path / "model.safetensors").read_bytes() == weights


def test_a_finished_training_is_not_repeated(config):
    """The same command on a finished folder reads its record and loads no model."""
    first = train(config())
    before = (first.path / "train.json").stat().st_mtime_ns
    again = train(config())
    assert again.training == first.training
    assert again.prepared is None
    assert (first.path / "train.json").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "changed", [{"learning_rate": 2e-2}, {"seed": 1}, {"beta": 0.2}], ids=lambda change: next(iter(change))
)
def test_another_training_in_the_same_folder_is_refused(config, changed):
    """What decides the weights cannot change between sessions; where the log goes can."""
    train(config(max_steps=1))
    with pytest.raises(RunFolderError, match="other options"):
        train(config(max_steps=1, **changed))
    assert train(config(max_steps=1, logging_steps=7)).training.steps == 1


def test_a_model_that_no_training_left_is_not_written_over(config, tiny_model, tmp_path):
    """The folder of the model to begin with, given as output, too, loses nothing; nor does any other one."""
    given = Path(shutil.copytree(tiny_model, tmp_path / "given"))
    before = (given / "model.safetensors").read_bytes()
    for model in (given, tiny_model):
        with pytest.raises(RunFolderError, match="holds a model already"):
            train(config(model=str(model), output=str(given)))
    assert (given / "model.safetensors").read_bytes() == before
    assert not (given / "run.json").exists()


def test_the_seed_decides_the_weights(config, tmp_path):
    """On a CPU the same seed gives the same weights bit by bit, another seed others."""
    weights = [
        (train(config(seed=seed, output=str(tmp_path / name))).path / "model.safetensors").read_bytes()
        for seed, name in [(0, "a"), (0, "b"), (1, "c")]
    ]
    assert weights[0] == weights[1] != weights[2]


def test_held_out_problems_are_evaluated_before_and_after(config):
    """Held-out rows show what training did beyond its own rows."""
    training = train(config(eval_fraction=0.3)).training
    assert training.rows.held_out > 0
    assert training.eval_after["loss"] < training.eval_before["loss"]
    assert training.eval_before["rewards/margins"] == 0


def test_a_diverged_training_leaves_no_record(config):
    """A loss that is no number stops the training and never looks like a finished one."""
    with pytest.raises(UserError, match="diverged") as error:
        train(config("sft", learning_rate=1e38, max_grad_norm=0.0, max_steps=6))
    assert "learning_rate" in error.value.remedy
    assert load_training(config().output) is None


def test_another_reference_model_decides_the_weights(config, tiny_model, tmp_path):
    """With `reference` the model is held to that model, not to its own beginning."""
    own = train(config(output=str(tmp_path / "own")))
    other = train(config("sft", output=str(tmp_path / "other"), max_steps=8))
    held = train(config(reference=str(other.path), output=str(tmp_path / "held")))
    assert held.training.last["rewards/margins"] != own.training.last["rewards/margins"]
    assert "reference" in held.training.identity


def test_a_half_precision_checkpoint_stays_one(config, tiny_model, tmp_path):
    """Weights are updated in fp32 and written in the format that the model came in."""
    from safetensors import safe_open
    from transformers import AutoModelForCausalLM

    half = tmp_path / "half"
    shutil.copytree(tiny_model, half)
    AutoModelForCausalLM.from_pretrained(tiny_model, dtype="bfloat16").save_pretrained(half)
    path = train(config(model=str(half))).path
    with safe_open(path / "model.safetensors", "pt") as tensors:
        kinds = {str(tensors.get_tensor(name).dtype) for name in tensors.keys()}  # noqa: SIM118 - no mapping
    assert kinds == {"torch.bfloat16"}
    assert msgspec.json.decode((path / "config.json").read_bytes())["dtype"] == "bfloat16"


def test_logs_reach_tensorboard(config):
    """`report_to` passes the log on; files lie beside the checkpoint."""
    pytest.importorskip("tensorboard")
    path = train(config(report_to="tensorboard", max_steps=1)).path
    assert list((path / "logs").glob("events*"))
