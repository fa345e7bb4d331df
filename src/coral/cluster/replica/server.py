"""The process of a server, what it answers, and whether it is alive."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from .node import end_steps, listeners, open_sockets, processes_of

KEY_VARIABLES = ("VLLM_API_KEY", "LLAMA_API_KEY")
"""How servers are told the key of the pool; others can read the file that `{key_file}` names."""

MARK = "CORAL_REPLICA"
"""Environment variable of every process of a server: the replica that it belongs to."""

UNCOUNTED = 10
"""A server that counts no tokens may be busy rather than hung: its completions get so many times as long."""

_NUMBER = rb"(?:\{[^}]*\})? ([0-9.eE+]+)"
_IN_FLIGHT = re.compile(
    rb"^(?:vllm:num_requests_(?:running|waiting)|sglang:num_(?:running|queue)_reqs"
    rb"|llamacpp:requests_(?:processing|deferred)|coral_requests_in_flight)" + _NUMBER,
    re.MULTILINE,
)
_TOKENS = re.compile(
    rb"^(?:(?:vllm|sglang):(?:prompt|generation)_tokens_total"
    rb"|llamacpp:(?:prompt_tokens|tokens_predicted|n_decode)_total|coral_tokens_total)" + _NUMBER,
    re.MULTILINE,
)
"""llama.cpp counts the tokens of a reply at its end; its decoding steps move meanwhile."""
_LIBC = ctypes.CDLL(None)


class Ended(Exception):
    """The server ended, or will not answer any more."""


class Refusal(Exception):
    """An answer of a server that is not a success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


NO_ANSWER = (OSError, http.client.HTTPException, Refusal)
"""What `Server.request` raises."""


class Metrics(NamedTuple):
    """What a server counts: requests in it, and tokens so far; None where it does not say."""

    in_flight: float | None
    tokens: float | None


class Server:
    """A server in a session of its own, that dies with this process.

    Raises:
        Ended: its program cannot be started, or its log cannot be written.
    """

    def __init__(
        self, command: list[str], *, host: str, port: int, key: str | None, mark: str, log: Path
    ) -> None:
        self.url = f"http://{host}:{port}/v1"
        self._host, self._port, self._key = host, port, key
        self._mark = f"{MARK}={mark}"
        self._spans_nodes = "SLURM_JOB_ID" in os.environ and Path(command[0]).name == "srun"
        env = {**os.environ, MARK: mark, **(dict.fromkeys(KEY_VARIABLES, key) if key else {})}
        try:
            with log.open("ab") as output:
                output.write(f"--- {mark}: {' '.join(command)}\n".encode())
                output.flush()
                self.process = subprocess.Popen(  # noqa: S603 - the user's own command
                    command,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent,  # noqa: PLW1509 - one call of libc, loaded before
                )
        except OSError as error:  # of its program, or of the log: a full disk, a folder that is gone
            raise Ended(f"{error.filename or log}: {error.strerror}") from None

    def request(
        self, method: str, path: str, body: object = None, *, timeout_s: float, key: bool = True
    ) -> bytes:
        """The body of the server's answer.

        Raises:
            OSError, http.client.HTTPException: there is none.
            Refusal: it is not a success.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        headers = {"Content-Type": "application/json"}
        if self._key and key:
            headers["Authorization"] = f"Bearer {self._key}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            read = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            words = " ".join(read[:200].decode(errors="replace").split())
            raise Refusal(response.status, f"{response.status} {words}")
        return read

    def is_healthy(self, timeout_s: float) -> bool:
        """Whether /health says so; a server without one is believed."""
        try:
            self.request("GET", "/health", timeout_s=timeout_s)
        except Refusal as refusal:
            return refusal.status == 404
        except (OSError, http.client.HTTPException):
            return False
        return True

    def served_name(self) -> str:
        """The first name that /v1/models lists.

        Raises:
            OSError, http.client.HTTPException, Refusal, ValueError, LookupError, TypeError: there is none.
        """
        return str(json.loads(self.request("GET", "/v1/models", timeout_s=10))["data"][0]["id"])

    def is_ours(self) -> bool:
        """Whether this server listens on the port: who listens wants the pool's key, or is our process."""
        if self._key:
            try:
                self.request("GET", "/v1/models", timeout_s=10, key=False)
            except Refusal as refusal:
                if refusal.status in {401, 403}:
                    return True
            except (OSError, http.client.HTTPException):
                return False
        owned = {link for pid in processes_of(self.process.pid, self._mark) for link in open_sockets(pid)}
        return owned.issuperset(listeners(self._port))

    def metrics(self, timeout_s: float) -> Metrics:
        """What the server counts, as far as it says so."""
        try:
            text = self.request("GET", "/metrics", timeout_s=timeout_s)
        except NO_ANSWER:
            return Metrics(None, None)
        found = (pattern.findall(text) for pattern in (_IN_FLIGHT, _TOKENS))
        return Metrics(*(sum(map(float, values)) if values else None for values in found))

    def stop(self, within_s: float) -> None:
        """SIGTERM, and after `within_s` seconds SIGKILL, to all of its processes."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(within_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to all of its processes, those in other sessions included: they may hold a GPU's memory."""
        for pid in processes_of(self.process.pid, self._mark):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        if self._spans_nodes:
            end_steps()


