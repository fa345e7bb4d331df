"""Who agrees with whom in mathematics, and who is right: two relations, and what they have in common."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coral import workers
from coral.conversation.protocols.base import unanimous
from coral.metrics import AnswerClasses, trace_of
from coral.tasks import mathematics, registry
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
)

LENGTH = "A board is 3 m long. How long is it in centimeters?"
MONEY = "Eggs cost $2 a dozen. How much does she make every day, in dollars?"
UNKNOWN = "Solve for $x$: $2x = 10$."
QUESTIONS = ["", LENGTH, MONEY, UNKNOWN]

POOL = ["5", "5 cm", "5 m", "500 cm", "5.0", r"5\text{ cm}", "5 meters", r"\$5", "5 dollars", "500 cents"]
POOL += ["5%", "5 percent", "0.05", "x=5", "y=5", "x = 5", "5 apples", "5 pears", "5 AM", "5 PM", "5^\\circ"]
POOL += ["1/3", "0.3333333333", "0.33333333333333", "0.333", r"\frac{1}{3}", r"\frac{2}{6}"]
POOL += [r"\sqrt{2}", "1.4142135623730951", r"\frac{2}{\sqrt{2}}", "2^{1/2}", "1.414"]
POOL += ["1, 2", "2, 1", r"\{1,2\}", "(1,2)", "[1,2]", "x=1, y=2", "y=2, x=1", "1 and 2", r"1<x<2", "1, 2, 2"]
POOL += [
    "x^2-1",
    "(x-1)(x+1)",
    "y=2x+1",
    "2x+1",
    "2x-y+1=0",
    "4x-2y+2=0",
    "no",
    "No.",
    r"\text{no}",
    "A",
    "a",
]
POOL += [
    "1/0",
    "2/0",
    r"\infty",
    "f'(2)",
    "f(2)",
    r"\{1," * 36 + "3" + r"\}" * 36,
    "9**9**9",
    "$",
    "",
    "x" * 3_000,
]


@pytest.fixture(scope="module")
def keys() -> dict[tuple[str, str], str]:
    """The key of each answer of the pool to each question."""

    async def all_keys() -> dict[tuple[str, str], str]:
        pairs = list(itertools.product(POOL, QUESTIONS))
        return {(a, q): await mathematics._key(a, q) for a, q in pairs}

    return asyncio.run(all_keys())


@pytest.fixture(autouse=True, scope="module")
def _closed() -> Iterator[None]:
    yield
    asyncio.run(workers.close())


def problem(question: str, target: str = "5") -> Problem:
    return Problem(id="p", task="math", question=question, target=target)


@pytest.mark.parametrize("question", QUESTIONS)
async def test_same_is_an_equivalence(question: str) -> None:
    """Reflexive, symmetric and transitive over answers with units, names, decimals, lists and nonsense."""
    alike = {(a, b): await mathematics.same(a, b, question) for a in POOL for b in POOL}
    assert all(alike[a, a] for a in POOL)
    assert all(alike[a, b] == alike[b, a] for a, b in alike)
    classes = {a: frozenset(b for b in POOL if alike[a, b]) for a in POOL}
    assert all(classes[a] == classes[b] for a, b in alike if alike[a, b])


@pytest.mark.parametrize(
    ("a", "b", "question", "expected"),
    [
        ("5 cm", "5 m", "", False),
        ("5 cm", "5 m", LENGTH, False),
        ("5 cm", "5", LENGTH, True),
        ("5 m", "5", LENGTH, False),
        ("5 m", "500", LENGTH, True),
        ("5 m", "500 cm", "", True),
        ("5", "5 cm", "", False),
        (r"\$5", "5", MONEY, True),
        ("5 dollars", r"\$5.00", "", True),
        ("500 cents", "5", MONEY, True),
        ("5 eggs", "5", MONEY, False),
        ("18 eggs", "18", "How many eggs does she sell?", True),
        ("18 girls", "18", "There are 18 girls. How many boys are there?", False),
        ("3 boys", "3 girls", "How many more boys than girls are there?", True),
        ("90 minutes", "1.5", "How many hours does it take?", True),
        ("1 hour and 30 minutes", "90", "How many minutes does it take?", True),
        ("36 km/h", "10", "What is its speed in m/s?", True),
        ("12 cm^2", "12", "What is the area in square centimeters?", True),
        ("12 square inches", "12", "What is the area in square centimeters?", False),
        ("90^\\circ", "90", r"How many degrees is $\angle ABC$?", True),
        ("50\\%", "50", "What percent is that?", True),
        ("50\\%", "0.5", "What percent is that?", False),
        ("x = 5", "5", UNKNOWN, True),
        ("y = 5", "5", UNKNOWN, False),
        ("x=5", "y=5", "", False),
        (r"5\sqrt{2}\text{ cm}", r"5\sqrt{2}", LENGTH, True),
        ("0.3333333333", "1/3", "", True),
        ("0.333", "1/3", "", False),
        (r"\{1, 2\}", "2, 1", "", True),
        ("-2<x<7", "(-2,7)", "", True),
        ("3 \\text{ and } 4", "4, 3", "", True),
    ],
)
async def test_what_the_question_asks_for_need_not_be_said(
    a: str, b: str, question: str, expected: bool
) -> None:
    """Agents agree on a number without its unit or name where the question asks for that one."""
    assert await mathematics.same(a, b, question) is expected
    assert await mathematics.same(b, a, question) is expected


@pytest.mark.parametrize(
    ("answer", "target", "question", "expected"),
    [
        ("5 cm", "5", "", True),
        ("5", "5 cm", "", True),
        ("5 m", "5 cm", "", False),
        ("0.05 m", "5", LENGTH, True),
        ("0.05 m", "5", "", False),
        ("1.4142135623730951", r"\sqrt{2}", "", True),
        ("x=5", "5", "", True),
        ("2,74", "2.74", "", True),
        ("9**9**9", "3", "", False),
    ],
)
async def test_a_grade_is_more_lenient(answer: str, target: str, question: str, expected: bool) -> None:
    """The gold answer may leave out what the answer says, and the other way round."""
    assert await registry.load("math").grade(answer, problem(question, target)) is expected


def conversation(answers: tuple[str, ...], sample: int, question: str) -> Conversation:
    speaker = Speaker(name="agent", model="m")
    seats = itertools.cycle([RESPONDER, OPENER])
    turns = tuple(
        Turn(
            seat=seat,
            replies=(
                Reply(
                    text=answer,
                    belief=Answered(answer),
                    correct=None,
                    finish_reason=FinishReason.STOP,
                    extraction=Extraction(by="rules"),
                ),
            ),
        )
        for seat, answer in zip(seats, answers, strict=False)
    )
    return Conversation(
        schema=SCHEMA, id=f"p#{sample}", problem=problem(question),
        speakers={RESPONDER: speaker, OPENER: speaker},
        opening="", turns=turns, stop=StopReason.MAX_TURNS, seed=0, started_at=0.0, seconds=0.0,
    )  # fmt: skip


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.sampled_from(POOL), st.sampled_from(POOL)), min_size=1, max_size=6),
    st.randoms(use_true_random=False),
    st.sampled_from(QUESTIONS),
)
def test_loop_and_metrics_agree_in_any_order(keys, pairs, rng, question) -> None:
    """What ended `agreed` is an agreement in the table, and no vote depends on the order of samples."""

    async def same(a: str, b: str) -> bool:
        return a == b or keys[a, question] == keys[b, question]

    async def partition(order: list[int]) -> dict[int, int]:
        classes = AnswerClasses()
        last = {}
        for sample in order:
            held = conversation(pairs[sample], sample, question)
            trace = await trace_of(held, same, classes)
            one, two = (turn.belief for turn in trace.turns)
            assert (one == two) is await unanimous(held.turns, (RESPONDER, OPENER), same)
            last[sample] = two
        return last

    order = list(range(len(pairs)))
    first = asyncio.run(partition(order))
    rng.shuffle(order)
    second = asyncio.run(partition(order))
    for a, b in itertools.product(first, first):
        assert (first[a] == first[b]) == (second[a] == second[b])
