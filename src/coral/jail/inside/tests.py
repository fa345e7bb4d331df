"""The tests' process: runs the tests of a data set against names that live in the program's process.

It forks for every check. The tests are trusted, what comes from the program's process is not: it is read as
plain data, and nothing of it decides what is equal to what.
"""

from __future__ import annotations

import builtins
import os
import sys

from coral.jail.inside.channel import READY, Channel, apart, leave
from coral.jail.inside.wire import PROGRAMS, TESTS, NotPlain, dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERDICT, ASK, DONE = b"V", b"P", b"Z"
"""What a frame of ours begins with: the verdict, something for the program's process, the end of a check."""


def main() -> None:
    """Wait for jobs; each has a process of its own, so that no check sees another's."""
    _warm_up()
    os.write(1, READY)
    channel = apart()
    while True:
        job = loads(channel.read())
        child = os.fork()
        if child == 0:
            try:
                _limit(job["memory"], job["cpu"])
                channel.write(VERDICT, dumps(judge(Link(channel), job)))
            finally:
                leave()
        os.waitpid(child, 0)
        channel.write(DONE)


def _warm_up() -> None:
    """What tests import most, once for all of them."""
    for name in ("collections", "copy", "json", "math", "re", "resource", "string", "typing"):
        __import__(name)


