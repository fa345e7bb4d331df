"""From what a model wrote and what was found of it to the records of a turn."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from coral.conversation.agent import Agent
from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate, Generation
from coral.models.token_ids import gives_token_ids, no_token_ids
from coral.types import Belief, Extraction, Judgement, Reply, Seat, Turn


class Verdict(NamedTuple):
    """What was found of a candidate: its belief and grade, and how."""

    belief: Belief
    correct: bool | None
    extraction: Extraction
    judgement: Judgement | None = None


def own_turns(generation: Generation, agent: Agent) -> Generation:
    """The candidates up to their end marks.

    Raises:
        FatalReject: the agent is to give token ids, and its model does not.
    """
    asked = agent.sampling.return_token_ids and agent.control is None
    if asked and not gives_token_ids(generation.candidates):
        raise no_token_ids(agent.model.name, f"--{agent.name}").error(generation.attempts)
    return msgspec.structs.replace(generation, candidates=tuple(map(own_turn, generation.candidates)))


def turn_of_one(seat: Seat, reply: Reply, generation: Generation) -> Turn:
    """The turn of a single candidate. Where it was drawn again (cut while the model thought, or blank), all
    draws were paid for, and the reply's own usage is that of the last one.
    """
    if reply.usage == generation.usage:
        return Turn(seat=seat, replies=(reply,), prompt_token_ids=generation.prompt_token_ids)
    reply = msgspec.structs.replace(reply, attempts=0)
    return Turn(
        seat=seat,
        replies=(reply,),
        usage=generation.usage,
        attempts=generation.attempts,
        prompt_token_ids=generation.prompt_token_ids,
    )


def sibling(candidate: Candidate, verdict: Verdict, generation: Generation, *, repeated: bool) -> Reply:
    if repeated and verdict.extraction.by == "model":
        verdict = verdict._replace(extraction=Extraction(by="model", text=verdict.extraction.text))
    if repeated and verdict.judgement is not None:
        verdict = verdict._replace(
            judgement=msgspec.structs.replace(verdict.judgement, usage=None, attempts=0, billing="list")
        )
    return reply_of(candidate, verdict, generation)


def reply_of(candidate: Candidate, verdict: Verdict, generation: Generation) -> Reply:
    """A candidate of a generation with what was found of it. Its requests stand in its turn."""
    logprobs = candidate.token_logprobs if candidate.token_ids is not None else None
    return Reply(
        text=candidate.text,
        reasoning=candidate.reasoning,
        belief=verdict.belief,
        correct=verdict.correct,
        finish_reason=candidate.finish_reason,
        extraction=verdict.extraction,
        judgement=verdict.judgement,
        usage=candidate.usage,
        latency_s=round(generation.latency_s, 6),
        attempts=0,
        overrun=candidate.overrun,
        token_ids=candidate.token_ids,
        token_logprobs=None if logprobs is None else tuple(round(value, 6) for value in logprobs),
        billing=generation.billing,
    )
