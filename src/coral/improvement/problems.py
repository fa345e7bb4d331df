"""Which training problems an iteration takes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from coral.errors import ConfigError
from coral.evaluation.config import SampleConfig
from coral.evaluation.plan import open_plan
from coral.improvement.config import ImproveConfig
from coral.improvement.done import write_text


def choose(config: ImproveConfig, ids: Sequence[str], iteration: int) -> list[str]:
    """The ids of an iteration, in the order of the data.

    even: the ids in a seeded order, dealt to the iterations like cards, so that no two share one; another
    number of iterations is another deal. random: each iteration draws `share` of all for itself.

    Raises:
        ConfigError: there are fewer problems than iterations.
    """
    if config.split == "all":
        return list(ids)
    seed = f"{config.seed}:{iteration}" if config.split == "random" else str(config.seed)
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    if config.split == "even":
        chosen = set(ranked[iteration - 1 :: config.iterations])
    else:
        chosen = set(ranked[: math.ceil(config.share * len(ranked))])
    if not chosen:
        raise ConfigError(
            f"{len(ids)} problems do not divide over {config.iterations} iterations",
            remedy="sample more problems, or give split all",
        )
    return [name for name in ids if name in chosen]


def file_of(config: ImproveConfig, out: Path, iteration: int) -> Path | None:
    """Where the ids of an iteration are written; None where it takes all problems."""
    return None if config.split == "all" else out / "samples" / f"problems-{iteration}.txt"


def write_problems(config: ImproveConfig, sample: SampleConfig, out: Path, iteration: int) -> Path | None:
    """Write the ids of an iteration's problems; `sample` says where they come from.

    Raises:
        UserError: the data cannot be read.
    """
    path = file_of(config, out, iteration)
    if path is None or path.is_file():
        return path
    with open_plan(sample) as plan:
        ids = choose(config, [problem.id for problem in plan.problems], iteration)
    write_text(path, "\n".join(ids) + "\n")
    return path
