"""What an evaluation or sampling would send and cost, before the first request."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan
from typing import NamedTuple

from coral.agents.open import in_this_process
from coral.batches.model import is_sold
from coral.conversation.messages import Told
from coral.evaluation.config import AgentConfig, EvalConfig, is_free, speaker_model
from coral.evaluation.plan import Plan, open_plan, with_room
from coral.evaluation.setup import settled
from coral.metrics import load_prices
from coral.metrics.cost import SHARE_BILLED, Tokens
from coral.models import embedded
from coral.models.client import SHORTEST_REPLY
from coral.models.config import ModelConfig
from coral.tasks.protocol import Task
from coral.types import Message, Speaker

CHARACTERS_PER_TOKEN = 4.0
"""Of English text, for the tokenizers in use: good to about a quarter."""
TYPICAL_TURNS = 4
TYPICAL_TURN_TOKENS = 250
PROBE_TOKENS = 40
"""Of an answer off the record: two lines."""
CONTROL_TOKENS = 80
"""Of a turn of a control partner with words of its own."""
UNLIMITED_TOKENS = 1_000
"""Of a reply whose length nothing limits: a guess."""
TYPICAL_EXTRACTED_SHARE = 0.5
"""Of turns that `hybrid` shows to the extractor."""
TYPICAL_EXTRACTION_SHARE = 0.25
"""Of its `max_tokens` that an extractor writes: a line, sometimes with some thought."""
TYPICAL_JUDGED_SHARE = 0.5
"""Of turns whose answer is neither a reference nor one that was judged before."""
MOST_EXTRACTIONS = {"rules": 0, "hybrid": 2, "model": 1}
"""Requests to an extractor per reply: `hybrid` asks again where an answer does not stand in the reply."""


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Requests, tokens and money of a run, under one assumption.

    Attributes:
        usd: None where a model has no price.
    """

    assumption: str
    requests: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None


@dataclass(frozen=True, kw_only=True)
class CostEstimate:
    """What `--dry_run` shows.

    Attributes:
        first: the messages of the first request, as an example.
        speaker: who is asked first, and the model.
    """

    problems: int
    conversations: int
    volumes: tuple[Volume, ...]
    first: tuple[Message, ...]
    speaker: Speaker


def estimate(config: EvalConfig, task: Task | None = None) -> CostEstimate:
    """Read the data and count; sends nothing and writes nothing.

    Args:
        task: in place of the one that the options name.

    Raises:
        UserError: an option or the data cannot be used.
    """
    config = settled(config)
    with open_plan(config, task) as plan:
        problem = plan.problems[0]
        opening = _mean_tokens(plan.stated(problem) for problem in plan.problems)
        first = _speakers(config, plan, 1)[0]
        seat = next(iter(plan.protocol.speakers))
        told = Told(
            system=first.system,
            opening=plan.stated(problem),
            briefing=plan.task.briefing(problem, seat),
            system_in_user=first.options.system_in_user,
            examples=plan.examples.get(first.name, ()),
        )
        conversations = len(plan.problems) * config.samples
        return CostEstimate(
            problems=len(plan.problems),
            conversations=conversations,
            volumes=tuple(
                _volume(config, plan, assumed, conversations, opening)
                for assumed in _assumptions(config, plan)
            ),
            first=plan.protocol.messages(seat, told, ()),
            speaker=Speaker(name=first.name, model=speaker_model(first.options)),
        )


@dataclass(frozen=True)
class _Seated:
    """An agent as it sits down: what it may say, and what it is told first."""

    name: str
    options: AgentConfig
    system: str


class _Assumed(NamedTuple):
    """What is assumed of every conversation.

    Attributes:
        cap: tokens of a turn; None: all that may be written, by speakers and extractor.
        share: requests to an extractor per turn.
        thinking: the models think as long as they may.
    """

    name: str
    turns: int
    cap: int | None
    share: float
    thinking: bool = False


def _mean_tokens(texts: Iterable[str]) -> float:
    sizes = [len(text) / CHARACTERS_PER_TOKEN for text in texts]
    return sum(sizes) / len(sizes)


def _assumptions(config: EvalConfig, plan: Plan) -> list[_Assumed]:
    extractor = config.extractor_config()
    share = {"rules": 0.0, "hybrid": TYPICAL_EXTRACTED_SHARE, "model": 1.0}[extractor.mode]
    limit = plan.protocol.max_turns
    typical = 1 if plan.protocol.answers_once else min(TYPICAL_TURNS, limit)
    speakers = _speakers(config, plan, limit)
    longest = max(map(_most_tokens, speakers))
    few = min(longest, TYPICAL_TURN_TOKENS)
    judge = config.judge_config()
    models: list[ModelConfig] = [speaker.options for speaker in speakers]
    models += [extractor] * (share > 0) + ([] if judge is None else [judge])
    at_most = "max_tokens null, say" if any(model.max_tokens is None for model in models) else "at most"
    most = _Assumed(
        f"{at_most}: {_turns(limit)} of {longest} tokens", limit, None, MOST_EXTRACTIONS[extractor.mode]
    )
    assumed = [_Assumed(f"{_turns(typical)} of {few} tokens", typical, TYPICAL_TURN_TOKENS, share), most]
    if any(map(_most_thinking, models)):
        longest = max(_most_tokens(speaker) + _most_thinking(speaker.options) for speaker in speakers)
        name = f"{at_most}, thinking: {_turns(limit)} of {longest} tokens"
        assumed.append(most._replace(name=name, thinking=True))
    return assumed


