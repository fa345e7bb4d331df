"""The records that flow through Coral: frozen, complete at birth, one JSON line where they touch the disk.

Unknown fields are refused when read, so that a file of another version is never half understood.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Literal

import msgspec

SCHEMA = 2
"""Version of the stored records. A change of any field below raises it."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What all records share: frozen, keyword-only, strict when read, compact when written."""


class Role(str, Enum):
    """The wire's roles of chat messages."""

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One chat message in the wire's shape. Made by protocols and the extraction prompt alone."""

    role: Role
    content: str


class Problem(Record, frozen=True):
    """One problem of a task.

    Attributes:
        id: stable across runs and machines, unique in its task.
        choices: the texts of the lettered choices A, B, C, ...; empty for open questions.
        target: the gold answer in the task's canonical form (a letter, a LaTeX string, a phrase); empty where
            there is none.
        group: what statistics split by, such as `{"order": "2"}`.
        cluster: what it shares with other problems that are hard together, such as two programs for one task:
            intervals take them as one draw. Empty where it was drawn alone.
        source: what the task kept of the raw record; read only by that task.
    """

    id: str
    task: str
    question: str
    target: str
    choices: tuple[str, ...] = ()
    group: dict[str, str] = {}
    cluster: str = ""
    source: dict[str, Any] = {}


class Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="answered"):
    """The turn submits an answer, here in the task's canonical form."""

    value: str


class Unsure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unsure"):
    """The turn submits no answer yet, and says so or shows it."""


class Unreadable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="unreadable"):
    """What the turn submits could not be determined."""

    reason: str


Belief = Answered | Unsure | Unreadable
"""The answer that one turn submits. Only an `Answered` can be equal to another or right."""


class Usage(Record, frozen=True):
    """Tokens as the server counted them. A server that does not say leaves None: unknown is not 0."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None

    @staticmethod
    def total(usages: Iterable[Usage]) -> Usage:
        """The sum, field by field; a field that one of them leaves unknown is unknown."""
        counted = list(usages)

        def total(field: str) -> int | None:
            counts = [getattr(usage, field) for usage in counted]
            return None if None in counts else sum(counts)

        return Usage(**{field: total(field) for field in Usage.__struct_fields__})


Billing = Literal["list", "batch", "cache"]
"""How a request was paid for: at the list price, at a batch's, or not at all: its reply was in the cache."""


class FinishReason(str, Enum):
    """Why the model stopped writing."""

    STOP = "stop"
    LENGTH = "length"
    UNKNOWN = "unknown"


class Extraction(Record, frozen=True):
    """How a belief was found, and at what cost.

    Attributes:
        by: the rules, or a model.
        text: the extractor model's own words, as evidence; None when the rules decided or no words came.
        usage: the extractor's tokens; None when the rules decided.
        attempts: requests sent to the extractor, retries included. 0 with `by` a model: a sibling said the
            same in the same words, and it was asked, and paid for, there.
        billing: of the extractor's requests; at the list price where they differ.
    """

    by: Literal["rules", "model"]
    text: str | None = None
    usage: Usage | None = None
    attempts: int = 0
    billing: Billing = "list"


Verdict = Literal["right", "wrong", "cannot tell"]
"""What a model that grades says of an answer."""


class Judgement(Record, frozen=True):
    """How a judge, a model that grades, found an answer right or not, and at what cost.

    Attributes:
        verdict: None where it gave none: it was refused, or its words hold none.
        text: its own words, as evidence; None where it was refused.
        usage: its tokens; None where this answer had been judged before in the run.
        attempts: requests sent to it, retries included. 0 where this answer had been judged before.
        billing: of the request.
    """

    verdict: Verdict | None = None
    text: str | None = None
    usage: Usage | None = None
    attempts: int = 0
    billing: Billing = "list"


Seat = str
"""The name of a seat; which there are, a protocol says."""
OPENER = "opener"
"""In a pair: states the problem."""
RESPONDER = "responder"
"""In a pair: speaks the first turn. One agent alone has this seat, too."""
PAIR_SEATS = (OPENER, RESPONDER)


class StopReason(str, Enum):
    """Why a conversation ended."""

    AGREED = "agreed"
    """All seats' latest beliefs are equal answers."""
    MAX_TURNS = "max_turns"
    """The limit of turns was reached without agreement. One agent alone has taken its turns."""
    CONTEXT_FULL = "context_full"
    """The conversation no longer fits into a speaker's context."""
    FAILED = "failed"
    """A request failed for good; see `failure`."""


class Failure(Record, frozen=True):
    """A failed call as data.

    Attributes:
        where: what was being done, such as "turn 3 (opener)" or "extraction of turn 3".
        type: the class in `errors.py`.
        attempts: requests sent for what failed.
        spent: tokens of the replies that stand in no turn because of it, by role; `requests` are those that
            `attempts` does not count.
    """

    where: str
    type: str
    message: str
    status: int | None = None
    attempts: int = 1
    spent: tuple[Spent, ...] = ()


class Adjustment(Record, frozen=True):
    """One change to what the options say, for one model, in all conversations of a run.

    Attributes:
        setting: what it is about: a request field, `system`, `n` or `thinking`.
        change: what is done instead, as a sentence.
        value: of the setting, where it has one.
        words: the server's own, without secrets.
    """

    model: str
    setting: str
    change: str
    value: str = ""
    words: str = ""