def _limit(memory: int, cpu: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    if sys.platform == "linux":  # macOS has no limit of the address space
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def judge(link: Link, job: dict[str, Any]) -> tuple[str, str]:
    """The kind of outcome and its detail: passed only if every statement of the tests ran to its end."""
    try:
        setup = compile(job["setup"], "<setup>", "exec", dont_inherit=True)
        tests = compile(job["tests"], "<tests>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        return "broken", f"{type(error).__name__}: {error}"
    space: dict[str, Any] = {"__name__": "tests", "__builtins__": builtins}
    try:
        loaded = link.load(job["names"])
        space.update(loaded)
        exec(setup, space)  # noqa: S102  the tests are why this process is there
        space.update(loaded)
        exec(tests, space)  # noqa: S102
    except Broken as error:
        return "failed", f"the program's process answered nonsense: {error}"
    except Failure as error:
        return error.kind, error.detail
    except BaseException as error:  # noqa: BLE001  whatever ends the tests early is a failure of the program
        return _told(error, job["tests"])
    return "passed", ""


def _told(error: BaseException, tests: str) -> tuple[str, str]:
    """What ended the tests: an exception of the program, or a statement of theirs."""
    if (raised := RAISED.get(id(error))) is not None:
        return raised
    if isinstance(error, MemoryError):
        return "memory", "MemoryError in the tests' process"
    number, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<tests>":
            number = trace.tb_lineno
        trace = trace.tb_next
    lines = tests.splitlines()
    line = lines[number - 1].strip() if 0 < number <= len(lines) else "the setup"
    text = str(error)
    name = "" if isinstance(error, AssertionError) else type(error).__name__
    reason = ": ".join(part for part in (name, text) if part)
    return "failed", f"{line} -> {reason}" if reason else line


class Broken(BaseException):
    """The program's process sent what is no reply. No test can catch it as an exception of the program."""


class Failure(BaseException):
    """The program did not come to its end."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind, self.detail = kind, detail


RAISED: dict[int, tuple[str, str]] = {}
"""Outcome by exception of the program, by identity; `_KEPT` keeps identities from being used twice."""
_KEPT: list[BaseException] = []


class Link:
    """The way to the program's process: one request, one reply."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._remotes: dict[int, Remote] = {}
        self._own: list[Any] = []

    def load(self, names: list[str]) -> dict[str, Any]:
        """The program's values of these names; those it lacks are left out."""
        found = self.ask("load", names)
        if type(found) is not dict:
            raise Broken("it names nothing")
        return {name: found[name] for name in names if name in found}

    def ask(self, *request: Any) -> Any:
        """Have something done with a thing of the program, and return or raise what came of it."""
        self._send(request)
        while True:
            reply = self._receive()
            if reply[0] == "value":
                return self._accept(request, *reply[1:])
            if reply[0] == "back":
                self._do_own(reply[1:])
            elif reply[0] == "failure":
                raise Failure(_kind(reply[1]), _detail(reply))
            elif reply[0] == "raise":
                raise exception(reply)
            else:
                raise Broken("an unknown reply")

    def _accept(self, request: tuple[Any, ...], value: Any = None, changed: Any = None) -> Any:
        if changed is not None and request[0] == "call":
            for old, new in zip((*request[2], *request[3].values()), _arguments(changed), strict=False):
                _update(old, new)
        return value

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            self._channel.write(ASK, dumps(message, self._keep))
        except NotPlain as error:
            raise TypeError(str(error)) from None

    def _receive(self) -> tuple[Any, ...]:
        try:
            reply = loads(self._channel.read(), self._find)
        except NotPlain as error:
            raise Broken(str(error)) from None
        if type(reply) is not tuple or not reply or type(reply[0]) is not str:
            raise Broken("no reply")
        return reply

    def _do_own(self, request: tuple[Any, ...]) -> None:
        """Do what the program asks of a thing that it was handed: call it, or iterate over it."""
        if len(request) < 2 or not any(request[1] is one for one in self._own):
            raise Broken("it asks for what it was not handed")
        operation, target, *rest = request
        operations: dict[str, Any] = {"iter": iter, "next": next}
        answer: tuple[Any, ...]
        try:
            called = operation == "call"
            answer = ("returned", target(*rest[0], **rest[1]) if called else operations[operation](target))
        except Exception as error:  # noqa: BLE001  it goes back to the program that called
            answer = ("raised", type(error).__name__, str(error))
        self._send(answer)

    def _keep(self, value: Any) -> tuple[str, int]:
        if type(value) is Remote:
            return PROGRAMS, object.__getattribute__(value, "_number")
        for number, one in enumerate(self._own):
            if one is value:
                return TESTS, number
        self._own.append(value)
        return TESTS, len(self._own) - 1

    def _find(self, owner: str, number: int) -> Any:
        if owner == TESTS:
            return self._own[number]
        if number not in self._remotes:
            self._remotes[number] = Remote(self, number)
        return self._remotes[number]


def exception(reply: tuple[Any, ...], *, ends_iteration: bool = False) -> BaseException:
    """An exception of the program, as one of the nearest built-in type with its text.

    StopIteration is one only at the end of an iterator: raised by a call it would end a loop of the tests
    over `map(program, ...)` before any of them ran. Python makes it a RuntimeError in generators, too.
    """
    if len(reply) != 6 or not all(type(part) is str for part in reply[:5]) or type(reply[5]) is not tuple:
        raise Broken("an exception without a name")
    made = getattr(builtins, reply[2], None)
    if made in (StopIteration, StopAsyncIteration) and not ends_iteration:
        made = RuntimeError
    error: BaseException = Exception(reply[4])
    if isinstance(made, type) and issubclass(made, BaseException):
        try:
            error = made(*reply[5])
        except (TypeError, ValueError):  # such as UnicodeDecodeError, which wants five arguments
            error = next(one for one in made.__mro__ if one in (ValueError, Exception, BaseException))(
                reply[4]
            )
    RAISED[id(error)] = (_kind(reply[1]), _detail(reply))
    _KEPT.append(error)
    return error


def _kind(kind: Any) -> str:
    return kind if kind in ("syntax", "memory", "exit") else "exception"


def _detail(reply: tuple[Any, ...]) -> str:
    name, text = (part if type(part) is str else "?" for part in (*reply, "", "", "", "", "")[3:5])
    return f"{name}: {text}" if text else name


def _arguments(changed: Any) -> list[Any]:
    if type(changed) is not tuple or len(changed) != 2 or type(changed[0]) is not tuple:
        raise Broken("arguments that are none")
    if type(changed[1]) is not dict:
        raise Broken("arguments that are none")
    return [*changed[0], *changed[1].values()]


def _update(old: Any, new: Any) -> Any:
    """Make a value of the tests what the program made of its copy, in place as far as it can be."""
    if type(old) is not type(new):
        return new
    if isinstance(old, tuple):
        return tuple(map(_update, old, new)) if len(old) == len(new) else new
    if hasattr(old, "extend") and not isinstance(old, list):  # a deque, a bytearray, an array
        while old:
            old.pop()
        old.extend(new)
        return old
    if not isinstance(old, list | dict | set):
        return new
    if isinstance(old, list):
        old[:] = [*map(_update, old, new), *new[len(old) :]]
        return old
    if isinstance(old, dict):
        new = {key: _update(old.get(key), value) for key, value in new.items()}
    old.clear()
    old.update(new)
    return old


class Remote:
    """A thing of the program, such as a function, a class or an instance.

    It can be called, iterated, read and written. It equals nothing but itself: the program is never shown
    what the tests compare with, and never says whether something is equal.
    """

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return _ask(self, "call", args, named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__name__", "__doc__", "__qualname__", "__dict__"):
            raise AttributeError(name)
        return _ask(self, "get", name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, "drop", name)

    def __getitem__(self, key: Any) -> Any:
        return _ask(self, "item", key)

    def __setitem__(self, key: Any, value: Any) -> None:
        _ask(self, "put", key, value)

    def __delitem__(self, key: Any) -> None:
        _ask(self, "delete", key)

    def __iter__(self) -> Any:
        iterator = _ask(self, "iter")
        return _items(iterator) if type(iterator) is Remote else iter(iterator)

    def __next__(self) -> Any:
        items, end = _some(self, 1)
        if end is not None:
            raise end
        return items[0]

    def __instancecheck__(self, value: Any) -> bool:
        return bool(_ask(self, "is", value))

    def __len__(self) -> int:
        return int(_ask(self, "len"))

    def __bool__(self) -> bool:
        return bool(_ask(self, "bool"))

    def __str__(self) -> str:
        return str(_ask(self, "str"))

    def __repr__(self) -> str:
        return str(_ask(self, "repr"))

    def __int__(self) -> int:
        return int(_ask(self, "int"))

    def __index__(self) -> int:
        return int(_ask(self, "index"))

    def __float__(self) -> float:
        return float(_ask(self, "float"))

    def __abs__(self) -> Any:
        return _ask(self, "abs")

    def __round__(self, *digits: int) -> Any:
        return _ask(self, "round", *digits)

    def __dir__(self) -> Any:
        return list(_ask(self, "dir"))


def _ask(remote: Remote, operation: str, *rest: Any) -> Any:
    link: Link = object.__getattribute__(remote, "_link")
    return link.ask(operation, remote, *rest)


def _items(iterator: Remote) -> Any:
    """The items of an iterator of the program, fetched more at a time the longer it lasts."""
    most = 1
    while True:
        items, end = _some(iterator, most)
        yield from items
        if isinstance(end, StopIteration):
            return
        if end is not None:
            raise end
        most = min(2 * most, 256)


def _some(iterator: Remote, most: int) -> tuple[list[Any], BaseException | None]:
    answer = _ask(iterator, "next", most)
    if type(answer) is not tuple or len(answer) != 2 or type(answer[0]) is not list:
        raise Broken("no items")
    items, end = answer
    if end is None:
        if not items:
            raise Broken("no items")
        return items, None
    if type(end) is not tuple:
        raise Broken("no items")
    return items, exception(("raise", *end), ends_iteration=True)


if __name__ == "jail:main":
    main()
