"""Signs of collapse: what conversations look like when a model has learned to agree and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

from coral.improvement.config import CollapseConfig
from coral.types import Answered, Conversation, Record, StopReason

_WORDS = re.compile(r"\w+")
SPAN = 3
"""Words of which a copy is made of: shorter spans are shared by any two texts about one problem."""
COPIED = 0.9
"""Share of a turn's spans that also stand in the partner's turn before, from which the turn is a copy."""


class StyleStatistics(Record, frozen=True, omit_defaults=False):
    """How a run's conversations go; shares are None of nothing.

    Attributes:
        instant_agreement: share of conversations that agree with the second turn.
        copied_turns: share of turns after the first that repeat the words of the turn before.
        words_per_turn: mean number of words of a turn.
        disagreement: share of conversations in which two neighbouring turns answer differently.
        conversations: finished ones, without failed ones.
    """

    instant_agreement: float | None
    copied_turns: float | None
    words_per_turn: float | None
    disagreement: float | None
    conversations: int


def style_of(conversations: Iterable[Conversation]) -> StyleStatistics:
    """Look at conversations of the pair. Answers are compared as they are written, in canonical form."""
    instant = copied = following = words = turns = disagreed = count = 0
    for conversation in conversations:
        if conversation.stop is StopReason.FAILED:
            continue
        count += 1
        texts = [_WORDS.findall(turn.reply.text.lower()) for turn in conversation.turns]
        instant += conversation.stop is StopReason.AGREED and len(texts) == 2
        copied += sum(_is_copy(mine, theirs) for theirs, mine in pairwise(texts))
        following += max(len(texts) - 1, 0)
        words += sum(map(len, texts))
        turns += len(texts)
        disagreed += _disagrees(conversation)
    return StyleStatistics(
        instant_agreement=_share(instant, count),
        copied_turns=_share(copied, following),
        words_per_turn=_share(words, turns),
        disagreement=_share(disagreed, count),
        conversations=count,
    )


def signs_of_collapse(
    before: StyleStatistics, after: StyleStatistics, config: CollapseConfig
) -> tuple[str, ...]:
    """What in `after` is beyond its threshold, one sentence each."""
    high = ("instant_agreement", "agreement at the second turn"), ("copied_turns", "copied turns")
    low = (
        ("words_per_turn", "length_ratio", "words per turn"),
        ("disagreement", "disagreement_ratio", "conversations with differing answers"),
    )
    found = [
        *(
            _too_high(title, getattr(before, name), getattr(after, name), getattr(config, name))
            for name, title in high
        ),
        *(
            _too_low(title, getattr(before, name), getattr(after, name), getattr(config, limit))
            for name, limit, title in low
        ),
    ]
    return tuple(sign for sign in found if sign)


def _too_high(name: str, before: float | None, after: float | None, limit: float | None) -> str | None:
    if limit is None or before is None or after is None or not (after > limit and after > before):
        return None
    return f"{name}: {after:.1%}, above {limit:.0%} (at the start {before:.1%})"


def _too_low(name: str, before: float | None, after: float | None, ratio: float | None) -> str | None:
    if ratio is None or not before or after is None or after >= ratio * before:
        return None
    return f"{name}: {after:.3g}, below {ratio:g} of the {before:.3g} at the start"


def _is_copy(mine: list[str], theirs: list[str]) -> bool:
    own = _spans(mine)
    if not own:
        return bool(mine) and mine == theirs
    return len(own & _spans(theirs)) >= COPIED * len(own)


def _spans(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + SPAN]) for i in range(len(words) - SPAN + 1)}


def _disagrees(conversation: Conversation) -> bool:
    beliefs = [turn.reply.belief for turn in conversation.turns]
    return any(
        isinstance(one, Answered) and isinstance(other, Answered) and one.value != other.value
        for one, other in pairwise(beliefs)
    )


def _share(part: float, whole: int) -> float | None:
    return part / whole if whole else None
