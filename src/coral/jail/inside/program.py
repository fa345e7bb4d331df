"""The program's process: runs a text that nobody trusts, and does with its names what the tests ask for.

Nothing in here is protected from the program, which may rewrite it: what it can say to the tests is what a
program can say anyway, a value or an exception.
"""

from __future__ import annotations

import builtins
import os
import sys

from coral.jail.inside.channel import READY, Channel, apart, leave, read_exactly
from coral.jail.inside.wire import PROGRAMS, TESTS, dumps, loads

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_MANY = 256
_MOST_ITEMS = 10_000
_LONGEST_TEXT = 500
_MOST_FRAMES = 50
_UNCHANGING = (int, float, complex, str, bytes, range, type(None))


def main() -> None:
    """Wait for one job, apply its limits, and do it."""
    builtins.__dict__.update(exit=_leave_program, quit=_leave_program)
    os.write(1, READY)
    job = loads(read_exactly(0, int.from_bytes(read_exactly(0, 4), "big")))
    if job["folder"]:
        os.chdir(job["folder"])
        os.environ["HOME"] = os.environ["TMPDIR"] = job["folder"]
    limit(**job["limits"])
    if job["script"]:
        run_script(job["program"])
    else:
        Served(apart()).serve(job["program"])
    leave()


def _leave_program(code: Any = None) -> None:
    """What `exit` and `quit` do. Python's own come with the folders of packages, which are not there."""
    raise SystemExit(code)


def limit(*, memory: int, cpu: int, file: int, files: int, processes: int) -> None:
    """Limits that nobody in here can raise again. `processes` 0: the kernel would count the user's, too."""
    import resource

    pairs = [("AS", memory), ("FSIZE", file), ("NOFILE", files), ("CORE", 0)]
    if processes:
        pairs.append(("NPROC", processes))
    for name, value in pairs:
        number = getattr(resource, f"RLIMIT_{name}")
        most = resource.getrlimit(number)[1]  # which nobody in here can raise
        kept = value if most == resource.RLIM_INFINITY else min(value, most)
        try:
            resource.setrlimit(number, (kept, kept))
        except (ValueError, OSError):  # macOS has no limit of the address space
            if sys.platform == "linux":
                raise
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))


def run_script(text: str) -> None:
    """Run a program as `python program.py` would, on the input and output we have. Does not return."""
    sys.argv = ["program.py"]
    module = _fresh_module("__main__")
    try:
        code = compile(text, "program.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        _fail(SyntaxError(*error.args) if isinstance(error, ValueError) else error, None)
    try:
        exec(code, module)  # noqa: S102  it is what we are for
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001
        _fail(error, error.__traceback__ and error.__traceback__.tb_next)
    sys.exit(0)


def _fail(error: BaseException, trace: Any) -> NoReturn:
    """Say what nobody caught, as Python does, but of a deep recursion its last frames alone."""
    sys.tracebacklimit = _MOST_FRAMES
    sys.__excepthook__(type(error), error.with_traceback(trace), trace)
    sys.exit(1)


def _fresh_module(name: str) -> dict[str, Any]:
    """The names of a new module, which `sys.modules` and `pickle` find as they find any."""
    module = type(sys)(name)
    sys.modules[name] = module
    module.__dict__.update(__builtins__=builtins, __file__="program.py")
    return module.__dict__


class Served:
    """The program, and what of it the tests hold."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._held: list[Any] = []
        self._numbers: dict[int, int] = {}

    def serve(self, text: str) -> None:
        """Run the program, then do what is asked, one thing after another."""
        failure = None
        try:
            module = _fresh_module("program")
            code = compile(text, "program.py", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            failure = ("failure", "syntax", *_described(error))
        else:
            try:
                exec(code, module)  # noqa: S102  what this process is for
            except BaseException as error:  # noqa: BLE001
                failure = ("failure", _kind_of(error), *_described(error))
        while True:
            request = loads(self._channel.read(), self._find)
            if request[0] == "load":
                self._do("load", module, request[1]) if failure is None else self._reply(*failure)
            else:
                self._do(*request)

    def _do(self, operation: str, target: Any, *rest: Any) -> None:
        """Do one operation on a thing of the program, and reply with what it returned or raised."""
        try:
            if operation == "call":
                self._call(target, *rest)
            else:
                self._reply("value", OPERATIONS[operation](target, *rest), None)
        except BaseException as error:  # noqa: BLE001  whatever it raises crosses by its built-in type
            self._reply("raise", _kind_of(error), *_described(error))

    def _call(self, function: Any, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Call it, and send back arguments that it changed in place."""
        watched = any(not isinstance(one, _UNCHANGING) for one in (*args, *named.values()))
        before = dumps((args, named), self._keep) if watched else b""
        value = function(*args, **named)
        after = dumps((args, named), self._keep) if watched else b""
        self._reply("value", value, (args, named) if after != before else None)

    def _reply(self, *parts: Any) -> None:
        self._channel.write(dumps(parts, self._keep))

    def ask(self, *request: Any) -> Any:
        """Let the tests' process do something with a thing of its own, on behalf of the program."""
        self._channel.write(dumps(("back", *request), self._keep))
        while True:
            answer = loads(self._channel.read(), self._find)
            if answer[0] == "returned":
                return answer[1]
            if answer[0] == "raised":
                raise _exception(answer[1], answer[2])
            self._do(*answer)  # what we asked for asks something of the program first

    def _keep(self, value: Any) -> tuple[str, int]:
        """The number under which the tests know a thing of the program."""
        if type(value) is Foreign:
            return TESTS, value.number
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._held)
            self._held.append(value)
        return PROGRAMS, self._numbers[id(value)]

    def _find(self, owner: str, number: int) -> Any:
        return self._held[number] if owner == PROGRAMS else Foreign(self, number)


