"""One seat's whole view of a conversation as tokens, for any trainer.

What a seat reads grows from turn to turn: its own reply, then the others', follow what it read before. So its
last view holds all that it ever read and wrote, and one sequence trains all of its turns, each token behind
exactly the tokens that it was sampled behind. The ids are those that the engine or server gave; text is never
tokenized again, since one text has many token sequences and only one was sampled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from coral.errors import ConfigError
from coral.types import Conversation, Record, Seat

_WITHOUT_IDS = (
    "hold the conversations with --agent.return_token_ids true, on vLLM, `coral serve` or a checkpoint folder"
)


class Trajectory(Record, frozen=True):
    """What one seat read and wrote in one conversation.

    Attributes:
        prompt_ids: what it read before its first turn.
        completion_ids: all that follows, in the seat's own view: its replies, and between them the template's
            marks and what others said.
        mask: 1 for each token of `completion_ids` that the seat sampled, 0 for what it read.
        logprobs: of the sampled tokens, as the sampler gave them; 0 elsewhere.
        reward: None where it is not known.
        group: id of the problem: advantages compare conversations about one problem, seat by seat.
    """

    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    mask: tuple[int, ...]
    logprobs: tuple[float, ...]
    reward: float | None
    seat: Seat
    group: str
    conversation_id: str

    @property
    def trained_tokens(self) -> int:
        """How many tokens a trainer learns from."""
        return sum(self.mask)


class _Step(NamedTuple):
    """One turn of a seat: what it read, what it wrote, and how likely that was."""

    number: int
    prompt: tuple[int, ...]
    own: tuple[int, ...]
    logprobs: tuple[float, ...]


def trajectories(
    conversation: Conversation,
    tokenizer: Any,
    *,
    seats: Sequence[Seat] | None = None,
    rewards: Mapping[Seat, float | None] | None = None,
) -> tuple[Trajectory, ...]:
    """A trajectory for each seat that has spoken, in the order of the protocol's seats.

    Where a later view holds a reply in other tokens than were sampled (tokenized anew by the server, trimmed
    or without its thinking by the template), the tokens from there to the reply's end are not trained: they
    stand in no view behind what they were sampled behind. The last reply of a seat always is.

    Args:
        tokenizer: decodes ids for messages; `decode` is all that is asked of it.
        seats: only these.
        rewards: of each seat.

    Raises:
        ConfigError: a turn has no token ids, or the chat template does not keep a seat's earlier view as the
            beginning of its later one.
    """
    spoken = {turn.seat for turn in conversation.turns}
    wanted = [seat for seat in conversation.speakers if seat in spoken and (seats is None or seat in seats)]
    return tuple(_trajectory(conversation, seat, tokenizer, (rewards or {}).get(seat)) for seat in wanted)


def _trajectory(conversation: Conversation, seat: Seat, tokenizer: Any, reward: float | None) -> Trajectory:
    steps = _steps(conversation, seat)
    for earlier, later in pairwise(steps):
        _check_prefix(conversation, seat, earlier, later, tokenizer)
    whole = (*steps[-1].prompt, *steps[-1].own)
    mask, logprobs = [0] * len(whole), [0.0] * len(whole)
    for step in steps:
        start = len(step.prompt)
        for at, (token, logprob) in enumerate(zip(step.own, step.logprobs, strict=True), start):
            if at >= len(whole) or whole[at] != token:
                break
            mask[at], logprobs[at] = 1, logprob
    begin = len(steps[0].prompt)
    return Trajectory(
        prompt_ids=whole[:begin],
        completion_ids=whole[begin:],
        mask=tuple(mask[begin:]),
        logprobs=tuple(logprobs[begin:]),
        reward=reward,
        seat=seat,
        group=conversation.problem.id,
        conversation_id=conversation.id,
    )


def _steps(conversation: Conversation, seat: Seat) -> list[_Step]:
    steps = []
    for number, turn in enumerate(conversation.turns, 1):
        if turn.seat != seat:
            continue
        reply = turn.reply
        if not turn.prompt_token_ids or not reply.token_ids or reply.token_logprobs is None:
            what = "the prompt's" if reply.token_ids else "its"
            raise ConfigError(
                f"conversation {conversation.id}: turn {number} ({seat}) lacks {what} token ids",
                remedy=_WITHOUT_IDS,
            )
        steps.append(_Step(number, turn.prompt_token_ids, reply.token_ids, reply.token_logprobs))
    return steps


def _check_prefix(
    conversation: Conversation, seat: Seat, earlier: _Step, later: _Step, tokenizer: Any
) -> None:
    """What was read before the earlier turn is the beginning of what was read before the later one."""
    length = len(earlier.prompt)
    if later.prompt[:length] == earlier.prompt:
        return
    pairs = zip(earlier.prompt, later.prompt, strict=False)
    at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(length, len(later.prompt)))
    before, then, now = (
        str(tokenizer.decode(list(ids), skip_special_tokens=False))
        for ids in (
            earlier.prompt[max(at - 8, 0) : at],
            earlier.prompt[at : at + 8],
            later.prompt[at : at + 8],
        )
    )
    raise ConfigError(
        f"conversation {conversation.id}: before turn {later.number} the {seat} reads another beginning "
        f"than before turn {earlier.number}: behind {before!r}, {now!r} where {then!r} was",
        remedy="use a chat template that only appends: one sequence is to train all turns of a seat",
    )
