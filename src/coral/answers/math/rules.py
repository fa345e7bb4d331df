r"""When two mathematical answers are the same.

`same_text` settles what needs no algebra: spelling, exact numbers, lists and tuples element by element. It
takes microseconds. `equivalent` also asks sympy and Math-Verify about expressions, which may take for ever:
call it in a process that can be killed (`coral.sandbox`). The decisions are listed in `docs/grading.md`.

Both are symmetric and reflexive by construction: equal texts are equal, and the two answers are put into
alphabetical order before they are compared.
"""

from __future__ import annotations

from collections.abc import Callable

from coral.answers.math.numbers import Number, begins_expansion
from coral.answers.math.tree import MAX_CHARS, Body, Expression, Group, Part, structure
from coral.answers.math.units import units_agree

_MAX_UNORDERED = 32

Leaf = Callable[[Body, Body], bool]


def same_text(a: str, b: str) -> bool:
    """Whether two answers are the same by spelling and exact arithmetic. Never true for an empty one."""
    return _same(a, b, _same_spelling)


def equivalent(a: str, b: str) -> bool:
    """Whether two answers mean the same. May hang on malicious input: call it through `coral.sandbox`.

    Answers of more than 2,000 characters, and what cannot be parsed, are compared as text only.
    """
    if same_text(a, b):
        return True
    if max(len(a), len(b)) > MAX_CHARS:
        return False
    from coral.answers.math.algebra import same_value

    return _same(a, b, same_value)


def _same(a: str, b: str, leaf: Leaf) -> bool:
    if not a.strip() or not b.strip():
        return False
    if a == b:
        return True
    first, second = (structure(text) for text in sorted((a, b)))
    return first is not None and second is not None and _same_part(first, second, leaf)


def _same_part(a: Part, b: Part, leaf: Leaf) -> bool:
    if a.name and b.name and a.name != b.name:
        return False
    return units_agree(a.unit, b.unit) and _same_body(_equation(a, b), _equation(b, a), leaf)


def _equation(part: Part, other: Part) -> Body:
    """The body of `part`, with its name as an equation ("y = 2x + 3") where the other is an equation."""
    body, against = part.body, other.body
    if not (isinstance(body, Expression) and isinstance(against, Expression)) or body.relation:
        return body
    return Expression(f"{part.name}={body.latex}", relation=True) if part.name and against.relation else body


def _same_body(a: Body, b: Body, leaf: Leaf) -> bool:
    if isinstance(a, Group) and isinstance(b, Group):
        return _same_group(a, b, leaf)
    return leaf(a, b)


def _same_group(a: Group, b: Group, leaf: Leaf) -> bool:
    if a.brackets != b.brackets or len(a.parts) != len(b.parts):
        return False
    in_place = all(_same_part(x, y, leaf) for x, y in zip(a.parts, b.parts, strict=True))
    if in_place or a.ordered or _named_apart(a) != _named_apart(b):
        return in_place
    return _matched(a.parts, b.parts, leaf)


def _named_apart(group: Group) -> bool:
    """Whether names tell the parts apart: "x = 3, y = 4" answers in an order, "x = 3, x = 4" does not."""
    names = {part.name for part in group.parts}
    return len(names) > 1 and "" not in names


def _matched(a: tuple[Part, ...], b: tuple[Part, ...], leaf: Leaf) -> bool:
    """Whether each part of `a` has a part of `b` of its own."""
    if len(a) > _MAX_UNORDERED:
        return False
    left = list(b)
    for part in a:
        found = next((index for index, other in enumerate(left) if _same_part(part, other, leaf)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _same_spelling(a: Body, b: Body) -> bool:
    if isinstance(a, Number) and isinstance(b, Number):
        return a.value == b.value or begins_expansion(a, b.value) or begins_expansion(b, a.value)
    return a == b
