"""What a name may stand for: something of ours, or what another package adds by an entry point."""

from __future__ import annotations

import importlib
import logging
import sys
import traceback
from collections import Counter
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import Any

from coral.errors import ConfigError, UserError
from coral.types import encodable

log = logging.getLogger(__name__)

FOREIGN = (Exception, SystemExit)
"""What code that is not ours may raise: `sys.exit()` in it ends no run, and no command without a word."""


class BrokenPlugIn(UserError):
    """What another package adds cannot be loaded."""


class PlugIns:
    """The things of one kind, by name.

    Args:
        kind: what one is called in messages, such as `task`.
        group: of the entry points that add to them.
        built_in: name -> "module:attribute". Imported when asked for, so that the command line starts fast.
        required: attributes that each must have.
    """

    def __init__(
        self, kind: str, *, group: str, built_in: Mapping[str, str], required: Collection[str] = ()
    ) -> None:
        self.kind, self.group, self.built_in = kind, group, built_in
        self._required = required
        self._told: set[tuple[str, str]] = set()

    def names(self) -> list[str]:
        """All names, ours first. Nothing is imported."""
        return [*self.built_in, *sorted(self._added())]

    def name_of(self, path: str) -> str | None:
        """The name under which `module:attribute` is known; None where it is not."""
        added = {name: entry.value for name, entries in self._added().items() for entry in entries}
        return next((name for name, value in {**self.built_in, **added}.items() if value == path), None)

    def load(self, name: str) -> Any:
        """What `name` stands for.

        Raises:
            ConfigError: nothing has that name.
            BrokenPlugIn: the package that adds it cannot be imported, or what it adds lacks something.
        """
        if name in self.built_in:
            return _attribute(self.built_in[name])
        added = self._added()
        if name not in added:
            raise ConfigError(f"there is no {self.kind} '{name}'", remedy=known(self.names(), name))
        if len(added[name]) > 1:
            raise BrokenPlugIn(
                f"the {self.kind} '{name}' is added by several packages: {_packages(added[name])}",
                remedy="uninstall all but one of them",
            )
        return self._load(added[name][0])

    def broken(self, entry: metadata.EntryPoint, why: str) -> BrokenPlugIn:
        """The error that tells whose fault it is."""
        return BrokenPlugIn(
            f"the {self.kind} '{entry.name}' of {_packages([entry])} cannot be used: {why}",
            remedy=f"fix or uninstall that package; the entry point is {entry.value}",
        )

    def _load(self, entry: metadata.EntryPoint) -> Any:
        try:
            found = entry.load()
        except FOREIGN as error:
            raise self.broken(entry, f"{type(error).__name__}: {error}") from error
        self.check(entry, found)
        if missing := [name for name in self._required if not hasattr(found, name)]:
            raise self.broken(entry, f"it lacks {', '.join(missing)}")
        return found

    def check(self, entry: metadata.EntryPoint, found: Any) -> None:
        """Refuse what is added if it is not what it should be; a kind may look closer."""

    def _added(self) -> dict[str, list[metadata.EntryPoint]]:
        """Entry points by name, without those that bear a built-in name: nothing is replaced unseen."""
        found: dict[str, list[metadata.EntryPoint]] = {}
        for entry in metadata.entry_points(group=self.group):
            if entry.name in self.built_in:
                self._tell_of_clash(_packages([entry]), entry.name)
            else:
                found.setdefault(entry.name, []).append(entry)
        return found

    def _tell_of_clash(self, package: str, name: str) -> None:
        """Once, however often the names are looked up."""
        if (package, name) not in self._told:
            self._told.add((package, name))
            log.warning(
                "%s adds a %s '%s'; that name is built in, so it is left out", package, self.kind, name
            )


_failures: Counter[str] = Counter()


