"""The options of `coral improve`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from coral.cluster.config import PoolConfig
from coral.config import ANY, BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Bounds, Options, option
from coral.errors import ConfigError
from coral.evaluation.config import AgentConfig, EvalConfig, SampleConfig
from coral.options import section
from coral.rl.config import GrpoConfig
from coral.rows.build import BuildConfig
from coral.serving.launch import LaunchConfig
from coral.trackers.report import reporters, require
from coral.training.config import TrainConfig

ARMS = (
    "pair-dpo", "alone-dpo", "pair-sft", "alone-sft", "pair-kto", "alone-kto", "pair-grpo", "alone-grpo",
)  # fmt: skip
"""What can be trained: on conversations of the pair or on answers of the model alone, and how."""
GRPO = "grpo"
"""The kind of arms that hold their conversations while they train."""


@dataclass(frozen=True, kw_only=True)
class ServeConfig(LaunchConfig):
    """Who runs the checkpoints."""

    kind: Literal["embedded", "endpoint", "command", "cluster"] | None = option(None, decides=True)
    """embedded: this process. endpoint: a server that is running. command: a server that the loop starts
    before a step that needs one. cluster: a pool of replicas, likewise. What the next step needs, too, goes
    on; before a training all end. By default command or cluster where one is given, else embedded."""
    command: str | tuple[str, ...] = option((), decides=False)
    """What starts a server, as one text or a list of words; no shell reads it. {checkpoint}, {name}, {model}
    and {python} are filled in, and {port}: a free one."""
    pool: dict[str, Any] = option(decides=False, default_factory=dict, **section(lambda: PoolConfig))
    """cluster: the options of a pool, as in the file of `coral cluster up`, but for its folder and model.
    {checkpoint}, {name} and {model} are filled in in its server and setup."""
    model: str = option("{name}", decides=False)
    """Name under which the server knows a checkpoint."""
    prepare: tuple[str, ...] = option((), decides=False)
    """endpoint: a command that makes the server load {checkpoint} as {name}, run to its end before use."""
    log: str | None = option(None, decides=False)
    """File for what servers write; by default OUT/loop/server-NAME.log for each checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what cannot serve.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if self.kind is None:
            kind = "command" if self.command else ("cluster" if self.pool else "embedded")
            object.__setattr__(self, "kind", kind)
        if self.kind == "command" and not self.command:
            raise ConfigError("serve.kind is command, and there is none", remedy="give serve.command")
        if self.kind != "command" and self.command:
            raise ConfigError(
                f"serve.kind is {self.kind}, which starts no command", remedy="leave out one of the two"
            )
        if (self.kind == "cluster") != bool(self.pool):
            raise ConfigError(
                f"serve.kind is {self.kind}, and there is {'a' if self.pool else 'no'} pool",
                remedy="give both serve.kind cluster and serve.pool, or none of them",
            )
        if self.kind == "endpoint" and "{port}" in self.base_url:
            raise ConfigError("serve.kind is endpoint, and there is no address", remedy="give serve.base_url")


@dataclass(frozen=True, kw_only=True)
class GateConfig(Options):
    """When a new checkpoint is taken over. Tests are paired by problem, against the model it came from."""

    target: Literal["better", "not_worse", "higher"] = option("better", decides=True)
    """On the target. better: the whole 95% interval of the difference is above 0. not_worse: it is above
    -tolerance (non-inferiority). higher: the difference is, by however little: what chance alone may do."""
    second: Literal["not_worse", "report"] = option("not_worse", decides=True)
    """On the second task. not_worse: the whole interval is above -tolerance; report: it is only reported."""
    tolerance: float = option(0.05, decides=True, within=BELOW_ONE)
    """Loss that not_worse accepts, as a share: 0.05 is five points. Too few problems cannot show that a loss
    is smaller: --dry_run says what so many problems can show."""
    collapse: Literal["warn", "refuse"] = option("warn", decides=True)
    """What a sign of collapse means: a line in the report, or that the checkpoint is not taken over."""


@dataclass(frozen=True, kw_only=True)
class CollapseConfig(Options):
    """Signs of collapse. Each compares a checkpoint with the starting model; null switches it off."""

    instant_agreement: float | None = option(0.97, decides=True, within=SHARE)
    """More than this share of conversations end with the second turn, and more than at the start."""
    copied_turns: float | None = option(0.5, decides=True, within=SHARE)
    """More than this share of turns repeat the partner's words, and more than at the start."""
    length_ratio: float | None = option(0.5, decides=True, within=NOT_NEGATIVE)
    """Turns are shorter than this share of their length at the start."""
    disagreement_ratio: float | None = option(0.1, decides=True, within=NOT_NEGATIVE)
    """Conversations with differing answers are rarer than this share of what they were at the start."""


@dataclass(frozen=True, kw_only=True)
class MainBuild(BuildConfig):
    """What the loop's `build` may hold: its `kind` names the main arm, and that may build no rows."""

    kind: Literal["sft", "dpo", "kto", "grpo"] = option("dpo", decides=True)  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class OfKind(Options):
    """The sections that arms of one kind have for themselves."""

    build: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: BuildConfig))
    """Options of `coral build`."""
    train: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: TrainConfig))
    """Options of `coral train`."""


