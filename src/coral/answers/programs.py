"""Programs as syntax: what a text defines, what it lacks, and when two are the same text.

Nothing here runs a program.
"""

from __future__ import annotations

import ast
import builtins
import re
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_KNOWN = frozenset({*dir(builtins), "__name__", "__file__", "__doc__"})


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a program has to be.

    Attributes:
        name: of the function or class it defines; "" for a script, which has to write something.
        method: that the class defines, or a function of that name in the place of the class; "" for none.
        beside: what is used with it, such as a class of what it is given; taken from other blocks of a reply.
        prompt: the beginning of the program up to the first line of the function's body, where a reply may
            hold the body alone; "" where it may not.
    """

    name: str = ""
    method: str = ""
    beside: tuple[str, ...] = ()
    prompt: str = ""


# What a program defines ---------------------------------------------------------------------------------


def tree_of(program: str) -> ast.Module | None:
    """The syntax tree, not to be changed; None where it does not parse, in any way that a parser can fail."""
    return _remembered(program) if len(program) <= _LONGEST_REMEMBERED else _parsed(program)


_LONGEST_REMEMBERED = 20_000
"""Characters of a program whose tree is kept: reading a reply asks for it several times."""


@lru_cache(maxsize=64)
def _remembered(program: str) -> ast.Module | None:
    return _parsed(program)


def _parsed(program: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\\w" in a plain string, which the program may well mean
            return ast.parse(program)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def defines(program: str, form: Form) -> bool:
    """Whether a text is a program of the form.

    One that does not parse is one where a line defines the name: it is submitted, and wrong. A function that
    holds nothing but its docstring, imports, `pass` or `...` repeats the problem.
    """
    tree = tree_of(program)
    if tree is None:
        return bool(form.name) and _begins_definition(program, form.name) and not _is_heading(program, form)
    if not form.name:
        return any(_writes(node) for node in ast.walk(tree))
    return _is_defined(tree, form)


def _is_defined(tree: ast.Module, form: Form) -> bool:
    """Not by a variable of a function's body that is called so."""
    if form.method and form.name not in _bound(tree):
        return _is_defined(tree, Form(name=form.method)) and not _takes_self(tree, form.method)
    found = (_definition(node, form.name) for node in _top_level(tree.body))
    holding = [node for node in found if node is not None and _holds(node, form.method)]
    return any(isinstance(node, _NAMING) for node in holding) or (bool(holding) and not _returns(tree))


def _takes_self(tree: ast.Module, name: str) -> bool:
    """Whether what bears a name is a method that was cut out of its class."""
    functions = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    return any(node.args.args and node.args.args[0].arg == "self" for node in functions)


def clean(program: str) -> str:
    """A program without empty lines before it and blanks behind it."""
    return re.sub(r"\A(?:[ \t]*\n)+", "", program).rstrip()


def _begins_definition(program: str, name: str) -> bool:
    pattern = rf"^(?:(?:async\s+)?def\s+{re.escape(name)}\s*\(|class\s+{re.escape(name)}\b)"
    return re.search(pattern, program, re.MULTILINE) is not None


def _is_heading(program: str, form: Form) -> bool:
    """Whether a text ends where the body should begin, and not within it."""
    tree = tree_of(f"{program.rstrip()} pass")
    return tree is not None and not _is_defined(tree, form)


def _top_level(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of the module, those within `if`, `try` and `with` among them."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_level(getattr(node, part, ()))
            for handler in getattr(node, "handlers", ()):
                yield from _top_level(handler.body)


def _definition(node: ast.stmt, name: str) -> ast.stmt | None:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return node if node.name == name else None
    return node if name in bound_by(node) else None


def _holds(node: ast.stmt, method: str) -> bool:
    """Whether a definition has something in its body, and a class the method."""
    if isinstance(node, ast.ClassDef):
        return bool(node.bases) or any(not method or _gives(part, method) for part in node.body)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return not method and _is_written(node)
    return not method and not isinstance(node, ast.Import | ast.ImportFrom)


def _gives(node: ast.stmt, method: str) -> bool:
    """Whether a statement of a class gives it the method, with something in it."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return node.name == method and _is_written(node)
    return method in bound_by(node)


def _is_written(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(not _says_nothing(node) for node in function.body)


def _says_nothing(node: ast.stmt) -> bool:
    if isinstance(node, ast.Raise):
        return "NotImplementedError" in ast.dump(node)
    idle = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant | ast.Name)
    return idle or isinstance(node, ast.Pass | ast.Import | ast.ImportFrom)


def _writes(node: ast.AST) -> bool:
    """Whether it calls what writes, or names it to be called, as in `map(print, found)`."""
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return name in {"print", "write", "writelines"}


def bound_by(node: ast.stmt) -> set[str]:
    """The names that a statement of a module binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return {
        part.id for part in ast.walk(node) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
    }


# Completing ---------------------------------------------------------------------------------------------


def completed(body: str, prompt: str) -> str | None:
    """The program of a prompt with a body behind it; None where the text is not certain to be a body.

    Certain it is where it begins with an indented line, or returns (or yields, or raises) outside of any
    function, and the whole parses. A reply that lost the blanks it began with gets them back.
    """
    if not prompt or not body.strip() or not _is_body(body):
        return None
    head = prompt if prompt.endswith("\n") else prompt + "\n"
    text = body.rstrip().lstrip("\n")
    flush = textwrap.dedent(text)
    for attempt in (text, f"    {text.lstrip()}", textwrap.indent(flush, "    ")):
        program = f"{head}{attempt}\n"
        if (tree := tree_of(program)) is not None and _ends_in_function(tree, prompt):
            return clean(program)
    return None


def _is_body(text: str) -> bool:
    first, *others = [line for line in text.split("\n") if line.strip()]
    if first[0] in " \t" or (all(line[0] in " \t" for line in others) and tree_of(text) is None):
        return True
    tree = tree_of(textwrap.dedent(text))
    return tree is not None and _returns(tree)


def _ends_in_function(tree: ast.Module, prompt: str) -> bool:
    """Whether the prompt's last function holds more than the prompt gave it."""
    written = len(prompt.rstrip().split("\n"))
    begun = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.lineno <= written
    ]
    return bool(begun) and _is_written(begun[-1]) and not _returns(tree)


