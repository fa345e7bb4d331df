"""Token ids and log probabilities, as servers give them on request.

vLLM, from 0.10.2 on, has a request field `return_token_ids`: then the response holds `prompt_token_ids`, and
each choice `token_ids`, one for each entry of `logprobs.content`. `coral serve` does the same. llama.cpp's
server puts an `id` into each entry of `logprobs.content` and says nothing of the prompt's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec

from coral.errors import FatalReject
from coral.models.protocol import Candidate, Sampling
from coral.models.retries import AttemptFailure


class _Token(msgspec.Struct):
    logprob: float
    id: int | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


_NULL = msgspec.Raw(b"null")
_LOGPROBS = msgspec.json.Decoder(_Logprobs | None)
_IDS = msgspec.json.Decoder(tuple[int, ...] | None)
_REMEDY = "serve it with vLLM 0.10.2 or `coral serve`, or name its folder; or leave out return_token_ids for "


def read_logprobs(raw: msgspec.Raw) -> tuple[float, ...] | None:
    """Log-probabilities in OpenAI's form; other forms count as none."""
    tokens = _tokens(raw)
    return None if tokens is None else tuple(token.logprob for token in tokens)


def read_ids(raw: msgspec.Raw, logprobs: msgspec.Raw = _NULL) -> tuple[int, ...] | None:
    """Token ids in vLLM's form; else as llama.cpp puts them beside the log probabilities; else none."""
    try:
        ids: tuple[int, ...] | None = _IDS.decode(raw)
    except msgspec.DecodeError:
        ids = None
    beside = [token.id for token in _tokens(logprobs) or ()] if ids is None else ()
    return ids or tuple(one for one in beside if one is not None) or None


def _tokens(raw: msgspec.Raw) -> list[_Token] | None:
    try:
        logprobs = _LOGPROBS.decode(raw)
    except msgspec.DecodeError:
        return None
    return None if logprobs is None else logprobs.content


def gives_token_ids(candidates: Iterable[Candidate]) -> bool:
    """Whether each candidate has token ids, and a log probability for each of them."""
    return all(one.token_ids and len(one.token_ids) == len(one.token_logprobs or ()) for one in candidates)


def no_token_ids(model: str, option: str) -> AttemptFailure:
    """The failure of a model that was asked for token ids and does not give them, now or later."""
    brief = "the model gives no token ids with log probabilities, and return_token_ids asks for them"
    return AttemptFailure(kind=FatalReject, message=f"{model}: {brief}", brief=brief, remedy=_REMEDY + option)


def with_remedy(failure: AttemptFailure, sampling: Sampling, option: str) -> AttemptFailure:
    """A refusal of what token ids need concerns every request, and there is something to do about it."""
    if not sampling.return_token_ids or failure.refused not in {"logprobs", "return_token_ids"}:
        return failure
    return replace(failure, kind=FatalReject, remedy=_REMEDY + option)
