"""A session of a run: problems in, conversations on disk, metrics out. What `evaluate` and `sample` share."""

from __future__ import annotations

import asyncio
import dataclasses
import warnings
from array import array
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

from coral import workers
from coral.agents.person import Host
from coral.budget import OutOfBudget
from coral.conversation import calls
from coral.conversation.converse import Beginning, ConversationConfig, converse
from coral.errors import STOPS_THE_RUN, ModelError, Notice, RunFolderError
from coral.evaluation.breaker import LATER, Breaker, told
from coral.evaluation.budget import budget_of
from coral.evaluation.config import EvalConfig
from coral.evaluation.given import Given
from coral.evaluation.identity import default_output, identity, stored
from coral.evaluation.measure import KEPT, keep_tally, measure_run
from coral.evaluation.plan import Plan, open_plan
from coral.evaluation.progress import Progress
from coral.evaluation.run import Run
from coral.evaluation.setup import Opener, Participants, last_answer_decides
from coral.evaluation.shards import ShardMark
from coral.metrics import PriceTable, load_prices
from coral.metrics.own import OwnMetric
from coral.models.client import Stopped
from coral.models.config import HUMAN
from coral.models.protocol import Generation, Model, Request
from coral.reply_cache import ReplyCache
from coral.store.folder import ADJUSTMENTS, RunFolder
from coral.store.journal import Calls, Journal
from coral.store.prompts import save_prompts
from coral.store.shards import shard_of
from coral.tasks.judged import with_verdicts
from coral.types import Adjustment, Conversation

Take: TypeAlias = Callable[[], Awaitable[int | None]]
"""Takes the next conversation to hold, as `Plan.pending` numbers it; None: there is none."""

GUARD_S = 2.0
"""Between two looks whether the run folder is still there."""


async def run_session(config: EvalConfig, progress: Progress, given: Given | None = None) -> Run:
    """Start the run that `config` describes or a shard of it, or resume it, to its end unless it is stopped.

    Setting `progress.stopping` interrupts it: requests in flight finish and are kept, no new ones are sent.

    Args:
        given: what was handed in as Python objects.

    Raises:
        UserError: an option, the data or the run folder cannot be used; the remedy says what to do.
        FatalReject: the server refuses every request, for instance for a wrong key.
    """
    prices = load_prices(config.prices)
    given = given or Given()
    own_metrics = given.own_metrics(config.metrics)
    shard = shard_of(config.shard) if config.shard else None
    opener = Opener(config, given, progress)
    async with AsyncExitStack() as stack:
        settled = await opener.settle(stack)
        progress.last_answer_counts = last_answer_decides(settled)
        plan = stack.enter_context(open_plan(settled, given.task))
        decided = decided_by(settled, plan, given) | given.forked
        whole = RunFolder(config.output or default_output(settled, decided))
        decided = _sources_as_before(whole, _split_as_before(whole, decided, plan))
        folder = whole.part(shard) if shard else whole
        plan = stack.enter_context(plan.judged_in(folder))
        mark = ShardMark(whole, shard, plan, config.samples) if shard else None
        await opener.batch(folder.path / "batches", stack)
        # A missing key or a silent server is met before there is a folder.
        participants = None if folder.has_begun else await opener.open(plan, stack)
        await stack.enter_async_context(workers.in_use())
        if shard:
            whole.divide(
                decided,
                stored(dataclasses.replace(config, shard=None, processes=shard.count)),
                shard.count,
            )
            save_prompts(whole, plan.run_prompts)
        with folder.claim(decided, stored(config), lock=config.lock == "file"):
            save_prompts(folder, plan.run_prompts)
            progress.folder = whole.path
            if mark:
                mark.withdraw()
                folder.remove(KEPT)
            await _hold_conversations(settled, plan, participants, folder, progress, opener)
            folder.check()
            done = progress.kept + progress.done
            run = Run(path=whole.path, summary=None, finished=done, total=progress.total)
            if mark is None and done == progress.total:
                return await _measured(run, whole, plan, prices, own_metrics)
            if mark and done == progress.total:
                await keep_tally(folder, plan.task)
        if mark is None or done < progress.total:
            return run
        mark.set()  # when the files are closed: another machine may read them now
        if missing := mark.missing():
            return dataclasses.replace(run, missing=missing)
        everything = len(plan.problems) * config.samples
        run = dataclasses.replace(run, finished=everything, total=everything)
        return await _measured(run, whole, plan, prices, own_metrics)