def _returns(tree: ast.AST) -> bool:
    """Whether something returns, yields or raises outside of any function or class."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom | ast.Raise):
            return True
        closed = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda)
        if not closed and _returns(node):
            return True
    return False


def with_helpers(program: str, others: Sequence[str], beside: Sequence[str] = ()) -> str:
    """The program with those statements of other blocks before it that define what it lacks, or `beside`."""
    there: dict[str, tuple[int, int, str]] = {}
    for number, code in enumerate(others):
        tree = tree_of(code)
        for node in tree.body if tree else ():
            piece = (number, node.lineno, _source(code, node))
            there |= dict.fromkeys(bound_by(node), piece)
    if not there:
        return program
    needed: set[tuple[int, int, str]] = set()
    wanted = set(missing(program)) | (set(beside) - defined(program) if beside else set())
    while wanted:
        piece = there.get(wanted.pop(), (0, 0, ""))
        if piece[2] and piece not in needed:
            needed.add(piece)
            wanted |= missing(piece[2])
    return behind_future(program, "\n\n".join(text for _, _, text in sorted(needed))) if needed else program


def defined(program: str) -> set[str]:
    """The names that a program binds outside of its functions and classes."""
    tree = tree_of(program)
    return _bound(tree) if tree else set()


def _bound(tree: ast.Module) -> set[str]:
    return {name for node in _top_level(tree.body) for name in bound_by(node)}


def _source(code: str, node: ast.stmt) -> str:
    """The lines of a statement, its decorators among them."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    return "\n".join(code.split("\n")[first - 1 : node.end_lineno])


_NAMING = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
"""Statements that bind names other than by an `ast.Name`."""


@lru_cache(maxsize=256)
def missing(program: str) -> frozenset[str]:
    """Names that a program uses and binds nowhere, other than Python's own."""
    tree = tree_of(program)
    if tree is None:
        return frozenset()
    used: set[str] = set()
    bound: set[str] = set(_KNOWN)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (used if isinstance(node.ctx, ast.Load) else bound).add(node.id)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
            bound.add(node.name)
        elif isinstance(node, _NAMING):
            bound |= bound_by(node)
    return frozenset(used - bound)


def behind_future(program: str, before: str) -> str:
    """A program with statements before it, but behind its own `from __future__` imports."""
    tree = tree_of(program)
    future = [
        node.end_lineno or 0
        for node in (tree.body if tree else ())
        if isinstance(node, ast.ImportFrom) and node.module == "__future__"
    ]
    lines, at = program.strip("\n").split("\n"), max(future, default=0)
    return "\n".join([*lines[:at], before, "", *lines[at:]])


# Comparing ----------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def normal(program: str) -> str:
    """What programs have in common that differ in layout, comments, docstrings and annotations alone.

    Names are kept as they are. Names that annotations use and the program lacks count: `x: List[int]` fails
    without its import. A program that does not parse stands for itself, without blanks at line ends.
    """
    tree, bare = _parsed(program), _Bare()
    if tree is None:
        return "\n".join(line.rstrip() for line in program.strip().split("\n"))
    try:
        dumped = ast.dump(bare.visit(tree))
        lacked = bare.annotating - _KNOWN and bare.annotating & missing(program)
        return f"{dumped} lacks {sorted(lacked)}" if lacked else dumped
    except RecursionError:
        return program.strip()


class _Bare(ast.NodeTransformer):
    """Takes away what changes nothing that a program does: docstrings, lone constants, annotations."""

    def __init__(self) -> None:
        self.annotating: set[str] = set()
        """Names that annotations use."""

    def _with_body(self, node: Any) -> Any:
        self.generic_visit(node)
        body = [part for part in node.body if not _is_idle(part)]
        node.body = body or [ast.Pass()]
        return node

    def visit_Module(self, node: ast.Module) -> Any:
        node = self._with_body(node)
        node.body = [part for part in node.body if not isinstance(part, ast.Pass)]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        self._note(node.returns)
        node.returns = None
        return self._with_body(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> Any:
        self._note(node.returns)
        node.returns = None
        return self._with_body(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self._with_body(node)

    def visit_arg(self, node: ast.arg) -> Any:
        self._note(node.annotation)
        node.annotation = None
        return node

    def _note(self, annotation: ast.expr | None) -> None:
        for node in ast.walk(annotation) if annotation is not None else ():
            if isinstance(node, ast.Name):
                self.annotating.add(node.id)


def _is_idle(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
