"""What an error answer means: bodies of many servers, sorted into Coral's few kinds of failure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from coral.errors import (
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    FatalReject,
    ModelError,
    RateLimited,
    Rejected,
    Unreachable,
)
from coral.models import refusal_words as words
from coral.models.error_bodies import LONGEST_READ, ErrorBody, read_error_body
from coral.models.providers import Target
from coral.models.retries import AttemptFailure, parse_retry_after
from coral.models.secrets import hide

SHOWN = 300
"""Characters of a server's own words that a message quotes."""

_OVERLOADED = frozenset({429, 529})
_PASSING = frozenset({408, 409, 425, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 598, 599})
_TOO_LARGE = 413
_UPSTREAM = 424
"""TGI: generation failed. Azure ML hands on what the server behind it refused, too: its words come first."""
_UNKNOWN = 0
"""In place of the status of an error inside a 200 that names none: then its words alone decide."""


class _Verdict(NamedTuple):
    """What a refusal is: the failure, what to tell, what helps, and the request field that is refused."""

    kind: type[ModelError]
    advice: str
    remedy: str = ""
    refused: str | None = None
    too_large: bool = False


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, target: Target) -> AttemptFailure:
    """Sort an answer with an error status into a `AttemptFailure`."""
    return _refusal(status, headers, read_error_body(body), target)


def read_hidden_refusal(headers: Mapping[str, str], body: bytes, target: Target) -> AttemptFailure:
    """Sort an error inside a 200: by the status that it names (OpenRouter, llama.cpp), else by its words."""
    said = read_error_body(body)
    return _refusal(said.status or _UNKNOWN, headers, said, target)


def _refusal(status: int, headers: Mapping[str, str], said: ErrorBody, target: Target) -> AttemptFailure:
    if said.parameter is not None and quote(said.parameter, target) != said.parameter:
        said = said._replace(parameter=None)  # it echoes a key, or is no name
    asked = parse_retry_after(headers)
    pause = said.retry_after_s if asked is None else asked
    verdict = _sort(status, said, pause, target)
    quoted = f": {quote(said.message, target)}" if said.message else ""
    retry = verdict.kind in {RateLimited, Unreachable}
    return AttemptFailure(
        kind=verdict.kind,
        message=f"{target.name}: {verdict.advice}{quoted}",
        brief=verdict.advice,
        status=status or 200,
        retry=retry,
        overload=retry and (status in _OVERLOADED or verdict.kind is RateLimited),
        endpoint_fault=verdict.kind is Unreachable,
        retry_after_s=pause if retry else None,
        remedy=verdict.remedy,
        refused=verdict.refused,
        too_large=verdict.too_large,
        words=quote(said.message, target),
    )


def _sort(status: int, said: ErrorBody, pause: float | None, target: Target) -> _Verdict:
    about = said.haystack
    if status == 429:
        return _limited(said, pause)
    if limited := _limited_otherwise(status, about, pause):
        return limited
    if overflow := _overflow(status, about, target):
        return overflow
    if status < 500 and words.FILTER.search(about):
        return _Verdict(ContentFiltered, "the server withheld the reply for reasons of content")
    if role := _refused_role(status, about, target):
        return role
    if status in _PASSING or status >= 500:
        how = "" if status in _PASSING else " for an unusual reason"
        return _Verdict(Unreachable, f"the server failed{how} ({status})")
    if refusal := _rejection(status, said, target):
        return refusal
    if status == _UPSTREAM:
        return _Verdict(Unreachable, f"the server failed ({status})")
    if status == _UNKNOWN:
        return _Verdict(Unreachable, "the server answered 200 with an error")
    posted = f"say with {target.option}.http_request what it wants" if target.plain is not None else ""
    return _Verdict(Rejected, f"the server refused the request ({status})", posted)


# Limits and credit ------------------------------------------------------------------------------------------


