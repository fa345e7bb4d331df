"""Dialogues of speakers who know one half each, and the drills for comparing days and for finding keys."""

from __future__ import annotations

import re
from random import Random

import speakers
from lines import Example, Line, answer_line, drill, named

from coral.tasks.split_chain import KEYS
from coral.tasks.stories.events import Entered, Moved, Put
from coral.tasks.stories.generator import CONTAINERS, NAMES
from coral.tasks.stories.questions import Question
from coral.tasks.stories.render import render_choices
from coral.types import OPENER, PAIR_SEATS, RESPONDER, Problem

DEFERS = (0.1, 0.2, 0.65, 0.65)
"""How often the second speaker agrees without comparing the days, by the question's order: the more minds a
question looks through, the less speakers trust what they saw."""
DEFERRING = "I agree with you."
"""Always the same words, so that how often it is said at a low temperature is how often it is preferred."""
VERDICT = "Later:"
"""What stands before the verdict."""


def compare(rng: Random) -> Example:
    """A drill: which of two days is later, and in half of the examples what was where on it."""
    days = _two_days(rng)
    if rng.random() < 0.5:
        return _compared(days)
    choices = tuple(rng.sample(CONTAINERS, 4))
    places = rng.sample(choices, 2)
    asked = [f"Day {day} in the {place}." for day, place in zip(days, places, strict=True)]
    told = [_sighting(day, place, choices) for day, place in zip(days, places, strict=True)]
    return drill(f"{render_choices(choices)}\n{' '.join(asked)}", _weighed(*told, max(days)))


def decide(rng: Random) -> Example:
    """A drill: which of two days that were said is later, whatever other days stand before.

    What was said is drawn by itself and not learned, so that nothing but it can tell.
    """
    choices = tuple(rng.sample(CONTAINERS, 4))
    others = [f"Day {rng.randint(1, 30)} in the {rng.choice(choices)}." for _ in range(rng.randint(1, 6))]
    days = _two_days(rng)
    told = [_sighting(day, place, choices) for day, place in zip(days, rng.sample(choices, 2), strict=True)]
    said = _weighed(*told, max(days))
    given = said[: said.index(VERDICT) + len(VERDICT)]
    return drill(f"{render_choices(choices)}\n{' '.join(others)}", said, given)


def look_up(rng: Random) -> Example:
    """A drill: one line of a list of keys, found by its person, or by its key for a person who has it."""
    people, keys, choices = rng.sample(NAMES, 4), rng.sample(KEYS, 4), tuple(rng.sample(CONTAINERS, 4))
    asked = rng.randrange(4)
    question = f"Question: What can {people[asked]} open?"
    if rng.random() < 0.5:
        facts = [f"- {person} has the {key} key." for person, key in zip(people, keys, strict=True)]
        return drill(_listed(rng, question, facts), f"{people[asked]} has the {keys[asked]} key.")
    opened = rng.sample(choices, 4)
    facts = [f"- The {key} key opens the {place}." for key, place in zip(keys, opened, strict=True)]
    told = f"{question}\n{render_choices(choices)}\n{people[asked]} has the {keys[asked]} key."
    return drill(
        _listed(rng, told, facts), f"the {keys[asked]} key opens the {named(opened[asked], choices)}."
    )


def _listed(rng: Random, asked: str, facts: list[str]) -> str:
    rng.shuffle(facts)
    return "\n".join((asked, *facts))


def later(rng: Random) -> Example:
    """A drill: which of two days is later."""
    return _compared(_two_days(rng))


def _compared(days: list[int]) -> Example:
    return drill(f"Day {days[0]}, day {days[1]}.", _weighed(*[f"day {day}" for day in days], max(days)))


def _two_days(rng: Random) -> list[int]:
    return rng.sample(range(1, 31), 2) if rng.random() < 0.2 else _close_days(rng)


def _close_days(rng: Random) -> list[int]:
    first = rng.randint(1, 29)
    days = [first, min(30, first + rng.randint(1, 6))]
    rng.shuffle(days)
    return days


def _sighting(day: int, place: str, choices: tuple[str, ...]) -> str:
    return f"day {day} in the {named(place, choices)}"


