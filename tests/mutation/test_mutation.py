"""Mistakes and rewrites: what each of them does to a program, and that rewriting changes nothing."""

from __future__ import annotations

import ast
import random
from typing import Any

import pytest

from coral.mutation import OPERATORS, REWRITES, NotAProgram, mutants, normalized, rewrite

LOOP = """
def f(xs, n):
    total = 0
    for i in range(n):
        if xs[i] > 2 and i < 5 or n == 3:
            total += xs[i]
    return total
"""


def made(program: str, operator: str) -> list[str]:
    return [m.program for m in mutants(program, random.Random(0)) if m.operator == operator]


@pytest.mark.parametrize(
    ("operator", "program", "mistake"),
    [
        ("arithmetic", LOOP, "total -= xs[i]"),
        ("boundary", LOOP, "range(n - 1)"),
        ("boundary", LOOP, "range(1, n)"),
        ("boundary", "def f(s, n):\n    return s[:n - 1]", "s[:n]"),
        ("comparison", LOOP, "xs[i] >= 2"),
        ("early_return", LOOP, "        return total\n    return total"),
        ("initial_value", LOOP, "total = 1"),
        ("logic", LOOP, "(xs[i] > 2 or i < 5) or"),
        ("negation", "def f(x):\n    if x > 2:\n        return 1\n    return 0", "x <= 2"),
        ("negation", "def f(x):\n    return [y for y in x if y]", "if not y"),
        ("off_by_one", LOOP, "xs[i] > 3"),
        ("pattern", "import re\ndef f(s):\n    return re.search('^a{2,}$', s)", "a{3,}"),
        ("removed_statement", "def f(x):\n    x = x + 1\n    return x", "f(x):\n    return x"),
        ("swapped_arguments", "def f(a, b):\n    return a - b", "b - a"),
        ("swapped_arguments", "def f(a, b):\n    return pow(a, b)", "pow(b, a)"),
        ("wrong_function", "def f(x):\n    return min(x)", "max(x)"),
        ("wrong_function", "def f(x):\n    return sorted(x)", "reverse=True"),
        ("wrong_variable", LOOP, "range(i)"),
    ],
)
def test_each_operator_makes_its_mistake(operator: str, program: str, mistake: str) -> None:
    """The names of operators are groups of the statistics: each makes the mistake it is named after."""
    found = made(program, operator)
    assert any(mistake in text for text in found), found


def test_every_operator_is_told_apart_above() -> None:
    """An operator without a test of its own would be one that nobody looks at."""
    marked = test_each_operator_makes_its_mistake.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {operator for operator, _, _ in marked} == set(OPERATORS)


def test_mutants_are_one_change_away_and_come_once() -> None:
    """No mutant repeats another or the program itself, and all of them are programs."""
    found = [mutant.program for mutant in mutants(LOOP, random.Random(1))]
    assert len(found) == len(set(found)) > 30
    assert normalized(LOOP) not in found
    for program in found:
        ast.parse(program)


def test_the_same_seed_draws_the_same_mutants() -> None:
    """A set can be made again on another machine."""
    first, second = (list(mutants(LOOP, random.Random("7"))) for _ in range(2))
    assert first == second
    assert first != list(mutants(LOOP, random.Random("8")))


@pytest.mark.parametrize("text", ["def f(:", "\0", "(" * 10_000])
def test_what_is_no_program_is_refused(text: str) -> None:
    """A solution that is not Python is told from one that is wrong."""
    with pytest.raises(NotAProgram):
        list(mutants(text, random.Random(0)))


def test_docstrings_and_annotations_are_left_alone() -> None:
    """A mistake is in what a program does."""
    program = 'def f(x: "list[1]") -> "tuple[2]":\n    """Return 3 [items]."""\n    return x'
    assert list(mutants(program, random.Random(0))) == []


