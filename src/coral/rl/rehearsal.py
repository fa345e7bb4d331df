"""Before the first step: which tokens of a conversation would be trained, seen without a model.

A made-up conversation about the first problem is tokenized as a server does it. So a chat template that does
not keep a seat's earlier view as the beginning of its later one is found before anything is sampled.
"""

from __future__ import annotations

from collections.abc import Sequence

from coral.conversation.messages import Told
from coral.errors import ConfigError
from coral.evaluation.plan import Plan
from coral.rl.trajectory import Trajectory, trajectories
from coral.training.encode import Encoder
from coral.types import (
    SCHEMA,
    Conversation,
    Extraction,
    FinishReason,
    Reply,
    Seat,
    Speaker,
    StopReason,
    Turn,
    Unsure,
)

WORDS = "I have read it. I am not sure yet."
"""What everybody says."""
MOST_TURNS = 6


def rehearse(plan: Plan, encoder: Encoder, seats: Sequence[Seat]) -> tuple[Trajectory, ...]:
    """The trajectories of `seats` in a conversation in which everybody says the same.

    Raises:
        ConfigError: the chat template refuses the messages, or rewrites what a seat has read.
    """
    problem = plan.problems[0]
    protocol = plan.protocol
    opening = plan.stated(problem)
    turns: tuple[Turn, ...] = ()
    while len(turns) < MOST_TURNS and (seat := protocol.next_seat(turns)) is not None:
        told = Told(
            system=plan.systems[protocol.speakers[seat]],
            opening=opening,
            briefing=plan.task.briefing(problem, seat),
            examples=plan.examples.get(protocol.speakers[seat], ()),
        )
        prompt = encoder.tokens(protocol.messages(seat, told, turns), "the conversation before training")
        turns = (*turns, _turn(seat, prompt, encoder))
    conversation = Conversation(
        schema=SCHEMA,
        id="before training",
        problem=problem,
        speakers={seat: Speaker(name=name, model="nobody") for seat, name in protocol.speakers.items()},
        opening=opening,
        turns=turns,
        stop=StopReason.MAX_TURNS,
        seed=0,
        started_at=0.0,
        seconds=0.0,
    )
    return trajectories(conversation, encoder.tokenizer, seats=seats)


def _turn(seat: Seat, prompt: Sequence[int], encoder: Encoder) -> Turn:
    own = encoder.tokenizer(WORDS, add_special_tokens=False)["input_ids"]
    end = encoder.tokenizer.eos_token_id
    if end is None:
        raise ConfigError("the tokenizer has no end token", remedy="save it with one: a reply has to end")
    ids = (*own, end)
    reply = Reply(
        text=WORDS,
        belief=Unsure(),
        correct=False,
        finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"),
        token_ids=ids,
        token_logprobs=(0.0,) * len(ids),
    )
    return Turn(seat=seat, replies=(reply,), prompt_token_ids=tuple(prompt))


def shown(trajectory: Trajectory, encoder: Encoder) -> list[tuple[str, bool]]:
    """A trajectory as text, in pieces: each with whether it is trained."""
    whole = [(token, False) for token in trajectory.prompt_ids]
    whole += [
        (token, bool(kept)) for token, kept in zip(trajectory.completion_ids, trajectory.mask, strict=True)
    ]
    pieces: list[tuple[list[int], bool]] = []
    for token, trained in whole:
        if not pieces or pieces[-1][1] is not trained:
            pieces.append(([], trained))
        pieces[-1][0].append(token)
    return [(encoder.text(tokens), trained) for tokens, trained in pieces]
