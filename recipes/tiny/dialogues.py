"""Scripted dialogues over generated problems, in the messages that Coral sends.

A dialogue is a list of lines, each with the place it answers and whether the model is to learn it. Wrong
beliefs are common in what a speaker hears and rare in what the model learns to say first.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import halves
import speakers
from drills import DRILLS
from lines import Example, Line, view

from coral.tasks import generated, split_chain
from coral.tasks.sally_anne import SallyAnne, state
from coral.tasks.split_chain import SplitChain
from coral.tasks.stories.generator import Difficulty
from coral.tasks.stories.questions import Question, draw_question, draw_split_question
from coral.types import PAIR_SEATS, RESPONDER, Problem

ACCURACY = 0.70
"""How often a scripted speaker's own belief is right in a dialogue."""
LEARN_WRONG = 0.25
"""Share of the lines with a wrong belief of the speaker's own that the model learns."""
ALONE_ACCURACY = 0.95
"""The same accuracy in the examples of one line, which are all learned."""
MAX_LINES = 6
STORY, CHAIN = SallyAnne(), SplitChain()


@dataclass(frozen=True)
class Lesson:
    """What is drawn at one stage of training.

    Attributes:
        kinds: weight of each kind of example, as `draw_examples` names it.
        orders: the orders that are asked for, each as often as it is named.
    """

    difficulty: Difficulty
    kinds: dict[str, float]
    orders: tuple[int, ...] = (0, 1, 2, 2, 3, 3)


MEDIUM = Difficulty(max_events=6, max_tells=1, max_distractors=1)
"""A notch below the task's defaults, so that training on the task itself has something to gain."""
SHORT = Difficulty(min_events=1, max_events=3, max_tells=0, max_distractors=0)
COPYING = Lesson(SHORT, {"repeat": 1})
LETTERS = Lesson(SHORT, {"letters": 0.55, "alone": 0.25, "repeat": 0.2}, orders=(0, 1, 2))
LATER = Lesson(SHORT, {"later": 1})
LOOKING_UP = Lesson(SHORT, {"decide": 0.35, "repeat": 0.3, "look up": 0.2, "compare": 0.15})
SHORT_STORIES = Lesson(
    SHORT,
    {"alone": 0.6, "decide": 0.12, "repeat": 0.1, "look up": 0.1, "letters": 0.08},
    orders=(0, 1, 2),
)
EVERYTHING = Lesson(
    MEDIUM,
    {
        "alone": 0.27,
        "days": 0.27,
        "chain": 0.13,
        "dialogue": 0.1,
        "decide": 0.08,
        "look up": 0.06,
        "repeat": 0.05,
        "compare": 0.04,
    },
)


def draw_examples(rng: Random, lesson: Lesson = EVERYTHING) -> list[Example]:
    """One problem's examples: a drill, a line alone, or a dialogue from both seats."""
    kind = rng.choices(list(lesson.kinds), list(lesson.kinds.values()))[0]
    order = rng.choice(lesson.orders)
    if kind in DRILLS:
        return [DRILLS[kind](rng)]
    match kind:
        case "alone":
            question = draw_question(rng, "train", order, lesson.difficulty)
            return [view(STORY, state(question, rng), [_alone(rng, question)], RESPONDER)]
        case "dialogue":
            question = draw_question(rng, "train", order, lesson.difficulty)
            lines, problem, task = _talk(rng, question), state(question, rng), STORY
        case "days":
            question = draw_split_question(rng, "train", order, lesson.difficulty)
            problem, task = state(question, rng), STORY
            lines = halves.talk_days(rng, question, problem)
        case "chain":
            problem, task = _chain_problem(rng), CHAIN
            lines = halves.talk_chain(rng, problem)
        case _:
            raise AssertionError(f"no kind of example is called {kind}")
    return [view(task, problem, lines, seat) for seat in PAIR_SEATS]


def _chain_problem(rng: Random) -> Problem:
    """One of the training split."""
    while generated.split_of(problem := split_chain.draw(rng, CHAIN.num_choices)) != "train":
        pass
    return problem


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
        heard, mine, manner = lines[-1].choice, beliefs[who], manners[who]
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
    return len(lines) > 1 and lines[-1].choice is not None and lines[-1].choice == lines[-2].choice
