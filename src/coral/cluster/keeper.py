"""What runs inside a Ray cluster: an actor of Ray Serve that keeps one supervisor, and the policy that says
how many there are.

Ray sends this module to its workers by value, so that Coral need not be installed there: it imports nothing
of Coral, and Ray inside of its functions.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

LOOK_EVERY_S = 0.2


class Keeper:
    """A replica of Ray Serve, which serves nothing itself: clients talk to the supervisor's server.

    Raises:
        RuntimeError: the server does not become ready; says why.
    """

    def __init__(
        self, command: list[str], setup: list[str], folder: str, host: str, stop_within_s: float
    ) -> None:
        import ray
        from ray import serve

        name = serve.get_replica_context().replica_id.unique_id
        self._record = Path(folder) / f"ray-{name}.json"
        self._stop_within_s = stop_within_s
        split = command.index("--")
        own = [f"--id=ray-{name}", f"--job={name}", f"--host={host or ray.util.get_node_ip_address()}"]
        script = "\n".join(("set -e", *setup, 'exec "$@"'))
        log = Path(folder) / "logs" / f"ray-{name}.out"
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command
                ["bash", "-c", script, "replica", *command[:split], *own, *command[split:]],  # noqa: S607
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_drain_with_parent,  # noqa: PLW1509 - one call of libc
            )
        while self._told().get("state") != "ready":
            self.check_health()
            time.sleep(LOOK_EVERY_S)

    def check_health(self) -> None:
        """Ray Serve asks this now and then, and replaces a replica that raises.

        Raises:
            RuntimeError: the supervisor has ended.
        """
        code = self._process.poll()
        if code is not None:
            raise RuntimeError(self._told().get("why") or f"the supervisor ended with code {code}")

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What the policy is told of this replica."""
        told = self._told()
        return {name: told[name] for name in ("in_flight", "most_in_flight") if told.get(name) is not None}

    def _told(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._record.read_text())
            return found if isinstance(found, dict) else {}
        return {}

    def __del__(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None and process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(self._stop_within_s)


def _drain_with_parent() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def write_wanted(folder: Path, **values: float | None) -> None:
    """Tell the policy: `count`, or `min`, `max` and `in_flight`."""
    partial = folder / f".wanted.{os.getpid()}"
    partial.write_text(json.dumps(values))
    partial.replace(folder / "wanted")


def read_wanted(folder: Path) -> int:
    """How many replicas there are to be at least."""
    try:
        wanted = json.loads((folder / "wanted").read_text())
    except FileNotFoundError:
        return 0
    return int(wanted["count"] if wanted["max"] is None else wanted["min"])


class Policy:
    """Ray Serve asks it every few seconds how many replicas there are to be."""

    def __init__(self, folder: str) -> None:
        self._path = Path(folder) / "wanted"

    def __call__(self, ctx: Any) -> tuple[int, dict[str, Any]]:
        """The number of replicas for an AutoscalingContext of Ray Serve, and no state."""
        count: int = ctx.target_num_replicas
        try:
            wanted = json.loads(self._path.read_text())
        except (OSError, ValueError):  # a shared disk that does not answer is no news
            return count, {}
        if wanted["max"] is None:
            return wanted["count"], {}
        metrics = ctx.aggregated_metrics or {}
        now, most = (list(metrics.get(name, {}).values()) for name in ("in_flight", "most_in_flight"))
        known = 0 < len(most) == ctx.current_num_replicas == count
        kept = min(count, math.ceil(sum(most) / wanted["in_flight"])) if known else count
        asked = max(kept, math.ceil(sum(now) / wanted["in_flight"]))
        return max(wanted["min"], min(wanted["max"], asked)), {}
