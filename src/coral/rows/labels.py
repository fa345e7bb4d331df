"""What makes a reply good: its gold grade, the belief of most replies, or what came of it.

Formulas: the published penalties are those of the released data-creation code, with each candidate's own
length in place of the sum over all; majority beliefs follow MACA (arXiv 2509.15172), roll-out values the
suggestion of the Coral paper's limitations and ACC-Collab (arXiv 2411.00053).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from coral.metrics import AnswerClasses
from coral.metrics.social import previous_turn
from coral.metrics.trace import Trace, trace_of_turns
from coral.rows.options import RowOptions
from coral.rows.run import SampledRun, problem_key
from coral.tasks import boundary
from coral.types import Answered, Conversation, Reply, StopReason, Turn, Unreadable

NO_ANSWER = -1
"""Number of a belief that is no answer."""

Kinds = Sequence[Sequence[int]]
"""A number for the belief of each candidate of each turn: equal for equal answers to one problem."""


class Candidate(NamedTuple):
    """A candidate, labeled.

    Attributes:
        number: index among the turn's candidates, from 0.
        good: right by the score in use; None where it cannot be said.
        score: with penalties and bonus; None where it cannot be said.
        persuaded: a partner who was not right became right after it.
    """

    number: int
    reply: Reply
    good: bool | None
    score: float | None
    persuaded: bool = False


class Labeled(NamedTuple):
    """A conversation, labeled.

    Attributes:
        agreed: the agents came to an answer; one agent alone submits one.
        good: agreed (one agent alone: answered), and good; None where it cannot be said.
    """

    agreed: bool
    good: bool | None
    turns: tuple[tuple[Candidate, ...], ...]


class Labeler:
    """Judges conversations by one score."""

    def __init__(self, options: RowOptions) -> None:
        self._options = options
        self._classes = AnswerClasses()
        self._majority: dict[str, int | None] = {}
        self._compares = options.score == "majority" or options.agreeing_penalty > 0

    async def count_votes(self, runs: Iterable[SampledRun]) -> None:
        """Find the majority belief of each problem. Every reply that submits an answer has one vote."""
        votes: dict[str, Counter[int]] = {}
        for run in runs:
            for conversation in run.conversations():
                kinds = await self._kinds(run, conversation)
                counter = votes.setdefault(_vote_key(run, conversation), Counter())
                counter.update(kind for turn in kinds for kind in turn if kind != NO_ANSWER)
        self._majority = {key: self._winner(counter) for key, counter in votes.items()}

    def _winner(self, votes: Counter[int]) -> int | None:
        """The belief with more than the share asked for, and more votes than any other."""
        ranked = votes.most_common(2)
        if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
            return None
        kind, count = ranked[0]
        return kind if count > self._options.majority_share * votes.total() else None

    async def label(self, run: SampledRun, conversation: Conversation) -> Labeled:
        """Labeler all candidates, and the conversation as a whole."""
        kinds = await self._kinds(run, conversation) if self._compares else ()
        if self._options.score == "majority":
            winner = self._majority.get(_vote_key(run, conversation))
            known = [
                _match_winner(turn, of_turn, winner)
                for turn, of_turn in zip(conversation.turns, kinds, strict=True)
            ]
        else:
            known = [[_graded(reply) for reply in turn.replies] for turn in conversation.turns]
        agreed, good = await _outcome(run, conversation, known)
        turns = tuple(self._candidates(conversation, index, known, kinds) for index in range(len(known)))
        return Labeled(agreed, good, turns)

    def _candidates(
        self, conversation: Conversation, index: int, known: list[list[bool | None]], kinds: Kinds
    ) -> tuple[Candidate, ...]:
        turn, options = conversation.turns[index], self._options
        goods, scores = known[index], _base_scores(turn.replies, known[index], options)
        if options.score == "rollouts":
            goods = [None if score is None else score > 0.5 for score in scores]
        if options.agreeing_penalty and index:
            scores = _less_agreeing(
                scores, known[index], kinds[index], _spoken(conversation, kinds, index), options
            )
        if options.length_penalty:
            scores = _less_long(scores, turn.replies, options.length_penalty)
        candidates = list(map(Candidate, range(len(goods)), turn.replies, goods, scores))
        if _persuaded(conversation, known, index):
            candidates[turn.chosen] = _rewarded(candidates[turn.chosen], options.persuasion_bonus)
        return tuple(candidates)

    async def _kinds(self, run: SampledRun, conversation: Conversation) -> Kinds:
        problem, task = conversation.problem, run.task
        classes = self._classes.of(_vote_key(run, conversation))

        async def same(a: str, b: str) -> bool:
            return await boundary.same(task, a, b, problem)

        kinds = []
        for turn in conversation.turns:
            of_turn = []
            for reply in turn.replies:
                belief = reply.belief
                found = await classes.find(belief.value, same) if isinstance(belief, Answered) else NO_ANSWER
                of_turn.append(found)
            kinds.append(of_turn)
        return kinds


def solved(run: SampledRun, conversation: Conversation, labeled: Labeled) -> tuple[int, int]:
    """How often the conversation solved its problem, of how many tries it was.

    A conversation is one try, each reply of an agent that answers once a try of its own: if its grade is
    known.
    """
    if conversation.stop is StopReason.FAILED:
        return 0, 0
    if not run.protocol.answers_once:
        return (0, 0) if labeled.good is None else (int(labeled.good), 1)
    known = [candidate.good for turn in labeled.turns for candidate in turn if candidate.good is not None]
    return sum(known), len(known)


def _vote_key(run: SampledRun, conversation: Conversation) -> str:
    """Votes are shared where letters mean the same: choices that were shuffled otherwise vote apart."""
    return "\x1f".join((problem_key(run, conversation), *conversation.problem.choices))


def _graded(reply: Reply) -> bool | None:
    return None if isinstance(reply.belief, Unreadable) else reply.correct


def _match_winner(turn: Turn, kinds: Sequence[int], winner: int | None) -> list[bool | None]:
    if winner is None:
        return [None] * len(kinds)
    return [
        None if isinstance(reply.belief, Unreadable) else kind == winner
        for reply, kind in zip(turn.replies, kinds, strict=True)
    ]


async def _outcome(
    run: SampledRun, conversation: Conversation, known: list[list[bool | None]]
) -> tuple[bool, bool | None]:
    """Whether it agreed, and on a good answer, by its protocol."""
    if conversation.stop is StopReason.FAILED or not known:
        return False, False
    trace = await trace_of_turns(
        conversation.turns, lambda a, b: boundary.same(run.task, a, b, conversation.problem)
    )
    graded = (
        msgspec.structs.replace(turn, correct=grades[of_turn.chosen])
        for turn, of_turn, grades in zip(trace.turns, conversation.turns, known, strict=True)
    )
    outcome = run.protocol.outcome(Trace(tuple(graded), shared=False))
    return outcome.agreed, outcome.right


def _base_scores(
    replies: Sequence[Reply], known: Sequence[bool | None], options: RowOptions
) -> list[float | None]:
    if options.score == "rollouts":
        return [reply.value for reply in replies]
    return [None if good is None else float(good) for good in known]


def _spoken(conversation: Conversation, kinds: Kinds, index: int) -> int:
    """The belief of the turn before."""
    return kinds[index - 1][conversation.turns[index - 1].chosen]


def _less_agreeing(
    scores: list[float | None],
    known: Sequence[bool | None],
    kinds: Sequence[int],
    partners: int,
    options: RowOptions,
) -> list[float | None]:
    """Less for what is not right and holds the partner's answer."""
    return [
        score - options.agreeing_penalty
        if score is not None and good is False and kind == partners != NO_ANSWER
        else score
        for score, good, kind in zip(scores, known, kinds, strict=True)
    ]


