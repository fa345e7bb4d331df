"""From what a user names or hands in to a model: a served one, a checkpoint folder, a function, an object.

models = Models(connections, stack, max_connections=128)
model = await models.open(ModelConfig(model="openai/gpt-4o-mini"), "--agent")

An object has a name, by which options and records speak of it: `python:module:function`. A function that can
be imported may be named so on the command line, too.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import NoneType
from typing import Any, Protocol

from coral.agents.command import CommandModel, source_of
from coral.agents.function import FunctionModel, guarded, is_model, takes_messages
from coral.agents.person import Face, person
from coral.errors import ConfigError, Unreachable
from coral.models import embedded
from coral.models.client import ServedModel, build_model
from coral.models.config import HUMAN, ModelConfig
from coral.models.connections import Connections
from coral.models.listing import list_models
from coral.models.protocol import Model
from coral.plugins import FOREIGN, cause, imported, kind_of

PREFIX = "python:"
"""Of the name of a model that is an object of this process."""


def is_object(config: ModelConfig) -> bool:
    """Whether options name a Python object."""
    return is_python(config.model) and not config.is_placed


def is_python(model: str) -> bool:
    """Whether a model's name is that of a Python object: `python:module:name`, or `file.py:name`."""
    return model.startswith(PREFIX) or ".py:" in model


def is_own(config: ModelConfig) -> bool:
    """Whether options name somebody who takes turns, and is not asked to read those of others: an object, a
    command, an endpoint of its own kind, a person.
    """
    return is_object(config) or config.is_person or bool(config.command or config.http)


def in_this_process(config: ModelConfig) -> bool:
    """Whether no server is asked: a model that runs in this process, a command, a person."""
    is_here = is_object(config) or config.is_person or bool(config.command)
    return is_here or embedded.folder_of(config) is not None


class Objects:
    """The models that are Python objects, by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self._by_name)

    def add(self, given: object) -> str:
        """Take in a function or a model object.

        Returns:
            Its name. A second object that would have the name of another gets a number behind it.

        Raises:
            ConfigError: it is neither.
        """
        _refuse_others(given)
        name = wanted = _name_of(given)
        number = 1
        while self._by_name.get(name, given) is not given:
            number += 1
            name = f"{wanted}#{number}"
        self._by_name[name] = given
        return name

    def named(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options of a model with the name of the object that stands in them, if one does.

        Raises:
            ConfigError: what stands there is no model.
        """
        model = options.get("model")
        if model is None or isinstance(model, str):
            return dict(options)
        return {**options, "model": self.add(model)}

    def find(self, name: str) -> Any:
        """The object of a name, imported where nobody handed it in.

        Raises:
            ConfigError: it cannot be imported, or is no model.
        """
        if name not in self._by_name:
            found = imported(
                name.removeprefix(PREFIX),
                kind="model",
                otherwise="hand the object itself to coral.evaluate, as when the run began",
            )
            if isinstance(found, type):
                found = _made(found)
            _refuse_others(found)
            self._by_name[name] = found
        return self._by_name[name]

    def sources(self, configs: Iterable[ModelConfig]) -> dict[str, str]:
        """A digest of the source of each object and command that options name, as far as there is a source.

        Raises:
            ConfigError: as `find`.
        """
        digests: dict[str, str | None] = {}
        for config in configs:
            if is_object(config):
                digests[config.model] = source_digest(self.find(config.model))
            elif config.command:
                digests[embedded.name_of(config)] = source_of(config.command_words)
        return {name: digest for name, digest in digests.items() if digest is not None}


class Build(Protocol):
    """Makes a served model of its options; see `build_model`."""

    def __call__(self, config: ModelConfig, connections: Connections, *, option: str) -> ServedModel: ...


