"""What improve.yaml's trainings were chosen by: three settings of each arm, on validation problems.

    python recipes/tiny_improve/tune.py --output runs/tiny_tune

Each arm has the same number of tries, on the rows of a seed that no table of README.md has. The same command
resumes. Other options go to `coral improve`, such as `--evaluate.task.size 500`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import run
import table

import coral
from coral.improvement.gate import told

SEED = 100
ARMS = ("pair-sft", "pair-dpo", "alone-sft", "alone-dpo")
OTHERS = {
    "sft": ({"learning_rate": "2.5e-4"}, {"learning_rate": "1e-3"}),
    "dpo": ({"learning_rate": "5e-4"}, {"learning_rate": "5e-4", "sft_weight": "0.2"}),
}
"""Beside what improve.yaml says."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("runs/tiny_tune"))
    args, options = parser.parse_known_args()
    out: Path = args.output
    run.improve(out, SEED, "--controls", ",".join(ARMS[1:]), *options)
    rows = []
    for arm in ARMS:
        rows.append([arm, "as improve.yaml says", *judged(out, out / "models" / f"{arm}-1")])
        for setting in OTHERS[arm.partition("-")[2]]:
            words = [word for name, value in setting.items() for word in (f"--{name}", value)]
            one = run.Further("-".join([arm, *setting.values()]), arm, train=tuple(words))
            run.train(out, one, sight="pair")
            rows.append([arm, " ".join(words), *judged(out, out / "further" / one.name)])
    print("\nvalidation problems, change since the start\n")
    table.print_table(["arm", "options", "in the pair"], rows)


def judged(out: Path, model: Path) -> list[str]:
    """Agreement correctness on the problems of the gate, since the start."""
    return [told(coral.compare(out / "models" / "start" / "pair", model / "pair").comparisons[0])]


if __name__ == "__main__":
    main()
