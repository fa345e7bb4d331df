"""The options of `coral eval` and `coral sample`: the same on the command line, in YAML and in Python."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import msgspec

from coral.agents.open import is_own, is_python
from coral.config import ANY, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Options, option
from coral.conversation import protocols
from coral.conversation.controls import PREFIX as CONTROL
from coral.conversation.controls import Control, Words
from coral.conversation.examples import ShownAs
from coral.conversation.extraction import Mode
from coral.conversation.judging import JudgeConfig
from coral.conversation.own_prompts import TemplatesConfig
from coral.conversation.own_reader import names_reader
from coral.conversation.protocols import PAIR
from coral.conversation.selection import ONE_CANDIDATE, Draw, Selection
from coral.conversation.sight import Shown
from coral.errors import ConfigError
from coral.evaluation.people import check_people
from coral.models import embedded
from coral.models.config import HUMAN, PLACES, ModelConfig
from coral.models.providers import provider_named
from coral.options import Section, build_config, listed, of_another_type, section, typed_options
from coral.serving.launch import LaunchConfig, check_agent
from coral.store.shards import check_division
from coral.tasks import registry
from coral.trackers.report import reporters, require

OF_PROTOCOL = Section(
    lambda options: {"name": str, **protocols.option_types(str(options.get("name", "")))}, short="name"
)
"""A protocol's name and its own options."""


def _task_types(options: Mapping[str, Any]) -> dict[str, Any]:
    """The types of a task's options; a judge, where the task takes one, has those of a model."""
    found = registry.option_types(str(options.get("name", "")))
    types = {name: listed(kind) for name, kind in found.items()}
    judge = {"judge": section(lambda: JudgeConfig, short="model")["section"]} if "judge" in types else {}
    return {"name": str, **types, **judge}


OF_TASK = Section(_task_types, short="name")
"""A task's name and its own options."""


@dataclass(frozen=True, kw_only=True)
class AgentConfig(ModelConfig):
    """A model that takes a seat."""

    prompt: str | None = option(None, decides=True)
    """Name of the system prompt: agent (that of a pair), cot (of one agent alone), same (one for both, to
    compare them), panel, or one of `prompt_library`; by default that of the protocol."""
    system_in_user: bool = option(False, decides=True)
    """Send the system prompt in the first user message, for chat templates without a system role."""
    examples: str | None = option(None, decides=True)
    """File of few-shot examples: lines of {question, answer} or {messages: [...]}."""
    examples_as: ShownAs = option("turns", decides=True)
    """turns: examples are shown as an earlier conversation. system: below the system prompt."""
    control: Control | None = option(None, decides=True)
    """No model decides what it says: a control partner. right: insists on the gold answer. wrong: on one
    wrong answer of the problem, always the same. echo: repeats the other's answer. unsure: has none. random:
    insists on one of these answers."""
    control_answers: str | None = option(None, decides=True)
    """Run folder of one agent alone: `wrong` insists on its most frequent wrong answer to each problem."""
    control_words: Words = option("own", decides=True)
    """own: a control partner's words, without a request. model: its `model` argues for its answer."""
    sees: Shown = option("everything", decides=True)
    """What it is shown of the others' turns: everything; the stance alone; the reasoning alone; vacuous or
    unrelated words of equal length above the stance; nothing but a request to answer again."""