class Models:
    """Opens each server, checkpoint, object and command once; `stack` closes them.

    Args:
        face: where a person is asked; None where nobody is there.
    """

    def __init__(
        self,
        connections: Connections,
        stack: AsyncExitStack,
        *,
        max_connections: int,
        objects: Objects | None = None,
        face: Face | None = None,
        build: Build = build_model,
    ) -> None:
        self._build = build
        self._connections, self._stack = connections, stack
        self._max_connections = max_connections
        self._objects = Objects() if objects is None else objects
        self._face = face
        self._here: dict[Path | tuple[str, ...], Model] = {}
        self._reached: set[str] = set()

    async def open(self, options: ModelConfig, option: str) -> Model:
        """The model that `options` name, which the user gave as `option`.

        Raises:
            UserError: it cannot be opened.
        """
        folder = embedded.folder_of(options)
        if folder is None and not in_this_process(options):
            return await self._open_served(options, option)
        key = (embedded.name_of(options), *options.command_words) if folder is None else folder
        if options.is_person:  # two of them are two
            key = (HUMAN, option)
        if key not in self._here:
            model = self._local(options, option) if folder is None else _embedded(options, folder)
            self._here[key] = await self._stack.enter_async_context(model)
        return self._here[key]

    def _local(self, options: ModelConfig, option: str) -> Model:
        if options.is_person:
            return person(self._face, self._connections, option.removeprefix("--"))
        if options.command:
            return CommandModel(options, self._connections, option=option)
        found = self._objects.find(options.model)
        if is_model(found):
            return guarded(found)
        return FunctionModel(
            found, name=options.model, limit=self._most(options), timeout_s=options.request_timeout_s
        )

    def _most(self, options: ModelConfig) -> int:
        return min(options.max_connections or self._max_connections, self._max_connections)

    async def _open_served(self, options: ModelConfig, option: str) -> Model:
        limited = dataclasses.replace(options, max_connections=self._most(options))
        model = await self._stack.enter_async_context(self._build(limited, self._connections, option=option))
        await self._reach(model)
        return model

    async def _reach(self, model: ServedModel) -> None:
        """Make sure that something answers: a wrong port should not cost a minute of retries.

        Replicas are waited for instead.
        """
        if model.target.replicas is not None:
            return
        origins = {endpoint.server.origin: endpoint for endpoint in model.endpoints}
        if self._reached & origins.keys():
            return
        failures = []
        for origin, endpoint in origins.items():
            try:
                await list_models(model, endpoint)
            except Unreachable as error:
                failures.append(str(error))
            else:
                self._reached.add(origin)
                return
        raise ConfigError(
            "; ".join(failures),
            remedy="start the server, or fix the address with --agent.base_url; `coral doctor` tells more"
            if model.target.plain is None
            else f"start it, or fix the address with {model.target.option}.http",
        )


def _embedded(options: ModelConfig, folder: Path) -> Model:
    from coral.engine.model import EmbeddedModel

    return EmbeddedModel(folder, name=embedded.name_of(options))


def _made(kind: type) -> object:
    """An object of a class that was named, where no argument is needed."""
    try:
        return kind()
    except FOREIGN as error:
        raise ConfigError(
            f"the class {kind.__name__} cannot be made without arguments: {cause(error)}",
            remedy="name a function, or an object of the class that the module holds",
        ) from error


def _refuse_others(given: object) -> None:
    remedy = "give a model's name, a mapping of options, an (async) function messages -> text, or a Model"
    if isinstance(given, type):
        raise ConfigError(f"{given.__name__} is a class, not a model", remedy="give an object of it")
    if is_model(given):
        return
    if callable(getattr(given, "generate", None)):
        raise ConfigError(
            f"{kind_of(given)} has `generate`, as a model has, but no `name`",
            remedy='give it one, such as `name = "mine"`: records call the model so',
        )
    if not callable(given):
        raise ConfigError(f"{kind_of(given)} is not a model", remedy=remedy)
    if not takes_messages(given):
        raise ConfigError(
            f"{_path_of(given)} cannot be called with one argument",
            remedy="the function gets the messages, a list of {role, content}; give the others a default",
        )


def _name_of(given: Any) -> str:
    """The name of an object: where it is defined, and of a model what it calls itself."""
    return f"{PREFIX}{_path_of(given)}" + (f"({given.name})" if is_model(given) else "")


def _path_of(given: Any) -> str:
    """Module and qualified name of a function, or of the class of an object."""
    while isinstance(given, functools.partial):
        given = given.func
    if not hasattr(given, "__qualname__"):
        given = type(given)
    return f"{getattr(given, '__module__', None) or 'builtins'}:{given.__qualname__}"


_PLAIN = (str, int, float, bool, NoneType)


def source_digest(given: Any) -> str | None:
    """A digest of the source of a function, with the plain values it holds; of an object, of its class.

    What it calls is not in it. None where there is no source to read, as of a built-in function.
    """
    held: list[object] = []
    while isinstance(given, functools.partial):
        held += [*given.args, *(given.keywords[name] for name in sorted(given.keywords))]
        given = given.func
    held += getattr(given, "__defaults__", None) or ()
    for cell in getattr(given, "__closure__", None) or ():
        with suppress(ValueError):  # not assigned yet
            held.append(cell.cell_contents)
    try:
        text = inspect.getsource(given if hasattr(given, "__qualname__") else type(given))
    except (OSError, TypeError):
        return None
    plain = [repr(value) for value in held if isinstance(value, _PLAIN)]
    return hashlib.sha256("\0".join((text, *plain)).encode(errors="replace")).hexdigest()[:16]