PROGRAMS = {
    "augmented": ("def f(x):\n    y = x\n    y += 2\n    return y", [(1,), (-3,)]),
    "counted_loop": (
        "def f(n):\n    s = []\n    for i in range(2, n):\n        s.append(i)\n    return s",
        [(5,), (0,)],
    ),
    "mirrored_comparison": ("def f(a, b):\n    return a < b", [(1, 2), (2, 1), (1, 1)]),
    "named_result": ("def f(a):\n    return a * 2 + 1", [(4,)]),
    "opposite_comparison": (
        "def f(a):\n    if a == 2:\n        return 'two'\n    return 'other'",
        [(2,), (3,)],
    ),
    "renamed_local": ("def f(a, b):\n    c = [a for a in b]\n    return c + [a]", [(1, [2, 3])]),
    "spelled_range": ("def f(n):\n    return [i for i in range(n)]", [(4,), (0,)]),
    "spelled_truth": (
        "def f(a):\n    if a and a[0]:\n        return True\n    return False",
        [([],), ([1],), ([0],)],
    ),
    "swapped_branches": (
        "def f(a):\n    if a > 2:\n        return 'x'\n    else:\n        return 'y'",
        [(2,), (3,)],
    ),
    "swapped_operands": ("def f(a, b):\n    return a * b + 1", [(2, 3), ([1], 2)]),
    "unrolled_comprehension": (
        "def f(xs):\n    return [x * x for x in xs if x % 2 if x > 1]",
        [([1, 2, 3, 5],)],
    ),
    "added_docstring": ("def f(a):\n    return a", [(1,)]),
}


def behaviour(program: str, inputs: list[tuple[Any, ...]]) -> list[Any]:
    space: dict[str, Any] = {}
    exec(program, space)
    found = []
    for arguments in inputs:
        result: Any = "nothing"
        try:
            result = space["f"](*arguments)
        except TypeError as error:
            result = type(error)
        found.append(result)
    return found


@pytest.mark.parametrize("name", sorted(REWRITES))
def test_a_rewrite_changes_the_text_and_nothing_else(name: str) -> None:
    """A right program that is rewritten must stay right."""
    program, inputs = PROGRAMS[name]
    tree = ast.parse(program)
    places = list(REWRITES[name](tree, random.Random(3)))
    assert places
    places[0]()
    text = ast.unparse(ast.fix_missing_locations(tree))
    assert text != normalized(program).strip()
    assert behaviour(text, inputs) == behaviour(program, inputs)


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("augmented", "def f(x):\n    x += [1]\n    return x"),
        ("counted_loop", "def f(n):\n    for i in range(n):\n        pass\n    return i"),
        ("counted_loop", "def f(n):\n    for i in range(n):\n        i = 3\n        print(i)"),
        ("counted_loop", "def f(n):\n    for i in range(n):\n        n = 3"),
        ("counted_loop", "def f(n):\n    for i in range(n):\n        continue"),
        ("counted_loop", "def f(s):\n    for i in range(len(s)):\n        s.pop()"),
        ("mirrored_comparison", "def f(a):\n    return a.pop() < a.pop()"),
        ("opposite_comparison", "def f(a, b):\n    if a < b:\n        return 1"),
        ("renamed_local", "def f(a):\n    return eval('a')"),
        ("renamed_local", "x = 1\ndef f():\n    global x\n    x = 2"),
        ("swapped_branches", "def f(a, b):\n    if a < b:\n        return 1\n    else:\n        return 2"),
        ("swapped_operands", "def f(a, b):\n    return a + b"),
        ("swapped_operands", "def f(a):\n    return a.pop() * a.pop()"),
        ("unrolled_comprehension", "def f(xs, x):\n    return [x for x in xs] + [x]"),
    ],
)
def test_a_rewrite_keeps_away_from_what_it_could_change(name: str, program: str) -> None:
    """Lists have an order, sets have none, and a loop's counter may be looked at behind it."""
    assert list(REWRITES[name](ast.parse(program), random.Random(0))) == []


@pytest.mark.parametrize("seed", range(40))
def test_many_rewrites_together_change_nothing(seed: int) -> None:
    """Rewrites are laid over one another; the program still does the same."""
    program = (
        "def f(xs, n):\n    total = 1\n    for i in range(n):\n        if xs[i] == 2:\n"
        "            total += 1\n        else:\n            total = total * 3\n    return total + 1\n"
    )
    inputs = [([1, 2, 3], 3), ([2, 2], 2), ([], 0)]
    text, done = rewrite(program, random.Random(seed), 5)
    assert len(set(done) - {"added_docstring"}) == 5
    assert behaviour(text, inputs) == behaviour(program, inputs)
