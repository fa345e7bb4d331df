"""From a random stream to a question with its gold answer."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from coral.errors import ConfigError
from coral.tasks.stories.events import Chain
from coral.tasks.stories.generator import Difficulty, Tale, draw_chain, draw_split_tale, draw_tale
from coral.tasks.stories.skeleton import split_of

FALSE_BELIEF_RATE = 0.7
"""Share of questions about a belief for which a story is drawn where that belief is false."""

MAX_DRAWS = 20_000
"""Stories that are drawn for one question before its options are called too narrow."""


@dataclass(frozen=True)
class Question:
    """A story, whose belief is asked for, the lettered choices, and the right one."""

    tale: Tale
    chain: Chain
    choices: tuple[str, ...]
    target: str


def draw_question(rng: Random, split: str, order: int, difficulty: Difficulty) -> Question:
    """A question of this order on a story told whole, from this split.

    Raises:
        ConfigError: the difficulty allows (nearly) no such story.
    """
    wants_false = order > 0 and rng.random() < FALSE_BELIEF_RATE
    for attempt in range(MAX_DRAWS):
        tale = draw_tale(rng, difficulty)
        if split_of(tale.story) != split:
            continue
        chain = draw_chain(rng, tale.cast.people, order)
        answer = tale.world.belief(chain, tale.cast.thing)
        is_false = answer != tale.world.belief((), tale.cast.thing)
        if answer and (is_false or not wants_false or attempt > MAX_DRAWS // 2):
            return _letter(rng, tale, chain, answer)
    raise _too_narrow(split)


def draw_split_question(rng: Random, split: str, order: int, difficulty: Difficulty) -> Question:
    """A question whose answer depends on which witness saw the last day.

    Both saw the people asked about again after the first day, with different ends. A part tells something of
    the other one all the same: few days follow the first, closely. docs/sally_anne.md says how much.

    Raises:
        ConfigError: the difficulty allows (nearly) no such story.
    """
    for _ in range(MAX_DRAWS):
        tale = draw_split_tale(rng, difficulty)
        chain = draw_chain(rng, tale.cast.people[2:], order)
        both_saw_more = all(tale.num_meetings(witness, chain) > 1 for witness in tale.witnesses)
        if not both_saw_more or split_of(tale.story) != split:
            continue
        answer = tale.world.belief(chain, tale.cast.thing)
        first, second = (tale.answer_of(witness, chain) for witness in tale.witnesses)
        if answer and first != second:
            return _letter(rng, tale, chain, answer)
    raise _too_narrow(split)


def _too_narrow(split: str) -> ConfigError:
    return ConfigError(
        f"these options leave too few stories for the split '{split}'",
        remedy="allow more events, people, tellings or choices",
    )


def _letter(rng: Random, tale: Tale, chain: Chain, answer: str) -> Question:
    choices = tuple(rng.sample(tale.cast.containers, len(tale.cast.containers)))
    return Question(tale=tale, chain=chain, choices=choices, target=chr(ord("A") + choices.index(answer)))