class Foreign:
    """A thing of the tests that the program was handed, such as a function: it may be called and iterated."""

    def __init__(self, served: Served, number: int) -> None:
        self._served, self.number = served, number

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._served.ask("call", self, args, named)

    def __iter__(self) -> Any:
        return self._served.ask("iter", self)

    def __next__(self) -> Any:
        return self._served.ask("next", self)


def _next_items(iterator: Any, most: int) -> tuple[list[Any], Any]:
    """Some items of an iterator, and how it ended, if it did: by an exception's type and text."""
    items: list[Any] = []
    try:
        for _ in range(min(most, _MANY)):
            items += [next(iterator)]
    except BaseException as error:  # noqa: BLE001
        return items, (_kind_of(error), *_described(error))
    return items, None


def _set(target: Any, key: Any, value: Any) -> None:
    target[key] = value


def _delete(target: Any, key: Any) -> None:
    del target[key]


def _load(module: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: module[name] for name in names if name in module}


def _tell(function: Any, *args: Any) -> tuple[Any, list[Any], bool]:
    """What it returns, the items of an iterator as a list, the arguments as it left them, and whether it
    returned an iterator.
    """
    value = function(*args)
    is_iterator = hasattr(type(value), "__next__") or isinstance(value, type({}.values()))
    if is_iterator:
        value = [item for item, _ in zip(value, range(_MOST_ITEMS))]  # noqa: B905
    return value, list(args), is_iterator


OPERATIONS: dict[str, Any] = {
    "load": _load, "tell": _tell,
    "get": getattr, "set": setattr, "drop": delattr, "item": lambda target, key: target[key], "put": _set,
    "delete": _delete, "iter": iter, "next": _next_items, "len": len, "bool": bool, "str": str, "repr": repr,
    "int": int, "float": float, "index": lambda target: target.__index__(), "abs": abs, "round": round,
    "is": lambda target, value: isinstance(value, target), "dir": dir,
}  # fmt: skip
"""What tests may do with a thing of the program, beside calling it. None tells it what they expect."""


def _kind_of(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "memory"
    return "exit" if isinstance(error, SystemExit) else "exception"


def _described(error: BaseException) -> tuple[str, str, str, tuple[Any, ...]]:
    """The nearest built-in type, the name of its own type, its text and its arguments, all bounded."""
    built_in = next(one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins")
    try:
        text = str(error)[:_LONGEST_TEXT]
    except BaseException:  # noqa: BLE001
        text = "(its text cannot be made)"
    return built_in, str(type(error).__name__)[:100], text, _arguments(error, text)


def _arguments(error: BaseException, text: str) -> tuple[Any, ...]:
    """What it was raised with: short plain data, of which it says the same; else its text."""
    given: tuple[Any, ...] = vars(BaseException)["args"].__get__(error)
    try:
        is_told = type(error).__str__ in _OF_ARGUMENTS and len(dumps(given)) <= 2 * _LONGEST_TEXT
    except BaseException:  # noqa: BLE001
        is_told = False
    return given if is_told else (text,)


_OF_ARGUMENTS = (BaseException.__str__, KeyError.__str__, OSError.__str__)
"""How an exception is shown that is nothing but its arguments."""


def _exception(name: str, text: str) -> BaseException:
    made = getattr(builtins, name, None)
    if isinstance(made, type) and issubclass(made, Exception):
        try:
            return made(text)
        except TypeError:  # such as UnicodeDecodeError
            pass
    return RuntimeError(f"{name}: {text}")


if __name__ == "jail:main":
    main()
