"""Belief extraction: which answer does this turn submit?

`rules` reads the text with the task's rules; `model` asks a model about every turn, as the paper does;
`hybrid` asks only where the rules find no unambiguous answer, and has the model point to what it found.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from coral import prompts
from coral.answers import enclosed, evidence, prose
from coral.conversation.calls import Calls, request_seed
from coral.conversation.own_reader import OwnReader
from coral.errors import ABOUT_THE_TEXT, FatalReject, ModelError
from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate, Model, Request, Sampling
from coral.tasks import boundary
from coral.tasks.protocol import Task
from coral.types import Answered, Belief, Extraction, FinishReason, Message, Problem, Role, Unreadable, Usage

Mode = Literal["rules", "model", "hybrid"]

_BY_RULES = Extraction(by="rules")
BLOCK_TOKENS = 1_024
"""Most tokens of an extraction where answers are blocks of code, unless the options say another number."""


def answers_are_blocks(task: Task) -> bool:
    """Whether a task's answers are blocks of code, of many lines."""
    return "```" in task.instruction


def template_for(task: Task) -> str:
    """Our prompt by which a model is asked for the answers of a task."""
    return prompts.builtin("extraction_of_code" if answers_are_blocks(task) else "extraction")


@dataclass(frozen=True, kw_only=True)
class Extractor:
    """Finds beliefs.

    Attributes:
        model: who is asked; None in mode `rules`.
        reader: the user's own, in the place of the task's rules.
        template: the prompt of the request, filled with `question`, `reply` and `instruction`.
        second_look: in mode `hybrid`, the prompt of a second request, about a letter or number that the text
            does not hold; filled with `question`, `reply` and `answer`.
    """

    mode: Mode
    task: Task
    sampling: Sampling
    template: str
    model: Model | None = None
    reader: OwnReader | None = None
    second_look: str = field(default_factory=lambda: prompts.builtin("second_look"))

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
            belief = await self._read(candidate.text, problem)
        if self.model is None or not isinstance(belief, Unreadable):
            return belief, _BY_RULES
        return await self._ask(
            candidate.text, problem, _Asking(self.model, calls, conversation_id, step, seed)
        )

    async def _read(self, text: str, problem: Problem) -> Belief:
        """What the rules of the task, or the user's own extractor, find in a text."""
        if self.reader is not None:
            return await self.reader.read(text, problem, self.task)
        return boundary.read(self.task, text, problem)

    def prompt(self, reply: str, problem: Problem) -> str:
        """What the extractor model is asked about `reply`."""
        return prompts.render(
            self.template,
            question=self.task.opening(problem),
            reply=reply,
            instruction=self.task.instruction,
        )

    async def _ask(self, reply: str, problem: Problem, asking: _Asking) -> tuple[Belief, Extraction]:
        said, extraction = await asking.ask(self.prompt(reply, problem), self.sampling)
        if isinstance(said, Unreadable):
            return said, extraction
        belief = self._belief(said, problem)
        if self.mode != "hybrid" or not isinstance(belief, Answered):
            return belief, extraction
        if self._stands_in(reply, belief.value, problem):
            return belief, extraction
        return await self._look_again(reply, belief, extraction, problem, asking)

    def _stands_in(self, reply: str, answer: str, problem: Problem) -> bool:
        """Whether an answer stands in a reply; of a program, what the problem gives may be left out there."""
        if answers_are_blocks(self.task):
            return evidence.holds_lines(f"{problem.question}\n{reply}", answer)
        return evidence.holds(reply, answer, problem.choices)

    async def _look_again(
        self, reply: str, belief: Answered, first: Extraction, problem: Problem, asking: _Asking
    ) -> tuple[Belief, Extraction]:
        """Have the piece of `reply` copied that submits an answer which does not stand in it.

        The rules found no answer, and the model one that is not there: often one that it worked out itself.
        """
        asked = prompts.render(
            self.second_look, question=self.task.opening(problem), reply=reply, answer=belief.value
        )
        try:
            said, second = await asking.ask(asked, self.sampling, "/again")
        except ModelError as error:  # the first look was paid for, too
            paid = [usage for usage in (first.usage, error.usage) if usage is not None]
            error.usage, error.attempts = Usage.total(paid), first.attempts + error.attempts
            raise
        extraction = _together(first, second)
        if isinstance(said, Unreadable):
            return said, extraction
        quote = _QUOTE.sub("", said.text.strip().rpartition("\n")[2])
        if evidence.quotes(reply, quote):
            return belief, extraction
        return Unreadable(
            f"the extractor names an answer ({belief.value}) that does not stand in the reply"
        ), extraction

    def _belief(self, said: Candidate, problem: Problem) -> Belief:
        """Read the extractor model's own reply: one line, "Answer: ..."."""
        lines = [_unquoted(line.strip()) for line in said.text.splitlines() if line.strip()]
        if not lines or said.finish_reason is FinishReason.LENGTH:
            return Unreadable("the extractor's reply was empty or cut")
        if self._is_echo(said.text):
            return Unreadable("the extractor repeats its instruction")
        if answers_are_blocks(self.task):
            return boundary.parse(self.task, said.text.strip(), problem)
        labelled = [line for line in lines if prose.unlabel(line) != line]
        if not labelled and len(lines) > 1 and not enclosed.find(said.text):
            return Unreadable("the extractor's reply has several lines and no label")
        if not labelled:
            return boundary.parse(self.task, said.text.strip() if len(lines) > 1 else lines[0], problem)
        beliefs = [boundary.parse(self.task, prose.unlabel(line), problem) for line in labelled]
        if any(isinstance(other, Answered) and other != beliefs[-1] for other in beliefs):
            return Unreadable("the extractor gives several answers")
        return beliefs[-1]

    def _is_echo(self, words: str) -> bool:
        """Whether a reply holds a sentence of the prompt: then its answer may be the prompt's example."""
        said = _squeezed(words)
        return any(sentence in said for sentence in self._told)

    @cached_property
    def _told(self) -> tuple[str, ...]:
        """The prompt's own sentences, those of the task's instruction among them."""
        text = prompts.render(self.template, question="", reply="", instruction=self.task.instruction)
        sentences = map(_squeezed, [self.task.instruction, *_SENTENCE_END.split(text)])
        return tuple(sentence for sentence in sentences if len(sentence) >= _SHORTEST_ECHO)


