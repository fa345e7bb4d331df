"""Judging: is this answer right, where rules cannot tell and only a model can?

The judge is shown the question, the right answers and the answer, and nothing of who gave it or why. It says
right, wrong, or that it cannot tell. Each answer to a problem is judged once in a run.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

import msgspec

from coral import prompts
from coral.config import COUNT, NOT_NEGATIVE, option
from coral.conversation.calls import Calls, request_seed
from coral.errors import ABOUT_THE_TEXT, FatalReject, ModelError
from coral.models.config import ModelConfig
from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate, Model, Request, Sampling
from coral.store.verdicts import Judged
from coral.tasks import boundary
from coral.tasks.judged import JudgedTask, correct
from coral.types import FinishReason, Judgement, Message, Problem, Role, Verdict


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(ModelConfig):
    """A model that grades where rules cannot."""

    temperature: float | None = option(0.0, decides=True, within=NOT_NEGATIVE)
    """Sampling temperature; null leaves it to the server."""
    max_tokens: int | None = option(256, decides=True, within=COUNT)
    """Most tokens of one verdict."""


Graded = tuple[bool | None, Judgement | None]
"""Whether an answer is right, and how a judge found that; None where rules did."""


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Grades the answers that rules do not.

    Attributes:
        task: with the verdicts so far, which it adds to.
        template: the prompt, filled with `question`, `reference` and `answer`.
    """

    task: JudgedTask
    model: Model
    sampling: Sampling
    template: str
    _asking: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def grade(
        self,
        answer: str,
        problem: Problem,
        *,
        calls: Calls,
        conversation_id: str,
        step: str,
        seed: str,
        on_verdict: Callable[[Judgement], None] | None = None,
    ) -> Graded:
        """Whether an answer is right, and how that was found.

        Of conversations that give one answer at once, the first asks and the others wait for its verdict.

        Args:
            on_verdict: told each judgement as it is made; may raise what ends the run.

        Raises:
            ModelError: the judge could not be asked, for reasons that are not this answer's.
        """
        by_rules = await boundary.grade(self.task.rules, answer, problem)
        if by_rules is not None:
            return by_rules, None
        spelling = self.task.judgeable.spelling(answer, problem)
        lock = self._asking.setdefault((problem.id, spelling), asyncio.Lock())
        async with lock:
            known = self.task.verdicts.find(problem.id, spelling)
            if known is not None:
                return correct(known.judgement), _as_met(known, conversation_id, step)
            judgement = await self.ask(
                answer, problem, calls=calls, conversation_id=conversation_id, step=step, seed=seed
            )
            if judgement.text is None:
                return None, judgement
            self.task.verdicts.keep(Judged(problem.id, spelling, conversation_id, step, judgement))
        if on_verdict is not None:
            on_verdict(judgement)
        return correct(judgement), judgement

    def learn(self, answer: str, problem: Problem, judgement: Judgement | None) -> None:
        """Take over what was said of an answer in another run, and paid for there."""
        spelling = self.task.judgeable.spelling(answer, problem)
        if judgement is None or judgement.text is None or self.task.verdicts.find(problem.id, spelling):
            return
        free = msgspec.structs.replace(judgement, usage=None, attempts=0, billing="list")
        self.task.verdicts.keep(Judged(problem.id, spelling, "", "", free))

    def prompt(self, answer: str, problem: Problem) -> str:
        """What the judge is asked. The answer is one line, so that it opens no section of the prompt."""
        return prompts.render(
            self.template,
            question=problem.question,
            reference="\n".join(self.task.judgeable.references(problem)),
            answer=" ".join(answer.split()),
        )

    async def ask(
        self, answer: str, problem: Problem, *, calls: Calls, conversation_id: str, step: str, seed: str
    ) -> Judgement:
        """What the judge says of an answer, whatever is known of it. Without a text: it was refused.

        Raises:
            ModelError: as `grade`.
        """
        request = Request(
            messages=(Message(Role.USER, self.prompt(answer, problem)),),
            sampling=self.sampling,
            seed=request_seed(seed, problem.id, f"judge/{answer}"),
            conversation_id=conversation_id,
        )
        try:
            generation = await calls(step, self.model, request)
        except FatalReject:
            raise
        except ABOUT_THE_TEXT as error:  # the network's failures fail the conversation
            return unjudged(error)
        said = own_turn(generation.candidates[0])
        return Judgement(
            verdict=verdict_in(said),
            text=said.text,
            usage=generation.usage,
            attempts=generation.attempts,
            billing=generation.billing,
        )


def unjudged(error: ModelError) -> Judgement:
    """What is known of an answer of which the judge could not be asked."""
    return Judgement(attempts=error.attempts, usage=error.usage)


def _as_met(known: Judged, conversation_id: str, step: str) -> Judgement:
    """A judgement as it stands where its answer is met: with its cost only where it was asked for."""
    if (known.id, known.step) == (conversation_id, step):
        return known.judgement
    return msgspec.structs.replace(known.judgement, usage=None, attempts=0, billing="list")


_WORDS: dict[str, Verdict] = {
    "right": "right", "correct": "right", "wrong": "wrong", "incorrect": "wrong",
    "cannot tell": "cannot tell", "can't tell": "cannot tell",
    "cannot be told": "cannot tell", "unclear": "cannot tell",
}  # fmt: skip
_LABELLED = re.compile(
    r"^\W*verdict\W*[:\-\u2013\u2014=]\W*(?P<verdict>[^\n]*?)\W*$", re.IGNORECASE | re.MULTILINE
)


def verdict_in(said: Candidate) -> Verdict | None:
    """What a judge says in labelled lines, else in its whole reply; None unless that is one of the three."""
    if said.finish_reason is FinishReason.LENGTH:
        return None
    text = said.text.replace("\u2019", "'")
    labelled = [found["verdict"] for found in _LABELLED.finditer(text)] or [text]
    verdicts = {verdict_of(words) for words in labelled}
    return verdicts.pop() if len(verdicts) == 1 else None


def verdict_of(words: str) -> Verdict | None:
    """Which of the three some words are; None for others."""
    return _WORDS.get(" ".join(words.lower().split()).strip("*_`\"'.!() "))
