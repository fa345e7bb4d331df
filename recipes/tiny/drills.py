"""Drills: what the dialogues need, isolated, without a problem. Only here is it learned within minutes."""

from __future__ import annotations

from random import Random

from halves import VERDICT, listed, sighting, tell, weighed
from lines import Example, drill, named

from coral.tasks.split_chain import KEYS
from coral.tasks.stories.generator import CONTAINERS, NAMES, ROOMS, THINGS
from coral.tasks.stories.render import render_choices

WORDS = (
    *(*NAMES, *CONTAINERS, *KEYS, *THINGS, *ROOMS),
    *(str(day) for day in range(1, 31)),
    *(f"({letter})" for letter in "ABCD"),
)
"""What is copied: words of every kind that decides something, so that no list is learned by heart."""


def repeat(rng: Random) -> Example:
    """A drill: words of any kind said again, from one of them on, or pair by pair in the order asked for.

    All that is learned can be known: where a run begins is given, and so is the order of the pairs.
    """
    words = rng.sample(WORDS, rng.randint(6, 20))
    if rng.random() < 0.5:
        start = rng.randrange(len(words) - 2)
        return drill(f"{' '.join(words)}.", f"{' '.join(words[start:])}.", words[start])
    pairs = list(zip(words[::2], words[1::2], strict=False))
    asked = rng.sample(pairs, len(pairs))
    return drill(f"{listed(pairs)}. {' '.join(first for first, _ in asked)}", f"{listed(asked)}.")


def recite(rng: Random) -> Example:
    """A drill: which letter belongs to which place."""
    choices = tuple(rng.sample(CONTAINERS, 4))
    pairs = [named(choice, choices) for choice in choices]
    rng.shuffle(pairs)
    return drill(render_choices(choices), f"I see the {', the '.join(pairs)}.")


def look_up(rng: Random) -> Example:
    """A drill: what belongs to one word of a list that was just said, by the speaker or to it."""
    choices = tuple(rng.sample(CONTAINERS, 4))
    people, keys = rng.sample(NAMES, 4), rng.sample(KEYS, 4)
    opened = [named(place, choices) for place in rng.sample(choices, 4)]
    pairs = list(zip(*rng.choice(((people, keys), (keys, opened))), strict=True))
    asked, answer = rng.choice(pairs)
    if rng.random() < 0.5:
        given = f"{tell(pairs)} So {asked}"
        return drill(render_choices(choices), f"{given} {answer}.", given)
    heard = f"{tell(pairs)} I guess the {rng.choice(opened)}."
    return drill(f"{render_choices(choices)}\n{heard}", f"So {asked} {answer}.", f"So {asked}")


def later(rng: Random) -> Example:
    """A drill: which of two days is later."""
    days = _two_days(rng)
    return drill(f"Day {days[0]}, day {days[1]}.", weighed(*[f"day {day}" for day in days], max(days)))


def compare(rng: Random) -> Example:
    """A drill: which of two days is later, and in half of the examples what was where on it."""
    if rng.random() < 0.5:
        return later(rng)
    days = _two_days(rng)
    choices = tuple(rng.sample(CONTAINERS, 4))
    places = rng.sample(choices, 2)
    asked = [f"Day {day} in the {place}." for day, place in zip(days, places, strict=True)]
    told = [sighting(day, place, choices) for day, place in zip(days, places, strict=True)]
    return drill(f"{render_choices(choices)}\n{' '.join(asked)}", weighed(*told, max(days)))


def decide(rng: Random) -> Example:
    """A drill: which of two days that were said is later, whatever other days stand before.

    What was said is drawn by itself and not learned, so that nothing but it can tell.
    """
    choices = tuple(rng.sample(CONTAINERS, 4))
    others = [f"Day {rng.randint(1, 30)} in the {rng.choice(choices)}." for _ in range(rng.randint(1, 6))]
    days = _two_days(rng)
    told = [sighting(day, place, choices) for day, place in zip(days, rng.sample(choices, 2), strict=True)]
    said = weighed(*told, max(days))
    given = said[: said.index(VERDICT) + len(VERDICT)]
    return drill(f"{render_choices(choices)}\n{' '.join(others)}", said, given)


def _two_days(rng: Random) -> list[int]:
    return rng.sample(range(1, 31), 2) if rng.random() < 0.2 else _close_days(rng)


def _close_days(rng: Random) -> list[int]:
    first = rng.randint(1, 29)
    days = [first, min(30, first + rng.randint(1, 6))]
    rng.shuffle(days)
    return days


DRILLS = {
    "repeat": repeat,
    "letters": recite,
    "look up": look_up,
    "later": later,
    "compare": compare,
    "decide": decide,
}
