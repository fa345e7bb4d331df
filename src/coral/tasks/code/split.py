"""Split information for programs: one seat is told what a program should do, the other name and tests.

The name that the tests call is made up, so that whoever knows what the program should do has to hear it, and
it says nothing to whoever knows the tests. These see a part of the tests alone: a program that returns what
they ask for, and no more, fails the others.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Sequence

import msgspec

from coral.mutation.text import is_docstring, parsed
from coral.types import PAIR_SEATS, Problem, Seat

OPENING = (
    "You and your partner write a Python program together. One of you was told what it should do, the other "
    "what it has to define and some of the tests that it has to pass. There are further tests, which neither "
    "of you sees."
)
_TOLD_WHAT = "You alone were told what the program should do:"
_TOLD_TESTS = "You alone were told that the program has to define `{signature}`, and some of its tests:"


def divided(problem: Problem, description: str, signature: str, tests: Sequence[str]) -> Problem:
    """A problem of which each seat knows a part. Which one, the id decides, so that all runs deal alike.

    Args:
        description: what the program should do, in words.
        signature: what it has to define: a name, or a name with parameters.
        tests: all tests, one by one; the second half of them is not shown.
    """
    name = str(problem.source["name"])
    alias = f"solve_{_digest(problem)[:4]}"
    hidden = len(tests) // 2
    given = {part: _renamed(str(problem.source.get(part, "")), name, alias) for part in ("given", "setup")}
    shown = [_renamed(test, name, alias) for test in tests[: len(tests) - hidden]]
    signature = re.sub(rf"\b{re.escape(name)}\b", alias, signature)
    visible = "\n\n".join(filter(None, (*given.values(), "\n".join(shown))))
    source = {
        **problem.source,
        **given,
        "name": alias,
        "names": [alias if one == name else one for one in problem.source["names"]],
        "tests": _renamed(str(problem.source["tests"]), name, alias),
        "shown": shown,
        "description": description,
        "signature": signature,
        "visible": visible,
    }
    return msgspec.structs.replace(
        problem,
        question=f"{description}\n\n{signature}\n\n{visible}",
        target=_renamed(problem.target, name, alias),
        group={**problem.group, "description": holder(problem)},
        source=source,
    )


def holder(problem: Problem) -> Seat:
    """The seat that is told what the program should do."""
    return PAIR_SEATS[int(_digest(problem), 16) % 2]


def told(problem: Problem, seat: Seat) -> str:
    """What a seat alone is told of a divided problem."""
    if seat == holder(problem):
        return f"{_TOLD_WHAT}\n\n{problem.source['description']}"
    tests = _TOLD_TESTS.format(signature=problem.source["signature"])
    return f"{tests}\n\n```python\n{problem.source['visible']}\n```"


def _digest(problem: Problem) -> str:
    return hashlib.sha256(f"split:{problem.id}".encode()).hexdigest()


def _renamed(code: str, name: str, alias: str) -> str:
    """Code in which a function or class is called otherwise."""
    tree = parsed(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id == name:
            node.id = alias
        elif isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            node.name = alias
    return ast.unparse(tree)


_EXAMPLES = re.compile(r"^\s*(?:>>>|(?:for )?examples?\b|e\.g\.)", re.IGNORECASE)


def described(program: str, name: str) -> tuple[str, str]:
    """What a function's docstring says without its examples and its name; name and parameters."""
    function = next(
        node for node in parsed(program).body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    texts = (node.value.value for node in function.body if is_docstring(node))  # type: ignore[attr-defined]
    lines = inspect.cleandoc(next(texts, "")).splitlines()
    kept: list[str] = []
    for line in lines:
        if _EXAMPLES.match(line) or re.search(rf"\b{re.escape(name)}\s*\(", line):
            break
        kept.append(line)
    text = re.sub(rf"\b{re.escape(name)}\b", "the function", "\n".join(kept or lines)).strip()
    returns = f" -> {ast.unparse(function.returns)}" if function.returns else ""
    return text, f"{name}({ast.unparse(function.args)}){returns}"


def statements(test: str, name: str) -> list[str]:
    """What `check(candidate)` asserts of the function of that name, one by one where that can be."""
    check = next(
        node for node in parsed(test).body if isinstance(node, ast.FunctionDef) and node.name == "check"
    )
    parameter = check.args.args[0].arg
    found = [node for node in check.body if isinstance(node, ast.Assert) and _asks(node, parameter)]
    whole = [] if found else ["\n".join(map(ast.unparse, check.body))]
    return [_renamed(text, parameter, name) for text in (*map(ast.unparse, found), *whole)]


def _asks(node: ast.AST, parameter: str) -> bool:
    return any(isinstance(inner, ast.Name) and inner.id == parameter for inner in ast.walk(node))
