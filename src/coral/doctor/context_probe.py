"""How long a prompt may be, of a server that does not say: found out with prompts that grow."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from coral.errors import ContextOverflow, ModelError
from coral.models.protocol import Generation

Verdict = Literal["ok", "no", "unknown"]
Seen = tuple[Verdict, str, str]
"""Verdict, what was seen, and what follows, as in a row of the doctor's table."""

WORDS = (1_000, 2_500, 6_000, 16_000, 40_000)
"""Lengths of the prompts, one after the other."""

GROWTH = 2.5
"""Largest step between two lengths. Reading a prompt takes at most its square more time."""

BUDGET_S = 30.0
"""Time for all prompts together. One that would not fit into it is not sent: it would block the server."""

CUT = 0.9
"""A server that counts fewer tokens than so many per word has cut the prompt."""


async def probe(
    ask: Callable[[str], Awaitable[Generation]], clock: Callable[[], float] = time.monotonic
) -> Seen:
    """Send prompts that grow until one is refused or cut, or the time is up.

    Args:
        ask: sends a prompt, once, and asks for one token.
    """
    started, last_s = clock(), 0.0
    taken, tokens = 0, None
    for words in WORDS:
        if last_s * GROWTH**2 > BUDGET_S - (clock() - started):
            return _verdict(taken, tokens, whole=False)
        before = clock()
        try:
            generation = await ask("reef " * words)
        except ContextOverflow as overflow:
            return "ok", _refused(str(overflow), words, taken), ""
        except ModelError as error:
            return "unknown", f"a prompt of {words:,} words failed: {error.brief}", ""
        last_s = clock() - before
        taken, tokens = words, generation.usage.prompt_tokens
    return _verdict(taken, tokens, whole=True)


def _verdict(words: int, tokens: int | None, *, whole: bool) -> Seen:
    if tokens is not None and tokens < words * CUT:
        remedy = "raise the server's context (Ollama: OLLAMA_CONTEXT_LENGTH)"
        return "no", f"cuts long prompts to {tokens:,} tokens and says nothing", remedy
    why = "" if whole else f"; longer ones would take more than {BUDGET_S:g} s"
    return "unknown", f"takes a prompt of {words:,} words{why}", ""


def _refused(message: str, words: int, taken: int) -> str:
    """What a refusal tells: the largest number in it that is smaller than the prompt is the limit."""
    numbers = [int(text.replace(",", "")) for text in re.findall(r"\d[\d,]{2,12}", message)]
    limits = [number for number in numbers if 256 <= number < words]
    if limits:
        return f"{max(limits):,} tokens; refuses longer prompts"
    return f"takes {taken:,} words, refuses {words:,}" if taken else f"refuses a prompt of {words:,} words"
