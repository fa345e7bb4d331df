"""Continuous batching: requests join and leave the running batch between two steps.

A request waits, its prompt is computed (in pieces, beside the rows that run), its candidates start as slots
become free, and each candidate is a row of the batch until it ends. A step is one forward pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from coral.engine.cache import BLOCK, Blocks, PrefixCache
from coral.engine.checkpoint import LlamaConfig
from coral.engine.llama import Batch, Llama, Piece
from coral.engine.sampler import Draw, Settings, make_key, sample
from coral.engine.text import ReplyText, decode
from coral.types import FinishReason

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Array = npt.NDArray[Any]
_WORTH_WAITING = 16
"""A request waits a step if another one is about to compute this many more tokens of the same beginning."""


@dataclass(eq=False, kw_only=True)
class Job:
    """One request in the engine: what it asks for, and how far it is.

    Attributes:
        prompt: its tokens; `max_tokens` more still fit into the context.
        streamed: pieces are wanted as they are written.
        token_ids: the tokens themselves are wanted, too, the end mark included.
        cached: prompt tokens that were known already.
        known: prompt tokens computed so far, `cached` ones included.
        blocks: keys and values of the prompt, shared by the candidates.
        logits: of the first token of every candidate.
        started: candidates that run or ended.
        reserved: blocks of memory that it may fill.
        free_rows: candidates that may start within them.
    """

    prompt: Sequence[int]
    n: int
    max_tokens: int
    settings: Settings
    seed: int
    stop: tuple[str, ...] = ()
    streamed: bool = False
    token_ids: bool = False
    cached: int = 0
    known: int = 0
    blocks: Blocks | None = None
    logits: Array | None = None
    started: int = 0
    reserved: int = 0
    free_rows: int = 0

    @property
    def prompt_blocks(self) -> int:
        return -(-len(self.prompt) // BLOCK)

    @property
    def row_blocks(self) -> int:
        """The most that one candidate fills; its reply need not begin with a block."""
        return -(-self.max_tokens // BLOCK) + 1


def largest_request(num_blocks: int) -> int:
    """How many tokens of prompt and reply fit into so many blocks, some of them filled in part."""
    return max(num_blocks - 3, 0) * BLOCK


class Memory:
    """How many blocks of keys and values may be filled, and for whom.

    A request reserves room for its prompt and one reply before it is computed, and keeps it until all of its
    candidates have started. So whatever has begun can end, and what would not fit waits.
    """

    def __init__(self, num_blocks: int) -> None:
        self.free = self._all = num_blocks

    def open(self, job: Job) -> bool:
        """Reserve what a request needs at least. One that is larger than all memory gets it alone."""
        if not self._take(job, job.prompt_blocks + job.row_blocks):
            return False
        job.free_rows = 1
        return True

    def start_row(self, job: Job) -> bool:
        """Reserve what one more candidate needs."""
        if not job.free_rows:
            return self._take(job, job.row_blocks)
        job.free_rows -= 1
        return True

    def end_row(self, job: Job) -> None:
        """Give back what a candidate had, unless its siblings wait for it."""
        if job.started < job.n:
            job.free_rows += 1
        else:
            self._give(job, min(job.row_blocks, job.reserved))

    def close(self, job: Job) -> None:
        """Give back all of a request's memory."""
        self._give(job, job.reserved)

    def _take(self, job: Job, blocks: int) -> bool:
        if blocks > self.free and self.free < self._all:
            return False
        self.free -= blocks
        job.reserved += blocks
        return True

    def _give(self, job: Job, blocks: int) -> None:
        self.free += blocks
        job.reserved -= blocks


@dataclass(frozen=True)
class Written:
    """News of one candidate.

    Attributes:
        text: new text of a streamed job; of another the whole reply, at its end.
        tokens: behind that text, with the end mark; empty where not asked for.
        logprobs: of the tokens behind that text; empty where not asked for. The end mark's is among them
            where tokens are.
        finish: set on the last piece alone.
        num_tokens: of the reply so far, its end mark included.
    """

    job: Job
    index: int
    text: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: FinishReason | None
    num_tokens: int


