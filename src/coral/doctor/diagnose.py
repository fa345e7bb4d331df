"""`coral doctor`: probe an endpoint or a checkpoint, and say what follows for an evaluation."""

from __future__ import annotations

import asyncio
import dataclasses
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from coral.agents.function import FunctionModel
from coral.agents.open import Models, in_this_process
from coral.config import Options, option
from coral.doctor import context_probe, extraction_probe
from coral.doctor.context_probe import Verdict
from coral.errors import ModelError, Unreachable
from coral.models import embedded
from coral.models.client import ServedModel, build_model
from coral.models.config import ModelConfig
from coral.models.connections import Connections
from coral.models.listing import Listing, is_listed, list_models
from coral.models.protocol import Candidate, Generation, Model, Request, Sampling
from coral.types import Adjustment, Message, Role

if TYPE_CHECKING:
    from coral.engine.model import EmbeddedModel

LATENCY_REQUESTS = 3
SEED_TOKENS = 48
"""Tokens of the texts by which seeds are compared."""
SEED_LOAD = 8
"""Requests at once under which a seed has to hold, too: servers that batch may then draw another text."""

SHORT = "Reply with the word coral and nothing else."
VARIED = "Invent a name for a ship and tell its story in one sentence."
SYSTEM = "You answer briefly."
COUNTING = "Count from 1 to 9 in digits, separated by commas. Write nothing else."