_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+|\n+")
_SHORTEST_ECHO = 20
_QUOTE = re.compile(r"^\W*quote\W*:", re.IGNORECASE)


def _squeezed(text: str) -> str:
    return " ".join(text.lower().split())


@dataclass(frozen=True)
class _Asking:
    """Where the requests about one text go."""

    model: Model
    calls: Calls
    conversation_id: str
    step: str
    seed: str

    async def ask(
        self, content: str, sampling: Sampling, suffix: str = ""
    ) -> tuple[Candidate | Unreadable, Extraction]:
        """The model's reply, or why there is none, for reasons of the text."""
        step = self.step + suffix
        request = Request(
            messages=(Message(Role.USER, content),),
            sampling=sampling,
            seed=request_seed(self.seed, self.conversation_id, step),
            conversation_id=self.conversation_id,
        )
        try:
            generation = await self.calls(step, self.model, request)
        except FatalReject:
            raise
        except ABOUT_THE_TEXT as error:  # the network's failures fail the conversation
            return unanswered(error)
        said = own_turn(generation.candidates[0])
        return said, Extraction(
            by="model",
            text=said.text,
            usage=generation.usage,
            attempts=generation.attempts,
            billing=generation.billing,
        )


def _together(first: Extraction, second: Extraction) -> Extraction:
    usages = [extraction.usage for extraction in (first, second) if extraction.usage is not None]
    return Extraction(
        by="model",
        text="\n".join(filter(None, (first.text, second.text))),
        usage=Usage.total(usages),
        attempts=first.attempts + second.attempts,
        billing=first.billing if first.billing == second.billing else "list",
    )


def _unquoted(line: str) -> str:
    return line[1:-1].strip() if len(line) > 2 and line[0] == line[-1] and line[0] in "\"'`" else line


def unanswered(error: ModelError) -> tuple[Unreadable, Extraction]:
    """What is known of a belief for which the extractor could not be asked."""
    reason = f"the extractor gave no reply: {type(error).__name__}"
    return Unreadable(reason), Extraction(by="model", attempts=error.attempts, usage=error.usage)
