"""A model behind an OpenAI-compatible server: sends requests until they are answered, or says why not.

`generate` collects candidates in rounds (`_collect`); a round is one request for all missing candidates, or
one a candidate where the server does not take `n` (`_draw`); a request is sent until it is answered
(`_deliver`), written as the model takes it (`_send_as_taken`); one sending holds a place of the server's
limit (`_send`) and is one exchange over HTTP (`_exchange`).
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType

import aiohttp

from coral.errors import ContextOverflow, FatalReject, LongWait, ModelError, Outage, Rejected, Unreachable
from coral.models.config import ModelConfig
from coral.models.connections import (
    CALLED,
    CONNECT_TIMEOUT_S,
    Connections,
    Stopped,
    TooLarge,
    describe_fault,
    is_insecure,
    is_ours,
    is_unsent,
    read_body,
)
from coral.models.endpoints import Endpoint
from coral.models.habits import half, was_cut_thinking
from coral.models.plain_wire import PlainEncoder, read_plain
from coral.models.pool import EndpointClosed, NobodyReady, open_pool
from coral.models.protocol import Generation, Request, Sampling
from coral.models.providers import Target, resolve
from coral.models.refusals import quote, read_refusal, unreadable, unusable
from coral.models.retries import AttemptFailure, Backoff, Tries
from coral.models.tally import Tally, kept_part, part_name
from coral.models.together import all_of
from coral.models.token_ids import with_remedy
from coral.models.wire import SEED_STRIDE, Answer, RequestEncoder, read_answer
from coral.types import Billing, Usage

__all__ = ["Connections", "ServedModel", "Stopped", "build_model"]

LAST_TRY_S = 1.0
"""Even the last sending gets so much time, so that what comes of it says something about the server."""

MAX_ROUNDS = 3
"""How often missing candidates are asked for: servers may return fewer than `n`, and replies may be empty."""

SHORTEST_REPLY = 16
"""With a smaller `max_tokens` a model is not given tokens for thinking: nobody waits for its reply."""


def build_model(
    config: ModelConfig, connections: Connections | None = None, *, option: str = "--agent"
) -> ServedModel:
    """The model that `config` names, not yet connected.

    Args:
        config: what the user said.
        connections: shared by the models of a run and entered by the caller; else the model opens its own.
        option: where the user said it, for messages that name an option.

    Raises:
        ConfigError: no model, unknown provider, bad address, or the key's variable is not set.
    """
    return ServedModel(config, resolve(config, option=option), connections)


class ServedModel:
    """A model of an OpenAI-compatible server. See `Model`."""

    billing: Billing = "list"

    def __init__(self, config: ModelConfig, target: Target, connections: Connections | None) -> None:
        self.config = self._config = config
        self._target = target
        self._owns_connections = connections is None
        self._connections = Connections() if connections is None else connections
        self._set_headers()
        self._pool = open_pool(config, target, self._connections, note_key=self._use_key)
        self._timeout = _timeout(config.request_timeout_s)
        self._backoff = Backoff(base_s=config.backoff_s, cap_s=config.max_backoff_s)
        self._encoder = PlainEncoder(target) if target.plain else RequestEncoder(target)
        self._adaptation = self._connections.adjustments.of(target)
        self._has_answered = False

    def __repr__(self) -> str:
        place = self._target.replicas or ", ".join(self._target.base_urls)
        return f"ServedModel({self._target.name!r} at {place})"

    @property
    def name(self) -> str:
        """What the user called the model."""
        return self._target.name

    @property
    def target(self) -> Target:
        """Where and under which name the model is served."""
        return self._target

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where its requests go at present."""
        return self._pool.endpoints

    @property
    def connections(self) -> Connections:
        """What the model sends its requests over."""
        return self._connections

    def expect_miscounts(self) -> None:
        """The server is known to report the tokens of one candidate as those of all."""
        self._adaptation.miscounts = True

    async def __aenter__(self) -> ServedModel:
        if self._owns_connections:
            await self._connections.__aenter__()
        await self._pool.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()
        if self._owns_connections:
            await self._connections.__aexit__(kind, error, trace)

    def _set_headers(self) -> None:
        common = {"Content-Type": "application/json", "Accept": "application/json"}
        self._headers = {**self._target.headers, **common}

    def _use_key(self, key: str | None) -> None:
        """The replicas want this key, unless the user named another."""
        if self._config.api_key_env is None:
            self._target = replace(self._target, key=key)
            self._set_headers()

    async def generate(self, request: Request) -> Generation:
        """Exactly `n` usable candidates, or the error that is left after all retries.

        Raises:
            ModelError: the request failed for good; `status` and `attempts` say how.
            Stopped: the connections send no more requests.
        """
        tally = Tally(self._config.total_timeout_s)
        try:
            answers = await self._collect(request, tally)
        except ModelError as error:
            error.usage = tally.usage()
            raise
        if len(answers) == 1:
            candidates, usage = answers[0].candidates, answers[0].usage
        else:
            candidates = tuple(candidate for answer in answers for candidate in answer.candidates)
            usage = Usage.total(answer.usage for answer in answers)
        return Generation(
            candidates=candidates,
            usage=usage,
            latency_s=tally.latency_s(),
            attempts=tally.attempts,
            prompt_token_ids=answers[0].prompt_token_ids,
        )

    async def _collect(self, request: Request, tally: Tally) -> list[Answer]:
        answers: list[Answer] = []
        missing, seed_shift = request.n, 0
        for _ in range(MAX_ROUNDS):
            drawn = await self._draw(request, missing, seed_shift, tally)
            answers += drawn
            missing -= sum(len(answer.candidates) for answer in drawn)
            if missing == 0:
                return answers
            failures = [failure for answer in drawn for failure in answer.failures]
            progress = any(answer.candidates for answer in drawn)
            if not progress and not any(failure.retry for failure in failures):
                break
            if request.n > 1 or not failures[-1].same_seed:
                seed_shift += SEED_STRIDE
        raise self._too_few(request.n, missing, answers).error(tally.attempts)

    def _too_few(self, n: int, missing: int, answers: list[Answer]) -> AttemptFailure:
        failures = [failure for answer in answers for failure in answer.failures]
        if not failures:
            return unusable(f"the server returned {n - missing} of {n} candidates", self._target, retry=False)
        if n == 1:
            return failures[-1]
        return replace(failures[-1], message=f"{failures[-1].message} ({missing} of {n} candidates)")

    async def _draw(self, request: Request, n: int, seed_shift: int, tally: Tally) -> list[Answer]:
        """One round: ask for `n` candidates at once if the server takes `n`, else for each of them."""
        if n == 1:
            return [await self._obtain(request, 1, seed_shift, tally)]
        taken = self._adaptation
        if taken.miscounts:
            taken.note_miscounts()
        singles = range(seed_shift, seed_shift + n)
        begun_singly = any(kept_part(request, 1, shift) for shift in singles)
        refused = ""
        if taken.takes_n is not False and not begun_singly:
            try:
                answer = await self._obtain(request, n, seed_shift, tally)
            except Rejected as refusal:
                # A server that is not known may refuse `n` in any words. If it answers without, that was it.
                if taken.takes_n or isinstance(refusal, FatalReject):
                    raise
                refused = refusal.brief
            else:
                self._note_count(answer)
                return [answer]
        answers = await all_of(self._obtain(request, 1, shift, tally) for shift in singles)
        if refused:
            taken.note_singly("several candidates in one request are refused", refused)
        return answers

    def _note_count(self, answer: Answer) -> None:
        """What an answer to a request for several candidates says about such requests."""
        if answer.miscounted:
            self._adaptation.note_miscounts()
        elif len(answer.candidates) + len(answer.failures) > 1:
            self._adaptation.takes_n = True
        else:
            self._adaptation.note_singly("the server gives one candidate per request")

    async def _obtain(self, request: Request, n: int, seed_shift: int, tally: Tally) -> Answer:
        """One response: an earlier session's, or the server's. If it is not the whole, it is kept at once."""
        kept = kept_part(request, n, seed_shift)
        if kept is not None:
            tally.note_kept(kept)
            return Answer(kept.candidates, (), kept.usage, prompt_token_ids=kept.prompt_token_ids)
        seed = None if request.seed is None else request.seed + seed_shift
        tries = Tries(self._config.max_attempts, self._backoff, f"{request.conversation_id}:{seed}")
        answer = await self._deliver(request, n, seed, tally, tries)
        if request.parts is not None and 0 < len(answer.candidates) < request.n:
            part = Generation(
                candidates=answer.candidates,
                usage=answer.usage,
                latency_s=tally.seconds(),
                attempts=1 + tries.sent,
                prompt_token_ids=answer.prompt_token_ids,
            )
            request.parts.keep(part_name(n, seed_shift), part)
        return answer

    async def _deliver(
        self, request: Request, n: int, seed: int | None, tally: Tally, tries: Tries
    ) -> Answer:
        """Send one request until it is answered."""
        pool, retry_state = self._pool, self._connections.retry_state
        endpoints, route = pool.endpoints, pool.route(request.conversation_id)
        try:
            while True:
                if endpoints is not pool.endpoints or not endpoints:
                    await self._wait_ready(tally, tries)
                    endpoints, route = pool.endpoints, pool.route(request.conversation_id)
                endpoint = route.pick()
                answers = self._answers() if tries.failures else None
                try:
                    outcome = await self._send_as_taken(endpoint, request, n, seed, tally)
                except EndpointClosed:
                    continue
                if isinstance(outcome, Answer):
                    return outcome
                retry_state.note(tries, outcome)
                if not tries.note(outcome, self._answers() if answers is None else answers):
                    raise outcome.error(tally.attempts)
                if outcome.endpoint_fault and route.note_failure(endpoint):
                    continue
                pause = tries.pause_s(outcome, endpoint.server.health.doublings)
                if pause >= tally.seconds_left():
                    if not outcome.endpoint_fault and route.note_failure(endpoint):
                        continue  # it asks for a long pause; another one may take the request now
                    raise self._out_of_time(outcome).error(tally.attempts)
                await self._connections.pause(pause)
        finally:
            retry_state.settle(tries)

    async def _wait_ready(self, tally: Tally, tries: Tries) -> None:
        """Wait for a server, as long as that takes: this is no failure of the request.

        Raises:
            Outage: it takes longer than a run waits.
        """
        if self._pool.endpoints:
            return
        waiting = self._unreachable(self._pool.describe(), self._pool.describe())
        self._connections.retry_state.note(tries, waiting)
        try:
            tally.note_waited(await self._pool.wait_ready())
        except NobodyReady as fault:
            text = (
                f"{self.name}: {fault}, for all of replicas_within_s ({self._config.replicas_within_s:g} s)"
            )
            raise replace(waiting, kind=Outage, message=text).error(tally.attempts) from None

    def _answers(self) -> int:
        """How many requests the servers of this model have answered."""
        return sum(endpoint.server.health.answers for endpoint in self._pool.endpoints)

    def _out_of_time(self, failure: AttemptFailure) -> AttemptFailure:
        """The end of a request for which there is no time left: for all others, too, if it is the server."""
        limit_s = self._config.total_timeout_s
        kind, asked_s = failure.kind, failure.retry_after_s
        text = f"{failure.message}; no time is left for another try (total_timeout_s {limit_s:g})"
        if asked_s is not None and asked_s > self._config.max_backoff_s:
            kind = LongWait
            text = f"{failure.message}; it asks for {asked_s:g} s, more than total_timeout_s ({limit_s:g} s)"
        elif failure.endpoint_fault and not failure.sent:
            kind, text = Outage, f"{failure.message}, for all of total_timeout_s ({limit_s:g} s)"
        return replace(failure, kind=kind, message=text)

    async def _send_as_taken(
        self, endpoint: Endpoint, request: Request, n: int, seed: int | None, tally: Tally
    ) -> Answer | AttemptFailure:
        """Send a request once, written as the model takes it: what it refuses is changed at once."""
        taken, sampling = self._adaptation, request.sampling
        limited = sampling.max_tokens is not None and sampling.max_tokens >= SHORTEST_REPLY
        wanted = self._config.thinking_tokens if limited else 0
        while taken.conflict is None:
            more = taken.thinking_tokens(wanted)
            sent, habits = taken.fields(request, seed), taken.habits
            body = self._encoder.encode(request, n, seed, habits, more)
            outcome = await self._send(endpoint, body, n, sampling, tally)
            if isinstance(outcome, Answer):
                taken.note_answer(sent)
                return self._without_cut_thoughts(outcome, wanted, more, limited=limited)
            if outcome.kind is ContextOverflow and more:
                wanted = half(more)  # the room beside the messages is smaller than that
            elif outcome.too_large and more:
                taken.most_thinking = half(more)
            elif outcome.refused == "n" and n > 1:
                taken.note_singly("several candidates in one request are refused", outcome.words)
                return outcome
            elif not taken.learn(outcome, sent, habits):
                return with_remedy(outcome, sampling, self._target.option)
        return taken.conflict

    def _without_cut_thoughts(self, answer: Answer, wanted: int, given: int, *, limited: bool) -> Answer:
        """The answer without candidates that were cut while the model thought and can have more tokens."""
        cut = [candidate for candidate in answer.candidates if was_cut_thinking(candidate)]
        if answer.thinks or (cut and limited):
            self._adaptation.note_thinking(self._config.thinking_tokens)
        if not cut or self._adaptation.thinking_tokens(wanted) <= given:
            return answer
        brief = "the model was cut while it thought"
        again = replace(unusable(brief, self._target, retry=True), same_seed=True)
        whole = tuple(candidate for candidate in answer.candidates if candidate not in cut)
        return answer._replace(candidates=whole, failures=(*answer.failures, *(again for _ in cut)))

    async def _send(
        self, endpoint: Endpoint, body: bytes, n: int, sampling: Sampling, tally: Tally
    ) -> Answer | AttemptFailure:
        """Send a request once, and tell the server's limit and health what came of it."""
        limit, health = endpoint.server.limit, endpoint.server.health
        acquired_at = await limit.acquire()
        if self._connections.stopping or endpoint.closed:
            limit.release()
            raise Stopped if self._connections.stopping else EndpointClosed
        tally.note_start(acquired_at)
        health.note_probe()
        try:
            outcome = await self._exchange(endpoint, body, n, sampling, tally)
        except BaseException:
            limit.release()
            raise
        if isinstance(outcome, Answer):
            tally.attempts += 1
            tally.note_answered(outcome.usage)
            health.note_success()
            self._has_answered = self._connections.answered = True
            limit.release_answered()
            return outcome
        tally.attempts += outcome.sent
        if outcome.endpoint_fault:
            health.note_failure()
        elif outcome.sent:
            health.note_success()
        if outcome.overload:
            limit.release_overloaded(acquired_at)
        else:
            limit.release()
        return outcome

    async def _exchange(
        self, endpoint: Endpoint, body: bytes, n: int, sampling: Sampling, tally: Tally
    ) -> Answer | AttemptFailure:
        limit_s = self._config.request_timeout_s
        seconds = min(limit_s, max(tally.seconds_left(), LAST_TRY_S))
        timeout = self._timeout if seconds == limit_s else _timeout(seconds)
        CALLED.set(endpoint.server)
        try:
            response = await self._connections.session.post(
                endpoint.url,
                data=body,
                headers=endpoint.headers(self._headers),
                timeout=timeout,
                proxy=endpoint.proxy,
                proxy_headers=endpoint.proxy_login,
                allow_redirects=False,
            )
            answer = await read_body(response)
        except TooLarge as fault:
            return unreadable(str(fault), self._target, retry=False)
        except aiohttp.ConnectionTimeoutError as fault:
            return self._disconnected(endpoint, fault)
        except asyncio.TimeoutError:
            brief = f"no answer within {seconds:g} s"
            late = self._unreachable(f"{brief} from {endpoint.server.origin}", brief, overload=True)
            return replace(late, remedy=f"raise {self._target.option}.request_timeout_s")
        except (aiohttp.ClientError, OSError) as fault:
            return self._disconnected(endpoint, fault)
        if 200 <= response.status < 300:
            if self._target.plain is not None:
                return read_plain(answer, self._target, sampling, self._target.plain.paths)
            return read_answer(answer, n, self._target, sampling)
        refusal = read_refusal(response.status, response.headers, answer, self._target)
        if refusal.status == 404 and refusal.kind is FatalReject and self._has_answered:
            # The model was there before: perhaps a replica restarts behind a gateway. Final only if it lasts.
            return replace(refusal, retry=True, endpoint_fault=True)
        return refusal

    def _disconnected(self, endpoint: Endpoint, fault: Exception) -> AttemptFailure:
        words = quote(describe_fault(fault), self._target)
        text = f"the connection to {endpoint.server.origin} failed: {words}"
        failure = self._unreachable(text, words)
        if is_ours(fault):
            return replace(failure, sent=False, endpoint_fault=False, overload=True)
        if not is_insecure(fault):
            return replace(failure, sent=not is_unsent(fault))
        # As with a model that was there before: perhaps one machine behind the address. Final if it lasts.
        advice = f"{failure.message}; check the address (http or https?) and the server's certificate"
        return replace(failure, kind=FatalReject, message=advice, retry=self._has_answered)

    def _unreachable(self, text: str, brief: str, *, overload: bool = False) -> AttemptFailure:
        return AttemptFailure(
            kind=Unreachable,
            message=f"{self.name}: {text}",
            brief=brief,
            retry=True,
            overload=overload,
            endpoint_fault=True,
        )


def _timeout(seconds: float) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=max(seconds, 0.001), sock_connect=min(seconds, CONNECT_TIMEOUT_S))