def _limited(said: ErrorBody, pause: float | None) -> _Verdict:
    """A 429: wait, unless waiting does not help."""
    about = said.haystack
    if words.OVERSIZED.search(about):
        return _Verdict(
            ContextOverflow, "the messages are longer than all that the account may send in a minute (429)"
        )
    if words.PER_DAY.search(about) and (pause is None or "PerDay" in about or "ByDay" in about):
        # Gemini asks for seconds, whatever the limit.
        return _day_over(429)
    if pause is None and words.CREDIT.search(about) and not words.PASSING.search(said.message):
        return _no_credit(429)
    return _Verdict(RateLimited, "the server limits the rate of requests (429)")


def _day_over(status: int) -> _Verdict:
    return _Verdict(
        FatalReject,
        f"the account's limit of the day is used up{_shown(status)}",
        "run the same command again when the day is over: what was answered is kept",
    )


def _limited_otherwise(status: int, about: str, pause: float | None) -> _Verdict | None:
    """Another status than 429 that comes with the words of one."""
    if status not in {_UNKNOWN, 400, 403}:
        return None
    if (pause is None or "ByDay" in about) and words.DAY_OVER.search(about):
        return _day_over(status)
    if not words.MOMENT.search(about) or words.OVERSIZED.search(about) or words.CREDIT.search(about):
        return None
    return _Verdict(RateLimited, f"the server limits the rate of requests{_shown(status)}")


def _no_credit(status: int) -> _Verdict:
    advice = f"the account has no credit or quota left{_shown(status)}; top it up at the provider"
    return _Verdict(FatalReject, advice, "then run the same command again: what was answered is kept")


# Lengths and roles ------------------------------------------------------------------------------------------


def _overflow(status: int, about: str, target: Target) -> _Verdict | None:
    if words.OVERSIZED.search(about):
        return _Verdict(
            ContextOverflow, "the messages are longer than all that the account may send in a minute"
        )
    if _is_about_output(about):
        return _Verdict(
            Rejected,
            "the server refused max_tokens: the model writes no such long replies",
            f"give a smaller {target.option}.max_tokens, or null to leave it to the server",
            refused="max_tokens",
            too_large=True,
        )
    if status == _TOO_LARGE or words.OVERFLOW.search(about):
        return _Verdict(ContextOverflow, "the messages do not fit into the model's context")
    return None


def _is_about_output(about: str) -> bool:
    """Whether a length is refused that is `max_tokens` alone, not the messages together with it."""
    if not words.OUTPUT_LIMIT.search(about):
        return False
    return re.search(r"context (?:length|window|limit)|input|prompt|messages", about, re.IGNORECASE) is None


def _refused_role(status: int, about: str, target: Target) -> _Verdict | None:
    """A chat template, or the server itself, does not take the roles of the messages."""
    about_roles = words.SYSTEM_ROLE.search(about) or words.ALTERNATION.search(about)
    if (status < 400 and status != _UNKNOWN) or not (
        about_roles or (status >= 500 and words.TEMPLATE.search(about))
    ):
        return None
    if not about_roles:
        return _Verdict(Rejected, f"the model's chat template refused the messages ({status})")
    return _Verdict(
        Rejected,
        f"the model takes no system role, or not these roles{_shown(status)}",
        f"try {target.option}.system_in_user true",
        refused="system",
    )


# Keys, models, request fields -------------------------------------------------------------------------------