@dataclass(frozen=True, kw_only=True)
class ImproveConfig(Options):
    """All options of the loop."""

    output: str = option("runs/improve", decides=False)
    """Folder of everything. The same command again resumes where it stopped."""
    model: str = option("", decides=True)
    """The model to start from: a checkpoint folder, or with serve.kind command a name on the hub. By default
    the model that comes with the package."""
    iterations: int = option(1, decides=False, within=COUNT)
    """How often the loop goes round. May grow later."""
    controls: tuple[str, ...] = option((), decides=False, names=True)
    """Trained beside the main arm for comparison: alone-dpo, pair-sft, alone-sft ... Those alone get as many
    candidates and at most as many rows as the pair's. May grow later."""
    seed: int = option(0, decides=True, within=ANY)
    """Seed of every step that has no other: sampling, rows, training, problems of the iterations."""

    common: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: SampleConfig))
    """Options of `coral eval` and `coral sample` alike: task, data, agent, max_turns ..."""
    evaluate: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: EvalConfig))
    """Further options of `coral eval` for the target: split, limit ..."""
    second: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: EvalConfig))
    """Options that make the second task of `evaluate`'s, tested for regressions. Empty: none."""
    final: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: EvalConfig))
    """Options that make problems of `evaluate`'s which no gate sees: another split, or other `problems`. The
    start, and the best and the last model of each arm are evaluated on them; the report begins with that.
    Empty: none."""
    sample: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: SampleConfig))
    """Further options of `coral sample`."""
    rehearsal: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: SampleConfig))
    """Options that make further conversations of `sample`'s, on what the model should not forget: another
    task, fewer problems. They are sampled in each iteration, and rows are made of both. Empty: none."""
    build: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: MainBuild))
    """Options of `coral build`; `kind` makes the main arm pair-dpo (default), pair-sft, pair-kto or
    pair-grpo."""
    train: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: TrainConfig))
    """Options of `coral train`."""
    dpo: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: OfKind))
    """Options for arms that train dpo alone: {build: {...}, train: {...}}. Likewise sft and kto."""
    sft: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: OfKind))
    """The same for sft."""
    kto: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: OfKind))
    """The same for kto."""
    grpo: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: GrpoConfig))
    """Options of `coral train grpo` for arms that learn from conversations held meanwhile: max_steps, reward,
    learning_rate, rollout ... They neither sample nor build rows."""

    split: Literal["all", "even", "random"] = option("all", decides=True)
    """Training problems of an iteration: all, its own part of them, or a draw of `share`."""
    share: float = option(0.5, decides=True, within=Bounds(above=0, most=1))
    """Share of the problems that `split: random` draws for an iteration."""
    stack: bool = option(False, decides=True)
    """Train on the conversations of earlier iterations, too."""
    reference: Literal["updated", "fixed"] = option("updated", decides=True)
    """Reference of dpo and kto: the model that an iteration starts from, or always the first."""
    start_from: Literal["last", "first"] = option("last", decides=True)
    """What an iteration trains: the model that it sampled from, or again the first."""
    lr_multiplier: float = option(1.0, decides=True, within=POSITIVE)
    """Factor of the learning rate from one iteration to the next; needs train.learning_rate."""
    seat: Literal["both", "one"] = option("both", decides=True)
    """both: the model talks to itself. one: it talks to `partner`, and only its own turns are trained."""
    partner: dict[str, Any] = option(decides=True, default_factory=dict, **section(lambda: AgentConfig))
    """seat one: options of the frozen partner, as in `coral eval --partner.*`; by default the start."""

    gate: GateConfig = option(decides=True, default_factory=GateConfig)
    """When a new checkpoint is taken over."""
    signs: CollapseConfig = option(decides=True, default_factory=CollapseConfig)
    """Signs of collapse."""
    serve: ServeConfig = option(
        decides=True, default_factory=ServeConfig, **section(lambda: ServeConfig, short="command")
    )
    """Who runs the checkpoints."""
    report_to: str = option("none", decides=False, names=True)
    """Trackers that are told of every evaluation, and of all models at the end: none, or several of wandb,
    trackio, mlflow, tensorboard. `train.report_to` is that of the trainings."""
    launch: tuple[str, ...] = option((), decides=False)
    """What starts a training instead of this Python: {config} is its file of options, such as
    [accelerate, launch, --config_file, fsdp.yaml, -m, coral, train, --config, "{config}"]."""
    dry_run: bool = option(False, decides=False)
    """Check every option, and print every stage with its full options. Nothing is run or written."""

    def __post_init__(self) -> None:
        """Refuse what one field alone can tell, and what contradicts.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        require(reporters(self.report_to))
        if self.lr_multiplier != 1 and self.iterations > 1 and not _says_learning_rate(self):
            raise ConfigError("lr_multiplier needs a learning rate", remedy="give train.learning_rate")
        if self.seat == "both" and self.partner:
            raise ConfigError(
                "partner is given, and seat is both: the model talks to itself", remedy="give seat one"
            )
        for name in (self.main_arm, *self.controls):
            if name not in ARMS:
                raise ConfigError(f"no arm '{name}'", remedy=f"controls are of {', '.join(ARMS)}")

    @property
    def main_arm(self) -> str:
        """The arm that the loop is about."""
        return f"pair-{self.build.get('kind') or self.train.get('kind') or 'dpo'}"

    @property
    def arms(self) -> tuple[str, ...]:
        """All arms. Those of the pair come first: they set the budget of those alone."""
        names = dict.fromkeys((self.main_arm, *self.controls))
        return tuple(sorted(names, key=lambda name: name.startswith("alone")))


def _says_learning_rate(config: ImproveConfig) -> bool:
    kinds = {arm.partition("-")[2] for arm in config.arms}
    return all(
        "learning_rate"
        in (config.grpo if kind == GRPO else {**config.train, **getattr(config, kind).get("train", {})})
        for kind in kinds
    )
