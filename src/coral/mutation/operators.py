"""Mutation operators: one small mistake in a program, of a kind that people and models make.

An operator looks at one node of the syntax tree and offers changes of it. `mutants` draws operators first and
places second, so that a program full of comparisons still gets other mistakes, too.
"""

from __future__ import annotations

import ast
import copy
import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from coral.mutation.text import functions, is_docstring, names, parsed, written

Change = Callable[[ast.AST], None]
"""Changes a node in its place. It is given the node of a copy of the tree."""
Operator = Callable[[ast.AST], Iterator[Change]]


@dataclass(frozen=True)
class Mutant:
    """A program with one mistake, and the operator that made it."""

    operator: str
    program: str


def mutants(program: str, rng: random.Random) -> Iterator[Mutant]:
    """All programs that are one mistake away, each once, in an order that `rng` draws.

    Raises:
        NotAProgram: it is not Python.
    """
    tree = parsed(program)
    original = written(copy.deepcopy(tree))
    seen = {original}
    places = _places(tree)
    for changes in places.values():
        rng.shuffle(changes)
    while places:
        operator = rng.choice(list(places))
        at, change = places[operator].pop()
        if not places[operator]:
            del places[operator]
        text = _changed(tree, at, change)
        if text not in seen:
            seen.add(text)
            yield Mutant(operator, text)


def _places(tree: ast.Module) -> dict[str, list[tuple[int, Change]]]:
    """By operator, where in the order of `ast.walk` it can do what."""
    untouched = _untouched(tree)
    found: dict[str, list[tuple[int, Change]]] = {}
    for at, node in enumerate(ast.walk(tree)):
        if id(node) not in untouched:
            for name, operator in OPERATORS.items():
                found.setdefault(name, []).extend((at, change) for change in operator(node))
    return {name: changes for name, changes in found.items() if changes}


def _untouched(tree: ast.Module) -> set[int]:
    """Nodes that say nothing of what a program does: docstrings and annotations."""
    roots: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt) and is_docstring(node):
            roots.append(node)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            roots.append(node.annotation)
        elif isinstance(node, ast.FunctionDef):
            roots.append(node.returns)
    return {id(node) for root in roots if root is not None for node in ast.walk(root)}


def _changed(tree: ast.Module, at: int, change: Change) -> str:
    mutated = copy.deepcopy(tree)
    node = next(node for number, node in enumerate(ast.walk(mutated)) if number == at)
    change(node)
    return written(mutated)


def _set(name: str, value: object) -> Change:
    """Another value of a field of the node."""

    def change(node: ast.AST) -> None:
        setattr(node, name, value)

    return change


_COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip


def _comparison(node: ast.AST) -> Iterator[Change]:
    """Another comparison: `<` becomes `<=` or `>`."""
    if isinstance(node, ast.Compare):
        for index, old in enumerate(node.ops):
            for new in _COMPARISONS[type(old)]:
                yield _set("ops", [*node.ops[:index], new(), *node.ops[index + 1 :]])


_ARITHMETIC: dict[type[ast.operator], tuple[type[ast.operator], ...]] = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Add, ast.FloorDiv), ast.Pow: (ast.Mult,),
    ast.Div: (ast.Mult, ast.FloorDiv), ast.FloorDiv: (ast.Div, ast.Mod), ast.Mod: (ast.FloorDiv,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,), ast.BitXor: (ast.BitOr,),
    ast.LShift: (ast.RShift,), ast.RShift: (ast.LShift,),
}  # fmt: skip


def _arithmetic(node: ast.AST) -> Iterator[Change]:
    """Another arithmetic operator: `+` becomes `-`."""
    if isinstance(node, ast.BinOp | ast.AugAssign) and not _is_text(node):
        for new in _ARITHMETIC.get(type(node.op), ()):
            yield _set("op", new())


def _is_text(node: ast.BinOp | ast.AugAssign) -> bool:
    """Whether an operand is a text, where another operator would only raise an exception."""
    sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
    return any(
        isinstance(side, ast.JoinedStr) or (isinstance(side, ast.Constant) and isinstance(side.value, str))
        for side in sides
    )


def _logic(node: ast.AST) -> Iterator[Change]:
    """`and` becomes `or`, and one of several conditions is forgotten."""
    if isinstance(node, ast.BoolOp):
        yield _set("op", ast.Or() if isinstance(node.op, ast.And) else ast.And())
        if len(node.values) > 2:
            for index in range(len(node.values)):
                yield _set("values", node.values[:index] + node.values[index + 1 :])


def _whole(node: ast.AST) -> int | None:
    """The whole number that a node is."""
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _off_by_one(node: ast.AST) -> Iterator[Change]:
    """A whole number that is one too large or too small."""
    if (number := _whole(node)) is not None:
        for slip in (1, -1):
            yield _set("value", number + slip)


_PATTERN = re.compile(r"[\\\[^$]")


