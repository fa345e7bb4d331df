"""Deal the problems of MMLU-Pro's test split to training and evaluation, by a seeded order of their ids.

python recipes/llama8b_mmlu_pro/split.py --data mmlu_pro --evaluation 2000
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from coral import tasks
from coral.tasks.protocol import Source

SEED = 333


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="the data set's file or folder")
    parser.add_argument("--evaluation", type=int, default=2000, help="problems to evaluate on")
    parser.add_argument("--output", type=Path, default=Path("runs/llama8b_mmlu_pro"))
    args = parser.parse_args()
    source = Source(data=args.data, split="test", seed=SEED)
    ids = [problem.id for problem in tasks.load("mmlu_pro").problems(source)]
    if not 0 < args.evaluation < len(ids):
        parser.error(f"--evaluation must leave some of {len(ids)} problems for training")
    ids.sort(key=lambda name: hashlib.sha256(f"{SEED}:{name}".encode()).digest())
    parts = {"evaluation": ids[: args.evaluation], "training": ids[args.evaluation :]}
    args.output.mkdir(parents=True, exist_ok=True)
    for name, part in parts.items():
        path = args.output / f"{name}.txt"
        path.write_text("\n".join(sorted(part)) + "\n", encoding="utf-8")
        print(f"{path}: {len(part)} problems")


if __name__ == "__main__":
    main()
