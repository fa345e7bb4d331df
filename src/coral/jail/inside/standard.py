"""Values of the standard library that travel as what they are made of: dates, fractions, deques and the like.

Each is rebuilt of plain data by its own constructor. Whoever reads it trusts nothing: parts of another type,
which might be things of the other process, are refused before anything is done with them.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Apart: TypeAlias = Callable[[Any], tuple[Any, ...]]
    Fits: TypeAlias = Callable[[tuple[Any, ...]], bool]
    Build: TypeAlias = Callable[..., Any]

LARGEST_FRACTION = 1 << 13
"""Bits of a numerator or denominator: reducing them takes time that grows with the square."""


def parts_of(value: Any) -> tuple[str, tuple[Any, ...]] | None:
    """The name under which a value is rebuilt, and of what; None where it does not travel so."""
    kind = type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name not in _FORMS:
        return None
    apart, fits, _ = _FORMS[name]
    parts = apart(value)
    return (name, parts) if fits(parts) else None


def rebuilt(name: str, parts: Any) -> Any:
    """The value.

    Raises:
        KeyError, TypeError, ValueError, ArithmeticError: there is none of that name and these parts.
    """
    _, fits, build = _FORMS[name]
    if type(parts) is not tuple or not fits(parts):
        raise TypeError("other parts")
    return build(*parts)


def _of(*types: type) -> Fits:
    return lambda parts: tuple(map(type, parts)) == types


def _are_pairs(parts: tuple[Any, ...]) -> bool:
    return all(type(part) is tuple and len(part) == 2 for part in parts)


def _is_deque(parts: tuple[Any, ...]) -> bool:
    return len(parts) == 2 and type(parts[0]) is list and (parts[1] is None or type(parts[1]) is int)


def _is_fraction(parts: tuple[Any, ...]) -> bool:
    whole = tuple(map(type, parts)) == (int, int)
    return whole and all(part.bit_length() <= LARGEST_FRACTION for part in parts)


def _from(module: str, name: str, method: str = "") -> Build:
    """A constructor of a module that is imported when it is needed."""

    def build(*parts: Any) -> Any:
        made = getattr(__import__(module), name)
        return getattr(made, method)(*parts) if method else made(*parts)

    return build


def _any(_parts: tuple[Any, ...]) -> bool:
    return True


_KEYS: tuple[Apart, Fits, Build] = (tuple, _any, lambda *keys: dict.fromkeys(keys).keys())
_ITEMS: tuple[Apart, Fits, Build] = (tuple, _are_pairs, lambda *items: dict(items).items())
_FORMS: dict[str, tuple[Apart, Fits, Build]] = {
    "array.array": (lambda it: (it.typecode, it.tobytes()), _of(str, bytes), _from("array", "array")),
    "builtins.bytearray": (lambda it: (bytes(it),), _of(bytes), bytearray),
    "builtins.dict_items": _ITEMS,
    "builtins.dict_keys": _KEYS,
    "builtins.ellipsis": (lambda _: (), _of(), lambda: ...),
    "builtins.NotImplementedType": (lambda _: (), _of(), lambda: NotImplemented),
    "builtins.odict_items": _ITEMS,
    "builtins.odict_keys": _KEYS,
    "builtins.slice": (lambda it: (it.start, it.stop, it.step), lambda parts: len(parts) == 3, slice),
    "collections.deque": (lambda it: (list(it), it.maxlen), _is_deque, _from("collections", "deque")),
    "datetime.date": (lambda it: (it.isoformat(),), _of(str), _from("datetime", "date", "fromisoformat")),
    "datetime.datetime": (
        lambda it: (it.isoformat(),), _of(str), _from("datetime", "datetime", "fromisoformat")
    ),
    "datetime.time": (lambda it: (it.isoformat(),), _of(str), _from("datetime", "time", "fromisoformat")),
    "datetime.timedelta": (
        lambda it: (it.days, it.seconds, it.microseconds), _of(int, int, int), _from("datetime", "timedelta")
    ),
    "decimal.Decimal": (lambda it: (str(it),), _of(str), _from("decimal", "Decimal")),
    "fractions.Fraction": (
        lambda it: (it.numerator, it.denominator), _is_fraction, _from("fractions", "Fraction")
    ),
}  # fmt: skip
"""By type: the parts of a value, whether parts are such, and how it is built of them."""
