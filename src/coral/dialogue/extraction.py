"""Belief extraction: which answer does this turn submit?

`rules` reads the text with the task's rules; `model` asks a model about every turn, as the paper does;
`hybrid` asks only where the rules find no unambiguous answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coral import prompts
from coral.answers import prose
from coral.dialogue.calls import Calls, request_seed
from coral.errors import ABOUT_THE_TEXT, FatalReject, ModelError
from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate, Model, Request, Sampling
from coral.tasks.protocol import Task
from coral.types import Belief, Extraction, FinishReason, Message, Problem, Role, Unreadable

Mode = Literal["rules", "model", "hybrid"]

_BY_RULES = Extraction(by="rules")


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Finds beliefs.

    Attributes:
        model: who is asked; None in mode `rules`.
        template: the prompt of the request, filled with `question`, `reply` and `instruction`.
    """

    mode: Mode
    task: Task
    sampling: Sampling
    template: str
    model: Model | None = None

    async def extract(
        self,
        candidate: Candidate,
        problem: Problem,
        *,
        calls: Calls,
        conversation_id: str,
        step: str,
        seed: str,
    ) -> tuple[Belief, Extraction]:
        """The belief that `candidate` submits, and how it was found.

        Raises:
            ModelError: the extractor could not be asked, for reasons that are not this text's.
        """
        if candidate.finish_reason is FinishReason.LENGTH:
            return Unreadable("the reply was cut by its token limit"), _BY_RULES
        belief: Belief = Unreadable("not read by rules")
        if self.mode != "model":
            belief = self.task.read(candidate.text, problem)
        if self.model is None or not isinstance(belief, Unreadable):
            return belief, _BY_RULES
        request = Request(
            messages=(Message(Role.USER, self.prompt(candidate.text, problem)),),
            sampling=self.sampling,
            seed=request_seed(seed, conversation_id, step),
            conversation_id=conversation_id,
        )
        return await self._ask(self.model, request, problem, calls, step)

    def prompt(self, reply: str, problem: Problem) -> str:
        """What the extractor model is asked about `reply`."""
        return prompts.render(
            self.template,
            question=self.task.opening(problem),
            reply=reply,
            instruction=self.task.instruction,
        )

    async def _ask(
        self, model: Model, request: Request, problem: Problem, calls: Calls, step: str
    ) -> tuple[Belief, Extraction]:
        try:
            generation = await calls(step, model, request)
        except FatalReject:
            raise
        except ABOUT_THE_TEXT as error:  # the network's failures fail the conversation
            return unanswered(error)
        candidate = own_turn(generation.candidates[0])
        words = candidate.text
        return self._belief(candidate, problem), Extraction(
            by="model", text=words, usage=generation.usage, attempts=generation.attempts
        )

    def _belief(self, candidate: Candidate, problem: Problem) -> Belief:
        """Read the extractor model's own reply: one line, "Answer: ..."."""
        lines = [_unquoted(line.strip()) for line in candidate.text.splitlines() if line.strip()]
        if not lines or candidate.finish_reason is FinishReason.LENGTH:
            return Unreadable("the extractor's reply was empty or cut")
        labelled = [line for line in lines if prose.unlabel(line) != line]
        return self.task.parse(prose.unlabel((labelled or lines)[-1]), problem)


def _unquoted(line: str) -> str:
    return line[1:-1].strip() if len(line) > 2 and line[0] == line[-1] and line[0] in "\"'`" else line


def unanswered(error: ModelError) -> tuple[Belief, Extraction]:
    """What is known of a belief for which the extractor could not be asked."""
    reason = f"the extractor gave no reply: {type(error).__name__}"
    return Unreadable(reason), Extraction(by="model", attempts=error.attempts)
