"""pass@k: is one of k samples right? Known in full from n samples of each problem, for every k up to n."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from coral.metrics.info import yes_no
from coral.metrics.votes import Sample

DRAWS = (1, 5, 10, 100)
"""The k of pass@k."""

PASS_AT = tuple(
    yes_no(
        f"pass_at_{draws}",
        f"pass@{draws}",
        "right",
        f"Probability that {'a sample' if draws == 1 else f'one of {draws} samples'} of a problem is right, "
        "mean over problems, without bias from all of its samples; one that cannot be read is not.",
        kind="pass_at",
        interval="rate",
        draws=draws,
        seats="any",
        better="higher",
    )
    for draws in DRAWS
)


def pass_at(samples: Sequence[Sample], draws: int) -> float | None:
    """The probability that one of so many samples is right, if they are drawn of these without putting back:
    the unbiased estimate of pass@k (Chen et al. 2021, equation 1). None where there are fewer samples.
    """
    if len(samples) < draws:
        return None
    wrong = sum(sample.right != 1.0 for sample in samples)
    return 1 - comb(wrong, draws) / comb(len(samples), draws)