def decided_by(config: EvalConfig, plan: Plan, given: Given) -> dict[str, Any]:
    """What decides the run of some options; see `identity`."""
    extractor = config.extractor_config()
    return identity(
        config,
        task=plan.task_settings,
        split=plan.source.split,
        data_fingerprint=plan.fingerprint,
        prompts=plan.prompts_fingerprint,
        sources=given.sources(config.asked(), extractor.function),
    )


async def _measured(
    run: Run, folder: RunFolder, plan: Plan, prices: PriceTable, own: Sequence[OwnMetric]
) -> Run:
    """The complete run with its summary, which is written."""
    task = with_verdicts(plan.task, folder)  # those of all shards
    summary = await measure_run(folder, task, prices=prices, own=own, trust_kept=True)
    folder.write("summary.json", summary)
    return dataclasses.replace(run, summary=summary)


def _split_as_before(folder: RunFolder, decided: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """What decides the run, its split spelled as in earlier sessions if that names the same problems."""
    before = folder.identity().get("split") if folder.has_begun else decided["split"]
    if not isinstance(before, str) or before == decided["split"] or not plan.same_problems(before):
        return decided
    return {**decided, "split": before}


def _sources_as_before(folder: RunFolder, decided: dict[str, Any]) -> dict[str, Any]:
    """What decides the run, with the sources that its functions had when it began; says which have changed.

    A function may be fixed in the middle of a run. A run without a folder of its own name begins anew.
    """
    before = folder.identity() if folder.has_begun else {}
    for role, options in decided.items():
        then = before.get(role)
        if not isinstance(options, dict) or not isinstance(then, dict):
            continue
        if options.get("model") == then.get("model") and options.get("source") != then.get("source"):
            name = options.get("model") or options.get("function")
            warnings.warn(
                f"the source of {name} has changed since {folder.path} began: what is there is of the old "
                "one",
                Notice,
                stacklevel=2,
            )
            kept = {"source": then["source"]} if "source" in then else {}
            plain = {name: value for name, value in options.items() if name != "source"}
            decided = {**decided, role: {**plain, **kept}}
    return decided


async def _hold_conversations(
    config: EvalConfig,
    plan: Plan,
    participants: Participants | None,
    folder: RunFolder,
    progress: Progress,
    opener: Opener,
) -> None:
    """Hold every conversation that the folder lacks; `participants` is opened where it is needed and None."""
    endings = folder.endings()
    ended_well, had_failed = bool(endings.well), bool(endings.failed)
    finished = endings.well if config.retry_failed else endings.well | endings.failed
    shard = shard_of(config.shard) if config.shard else None
    pending, progress.total = plan.pending(finished, config.samples, shard)
    progress.kept = progress.total - len(pending)
    folder.plan(max(progress.total, len(finished)))
    journal = Journal(folder.journal_path, finished)
    progress.replayed, progress.place = journal.replayed, str(folder.path)
    del endings, finished  # of a million conversations these are a hundred megabytes
    try:
        if pending:
            async with AsyncExitStack() as stack:
                participants = participants or await opener.open(plan, stack)
                session = _Session(
                    config, plan, participants, folder, journal, progress, ended_well=ended_well
                )
                session.beginnings = opener.beginnings
                if config.cache:
                    session.replies = stack.enter_context(ReplyCache(config.cache))
                await session.work(pending, opener.host)
        if progress.kept + progress.done == progress.total:
            has_failed = progress.failed > 0 or (had_failed and bool(folder.endings().failed))
            if not has_failed:
                journal.remove()  # failed conversations resume from it when run again
    finally:
        journal.close()


async def _at_once(job: int | None) -> int | None:
    return job


class _Session:
    """One process's work on a run."""

    def __init__(
        self,
        config: EvalConfig,
        plan: Plan,
        participants: Participants,
        folder: RunFolder,
        journal: Journal,
        progress: Progress,
        *,
        ended_well: bool,
    ) -> None:
        self._config, self._plan, self._folder = config, plan, folder
        self._journal, self._progress = journal, progress
        self._cause: BaseException | None = None
        self.beginnings: dict[str, Beginning] = {}
        self._crew = participants.crew(config.max_connections)
        self._connections = participants.connections
        self.replies: ReplyCache | None = None
        progress.retry_state = self._connections.retry_state
        self._breaker = Breaker(
            reached=lambda: bool(ended_well or journal.replayed or self._connections.answered),
            ended_well=ended_well,
            lenient=config.max_failed_rate >= 1,
            halt=self._halt,
        )
        self._doubtful: list[tuple[Conversation, list[Model]]] = []
        self._budget = budget_of(config, participants, folder, lambda: progress.stopping)
        adjustments = self._connections.adjustments
        adjustments.restore(folder.adjustments(), settled=bool(ended_well or journal.replayed))
        adjustments.listener = self._note_adjustment
        self._agents, self._people = participants.agents, participants.people
        self._host: Host | None = None
        self._conversation = ConversationConfig(
            task=plan.task,
            protocol=plan.protocol,
            extractor=participants.extractor,
            seed=config.seed,
            salt=config.salt,
            draw=config.draw,
            judge=participants.judge,
            on_belief=self._breaker.believed,
            on_verdict=self._breaker.judged,
            probe=plan.probe,
            opening=plan.opening,
        )

    async def work(self, pending: array[int], host: Host | None = None) -> None:
        """Hold the conversations of `pending`, as many at once as all servers together take requests.

        Args:
            host: says which of them people begin when.

        Raises:
            CoralError: the first error that concerns the whole run; requests in flight have finished.
        """
        loop = asyncio.get_running_loop()  # the switch may be set in a thread or signal handler
        with self._progress.telling(lambda: loop.call_soon_threadsafe(self._stop_sending)):
            guard = asyncio.ensure_future(self._guard_folder())
            try:
                if host is None:
                    queue = iter(pending)
                    await self._hold_all(pending, lambda: _at_once(next(queue, None)))
                else:
                    await self._hold_begun(pending, host)
            finally:
                guard.cancel()
        if self._cause is not None:
            raise told(self._cause, self._progress)
        if not self._progress.stopping:
            for conversation, _ in self._doubtful:
                self._append(conversation)

    async def _hold_all(self, pending: array[int], take: Take) -> None:
        await self._crew.work(lambda: self._worker(take), most=len(pending))

    async def _hold_begun(self, pending: array[int], host: Host) -> None:
        """Hold conversations as people begin them."""
        jobs = {self._id_of(job): job for job in pending}
        self._host = host

        async def take() -> int | None:
            identity = await host.begin()
            return None if identity is None else jobs[identity]

        async with host.open(self._folder.path, tuple(jobs), self._people, probe=self._plan.probe):
            await self._hold_all(pending, take)

    def _id_of(self, job: int) -> str:
        index, sample = divmod(job, self._config.samples)
        return f"{self._plan.problems[index].id}#{sample}"

    def _note_adjustment(self, made: Adjustment) -> None:
        """Keep what was changed for a model before it answers, and say so once."""
        self._folder.write(ADJUSTMENTS, self._connections.adjustments.made)
        self._progress.notes.append(f"{made.model}: {made.change}")

    async def _worker(self, take: Take) -> None:
        try:
            while not self._progress.stopping and self._crew.has_room:
                job = await take()
                if job is None:
                    return
                await self._hold(*divmod(job, self._config.samples))
        except Stopped:  # the conversation resumes in the next session
            return
        except BaseException as error:
            self._halt(error)
            raise

    async def _guard_folder(self) -> None:
        """Stop the run when its folder is gone: what arrives from then on would be paid for and lost."""
        while True:
            await asyncio.sleep(GUARD_S)
            try:
                self._folder.check()
                self._journal.check()
            except RunFolderError as error:
                self._halt(error)
                return

    def _stop_sending(self) -> None:
        self._connections.stop()
        if self._budget is not None:
            self._budget.wake()

    def _halt(self, cause: BaseException) -> None:
        """Stop the run because of `cause`. The first one counts: others are mostly its consequences."""
        self._cause = self._cause or cause
        self._progress.stopping = True

    async def _hold(self, index: int, sample: int) -> None:
        """Hold one conversation and keep it.

        Raises:
            Stopped: the run stops before it is finished.
            StoppedEarly: nobody answers.
        """
        problem = self._plan.problems[index]
        journaled = self._journal.of(f"{problem.id}#{sample}")
        refusers: list[Model] = []
        self._progress.in_flight += 1
        try:
            conversation = await converse(
                problem,
                sample=sample,
                agents=self._agents,
                config=self._conversation,
                calls=self._watched(journaled, refusers),
                beginning=self.beginnings.get(problem.id),
            )
            if conversation.failure is not None:
                journaled.reopen(str(len(conversation.turns) + 1))
            self._breaker.ended(conversation)
        finally:
            self._progress.in_flight -= 1
        self._keep(conversation, refusers)
        if self._host is not None:
            agents = self._agents
            unheard = {name: agents[seat].unheard(seat, conversation) for name, seat in self._people.items()}
            self._host.ended(conversation, unheard)

    def _keep(self, conversation: Conversation, refusers: list[Model]) -> None:
        """Keep a conversation; one that met refusals only once it is clear that not everyone meets them."""
        if conversation.failure is None and not refusers:
            self._append(conversation)
        else:
            self._doubtful.append((conversation, refusers))
        many = len(self._doubtful) > 2 * LATER
        waiting, self._doubtful = self._doubtful, []
        for doubtful, models in waiting:
            if many or not self._breaker.suspects(models):
                self._append(doubtful)
            else:
                self._doubtful.append((doubtful, models))

    def _asked(self, model: Model) -> Model:
        """The model behind the cache, where there is one, and before who waits for it, where people do."""
        kept = model if self.replies is None else self.replies.of(model)
        return kept if self._host is None else self._host.of(kept)

    def _watched(self, journaled: Calls, refusers: list[Model]) -> calls.Calls:
        """The journal's calls, counted, watched by the breaker, and refused once the run is stopping."""
        progress, breaker = self._progress, self._breaker

        async def call(step: str, model: Model, request: Request) -> Generation:
            if progress.stopping:
                raise Stopped
            is_new, probe = not journaled.holds(step), step.endswith("/probe")
            asked = self._asked(model)
            try:
                if self._budget is None or model.name == HUMAN:
                    generation = await journaled(step, asked, request)
                else:
                    generation = await self._budget.make(journaled, step, asked, request)
            except OutOfBudget as error:
                self._halt(error)
                raise
            except STOPS_THE_RUN as error:
                self._halt(error)
                raise
            except ModelError as error:
                if is_new:
                    refusers.append(model)
                    breaker.refused(model, error, lambda: journaled.retract(step), probe=probe)
                raise
            if generation.billing == "cache":
                progress.from_cache += is_new
                return generation
            if is_new:
                breaker.answered(model, probe=probe)
            progress.requests += generation.attempts
            progress.completion_tokens += generation.usage.completion_tokens or 0
            return generation

        return call

    def _append(self, conversation: Conversation) -> None:
        self._folder.append(conversation)
        self._progress.count(conversation)