class Completion:
    """A completion of one token, asked for in a thread of its own: a server that hangs holds up nobody.

    Attributes:
        failure: why there is none; None while it is pending, too.
    """

    def __init__(self, server: Server, model: str, *, timeout_s: float) -> None:
        self.failure: Exception | None = None
        self._arguments = (server, model, timeout_s)
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    @property
    def pending(self) -> bool:
        """Whether there is no answer yet."""
        return self._thread.is_alive()

    @property
    def answered(self) -> bool:
        """Whether the engine reacted: a refusal that blames the request (4xx) is a sign of life, too."""
        return self.failure is None or (isinstance(self.failure, Refusal) and self.failure.status < 500)

    def _ask(self) -> None:
        server, model, timeout_s = self._arguments
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}
        try:
            answer = server.request("POST", "/v1/chat/completions", body, timeout_s=timeout_s)
            if not _is_completion(answer):
                raise Refusal(502, f"no completion in {answer[:200].decode(errors='replace')!r}")
        except NO_ANSWER as error:
            self.failure = error


def _is_completion(answer: bytes) -> bool:
    """Whether a 200 holds what was asked for: a proxy before the engine may say 200 to anything."""
    try:
        return bool(json.loads(answer)["choices"][0]["message"])
    except (ValueError, LookupError, TypeError):
        return False


class Liveness:
    """How long a server has shown no sign of life.

    Signs are an answered completion and a token counter that moves. /health is one only while no completion
    is outstanding and none has failed: a server whose engine is dead may still say that it is healthy.

    Attributes:
        metrics: what the server counted at the latest look.
        failure: how the latest completion failed, to be put behind a message; empty where it did not.
    """

    def __init__(self, server: Server, model: str, *, probe_every_s: float, timeout_s: float) -> None:
        self._server, self._model = server, model
        self._probe_every_s, self._timeout_s = probe_every_s, timeout_s
        self._seen = self._asked = time.monotonic()
        self.metrics = server.metrics(timeout_s)
        self._tokens = self.metrics.tokens
        self._completion: Completion | None = None
        self._doubted = False
        self._waiting = False
        self.failure = ""

    def silent_s(self) -> float:
        """Look once; returns the seconds since the last sign of life."""
        healthy = self._server.is_healthy(self._timeout_s)
        self.metrics = self._server.metrics(self._timeout_s)
        now = time.monotonic()
        self._note_completion(now)
        pending = self._completion is not None
        if self._doubted or now - self._asked >= self._probe_every_s:
            self._ask(now)
        if self._has_moved() or (healthy and not pending and not self._doubted):
            self._seen = now
        self._waiting = healthy and pending and not self._doubted
        return now - self._seen

    def limits_s(self, give_up_after_s: float, check_every_s: float) -> tuple[float, float]:
        """The seconds of silence after which the server is unwell, and after which it is given up.

        A server that is healthy and owes a completion is given more time: it may be busy. It is given much
        more where it does not count its tokens, so that nothing else can be known about it.
        """
        if not self._waiting:
            return 2 * check_every_s, give_up_after_s
        most_s = give_up_after_s * (UNCOUNTED if self._tokens is None else 1)
        return most_s / 2, most_s

    def _has_moved(self) -> bool:
        """Whether tokens were counted since the last look at which the counter could be read."""
        before, now = self._tokens, self.metrics.tokens
        self._tokens = before if now is None else now
        return now not in {None, before} and before is not None

    def _note_completion(self, now: float) -> None:
        if self._completion is not None and not self._completion.pending:
            self._doubted = not self._completion.answered
            self.failure = f": a completion fails: {self._completion.failure}" if self._doubted else ""
            self._completion = None
            self._seen = self._seen if self._doubted else now

    def _ask(self, now: float) -> None:
        if self._completion is None:
            self._asked = now
            self._completion = Completion(self._server, self._model, timeout_s=3600)


def die_with_parent() -> None:
    """In a child that is about to run a program: end it when this process ends, however that comes about."""
    if hasattr(_LIBC, "prctl"):
        _LIBC.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
