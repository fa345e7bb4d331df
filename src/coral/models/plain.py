"""Requests and replies as plain JSON: of commands, and of endpoints that are not chat completions.

A request is an object of `id`, `conversation`, `model`, `messages`, `sampling` and `seed`; a reply holds
`text`, and may hold `finish_reason`, `reasoning`, `usage` and `error`. An endpoint may be asked and answer in
another shape: a template says what is posted, and dotted paths say where things are in the answer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from coral.errors import ConfigError
from coral.plugins import kind_of

if TYPE_CHECKING:
    from coral.models.protocol import Request

DEFAULT_REPLY = "text"
"""Where the text of a reply is."""
PARTS = ("text", "finish_reason", "reasoning", "usage", "error")
"""What a reply may hold."""
NAMES = (
    "id", "conversation", "model", "messages", "system", "text", "last", "sampling", "temperature", "top_p",
    "max_tokens", "stop", "seed",
)  # fmt: skip
"""What a template may ask for, as `$name`."""
_ASKED = re.compile(r"\$[A-Za-z_]\w*")


def check_request(template: Mapping[str, Any]) -> None:
    """Refuse a template that asks for what there is not.

    Raises:
        ConfigError: names it.
    """
    for word in _texts(template):
        if _ASKED.fullmatch(word) and word[1:] not in NAMES:
            raise ConfigError(
                f"http_request asks for {word}, which there is not",
                remedy=f"it may ask for {', '.join('$' + name for name in NAMES)}",
            )


def check_reply(paths: str | Mapping[str, str]) -> None:
    """Refuse paths to what no reply has.

    Raises:
        ConfigError: one is unknown, or there is none to the text.
    """
    if isinstance(paths, str) and paths:
        return
    unknown = [name for name in paths if name not in PARTS] if paths and not isinstance(paths, str) else []
    if unknown or "text" not in paths:
        wrong = f"holds {unknown[0]}, which no reply has" if unknown else "does not say where the text is"
        raise ConfigError(
            f"http_reply {wrong}",
            remedy=f"give the path of the text, such as choices.0.text, or a mapping of {', '.join(PARTS)}",
        )


def paths_of(reply: str | Mapping[str, str]) -> dict[str, str]:
    """Where the parts of a reply are. Beside a text that is elsewhere, nothing else is looked for unasked."""
    if not isinstance(reply, str):
        return dict(reply)
    return {name: name for name in PARTS} if reply == DEFAULT_REPLY else {"text": reply}


def _texts(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [text for inner in value.values() for text in _texts(inner)]
    if isinstance(value, list | tuple):
        return [text for inner in value for text in _texts(inner)]
    return [value] if isinstance(value, str) else []


# Requests ---------------------------------------------------------------------------------------------------


def request_fields(request: Request, *, seed: int | None, model: str, extra: bool = True) -> dict[str, Any]:
    """A request as an agent reads it. What the options leave open is not in it.

    Args:
        extra: with the further fields of the body that the options name.
    """
    sampling = request.sampling
    settings = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
        "stop": list(sampling.stop) or None,
    }
    fields = {
        "id": f"{request.conversation_id}/{seed}" if seed is not None else request.conversation_id,
        "conversation": request.conversation_id,
        "model": model or None,
        "messages": [{"role": one.role.value, "content": one.content} for one in request.messages],
        "sampling": {name: value for name, value in settings.items() if value is not None},
        "seed": seed,
    }
    more = msgspec.json.decode(sampling.extra, type=dict[str, Any]) if extra and sampling.extra else {}
    return {name: value for name, value in {**fields, **more}.items() if value is not None}


def filled(template: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """The template with the fields of a request in the place of their names.

    What is not known, such as a seed that nobody set, is left out with its key.
    """
    messages = fields["messages"]
    spoken = [one for one in messages if one["role"] != "system"]
    known = {
        **fields,
        **fields["sampling"],
        "system": "\n\n".join(one["content"] for one in messages if one["role"] == "system"),
        "text": "\n\n".join(f"{one['role']}: {one['content']}" for one in messages) + "\n\nassistant:",
        "last": spoken[-1]["content"] if spoken else "",
    }
    whole: dict[str, Any] = _fill(template, known)
    return whole


_NOTHING = object()


def _fill(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, Mapping):
        inner = {name: _fill(item, known) for name, item in value.items()}
        return {name: item for name, item in inner.items() if item is not _NOTHING}
    if isinstance(value, list | tuple):
        return [item for item in (_fill(one, known) for one in value) if item is not _NOTHING]
    if isinstance(value, str) and _ASKED.fullmatch(value):
        return known.get(value[1:], _NOTHING)
    return value


# Replies ----------------------------------------------------------------------------------------------------


def find(value: Any, path: str) -> Any:
    """What is at a dotted path, such as `choices.0.text`; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and re.fullmatch(r"-?\d{1,6}", step):
            number = int(step)
            value = value[number] if -len(value) <= number < len(value) else None
        else:
            return None
    return value


def described(value: Any) -> str:
    """What an answer holds, in few words."""
    if isinstance(value, dict):
        return ", ".join(map(str, list(value)[:8])) or "nothing"
    if isinstance(value, list):
        return f"a list of {len(value)}" + (f", the first of {described(value[0])}" if value else "")
    return "null" if value is None else kind_of(value)