class Spent(Record, frozen=True):
    """What the calls of one role cost together.

    Attributes:
        role: the name of a speaker, `extractor` or `judge`.
        calls: replies, extractions or verdicts received.
        requests: sent for them, retries included.
        usage: their tokens; a field is None where a server left one of them uncounted.
    """

    role: str
    calls: int
    requests: int
    usage: Usage
    billing: Billing = "list"


class Rollout(Record, frozen=True):
    """How a conversation continued from a candidate ended, one candidate per turn; without its texts.

    Attributes:
        stop: why it ended; a failed one says nothing about the candidate.
        turns: taken after the candidate; 0 where the candidate itself ended the conversation.
        answer: what both agreed on, in the task's canonical form; None without agreement.
        correct: agreed, and right. None where it cannot be said: it failed, or the answer has no grade.
        spent: on the turns after the candidate, by role.
        failure: of a failed one.
    """

    stop: StopReason
    turns: int
    answer: str | None = None
    correct: bool | None = None
    spent: tuple[Spent, ...] = ()
    failure: Failure | None = None


class Reply(Record, frozen=True):
    """One candidate turn of a model, with its belief and grade.

    Attributes:
        reasoning: what a thinking model wrote apart from its reply; never shown to the partner or extractor.
        correct: whether the belief is right; None where it cannot be said (unreadable, ungradable).
        usage: this candidate's tokens; None where the server only reports the sum over several candidates.
        latency_s: seconds from the first sending to the full reply, retries included.
        attempts: requests sent for it, retries included. 0 where they stand in `Turn.attempts`.
        overrun: characters that the model wrote past its end mark: an invented next turn. They are not in
            `text`, and nobody sees them.
        token_ids: what the model wrote, token by token, its end mark included; None where not asked for.
        token_logprobs: natural logarithms of the probabilities that the model gave them, before temperature
            and cuts, to six decimals; as many as `token_ids`.
        rollouts: conversations continued from here. Empty where none were asked for, or where the candidate
            could not continue. A candidate that ends the conversation has one, of no turns.
        billing: of its request, and so of all candidates of its turn.
        judgement: how a judge graded its belief; None where rules did, or there was none to grade.
    """

    text: str
    belief: Belief
    correct: bool | None
    finish_reason: FinishReason
    extraction: Extraction
    judgement: Judgement | None = None
    reasoning: str | None = None
    usage: Usage | None = None
    latency_s: float = 0.0
    attempts: int = 1
    overrun: int = 0
    token_ids: tuple[int, ...] | None = None
    token_logprobs: tuple[float, ...] | None = None
    rollouts: tuple[Rollout, ...] = ()
    billing: Billing = "list"

    @property
    def garbled(self) -> int:
        """Characters of `text` that could not be read, here or by the server: each stands there as U+FFFD."""
        return self.text.count("\ufffd")

    @property
    def value(self) -> float | None:
        """Share of the rollouts that agreed and were right, of those of which it is known; None without."""
        known = [rollout.correct for rollout in self.rollouts if rollout.correct is not None]
        return sum(known) / len(known) if known else None


class Probe(Record, frozen=True):
    """What a seat said off the record, right after its turn.

    Attributes:
        reply: as of any turn, but nobody is shown it: not the others, and not its own seat later.
        probability: that its answer is right, in its own words, from 0 to 1; None where it gave none.
    """

    reply: Reply
    probability: float | None = None


class Turn(Record, frozen=True):
    """One turn: the candidates drawn, and the index of the one that was chosen.

    Attributes:
        usage: tokens of all draws together, as the server counted them: of several candidates, or of one that
            was drawn again. None where one draw was all: then they stand in its reply.
        attempts: requests sent for all draws together, retries included; 0 where `usage` is None.
        prompt_token_ids: what the model read, as its server split it; None where not asked for or not given.
        probe: what the seat said off the record behind it; None where it was not asked.
    """

    seat: Seat
    replies: tuple[Reply, ...]
    chosen: int = 0
    usage: Usage | None = None
    attempts: int = 0
    prompt_token_ids: tuple[int, ...] | None = None
    probe: Probe | None = None

    @property
    def reply(self) -> Reply:
        """The reply that was chosen."""
        return self.replies[self.chosen]

    @property
    def siblings(self) -> tuple[Reply, ...]:
        """The candidates that were not chosen."""
        return self.replies[: self.chosen] + self.replies[self.chosen + 1 :]


class Speaker(Record, frozen=True):
    """Who holds a seat: a configured agent (`agent`, `partner`, `agent_3`), and its model."""

    name: str
    model: str


class Parent(Record, frozen=True):
    """What a conversation was forked from.

    Attributes:
        conversation: id of the one that it shares its first turns with.
        turns: how many it shares.
        change: what was changed from there on, in words.
    """

    conversation: str
    turns: int
    change: str = ""


class Conversation(Record, frozen=True):
    """A finished conversation: one line of a run.

    Attributes:
        id: `<problem id>#<sample>`.
        speakers: who holds each seat, in the order of the protocol's seats.
        opening: the statement of the problem: a template, not a turn.
        started_at: seconds since the epoch.
        seconds: wall time spent on it, in the session that finished it.
        parent: what it was forked from.
    """

    schema: int
    id: str
    problem: Problem
    speakers: dict[Seat, Speaker]
    opening: str
    turns: tuple[Turn, ...]
    stop: StopReason
    seed: int
    started_at: float
    seconds: float
    failure: Failure | None = None
    parent: Parent | None = None


def encodable(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which no file can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
