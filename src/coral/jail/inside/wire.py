"""Plain data as text, between two processes that do not trust each other.

None, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range and these types travel
by value, and so do a few of the standard library (`standard.py`); whatever else as the number that its owner
keeps it under. Reading builds nothing but these, never calls what it reads, and is bounded in depth and by
the length of the text. Subclasses travel as what they derive from: a Counter as a dict, a named tuple as a
tuple.
"""

from __future__ import annotations

from coral.jail.inside.standard import parts_of, rebuilt

TYPE_CHECKING = False
if TYPE_CHECKING:  # the import of `typing` would take longer than a small program
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Put: TypeAlias = Callable[[str], None]
    Keep: TypeAlias = Callable[[Any], tuple[str, int]]
    Find: TypeAlias = Callable[[str, int], Any]

DEEPEST = 300
"""Levels of nested data. Deeper data do not travel: readers recurse."""
PROGRAMS, TESTS = "o", "k"
"""The owner of what does not travel: the program's process or the tests'."""

_TYPES: dict[str, Any] = {
    one.__name__: one
    for one in (object, bool, int, float, complex, str, bytes, list, tuple, dict, set, frozenset, range)
}
_NAMES: dict[Any, str] = {one: name for name, one in _TYPES.items()}
_SEQUENCES: dict[Any, str] = {list: "l", tuple: "u", set: "e", frozenset: "z"}
_BUILD: dict[str, Any] = {"l": list, "u": tuple, "e": set, "z": frozenset}
_SINGLE = {"n": None, "t": True, "f": False}
_NUMBERS: dict[str, Callable[[Callable[[str], str]], Any]] = {
    "i": lambda until: int(until(";"), 16),
    "d": lambda until: float(until(";")),
    "c": lambda until: complex(float(until(";")), float(until(";"))),
    "r": lambda until: range(*(int(until(";"), 16) for _ in range(3))),
    "y": lambda until: _TYPES[until(";")],
}
_FROM_TEXT: dict[str, Any] = {"I": int, "D": float}
_WORTH_JOINING = 8


class NotPlain(ValueError):
    """A value is too deep or not of a plain type, or a text is no encoding."""


def _refuse(value: Any) -> tuple[str, int]:
    raise NotPlain(f"a value of type {type(value).__name__} is no plain data")


def _lose(_owner: str, _number: int) -> Any:
    raise NotPlain("a value is no plain data")


def dumps(value: Any, keep: Keep = _refuse) -> bytes:
    """Encode a value. `keep` is asked for the owner and number of what does not travel.

    Raises:
        NotPlain: it is nested more than `DEEPEST` levels, which includes what holds itself.
    """
    pieces: list[str] = []
    _write(value, pieces.append, keep, 0)
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _write(value: Any, put: Put, keep: Keep, depth: int) -> None:
    if depth > DEEPEST:
        raise NotPlain(f"a value is nested more than {DEEPEST} levels")
    for base, atom in _ATOMS:
        if isinstance(value, base):
            put(atom(value))
            return
    if isinstance(value, dict):
        put(f"m{dict.__len__(value)}:")
        for key, item in dict.items(value):
            _write(key, put, keep, depth + 1)
            _write(item, put, keep, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        _write_items(value, put, keep, depth)
    elif type(value) is type and value in _NAMES:
        put(f"y{_NAMES[value]};")
    elif (built := parts_of(value)) is not None:
        put(f"x{built[0]};")
        _write(built[1], put, keep, depth + 1)
    else:
        owner, number = keep(value)
        put(f"{owner}{number};")


_ATOMS: tuple[tuple[type, Callable[[Any], str]], ...] = (
    (type(None), lambda _: "n"),
    (bool, lambda value: "t" if value else "f"),
    (int, lambda value: f"i{int.__format__(value, 'x')};"),  # decimal digits are limited
    (str, lambda value: f"s{str.__len__(value)}:{str.__str__(value)}"),
    (float, lambda value: f"d{float.__repr__(value)};"),
    (complex, lambda value: f"c{value.real!r};{value.imag!r};"),
    (bytes, lambda value: f"b{len(value)}:{bytes(value).decode('latin-1')}"),
    (memoryview, lambda value: f"b{value.nbytes}:{value.tobytes().decode('latin-1')}"),
    (range, lambda value: f"r{value.start:x};{value.stop:x};{value.step:x};"),
)
"""What has no parts, by its type. A bool is an int, so the order counts."""


def _write_items(value: Any, put: Put, keep: Keep, depth: int) -> None:
    base: Any = next(one for one in _SEQUENCES if isinstance(value, one))
    items = list(base.__iter__(value))
    put(f"{_SEQUENCES[base]}{len(items)}:")
    if len(items) >= _WORTH_JOINING and (joined := _joined(items)):
        put(joined)
        return
    put(".")
    for item in items:
        _write(item, put, keep, depth + 1)


def _joined(items: list[Any]) -> str:
    """Many numbers of one type as one piece: the difference between 100,000 steps and one."""
    kinds = set(map(type, items))
    if kinds == {float}:
        text = ",".join(map(repr, items))
        return f"D{len(text)}:{text}"
    if kinds == {int} and max(map(int.bit_length, items)) < 1_000:
        text = ",".join(map(str, items))
        return f"I{len(text)}:{text}"
    return ""


def loads(data: bytes, find: Find = _lose) -> Any:
    """Decode a value. `find` is asked for what did not travel, by owner and number.

    Raises:
        NotPlain: it is no encoding.
    """
    try:
        reader = _Reader(data.decode("utf-8", "surrogatepass"), find)
        value = reader.value(0)
    except NotPlain:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, ArithmeticError) as error:
        raise NotPlain(f"not an encoding: {type(error).__name__}") from None
    if reader.at != len(reader.text):
        raise NotPlain("not an encoding: something follows it")
    return value


class _Reader:
    def __init__(self, text: str, find: Find) -> None:
        self.text, self.at, self.find = text, 0, find

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise NotPlain(f"a value is nested more than {DEEPEST} levels")
        tag = self._take(1)
        if tag in _SINGLE:
            return _SINGLE[tag]
        if tag in _BUILD:
            return _BUILD[tag](self._items(depth))
        if tag == "m":
            return {self.value(depth + 1): self.value(depth + 1) for _ in range(self._count())}
        if tag == "s":
            return self._take(self._count())
        if tag == "b":
            return self._take(self._count()).encode("latin-1")
        if tag in _NUMBERS:
            return _NUMBERS[tag](self._until)
        if tag == "x":
            return rebuilt(self._until(";"), self.value(depth + 1))
        if tag in (PROGRAMS, TESTS):
            return self.find(tag, int(self._until(";")))
        raise NotPlain("not an encoding: an unknown tag")

    def _items(self, depth: int) -> list[Any]:
        count = self._count()
        form = self._take(1)
        if form == ".":
            return [self.value(depth + 1) for _ in range(count)]
        return list(map(_FROM_TEXT[form], self._take(self._count()).split(",")))

    def _count(self) -> int:
        digits = self._until(":")
        if not digits.isdecimal() or len(digits) > 12:
            raise NotPlain("not an encoding: no count")
        return int(digits)

    def _until(self, mark: str) -> str:
        end = self.text.index(mark, self.at)
        piece = self.text[self.at : end]
        self.at = end + 1
        return piece

    def _take(self, count: int) -> str:
        piece = self.text[self.at : self.at + count]
        if len(piece) != count:
            raise NotPlain("not an encoding: it ends too early")
        self.at += count
        return piece
