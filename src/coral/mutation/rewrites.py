"""Rewrites: another program that does the same.

A rewrite looks at one place and changes it only where the syntax alone shows that nothing else can come of
it: operands that are evaluated in another order are names, constants and what is made of them. `rewrite`
draws a few of them. Right and mistaken programs of a set both pass through it, so that being rewritten tells
nothing.
"""

from __future__ import annotations

import ast
import builtins
import copy
import random
from collections.abc import Callable, Iterator

from coral.mutation.operators import negated
from coral.mutation.text import bodies, functions, is_docstring, names, parsed, written

Rewriting = Callable[[], None]
Rewrite = Callable[[ast.Module, random.Random], Iterator[Rewriting]]


def rewrite(program: str, rng: random.Random, count: int) -> tuple[str, tuple[str, ...]]:
    """A program that does the same, and the names of the rewrites that made it: at most `count`, and for
    every second program a docstring.

    Raises:
        NotAProgram: it is not Python.
    """
    tree, done = parsed(program), list[str]()
    wanted = [name for name in REWRITES if name != DOCSTRING]
    for kinds in ([DOCSTRING] if rng.random() < 1 / 2 else [], *([wanted] * count)):
        left = [name for name in kinds if name not in done]
        for name in rng.sample(left, len(left)):
            places = list(REWRITES[name](tree, rng))
            if places:
                rng.choice(places)()
                tree = parsed(written(tree))  # so that no node stands in two places
                done.append(name)
                break
    return written(tree), tuple(sorted(done))


_NAMES = (
    "result", "value", "item", "total", "current", "idx", "left", "right", "data", "acc", "temp", "number",
    "first", "second", "output", "entry", "size", "limit", "element", "values", "words", "step", "answer",
    "other",
)  # fmt: skip
_SPECIAL = {"locals", "globals", "vars", "eval", "exec"}


def _used(tree: ast.AST) -> set[str]:
    """Every name that stands anywhere in a program."""
    found = set(dir(builtins))
    for node in ast.walk(tree):
        for field in ("id", "arg", "name", "attr", "asname"):
            if isinstance(name := getattr(node, field, None), str):
                found.add(name)
    return found


def _fresh(tree: ast.AST, rng: random.Random) -> str:
    """A name that stands nowhere in the program."""
    used = _used(tree)
    free = [name for name in _NAMES if name not in used]
    return rng.choice(free) if free else next(name for n in range(10**6) if (name := f"value{n}") not in used)


def _renamed_local(tree: ast.Module, rng: random.Random) -> Iterator[Rewriting]:
    """A parameter or local variable of another name, everywhere in its function."""
    top = {node.id for statement in tree.body for node in names(statement) if not _in_function(statement)}
    for function in functions(tree):
        inner = [node for node in ast.walk(function) if node is not function]
        if any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Global | ast.Nonlocal) for node in inner
        ):
            continue
        if any(name.id in _SPECIAL for name in names(function)):
            continue
        own = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        own |= {node.id for node in names(function) if isinstance(node.ctx, ast.Store)}
        keywords = {node.arg for node in ast.walk(tree) if isinstance(node, ast.keyword)}
        local = sorted(own - top - keywords - _bound_elsewhere(function) - {"self", "cls"})
        if local:
            yield _renaming(function, rng.choice(local), _fresh(tree, rng))


def _in_function(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.FunctionDef | ast.ClassDef)


def _bound_elsewhere(function: ast.FunctionDef) -> set[str]:
    """Names that an import or `except` binds; `ast.Name` does not show them."""
    found: set[str] = {function.name}
    for node in ast.walk(function):
        if isinstance(node, ast.alias):
            found.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found.add(node.name)
    return found


def _renaming(function: ast.FunctionDef, old: str, new: str) -> Rewriting:
    def change() -> None:
        for node in ast.walk(function):
            if isinstance(node, ast.Name) and node.id == old:
                node.id = new
            elif isinstance(node, ast.arg) and node.arg == old:
                node.arg = new

    return change


