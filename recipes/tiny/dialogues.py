"""Scripted dialogues over generated problems, in the messages that Coral sends.

A dialogue is a list of lines, each with the place it answers and whether the model is to learn it. Wrong
beliefs are common in what a speaker hears and rare in what the model learns to say first.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import speakers

from coral.conversation.protocols.pair import messages_for
from coral.tasks.sally_anne import SallyAnne, state
from coral.tasks.stories.events import Entered, Moved, Put
from coral.tasks.stories.generator import CONTAINERS, Difficulty
from coral.tasks.stories.questions import Question, draw_question, draw_split_question
from coral.tasks.stories.render import render_choices
from coral.types import OPENER, PAIR_SEATS, RESPONDER, Message, Problem, Role, Seat

ACCURACY = 0.70
"""How often a scripted speaker's own belief is right in a dialogue."""
LEARN_WRONG = 0.25
"""Share of the lines with a wrong belief of the speaker's own that the model learns."""
ALONE_ACCURACY = 0.95
"""The same accuracy in the examples of one line, which are all learned."""
MAX_LINES = 6
TASK = SallyAnne()


@dataclass(frozen=True)
class Line:
    """One turn: what is said, which place it answers (None: unsure), and whether it is learned."""

    text: str
    place: str | None
    learned: bool


@dataclass(frozen=True)
class Example:
    """One seat's view of a dialogue: the messages, and for each whether it is learned."""

    messages: tuple[Message, ...]
    learned: tuple[bool, ...]


@dataclass(frozen=True)
class Lesson:
    """What is drawn at one stage of training.

    Attributes:
        kinds: weights of a line alone, a dialogue over a whole story, one with split information, and of
            reciting a list of lettered choices in another order.
        orders: the orders that are asked for, each as often as it is named.
    """

    difficulty: Difficulty
    kinds: tuple[float, float, float, float]
    orders: tuple[int, ...]


MEDIUM = Difficulty(max_events=6, max_tells=1, max_distractors=1)
"""A notch below the task's defaults, so that training on the task itself has something to gain."""
SHORT = Difficulty(min_events=1, max_events=3, max_tells=0, max_distractors=0)
LETTERS = Lesson(difficulty=SHORT, kinds=(0.3, 0, 0, 0.7), orders=(0, 1, 2))
SHORT_STORIES = Lesson(difficulty=SHORT, kinds=(0.85, 0, 0, 0.15), orders=(0, 1, 2))
STORIES = Lesson(difficulty=MEDIUM, kinds=(1, 0, 0, 0), orders=(0, 1, 2, 2, 3, 3))
EVERYTHING = Lesson(difficulty=MEDIUM, kinds=(0.5, 0.32, 0.18, 0), orders=(0, 1, 2, 2, 3, 3))
DIALOGUES = Lesson(difficulty=MEDIUM, kinds=(0.15, 0.65, 0.2, 0), orders=(0, 1, 2, 2, 3, 3))


def draw_examples(rng: Random, lesson: Lesson = EVERYTHING) -> list[Example]:
    """One problem's examples: a line alone, or a dialogue from both seats, with split information or not."""
    kind = rng.choices(("alone", "dialogue", "split", "recite"), lesson.kinds)[0]
    if kind == "recite":
        return [_recite(rng)]
    draw = draw_split_question if kind == "split" else draw_question
    question = draw(rng, "train", rng.choice(lesson.orders), lesson.difficulty)
    problem = state(question, rng)
    if kind == "alone":
        return [_view(problem, [_alone(rng, question)], RESPONDER)]
    lines = _talk_split(rng, question, problem) if kind == "split" else _talk(rng, question)
    return [_view(problem, lines, seat) for seat in PAIR_SEATS]


def _recite(rng: Random) -> Example:
    """A drill without a story: which letter belongs to which place."""
    choices = rng.sample(CONTAINERS, 4)
    pairs = [f"{choice} ({letter})" for choice, letter in zip(choices, "ABCD", strict=True)]
    rng.shuffle(pairs)
    said = Message(Role.ASSISTANT, f"I see the {', the '.join(pairs)}.")
    return Example((Message(Role.USER, render_choices(choices)), said), (False, True))


def _view(problem: Problem, lines: list[Line], seat: Seat) -> Example:
    """The dialogue as this seat sees it, up to its own last line."""
    own = [i for i in range(len(lines)) if (i % 2 == 0) == (seat == RESPONDER)]
    last = own[-1] if own else len(lines) - 1
    before = [line.text for line in lines[:last]]
    opening, briefing = TASK.opening(problem), TASK.briefing(problem, seat)
    if seat == OPENER and not before:
        return Example(messages=(), learned=())
    messages = messages_for(seat, system="", opening=opening, briefing=briefing, replies=before)
    messages = (*messages, Message(Role.ASSISTANT, lines[last].text))
    learned = [False] * len(messages)
    for offset, index in enumerate(reversed(own)):
        learned[len(messages) - 1 - 2 * offset] = lines[index].learned
    return Example(messages=messages, learned=tuple(learned))


def _alone(rng: Random, question: Question) -> Line:
    return _propose(rng, question, speakers.noisy_belief(rng, question, ALONE_ACCURACY), learned=True)


def _propose(rng: Random, question: Question, place: str, *, learned: bool, lead: str = "") -> Line:
    lead = lead or rng.choice(speakers.PROPOSE)
    text = f"{lead} {speakers.reason(rng, question, place)}{speakers.answer_line(question, place)}"
    return Line(text, place, learned)