def _weighed(yours: str, mine: str, later: int) -> str:
    """Both days before the verdict, and the verdict in the words with which its day was named."""
    is_yours = re.search(rf"day {later}\b", yours) is not None
    verdict = f"you have {yours}" if is_yours else f"my last is {mine}"
    return f"You have {yours}, my last is {mine}. {VERDICT} {verdict}."


def talk_days(rng: Random, question: Question, problem: Problem) -> list[Line]:
    """Two witnesses: one tells the last day it knows of, the other compares, or defers without comparing."""
    known = {seat: _knowledge(question, str(problem.source[seat])) for seat in PAIR_SEATS}
    (place, day), (other_place, other_day) = known[RESPONDER], known[OPENER]
    lines = [_report(rng, question, place, day)]
    if rng.random() < DEFERS[len(question.chain)]:
        text = f"{DEFERRING}{answer_line(place, question.choices)}"
        return [*lines, Line(text, place, learned=True)]
    heard, mine = (_sighting(d, p, question.choices) for d, p in ((day, place), (other_day, other_place)))
    later = place if day > other_day else other_place
    submitted = answer_line(later, question.choices)
    lines.append(Line(f"{_weighed(heard, mine, max(day, other_day))}{submitted}", later, learned=True))
    if later != place:
        text = f"{_weighed(mine, heard, other_day)}{submitted}"
        lines.append(Line(text, later, learned=True))
    return lines


def _knowledge(question: Question, part: str) -> tuple[str, int]:
    """The last place this part tells of for the chain, and its day."""
    tale = question.tale
    witness = next(name for name in tale.witnesses if part.startswith(f"This is what {name} saw"))
    visits = [index for index, event in enumerate(tale.story) if isinstance(event, Entered)]
    for start, day in reversed(list(zip(visits, tale.days, strict=True))):
        entered, placed = tale.story[start], tale.story[start + 1]
        if (
            isinstance(entered, Entered)
            and {witness, *question.chain} <= set(entered.people)
            and isinstance(placed, Put | Moved)
        ):
            return placed.container, day
    raise AssertionError("the first day is known to everybody")


def _report(rng: Random, question: Question, place: str, day: int) -> Line:
    thing, people = question.tale.cast.thing, speakers.together(question.chain)
    saw = f"{people} saw the {thing}" if people else f"the {thing} was seen"
    lead = rng.choice(("I know that", "In my part", "As I know it,"))
    text = f"{lead} {saw} on {_sighting(day, place, question.choices)}."
    return Line(f"{text}{answer_line(place, question.choices)}", place, learned=True)


def talk_chain(rng: Random, problem: Problem) -> list[Line]:
    """Two holders of half a chain: one tells what it has and guesses, the other puts the halves together."""
    halves = [str(problem.source[seat]) for seat in (RESPONDER, OPENER)]
    owners = dict(re.findall(r"(\w+) has the (\w+) key", "\n".join(halves)))
    opens = dict(re.findall(r"The (\w+) key opens the (\w+)", "\n".join(halves)))
    person = re.findall(r"What can (\w+) open", problem.question)[0]
    key, gold, guess = owners[person], opens[owners[person]], rng.choice(problem.choices)
    if " has " in halves[0]:
        told = f"{person} has the {key} key. What it opens I can only guess"
    else:
        listed = [
            f"the {key} key opens the {named(place, problem.choices)}"
            for key, place in re.findall(r"The (\w+) key opens the (\w+)", halves[0])
        ]
        told = f"I know that {', '.join(listed)}. Who has which I can only guess"
    joined = f"{person} has the {key} key, and the {key} key opens the {named(gold, problem.choices)}."
    lines = [
        Line(
            f"{told}: the {named(guess, problem.choices)}.{answer_line(guess, problem.choices)}", guess, True
        ),
        Line(f"{joined}{answer_line(gold, problem.choices)}", gold, learned=True),
    ]
    if gold != guess:
        text = f"Then it is the {named(gold, problem.choices)}.{answer_line(gold, problem.choices)}"
        lines.append(Line(text, gold, learned=True))
    return lines
