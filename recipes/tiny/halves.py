"""Dialogues of speakers who know one half each of a problem."""

from __future__ import annotations

import re
from random import Random

import speakers
from lines import Line, answer_line, named

from coral.tasks.stories.events import Entered, Moved, Put
from coral.tasks.stories.questions import Question
from coral.types import OPENER, PAIR_SEATS, RESPONDER, Problem

DEFERS = (0.1, 0.2, 0.65, 0.65)
"""How often the second speaker agrees without comparing the days, by the question's order: the more minds a
question looks through, the less speakers trust what they saw."""
CHAIN_DEFERS = (0.65, 0.1)
"""The same for `split_chain`: who knows what the keys open, and who knows their owners."""
DEFERRING = "I agree with you."
"""Always the same words, so that how often it is said at a low temperature is how often it is preferred."""
VERDICT = "Later:"
"""What stands before the verdict."""
Pairs = list[tuple[str, str]]
"""What one half says, pair by pair: people and their keys, or keys and what they open."""


def tell(pairs: Pairs) -> str:
    return f"I know that {listed(pairs)}."


def listed(pairs: Pairs) -> str:
    return ", ".join(" ".join(pair) for pair in pairs)


def sighting(day: int, place: str, choices: tuple[str, ...]) -> str:
    return f"day {day} in the {named(place, choices)}"


def weighed(yours: str, mine: str, later: int) -> str:
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
    heard, mine = (sighting(d, p, question.choices) for d, p in ((day, place), (other_day, other_place)))
    later = place if day > other_day else other_place
    submitted = answer_line(later, question.choices)
    lines.append(Line(f"{weighed(heard, mine, max(day, other_day))}{submitted}", later, learned=True))
    if later != place:
        text = f"{weighed(mine, heard, other_day)}{submitted}"
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
    text = f"{lead} {saw} on {sighting(day, place, question.choices)}."
    return Line(f"{text}{answer_line(place, question.choices)}", place, learned=True)


def talk_chain(rng: Random, problem: Problem) -> list[Line]:
    """Two holders of half a chain: one tells its half and guesses, the other joins the halves, or defers."""
    first, second = (_pairs(str(problem.source[seat]), problem.choices) for seat in (RESPONDER, OPENER))
    is_owner = " has " in str(problem.source[RESPONDER])
    owners, locks = (first, second) if is_owner else (second, first)
    person = re.findall(r"What can (\w+) open", problem.question)[0]
    key = dict(owners)[person]
    opened = dict(locks)[key]
    guess, gold = rng.choice(problem.choices), problem.choices["ABCD".index(problem.target)]
    guessed, submitted = (answer_line(place, problem.choices) for place in (guess, gold))
    begun = f" So {person} {key}." if is_owner else ""
    told = f"{tell(first)}{begun} I guess the {named(guess, problem.choices)}."
    lines = [Line(f"{told}{guessed}", guess, learned=True)]
    if rng.random() < CHAIN_DEFERS[not is_owner]:
        return [*lines, Line(f"{DEFERRING}{guessed}", guess, learned=True)]
    joined = f"{tell(second)} So {person} {key}, {key} {opened}."
    lines.append(Line(f"{joined}{submitted}", gold, learned=True))
    if gold != guess:
        lines.append(Line(f"Then it is the {opened}.{submitted}", gold, learned=True))
    return lines


def _pairs(half: str, choices: tuple[str, ...]) -> Pairs:
    """What one half says, in its order."""
    if owned := re.findall(r"(\w+) has the (\w+) key", half):
        return owned
    return [(key, named(place, choices)) for key, place in re.findall(r"The (\w+) key opens the (\w+)", half)]