def _less_long(scores: list[float | None], replies: Sequence[Reply], penalty: float) -> list[float | None]:
    """Less in proportion to `(length - shortest) / (1 + longest - shortest)`, each reply's own length: in
    tokens where all are known, else in characters.
    """
    tokens = [reply.usage.completion_tokens if reply.usage else None for reply in replies]
    known = [count for count in tokens if count is not None]
    lengths = known if len(known) == len(replies) else [len(reply.text) for reply in replies]
    shortest, longest = min(lengths), max(lengths)
    return [
        None if score is None else score - penalty * (length - shortest) / (1 + longest - shortest)
        for score, length in zip(scores, lengths, strict=True)
    ]


def _persuaded(conversation: Conversation, known: list[list[bool | None]], index: int) -> bool:
    """Whether turn `index` was right, the partner was not before it, and was after it."""
    turns = conversation.turns
    if index + 1 >= len(turns) or turns[index + 1].seat == turns[index].seat:
        return False
    earlier = previous_turn(turns, index, turns[index + 1].seat)
    if earlier is None:
        return False
    before, own, after = (known[i][turns[i].chosen] for i in (earlier, index, index + 1))
    return before is False and own is True and after is True


def _rewarded(candidate: Candidate, bonus: float) -> Candidate:
    score = None if candidate.score is None else candidate.score + bonus
    return candidate._replace(score=score, persuaded=True)
