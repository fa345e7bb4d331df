"""Row candidates: which replies of a turn make a row. Prompts are made once it is clear which are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

from coral.rows.filters import Filter, FilterCount, Filters
from coral.rows.labels import Candidate, Labeled
from coral.rows.options import RowOptions
from coral.rows.run import SampledRun
from coral.types import Answered, Conversation, FinishReason, Reply, StopReason

_LAST = 1 << 63


class RowCandidate(NamedTuple):
    """A row to be.

    Attributes:
        turn: index, from 0.
        rejected: None but for pairs.
        label: good or not; None for pairs.
        key: 63 bits, the same for rows that say the same (where duplicates are kept: for the same row only).
        persuaded: the (chosen) reply changed the partner's mind for the better.
    """

    turn: int
    candidate: int
    rejected: int | None
    margin: float
    label: bool | None
    key: int
    persuaded: bool

    def priority(self, *, preferring: bool) -> int:
        """The lower, the sooner it is kept where a limit applies: persuasive ones first, else by chance."""
        return self.key if self.persuaded or not preferring else self.key | _LAST


class TurnRef(NamedTuple):
    """A turn as filters see it; `turn` is its index, from 0."""

    run: SampledRun
    conversation: Conversation
    turn: int


class RowCandidates:
    """Finds the rows that conversations offer, and counts what its filters keep."""

    def __init__(self, options: RowOptions) -> None:
        self._options = options
        self._limit = options.turn_limit
        self._conversations = Filters("conversations", _conversation_filters(options))
        self._turns = Filters("turns", _turn_filters(options))
        self._candidates = Filters("candidates", _candidate_filters(options))
        self._fruitful = [0, 0]
        self._drafted = [0, 0]
        self._pairs_of_one_text = 0
        self._pairs_of_two = 0

    def of(self, run: SampledRun, conversation: Conversation, labeled: Labeled) -> Iterator[RowCandidate]:
        """The row candidates of a conversation, at most so many per turn as the options allow."""
        if not self._conversations.admits((conversation, labeled)):
            return
        prefix = _prefix(run, conversation, self._options.seed)
        for index, turn in enumerate(conversation.turns):
            if run.learnable(conversation, index) and self._turns.admits(TurnRef(run, conversation, index)):
                origin = f"{run.name}/{conversation.id}"
                offered = self._offered(labeled.turns[index], turn.chosen)
                yield from self._draft_turn(offered, index, prefix.digest(), origin)
            prefix.update(_digest(turn.reply.text.encode()))

    def counts(self) -> tuple[FilterCount, ...]:
        """What the filters kept so far."""
        fruitful, turns = self._fruitful
        kept, drafted = self._drafted
        name = "with_a_pair" if self._options.kind == "dpo" else "with_a_row"
        limited = FilterCount(level="rows", name="max_per_turn", kept=kept, of=drafted)
        pairs = self._pairs_of_two, self._pairs_of_two + self._pairs_of_one_text
        differing = FilterCount(level="pairs", name="different_texts", kept=pairs[0], of=pairs[1])
        return (
            *self._conversations.counts(),
            *self._turns.counts(),
            *self._candidates.counts(),
            *((differing,) if self._pairs_of_one_text else ()),
            FilterCount(level="turns", name=name, kept=fruitful, of=turns),
            *(() if self._limit is None else (limited,)),
        )

    def _draft_turn(
        self, offered: Sequence[Candidate], index: int, prefix: bytes, origin: str
    ) -> Sequence[RowCandidate]:
        able = self._candidates.admitted(offered)
        pairs = self._options.kind == "dpo"
        made = self._pairs(index, able, prefix) if pairs else self._singles(index, able, prefix)
        made = self._distinct(made, origin)
        kept = made if self._limit is None else _cut(made, self._limit)
        self._fruitful[0] += bool(kept)
        self._fruitful[1] += 1
        self._drafted[0] += len(kept)
        self._drafted[1] += len(made)
        return kept

    def _offered(self, candidates: Sequence[Candidate], chosen: int) -> Sequence[Candidate]:
        options = self._options
        if options.kind != "sft":
            return candidates
        return [
            candidate
            for candidate in candidates
            if candidate.number == chosen or (options.siblings and candidate.good is True)
        ]

    def _singles(self, index: int, able: Sequence[Candidate], prefix: bytes) -> list[RowCandidate]:
        labelled = self._options.kind == "kto"
        return [
            RowCandidate(
                turn=index,
                candidate=one.number,
                rejected=None,
                margin=0.0,
                label=one.good if labelled else None,
                key=_key(prefix, _digest(one.reply.text.encode()), b"\1" if labelled and one.good else b"\0"),
                persuaded=False,
            )
            for one in able
        ]

    def _pairs(self, index: int, able: Sequence[Candidate], prefix: bytes) -> list[RowCandidate]:
        chosen = [one for one in able if may_choose(one, self._options)]
        rejected = [one for one in able if self._options.score == "rollouts" or one.good is False]
        if not chosen or not rejected:
            return []
        least = self._options.min_margin
        digests = {one.number: _digest(one.reply.text.encode()) for one in (*chosen, *rejected)}
        made = []
        for better in chosen:
            first = digests[better.number]
            for worse in rejected:
                margin = (better.score or 0.0) - (worse.score or 0.0)
                if margin <= least:
                    continue
                second = digests[worse.number]
                if second == first:
                    self._pairs_of_one_text += 1
                    continue
                key = _key(prefix, first, second)
                made.append(
                    RowCandidate(index, better.number, worse.number, margin, None, key, better.persuaded)
                )
        self._pairs_of_two += len(made)
        return made

    def _distinct(self, made: list[RowCandidate], origin: str) -> list[RowCandidate]:
        """Drafts that say different things; where duplicates are kept, all, each with a key of its own."""
        if self._options.duplicates == "drop":
            return list({row.key: row for row in reversed(made)}.values())[::-1]
        lineages = (f"{origin}/{row.turn}/{row.candidate}/{row.rejected}" for row in made)
        return [
            row._replace(key=_key(row.key.to_bytes(8, "little"), _digest(lineage.encode()), b""))
            for row, lineage in zip(made, lineages, strict=True)
        ]


def may_choose(candidate: Candidate, options: RowOptions) -> bool:
    """Whether a candidate may be the better one of a pair: a right one.

    By roll-outs, also one that submits no answer. A wrong answer never is, whatever came of it.
    """
    if options.score != "rollouts":
        return candidate.good is True
    return not (isinstance(candidate.reply.belief, Answered) and candidate.reply.correct is False)


def is_complete(reply: Reply) -> bool:
    """Whether a reply holds words and was not cut by its token limit: neither side of a lesson else."""
    return reply.finish_reason is not FinishReason.LENGTH and bool(reply.text.strip())


def _conversation_filters(options: RowOptions) -> Iterator[Filter[tuple[Conversation, Labeled]]]:
    yield Filter("not_failed", lambda both: both[0].stop is not StopReason.FAILED)
    if options.ended != "any":
        yield Filter("agreed", lambda both: both[1].agreed)
    if options.ended == "agreed_and_right":
        yield Filter("agreed_and_right", lambda both: both[1].good is True)


def _turn_filters(options: RowOptions) -> Iterator[Filter[TurnRef]]:
    first, prompt_chars = options.first_turns, options.max_prompt_chars
    if first is not None:
        yield Filter("first_turns", lambda turn_ref: turn_ref.turn < first)
    if options.seat != "both":
        yield Filter("seat", lambda turn_ref: turn_ref.conversation.turns[turn_ref.turn].seat == options.seat)
    if options.speaker != "both":
        yield Filter("speaker", lambda turn_ref: _speaker_name(turn_ref) == options.speaker)
    if prompt_chars is not None:
        yield Filter("max_prompt_chars", lambda turn_ref: _prompt_chars(turn_ref) <= prompt_chars)


def _candidate_filters(options: RowOptions) -> Iterator[Filter[Candidate]]:
    longest = options.max_completion_chars
    yield Filter("complete", lambda one: is_complete(one.reply))
    if options.kind == "dpo":
        yield Filter("graded", lambda one: one.score is not None)
    elif options.kind == "kto":
        yield Filter("graded", lambda one: one.good is not None)
    elif options.turns == "right":
        yield Filter("right", lambda one: one.good is True)
    if longest is not None:
        yield Filter("max_completion_chars", lambda one: len(one.reply.text) <= longest)


def _speaker_name(turn_ref: TurnRef) -> str:
    conversation = turn_ref.conversation
    return conversation.speakers[conversation.turns[turn_ref.turn].seat].name


def _prompt_chars(turn_ref: TurnRef) -> int:
    return sum(len(message.content) for message in turn_ref.run.prompt(turn_ref.conversation, turn_ref.turn))


def _cut(made: list[RowCandidate], limit: int) -> list[RowCandidate]:
    """At most `limit` of a turn: the widest margins; of labelled ones, both labels in equal number."""
    ranked = sorted(made, key=lambda row: (-row.margin, row.key))
    if ranked and ranked[0].label is not None:
        places = {True: 0, False: 0}
        turns = []
        for row in ranked:
            turns.append((places[bool(row.label)], row.key, row))
            places[bool(row.label)] += 1
        ranked = [row for _, _, row in sorted(turns)]
    return ranked[:limit]


def _prefix(run: SampledRun, conversation: Conversation, seed: int) -> blake2b:
    """Begins the digest of what is said before a turn."""
    systems = (
        "\x1f".join((name, told.system, *(message.content for message in told.examples)))
        for name, told in sorted(run.speaker_prompts.items())
    )
    texts = (str(seed), run.task_name, conversation.problem.id, conversation.opening, *systems)
    return blake2b("\x1e".join(texts).encode(), digest_size=16)


def _digest(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()


def _key(prefix: bytes, first: bytes, second: bytes) -> int:
    """63 bits of three digests of fixed length."""
    return int.from_bytes(blake2b(prefix + first + second, digest_size=8).digest(), "little") >> 1


__all__ = ["RowCandidate", "RowCandidates", "is_complete", "may_choose"]
