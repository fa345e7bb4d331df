"""Replicas on a Ray cluster: one application of Ray Serve, without a proxy, whose replicas are supervisors.

Ray Serve places and replaces them, and its autoscaler asks our policy how many there are to be. Clients find
them in the pool's folder, as everywhere.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from coral.cluster import keeper
from coral.cluster.config import PoolConfig
from coral.cluster.places import Job
from coral.cluster.records import Record
from coral.errors import UserError

DEPLOYMENT = "replica"

MOST = 10_000
"""Ray Serve wants a bound; ours is in the folder, where the policy reads it."""

REACH_S = 10.0

STATES = {"STARTING": "PENDING", "STOPPING": "STOPPING"}
"""Of Ray Serve, in the words of `Job`; all others run."""


class RayPlace:
    """See `Place`. `FOLDER/wanted` holds the number, so that a change of it starts no replica again."""

    def __init__(self, config: PoolConfig) -> None:
        self._config = config

    def script(self) -> str:
        """See `Place`."""
        import shlex

        command = shlex.join(self._config.supervise(host=""))
        options = ", ".join(f"{name}={value}" for name, value in self._actor_options().items())
        return "\n".join((f"# a replica of Ray Serve: {options}", *self._config.setup, command)) + "\n"

    def jobs(self) -> list[Job]:
        """See `Place`."""
        with _connected(self._config) as serve:
            client = serve.context._get_global_client(raise_if_no_controller_running=False)  # noqa: SLF001
            details = client.get_serve_details() if client is not None else {}
        application = details.get("applications", {}).get(self._config.job_name, {})
        deployment = application.get("deployments", {}).get(DEPLOYMENT, {})
        why = deployment.get("message") or application.get("message") or ""
        jobs = [_job(replica, why) for replica in deployment.get("replicas", ())]
        if application and _word(application["status"]) != "DEPLOY_FAILED":  # it will start what is missing
            missing = keeper.read_wanted(self._config.path) - len(jobs)
            jobs += [Job(id=f"new-{number}", state="PENDING", why=why) for number in range(missing)]
        return jobs

    def add(self, count: int) -> str:
        """See `Place`."""
        self._tell(len([job for job in self.jobs() if job.state != "STOPPING"]) + count)
        with _connected(self._config) as serve:
            if self._config.job_name not in serve.status().applications:
                self._deploy(serve)
        return f"Ray Serve starts {count}"

    def drain(self, jobs: Sequence[Job]) -> str:
        """See `Place`. Which of them go is up to Ray Serve."""
        staying = [job for job in self.jobs() if job.state != "STOPPING"]
        self._tell(max(0, len(staying) - len(jobs)))
        return f"Ray Serve drains {len(jobs)}"

    def end(self, jobs: Sequence[Job]) -> None:
        """See `Place`."""
        import ray

        with _connected(self._config) as serve:
            for job in jobs:
                with suppress(ValueError):
                    ray.kill(ray.get_actor(job.actor, namespace="serve"))
            if self._config.job_name in serve.status().applications:
                serve.delete(self._config.job_name)

    def sweep(self, record: Record) -> None:
        """See `Place`: a server dies with its supervisor, and that with its actor."""

    def _tell(self, count: int) -> None:
        config = self._config
        limits = {"min": config.min, "max": config.max, "in_flight": config.in_flight}
        if config.max is None or not count:
            limits = {"count": count, "max": None}
        keeper.write_wanted(config.path, **limits)

    def _actor_options(self) -> dict[str, Any]:
        return {
            "num_cpus": 1,
            **{name: value for name, value in self._config.ray.items() if name != "address"},
        }

    def _deploy(self, serve: Any) -> None:
        import ray
        from ray.serve.config import AutoscalingConfig, AutoscalingPolicy

        config, patience = self._config, self._config.replica
        stop_within_s = patience.drain_s + patience.stop_within_s + 5
        scaling = AutoscalingConfig(
            min_replicas=0,
            initial_replicas=config.replicas,
            max_replicas=MOST,
            upscale_delay_s=0,
            downscale_delay_s=0,
            policy=AutoscalingPolicy(
                policy_function=keeper.Policy, policy_kwargs={"folder": str(config.path)}
            ),
        )
        ray.cloudpickle.register_pickle_by_value(keeper)  # after the policy, which takes it back
        deployment = serve.deployment(
            name=DEPLOYMENT,
            autoscaling_config=scaling,
            ray_actor_options=self._actor_options(),
            graceful_shutdown_timeout_s=stop_within_s + 5,
            graceful_shutdown_wait_loop_s=0.1,
            health_check_period_s=patience.check_every_s,
            max_constructor_retry_count=patience.max_failed_starts,
        )(keeper.Keeper)
        command = config.supervise(host="")
        bound = deployment.bind(command, list(config.setup), str(config.path), config.host, stop_within_s)
        serve.start(http_options={"location": "NoServer"})
        serve.api._run(bound, name=config.job_name, route_prefix=None, _blocking=False)  # noqa: SLF001


def _job(replica: Mapping[str, Any], why: str) -> Job:
    return Job(
        id=replica["replica_id"],
        state=STATES.get(_word(replica["state"]), "RUNNING"),
        node=replica.get("node_ip") or "",
        why=why,
        actor=replica.get("actor_name") or "",
    )


def _word(value: Any) -> str:
    """A word of Ray Serve, which may be an enumeration."""
    return str(getattr(value, "value", value))


def _reach(address: str) -> None:
    """Knock at HOST:PORT: Ray itself would try for minutes where nobody listens.

    Raises:
        OSError: nobody does.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()


@contextmanager
def _connected(config: PoolConfig) -> Iterator[Any]:
    """Ray Serve of the cluster that the pool names.

    Raises:
        UserError: Ray is not installed, there is no cluster, or it refuses.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        from ray import serve
    except ImportError:
        raise UserError(
            "Ray is not installed",
            remedy="pip install 'collaborative-reasoner[ray]', in the cluster's version",
        ) from None
    address = str(config.ray.get("address", "auto"))
    try:
        if not ray.is_initialized():
            _reach(address)
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            logging.getLogger("ray.serve").setLevel(logging.ERROR)
        yield serve
    except (OSError, ray.exceptions.RayError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:500]
        raise UserError(
            f"the Ray cluster at {address}: {said}",
            remedy="fix `ray` in the pool's file ({address: HOST:PORT, num_gpus: 1}), or start the cluster: "
            "ray start --head",
        ) from None
