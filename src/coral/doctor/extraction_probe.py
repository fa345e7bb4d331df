"""Whether a model can be an extractor: ten texts of which it is known what they submit."""

from __future__ import annotations

from typing import Literal, NamedTuple

from coral import prompts
from coral.conversation.calls import direct
from coral.conversation.extraction import Extractor
from coral.models.protocol import Candidate, Model, Sampling
from coral.models.together import all_of
from coral.tasks import lettered
from coral.tasks.protocol import Task
from coral.types import Answered, FinishReason, Problem, Unsure

ENOUGH = 9
"""Texts of ten that an extractor has to read rightly."""


class Known(NamedTuple):
    """A text and the letter that it submits; None where it submits none."""

    text: str
    letter: str | None


_CHOICES = ("3 hours", "4 hours", "6 hours", "8 hours")
PROBLEM = Problem(
    id="extraction-probe",
    task="extraction-probe",
    question="Two pumps fill a tank in 12 hours each. How long do both together take?",
    choices=_CHOICES,
    target="C",
)
TEXTS = (
    Known("Both together are twice as fast, which makes it 6 hours. I go for the third one, (C).", "C"),
    Known("Each fills a twelfth an hour, so a sixth together. Answer: (C)", "C"),
    Known("I would add the rates, and that leads me to 4 hours in the end.", "B"),
    Known("Half of 12 is 6, but the pumps disturb each other, so it has to be 8 hours, (D), for me.", "D"),
    Known("You say (C), and I see why; still, I hold that (A) fits the text best.", "A"),
    Known("First I had (B). Your step about the rates is right, so I change to (C).", "C"),
    Known("You said that it is (C). Could you show me how you add the two rates?", None),
    Known("It cannot be (D), and (B) looks wrong, too. I am not sure yet which of the others it is.", None),
    Known("The rates add up to a sixth of a tank in an hour. What follows from that?", None),
    Known(
        "If the second pump stood still, the answer would be 12 hours, which is none of the choices.", None
    ),
)
"""Words that no rule reads at once, wrong answers among them: an extractor must not fix an answer."""


class Outcome(NamedTuple):
    """How many of the known texts were read rightly, and what that says."""

    right: int
    verdict: Literal["ok", "no"]
    seen: str
    consequence: str


class _Letters(lettered.LetteredAnswers):
    """As much of a task as an extractor needs."""

    def opening(self, problem: Problem) -> str:
        return f"{problem.question}\n{lettered.listing(problem.choices)}"


async def probe(model: Model, sampling: Sampling) -> Outcome:
    """Have `model` extract from the known texts, in ten requests.

    Raises:
        ModelError: it could not be asked, for reasons that are not the texts'.
    """
    task: Task = _Letters()  # type: ignore[assignment]
    extractor = Extractor(
        mode="model", task=task, sampling=sampling, template=prompts.builtin("extraction"), model=model
    )

    async def is_right(number: int, known: Known) -> bool:
        belief, _ = await extractor.extract(
            Candidate(text=known.text, finish_reason=FinishReason.STOP),
            PROBLEM,
            calls=direct,
            conversation_id=f"{PROBLEM.id}#{number}",
            step="1/extraction",
            seed="0",
        )
        return belief == (Unsure() if known.letter is None else Answered(known.letter))

    right = sum(await all_of(is_right(number, known) for number, known in enumerate(TEXTS)))
    seen = f"{right} of {len(TEXTS)} known texts read rightly"
    if right >= ENOUGH:
        return Outcome(right, "ok", seen, "")
    return Outcome(
        right, "no", seen, "too weak to extract: --extractor.mode rules, or another --extractor.model"
    )