def _pattern(node: ast.AST) -> Iterator[Change]:
    """A regular expression that asks for one more, or that forgets about beginning or end."""
    if (
        not isinstance(node, ast.Constant)
        or not isinstance(node.value, str)
        or not _PATTERN.search(node.value)
    ):
        return
    text = node.value
    for count in re.finditer(r"(?<=[{,])\d+(?=[,}])", text):
        yield _set("value", f"{text[: count.start()]}{int(count[0]) + 1}{text[count.end() :]}")
    for mark in re.finditer(r"(?<=[\w\])])[+*?]", text):
        other = "+" if mark[0] == "*" else "*"
        yield _set("value", f"{text[: mark.start()]}{other}{text[mark.end() :]}")
    yield _set("value", text.removeprefix("^"))
    yield _set("value", text.removesuffix("$"))


def _boundary(node: ast.AST) -> Iterator[Change]:
    """The end of a range or slice, one too far or too near."""
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "range"
        and node.args
    ):
        end = min(1, len(node.args) - 1)
        for slip in (1, -1):
            yield _set("args", [*node.args[:end], _slipped(node.args[end], slip), *node.args[end + 1 :]])
        if len(node.args) == 1:
            yield _set("args", [ast.Constant(1), node.args[0]])
    elif isinstance(node, ast.Slice):
        for name in ("lower", "upper"):
            if (bound := getattr(node, name)) is not None:
                for slip in (1, -1):
                    yield _set(name, _slipped(bound, slip))


def _slipped(bound: ast.expr, slip: int) -> ast.expr:
    """A bound one more or less, written as one would: `n - 1` becomes `n`, `3` becomes `4`."""
    if (number := _whole(bound)) is not None:
        return ast.Constant(number + slip)
    match bound:
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as sign, right=ast.Constant(value=int(number))):
            offset = (number if isinstance(sign, ast.Add) else -number) + slip
            if offset == 0:
                return left
            return ast.BinOp(left, ast.Add() if offset > 0 else ast.Sub(), ast.Constant(abs(offset)))
    return ast.BinOp(bound, ast.Add() if slip > 0 else ast.Sub(), ast.Constant(1))


def _negation(node: ast.AST) -> Iterator[Change]:
    """The opposite of a condition."""
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield _set("test", negated(node.test))
    elif isinstance(node, ast.comprehension):
        for index, test in enumerate(node.ifs):
            yield _set("ifs", [*node.ifs[:index], negated(test), *node.ifs[index + 1 :]])
    elif isinstance(node, ast.Return) and (value := _truth(node.value)) is not None:
        yield _set("value", ast.Constant(not value))


def _truth(node: ast.AST | None) -> bool | None:
    value = node.value if isinstance(node, ast.Constant) else None
    return value if isinstance(value, bool) else None


OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip


def negated(test: ast.expr) -> ast.expr:
    """The opposite of a condition, as one would write it."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return test.operand
    if isinstance(test, ast.Compare) and len(test.ops) == 1:
        return ast.Compare(test.left, [OPPOSITES[type(test.ops[0])]()], test.comparators)
    return ast.UnaryOp(ast.Not(), test)


def _initial_value(node: ast.AST) -> Iterator[Change]:
    """A variable that begins with another value: 0 with 1, True with False."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
        value = node.value.value
        if isinstance(value, bool):
            yield _set("value", ast.Constant(not value))
        elif isinstance(value, int):
            yield _set("value", ast.Constant(0 if value == 1 else 1))
    elif isinstance(node, ast.Assign) and (first := _place(node.value)) is not None:
        start: ast.Subscript = node.value  # type: ignore[assignment]
        yield _set("value", ast.Subscript(start.value, ast.Constant(int(first == 0)), ast.Load()))


def _place(node: ast.AST) -> int | None:
    """The place of what is taken from a list."""
    return _whole(node.slice) if isinstance(node, ast.Subscript) else None


def _early_return(node: ast.AST) -> Iterator[Change]:
    """A `return` that slips into the loop before it, or a loop that ends after its first round."""
    body = getattr(node, "body", None)
    if not isinstance(body, list):
        return
    for index, (loop, after) in enumerate(itertools.pairwise(body)):
        if isinstance(loop, ast.For | ast.While) and isinstance(after, ast.Return):
            yield _returning_inside(index)
    if isinstance(node, ast.For) and not isinstance(body[-1], ast.Return | ast.Break | ast.Continue):
        yield _set("body", [*body, ast.Break()])


def _returning_inside(index: int) -> Change:
    def change(node: ast.AST) -> None:
        body: list[ast.stmt] = node.body  # type: ignore[attr-defined]
        loop, after = body[index], body[index + 1]
        loop.body.append(copy.deepcopy(after))  # type: ignore[attr-defined]

    return change


_REMOVABLE = (ast.AugAssign, ast.Expr, ast.If, ast.Continue, ast.Break, ast.Assign)


