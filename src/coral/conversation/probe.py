"""The hidden probe: a seat is asked for its answer off the record, right after its turn.

What a protocol shows is made of turns, and a probe is no turn: nobody is shown it, not even its own seat
later. The question stands below the very messages that the seat answered to and its own turn, so it works for
every protocol, and servers keep the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from coral.conversation.calls import request_seed
from coral.conversation.failed import adding, blaming
from coral.conversation.messages import said
from coral.errors import ABOUT_THE_TEXT, FatalReject, ModelError
from coral.metrics.cost import spent_on
from coral.models.end_marks import own_turn
from coral.models.protocol import Generation, Request
from coral.types import Extraction, FinishReason, Message, Probe, Reply, Role, Spent, Turn, Unreadable

if TYPE_CHECKING:
    from coral.conversation.converse import TurnContext


async def probed(context: TurnContext, before: Sequence[Turn], turn: Turn) -> Turn:
    """The turn with what its seat says off the record; as it is where a control partner holds the seat.

    Args:
        before: the turns that it follows.

    Raises:
        CallFailed: a request failed for good, for reasons that are not this text's.
        ModelError: every other request would meet the same (`STOPS_THE_RUN`).
    """
    agent = context.agents[turn.seat]
    if agent.control is not None:
        return turn
    lost = spent_on((turn,), {turn.seat: agent.name})
    with adding(lost):
        return msgspec.structs.replace(turn, probe=await _ask(context, before, turn))


async def _ask(context: TurnContext, before: Sequence[Turn], turn: Turn) -> Probe:
    config, seat = context.config, turn.seat
    agent, step = context.agents[seat], f"{len(before) + 1}/probe"
    request = Request(
        messages=(
            *config.protocol.messages(seat, context.told[seat], context.shown(before, seat)),
            Message(Role.ASSISTANT, said(turn)),
            Message(Role.USER, config.probe),
        ),
        sampling=msgspec.structs.replace(agent.sampling, return_token_ids=False),
        seed=request_seed(config.entropy, context.identity, step),
        conversation_id=context.identity,
    )
    with blaming(f"probe of turn {len(before) + 1} ({seat})", agent.name):
        try:
            generation = await context.calls(step, agent.model, request)
        except FatalReject:
            raise
        except ABOUT_THE_TEXT as error:  # the turn stands, whatever its speaker would have said of it
            return _unanswered(error)
    return await _judged(context, generation, step, agent.name)


async def _judged(context: TurnContext, generation: Generation, step: str, name: str) -> Probe:
    """What was said, its belief read without the line about its probability."""
    whole = own_turn(generation.candidates[0])
    probability, text = probability_in(whole.text)
    candidate = msgspec.structs.replace(whole, text=text)
    judge = replace(context, config=replace(context.config, on_belief=None))
    paid = Spent(
        role=name,
        calls=1,
        requests=generation.attempts,
        usage=generation.usage,
        billing=generation.billing,
    )
    with adding([paid]):
        reply = await judge.judge_only(msgspec.structs.replace(generation, candidates=(candidate,)), step)
    return Probe(
        reply=msgspec.structs.replace(reply, text=whole.text, usage=generation.usage), probability=probability
    )


def _unanswered(error: ModelError) -> Probe:
    reply = Reply(
        text="",
        belief=Unreadable(f"the probe got no reply: {type(error).__name__}"),
        correct=None,
        finish_reason=FinishReason.UNKNOWN,
        extraction=Extraction(by="rules"),
        usage=error.usage,
        attempts=error.attempts,
    )
    return Probe(reply=reply)


# The probability --------------------------------------------------------------------------------------------

_LABEL = re.compile(
    r"(?:^|(?<=[.;,)}]))[^\w\n]*(?:probability|confidence)\b[^\n:=.!?]{0,40}[:=][^\w\n\\.<>~-]*"
    r"(?:\n\s*)?(?P<value>[^\n]*)$",
    re.IGNORECASE | re.MULTILINE,
)
_NUMBER = r"(\d+(?:[.,]\d+)?|[.,]\d+)"
_PERCENT = re.compile(rf"{_NUMBER}[\s\\*]*(?:%|％|per ?cent)", re.IGNORECASE)
_OUT_OF = re.compile(rf"{_NUMBER}\s*(?:/|out of)\s*{_NUMBER}", re.IGNORECASE)
_PLAIN = re.compile(rf"(?<![\w.,-]){_NUMBER}(?![\w]|[.,]\d)")


def probability_in(text: str) -> tuple[float | None, str]:
    """The probability that a reply states in its last labelled line, and the reply without that.

    `80%`, `0.8`, `80` and `8 out of 10` are the same. A range, a bare 1 (of which nobody knows whether it is
    one percent), and what lies outside of 0 to 1 are none.
    """
    labelled = list(_LABEL.finditer(text))
    if not labelled:
        return None, text
    last = labelled[-1]
    return _share(last["value"]), f"{text[: last.start()]}{text[last.end() :]}".rstrip()


def _share(value: str) -> float | None:
    if re.search(r"[-−]\s*[\d.]", value):  # a range, or below 0
        return None
    percents, fractions, plain = _PERCENT.findall(value), _OUT_OF.findall(value), _PLAIN.findall(value)
    if len(percents) == 1:
        share = _float(percents[0]) / 100
    elif not percents and len(fractions) == 1 and _float(fractions[0][1]):
        share = _float(fractions[0][0]) / _float(fractions[0][1])
    elif not percents and not fractions and len(plain) == 1 and plain[0] != "1":
        number = _float(plain[0])
        share = number / 100 if number > 1 else number
    else:
        return None
    return share if 0 <= share <= 1 else None


def _float(text: str) -> float:
    return float(text.replace(",", "."))
