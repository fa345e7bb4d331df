"""Dialogues of speakers who know one half each, and the drill that lets the model compare days at all."""

from __future__ import annotations

import re
from random import Random

import speakers
from lines import Example, Line, answer_line, drill, named

from coral.tasks.stories.events import Entered, Moved, Put
from coral.tasks.stories.generator import CONTAINERS
from coral.tasks.stories.questions import Question
from coral.tasks.stories.render import render_choices
from coral.types import OPENER, PAIR_SEATS, RESPONDER, Problem

DEFERS = (0.1, 0.1, 0.3, 0.3)
"""How often the second speaker agrees without comparing the days, by the question's order: the more minds a
question looks through, the less speakers trust what they saw."""


def compare(rng: Random) -> Example:
    """A drill: which of two days is later, and in half of the examples what was where on it."""
    days = rng.sample(range(1, 31), 2) if rng.random() < 0.2 else _close_days(rng)
    if rng.random() < 0.5:
        return drill(f"Day {days[0]}, day {days[1]}.", _weighed(*[f"day {day}" for day in days], max(days)))
    choices = tuple(rng.sample(CONTAINERS, 4))
    places = rng.sample(choices, 2)
    asked = [f"Day {day} in the {place}." for day, place in zip(days, places, strict=True)]
    told = [_sighting(day, place, choices) for day, place in zip(days, places, strict=True)]
    return drill(f"{render_choices(choices)}\n{' '.join(asked)}", _weighed(*told, max(days)))


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
    return f"You have {yours}, my last is {mine}. Later: {verdict}."


def talk_days(rng: Random, question: Question, problem: Problem) -> list[Line]:
    """Two witnesses: one tells the last day it knows of, the other compares, or defers without comparing."""
    known = {seat: _knowledge(question, str(problem.source[seat])) for seat in PAIR_SEATS}
    (place, day), (other_place, other_day) = known[RESPONDER], known[OPENER]
    lines = [_report(rng, question, place, day)]
    if rng.random() < DEFERS[len(question.chain)]:
        text = f"{rng.choice(speakers.AGREE)}{answer_line(place, question.choices)}"
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
