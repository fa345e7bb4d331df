"""Belief sequences in shorthand."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from coral.metrics import UNREADABLE, UNSURE, Trace, TraceTurn
from coral.types import OPENER, RESPONDER


def trace_of_words(words: str | Sequence[str]) -> Trace:
    """A trace, responder first: `R` right, `?` unsure, `!` unreadable, all else wrong; `R` and `R2` are
    equal.
    """
    classes: dict[str, int] = {}
    spellings: dict[str, int] = {}
    turns = []
    for i, word in enumerate(words):
        special = {"?": UNSURE, "!": UNREADABLE}.get(word)
        turns.append(
            TraceTurn(
                RESPONDER if i % 2 == 0 else OPENER,
                classes.setdefault(word[0], len(classes)) if special is None else special,
                UNSURE if word == "?" else spellings.setdefault(word, len(spellings)),
                {"?": False, "!": None}.get(word, word.startswith("R")),
            )
        )
    return Trace(tuple(turns), shared=False)


@pytest.fixture
def trace() -> Callable[..., Trace]:
    """Makes traces; see `trace_of_words`."""
    return trace_of_words
