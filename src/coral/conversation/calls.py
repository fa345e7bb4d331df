"""How the loop reaches a model: through a `Calls`, which a run replaces by one that remembers."""

from __future__ import annotations

import hashlib
from typing import Protocol

from coral.models.protocol import Generation, Model, Request


class Calls(Protocol):
    """Makes the requests of one conversation.

    `step` names the request within the conversation ("3" is turn 3, "3/extraction" its extraction,
    "3/c2/extraction" that of its candidate 2, "3/c2/r0/5" turn 5 of roll-out 0 from that candidate), so that
    a run that resumes after a kill can hand out what it had already received instead of asking again.
    """

    async def __call__(self, step: str, model: Model, request: Request) -> Generation:
        """Answer `request`.

        Raises:
            ModelError: the request failed for good.
        """
        ...


async def direct(step: str, model: Model, request: Request) -> Generation:
    """The `Calls` that remembers nothing."""
    del step
    return await model.generate(request)


def request_seed(entropy: str, conversation_id: str, step: str) -> int:
    """A sampler seed of 31 bits that depends on what is asked, never on when.

    The protocol is not in it: with one seed, the first turn of a pair and a single answer share theirs, so
    given one prompt and sampling they are the same text, and comparing the two runs is comparing what
    happened after it. A salt in `entropy` (`ConversationConfig.entropy`) tells two runs apart.
    """
    digest = hashlib.blake2b(f"{entropy}:{conversation_id}:{step}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
