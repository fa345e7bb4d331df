"""What the tasks with short phrases as answers share: reading by lists of what can be meant."""

from __future__ import annotations

from collections.abc import Callable

from coral.answers import phrase
from coral.types import Answered, Belief, Unreadable

Reader = Callable[[str, tuple[str, ...]], Belief]


def find(
    reader: Reader,
    text: str,
    candidates: tuple[str, ...],
    *,
    others: tuple[str, ...] = (),
    free: bool = False,
) -> Belief:
    """What `reader` finds: one of `candidates`, or else a whole phrase that is no part of them.

    A text that names several candidates stays unreadable.

    Args:
        reader: `phrase.read` or `phrase.parse`.
        candidates: the answers that can be meant.
        others: wrong answers that are told from unreadable ones; each has to be all that is stated.
        free: take any other phrase, too.
    """
    belief = reader(text, candidates)
    if not isinstance(belief, Unreadable) or not (others or free):
        return belief
    other = reader(text, ())
    if not isinstance(other, Answered):
        return belief if isinstance(other, Unreadable) else other
    if any(_names(other.value, candidate) for candidate in candidates):
        return belief
    known = next((name for name in others if phrase.same(other.value, name)), None)
    if known is not None:
        return Answered(known)
    return other if free else belief


def _names(text: str, candidate: str) -> bool:
    return f" {phrase.normalize(candidate)} " in f" {phrase.normalize(text)} "
