"""The shipped training configs, and the command's output in this process."""

from pathlib import Path

import pytest
import yaml

from coral.cli import main
from coral.cli.options import parse
from coral.errors import ConfigError
from coral.options import build_config
from coral.training.config import TrainConfig

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["dpo", "sft"])
def test_published_training_configs_hold_published_values(name):
    """The 8B recipe reads as options, and its open values are the published ones."""
    config = parse(
        TrainConfig,
        ["--config", str(RECIPES / f"llama8b_mmlu_pro/{name}.yaml")],
        command="coral train",
        about="",
    )
    assert (config.kind, config.preset, config.max_row_tokens) == (name, "8b", 8192)
    assert config.published.learning_rate == {"dpo": 1e-6, "sft": 1e-7}[name]


@pytest.mark.parametrize(
    ("name", "processes"), [("one_gpu", 1), ("one_node_fsdp", 8), ("several_nodes_fsdp", 32)]
)
def test_launch_configs_have_keys_that_the_launcher_knows(name, processes):
    """`accelerate launch` refuses unknown keys; FSDP options are flags of it."""
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    from accelerate.commands.launch import launch_command_parser

    path = RECIPES / f"training/{name}.yaml"
    assert config_args.load_config_from_file(str(path)).num_processes == processes
    known = {action.dest for action in launch_command_parser()._actions}
    options = yaml.safe_load(path.read_text()).get("fsdp_config", {})
    assert set(options) <= known
    assert ("fsdp_config" in yaml.safe_load(path.read_text())) == (name != "one_gpu")


def test_a_dry_run_shows_a_row_with_its_trained_tokens_and_writes_nothing(
    tiny_model, row_folders, tmp_path, capsys
):
    """Without colours the trained tokens of both replies stand in brackets."""
    pytest.importorskip("trl")
    flags = ["--model", str(tiny_model), "--rows", str(row_folders["dpo"]), "--output", str(tmp_path / "out")]
    assert main(["train", "dpo", *flags, "--dry_run"]) == 0
    printed = capsys.readouterr().out
    assert "<|assistant|>[[the answer is A <|end|>]]" in printed
    assert "<|assistant|>[[I think the answer is B <|end|>]]" in printed
    assert "24 rows" in printed
    assert "0 too long" in printed
    assert not (tmp_path / "out").exists()


def test_long_rows_end_the_command_with_a_remedy(tiny_model, row_folders, tmp_path, capsys):
    """A user error has exit code 2, names the count, and leaves no folder that looks like a training."""
    pytest.importorskip("trl")
    flags = ["--model", str(tiny_model), "--rows", str(row_folders["sft"]), "--output", str(tmp_path / "out")]
    assert main(["train", "sft", *flags, "--max_row_tokens", "5"]) == 2
    complaint = capsys.readouterr().err
    assert "24 of 24 rows are longer than 5 tokens" in complaint
    assert "--drop_long" in complaint
    assert main(["train", "sft", *flags, "--max_row_tokens", "65"]) == 2
    assert "the model's context has 64" in capsys.readouterr().err
    assert not (tmp_path / "out" / "train.json").exists()


def test_fairseq2_is_written_and_not_run(tmp_path, capsys):
    """The command names both files, and says that nothing was run."""
    flags = ["--rows", "rows", "--output", str(tmp_path), "--backend", "fairseq2", "--preset", "70b"]
    assert main(["train", "dpo", *flags]) == 2
    capsys.readouterr()
    assert main(["train", "dpo", *flags, "--dry_run"]) == 0
    assert "nothing was run" in capsys.readouterr().out.replace("\n", " ")
    assert {path.name for path in tmp_path.iterdir()} == {"fairseq2.yaml", "launch.sh"}


@pytest.mark.parametrize(
    ("options", "message"),
    [({"learning_rat": 1}, "no option learning_rat"), ({"epochs": "many"}, "epochs must be a number")],
)
def test_python_options_are_checked_like_flags(options, message):
    """One spelling everywhere: an unknown or mistyped option says what was meant."""
    with pytest.raises(ConfigError, match=message) as error:
        build_config(TrainConfig, {"model": "m", "rows": "r", "output": "o", **options}, "")
    assert error.value.remedy


def test_python_options_may_be_strings():
    """Values from YAML or a command line are read by their type."""
    options = {"model": "m", "rows": "r", "output": "o", "epochs": "2", "lora": "true"}
    assert build_config(TrainConfig, options, "").lora
