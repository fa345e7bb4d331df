"""Programs with split information: one knows what to write, the other what it is called, and tests.

The agents here are functions of the messages they get: they know nothing else but how to program.
"""

from __future__ import annotations

import ast
import re

import pytest

from coral import jail, prompts
from coral.conversation.agent import Agent
from coral.conversation.converse import ConversationConfig, converse
from coral.conversation.extraction import Extractor
from coral.conversation.protocols.pair import Pair
from coral.conversation.protocols.single import Single
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks import registry
from coral.tasks.code import split
from coral.tasks.protocol import Source
from coral.types import OPENER, PAIR_SEATS, RESPONDER, Answered, StopReason

FIRST_REPLY = prompts.builtin("first_reply")
FILES = {"humaneval": "humaneval/HumanEval.jsonl.gz", "mbpp": "mbpp/mbpp.sample.jsonl"}
NAME = re.compile(r"solve_[0-9a-f]{4}")


def opened(name, data, **options):
    """The task with split information, and all of its problems."""
    task = registry.load(name, split_information=True, allow_unsafe_code=True, **options)
    source = Source(data=str(data / FILES[name]), split="all" if name == "mbpp" else "")
    return task, list(task.problems(source))


@pytest.fixture(params=sorted(FILES))
def dealt(request, data):
    """Both tasks, one after the other."""
    return opened(request.param, data)


def test_each_seat_is_told_a_part_alone(dealt):
    """The name is made up and told to one, the words to the other; either part goes to either seat."""
    task, problems = dealt
    for problem in problems:
        assert task.opening(problem) == split.OPENING
        words = task.briefing(problem, split.holder(problem))
        [other] = [seat for seat in PAIR_SEATS if seat != split.holder(problem)]
        tests = task.briefing(problem, other)
        assert problem.source["description"] in words
        assert problem.source["description"] not in tests
        assert not NAME.search(words)
        assert problem.source["name"] in tests
        assert problem.group["description"] == split.holder(problem)
    openers = sum(split.holder(problem) == OPENER for problem in problems)
    assert 0.35 < openers / len(problems) < 0.65


def test_names_tell_nothing(dealt):
    """A function's own name would give away what it does."""
    _, problems = dealt
    assert len({problem.source["name"] for problem in problems}) > 0.9 * len(problems)
    assert all(NAME.fullmatch(problem.source["name"]) for problem in problems)
    for problem in problems:
        ast.parse(problem.source["visible"])


def test_who_repeats_its_part_submits_nothing(dealt):
    """Telling the partner what one was told is no answer."""
    task, problems = dealt
    for problem in problems:
        for seat in PAIR_SEATS:
            assert not isinstance(task.read(task.briefing(problem, seat), problem), Answered)


async def test_the_reference_solution_is_right_under_the_new_name(dealt):
    """Tests, helpers, setup and solution are renamed alike."""
    task, problems = dealt
    chosen = {"HumanEval-10", "HumanEval-32", "HumanEval-38", "HumanEval-115", "367", "927"}
    async with jail.in_use():
        for problem in [*problems[:6], *(one for one in problems[6:] if one.id in chosen)]:
            assert task.read(f"```python\n{problem.target}\n```", problem) == Answered(problem.target.strip())
            assert await task.grade(problem.target, problem) is True, problem.id


async def test_a_table_of_the_tests_told_is_wrong(dealt):
    """Who knows tests alone cannot return what they ask for: others follow."""
    task, problems = dealt
    async with jail.in_use():
        for problem in problems[:6]:
            program = table(problem)
            assert isinstance(task.read(f"```python\n{program}\n```", problem), Answered)
            assert await task.grade(program, problem) is False, problem.id


def table(problem):
    """A program that looks up what the tests ask for that one seat was told."""
    lines = [f"def {problem.source['name']}(*args):"]
    for test in problem.source["shown"]:
        compare = ast.parse(test).body[0].test
        arguments = ", ".join(map(ast.unparse, compare.left.args))
        lines += [f"    if args == ({arguments},):", f"        return {ast.unparse(compare.comparators[0])}"]
    return "\n".join(lines)


def programmer(problems, *, tells):
    """Writes what it was told to write under the name it was told; without both it may tell its part."""
    solutions = {
        " ".join(problem.source["description"].split()): problem.target.replace(
            problem.source["name"], "NAME"
        )
        for problem in problems
    }

    def script(request):
        text = "\n\n".join(message.content for message in request.messages)
        flat, name = " ".join(text.split()), NAME.search(text)
        known = [program for words, program in solutions.items() if words in flat]
        if name and known:
            return f"```python\n{known[0].replace('NAME', name[0])}\n```"
        part = text.partition("You alone were told")[2].partition("\n\nYour partner")[0]
        return f"I was told{part}" if tells else "I cannot say yet."

    return Agent(name="agent", model=ScriptedModel(script), sampling=Sampling(), system="")


async def solved(task, problems, agents):
    """The share of problems on which the agents agree, and are right; alone: are right."""
    extractor = Extractor(mode="rules", task=task, model=None, sampling=Sampling(), template="")
    alone = len(agents) == 1
    protocol = Single(agent="responder") if alone else Pair(max_turns=6, first_reply=FIRST_REPLY)
    config = ConversationConfig(task=task, protocol=protocol, extractor=extractor, seed=0)
    right = 0
    for problem in problems:
        talk = await converse(problem, sample=0, agents=agents, config=config)
        right += bool((alone or talk.stop is StopReason.AGREED) and talk.turns[-1].reply.correct)
    return right / len(problems)


async def test_a_pair_that_tells_solves_it_and_nobody_alone(dealt):
    """Two who tell their parts are right on every problem, one alone and two who do not on none."""
    task, problems = dealt
    problems = problems[:8]
    teller, silent = programmer(problems, tells=True), programmer(problems, tells=False)
    async with jail.in_use():
        assert await solved(task, problems, {OPENER: teller, RESPONDER: teller}) == 1
        assert await solved(task, problems, {RESPONDER: teller}) == 0
        assert await solved(task, problems, {OPENER: silent, RESPONDER: silent}) == 0


def test_without_the_option_nobody_is_briefed(data):
    """The tasks are what they were."""
    for name, file in FILES.items():
        task = registry.load(name, allow_unsafe_code=True)
        source = Source(data=str(data / file), split="all" if name == "mbpp" else "")
        problem = next(iter(task.problems(source)))
        assert [task.briefing(problem, seat) for seat in PAIR_SEATS] == ["", ""]
        assert "description" not in problem.group
