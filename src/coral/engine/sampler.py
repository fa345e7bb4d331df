"""Choosing the next token of many rows at once, each with its own seed.

Randomness is a function of (seed, candidate, position) and of nothing else: no generator has a state that
other rows could advance. One uniform number per token comes from the SplitMix64 finaliser (Steele, Lea and
Flood, "Fast splittable pseudorandom number generators", 2014).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How one request is sampled. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 leave all tokens in."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    logprobs: bool = False


@dataclass(frozen=True)
class Draw:
    """What one row is about to draw: `key` of its candidate, `position` of the token in its reply."""

    settings: Settings
    key: int
    position: int


def make_key(seed: int, candidate: int) -> int:
    """The 64-bit key of one candidate of a request with this seed (any integer)."""
    return _mix(_mix(seed & _MASK) + _GOLDEN * (candidate + 1) & _MASK)


def _mix(value: int) -> int:
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def uniforms(draws: Sequence[Draw]) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each draw, with 53 random bits."""
    words = [_mix((draw.key + _GOLDEN * (draw.position + 1)) & _MASK) >> 11 for draw in draws]
    return np.array(words, np.float64) * 2.0**-53


def sample(logits: Array, draws: Sequence[Draw]) -> tuple[list[int], list[float | None]]:
    """A token for each row of `logits` [rows, vocabulary].

    Returns:
        The tokens, and their log probabilities (natural, of the model's own distribution: before temperature
        and cuts) where asked for.

    Raises:
        ArithmeticError: logits that are infinite or no numbers: nothing can be drawn from them.
    """
    best = logits.argmax(axis=1)
    if not np.isfinite(logits[np.arange(len(best)), best]).all():
        raise ArithmeticError("the model's logits are not numbers")
    chosen = best.copy()
    drawn = [row for row, draw in enumerate(draws) if draw.settings.temperature > 0]
    if drawn:
        some = logits if len(drawn) == len(draws) else logits[drawn]
        tops = some[np.arange(len(drawn)), best[drawn]]
        chosen[drawn] = _draw(some, tops, [draws[row] for row in drawn])
    return chosen.tolist(), _log_probabilities(logits, chosen, draws)


def _draw(logits: Array, tops: Array, draws: Sequence[Draw]) -> Array:
    """Invert the cumulative distribution, in float64, at each row's uniform number."""
    temperatures = np.array([draw.settings.temperature for draw in draws], np.float32)
    weights = logits - tops[:, None]
    if (temperatures != 1.0).any():
        weights /= temperatures[:, None]
    np.exp(weights, out=weights)
    for row, draw in enumerate(draws):
        if draw.settings.top_p < 1.0 or draw.settings.top_k:
            _cut(weights[row], draw.settings)
    return _invert(weights, uniforms(draws))


def _cut(weights: Array, settings: Settings) -> None:
    """Zero what lies outside `top_k` and outside the nucleus: the fewest tokens with mass `top_p`.

    Tokens exactly as likely as the last one kept are kept, too.
    """
    if 0 < settings.top_k < len(weights):
        weights[weights < np.partition(weights, -settings.top_k)[-settings.top_k]] = 0.0
    if settings.top_p < 1.0:
        descending = np.sort(weights)[::-1]
        mass = np.cumsum(descending, dtype=np.float64)
        last = int(np.searchsorted(mass, settings.top_p * mass[-1]))
        weights[weights < descending[min(last, len(weights) - 1)]] = 0.0


_SPAN = 64


def _invert(weights: Array, uniform: npt.NDArray[np.float64]) -> Array:
    """The first token at which the cumulative weight exceeds `uniform` of the total.

    Found in two steps, a span of 64 tokens and then the token: a cumulative sum over the whole vocabulary
    would cost more than the rest of sampling.
    """
    rows, size = weights.shape
    spans = -(-size // _SPAN)
    if size % _SPAN:
        weights = np.pad(weights, ((0, 0), (0, spans * _SPAN - size)))
    parts = weights.reshape(rows, spans, _SPAN)
    span, rest = _locate(parts.sum(axis=2).astype(np.float64), uniform)
    inside = parts[np.arange(rows), span].astype(np.float64)
    return np.asarray(span * _SPAN + _locate(inside, rest)[0])


def _locate(weights: npt.NDArray[np.float64], share: npt.NDArray[np.float64]) -> tuple[Array, Array]:
    """Where the cumulative weight first exceeds `share` of the total, and the share of that entry left."""
    cumulative = np.cumsum(weights, axis=1)
    target = share * cumulative[:, -1]
    last = (weights > 0).shape[1] - 1 - np.argmax(weights[:, ::-1] > 0, axis=1)
    found = np.minimum((cumulative <= target[:, None]).sum(axis=1), last)
    at = np.arange(len(weights)), found
    return found, np.clip((target - (cumulative[at] - weights[at])) / weights[at], 0.0, 1.0 - 2.0**-53)


def _log_probabilities(logits: Array, chosen: Array, draws: Sequence[Draw]) -> list[float | None]:
    values: list[float | None] = [None] * len(draws)
    for row, draw in enumerate(draws):
        if draw.settings.logprobs:
            own = logits[row].astype(np.float64)
            top = own.max()
            values[row] = float(own[chosen[row]] - top - np.log(np.exp(own - top).sum()))
    return values