def _rejection(status: int, said: ErrorBody, target: Target) -> _Verdict | None:
    about = said.haystack
    field = _field_of(said)
    if status != 401 and field is not None:
        return _refused_field(status, field, said, target)
    if status == 402 or words.CREDIT.search(about):
        return _no_credit(status)
    if (
        status in {404, 405}
        or said.parameter == "model"
        or (status != 401 and _names_no_model(about, target))
    ):
        if target.plain is not None:
            return _Verdict(
                FatalReject, f"there is no such address{_shown(status)}", f"fix {target.option}.http"
            )
        return _Verdict(
            FatalReject,
            f"the server knows no model '{target.wire_name}' or no such address{_shown(status)}; "
            f"check the name against {target.listing}",
        )
    if status in {401, 403} or words.KEY.search(about):
        return _Verdict(FatalReject, f"the server refused the key{_shown(status)}; {_key_remedy(target)}")
    if 300 <= status < 400:
        place = "base_url" if target.plain is None else "http"
        return _Verdict(
            FatalReject, f"the address redirects elsewhere ({status}); give the final address as {place}"
        )
    if said.parameter is not None:
        return _Verdict(
            Rejected,
            f"the server refused the parameter '{said.parameter}'{_shown(status)}; "
            "change it, or set it to null to leave it out",
            f"change or remove '{said.parameter}' in {target.option}.extra_body",
        )
    return None


def _names_no_model(about: str, target: Target) -> bool:
    if words.MODEL.search(about):
        return True
    name = re.escape(target.wire_name)
    if len(target.wire_name) < 3:
        return False
    near = rf"{name}.{{0,60}}?{words.NAMED_MODEL}|{words.NAMED_MODEL}\W.{{0,20}}?{name}"
    return re.search(near, about, re.IGNORECASE | re.DOTALL) is not None


def _field_of(said: ErrorBody) -> str | None:
    """Which of the fields that Coral sends is refused, by Coral's own name."""
    if "temperature" in said.message and "top_p" in said.message and "both" in said.message:
        return "temperature"  # top_p is sent only where the user set it
    if said.parameter is not None:
        named = words.FIELDS.get(said.parameter.lower())
        if named is not None or said.parameter.lower() == "model":
            return named
    found = words.FIELD_WORDS.search(said.message)
    if found and (words.UNSUPPORTED.search(said.message) or words.RANGE.search(said.message)):
        return words.FIELDS[found[1].lower()]
    return "n" if words.SEVERAL.search(said.message) else None


def _refused_field(status: int, field: str, said: ErrorBody, target: Target) -> _Verdict:
    """The field as such is refused, or only its value."""
    wholly = field == "n" or words.UNSUPPORTED.search(said.haystack) is not None
    name = said.parameter if said.parameter in words.FIELDS else field
    return _Verdict(
        Rejected,
        f"the server refused the parameter '{name}'{_shown(status)}; "
        "change it, or set it to null to leave it out",
        f"try {target.option}.{field} null" if field in _OPTIONS else "",
        refused=field if wholly else None,
    )


_OPTIONS = frozenset({"temperature", "top_p", "max_tokens"})


def _key_remedy(target: Target) -> str:
    if target.key_variable is None:
        return "name the environment variable that holds it with api_key_env"
    if target.key is None:
        return f"export {target.key_variable}=..."
    return f"check the value of {target.key_variable} and what it is entitled to"


def _shown(status: int) -> str:
    return f" ({status})" if status else ""


# Quoting ----------------------------------------------------------------------------------------------------


def quote(text: str, target: Target) -> str:
    """A server's own words, shortened, without the key or anything that looks like one."""
    text = hide(text[:LONGEST_READ], target.secrets)
    return text if len(text) <= SHOWN else text[:SHOWN] + " ..."


def unusable(
    message: str, target: Target, *, retry: bool, kind: type[ModelError] = BadResponse
) -> AttemptFailure:
    """A 200 with a completion that is no usable reply."""
    return AttemptFailure(
        kind=kind, message=f"{target.name}: {message}", brief=message, status=200, retry=retry
    )


def unreadable(message: str, target: Target, *, retry: bool = True) -> AttemptFailure:
    """A 200 that is no completion: the endpoint, or a proxy before it, is broken."""
    text = f"the server answered 200 with {message}"
    return AttemptFailure(
        kind=BadResponse,
        message=f"{target.name}: {text}",
        brief=text,
        status=200,
        retry=retry,
        endpoint_fault=True,
    )
