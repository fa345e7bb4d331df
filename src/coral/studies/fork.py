"""`coral fork`: continue stored conversations from a turn with a change, and without it, many times each.

The continuations are two ordinary runs whose conversations share their first turns with the original:
journaled, resumable, and drawn with the same random numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from coral import workers
from coral.audits.sample import Frame, is_graded
from coral.audits.statistics import Share, share_of
from coral.comparison.kinds import Kind, turn_of
from coral.config import COUNT, Options, option
from coral.conversation import protocols
from coral.conversation.controls import FREE, Control
from coral.conversation.converse import Beginning
from coral.errors import ConfigError, Interrupted
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.progress import Progress
from coral.evaluation.session import run_session
from coral.metrics.statistics import clustered_ratio, effects_of, paired_interval
from coral.options import build_config, load_yaml_file, merged, section
from coral.store.folder import RunFolder
from coral.store.whole import write_whole
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import (
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Parent,
    Record,
    Reply,
    Turn,
    Unsure,
)


@dataclass(frozen=True, kw_only=True)
class ForkConfig(Options):
    """All options of a fork: where, what is changed, and how often."""

    turn: int | None = option(None, decides=True, within=COUNT)
    """The turn from which on something is changed, from 1."""
    where: Kind | None = option(None, decides=True)
    """In place of a conversation and a turn: of every problem, the first conversation of this kind, at the
    turn that shows it (`coral show RUN --only KIND` lists them). changed: where an answer was given up.
    lost_right_answer (or lost): a right one for a wrong one. gained_right_answer (or gained): the reverse.
    right_to_wrong, wrong_to_right: where whoever spoke first did so for good. rescued: wrong at first and
    right in the end, at the first right turn. unused: right at a turn and not in the end, after that turn.
    unreadable. At the last turn: agreed, agreed_right, agreed_wrong, disagreed (or never_agreed), right,
    wrong."""
    replace: str | None = option(None, decides=True)
    """Put this text in place of the turn."""
    control: Control | None = option(None, decides=True)
    """From the turn on, a control partner has its seat."""
    agent: dict[str, Any] = option(
        decides=True, default_factory=dict, **section(lambda: AgentConfig, short="model")
    )
    """From the turn on, other options of the first agent."""
    partner: dict[str, Any] = option(
        decides=True, default_factory=dict, **section(lambda: AgentConfig, short="model")
    )
    """The same of the second agent."""
    samples: int = option(20, decides=False, within=COUNT)
    """Continuations of each conversation, with the change and without it. May grow."""
    output: str | None = option(None, decides=False)
    """Folder of the fork; by default `fork` in the run's."""

    def __post_init__(self) -> None:
        """Check that one thing is changed, at one place.

        Raises:
            ConfigError: none is, or several.
        """
        super().__post_init__()
        changes = [name for name in ("replace", "control", "agent", "partner") if getattr(self, name)]
        if len(changes) != 1:
            raise ConfigError(
                f"{len(changes)} things are changed: {', '.join(changes)}"
                if changes
                else "nothing is changed",
                remedy="give one of --replace TEXT, --control KIND, --agent.* and --partner.*",
            )
        if (self.turn is None) == (self.where is None):
            raise ConfigError(
                "a fork begins at one turn", remedy="give --turn K, or --where lost_right_answer"
            )


class ForkResults(Record, frozen=True, omit_defaults=False):
    """What came of a fork, each a share of right outcomes.

    Attributes:
        conversations: ids of the originals.
        difference: changed minus unchanged, in shares; paired by problem, of one conversation by sample.
    """

    conversations: tuple[str, ...]
    original: float
    unchanged: Share
    changed: Share
    difference: float
    low: float | None
    high: float | None


async def fork(path: str, conversation: str | None, config: ForkConfig) -> ForkResults:
    """Hold both kinds of continuations, or resume them, and compare.

    Raises:
        UserError: the run cannot be forked, or there is no such conversation or turn.
    """
    folder = RunFolder(path)
    identity = folder.identity()
    if "candidates" in identity:
        raise ConfigError(f"{path} is a sampled run", remedy="fork a run of coral eval")
    out = Path(config.output or folder.path / "fork")
    stored = _stored_options(folder)
    frame = Frame("original", folder, task_of(folder), protocols.stored(identity), identity)
    places = list(_places(folder, conversation, config))
    if not places:
        raise ConfigError(
            f"no conversation of {path} is like '{config.where}'", remedy="fork one by its id, with --turn"
        )
    for one, _ in places:
        if not is_graded(one):
            raise ConfigError(
                f"{one.id} is about a problem without a gold answer: no continuation can be right",
                remedy="fork conversations about problems that have one",
            )
    async with workers.in_use():
        changed = {one.problem.id: await _beginning(one, turn, config, frame.task) for one, turn in places}
        originals = [await frame.is_right(one) for one, _ in places]
    kept = {one.problem.id: _shared(one, turn - (config.replace is None), "nothing") for one, turn in places}
    speakers = {one.speakers[one.turns[turn - 1].seat].name for one, turn in places}
    options = merged(stored, _options_of_all(stored, config, out, list(kept)))
    shares = {}
    for name, beginnings, change in (
        ("unchanged", kept, {}),
        ("changed", changed, _change(config, speakers)),
    ):
        given = merged(options, change, {"output": str(out / name)})
        run = build_config(EvalConfig, given, "fork", remedy="`coral fork --help` tells the options")
        if (await run_session(run, Progress(), Given(beginnings=beginnings))).summary is None:
            raise Interrupted("the fork was interrupted", remedy="the same command resumes")
        shares[name] = await _outcomes(RunFolder(out / name))
    return _results([one.id for one, _ in places], originals, shares, out)


