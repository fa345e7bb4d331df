"""The thread on which the engine computes, and the way of requests and replies between it and event loops."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from coral.engine.scheduler import Job, Scheduler, Written
from coral.errors import FatalReject, ModelError, Rejected, Unreachable

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Ticket:
    """A request on its way through the worker.

    Attributes:
        loop: where the caller waits.
        prepare: makes the job; runs on the worker's thread, may raise a `ModelError`.
        deliver: told news, or why there will be none; runs in `loop`.
        job: once prepared.
        open_candidates: that have not finished.
    """

    loop: asyncio.AbstractEventLoop
    prepare: Callable[[], Job]
    deliver: Callable[[Job | None, list[Written], BaseException | None], None]
    job: Job | None = None
    open_candidates: int = 0


_Message = tuple[str, Ticket]
_STOP = None


class Worker:
    """One thread, one scheduler. Callers post tickets; the thread never waits for them, nor they for it.

    An error while one request is prepared is that request's. An error in a step ends all requests in work;
    then the worker continues with a new scheduler or, where that one cannot compute either, ends for good.
    """

    def __init__(self, load: Callable[[], Callable[[], Scheduler]]) -> None:
        """`load` reads the model and returns what makes a scheduler for it; both run on the thread."""
        self._load = load
        self._inbox: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
        self._tickets: dict[int, Ticket] = {}
        self._logged: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="coral-engine", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._ended = asyncio.Event()
        self._thread.start()

    async def wait_ready(self) -> None:
        """Return when the model is loaded.

        Raises:
            UserError: the model cannot be used.
        """
        await asyncio.shield(self._ready)

    @property
    def defect(self) -> str | None:
        """Why it takes no more requests although nobody closed it; None while it does."""
        return None if self._error is None else str(_refusal(self._error))

    def post(self, ticket: Ticket) -> None:
        """Hand in a request.

        Raises:
            Unreachable: the worker has been closed.
            FatalReject: it has ended by an error.
        """
        with self._lock:
            if self._closed:
                raise _refusal(self._error)
            self._inbox.put(("submit", ticket))

    def cancel(self, ticket: Ticket) -> None:
        """Give a request up; nothing more is delivered to it after the next step."""
        self._inbox.put(("cancel", ticket))

    async def close(self) -> None:
        """End the thread; requests still in work fail with `Unreachable`."""
        self._inbox.put(_STOP)
        await self._ended.wait()
        self._thread.join()

    # On the thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        failure: BaseException | None = None
        try:
            build = self._load()
            scheduler = build()
            self._tell_ready(None)
            while (error := self._work(scheduler)) is not None:
                self._log(error, "a step of the embedded engine failed")
                self._fail_all(error)
                del scheduler, error  # frees the old one, which the traceback holds, too
                scheduler = build()
                scheduler.check()
        except BaseException as error:  # noqa: BLE001 nobody sees a thread's exception: its callers get it
            failure = error
        self._end(failure)

    def _work(self, scheduler: Scheduler) -> Exception | None:
        """Compute until the end (None), or until something fails."""
        try:
            while self._read_inbox(scheduler):
                self._deliver(scheduler.step())
        except Exception as error:  # noqa: BLE001 requests in work fail with it; later ones need not
            return error
        return None

    def _fail_all(self, error: Exception) -> None:
        """Tell all requests in work."""
        tickets, self._tickets = list(self._tickets.values()), {}
        for ticket in tickets:
            reason = Unreachable(f"a step of the embedded engine failed: {_cause(error)}", status=500)
            _call(ticket, ticket.job, [], reason)

    def _read_inbox(self, scheduler: Scheduler) -> bool:
        """Take in all messages, waiting for one if there is nothing to compute. False: the end."""
        while True:
            try:
                message = self._inbox.get(block=scheduler.is_idle)
            except queue.Empty:
                return True
            if message is _STOP:
                return False
            verb, ticket = message
            if verb == "submit":
                self._submit(scheduler, ticket)
            elif ticket.job is not None:
                self._tickets.pop(id(ticket.job), None)
                scheduler.cancel(ticket.job)

    def _submit(self, scheduler: Scheduler, ticket: Ticket) -> None:
        try:
            job = ticket.prepare()
        except ModelError as error:
            _call(ticket, None, [], error)
            return
        except Exception as error:  # noqa: BLE001 a bug that this request meets, and others need not
            self._log(error, "the embedded engine cannot prepare a request")
            reason = Rejected(f"the embedded engine cannot prepare this request: {_cause(error)}", status=500)
            _call(ticket, None, [], reason)
            return
        ticket.job = job
        ticket.open_candidates = job.n
        self._tickets[id(job)] = ticket
        scheduler.submit(job)

    def _log(self, error: Exception, message: str) -> None:
        """The traceback of an error, once: the same one may meet every request."""
        if (cause := _cause(error)) not in self._logged:
            self._logged.add(cause)
            log.error(message, exc_info=error)

    def _deliver(self, written: Iterable[Written]) -> None:
        """Tell each caller its news of this step in one go."""
        news: dict[int, list[Written]] = {}
        for item in written:
            news.setdefault(id(item.job), []).append(item)
        for key, items in news.items():
            ticket = self._tickets[key]
            ticket.open_candidates -= sum(item.finish is not None for item in items)
            if not ticket.open_candidates:
                del self._tickets[key]
            _call(ticket, ticket.job, items, None)

    def _end(self, error: BaseException | None) -> None:
        with self._lock:
            self._closed, self._error = True, error
        waiting = list(self._tickets.values())
        while not self._inbox.empty():
            message = self._inbox.get()
            if message is not _STOP and message[0] == "submit":
                waiting.append(message[1])
        for ticket in waiting:
            _call(ticket, ticket.job, [], _refusal(error))
        self._tell_ready(error)
        self._post_to_loop(self._ended.set)

    def _tell_ready(self, error: BaseException | None) -> None:
        def tell() -> None:
            if self._ready.done():
                return
            if error is None:
                self._ready.set_result(None)
            else:
                self._ready.set_exception(error)

        self._post_to_loop(tell)

    def _post_to_loop(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits
            self._loop.call_soon_threadsafe(call)


def _call(ticket: Ticket, job: Job | None, written: list[Written], error: BaseException | None) -> None:
    """Deliver in the caller's loop."""
    with suppress(RuntimeError):  # the loop has ended: nobody waits
        ticket.loop.call_soon_threadsafe(ticket.deliver, job, written, error)


def _refusal(error: BaseException | None) -> ModelError:
    """What requests meet from now on."""
    if error is None:
        return Unreachable("the embedded engine has been closed")
    return FatalReject(f"the embedded engine has stopped after an error: {_cause(error)}", status=503)


def _cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".removesuffix(": ")
