"""What an evaluation or sampling would send and cost, before the first request."""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan

from coral.jobs import embedded
from coral.jobs.config import AgentConfig, EvalConfig
from coral.jobs.plan import Plan, open_plan
from coral.metrics import load_prices
from coral.metrics.cost import Tokens
from coral.types import Message, Problem, Seat
from coral.view import messages_for

CHARACTERS_PER_TOKEN = 4.0
"""Of English text, for the tokenizers in use: good to about a quarter."""
TYPICAL_TURNS = 4
TYPICAL_TURN_TOKENS = 250
TYPICAL_EXTRACTED_SHARE = 0.5
"""Of turns that `hybrid` shows to the extractor."""


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
class Estimate:
    """What `--dry_run` shows.

    Attributes:
        first: the messages of the first request, as an example.
    """

    problems: int
    conversations: int
    volumes: tuple[Volume, ...]
    first: tuple[Message, ...]


def estimate(config: EvalConfig) -> Estimate:
    """Read the data and count; sends nothing and writes nothing.

    Raises:
        UserError: an option or the data cannot be used.
    """
    with open_plan(config) as plan:
        problem = plan.problems[0]
        sizes = [_opening_tokens(plan, problem) for problem in plan.problems]
        opening = sum(sizes) / len(sizes)
        conversations = len(plan.problems) * config.samples
        return Estimate(
            problems=len(plan.problems),
            conversations=conversations,
            volumes=tuple(
                _volume(config, assumption, conversations, opening, *amounts)
                for assumption, amounts in _assumptions(config).items()
            ),
            first=messages_for(
                Seat.RESPONDER,
                system=plan.agent_system,
                opening=plan.task.opening(problem),
                briefing=plan.task.briefing(problem, Seat.RESPONDER),
                replies=(),
                system_in_user=config.agent.system_in_user,
            ),
        )


def _opening_tokens(plan: Plan, problem: Problem) -> float:
    characters = len(plan.agent_system) + len(plan.task.opening(problem))
    return characters / CHARACTERS_PER_TOKEN


def _assumptions(config: EvalConfig) -> dict[str, tuple[int, int | None, float]]:
    """Name -> turns, tokens a turn (None: all that may be written), share extracted by a model."""
    share = {"rules": 0.0, "hybrid": TYPICAL_EXTRACTED_SHARE, "model": 1.0}[config.extractor_config().mode]
    pair = config.protocol == "coral"
    limit = config.max_turns if pair else 1 + config.second_chance
    typical = min(TYPICAL_TURNS, limit) if pair else 1
    longest = max(map(_most_tokens, _speakers(config, limit)))
    few = min(longest, TYPICAL_TURN_TOKENS)
    return {
        f"{_turns(typical)} of {few} tokens": (typical, TYPICAL_TURN_TOKENS, share),
        f"at most: {_turns(limit)} of {longest} tokens": (limit, None, float(share > 0)),
    }


def _turns(number: int) -> str:
    return f"{number} turn{'s' if number > 1 else ''}"


def _speakers(config: EvalConfig, turns: int) -> list[AgentConfig]:
    """Who speaks each turn, the responder first."""
    if config.protocol == "cot":
        return [config.agent] * turns
    pair = [config.agent, config.partner_config()]
    opener = 0 if config.opener == "agent" else 1
    return [pair[opener] if number % 2 else pair[1 - opener] for number in range(turns)]


def _most_tokens(speaker: AgentConfig) -> int:
    return speaker.max_tokens or 4 * TYPICAL_TURN_TOKENS


def _volume(
    config: EvalConfig,
    assumption: str,
    conversations: int,
    opening: float,
    turns: int,
    cap: int | None,
    share: float,
) -> Volume:
    """Each turn reads the opening and all earlier turns; an extraction reads the opening and one turn.

    A roll-out from a candidate of turn i takes the turns behind it, so turn j is taken anew for each
    candidate of the turns before it. The prompt of several candidates counts once, as servers count it.
    """
    draw, extractor, prices = config.draw, config.extractor_config(), load_prices(config.prices)
    requests = extractions = prompt = written = usd = history = 0.0
    for earlier, speaker in enumerate(_speakers(config, turns)):
        tokens = min(_most_tokens(speaker), cap) if cap else _most_tokens(speaker)
        again = draw.candidates * draw.rollouts * earlier
        replies = draw.candidates + again
        spoken = Tokens((1 + again) * (opening + history), 0, replies * tokens)
        read = Tokens(
            replies * share * (opening + tokens), 0, replies * share * (extractor.max_tokens or 0) / 4
        )
        requests += 1 + again
        extractions += replies * share
        prompt += spoken.prompt + read.prompt
        written += spoken.completion + read.completion
        usd += prices.cost(embedded.name_of(speaker), spoken) + prices.cost(extractor.model, read)
        history += tokens
    return Volume(
        assumption=assumption,
        requests=round(conversations * (requests + extractions)),
        prompt_tokens=round(conversations * prompt),
        completion_tokens=round(conversations * written),
        usd=None if isnan(usd) else usd * conversations,
    )