def _options_of_all(
    stored: Mapping[str, Any], config: ForkConfig, out: Path, problems: Iterable[str]
) -> dict[str, Any]:
    """What both kinds of continuations have in common: the run's data, and draws of their own."""
    out.mkdir(parents=True, exist_ok=True)
    write_whole(out / "problems.txt", "".join(f"{name}\n" for name in problems))
    return {
        "problems": str(out / "problems.txt"),
        "samples": config.samples,
        "salt": f"{stored.get('salt', '')}fork",
        "limit": None,
        "shard": None,
        "processes": 1,
    }


def _stored_options(folder: RunFolder) -> dict[str, Any]:
    names = {item.name for item in dataclasses.fields(EvalConfig)}
    return {name: x for name, x in load_yaml_file(folder.path / "config.yaml").items() if name in names}


def _places(
    folder: RunFolder, identity: str | None, config: ForkConfig
) -> Iterator[tuple[Conversation, int]]:
    """The conversations to fork, one per problem, and at which turn (from 1)."""
    if config.where is None:
        wanted = None if identity is None else identity if "#" in identity else f"{identity}#0"
        found = wanted and folder.conversation(wanted)
        if not found:
            raise ConfigError(
                f"{folder.path} holds no conversation '{wanted or ''}'",
                remedy=f"`coral show {folder.path}` lists them",
            )
        assert config.turn is not None
        if config.turn > len(found.turns):
            raise ConfigError(
                f"{found.id} has {len(found.turns)} turns, and no turn {config.turn}",
                remedy="give one that it has",
            )
        yield found, config.turn
        return
    seen: dict[str, tuple[Conversation, int]] = {}
    for one in folder.conversations():
        turn = turn_of(one, config.where)
        if turn and (one.problem.id not in seen or one.id < seen[one.problem.id][0].id):
            seen[one.problem.id] = (one, turn)
    yield from (seen[name] for name in sorted(seen))


def _shared(conversation: Conversation, turns: int, change: str) -> Beginning:
    return Beginning(
        conversation.turns[:turns], Parent(conversation=conversation.id, turns=turns, change=change)
    )


async def _beginning(conversation: Conversation, turn: int, config: ForkConfig, task: Task) -> Beginning:
    if config.replace is None:
        return _shared(conversation, turn - 1, f"{config.control or 'other options'} from turn {turn}")
    belief = boundary.read(task, config.replace, conversation.problem)
    correct: bool | None = False if isinstance(belief, Unsure) else None
    if isinstance(belief, Answered):
        correct = await boundary.grade(task, belief.value, conversation.problem)
    reply = Reply(
        text=config.replace, belief=belief, correct=correct, finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"), usage=FREE, attempts=0,
    )  # fmt: skip
    start = _shared(conversation, turn - 1, f"turn {turn} is replaced")
    return start._replace(
        turns=(*start.turns, Turn(seat=conversation.turns[turn - 1].seat, replies=(reply,)))
    )


def _change(config: ForkConfig, names: Iterable[str]) -> dict[str, Any]:
    if config.control is not None:
        changed = set(names)
        if not changed <= {"agent", "partner"} or len(changed) > 1:
            raise ConfigError(
                f"turns of {', '.join(sorted(changed))} cannot be given to one control partner",
                remedy="fork conversations of a pair, one by one",
            )
        return {changed.pop(): {"control": config.control}}
    return {name: dict(getattr(config, name)) for name in ("agent", "partner") if getattr(config, name)}


async def _outcomes(folder: RunFolder) -> dict[str, list[bool]]:
    """Right or not of each continuation, by problem, in the order of samples."""
    identity = folder.identity()
    frame = Frame("", folder, task_of(folder), protocols.stored(identity), identity)
    found: dict[str, list[tuple[int, bool]]] = {}
    async with workers.in_use():
        for one in folder.conversations():
            sample = int(one.id.rpartition("#")[2])
            found.setdefault(one.problem.id, []).append((sample, await frame.is_right(one)))
    return {name: [right for _, right in sorted(each)] for name, each in sorted(found.items())}


def _results(
    ids: list[str], originals: list[bool], shares: Mapping[str, dict[str, list[bool]]], out: Path
) -> ForkResults:
    units = {name: _units(by_problem) for name, by_problem in shares.items()}
    a, b = (clustered_ratio(*zip(*units[name], strict=True)) for name in ("unchanged", "changed"))
    assert a.value is not None
    assert b.value is not None
    ends = None
    if len(units["changed"]) > 1 and len(units["changed"]) == len(units["unchanged"]):
        difference = b.value - a.value
        ends = paired_interval(difference, effects_of(difference, b.residuals - a.residuals))[0]
    results = ForkResults(
        conversations=tuple(ids),
        original=sum(originals) / len(originals),
        unchanged=_share(units["unchanged"]),
        changed=_share(units["changed"]),
        difference=b.value - a.value,
        low=ends and ends.low,
        high=ends and ends.high,
    )
    write_whole(out / "results.json", msgspec.json.format(msgspec.json.encode(results), indent=2))
    return results


def _units(by_problem: Mapping[str, list[bool]]) -> list[tuple[float, float]]:
    """What varies: problems, or the samples of the only one; right ones and all of each."""
    if len(by_problem) == 1:
        return [(float(right), 1.0) for right in next(iter(by_problem.values()))]
    return [(float(sum(each)), float(len(each))) for each in by_problem.values()]


def _share(units: list[tuple[float, float]]) -> Share:
    rows = [(place, whole, part / whole) for place, (part, whole) in enumerate(units)]
    found = share_of(rows)
    return msgspec.structs.replace(found, n=round(sum(whole for _, whole in units)))
