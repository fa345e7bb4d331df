"""The body of an error answer: OpenAI's object, Gemini's list, FastAPI's detail, HTML, or plain text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from coral.models.retries import leading_duration, parse_duration

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
    r"\b(?:try again|retry(?: your request)?|wait|available again|resets?)(?: (?:in|after|for))?\s+"
    r"(?:about |approximately )?(?=\d)",
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
    pause = _pause_in_details(error)
    return ErrorBody(
        message,
        haystack,
        _parameter_of(message, named) or _parameter_passed_on(haystack),
        _status_in(error) or _status_in(parsed),
        _asked_pause(message) if pause is None else pause,
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
    found = _ASKED_PAUSE.search(message)
    return leading_duration(message[found.end() :]) if found else None


def _pause_in_details(error: Any) -> float | None:
    """Google's RetryInfo, such as {"@type": ".../google.rpc.RetryInfo", "retryDelay": "2s"}."""
    details = error.get("details") if isinstance(error, dict) else None
    for delay in _delays(details):
        seconds = parse_duration(delay)
        if seconds is not None:
            return seconds
    return None


def _delays(details: Any) -> Iterator[str]:
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str):
            yield delay
