"""The body of an error answer: OpenAI's object, Gemini's list, FastAPI's detail, HTML, or plain text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from coral.models.retries import leading_duration, parse_retry_after

LONGEST_READ = 20_000
"""Characters of a body that are searched; servers say what is wrong in the first few hundred."""

_TAGS = re.compile(r"<(script|style)\b.{0,4000}?</\1>|<[^<>]+>", re.DOTALL | re.IGNORECASE)
_PARAMETER = re.compile(
    r"""(?:parameter|argument|name|value|field|property|input)s?:?\ ["'`](?P<a>\w+)["'`]
    | argument\ supplied:\ (?P<b>\w+)
    | ["'`](?P<c>\w+)["'`]\ (?:is|are|does|do|may|must|cannot)\b
    | "loc"\s*:\s*\[\s*"body"\s*,\s*"(?P<d>\w+)"
    | (?:inputs?|fields?)\ (?:are|is)\ not\ permitted,\ field:\ ["'`](?P<e>\w+)["'`]
    | unexpected\ keyword\ argument\ ["'`](?P<f>\w+)["'`]
    | (?:not|n't)\ support\ (?:the\ )?parameters?:?\ [`'"\[]*(?P<h>\w+)
    | ^(?P<g>[a-z_]{2,30}):\ (?:Extra|Input|Field|Unsupported|Unknown)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_PASSED_ON = re.compile(r"""["']param["']\s*:\s*["'](\w+)["']""")
"""In an error within an error, as gateways pass it on."""
_ESCAPED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_ASKED_PAUSE = re.compile(
    r"\b(?:try again|retry(?:[ -]after|(?: your| the)? requests?)?|wait|available(?: again)?"
    r"|allowed(?: again)?|resets?|slow down(?: for)?)(?: (?:in|after|for|at least))?:?\s+"
    r"(?:about |approximately |at least )?(?=\d)",
    re.IGNORECASE,
)
_NOT_PARAMETERS = frozenset(
    {"none", "null", "messages", "prompt", "input", "inputs", "input_tokens", "text", "body"}
)


class ErrorBody(NamedTuple):
    """What an error answer says.

    Attributes:
        message: the server's words for people.
        haystack: everything that is searched: codes, types and nested errors, too.
        parameter: the request field that it names.
        status: the status that the body itself names.
        retry_after_s: the pause that the body asks for.
    """

    message: str
    haystack: str
    parameter: str | None = None
    status: int | None = None
    retry_after_s: float | None = None


def read_error_body(body: bytes) -> ErrorBody:
    """Read any body; none, however odd, is itself an error."""
    try:
        return _read_json(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        text = " ".join(_TAGS.sub(" ", body[:LONGEST_READ].decode("utf-8", "replace")).split())
        return ErrorBody(text, text, _parameter_of(text, None), None, _asked_pause(text))


def _read_json(body: bytes) -> ErrorBody:
    parsed = msgspec.json.decode(body)
    if isinstance(parsed, list) and parsed:
        parsed = parsed[0]
    error = _error_of(parsed)
    message = _message_of(error)[:LONGEST_READ]
    named = error.get("param") if isinstance(error, dict) else None
    haystack = _haystack(body)
    pause = _named_pause(error) or _named_pause(parsed)
    return ErrorBody(
        message,
        haystack,
        _parameter_of(message, named) or _parameter_passed_on(haystack),
        _status_in(error) or _status_in(parsed),
        _asked_pause(message) if pause is None else pause[0],
    )


def _haystack(body: bytes) -> str:
    """The start of a body as its words are written for people: without JSON's escapes, at any depth."""
    text = body[:LONGEST_READ].decode("utf-8", "replace").replace('\\"', '"').replace("\\n", "\n")
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace("\u2019", "'")


def _error_of(parsed: Any) -> Any:
    """The part of a body that tells the error; `errors` is a list of them, `base_resp` MiniMax's."""
    if not isinstance(parsed, dict):
        return parsed
    several = parsed.get("errors")
    if isinstance(several, list) and several:
        return several[0]
    return parsed.get("error") or parsed.get("base_resp") or parsed


def _message_of(error: Any) -> str:
    if not isinstance(error, dict):
        return str(error)
    upstream = _upstream_words(error)
    for name in ("message", "detail", "msg", "error", "title", "status_msg", "error_msg"):
        words = error.get(name)
        if words:
            said = words if isinstance(words, str) else msgspec.json.encode(words).decode()
            return f"{said}: {upstream}" if upstream and upstream not in said else said
    return msgspec.json.encode(error).decode()


def _upstream_words(error: Mapping[str, Any]) -> str:
    """What a gateway passes on of the provider behind it: OpenRouter's `metadata.raw`, others' `cause`."""
    metadata = error.get("metadata")
    raw = metadata.get("raw") if isinstance(metadata, dict) else error.get("cause")
    return raw if isinstance(raw, str) else ""


def _status_in(error: Any) -> int | None:
    if not isinstance(error, dict):
        return None
    for name in ("code", "status", "status_code", "http_status"):
        value = error.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) == 3:
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 400 <= value < 600:
            return value
    return None


def _parameter_of(message: str, named: Any) -> str | None:
    if isinstance(named, str) and named and named.isidentifier() and named.lower() not in _NOT_PARAMETERS:
        return named
    found = (group for match in _PARAMETER.finditer(message) for group in match.groups() if group)
    return next((name for name in found if name.lower() not in _NOT_PARAMETERS), None)


def _parameter_passed_on(haystack: str) -> str | None:
    found = _PASSED_ON.search(haystack)
    return found[1] if found and found[1].lower() not in _NOT_PARAMETERS else None


def _asked_pause(message: str) -> float | None:
    """Seconds that the words ask for, as in "Please try again in 1m12.5s"."""
    for found in _ASKED_PAUSE.finditer(message):
        seconds = leading_duration(message[found.end() :])
        if seconds is not None:
            return seconds
    return None


_SECONDS = frozenset(
    {
        "retryafter", "retryafters", "retryaftersec", "retryaftersecs", "retryafterseconds", "retryin",
        "retryinseconds", "retrydelay", "retrydelayseconds", "retrydelays", "waitseconds", "waittime",
        "waitfor", "secondstowait", "secondsuntilreset", "resetin", "resetinseconds", "resetafter",
        "resetafterseconds", "backoffseconds", "estimatedtime", "cooldownseconds", "xratelimitreset",
        "ratelimitreset", "resetat", "retryat",
    }
)  # fmt: skip
"""Names of fields that hold a pause, without case, hyphens and underscores. Some name a time of day."""
_MILLISECONDS = frozenset(
    {"retryafterms", "retryaftermilliseconds", "retryaftermillis", "retrydelayms", "waitms", "resetinms"}
)
_DEEPEST = 4
_MOST_FIELDS = 50


def _named_pause(value: Any, depth: int = 0) -> tuple[float] | None:
    """The pause that a field of the body asks for: `retry_after`, Google's `retryDelay`, a header that a
    gateway passes on. The first that can be understood; None where there is none.
    """
    if depth > _DEEPEST:
        return None
    parts: list[tuple[str | None, Any]]
    if isinstance(value, list):
        parts = [(None, part) for part in value[:_MOST_FIELDS]]
    elif isinstance(value, dict):
        parts = [(_plain(name), part) for name, part in list(value.items())[:_MOST_FIELDS]]
    else:
        return None
    for name, part in parts:
        seconds = _pause_in(name, part) if name is not None else None
        if seconds is not None:
            return (seconds,)
    found = (_named_pause(part, depth + 1) for _, part in parts)
    return next((one for one in found if one is not None), None)


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")


def _pause_in(name: str, value: Any) -> float | None:
    """What a field asks for, as `Retry-After` is read: seconds, a duration or a time of day."""
    in_milliseconds = name in _MILLISECONDS
    if not (in_milliseconds or name in _SECONDS) or isinstance(value, bool):
        return None
    if not isinstance(value, int | float | str):
        return None
    text = str(value).strip()
    if in_milliseconds:
        return parse_retry_after({"retry-after-ms": text.removesuffix("ms").strip()})
    return parse_retry_after({"Retry-After": text})