def count_failure(what: str, error: BaseException, at: str) -> str:
    """Count a failure of foreign code, tell of the first of its kind, and return what happened.

    Args:
        what: such as "the reader of the task hi_tom".
        at: which of our things it was asked about.
    """
    kind = f"{what} raised {type(error).__name__}"
    try:
        happened = f"{type(error).__name__}: {error}"[:300]
    except Exception:  # noqa: BLE001  foreign code, too
        happened = type(error).__name__
    if not _failures[kind]:
        log.warning("%s at %s: %s", kind, at, happened)
    _failures[kind] += 1
    return happened


def cause(error: BaseException) -> str:
    """What foreign code raised, and where, on one line."""
    try:
        said = str(error)
    except Exception:  # noqa: BLE001  foreign code, too
        said = ""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    told = f"{type(error).__name__}: {said}" if said else type(error).__name__
    return encodable(told)[:_LONGEST_CAUSE] + where


_LONGEST_CAUSE = 300


def failures() -> list[str]:
    """What failed since the last call, and how often: one line each."""
    told = [f"{failure} ({count} times)" for failure, count in _failures.most_common()]
    _failures.clear()
    return told


def imported(path: str, *, kind: str, otherwise: str) -> Any:
    """What `module:name` or `folder/module.py:name` stands for. Modules of the working folder are found, too.

    Args:
        kind: what it should be, for messages.
        otherwise: what the user can do where it cannot be imported.

    Raises:
        ConfigError: there is no such thing, or the module cannot be imported.
    """
    module, _, name = path.partition(":")
    if not module or not name or "<" in name or "#" in name:
        raise ConfigError(
            f"the {kind} {path} cannot be imported: no module holds it by a name",
            remedy=f"define it at the top of a module and give module:name; or {otherwise}",
        )
    file = Path(module).resolve() if module.endswith(".py") else None
    if file is not None and not file.exists():
        raise ConfigError(f"there is no file {module}", remedy=f"give the path of what holds {name}")
    folder = str(Path.cwd() if file is None else file.parent)
    added = folder not in sys.path
    if added:
        sys.path.append(folder)
    try:
        holder = importlib.import_module(module if file is None else file.stem)
        _check_file(holder, file)
    except FOREIGN as error:
        inside = not (isinstance(error, ModuleNotFoundError) and error.name in (module, module.split(".")[0]))
        raise ConfigError(
            f"the {kind} {path} cannot be imported: {type(error).__name__}: {error}",
            remedy=_mend(module, error)
            if inside
            else f"give module:name of what is there, from its folder or installed; or {otherwise}",
        ) from error
    finally:
        if added:
            sys.path.remove(folder)
    found: Any = holder
    for part in name.split("."):
        if not hasattr(found, part):
            raise ConfigError(
                f"the {kind} {path} cannot be imported: there is no '{part}' in {module}",
                remedy=known(_defined_in(holder), part),
            )
        found = getattr(found, part)
    return found


def _mend(module: str, error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f'what {module} does as a program belongs under: if __name__ == "__main__":'
    return f"mend {module}, or install what it imports"


def _defined_in(module: Any) -> list[str]:
    """The names that a module defines itself."""
    own = (
        name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__
    )
    return [name for name in own if not name.startswith("_")]


def _check_file(module: Any, file: Path | None) -> None:
    """Raises ImportError where a module of that name lies elsewhere, too, and was found first."""
    where = getattr(module, "__file__", None)
    if file is not None and (where is None or Path(where).resolve() != file):
        raise ImportError(f"another module is called {file.stem}: {where}; rename the file")


def kind_of(value: object) -> str:
    """The type of what a user gave, with its article: `a dict`, `an int`."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def known(names: Collection[str], wanted: str) -> str:
    """The remedy of a name that is not among `names`."""
    close = get_close_matches(wanted, names, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{hint}There are: {', '.join(names) or 'none'}"


def _attribute(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)


def _packages(entries: list[metadata.EntryPoint]) -> str:
    return ", ".join(entry.dist.name if entry.dist else "an unnamed package" for entry in entries)
