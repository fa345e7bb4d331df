"""What a study will take: by assumption before anything is sent, or from a pilot that counts."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping

from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate
from coral.evaluation.plan import open_plan
from coral.evaluation.processes import run as hold_run
from coral.evaluation.watch import Watch
from coral.types import Record


class Forecast(Record, frozen=True, omit_defaults=False):
    """What an arm will take in all.

    Attributes:
        pilot: problems that it was measured on; 0: by assumption.
        tokens: read and written; None where a server does not count them.
        usd: None where a price is not known.
        hours: at the pace of the pilot; None by assumption.
    """

    arm: str
    problems: int
    pilot: int
    requests: int
    tokens: int | None
    usd: float | None
    hours: float | None


def assumed(arms: Mapping[str, EvalConfig]) -> list[Forecast]:
    """What each arm will take if its conversations are typical ones. Sends nothing.

    Raises:
        UserError: an option or the data cannot be used.
    """
    forecasts = []
    for name, arm in arms.items():
        found = estimate(arm)
        typical = found.volumes[0]
        forecasts.append(
            Forecast(
                arm=name,
                problems=found.problems,
                pilot=0,
                requests=typical.requests,
                tokens=typical.prompt_tokens + typical.completion_tokens,
                usd=typical.usd,
                hours=None,
            )
        )
    return forecasts


async def piloted(arms: Mapping[str, EvalConfig], pilot: int, watch: Watch) -> list[Forecast] | None:
    """Hold the first `pilot` problems of each arm, and say what all of them will take.

    They are problems of the study: it resumes from them. A larger `limit` holds those of a smaller one.

    Returns:
        A forecast per arm; None where it was stopped.

    Raises:
        UserError: as a run.
    """
    forecasts = []
    for name, arm in arms.items():
        with open_plan(arm) as plan:
            problems = len(plan.problems)
        watch.say(f"pilot of arm {name}: {arm.output}")
        began = time.monotonic()
        progress = watch.follow(arm.protocol_name)
        run = await hold_run(dataclasses.replace(arm, limit=min(pilot, problems)), progress)
        if run.summary is None:
            return None
        summary, held = run.summary, run.summary.problems
        used, more = summary.usage.values(), problems / held
        tokens = sum(role.prompt_tokens + role.completion_tokens for role in used)
        counted = not any(role.num_uncounted for role in used)
        seconds = (time.monotonic() - began) / progress.done * progress.total if progress.done else None
        forecasts.append(
            Forecast(
                arm=name,
                problems=problems,
                pilot=held,
                requests=round(more * summary.requests),
                tokens=round(more * tokens) if counted else None,
                usd=None if summary.cost is None else more * summary.cost,
                hours=None if seconds is None else more * seconds / 3600,
            )
        )
    return forecasts