def _is_plain(node: ast.expr) -> bool:
    """Whether a value has no other effect than itself, so that it may be computed earlier or later."""
    if isinstance(node, ast.Name | ast.Constant):
        return True
    if isinstance(node, ast.UnaryOp):
        return _is_plain(node.operand)
    if isinstance(node, ast.Subscript):
        return _is_plain(node.value) and not isinstance(node.slice, ast.Slice) and _is_plain(node.slice)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
        return _is_plain(node.left) and _is_plain(node.right)
    return isinstance(node, ast.Call) and _is_length(node)


def _is_length(node: ast.Call) -> bool:
    return (
        isinstance(node.func, ast.Name)
        and node.func.id == "len"
        and len(node.args) == 1
        and _is_plain(node.args[0])
    )


_MIRRORED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE, ast.Eq: ast.Eq, ast.NotEq: ast.NotEq,
}  # fmt: skip


def _mirrored_comparison(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`a < b` as `b > a`."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or len(node.ops) > 1 or type(node.ops[0]) not in _MIRRORED:
            continue
        if _is_plain(node.left) and _is_plain(node.comparators[0]):
            yield _mirroring(node)


def _mirroring(node: ast.Compare) -> Rewriting:
    def change() -> None:
        node.left, node.comparators = node.comparators[0], [node.left]
        node.ops = [_MIRRORED[type(node.ops[0])]()]

    return change


_EQUALITIES = ([ast.Eq], [ast.NotEq], [ast.In], [ast.NotIn])


def _opposite_comparison(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`a == b` as `not a != b`, where only its truth matters. Of numbers alone `<` has an opposite."""
    for node in ast.walk(tree):
        test = node.test if isinstance(node, ast.If | ast.While | ast.IfExp) else None
        if isinstance(test, ast.Compare) and [type(op) for op in test.ops] in _EQUALITIES:
            yield _opposing(node)  # type: ignore[arg-type]


def _opposing(node: ast.If | ast.While | ast.IfExp) -> Rewriting:
    def change() -> None:
        node.test = ast.UnaryOp(ast.Not(), negated(node.test))

    return change


def _swapped_operands(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`x + 1` as `1 + x`: of a sum one side has to be a number, since texts and lists have an order."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.BinOp) and _is_plain(node.left) and _is_plain(node.right)):
            continue
        if isinstance(node.op, ast.Mult) or (isinstance(node.op, ast.Add) and _has_number(node)):
            yield _swapping(node)


def _has_number(node: ast.BinOp) -> bool:
    return any(_is_number(side) for side in (node.left, node.right))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _swapping(node: ast.BinOp) -> Rewriting:
    def change() -> None:
        node.left, node.right = node.right, node.left

    return change


def _augmented(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`x += 1` as `x = x + 1`, and back. Only with a number: a list would be changed in its place."""
    for body in bodies(tree):
        for index, statement in enumerate(body):
            other = _other_addition(statement)
            if other is not None:
                yield _putting(body, index, [other])


def _other_addition(statement: ast.stmt) -> ast.stmt | None:
    match statement:
        case ast.AugAssign(target=ast.Name(id=name), op=op, value=value) if _is_number(value):
            return ast.Assign([ast.Name(name, ast.Store())], ast.BinOp(ast.Name(name, ast.Load()), op, value))
        case ast.Assign(
            targets=[ast.Name(id=name)], value=ast.BinOp(left=ast.Name(id=other), op=op, right=value)
        ) if name == other and _is_number(value):
            return ast.AugAssign(ast.Name(name, ast.Store()), op, value)
    return None


def _putting(
    body: list[ast.stmt], index: int, statements: list[ast.stmt], *, instead_of: int = 1
) -> Rewriting:
    def change() -> None:
        body[index : index + instead_of] = statements

    return change


def _swapped_branches(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`if c: A else: B` as `if not c: B else: A`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and node.orelse and _has_opposite(node.test):
            if not (len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If)):
                yield _turning(node)
        elif isinstance(node, ast.IfExp) and _has_opposite(node.test):
            yield _turning(node)


def _has_opposite(test: ast.expr) -> bool:
    """Whether `negated` turns it round for all values: `<` and `>=` are both false of sets."""
    orders = ast.Lt | ast.LtE | ast.Gt | ast.GtE
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], orders):
        return any(_is_number(side) for side in (test.left, test.comparators[0]))
    return True


