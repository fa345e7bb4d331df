"""`reasoning_gym:NAME`: the procedural families of the package reasoning-gym, graded by their own verifiers.

A verifier is foreign code that may evaluate what a model wrote, so it runs in a worker that can be killed. It
gets the problem from where it came: the family, its options, a seed and a place, from which the same problem
is made again.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import typing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from importlib import metadata
from random import Random
from typing import Any, ClassVar, cast

import msgspec

from coral import workers
from coral.answers import prose
from coral.errors import ConfigError, MissingExtra
from coral.plugins import known
from coral.tasks import generated
from coral.tasks.protocol import Source, Task, TaskInfo
from coral.types import Answered, Belief, Problem, Seat, Unreadable, Unsure

PREFIX = "reasoning_gym:"
FETCH = "pip install 'collaborative-reasoner[reasoning-gym]'"
BLOCK = 100
"""Problems that are made with one seed: some families take longer to set up than to make a problem."""
TIMEOUT_S = 10.0
"""Seconds that a verifier may take over one answer."""

UNREPEATED = frozenset(
    {
        "codeio", "isomorphic_strings", "knight_swap", "list_functions", "polynomial_multiplication",
        "ransom_note", "word_ladder",
    }
)  # fmt: skip
"""Families that make other problems of one seed in every process (0.1.25): no run of them could resume."""
UNSTATED = "whatever its verifier accepts"
"""Stands for the right answer where a family states none."""

_TAGS = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class ReasoningGym:
    """One family. Its class is made of this one and of the family's own options.

    Attributes:
        size: problems in a split; at least 1.
        level: of difficulty, from 0: sets the options that the family's curriculum grades, as far as they are
            not set themselves; of one with fewer levels, the highest.
    """

    size: int = 200
    level: int | None = None

    info: ClassVar[TaskInfo]
    instruction: ClassVar[str] = (
        "Submit an answer by ending your message with it between the tags <answer> and </answer>. Between "
        "them stands the answer alone, in the form that the problem asks for."
    )

    def __post_init__(self) -> None:
        generated.check(self.info.name, self.size, "size", 1, 10**6)
        if self.level is not None:
            generated.check(self.info.name, self.level, "level", 0, 1_000)
        try:
            _dataset(self.family, msgspec.json.encode(self.options), 0)
        except Exception as error:  # noqa: BLE001  foreign code
            raise ConfigError(
                f"{self.info.name} cannot be made with these options: {error or type(error).__name__}",
                remedy=f"`coral tasks {self.info.name}` lists them",
            ) from None

    @property
    def family(self) -> str:
        """The name that the package has for it."""
        return self.info.name.removeprefix(PREFIX)

    @property
    def fingerprint(self) -> str:
        """What identifies the problems beside options and seed: another version may make others."""
        return f"reasoning-gym {metadata.version('reasoning-gym')}"

    @cached_property
    def options(self) -> dict[str, Any]:
        """The family's own options, graded by `level` where they are at their defaults."""
        own = {name: getattr(self, name) for name in _defaults(self.family)}
        if self.level is not None:
            graded = _graded(self.family, self.level)
            own |= {
                name: value for name, value in graded.items() if own[name] == _defaults(self.family)[name]
            }
        return cast("dict[str, Any]", msgspec.to_builtins(own))

    def problems(self, source: Source) -> Iterator[Problem]:
        """Make the problems of a split; see `Task.problems`."""
        made = self._stream(source)
        return generated.problems(source, self.info, self.size, lambda _: next(made))

    def _stream(self, source: Source) -> Iterator[Problem]:
        """Problems without end, of all splits."""
        options = msgspec.json.encode(self.options)
        seeds = Random(f"{self.info.name}:{source.seed}")  # noqa: S311
        while True:
            seed = seeds.getrandbits(31)
            for index in range(BLOCK):
                yield self._problem(_entry(self.family, options, seed, index), seed, index)

    def _problem(self, entry: dict[str, Any], seed: int, index: int) -> Problem:
        question, answer = str(entry["question"]).strip(), entry["answer"]
        return Problem(
            id=generated.identity(self.family, question),
            task=self.info.name,
            question=question,
            target=UNSTATED if answer is None else str(answer),
            source={"seed": seed, "index": index},
        )

    def opening(self, problem: Problem) -> str:
        """The problem as its family states it."""
        return f"I'm trying to solve this problem:\n\n{problem.question}"

    def briefing(self, problem: Problem, seat: Seat) -> str:  # noqa: ARG002 - part of the protocol
        """Nothing: both seats see the whole problem."""
        return ""

    def read(self, text: str, problem: Problem) -> Belief:  # noqa: ARG002 - part of the protocol
        """What stands between the last two tags."""
        found = _TAGS.findall(text)
        if not found:
            return (
                Unsure() if prose.says_unsure(text) else Unreadable("nothing between <answer> and </answer>")
            )
        return _belief(found[-1])

    def parse(self, answer: str, problem: Problem) -> Belief:
        """The answer as it stands, without tags and label."""
        return self.read(answer, problem) if _TAGS.search(answer) else _belief(prose.unlabel(answer.strip()))

    async def same(self, a: str, b: str, problem: Problem) -> bool:
        """Whether both are right, or they are the same but for blanks: an equivalence relation.

        Many families have several right answers to one problem.
        """
        if a.split() == b.split():
            return True
        return all([await self.grade(answer, problem) for answer in (a, b)])

    async def grade(self, answer: str, problem: Problem) -> bool | None:
        """Whether the family's verifier gives it full marks; None where that took too long."""
        where = problem.source
        options = msgspec.json.encode(self.options).decode()
        try:
            score = await workers.call(
                "coral.tasks.reasoning_gym:score",
                self.family, options, where["seed"], where["index"], problem.question, answer,
                timeout_s=TIMEOUT_S,
            )  # fmt: skip
        except (workers.TimedOut, workers.WorkerDied):
            return None
        return bool(score >= 1)