def _say(rng: Random, question: Question, phrases: tuple[str, ...], place: str, mine: str) -> Line:
    text = rng.choice(phrases).format(mine=mine)
    return Line(f"{text}{speakers.answer_line(question, place)}", place, learned=True)


def _talk(rng: Random, question: Question) -> list[Line]:
    """Two readers of the whole story talk until they agree, or run out of turns."""
    gold = speakers.gold_place(question)
    beliefs = [speakers.noisy_belief(rng, question, ACCURACY) for _ in range(2)]
    manners = [rng.choice(speakers.MANNERS) for _ in range(2)]

    def learns(place: str) -> bool:
        return place == gold or rng.random() < LEARN_WRONG

    lines = [_open(rng, question, beliefs[0], learned=learns(beliefs[0]))]
    while len(lines) < MAX_LINES and not _agreed(lines):
        who = len(lines) % 2
        heard, mine, manner = lines[-1].place, beliefs[who], manners[who]
        if heard is None:
            line = _propose(rng, question, mine, learned=learns(mine))
        elif heard == mine:
            line = _agree(rng, question, mine, manner)
        elif _gives_way(rng, manner, first=len(lines) == 1, partner_right=heard == gold):
            phrases = speakers.YIELD if len(lines) == 1 else speakers.CONCEDE
            line = _say(rng, question, phrases, heard, mine)
            beliefs[who] = heard
        else:
            lead = rng.choice(speakers.OBJECT if len(lines) == 1 else speakers.INSIST)
            line = _propose(rng, question, mine, learned=learns(mine), lead=lead)
        lines.append(line)
    return lines


def _open(rng: Random, question: Question, place: str, *, learned: bool) -> Line:
    if rng.random() < 0.03:
        return Line(speakers.unsure(), None, learned=True)
    return _propose(rng, question, place, learned=learned)


def _agree(rng: Random, question: Question, place: str, manner: speakers.Manner) -> Line:
    if rng.random() >= manner.checks:
        return _say(rng, question, speakers.AGREE, place, place)
    clause = speakers.reason(rng, question, place).removesuffix(".")
    text = f"{rng.choice(speakers.PROPOSE)} {clause}, as you say.{speakers.answer_line(question, place)}"
    return Line(text, place, learned=True)


def _gives_way(rng: Random, manner: speakers.Manner, *, first: bool, partner_right: bool) -> bool:
    if first:
        return rng.random() < manner.yields
    return rng.random() < (manner.concedes_right if partner_right else manner.concedes_wrong)


def _agreed(lines: list[Line]) -> bool:
    return len(lines) > 1 and lines[-1].place is not None and lines[-1].place == lines[-2].place


def _talk_split(rng: Random, question: Question, problem: Problem) -> list[Line]:
    """Two witnesses compare the days they know of; now and then one does not listen."""
    known = {seat: _knowledge(question, problem.source[seat]) for seat in PAIR_SEATS}
    (place, day), (other_place, other_day) = known[RESPONDER], known[OPENER]
    lines = [_report(rng, question, place, day)]
    careless = rng.random()
    if careless < 0.08:
        return [*lines, _say(rng, question, speakers.AGREE, place, place)]
    if other_day < day:
        lines.append(_defer(rng, question, place, day, other_day))
        return lines
    lines.append(_overrule(rng, question, other_place, other_day, day))
    if careless < 0.15:
        lines.append(_propose_day(question, place, day, speakers.INSIST[0]))
    else:
        lines.append(_defer(rng, question, other_place, other_day, day))
    return lines


def _knowledge(question: Question, part: str) -> tuple[str, int]:
    """The last place this part tells of for the chain, and its day."""
    tale = question.tale
    witness = next(name for name in tale.witnesses if part.startswith(f"This is what {name} saw"))
    visits = [index for index, event in enumerate(tale.story) if isinstance(event, Entered)]
    for start, day in reversed(list(zip(visits, tale.days, strict=True))):
        entered, placed = tale.story[start], tale.story[start + 1]
        if {witness, *question.chain} <= set(entered.people) and isinstance(placed, Put | Moved):
            return placed.container, day
    raise AssertionError("the first day is known to everybody")


def _saw(question: Question, place: str) -> str:
    thing, people = question.tale.cast.thing, speakers.together(question.chain)
    return (
        f"{people} saw the {thing} in {speakers.named(question, place)}"
        if people
        else f"the {thing} was in {speakers.named(question, place)}"
    )


def _report(rng: Random, question: Question, place: str, day: int) -> Line:
    lead = rng.choice(("I know that", "In my part", "As I know it,"))
    return _propose_day(question, place, day, lead)


def _propose_day(question: Question, place: str, day: int, lead: str) -> Line:
    text = f"{lead} {_saw(question, place)} on day {day}.{speakers.answer_line(question, place)}"
    return Line(text, place, learned=True)


def _overrule(rng: Random, question: Question, place: str, day: int, other: int) -> Line:
    lead = rng.choice(("But in my part", "I know more:", "No:"))
    text = f"{lead} {_saw(question, place)} on day {day}, and that is later than day {other}."
    return Line(f"{text}{speakers.answer_line(question, place)}", place, learned=True)


def _defer(rng: Random, question: Question, place: str, day: int, other: int) -> Line:
    lead = rng.choice(("My last is", "I only know of", "In my part it was"))
    text = f"{lead} day {other}, and day {day} is later, so I go with {speakers.named(question, place)}."
    return Line(f"{text}{speakers.answer_line(question, place)}", place, learned=True)