@dataclass(frozen=True, kw_only=True)
class DoctorConfig(Options):
    """What to probe."""

    agent: ModelConfig = option(decides=True, default_factory=ModelConfig)
    """The model, with the settings it will be run with."""
    jail: bool = option(False, decides=False)
    """Say instead which jail for untrusted programs works on this machine, and why the others do not."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One row: what was probed, how it ended, what was seen, and what Coral makes of it."""

    probe: str
    verdict: Verdict
    seen: str
    consequence: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All rows about one model. `usable`: it answers. There are no addresses if it runs in this process."""

    model: str
    addresses: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def usable(self) -> bool:
        return any(row.probe == "answers" and row.verdict == "ok" for row in self.findings)


async def diagnose(config: ModelConfig) -> Diagnosis:
    """Probe the model that `config` names, with some thirty short requests.

    Raises:
        ConfigError: the model cannot be resolved, its key is missing, or its folder is no usable checkpoint.
    """
    if (folder := embedded.folder_of(config)) is not None:
        return await _diagnose_checkpoint(config, folder)
    if in_this_process(config):
        return await _diagnose_object(config)
    brief = dataclasses.replace(
        config,
        max_attempts=min(config.max_attempts, 3),
        request_timeout_s=min(config.request_timeout_s, 120.0),
        total_timeout_s=min(config.total_timeout_s, 180.0),
    )
    async with build_model(brief) as model:
        findings = await _Examination(model, brief.sampling(), _Server(model, brief)).findings()
    return Diagnosis(model=model.name, addresses=model.target.base_urls, findings=tuple(findings))


async def _diagnose_checkpoint(config: ModelConfig, folder: Path) -> Diagnosis:
    from coral.engine.model import EmbeddedModel

    started = time.monotonic()
    async with EmbeddedModel(folder, name=embedded.name_of(config)) as model:
        place = _Engine(model, load_s=time.monotonic() - started)
        findings = await _Examination(model, config.sampling(), place).findings()
    return Diagnosis(model=model.name, addresses=(), findings=tuple(findings))


async def _diagnose_object(config: ModelConfig) -> Diagnosis:
    async with AsyncExitStack() as stack:
        connections = await stack.enter_async_context(Connections())
        model = await Models(connections, stack, max_connections=SEED_LOAD).open(config, "--agent")
        place = _Here(takes_seed=not isinstance(model, FunctionModel), is_program=bool(config.command))
        findings = await _Examination(model, config.sampling(), place).findings()
    return Diagnosis(model=model.name, addresses=(), findings=tuple(findings))


class _Place(Protocol):
    """Where a model runs: what can be asked there without it, or not of it alone."""

    takes_seed: bool
    is_there: bool

    async def rows(self) -> list[Finding]:
        """The first rows of the table; `is_there` says then whether anything answers."""
        ...

    async def context(self) -> Finding:
        """How long a prompt may be."""
        ...

    def changes(self) -> list[Adjustment]:
        """What had to be changed for the model so far."""
        ...


class _Server:
    """A model behind HTTP."""

    def __init__(self, model: ServedModel, config: ModelConfig) -> None:
        self._model, self._config = model, config
        self._listing: Listing | None = None
        self.is_there = True
        self.takes_seed = model.target.provider.seed_field is not None

    async def rows(self) -> list[Finding]:
        return [await self._reachable(), self._listed()]

    def changes(self) -> list[Adjustment]:
        return self._model.connections.adjustments.made

    async def _reachable(self) -> Finding:
        endpoints = self._model.endpoints
        listings, silent = [], []
        for endpoint in endpoints:
            try:
                listings.append(await list_models(self._model, endpoint))
            except Unreachable as error:
                silent.append(_brief(error))
        self._listing = listings[0] if listings else None
        self.is_there = self._listing is not None
        if not endpoints:
            seen = f"no replica is ready in {self._model.target.replicas}"
            consequence = "a run waits for one; `coral cluster status FOLDER` says why"
            return Finding(probe="reachable", verdict="no", seen=seen, consequence=consequence)
        if not silent:
            count = "answers" if len(endpoints) == 1 else f"all {len(endpoints)} endpoints answer"
            return Finding(probe="reachable", verdict="ok", seen=count)
        seen = (
            f"{len(silent)} of {len(endpoints)} endpoints are silent: {silent[0]}" if listings else silent[0]
        )
        return Finding(probe="reachable", verdict="no", seen=seen, consequence="start it, or check base_url")

    def _listed(self) -> Finding:
        listing, wire_name = self._listing, self._model.target.wire_name
        if listing is None or listing.names is None:
            seen = "no list of models" if listing is None else f"no list of models (status {listing.status})"
            return Finding(probe="model listed", verdict="unknown", seen=seen)
        if is_listed(listing, wire_name):
            return Finding(probe="model listed", verdict="ok", seen=wire_name)
        known = ", ".join(listing.names[:3]) + (", ..." if len(listing.names) > 3 else "")
        return Finding(
            probe="model listed",
            verdict="no",
            seen=f"'{wire_name}' is not among {len(listing.names)}: {known}",
            consequence="check the name if it does not answer",
        )

    async def context(self) -> Finding:
        listed = self._listing.context_tokens if self._listing is not None else None
        if listed is not None:
            return Finding(probe="context length", verdict="ok", seen=f"{listed:,} tokens (as listed)")
        if self._model.target.provider.key_required:
            return Finding(
                probe="context length", verdict="unknown", seen="not listed; not probed, as prompts cost"
            )
        limit_s = context_probe.BUDGET_S
        once = dataclasses.replace(
            self._config, max_attempts=1, max_tokens=1, request_timeout_s=limit_s, total_timeout_s=limit_s
        )
        sampling = once.sampling()
        async with build_model(once, self._model.connections) as model:

            async def ask(text: str) -> Generation:
                return await model.generate(Request(messages=(Message(Role.USER, text),), sampling=sampling))

            verdict, seen, consequence = await context_probe.probe(ask)
        return Finding(probe="context length", verdict=verdict, seen=seen, consequence=consequence)


class _Engine:
    """A checkpoint in this process."""

    takes_seed = is_there = True

    def __init__(self, model: EmbeddedModel, *, load_s: float) -> None:
        self._model = model
        self._load_s = load_s

    async def rows(self) -> list[Finding]:
        seen = f"in this process; loaded in {self._load_s:.1f} s"
        return [Finding(probe="runs", verdict="ok", seen=seen)]

    def changes(self) -> list[Adjustment]:
        return []

    async def context(self) -> Finding:
        seen = f"{self._model.context_tokens:,} tokens (config.json)"
        return Finding(probe="context length", verdict="ok", seen=seen)


class _Here:
    """A Python object in this process, or a program. A function is asked for nothing but a text."""

    is_there = True

    def __init__(self, *, takes_seed: bool, is_program: bool) -> None:
        self.takes_seed = takes_seed
        self._seen = "a program of yours" if is_program else "a Python object in this process"

    async def rows(self) -> list[Finding]:
        return [Finding(probe="runs", verdict="ok", seen=self._seen)]

    def changes(self) -> list[Adjustment]:
        return []

    async def context(self) -> Finding:
        return Finding(probe="context length", verdict="unknown", seen="no server tells it; not probed")


class _Examination:
    """The probes of one model, in the order of the table."""

    def __init__(self, model: Model, sampling: Sampling, place: _Place) -> None:
        self._model = model
        self._sampling = sampling
        self._place = place

    async def findings(self) -> list[Finding]:
        rows = await self._place.rows()
        if not self._place.is_there:
            return [*rows, Finding(probe="answers", verdict="no", seen="not asked: nothing is there")]
        answers, replies = await self._answers()
        rows.append(answers)
        if not replies:
            return rows
        rows += await self._candidates()
        probes: tuple[tuple[str, Callable[[], Awaitable[Finding]]], ...] = (
            ("seed", self._seed),
            ("stop", self._stop),
            ("logprobs", self._logprobs),
            ("context length", self._place.context),
            ("extraction", self._extraction),
        )
        for name, probe in probes:
            rows.append(await self._attempt(name, probe))
        rows += [_usage_row(replies), _thinking_row(replies), _latency_row(replies)]
        return rows + self._settings()

    async def _attempt(self, name: str, probe: Callable[[], Awaitable[Finding]]) -> Finding:
        try:
            return await probe()
        except ModelError as error:
            return Finding(probe=name, verdict="no", seen=_brief(error), consequence="do not use it here")

    def _settings(self) -> list[Finding]:
        """What had to be changed for the model, apart from what has a row of its own."""
        changes = [made.change for made in self._place.changes() if made.setting not in _IN_OTHER_ROWS]
        if not changes:
            return []
        follows = "so in all conversations of a run"
        return [Finding(probe="settings", verdict="no", seen="; ".join(changes), consequence=follows)]

    async def _ask(
        self, text: str, *, system: str = "", n: int = 1, seed: int | None = None, **changes: Any
    ) -> Generation:
        sampling = msgspec.structs.replace(self._sampling, **changes) if changes else self._sampling
        told = (Message(Role.SYSTEM, system),) if system else ()
        request = Request(messages=(*told, Message(Role.USER, text)), sampling=sampling, n=n, seed=seed)
        return await self._model.generate(request)

    async def _answers(self) -> tuple[Finding, list[Generation]]:
        try:
            replies = [
                await self._ask(SHORT, system=SYSTEM, seed=number) for number in range(LATENCY_REQUESTS)
            ]
        except ModelError as error:
            row = Finding(
                probe="answers", verdict="no", seen=str(error), consequence="unusable until this is fixed"
            )
            return row, []
        text = replies[0].candidates[0].text.strip()
        return Finding(probe="answers", verdict="ok", seen=_clip(f"'{text}'", 40)), replies

    async def _candidates(self) -> list[Finding]:
        try:
            generation = await self._ask(VARIED, n=2, seed=1)
        except ModelError as error:
            row = Finding(probe="n", verdict="no", seen=_brief(error), consequence="sample one a request")
            return [row]
        own = all(candidate.usage is not None for candidate in generation.candidates)
        told = next((made.change for made in self._place.changes() if made.setting == "n"), "")
        at_once = generation.attempts == 1 and not told
        singly = told or "one candidate per request"
        n_row = Finding(
            probe="n",
            verdict="ok" if at_once else "no",
            seen="several candidates in one request" if at_once else singly,
            consequence="" if at_once else "n candidates cost n requests, and n times the prompt",
        )
        usage_row = Finding(
            probe="usage per n",
            verdict="ok" if own else "no",
            seen="each candidate has its own" if own else "only the sum over n",
            consequence="" if own or told else "tokens of a candidate are unknown if n > 1",
        )
        return [n_row, usage_row]

    async def _seed(self) -> Finding:
        texts = [await self._drawn(seed) for seed in (11, 11, 12)]
        takes_seed = self._place.takes_seed and not self._refusal("seed")
        if texts[0] != texts[1]:
            refused = self._refusal("seed") or "it takes no seed"
            seen = "same seed, other text" if takes_seed else refused
            return Finding(probe="seed", verdict="no", seen=seen, consequence=_NO_SEED)
        if texts[0] == texts[2]:
            return Finding(probe="seed", verdict="unknown", seen="all seeds give the same text")
        if await self._drawn_under_load(11) != texts[0]:
            seen = "same seed, same text alone; another text while other requests run"
            return Finding(probe="seed", verdict="no", seen=seen, consequence=_NO_SEED)
        seen = "same seed, same text (temperature 1), under load, too"
        return Finding(probe="seed", verdict="ok", seen=seen)

    async def _drawn(self, seed: int) -> str:
        limit = min(SEED_TOKENS, self._sampling.max_tokens or SEED_TOKENS)
        return (await self._ask(VARIED, seed=seed, temperature=1.0, max_tokens=limit)).candidates[0].text

    async def _drawn_under_load(self, seed: int) -> str:
        """The text of a seed while other seeds are drawn."""
        seeds = (seed, *range(20, 20 + SEED_LOAD - 1))
        return (await asyncio.gather(*map(self._drawn, seeds)))[0]

    async def _stop(self) -> Finding:
        text = (await self._ask(COUNTING, seed=1, stop=("5",))).candidates[0].text
        if "5" in text:
            return Finding(
                probe="stop", verdict="no", seen="writes past a stop text", consequence="do not rely on stop"
            )
        if "4" in text:
            return Finding(probe="stop", verdict="ok", seen="stops before a stop text")
        return await self._stop_within_a_reply()

    async def _stop_within_a_reply(self) -> Finding:
        """Of a model that does not count as asked: let it stop at a text that it wrote with the same seed."""
        whole = (await self._ask(VARIED, seed=1)).candidates[0].text
        middle = len(whole) // 2
        piece = whole[middle : middle + 4]
        cut = (await self._ask(VARIED, seed=1, stop=(piece,))).candidates[0].text if piece.strip() else whole
        if cut != whole and whole.startswith(cut + piece):
            return Finding(probe="stop", verdict="ok", seen="stops before a stop text")
        return Finding(probe="stop", verdict="unknown", seen="the model did not count as asked")

    async def _extraction(self) -> Finding:
        outcome = await extraction_probe.probe(self._model, self._sampling)
        return Finding(
            probe="extraction",
            verdict=outcome.verdict,
            seen=outcome.seen,
            consequence=outcome.consequence,
        )

    async def _logprobs(self) -> Finding:
        candidate: Candidate = (await self._ask(SHORT, seed=1, logprobs=True)).candidates[0]
        count = len(candidate.token_logprobs or ())
        if count:
            return Finding(probe="logprobs", verdict="ok", seen=f"{count} for a reply")
        seen = self._refusal("logprobs") or "none given"
        return Finding(
            probe="logprobs", verdict="no", seen=seen, consequence="not needed by the built-in jobs"
        )

    def _refusal(self, setting: str) -> str:
        """The server's words where it refused a setting, else nothing."""
        words = (made.words for made in self._place.changes() if made.setting == setting)
        return _clip(next(words, ""), 120)


