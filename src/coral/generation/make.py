"""`coral make mbpp_cr`: a file of programs that are right or wrong, a model's or with mistakes put in.

OUTPUT.parts holds what the model was asked and answered, as a batch of `coral generate`, and what each
program did when it was run. So whatever ends the work, the same command resumes it: nothing is asked or run
twice.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from coral import jail
from coral.generation.beside import begin, check_options, claimed, options_before
from coral.generation.generate import Counts as Replies
from coral.generation.generate import generate
from coral.generation.make_config import MakeConfig
from coral.models import embedded
from coral.store.lines import Appender, decode, read_lines
from coral.store.whole import whole_file
from coral.tasks import sources
from coral.tasks.code import mbpp_cr, review
from coral.tasks.code.mbpp import Mbpp
from coral.tasks.code.review import Checks, Counts, Example, Ran, Recipe, Sample
from coral.tasks.protocol import Source
from coral.types import Answered, Problem
from coral.version import version

SAMPLE_MORE = "ask for more --samples, at another --agent.temperature, or of a stronger or weaker model"


class _Line(msgspec.Struct, frozen=True):
    """What came of a program, as it is kept."""

    key: str
    ran: Ran


_DECODER = msgspec.json.Decoder(_Line)


@dataclass
class Made:
    """What a session made. Written by the job alone; a display polls it.

    Attributes:
        replies: the counters of what the model was asked.
        counts: what came of problems and programs.
        written: whether OUTPUT was written.
        splits, operators: how many programs of OUTPUT have which.
        unread: replies that hold no program.
        complaints: what was left out, in sentences.
    """

    replies: Replies = field(default_factory=Replies)
    counts: Counts = field(default_factory=Counts)
    written: bool = False
    splits: dict[str, int] = field(default_factory=dict)
    operators: dict[str, int] = field(default_factory=dict)
    unread: int = 0
    complaints: list[str] = field(default_factory=list)

    def stop(self) -> None:
        """Let requests in flight end and programs that run, and begin no others."""
        self.replies.stop()


async def make(config: MakeConfig, made: Made) -> Made:
    """Make the set, or what is missing of it; OUTPUT is written whole or not at all.

    Raises:
        UserError: programs cannot be run here, the data or the output cannot be used, or nobody answers.
        FatalReject: the server refuses every request.
    """
    driver = jail.driver(allow_unsafe_code=config.allow_unsafe_code)
    source = Source(data=config.data, split="")
    fingerprint = sources.fingerprint(source, mbpp_cr.MbppCr.info)
    problems = list(islice(_problems(source), config.limit))
    output = Path(config.output)
    folder = begin(output)
    decisive = config.decisive(fingerprint)
    with claimed(folder):
        if (before := options_before(folder, decisive)) is not None:
            check_options(output, before, decisive)
        samples = await _asked(config, folder, problems, made) if config.has_model else None
        if made.replies.total and not made.replies.is_complete:
            return made
        recipe = _recipe(config, fingerprint)
        with _checks(folder / "runs", driver) as checks:
            examples = await _examples(problems, samples, recipe, checks, made)
        if made.replies.stopping:
            return made
        remedy = SAMPLE_MORE if config.has_model else mbpp_cr.RUNS_HERE
        made.complaints += mbpp_cr.complaints(made.counts, config.data, remedy=remedy)
        with whole_file(output) as file:
            file.writelines(msgspec.json.encode(example) + b"\n" for example in examples)
        made.written = True
    for example in examples:
        made.splits[example.split] = made.splits.get(example.split, 0) + 1
        made.operators[example.operator] = made.operators.get(example.operator, 0) + 1
    return made


def _problems(source: Source) -> Iterator[Problem]:
    return (mbpp_cr.problem_of(row) for row in sources.rows(source, mbpp_cr.MbppCr.info))


def _recipe(config: MakeConfig, fingerprint: str) -> Recipe:
    by = {"model": embedded.name_of(config.agent)} if config.has_model else {}
    lineage = {**by, "data": fingerprint, "coral": version(), "python": platform.python_version()}
    return Recipe(pairs=config.pairs, seed=config.seed, split_seed=config.split_seed, lineage=lineage)


async def _examples(
    problems: Sequence[Problem],
    samples: dict[str, list[Sample]] | None,
    recipe: Recipe,
    checks: Checks,
    made: Made,
) -> list[Example]:
    """The set; what there is of it once the work is to stop."""

    async def one(problem: Problem) -> list[Example]:
        if made.replies.stopping:
            return []
        if samples is None:
            return await review.mutated(problem, recipe, checks, made.counts)
        return await review.sampled(problem, samples.get(problem.id, []), recipe, checks, made.counts)

    async with jail.in_use():
        return [example async for example in review.in_order(problems, one)]


# The model --------------------------------------------------------------------------------------------------


async def _asked(
    config: MakeConfig, folder: Path, problems: Sequence[Problem], made: Made
) -> dict[str, list[Sample]]:
    """The programs that the model wrote, by problem; empty if it was interrupted."""
    rows, replies = folder / "problems.jsonl", folder / "replies.jsonl"
    with whole_file(rows) as file:
        file.writelines(msgspec.json.encode(_row(problem)) + b"\n" for problem in problems)
    await generate(config.generation(rows, replies), made.replies)
    if not made.replies.written:
        return {}
    by_id = {problem.id: problem for problem in problems}
    samples: dict[str, list[Sample]] = {}
    for line in replies.read_bytes().splitlines():
        answered = msgspec.json.decode(line)
        for choice in (answered["response"] or {"choices": []})["choices"]:
            problem = by_id[answered["problem"]]
            sample = _sample(choice, problem)
            made.unread += sample is None
            if sample is not None:
                samples.setdefault(problem.id, []).append(sample)
    return samples


def _row(problem: Problem) -> dict[str, str]:
    task = Mbpp()
    return {"problem": problem.id, "prompt": f"{task.opening(problem)}\n\n{task.instruction}"}


def _sample(choice: dict[str, Any], problem: Problem) -> Sample | None:
    """The program of one reply; None where it is cut or submits none."""
    belief = Mbpp().read(choice["message"]["content"] or "", problem)
    if choice["finish_reason"] == "length" or not isinstance(belief, Answered):
        return None
    return Sample(belief.value, {"sample": choice["index"]})


@contextmanager
def _checks(folder: Path, driver: str) -> Iterator[Checks]:
    """Checks that know what earlier sessions ran, and keep what is run now."""
    folder.mkdir(parents=True, exist_ok=True)
    known = {line.key: line.ran for line in (decode(line, _DECODER) for line in read_lines(folder))}
    appender = Appender(folder)

    def keep(key: str, ran: Ran) -> None:
        appender.append(msgspec.json.encode(_Line(key, ran)))

    try:
        yield Checks(driver=driver, known=known, keep=keep)
    finally:
        appender.close()