def _turning(node: ast.If | ast.IfExp) -> Rewriting:
    def change() -> None:
        node.test = negated(node.test)
        node.body, node.orelse = node.orelse, node.body

    return change


def _named_result(tree: ast.Module, rng: random.Random) -> Iterator[Rewriting]:
    """`return e` as `x = e; return x`, and back."""
    for body in bodies(tree):
        for index, statement in enumerate(body):
            if not isinstance(statement, ast.Return) or statement.value is None:
                continue
            if not isinstance(statement.value, ast.Name | ast.Constant):
                name = _fresh(tree, rng)
                kept = ast.Assign([ast.Name(name, ast.Store())], statement.value)
                yield _putting(body, index, [kept, ast.Return(ast.Name(name, ast.Load()))])
            elif index and isinstance(statement.value, ast.Name):
                before = body[index - 1]
                if isinstance(before, ast.Assign) and _assigns(before, statement.value.id):
                    yield _putting(body, index - 1, [ast.Return(before.value)], instead_of=2)


def _assigns(statement: ast.Assign, name: str) -> bool:
    target = statement.targets[0]
    return len(statement.targets) == 1 and isinstance(target, ast.Name) and target.id == name


def _spelled_truth(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`if c: return True; return False` as `return bool(c)`, and a comparison the other way."""
    for body in bodies(tree):
        for index, statement in enumerate(body):
            if isinstance(statement, ast.If) and _returns(statement.body, value=True):
                if _returns(statement.orelse, value=False):
                    yield _putting(body, index, [ast.Return(_truth(statement.test))])
                elif not statement.orelse and _returns(body[index + 1 :], value=False):
                    yield _putting(body, index, [ast.Return(_truth(statement.test))], instead_of=2)
            elif isinstance(statement, ast.Return) and _is_comparison(statement.value):
                spelled: list[ast.stmt] = [
                    ast.If(statement.value, [ast.Return(ast.Constant(True))], []),  # type: ignore[arg-type]
                    ast.Return(ast.Constant(False)),
                ]
                yield _putting(body, index, spelled)


def _returns(body: list[ast.stmt], *, value: bool) -> bool:
    if len(body) != 1 or not isinstance(body[0], ast.Return):
        return False
    returned = body[0].value
    return isinstance(returned, ast.Constant) and returned.value is value


def _truth(test: ast.expr) -> ast.expr:
    return test if _is_comparison(test) else ast.Call(ast.Name("bool", ast.Load()), [test], [])


def _is_comparison(value: ast.expr | None) -> bool:
    return isinstance(value, ast.Compare) and len(value.ops) == 1


def _spelled_range(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`range(n)` as `range(0, n)`, and back."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
            if len(node.args) == 1:
                yield _with_arguments(node, [ast.Constant(0), *node.args])
            elif len(node.args) == 2 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0:
                yield _with_arguments(node, node.args[1:])


def _with_arguments(node: ast.Call, args: list[ast.expr]) -> Rewriting:
    def change() -> None:
        node.args = args

    return change


def _counted_loop(tree: ast.Module, _rng: random.Random) -> Iterator[Rewriting]:
    """`for i in range(n)` as a `while` loop that counts, where nothing else looks at the counter."""
    for function in functions(tree):
        for body in bodies(function):
            for index, loop in enumerate(body):
                if isinstance(loop, ast.For) and (span := _span(loop, function)):
                    yield _putting(body, index, _while(loop, *span))


def _span(loop: ast.For, function: ast.FunctionDef) -> tuple[ast.expr, ast.expr] | None:
    """Where a loop over a range begins and ends; None where a `while` loop might differ."""
    call = loop.iter
    if loop.orelse or not isinstance(loop.target, ast.Name) or not isinstance(call, ast.Call):
        return None
    if not (isinstance(call.func, ast.Name) and call.func.id == "range" and len(call.args) in (1, 2)):
        return None
    span = (ast.Constant(0), call.args[0]) if len(call.args) == 1 else (call.args[0], call.args[1])
    if not all(isinstance(end, ast.Name | ast.Constant) for end in span):
        return None
    inside = [node for statement in loop.body for node in ast.walk(statement)]
    if any(isinstance(node, ast.Continue | ast.FunctionDef | ast.Lambda) for node in inside):
        return None
    fixed = {loop.target.id} | {end.id for end in span if isinstance(end, ast.Name)}
    if any(
        isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in fixed for node in inside
    ):
        return None
    mine = {id(node) for node in ast.walk(loop)}
    counter = loop.target.id
    others = [node for node in names(function) if node.id == counter and id(node) not in mine]
    return None if others or any(end.id == counter for end in span if isinstance(end, ast.Name)) else span


def _while(loop: ast.For, first: ast.expr, end: ast.expr) -> list[ast.stmt]:
    counter = loop.target.id  # type: ignore[attr-defined]
    begin = ast.Assign([ast.Name(counter, ast.Store())], copy.deepcopy(first))
    count = ast.AugAssign(ast.Name(counter, ast.Store()), ast.Add(), ast.Constant(1))
    test = ast.Compare(ast.Name(counter, ast.Load()), [ast.Lt()], [copy.deepcopy(end)])
    return [begin, ast.While(test, [*loop.body, count], [])]


def _unrolled_comprehension(tree: ast.Module, rng: random.Random) -> Iterator[Rewriting]:
    """A list comprehension as a loop that appends."""
    for function in functions(tree):
        for body in bodies(function):
            for index, statement in enumerate(body):
                if isinstance(statement, ast.Return | ast.Assign) and isinstance(
                    statement.value, ast.ListComp
                ):
                    made = _loop(statement.value, statement, tree, rng)
                    if made:
                        yield _putting(body, index, made)


def _loop(
    made: ast.ListComp, statement: ast.Return | ast.Assign, tree: ast.Module, rng: random.Random
) -> list[ast.stmt] | None:
    """The loop; None where the names of the comprehension may be those of variables around it."""
    if len(made.generators) != 1:
        return None
    over = made.generators[0]
    bound = {node.id for node in names(over.target)}
    inside = {id(node) for node in ast.walk(made)}
    if any(name.id in bound and id(name) not in inside for name in names(tree)):
        return None
    name = _fresh(tree, rng)
    append = ast.Attribute(ast.Name(name, ast.Load()), "append", ast.Load())
    inner: list[ast.stmt] = [ast.Expr(ast.Call(append, [made.elt], []))]
    for test in reversed(over.ifs):
        inner = [ast.If(test, inner, [])]
    statement = copy.copy(statement)
    statement.value = ast.Name(name, ast.Load())
    empty = ast.Assign([ast.Name(name, ast.Store())], ast.List([], ast.Load()))
    return [empty, ast.For(over.target, over.iter, inner, []), statement]


def _added_docstring(tree: ast.Module, rng: random.Random) -> Iterator[Rewriting]:
    """A word on what the function is for, which says nothing of whether it does it."""
    for function in tree.body:
        if isinstance(function, ast.FunctionDef) and not is_docstring(function.body[0]):
            words = function.name.replace("_", " ").strip() or "helper"
            text = rng.choice((f"Compute {words}.", f"Return the result of {words}.", f"Implements {words}."))
            yield _putting(function.body, 0, [ast.Expr(ast.Constant(text)), function.body[0]])


DOCSTRING = "added_docstring"
"""Drawn apart from the others: it changes so much text that whoever has one more of them would stand out."""
REWRITES: dict[str, Rewrite] = {
    DOCSTRING: _added_docstring,
    "augmented": _augmented,
    "counted_loop": _counted_loop,
    "mirrored_comparison": _mirrored_comparison,
    "named_result": _named_result,
    "opposite_comparison": _opposite_comparison,
    "renamed_local": _renamed_local,
    "spelled_range": _spelled_range,
    "spelled_truth": _spelled_truth,
    "swapped_branches": _swapped_branches,
    "swapped_operands": _swapped_operands,
    "unrolled_comprehension": _unrolled_comprehension,
}
"""Name -> the places of a program where it can be done."""