def _removed_statement(node: ast.AST) -> Iterator[Change]:
    """A statement is missing; never the first assignment of a name that is needed behind it."""
    for name in ("body", "orelse"):
        body = getattr(node, name, None)
        if not isinstance(body, list) or len(body) < 2 or isinstance(node, ast.Module | ast.ClassDef):
            continue
        known = {arg.arg for arg in ast.walk(node) if isinstance(arg, ast.arg)}
        for index, statement in enumerate(body):
            stored = _stored(statement)
            needed = stored & {name.id for later in body[index + 1 :] for name in names(later)}
            if isinstance(statement, _REMOVABLE) and needed <= known and not is_docstring(statement):
                yield _set(name, body[:index] + body[index + 1 :])
            known |= stored


def _stored(statement: ast.AST) -> set[str]:
    """The names that a statement binds; what it adds to was bound before."""
    found = {name.id for name in names(statement) if isinstance(name.ctx, ast.Store)}
    return found - {statement.target.id} if _adds_to_name(statement) else found  # type: ignore[attr-defined]


def _adds_to_name(statement: ast.AST) -> bool:
    return isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name)


_COMMUTATIVE = {"max", "min", "gcd", "lcm", "print", "zip"}


def _swapped_arguments(node: ast.AST) -> Iterator[Change]:
    """Two arguments or operands in the wrong order."""
    if isinstance(node, ast.Call) and _called(node) not in _COMMUTATIVE:
        for index in range(len(node.args) - 1):
            first, second = node.args[index : index + 2]
            if not isinstance(first, ast.Starred | ast.Lambda) and not isinstance(second, ast.Starred):
                yield _set("args", [*node.args[:index], second, first, *node.args[index + 2 :]])
    elif isinstance(node, ast.BinOp) and isinstance(
        node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.Pow
    ):
        if not _is_text(node):
            yield _swap_operands
    elif isinstance(node, ast.IfExp):
        yield _swap_branches
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load) and len(node.elts) == 2:
        yield _set("elts", node.elts[::-1])


def _swap_operands(node: ast.AST) -> None:
    assert isinstance(node, ast.BinOp)
    node.left, node.right = node.right, node.left


def _swap_branches(node: ast.AST) -> None:
    assert isinstance(node, ast.IfExp)
    node.body, node.orelse = node.orelse, node.body


_CONFUSED = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
    "lower": "upper", "upper": "lower", "lstrip": "rstrip", "rstrip": "lstrip", "append": "extend",
    "startswith": "endswith", "endswith": "startswith", "search": "match", "match": "search",
    "fullmatch": "match", "find": "rfind", "keys": "values", "values": "keys", "union": "intersection",
    "intersection": "union",
    "nlargest": "nsmallest", "nsmallest": "nlargest", "isdigit": "isalpha", "isalpha": "isalnum",
    "sum": "max", "ljust": "rjust", "islower": "isupper", "isupper": "islower", "index": "count",
}  # fmt: skip
"""Functions and methods that are taken for each other."""


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _wrong_function(node: ast.AST) -> Iterator[Change]:
    """A function that is easily taken for the right one, or an order that is reversed or forgotten."""
    if not isinstance(node, ast.Call):
        return
    other = _CONFUSED.get(_called(node))
    if other and isinstance(node.func, ast.Attribute):
        yield _set("func", ast.Attribute(node.func.value, other, ast.Load()))
    elif other and isinstance(node.func, ast.Name):
        yield _set("func", ast.Name(other, ast.Load()))
    for index, keyword in enumerate(node.keywords):
        if keyword.arg in {"reverse", "key"}:
            yield _set("keywords", node.keywords[:index] + node.keywords[index + 1 :])
    if _called(node) in {"sorted", "sort"} and all(keyword.arg != "reverse" for keyword in node.keywords):
        yield _set("keywords", [*node.keywords, ast.keyword("reverse", ast.Constant(True))])


def _wrong_variable(node: ast.AST) -> Iterator[Change]:
    """Another variable of the same function."""
    if not isinstance(node, ast.FunctionDef) or len(functions(node)) > 1:
        return
    known = sorted({arg.arg for arg in node.args.args} | _stored(node))
    loads = [
        number
        for number, inner in enumerate(ast.walk(node))
        if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load) and inner.id in known
    ]
    for number in loads:
        for name in known:
            yield _renaming(number, name)


def _renaming(number: int, name: str) -> Change:
    def change(node: ast.AST) -> None:
        found = next(inner for at, inner in enumerate(ast.walk(node)) if at == number)
        found.id = name  # type: ignore[attr-defined]

    return change


OPERATORS: dict[str, Operator] = {
    "arithmetic": _arithmetic,
    "boundary": _boundary,
    "comparison": _comparison,
    "early_return": _early_return,
    "initial_value": _initial_value,
    "logic": _logic,
    "negation": _negation,
    "off_by_one": _off_by_one,
    "pattern": _pattern,
    "removed_statement": _removed_statement,
    "swapped_arguments": _swapped_arguments,
    "wrong_function": _wrong_function,
    "wrong_variable": _wrong_variable,
}
"""Name -> what it may change of a node. The names are groups of the statistics: rename none."""