@dataclass(eq=False)
class _Row:
    """A running candidate. Its place in the list of rows is its slot."""

    job: Job
    index: int
    key: int
    text: ReplyText | None
    own: Blocks | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    told: int = 0

    @property
    def position(self) -> int:
        """Of the newest token."""
        return len(self.job.prompt) + len(self.tokens) - 1

    @property
    def parts(self) -> list[Blocks]:
        """The finished blocks: the prompt's, then its own."""
        return [part for part in (self.job.blocks, self.own) if part is not None and part.count]

    def add_block(self, config: LlamaConfig, keys: Array, values: Array) -> None:
        """Keep a finished block: behind the prompt's where no sibling reads them, else among its own."""
        if self.job.n == 1:
            assert self.job.blocks is not None
            self.job.blocks.append(keys, values)
            return
        if self.own is None:
            self.own = Blocks(config, 2)
        self.own.append(keys, values)


class Scheduler:
    """Decides what the next forward pass computes, and what comes of it. Not thread-safe."""

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer,
        end_tokens: frozenset[int],
        *,
        slots: int,
        prompt_tokens: int,
        cache_bytes: int,
        memory_blocks: int = 1 << 40,
    ) -> None:
        """`slots` rows run at a time; a step computes at most `prompt_tokens` of prompts beside them.

        Keys and values of running requests fill `memory_blocks` blocks at most, those of the cache apart.
        """
        self._model = model
        self._tokenizer = tokenizer
        self._end_tokens = end_tokens
        self._slots = slots
        self._prompt_tokens = prompt_tokens
        self._cache = PrefixCache(cache_bytes)
        self._memory = Memory(memory_blocks)
        self._waiting: deque[Job] = deque()
        self._starting: deque[Job] = deque()
        self._rows: list[_Row] = []

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to compute."""
        return not (self._waiting or self._starting or self._rows)

    def submit(self, job: Job) -> None:
        """Queue a request; the next step considers it."""
        self._waiting.append(job)

    def cancel(self, job: Job) -> None:
        """Forget a request wherever it is, and free its rows."""
        for queue in (self._waiting, self._starting):
            if job in queue:
                queue.remove(job)
        for row in [row for row in self._rows if row.job is job]:
            self._drop(row)
        self._memory.close(job)

    def check(self) -> None:
        """Compute two tokens of an own request, while idle, and forget them; raises what a step does."""
        self.submit(Job(prompt=(0,), n=1, max_tokens=2, settings=Settings(temperature=0.0), seed=0))
        while not self.is_idle:
            self.step()
        self._cache = PrefixCache(self._cache.max_bytes)

    def step(self) -> list[Written]:
        """One forward pass, and the tokens drawn from it."""
        jobs, pieces = self._pick_prompts()
        rows = list(self._rows)
        batch = Batch(
            tokens=[row.tokens[-1] for row in rows],
            positions=[row.position for row in rows],
            parts=[row.parts for row in rows],
            pieces=pieces,
        )
        written: list[Written] = []
        if rows or pieces:
            logits = self._model.forward(batch)
            self._finish_blocks()
            self._finish_prompts(jobs, pieces, logits[len(rows) :])
            written += self._draw(rows, logits[: len(rows)])
        return written + self._start_rows()

    # Prompts ----------------------------------------------------------------------------------------

    def _pick_prompts(self) -> tuple[list[Job], list[Piece]]:
        """The oldest waiting requests whose next tokens fit into this step."""
        jobs: list[Job] = []
        pieces: list[Piece] = []
        room = self._prompt_tokens
        free = self._slots - len(self._rows) - len(self._starting)
        for job in self._waiting:
            if room <= 0 or len(jobs) >= free:
                break
            if job.blocks is None and not self._open(job, beside=jobs):
                break
            assert job.blocks is not None
            tokens = job.prompt[job.known : job.known + room]
            jobs.append(job)
            pieces.append(Piece(tokens, job.known, job.blocks))
            room -= len(tokens)
        return jobs, pieces

    def _open(self, job: Job, beside: Sequence[Job]) -> bool:
        """Give a request its blocks, filled as far as its beginning is known; False: it has to wait."""
        match = self._cache.find(job.prompt, len(job.prompt) - 1)
        soon = match.tokens + _WORTH_WAITING
        if len(job.prompt) > soon and any(other.prompt[:soon] == job.prompt[:soon] for other in beside):
            return False
        if not self._memory.open(job):
            return False
        count = job.prompt_blocks
        job.blocks = Blocks(self._model.config, count, count)
        for index, (keys, values) in enumerate(match.blocks):
            job.blocks.write(index, keys, values)
        job.cached = job.known = match.tokens
        return True

    def _finish_prompts(self, jobs: Sequence[Job], pieces: Sequence[Piece], logits: Array) -> None:
        for job, piece, row in zip(jobs, pieces, logits, strict=True):
            job.known += len(piece.tokens)
            if job.known < len(job.prompt):
                continue
            self._waiting.remove(job)
            self._starting.append(job)
            job.logits = row.copy()
            blocks = piece.blocks
            self._cache.insert(job.prompt, [blocks.read(index) for index in range(blocks.count)])
            blocks.keep(len(job.prompt) // BLOCK)

    # Rows -------------------------------------------------------------------------------------------

    def _start_rows(self) -> list[Written]:
        """Start candidates while slots are free, the oldest request first."""
        started: list[_Row] = []
        logits: list[Array] = []
        while self._starting and len(self._rows) < self._slots:
            job = self._starting[0]
            assert job.logits is not None
            if not self._memory.start_row(job):
                break
            started.append(self._start_row(job))
            logits.append(job.logits)
            if job.started == job.n:
                self._starting.popleft()
        if not started:
            return []
        return self._draw(started, np.stack(logits))

    def _start_row(self, job: Job) -> _Row:
        needs_text = bool(job.stop) or job.streamed
        text = ReplyText(self._tokenizer, job.stop) if needs_text else None
        row = _Row(job, job.started, make_key(job.seed, job.started), text)
        job.started += 1
        full, rest = divmod(len(job.prompt), BLOCK)
        if rest:
            assert job.blocks is not None
            self._model.current.write(len(self._rows), *job.blocks.read(full))
        self._rows.append(row)
        return row

    def _finish_blocks(self) -> None:
        """Move blocks that the last pass filled from the batch to their rows."""
        for slot, row in enumerate(self._rows):
            if row.position % BLOCK == BLOCK - 1:
                row.add_block(self._model.config, *self._model.current.read(slot))

    def _draw(self, rows: Sequence[_Row], logits: Array) -> list[Written]:
        if not rows:
            return []
        draws = [Draw(row.job.settings, row.key, len(row.tokens)) for row in rows]
        tokens, logprobs = sample(logits, draws)
        written = []
        for row, token, logprob in zip(rows, tokens, logprobs, strict=True):
            row.tokens.append(token)
            if logprob is not None:
                row.logprobs.append(logprob)
            if (news := self._read(row, token)) is not None:
                written.append(news)
                if news.finish is not None:
                    self._remember(row)
                    self._drop(row)
                    self._memory.end_row(row.job)
                    if row.job.started == row.job.n and all(other.job is not row.job for other in self._rows):
                        self._memory.close(row.job)
        return written

    def _read(self, row: _Row, token: int) -> Written | None:
        """What the newest token means: an end, text to tell, or nothing yet."""
        ended = token in self._end_tokens
        piece = row.text.push(token) if row.text and not ended else ""
        stopped = ended or (row.text is not None and row.text.stopped)
        finish = FinishReason.STOP if stopped else None
        if finish is None and len(row.tokens) >= row.job.max_tokens:
            finish = FinishReason.LENGTH
        if finish is None and not (row.job.streamed and piece):
            return None
        own = row.tokens[:-1] if ended else row.tokens
        if finish is not None:
            piece = self._last_piece(row, piece, own)
        all_tokens = row.tokens if row.job.token_ids else own
        tokens = tuple(row.tokens[row.told :]) if row.job.token_ids else ()
        logprobs = tuple(row.logprobs[row.told : len(all_tokens)])
        row.told = len(all_tokens)
        return Written(row.job, row.index, piece, tokens, logprobs, finish, len(row.tokens))

    def _last_piece(self, row: _Row, piece: str, tokens: Sequence[int]) -> str:
        if row.text is None:
            return decode(self._tokenizer, tokens)
        piece += row.text.finish(tokens)
        return piece if row.job.streamed else row.text.text

    def _remember(self, row: _Row) -> None:
        """Keep what the row computed; its newest token was not."""
        slot = self._rows.index(row)
        blocks = [part.read(index) for part in row.parts for index in range(part.count)]
        if row.position % BLOCK:
            blocks.append(self._model.current.read(slot))
        self._cache.insert([*row.job.prompt, *row.tokens[:-1]], blocks)

    def _drop(self, row: _Row) -> None:
        """Free the row's slot; the last row moves into it, for slots must be without gaps."""
        slot, last = self._rows.index(row), len(self._rows) - 1
        if slot != last:
            self._model.current.write(slot, *self._model.current.read(last))
            self._rows[slot] = self._rows[last]
        self._rows.pop()
