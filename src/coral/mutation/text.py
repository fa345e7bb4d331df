"""Programs as texts and as syntax trees."""

from __future__ import annotations

import ast
import warnings


class NotAProgram(ValueError):
    """A text that is not Python; `str()` says why."""


def parsed(program: str) -> ast.Module:
    """The syntax tree of a program.

    Raises:
        NotAProgram: it is not Python, or nested too deep.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes such as "\\d" outside of raw strings
        try:
            return ast.parse(program.replace("\r\n", "\n"))
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise NotAProgram(f"{type(error).__name__}: {error}") from None


def written(tree: ast.Module) -> str:
    """A tree as a text, in the one layout of all programs of a set."""
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def normalized(program: str) -> str:
    """What two programs have in common that differ in layout and comments only.

    Raises:
        NotAProgram: it is not Python.
    """
    return written(parsed(program))


def functions(tree: ast.AST) -> list[ast.FunctionDef]:
    """The functions of a program, those in classes and in other functions included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]


def names(tree: ast.AST) -> list[ast.Name]:
    """All names that a program reads or binds, those of its parameters and imports not included."""
    return [node for node in ast.walk(tree) if isinstance(node, ast.Name)]


def bodies(tree: ast.AST) -> list[list[ast.stmt]]:
    """All lists of statements of a program, from the outside in."""
    return [
        body
        for node in ast.walk(tree)
        for name in ("body", "orelse", "finalbody")
        if isinstance(body := getattr(node, name, None), list) and body
    ]


def is_docstring(statement: ast.stmt) -> bool:
    """Whether a statement is nothing but a text."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
