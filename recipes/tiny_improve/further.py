"""What `run.py` trained beside the loop: on other rows of its conversations, and on the same rows again."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import coral
from coral.metrics import Comparison

AGAIN = re.compile(r"(.+)-training-\d+")


class Components(NamedTuple):
    """What a figure varies by, as standard deviations."""

    seed: float
    training: float


def load(out: Path) -> dict[str, Comparison]:
    """Agreement correctness on a seed's final problems since the start, by name of the training."""
    start = out / "models" / "start" / "final"
    finals = sorted(out.glob("further/*/final/summary.json"))
    return {path.parent.parent.name: coral.compare(start, path.parent).comparisons[0] for path in finals}


def trainings(arm: str, loops: Comparison, further: Mapping[str, Comparison]) -> list[float]:
    """Points gained by each training of an arm's rows, the loop's own first."""
    again = [one for name, one in further.items() if (found := AGAIN.fullmatch(name)) and found[1] == arm]
    return [100 * (one.difference or 0.0) for one in (loops, *again)]


def components(values: Sequence[Sequence[float]]) -> Components | None:
    """One-way analysis of variance with random effects: what seeds add to what trainings of a seed vary by.

    Searle, Casella and McCulloch, Variance Components (1992), chapter 3, for unequal numbers. A negative
    estimate counts as none.

    Args:
        values: of each seed, those of its trainings.

    Returns:
        None with fewer than two seeds, or no seed with two trainings.
    """
    counts = [len(ones) for ones in values]
    total, seeds = sum(counts), len(values)
    if seeds < 2 or total == seeds:
        return None
    means = [statistics.mean(ones) for ones in values]
    grand = sum(map(sum, values)) / total
    within = sum((one - mean) ** 2 for ones, mean in zip(values, means, strict=True) for one in ones)
    within /= total - seeds
    between = sum(n * (mean - grand) ** 2 for n, mean in zip(counts, means, strict=True)) / (seeds - 1)
    trainings_per_seed = (total - sum(n * n for n in counts) / total) / (seeds - 1)
    return Components(seed=max(0.0, (between - within) / trainings_per_seed) ** 0.5, training=within**0.5)