def task_class(name: str) -> type[Task]:
    """The task of a family.

    Raises:
        ConfigError: there is no such family.
        MissingExtra: the package is not installed.
    """
    there = families()
    family = name.removeprefix(PREFIX)
    if family in UNREPEATED:
        raise ConfigError(
            f"the family '{family}' of reasoning-gym makes other problems of one seed in every process",
            remedy="take another one: no run of it could be resumed or graded again",
        )
    if family not in there:
        raise ConfigError(f"reasoning-gym has no family '{family}'", remedy=known(there, family))
    return _made(family)


def is_installed() -> bool:
    """Whether the package is there; it is not imported."""
    return importlib.util.find_spec("reasoning_gym") is not None


@cache
def families() -> tuple[str, ...]:
    """The names of all families.

    Raises:
        MissingExtra: the package is not installed.
    """
    return tuple(sorted(_registered()))


@cache
def _made(family: str) -> type[Task]:
    _, config = _registered()[family]
    hints = typing.get_type_hints(config)
    info = TaskInfo(
        name=f"{PREFIX}{family}",
        title=f"{family.replace('_', ' ').capitalize()}: a family of reasoning-gym, generated",
        size="as many as asked for (--task.size)",
        origin="reasoning-gym, https://github.com/open-thought/reasoning-gym",
        license="Apache-2.0",
        fetch=f"{FETCH}; problems are generated",
        splits=generated.SPLITS,
    )
    fields = [
        (item.name, hints.get(item.name, Any), _field_like(item))
        for item in dataclasses.fields(config)
        if item.name not in _OURS
    ]
    made = dataclasses.make_dataclass(
        "".join(word.capitalize() for word in family.split("_")),
        fields,
        bases=(ReasoningGym,),
        namespace={"info": info, "__doc__": ReasoningGym.__doc__, "known_as": info.name},
        frozen=True,
        kw_only=True,
    )
    return cast("type[Task]", made)


_OURS = ("seed", "size", "level")
"""Options of families that are ours to set, or that ours would hide."""


def _field_like(item: dataclasses.Field[Any]) -> Any:
    if item.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=item.default_factory)
    return dataclasses.field(default=None if item.default is dataclasses.MISSING else item.default)


def _belief(said: str) -> Belief:
    said = said.strip()
    if not said:
        return Unreadable("empty")
    return Unsure() if prose.is_not_sure(said) else Answered(said)


# The package ------------------------------------------------------------------------------------------------


def _registered() -> dict[str, tuple[type[Any], type[Any]]]:
    """Dataset and config class of each family that makes its problems itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its packages, when Python first compiles them
            import reasoning_gym  # noqa: F401 - registers them
            from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise MissingExtra("reasoning-gym", extra="reasoning-gym", why="`reasoning_gym:NAME`") from error
    return {name: kinds for name, kinds in DATASETS.items() if name != "composite" and name not in UNREPEATED}


@cache
def _defaults(family: str) -> dict[str, Any]:
    config = _registered()[family][1]()
    return {
        item.name: getattr(config, item.name) for item in dataclasses.fields(config) if item.name not in _OURS
    }


@cache
def _graded(family: str, level: int) -> dict[str, Any]:
    """The options that the family's curriculum sets for a level of difficulty.

    Raises:
        ConfigError: it has no curriculum.
    """
    from reasoning_gym.factory import create_curriculum, has_curriculum

    if not has_curriculum(family):
        raise ConfigError(
            f"{PREFIX}{family} has no levels of difficulty", remedy="leave out level, and set its own options"
        )
    curriculum = create_curriculum(family)
    for name, attribute in curriculum.attributes.items():
        curriculum.set_attr_level(name, min(level, len(attribute.levels) - 1))
    config = curriculum.generate_configuration()
    return {name: getattr(config, name) for name in _defaults(family)}


@lru_cache(maxsize=256)
def _dataset(family: str, options: bytes, seed: int) -> Any:
    """A block of problems. What JSON cannot tell from a list (a tuple) the families take, too."""
    kind, config_kind = _registered()[family]
    config = config_kind(**msgspec.json.decode(options), seed=seed, size=BLOCK)
    if hasattr(config, "validate"):
        config.validate()
    return kind(config)


@lru_cache(maxsize=1024)
def _entry(family: str, options: bytes, seed: int, index: int) -> dict[str, Any]:
    entry: dict[str, Any] = _dataset(family, options, seed)[index]
    return entry


def score(family: str, options: str, seed: int, index: int, question: str, answer: str) -> float:
    """What the verifier gives an answer, from 0 to 1. Runs in a worker.

    Raises:
        ValueError: what is made of the seed is another problem, as by another version of the package.
    """
    entry = _entry(family, options.encode(), seed, index)
    if str(entry["question"]).strip() != question:
        raise ValueError("the reasoning-gym that is installed makes another problem of this seed")
    verifier = _dataset(family, options.encode(), seed).score_answer
    try:
        return float(verifier(answer, entry))
    except Exception:  # some raise where an answer has another form than theirs
        if entry["answer"] is not None and float(verifier(entry["answer"], entry)) >= 1:
            return 0.0
        raise


def warm_up() -> None:
    """Import the package, outside of the time that an answer may take."""
    families()
