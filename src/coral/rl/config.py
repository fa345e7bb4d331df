"""The options of `coral train grpo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from coral.config import NOT_NEGATIVE, Bounds, deciding, option
from coral.errors import ConfigError
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.options import build_config, section
from coral.rl.rewards import reward_named
from coral.training.config import TrainerConfig

LEARNING_RATE = 1e-6
"""TRL's default for GRPO."""

IDLE = (
    "samples", "probe", "serve", "metrics", "prices", "output", "lock", "shard", "processes", "retry_failed",
    "max_failed_rate", "max_tokens_total", "max_cost", "max_hours", "dry_run",
)  # fmt: skip
"""Options of `coral eval` that say nothing about conversations held for training."""


@dataclass(frozen=True, kw_only=True)
class GrpoConfig(TrainerConfig):
    """All options of online reinforcement learning on conversations."""

    rollout: dict[str, Any] = option(
        decides=True, default_factory=dict, **section(lambda: EvalConfig, short="task")
    )
    """How conversations are held: options of `coral eval`, such as task, split, max_turns, agent.max_tokens.
    `agent` is the model that is trained, and so is `partner`, unless partner.model names another one: a
    checkpoint that stays as it is, or any endpoint."""
    reward: str = option("agreed_right", decides=True)
    """agreed_right: both came to the right answer. own_right: the seat's own last answer is right.
    belief_gain: its last answer minus its first. majority: the answer of most conversations of the group, no
    gold answer needed. Or module:function of (conversation, seat)."""
    seats: Literal["one", "both"] = option("one", decides=True)
    """Which of the policy's seats a conversation trains: one (in turn from group to group), or both."""
    group_size: int = option(8, decides=True, within=Bounds(least=2))
    """Conversations about one problem whose rewards are compared, seat by seat."""
    beta: float = option(0.0, decides=True, within=NOT_NEGATIVE)
    """Weight of the divergence from the model as it is before training."""
    loss: Literal["grpo", "dapo", "dr_grpo", "bnpo"] = option("dapo", decides=True)
    """How the losses of tokens are averaged; names are TRL's."""
    scale_rewards: Literal["group", "batch", "none"] = option("group", decides=True)
    """Divide advantages by the standard deviation of the group's rewards, the batch's, or not at all."""
    generate: Literal["auto", "engine", "transformers"] = option("auto", decides=True)
    """Who samples the policy: the embedded engine (CPU, Llama architecture) or transformers (any model and
    device); auto takes the engine where it can."""
    keep_rollouts: bool = option(False, decides=False)
    """Keep the conversations of all steps; else those since the last checkpoint."""

    def __post_init__(self) -> None:
        """Refuse what one field alone can tell.

        Raises:
            ConfigError: names the option and what it may be.
        """
        for name in ("model", "output"):
            if not getattr(self, name):
                raise ConfigError(f"no {name} given", remedy=f"name a folder with --{name}")
        super().__post_init__()
        if self.max_steps is None:
            raise ConfigError("no max_steps given", remedy="say how long to train: --max_steps 100")
        if idle := [name for name in IDLE if name in self.rollout]:
            raise ConfigError(
                f"rollout.{idle[0]} says nothing about conversations held for training",
                remedy="leave it out; group_size and max_steps say how many are held",
            )
        reward_named(self.reward)
        self._check_agent(self.eval_config())
        if self.batch_size % (self.group_size * self.seats_per_group):
            raise ConfigError(
                f"batch_size {self.batch_size} is not a whole number of groups of {self.group_size}"
                + (", each for both seats" if self.seats_per_group > 1 else ""),
                remedy=f"give a multiple of {self.group_size * self.seats_per_group}",
            )

    def _check_agent(self, config: EvalConfig) -> None:
        agent = config.agent
        if "model" in self.rollout.get("agent", {}):
            raise ConfigError(
                "rollout.agent.model is the model that is trained", remedy="name it with --model"
            )
        if not agent.temperature:
            raise ConfigError(
                f"rollout.agent.temperature is {agent.temperature}", remedy="give one above 0: it explores"
            )
        if agent.base_url or agent.replicas:
            raise ConfigError(
                "rollout.agent names a server, and the model that is trained changes from step to step",
                remedy="leave it out; a partner may have one",
            )
        everybody = list(config.participants().items())
        for index, (name, options) in enumerate(everybody if self.partner_is_policy else everybody[:1]):
            self._check_trained(
                f"rollout.agents[{index}]" if config.agents else f"rollout.{name}", options, agent
            )

    def _check_trained(self, name: str, options: AgentConfig, agent: AgentConfig) -> None:
        """The loss takes all that it trains for drawn at one temperature, from the whole distribution."""
        if options.model != self.model:
            raise ConfigError(
                f"{name}.model is {options.model}, and the first agent is the model that is trained",
                remedy="name the partner behind it",
            )
        cuts = [cut for cut in ("top_p",) if options.top_p not in (None, 1.0)]
        cuts += sorted(options.extra_body.keys() - {"chat_template_kwargs"})
        if cuts:
            raise ConfigError(
                f"{name} changes the distribution ({', '.join(cuts)}), and the loss knows of no such change",
                remedy="leave it out",
            )
        if options.temperature != agent.temperature:
            raise ConfigError(
                f"{name}.temperature is {options.temperature}, and rollout.agent.temperature is "
                f"{agent.temperature}: both are the model that is trained, and the loss knows one of them",
                remedy=f"leave {name}.temperature out",
            )

    def eval_config(self, model: str | None = None) -> EvalConfig:
        """The conversations' options, with the policy's model; its token ids are kept.

        Args:
            model: where the policy lies; by default the model that training starts from.
        """
        agent = {"temperature": 1.0, **self.rollout.get("agent", {})}
        agent |= {"model": model or self.model, "return_token_ids": True}
        options = {"seed": self.seed, **self.rollout, "agent": agent}
        return build_config(EvalConfig, options, "rollout")

    @property
    def partner_is_policy(self) -> bool:
        """Whether the model that is trained holds the partner's seat, too."""
        return not {"model", "base_url", "replicas", "control"} & self.rollout.get(
            "partner", {}
        ).keys() and not (self.rollout.get("agents"))

    @property
    def seats_per_group(self) -> int:
        """Seats that each conversation trains."""
        return 2 if self.seats == "both" and self.has_two_seats else 1

    @property
    def has_two_seats(self) -> bool:
        """Whether the policy talks to itself."""
        return self.partner_is_policy and len(self.eval_config().participants()) == 2


def stored(config: GrpoConfig) -> dict[str, Any]:
    """All options as files keep them: without secrets."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    values["rollout"] = {name: value for name, value in config.rollout.items() if name != "data_password"}
    return values


def decisive(config: GrpoConfig) -> dict[str, Any]:
    """The options that decide the trained weights; the conversations' by what decides a run."""
    values: dict[str, Any] = msgspec.to_builtins(config)
    own = {name: values[name] for name in deciding(GrpoConfig) if values[name] is not None}
    held: dict[str, Any] = msgspec.to_builtins(config.eval_config())
    return {**own, "rollout": {name: held[name] for name in deciding(EvalConfig)}}