def _turns(number: int) -> str:
    return f"{number} turn{'s' if number > 1 else ''}"


def _speakers(config: EvalConfig, plan: Plan, turns: int) -> list[_Seated]:
    """Who speaks each turn: all in turn, as a rule."""
    agents = config.participants()
    names = list(plan.protocol.speakers.values())
    seated = [_Seated(name, agents[name], plan.systems[name]) for name in names]
    return [seated[number % len(seated)] for number in range(turns)]


def _most_tokens(speaker: _Seated) -> int:
    if is_free(speaker.options):
        return CONTROL_TOKENS
    return speaker.options.max_tokens or UNLIMITED_TOKENS


def _most_thinking(model: ModelConfig) -> int:
    """Tokens for thinking, on top of those of the reply. A model in this process is given none."""
    if is_free(model):
        return 0
    limited = model.max_tokens is not None and model.max_tokens >= SHORTEST_REPLY
    return model.thinking_tokens if limited and not in_this_process(model) else 0


def _volume(config: EvalConfig, plan: Plan, assumed: _Assumed, conversations: int, opening: float) -> Volume:
    """Each turn reads the opening and all earlier turns; an extraction reads the opening and one turn.

    A roll-out from a candidate of turn i takes the turns behind it, so turn j is taken anew for each
    candidate of the turns before it. The prompt of several candidates counts once, as servers count it.
    What a model thinks is written, and read by nobody.
    """
    cap, share, judge = assumed.cap, assumed.share, config.judge_config()
    extractor = with_room(config.extractor_config(), config.extractor, plan.task)
    draw, prices = config.draw, load_prices(config.prices)
    extracted = (extractor.max_tokens or UNLIMITED_TOKENS) * (TYPICAL_EXTRACTION_SHARE if cap else 1)
    extracted += assumed.thinking * _most_thinking(extractor)
    asked = len(plan.extraction) / CHARACTERS_PER_TOKEN + opening
    requests = extractions = prompt = written = usd = history = 0.0
    for earlier, speaker in enumerate(_speakers(config, plan, assumed.turns)):
        tokens = min(_most_tokens(speaker), cap) if cap else _most_tokens(speaker)
        if is_free(speaker.options):
            history += tokens
            continue
        again = draw.candidates * draw.rollouts * earlier
        replies = draw.candidates + again
        judged, verdicts = _judged(config, plan, assumed, replies, opening)
        shown = sum(len(message.content) for message in plan.examples.get(speaker.name, ()))
        told = (len(speaker.system) + shown) / CHARACTERS_PER_TOKEN + opening
        thought = assumed.thinking * _most_thinking(speaker.options)
        spoken = Tokens((1 + again) * (told + history), 0, replies * (tokens + thought))
        read = Tokens(replies * share * (asked + tokens), 0, replies * share * extracted)
        if plan.probe:
            briefly = min(tokens, PROBE_TOKENS) if cap else tokens
            question = len(plan.probe) / CHARACTERS_PER_TOKEN
            spoken = _sum(spoken, Tokens(told + history + tokens + question, 0, briefly + thought))
            read = _sum(read, Tokens(share * (asked + briefly), 0, share * extracted))
            requests += 1
            extractions += share
        requests += 1 + again + judged
        extractions += replies * share
        prompt += spoken.prompt + read.prompt + verdicts.prompt
        written += spoken.completion + read.completion + verdicts.completion
        usd += _billed(config, speaker.options) * prices.cost(embedded.name_of(speaker.options), spoken)
        usd += _billed(config, extractor) * prices.cost(extractor.model, read)
        usd += _billed(config, judge) * prices.cost(judge.model, verdicts) if judge is not None else 0.0
        history += tokens
    return Volume(
        assumption=assumed.name,
        requests=round(conversations * (requests + extractions)),
        prompt_tokens=round(conversations * prompt),
        completion_tokens=round(conversations * written),
        usd=None if isnan(usd) else usd * conversations,
    )


def _billed(config: EvalConfig, asked: ModelConfig) -> float:
    """The share of its price that a model is paid."""
    return SHARE_BILLED["batch" if config.batch and is_sold(asked) else "list"]


def _judged(
    config: EvalConfig, plan: Plan, assumed: _Assumed, replies: float, opening: float
) -> tuple[float, Tokens]:
    """Requests to a judge about the replies of a turn, and their tokens."""
    judge = config.judge_config()
    if judge is None:
        return 0.0, Tokens(0, 0, 0)
    requests = replies * (TYPICAL_JUDGED_SHARE if assumed.cap else 1.0)
    asked = len(plan.judge) / CHARACTERS_PER_TOKEN + opening
    written = (judge.max_tokens or UNLIMITED_TOKENS) * (TYPICAL_EXTRACTION_SHARE if assumed.cap else 1.0)
    written += assumed.thinking * _most_thinking(judge)
    return requests, Tokens(requests * asked, 0, requests * written)


def _sum(a: Tokens, b: Tokens) -> Tokens:
    return Tokens(*(one + other for one, other in zip(a, b, strict=True)))