_NO_SEED = "a run cannot be drawn again; its stored turns can"
_IN_OTHER_ROWS = frozenset({"n", "seed", "logprobs", "thinking"})


def _usage_row(replies: list[Generation]) -> Finding:
    usage = replies[0].usage
    if usage.prompt_tokens is not None and usage.completion_tokens is not None:
        seen = f"{usage.prompt_tokens} prompt, {usage.completion_tokens} completion tokens"
        return Finding(probe="usage", verdict="ok", seen=seen)
    return Finding(
        probe="usage", verdict="no", seen="not reported", consequence="tokens and cost stay unknown"
    )


def _thinking_row(replies: list[Generation]) -> Finding:
    seen_thinking = any(candidate.reasoning for reply in replies for candidate in reply.candidates)
    hidden = any(reply.usage.reasoning_tokens for reply in replies)
    if not seen_thinking and not hidden:
        return Finding(probe="thinking", verdict="no", seen="none shown")
    seen = "kept apart from the reply" if seen_thinking else "hidden, but counted"
    return Finding(
        probe="thinking",
        verdict="ok",
        seen=seen,
        consequence="a reply has thinking_tokens on top of max_tokens",
    )


def _latency_row(replies: list[Generation]) -> Finding:
    median = statistics.median(reply.latency_s for reply in replies)
    return Finding(probe="latency p50", verdict="ok", seen=f"{median:.3f} s for a short reply")


def _brief(error: ModelError) -> str:
    return _clip(str(error).split(": ", 1)[-1], 120)


def _clip(text: str, length: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 4] + " ..."
