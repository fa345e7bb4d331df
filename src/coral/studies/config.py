"""The options of a study: what its arms share, the arms, and what is contrasted."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import msgspec

from coral.comparison.contrasts import Planned, parse_contrast
from coral.comparison.facts import RIGHT, info_of
from coral.config import COUNT, deciding, option
from coral.conversation import protocols
from coral.errors import ConfigError
from coral.evaluation.config import OF_PROTOCOLS, AgentConfig, EvalConfig, filled_up
from coral.options import merged, typed_options
from coral.studies.presets import BETWEEN, PRESETS, SQUARE, Preset, Study, labelled, square
from coral.types import SCHEMA
from coral.version import version

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*")
_SHARED = {
    "task", "data", "split", "data_password", "limit", "problems", "data_seed", "split_seed",
}  # fmt: skip
"""Options that decide which problems there are: the same in all arms."""
_OF_THE_STUDY = {
    "output", "lock", "dry_run", "metrics", "prices", "max_failed_rate", "max_tokens_total", "max_cost",
    "max_hours", "shard", "processes", "report_to",
}  # fmt: skip
"""Options that are the study's own."""


@dataclass(frozen=True, kw_only=True)
class StudyConfig(EvalConfig):
    """All options of a study: those that its arms share, and the arms."""

    preset: Preset | None = option(None, decides=True)
    """controls: partners that insist on the right and on a wrong answer, and what is shown of them.
    equal_cost: one agent several times, with self-correction, and the pair, at equal tokens.
    pairs: all ordered pairs of `models`. matrix: these, and each model alone."""
    models: tuple[str | dict[str, Any], ...] = option((), decides=True, names=True)
    """Models of the presets pairs and matrix: names, or options of an agent with a `name`. More may join a
    study later: what the others have done is kept."""
    prompts: tuple[str, ...] = option((), decides=True, names=True)
    """Wordings of the system prompt, each a name (see agent.prompt) or @FILE: every arm is run with each of
    them, and the report says how much the wording varies the result."""
    arms: dict[str, dict[str, Any] | None] = option(decides=True, default_factory=dict)
    """The arms by name, each with the options in which it differs: {alone: {protocol: single}, pair: {}}.
    With a preset they are added to its arms, or change them."""
    contrasts: tuple[str, ...] = option((), decides=True, names=True)
    """What is compared, planned before: "pair - alone", or with a metric, "turns: pair - alone". By default
    that of the preset, or every arm with the first."""

    pilot: int | None = option(None, decides=False, within=COUNT)
    """Hold so many problems of each arm, say what all will take, and end. They count: the same command
    without it resumes from them."""

    reuse: tuple[str, ...] = option((), decides=False, names=True)
    """Folders of other studies, or of runs: a run there that has exactly the options of an arm is copied in
    place of being held again."""

    def __post_init__(self) -> None:
        """Check the options, those of every arm, and the contrasts.

        Raises:
            ConfigError: names the option, or the arm.
        """
        super().__post_init__()
        arms, groups = self.arm_configs(), self.groups()
        for contrast in self.planned():
            for name in (contrast.left, contrast.right):
                if name not in arms and name not in groups:
                    raise ConfigError(
                        f"the contrast '{contrast.text}' names no arm '{name}'",
                        remedy=f"the arms are {', '.join({**groups, **arms})}",
                    )
                if contrast.metric != RIGHT:
                    arm = arms[groups.get(name, (name,))[0]]
                    info_of(contrast.metric, name, protocols.build(arm.protocol_name, arm.settings()))

    def arm_options(self) -> dict[str, dict[str, Any]]:
        """What each arm says itself, in order; with `prompts`, each arm once per wording.

        Raises:
            ConfigError: there is no arm.
        """
        arms = self._arms_asked()
        if not self.prompts:
            return arms
        return {
            f"{name}.{wording}": merged(
                options, {"agent": prompt}, {"agent": _as_options(options.get("agent"))}
            )
            for name, options in arms.items()
            for wording, prompt in self._wordings().items()
        }

    def groups(self) -> dict[str, tuple[str, ...]]:
        """The arms that each arm as asked for became: one per wording."""
        wordings = [f".{wording}" for wording in self._wordings()] or [""]
        return {name: tuple(f"{name}{end}" for end in wordings) for name in self._arms_asked()}

    def pairs(self) -> dict[str, tuple[str, str]]:
        """Of the presets pairs and matrix: agent and partner of each pair, by the arm as asked for."""
        if self.preset not in SQUARE:
            return {}
        names = list(labelled(self.models))
        return {f"{a}{BETWEEN}{b}": (a, b) for a in names for b in names}

    def _wordings(self) -> dict[str, dict[str, Any]]:
        """Options of an agent for each wording, by a name that can be part of an arm's."""
        found = {}
        for prompt in map(str.strip, self.prompts):
            name = re.sub(r"[^A-Za-z0-9]+", "_", Path(prompt.lstrip("@")).stem).strip("_")
            if not name or name in found:
                raise ConfigError(
                    f"prompts names '{prompt}' twice" if name else f"'{prompt}' is not a prompt",
                    remedy="give wordings of different names: --prompts agent same @mine.txt",
                )
            found[name] = {"system_prompt": prompt} if prompt.startswith("@") else {"prompt": prompt}
        return found

    def _arms_asked(self) -> dict[str, dict[str, Any]]:
        preset = self._preset().arms
        given = {name: options or {} for name, options in self.arms.items()}
        arms = {name: dict(options) for name, options in merged(preset, given).items()}
        if not arms:
            raise ConfigError(
                "the study has no arms",
                remedy=f"give --preset {' or '.join(get_args(Preset))}, or arms in a YAML file "
                "(docs/studies.md)",
            )
        return arms

    def _preset(self) -> Study:
        """The arms and contrasts of the preset.

        Raises:
            ConfigError: it needs models, or has no use for them.
        """
        models = labelled(self.models)
        if self.preset not in SQUARE:
            if models:
                raise ConfigError(
                    "models are given, and no preset pairs them",
                    remedy=f"give --preset {' or '.join(SQUARE)}, or name the models in arms",
                )
            return PRESETS[self.preset] if self.preset else Study(arms={}, contrasts=())
        if len(models) < 2:
            raise ConfigError(
                f"the preset {self.preset} needs two models or more", remedy="name them: --models a b c"
            )
        for name, options in models.items():
            typed_options(AgentConfig, options, f"models.{name}", remedy="fix the model's options")
        shared = {item.name: getattr(self.agent, item.name) for item in dataclasses.fields(AgentConfig)}
        return square(self.preset, models, shared)

    def arm_configs(self) -> dict[str, EvalConfig]:
        """The options of each arm's run, by its name; folders are below `output`.

        Raises:
            ConfigError: an arm has an unknown option, or one that is not its own.
        """
        return {name: self._arm(name, options) for name, options in self.arm_options().items()}

    def planned(self) -> list[Planned]:
        """The contrasts.

        Raises:
            ConfigError: one cannot be read.
        """
        first, *others = self._arms_asked()
        by_default = () if self.preset else [f"{other} - {first}" for other in others]
        texts = self.contrasts or self._preset().contrasts or by_default
        planned = [parse_contrast(text) for text in texts]
        seen: dict[tuple[str, ...], str] = {}
        for one in planned:
            what = (one.metric, *sorted((one.left, one.right)))
            if what in seen:
                raise ConfigError(
                    f"the contrasts '{seen[what]}' and '{one.text}' are one, which would count twice",
                    remedy="leave one of them out",
                )
            seen[what] = one.text
        return planned

    @property
    def folder(self) -> str:
        """Where the study is."""
        if self.output:
            return self.output
        digest = hashlib.sha256(msgspec.json.encode(self.identity()["study"])).hexdigest()[:8]
        task = re.sub(r"[^\w.-]+", "-", self.task_name)
        return f"runs/study-{task}-{self.preset or 'arms'}-{digest}"

    def identity(self) -> dict[str, Any]:
        """What must be the same in every session: the arms and what is contrasted.

        Of all pairs of some models only what they share and the arms that were added: more models may join.
        """
        arms = self._arms_anywhere()
        growing = self.preset in SQUARE
        listed = [name for name in arms if not growing or name.partition(".")[0] in self.arms]
        return {
            "schema": SCHEMA,
            "version": version(),
            "study": {
                "task": self.task_name,
                "arms": {name: _decisive(arms[name]) for name in listed},
                "contrasts": [contrast.text for contrast in self.planned()],
                **(
                    {"preset": self.preset, "shared": _decisive(self._arm("shared", {}, ""))}
                    if growing
                    else {}
                ),
            },
        }

    def _arms_anywhere(self) -> dict[str, EvalConfig]:
        return {name: self._arm(name, options, "") for name, options in self.arm_options().items()}

    def _arm(self, name: str, options: Mapping[str, Any], out: str | None = None) -> EvalConfig:
        if not _NAME.fullmatch(name):
            raise ConfigError(f"'{name}' cannot be an arm's name", remedy="use letters, digits, _ and .")
        for key in options:
            if key in _SHARED:
                raise ConfigError(
                    f"the arm {name} sets {key}: all arms are about the same problems",
                    remedy=f"set {key} for the whole study, or make two studies",
                )
            if key in _OF_THE_STUDY:
                raise ConfigError(f"the arm {name} sets {key}", remedy=f"set {key} for the whole study")
        typed = typed_options(EvalConfig, _without_sections(options), f"arms.{name}", remedy="fix the arm")
        values = {item.name: getattr(self, item.name) for item in dataclasses.fields(EvalConfig)}
        protocol = protocols.kind(protocols.name_of(options.get("protocol", self.protocol)))
        defaults = {item.name: item for item in dataclasses.fields(EvalConfig)}
        for other in OF_PROTOCOLS:
            if other not in protocol.takes and other != "max_turns":
                item = defaults[other]
                values[other] = {} if item.default is dataclasses.MISSING else item.default
        if "agents" in options:
            values["partner"] = {}
        return EvalConfig(
            **{
                **values,
                **typed,
                **self._sections(name, options, values),
                "data_seed": self.problem_seed,
                "output": f"{self.folder if out is None else out}/arms/{name}",
                "report_to": "none",  # the study reports for all of them
                "dry_run": False,
            }
        )

    def _sections(self, name: str, options: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
        """Agent, partner and extractor of an arm: the study's, with what the arm changes."""
        given = {role: _as_options(options.get(role, {})) for role in ("agent", "partner", "extractor")}
        return {
            "agent": filled_up(self.agent, given["agent"], AgentConfig, f"arms.{name}.agent"),
            "partner": merged(values["partner"], given["partner"]),
            "extractor": merged(self.extractor, given["extractor"]),
        }


def _as_options(section: Any) -> dict[str, Any]:
    return {"model": section} if isinstance(section, str) else dict(section or {})


def _without_sections(options: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key not in {"agent", "partner", "extractor"}}


def _decisive(config: EvalConfig) -> dict[str, Any]:
    """What an arm is, but for where its data lie and what its own folder checks.

    Options at their defaults are left out: a later version may have more of them.
    """
    places = {"data", "problems", "prompt_library", "task"}
    return {**_set(config, EvalConfig, places), "agent": _set(config.agent, AgentConfig, ())}


def _set(config: Any, kind: type, without: Iterable[str]) -> dict[str, Any]:
    """The deciding options that are not at their defaults."""
    decide = set(deciding(kind)).difference(without)
    values = {}
    for item in dataclasses.fields(kind):
        factory = item.default_factory
        usual = item.default if factory is dataclasses.MISSING else factory()
        if item.name in decide and getattr(config, item.name) != usual:
            values[item.name] = getattr(config, item.name)
    plain: dict[str, Any] = msgspec.to_builtins(values)
    return plain