@dataclass(frozen=True, kw_only=True)
class ExtractorConfig(ModelConfig):
    """How beliefs are extracted."""

    mode: Mode = option("hybrid", decides=True)
    """rules; model (every turn is shown to the model); hybrid (the model where the rules cannot tell)."""
    function: str | None = option(None, decides=True)
    """A function of your own in the place of the task's rules: `file.py:name` or `module:name`, called with
    a turn's text and its problem. `--extractor file.py:name` means it, too."""
    temperature: float | None = option(0.0, decides=True, within=NOT_NEGATIVE)
    """Sampling temperature; null leaves it to the server."""
    max_tokens: int | None = option(64, decides=True, within=COUNT)
    """Most tokens of one extraction; 1,024 unless set where answers are programs."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig(Options):
    """All options of an evaluation."""

    task: dict[str, Any] = option(decides=True, default_factory=dict, section=OF_TASK)
    """The task's name (`task.name`, or the first argument of the command) and its own options, such as
    `task.subset diamond`; `coral tasks NAME` lists them."""
    data: str | None = option(None, decides=True)
    """Data set: a file, a folder, or hf://datasets/OWNER/NAME. `coral tasks` says how to fetch it."""
    split: str | None = option(None, decides=True)
    """Split of the data; by default the task's first."""
    data_password: str | None = option(None, decides=False)
    """Password of an encrypted archive (GPQA). Never stored."""
    allow_unsafe_code: bool = option(False, decides=False)
    """Where no jail works (`coral doctor --jail`), run the programs that models write as your own. The same
    as `task.allow_unsafe_code`."""
    limit: int | None = option(None, decides=False, within=COUNT)
    """Number of problems, drawn with `seed`; by default all. May grow in a later session."""
    problems: str | None = option(None, decides=True)
    """File with the ids of the problems to take, one a line; by default all."""
    samples: int = option(1, decides=False, within=COUNT)
    """Conversations about each problem. May grow in a later session."""
    protocol: str | dict[str, Any] = option(PAIR, decides=True, section=OF_PROTOCOL)
    """coral (or pair): two agents talk until they agree. cot (or single): one agent answers alone, in one
    turn. self_refine: one agent answers, then reviews its own answer. panel: three or more agents talk until
    all agree."""
    max_turns: int = option(20, decides=True, within=COUNT)
    """Most turns of a conversation; the opening is not a turn."""
    majority: bool = option(False, decides=True)
    """panel: at the limit of turns, the answer of more than half of the agents is the outcome."""
    second_chance: bool = option(False, decides=True)
    """cot: ask once more where a reply submits no answer (unreadable, cut or unsure), as a pair takes another
    turn there. Its tokens are counted."""
    probe: bool = option(False, decides=True)
    """After each turn, ask its speaker off the record for its answer and a probability: whether it says what
    it thinks. Nobody is shown that. One request more per turn."""
    opener: Literal["agent", "partner"] = option("agent", decides=True)
    """Who states the problem; the other one speaks the first turn."""
    agent: AgentConfig = option(
        decides=True, default_factory=AgentConfig, **section(lambda: AgentConfig, short="model")
    )
    """The first agent."""
    partner: dict[str, Any] = option(
        decides=True, default_factory=dict, **section(lambda: AgentConfig, short="model")
    )
    """The second agent: the options of `agent`, and like the agent where not set."""
    agents: tuple[dict[str, Any], ...] = option((), decides=True)
    """All agents, as a list of the options of each, like `agent` where not set: `[{model: a}, {model: b}]`.
    By default a panel is three of `agent`."""
    extractor: dict[str, Any] = option(
        decides=True, default_factory=dict, **section(lambda: ExtractorConfig, short="model")
    )
    """Belief extraction: `mode` (rules, model, hybrid) and the options of a model; the agent's unless set.
    The default is hybrid, for embedded models rules."""
    serve: LaunchConfig = option(
        decides=False, default_factory=LaunchConfig, **section(lambda: LaunchConfig, short="command")
    )
    """The agent's server, started by a command and ended with the run."""
    max_connections: int = option(128, decides=False, within=COUNT)
    """Most requests in flight to each server. Starts lower and adapts to the server."""
    seed: int = option(0, decides=True, within=ANY)
    """Decides the seeds of requests, and which problems are generated, drawn by `limit`, or shuffled."""
    data_seed: int | None = option(None, decides=True, within=ANY)
    """Seed of what problems there are (generated ones, `limit`, shuffled choices) where it is not `seed`: for
    repeating a run on the same problems."""
    split_seed: int = option(0, decides=True, within=ANY)
    """Seed of the splits of data sets that publish none. `seed` does not move it, so that no test problem of
    one run is a training problem of another."""
    salt: str = option("", decides=True)
    """Mixed into the seeds of requests. Runs with one seed draw alike what they ask alike: given one prompt
    and sampling, a pair's first turn is word for word a single agent's. Another salt draws anew."""
    templates: TemplatesConfig = option(
        decides=True, default_factory=TemplatesConfig, **section(lambda: TemplatesConfig)
    )
    """Prompts of your own in place of ours, beside the system prompt: texts or @FILEs."""
    prompt_library: str | None = option(None, decides=True)
    """A published prompt library (JSON) whose prompts `agent.prompt` may name."""
    metrics: tuple[str, ...] = option((), decides=False, names=True)
    """Further metrics: functions of a trace, `module:function` each, or names that packages add."""
    prices: str | None = option(None, decides=False)
    """Prices (YAML) that are laid over the shipped ones; `coral prices` shows those."""
    cache: str | None = option(None, decides=False)
    """Folder of replies that outlive their run: what any run with this folder asked before, of the same model
    with the same seed, is not asked, and not paid for, again. By default none."""
    report_to: str = option("none", decides=False, names=True)
    """Trackers that are told of it besides: none, or several of wandb, trackio, mlflow, tensorboard."""
    output: str | None = option(None, decides=False)
    """Run folder; by default runs/<task>-<protocol>-<model>-<digest of the options>."""
    human_input: Literal["terminal", "stdin"] = option("terminal", decides=False)
    """Where the words of a person come from: a terminal alone, or standard input whatever it is."""
    lock: Literal["file", "none"] = option("file", decides=False)
    """How other processes are kept out of the run folder. none: not at all, for file systems without locks;
    then see to it that only one process works there."""
    shard: str | None = option(None, decides=False)
    """I/N: hold the I-th of N parts of the run (from 0 on) in a folder of its own below the run's, as one of
    several processes on any machines that see the folder. Whichever ends last measures the whole."""
    processes: int = option(1, decides=False, within=COUNT)
    """So many processes on this machine share the run as its shards, and `max_connections`."""
    retry_failed: bool = option(False, decides=False)
    """Run failed conversations of earlier sessions again."""
    max_failed_rate: float = option(0.05, decides=False, within=SHARE)
    """A run with a larger share of failed conversations exits with code 3. 1: it is never stopped because
    every request fails."""
    batch: bool = option(False, decides=False)
    """Ask models of OpenAI and Anthropic by their batch APIs, at half the price: a turn of all conversations
    is one batch, and takes up to 24 hours. So do requests to the extractor, and to a judge."""
    max_tokens_total: int | None = option(None, decides=False, within=COUNT)
    """Stop before the run has read and written more tokens than this, in all sessions together; the same
    command with a higher limit resumes it."""
    max_cost: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before the run has cost more USD than this, by the price table."""
    max_hours: float | None = option(None, decides=False, within=POSITIVE)
    """Stop before this session has lasted longer than this."""
    dry_run: bool = option(False, decides=False)
    """Only say what would be sent: problems, requests, tokens, and money where prices are known."""

    def __post_init__(self) -> None:
        """Check what one field alone can tell.

        Raises:
            ConfigError: names the option and what it may be.
        """
        _check_types(self)
        super().__post_init__()
        check_division(self.shard, self.processes)
        object.__setattr__(self, "protocol", protocols.normal(self.protocol))
        _check_protocol(self)
        check_agent(self.serve, self.agent)
        check_people(self)
        require(reporters(self.report_to))
        if not self.task.get("name"):
            raise ConfigError("no task given", remedy="name one, such as hi_tom; `coral tasks` lists them")
        self.judge_config()

    @property
    def draw(self) -> Draw:
        """How turns are drawn: one candidate each."""
        return ONE_CANDIDATE

    @property
    def most_people(self) -> int:
        """How many of the agents may be people: one terminal shows what one seat sees."""
        return 1

    @property
    def problem_seed(self) -> int:
        """Seed of what problems there are."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def protocol_name(self) -> str:
        """The protocol's name."""
        return protocols.name_of(self.protocol)

    def protocol_options(self) -> Any:
        """The protocol's own options, an object of its class `options`; None where it has none.

        Raises:
            ConfigError: one is unknown or of the wrong type.
        """
        own = self.protocol if isinstance(self.protocol, dict) else {}
        given = {name: value for name, value in own.items() if name != "name"}
        kind = protocols.options_of(self.protocol_name)
        if kind is not None:
            return build_config(
                kind, given, "protocol", remedy="docs/protocols.md says how options are given"
            )
        if given:
            raise ConfigError(
                f"the protocol {self.protocol_name} has no option '{next(iter(given))}'",
                remedy="it has no options of its own",
            )
        return None

    @property
    def task_name(self) -> str:
        """The task to run."""
        return str(self.task["name"])

    @property
    def task_options(self) -> dict[str, Any]:
        """The task's own options."""
        unsafe = {"allow_unsafe_code": True} if self.allow_unsafe_code else {}
        return {name: value for name, value in self.task.items() if name != "name"} | unsafe

    def partner_config(self) -> AgentConfig:
        """The options of a pair's second agent, filled up from the agent's.

        Raises:
            ConfigError: `partner` holds an unknown option or a value of the wrong type.
        """
        return filled_up(self.agent, self.partner, AgentConfig, "partner")

    def participants(self) -> dict[str, AgentConfig]:
        """The agents that take part, by name, `agent` or `agent_1` first: each filled up from `agent`.

        Raises:
            ConfigError: one of them holds an unknown option or a value of the wrong type.
        """
        kind = protocols.kind(self.protocol_name)
        if kind.max_agents == 1:
            return {"agent": self.agent}
        if kind.max_agents == 2 and not self.agents:
            return {"agent": self.agent, "partner": self.partner_config()}
        several = self.agents or ({},) * kind.min_agents
        number = len(several)
        names = ("agent", "partner") if kind.max_agents == 2 else [f"agent_{i + 1}" for i in range(number)]
        return {
            name: filled_up(self.agent, options, AgentConfig, f"agents[{index}]")
            for index, (name, options) in enumerate(zip(names, several, strict=True))
        }

    def settings(self, instruction: str = "", prompts: Mapping[str, str] | None = None) -> protocols.Settings:
        """What the protocol is built from.

        Args:
            instruction: the task's, how to state an answer.
            prompts: what it is to say itself, in place of ours.
        """
        return protocols.Settings(
            agents=tuple(self.participants()),
            max_turns=self.max_turns,
            opener=self.opener,
            second_chance=self.second_chance,
            majority=self.majority,
            instruction=instruction,
            options=self.protocol_options(),
            prompts=prompts or {},
        )

    def extractor_config(self) -> ExtractorConfig:
        """The extractor's options: the agent's server and model unless set, its own sampling.

        Raises:
            ConfigError: `extractor` holds an unknown option or a value of the wrong type.
        """
        options = reader_named(self.extractor)
        extractor = filled_up(ExtractorConfig(**self._server()), options, ExtractorConfig, "extractor")
        if "mode" not in options and (
            embedded.folder_of(extractor)  # such small models extract nothing
            or ((is_own(extractor) or extractor.function) and not _names_whom(options))  # others take turns
        ):
            return dataclasses.replace(extractor, mode="rules")
        return extractor

    def asked(self) -> list[ModelConfig]:
        """The options of everybody who is asked."""
        judge = self.judge_config()
        others = [self.extractor_config(), *([] if judge is None else [judge])]
        return [*self.participants().values(), *others]

    def judge_config(self) -> JudgeConfig | None:
        """The judge's options: the agent's server unless set, a model of its own; None where there is none.

        Raises:
            ConfigError: one is unknown or of the wrong type, or the model is not named.
        """
        given = self.task.get("judge")
        if not given:
            return None
        options = {"model": given} if isinstance(given, str) else given
        if not isinstance(options, Mapping) or not any(map(options.get, ("model", "command", "http"))):
            raise ConfigError(
                "the judge has no model", remedy="name it: --task.judge.model MODEL (docs/grading.md)"
            )
        return filled_up(JudgeConfig(**self._server()), options, JudgeConfig, "task.judge")

    def _server(self) -> dict[str, Any]:
        """The agent's model and where it is served, for those who are asked beside it."""
        names = {item.name for item in dataclasses.fields(ModelConfig)} - _OF_A_SPEAKER
        return {name: getattr(self.agent, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class SampledAgentConfig(AgentConfig):
    """A model that takes a seat in conversations for training."""

    temperature: float | None = option(0.8, decides=True, within=NOT_NEGATIVE)
    """Sampling temperature; null leaves it to the server."""


@dataclass(frozen=True, kw_only=True)
class SampleConfig(EvalConfig):
    """All options of sampling: those of an evaluation, and how turns are drawn."""

    samples: int = option(5, decides=False, within=COUNT)
    """Conversations (trees) about each problem. May grow in a later session."""
    agent: SampledAgentConfig = option(
        decides=True, default_factory=SampledAgentConfig, **section(lambda: SampledAgentConfig, short="model")
    )
    """The first agent. It is sampled at temperature 0.8 unless set."""
    candidates: int = option(5, decides=True, within=COUNT)
    """Replies drawn per turn. One continues, the others are stored; 1: independent conversations."""
    select: Selection = option("random", decides=True)
    """Which continues: random; stratified (a coin: right or not); correct; wrong; diverse: new belief."""
    rollouts: int = option(0, decides=True, within=NOT_NEGATIVE)
    """Conversations continued to their end from each candidate, to tell its value. 0: none."""

    def __post_init__(self) -> None:
        """Check what one field alone can tell, and that roll-outs have a partner.

        Raises:
            ConfigError: names the option and what it may be.
        """
        super().__post_init__()
        if self.second_chance:
            raise ConfigError(
                "sampling draws several replies instead of asking a second time",
                remedy="leave out second_chance; it is an option of `coral eval`",
            )
        if self.rollouts and protocols.kind(self.protocol_name).answers_once:
            raise ConfigError(
                "a reply of one agent alone ends it: nothing can be rolled out from it",
                remedy="leave out rollouts, or sample with --protocol coral",
            )

    @property
    def draw(self) -> Draw:
        """How turns are drawn."""
        return Draw(candidates=self.candidates, select=self.select, rollouts=self.rollouts)


OF_PROTOCOLS = ("agents", "partner", "opener", "max_turns", "second_chance", "majority")
"""Options that concern some protocols only."""


def _check_protocol(config: EvalConfig) -> None:
    """Refuse what is set and concerns other protocols. `max_turns` may be set for all arms of a loop."""
    kind = protocols.kind(config.protocol_name)
    defaults = {item.name: item for item in dataclasses.fields(EvalConfig)}
    for name in OF_PROTOCOLS:
        item = defaults[name]
        default = item.default if item.default is not dataclasses.MISSING else {}
        if name != "max_turns" and name not in kind.takes and getattr(config, name) != default:
            takers = [other for other in protocols.names() if name in protocols.kind(other).takes]
            raise ConfigError(
                f"the protocol {config.protocol_name} has no {name}",
                remedy=f"leave it out; it is an option of --protocol {' or '.join(takers)}",
            )
    config.protocol_options()
    if config.agents and config.partner:
        raise ConfigError("agents and partner name the same", remedy="give one of them")
    if number := len(config.agents):
        protocols.check_number(config.protocol_name, number, f"agents lists {number}")


def _check_types(config: EvalConfig) -> None:
    """The command line has parsed its values; Python may hand in anything."""
    hints = typing.get_type_hints(type(config))
    for item in dataclasses.fields(config):
        if not dataclasses.is_dataclass(hints[item.name]):
            value = getattr(config, item.name)
            try:
                msgspec.convert(value, hints[item.name])
            except msgspec.ValidationError as error:
                remedy = "see `coral eval --help`"
                raise of_another_type(value, hints[item.name], item.name, error, remedy) from None


_OF_A_SPEAKER = {
    "temperature", "top_p", "max_tokens", "stop", "system_prompt", "return_token_ids",
}  # fmt: skip
"""Options that an agent does not share with the models that are asked beside it."""

C = TypeVar("C", bound=ModelConfig)


def agent_config(options: Mapping[str, Any], kind: type[AgentConfig] = AgentConfig) -> AgentConfig:
    """An agent of `kind` from the options that are set.

    Raises:
        ConfigError: an option is unknown or of the wrong type.
    """
    return filled_up(kind(), options, kind, "agent")


_PLACE = (
    "base_url", "replicas", "revision", "command", "http", "http_request", "http_reply", "http_key_header",
    "api_key_env", "extra_body", "context_tokens", "return_token_ids",
)  # fmt: skip
"""What belongs to a server: not inherited by a model that is served elsewhere."""


def filled_up(template: C, options: Mapping[str, Any], kind: type[C], name: str) -> C:
    """`template` with `options` set."""
    typed = typed_options(kind, options, name, remedy="see `coral eval --help`")
    model = str(options.get("model", template.model))
    own = "command" in options or "http" in options  # known by that, not by the name of the template's model
    elsewhere = (
        any(place in options for place in PLACES)
        or _other_provider(template.model, model)
        or _embeds(template, model)
        or is_python(str(options.get("model", "")))
        or options.get("model") == HUMAN
        or bool("model" in options and (template.command or template.http))
    )
    fresh = {key: getattr(kind(), key) for key in _PLACE} if elsewhere else {}
    return dataclasses.replace(template, **{**({"model": ""} if own else {}), **fresh, **typed})


def reader_named(extractor: Mapping[str, Any]) -> dict[str, Any]:
    """The options of an extractor; a function that stands where a model's name may is called one."""
    options = dict(extractor)
    model = options.get("model")
    placed = any(place in options for place in PLACES)
    if isinstance(model, str) and "function" not in options and not placed and names_reader(model):
        options["function"] = options.pop("model")
    return options


def _names_whom(options: Mapping[str, Any]) -> bool:
    """Whether options of their own say who it is."""
    return any(name in options for name in ("model", *PLACES))


def _embeds(template: ModelConfig, model: str) -> bool:
    """Whether `model` is a checkpoint folder of this machine beside a served model that is not named so."""
    names_folders = embedded.folder_of(ModelConfig(model=template.model)) is not None
    return not names_folders and embedded.folder_of(ModelConfig(model=model)) is not None


def _other_provider(model: str, other: str) -> bool:
    """Whether `other` names a provider by its prefix, and not the one of `model`."""
    provider = provider_named(other.partition("/")[0]) if "/" in other else None
    return provider is not None and provider is not provider_named(model.partition("/")[0])


def is_silent(config: ModelConfig) -> bool:
    """Whether no model is asked for the words of an agent."""
    return isinstance(config, AgentConfig) and config.control is not None and config.control_words == "own"


def is_free(config: ModelConfig) -> bool:
    """Whether the words of an agent cost no tokens."""
    return is_silent(config) or config.is_person


def speaker_model(config: ModelConfig) -> str:
    """The model of an agent, as records name it."""
    if is_silent(config):
        assert isinstance(config, AgentConfig)
        return f"{CONTROL}{config.control}"
    return embedded.name_of(config)
