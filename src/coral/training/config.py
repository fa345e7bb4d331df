"""The options of `coral train`: the same names on the command line, in YAML and in Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from coral.config import ANY, BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Options, deciding, option
from coral.errors import ConfigError
from coral.training.published import Published, published

Kind = Literal["sft", "dpo", "kto"]
Backend = Literal["trl", "fairseq2"]
REPORTERS = ("tensorboard", "wandb", "trackio")


@dataclass(frozen=True, kw_only=True)
class TrainerConfig(Options):
    """The options that all trainings share."""

    model: str = option("", decides=False)
    """Model to start from: a checkpoint folder, or a name on the hub."""
    output: str = option("", decides=False)
    """Folder of the trained checkpoint. The same command again resumes where it stopped."""

    max_steps: int | None = option(None, decides=True, within=COUNT)
    """Optimizer steps; by default what `epochs` gives, with a preset the published number."""
    batch_size: int = option(32, decides=True, within=COUNT)
    """Rows of one optimizer step, over all devices. Gradients are accumulated as the devices require."""
    device_batch_size: int = option(4, decides=False, within=COUNT)
    """Rows that one device holds at once."""
    learning_rate: float | None = option(None, decides=True, within=NOT_NEGATIVE)
    """Highest learning rate; by default 1e-6 for dpo and kto, 2.5e-6 for sft."""
    schedule: Literal["cosine", "linear", "constant"] = option("cosine", decides=True)
    """What the learning rate does after the warm-up."""
    final_lr_ratio: float = option(0.1, decides=True, within=SHARE)
    """The learning rate at the end as a share of the highest (cosine); linear goes to 0."""
    warmup_steps: int | None = option(None, decides=True, within=NOT_NEGATIVE)
    """Steps of rising learning rate; by default 50, and at most a tenth of the steps; with a preset the
    published number, in a shorter training its share."""
    weight_decay: float = option(0.1, decides=True, within=NOT_NEGATIVE)
    """AdamW's weight decay."""
    adam_beta1: float = option(0.9, decides=True, within=BELOW_ONE)
    """AdamW's decay of the first moment."""
    adam_beta2: float = option(0.95, decides=True, within=BELOW_ONE)
    """AdamW's decay of the second moment."""
    adam_epsilon: float = option(1e-8, decides=True, within=POSITIVE)
    """AdamW's epsilon."""
    max_grad_norm: float = option(1.0, decides=True, within=NOT_NEGATIVE)
    """Gradients are scaled down to this norm; 0 leaves them as they are, as the published training did."""

    lora: bool = option(False, decides=True)
    """Train a low-rank adapter and merge it into the checkpoint at the end. The adapter is kept, too."""
    lora_rank: int = option(16, decides=True, within=COUNT)
    """Rank of the adapter."""
    lora_alpha: int = option(32, decides=True, within=COUNT)
    """Scale of the adapter: its update is multiplied by alpha / rank."""
    lora_dropout: float = option(0.0, decides=True, within=BELOW_ONE)
    """Dropout before the adapter."""
    lora_targets: str = option("all-linear", decides=True, names=True)
    """Layers with an adapter: all-linear, or a list of names."""

    chat_template: str | None = option(None, decides=True)
    """File with a chat template (Jinja) instead of the model's own; it is saved with the checkpoint."""
    show_rows: int = option(1, decides=False, within=NOT_NEGATIVE)
    """Rows to show before the first step, with the trained tokens marked."""

    precision: Literal["auto", "bf16", "fp32"] = option("auto", decides=True)
    """auto: bf16 arithmetic where the device has it, fp32 elsewhere. Weights are updated in fp32."""
    gradient_checkpointing: bool | None = option(None, decides=False)
    """Compute activations twice to save memory; by default on a GPU and not on a CPU."""
    attention: str | None = option(None, decides=False)
    """Attention implementation, such as sdpa or flash_attention_2; by default the library's choice."""
    device: Literal["auto", "cpu"] = option("auto", decides=True)
    """cpu: do not use a GPU."""
    threads: int | None = option(None, decides=False, within=COUNT)
    """Threads of a CPU training; by default one a core. A model of a million weights is fastest with 1."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides the order of the rows, the held-out problems and the adapter's first weights."""

    save_steps: int | None = option(None, decides=False, within=COUNT)
    """Optimizer steps between two checkpoints to resume from; by default 200, and always at the end."""
    keep_checkpoints: int = option(0, decides=False, within=NOT_NEGATIVE)
    """Checkpoints (with optimizer state) that stay when the training is done."""
    logging_steps: int = option(5, decides=False, within=COUNT)
    """Optimizer steps between two log lines."""
    report_to: str = option("none", decides=False, names=True)
    """Where the log goes besides `history.jsonl`: none, or several of tensorboard, wandb, trackio."""
    run_name: str | None = option(None, decides=False)
    """Name of the run there; by default the output folder's."""
    dry_run: bool = option(False, decides=False)
    """Check the rows and say what would be done. fairseq2: write its config and launch script."""

    def __post_init__(self) -> None:
        """Refuse values that no training could use.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if not self.lora:
            _refuse_idle(
                self, TrainerConfig, _OF_ADAPTERS, "is given, and no adapter is trained", "add --lora"
            )
        for reporter in self.reporters:
            if reporter not in REPORTERS:
                raise ConfigError(
                    f"cannot report to '{reporter}'", remedy=f"give none, or of {', '.join(REPORTERS)}"
                )

    @property
    def reporters(self) -> tuple[str, ...]:
        """Where the log goes besides the folder."""
        names = tuple(name.strip() for name in self.report_to.split(",") if name.strip())
        return () if names == ("none",) else names


@dataclass(frozen=True, kw_only=True)
class TrainConfig(TrainerConfig):
    """All options of a training. What is null by default takes the published value."""

    kind: Kind = option("dpo", decides=True)
    """sft: learn completions. dpo: prefer the chosen to the rejected. kto: wanted and unwanted ones apart."""
    rows: str = option("", decides=False)
    """Training rows: a folder that `coral build` wrote, or one .jsonl or .parquet file."""
    backend: Backend = option("trl", decides=True)
    """trl: train. fairseq2: write the config and the launch script of its recipe (with --dry_run)."""
    preset: Literal["8b", "70b"] | None = option(None, decides=True)
    """Published values for a model of that size, where an option below is null."""

    eval_rows: str | None = option(None, decides=False)
    """Held-out rows to evaluate on, a folder or file like `rows`."""
    eval_fraction: float = option(0.0, decides=True, within=BELOW_ONE)
    """Share of the problems whose rows are held out of `rows` and evaluated on. By problem, never by row."""
    eval_steps: int | None = option(None, decides=False, within=COUNT)
    """Optimizer steps between two evaluations; by default that of `save_steps`."""

    epochs: float = option(1.0, decides=True, within=NOT_NEGATIVE)
    """Passes over the rows; `max_steps` wins."""
    beta: float = option(0.1, decides=True, within=NOT_NEGATIVE)
    """dpo, kto: how strongly the model is held to the reference."""
    loss: str | None = option(None, decides=True)
    """Name of one of TRL's losses for dpo or kto; by default sigmoid for dpo, kto for kto."""
    sft_weight: float = option(0.0, decides=True, within=NOT_NEGATIVE)
    """dpo: weight of the likelihood of the chosen reply beside the preference."""
    desirable_weight: float = option(1.0, decides=True, within=NOT_NEGATIVE)
    """kto: weight of the wanted rows; raise it where they are fewer."""
    undesirable_weight: float = option(1.0, decides=True, within=NOT_NEGATIVE)
    """kto: weight of the unwanted rows."""
    reference: str | None = option(None, decides=False)
    """dpo, kto: the reference model; by default the model as it is before training."""

    max_row_tokens: int | None = option(None, decides=True, within=COUNT)
    """Longest row in tokens, prompt and reply together; by default the model's context."""
    drop_long: bool = option(False, decides=True)
    """Leave out rows that are too long. Without it they stop the training; no row is ever cut."""

    def __post_init__(self) -> None:
        """Refuse what one field alone can tell.

        Raises:
            ConfigError: names the option and what it may be.
        """
        for name, needed in (("model", "a checkpoint folder"), ("rows", "a folder"), ("output", "a folder")):
            if not getattr(self, name) and not (name == "model" and self.backend == "fairseq2"):
                raise ConfigError(f"no {name} given", remedy=f"name {needed} with --{name}")
        self._check_idle()
        super().__post_init__()
        self._check_together()

    def _check_together(self) -> None:
        """Refuse options that contradict each other."""
        if self.eval_rows and self.eval_fraction:
            raise ConfigError("eval_rows and eval_fraction are both given", remedy="give one of them")
        if self.backend == "fairseq2" and self.kind == "kto":
            raise ConfigError("fairseq2 has no kto recipe", remedy="train with --backend trl")
        if self.backend == "fairseq2" and not self.dry_run:
            raise ConfigError(
                "Coral writes fairseq2's config and launch script; it does not run them",
                remedy="add --dry_run, then run the script where fairseq2 is installed",
            )
        if self.kind == "kto" and self.device_batch_size == 1:
            raise ConfigError("kto compares rows within a device's batch", remedy="--device_batch_size 2")

    def _check_idle(self) -> None:
        """Refuse options that say nothing about what is trained."""
        dpo, kto = "leave it out, or train dpo", "leave it out, or train kto"
        groups = (
            (self.kind == "sft", _OF_PREFERENCES, "says nothing about sft", dpo),
            (self.kind != "kto", _OF_KTO, f"says nothing about {self.kind}", kto),
        )
        for is_idle, names, why, remedy in groups:
            if is_idle:
                _refuse_idle(self, TrainConfig, names, why, remedy)

    @property
    def published(self) -> Published:
        """The published values that stand in for options that are null."""
        return published("dpo" if self.kind == "kto" else self.kind, self.preset)


_OF_PREFERENCES = ("beta", "loss", "sft_weight", "reference")
_OF_KTO = ("desirable_weight", "undesirable_weight")
_OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets")


def _refuse_idle(
    config: TrainerConfig, kind: type[TrainerConfig], names: tuple[str, ...], why: str, remedy: str
) -> None:
    given = [name for name in names if getattr(config, name) != getattr(kind, name)]
    if given:
        raise ConfigError(f"{given[0]} {why}", remedy=remedy)


def decisive(config: TrainConfig) -> dict[str, Any]:
    """The options that decide the trained weights, null ones left out. Models and rows count by content."""
    names = (*deciding(TrainConfig), *(["device_batch_size"] if _compares_in_batch(config) else []))
    values: dict[str, Any] = msgspec.to_builtins(config)
    return {name: values[name] for name in names if values[name] is not None}


def _compares_in_batch(config: TrainConfig) -> bool:
    """Whether the loss of a row depends on those beside it on a device: kto compares with them, the
    likelihood beside dpo is a mean over their tokens, and another loss may do either.
    """
    return config.kind == "kto" or bool(config.sft_weight) or config.loss is not None
