"""Several seeds, several trainings of each, and other rows for the pair's arms; then the tables of README.md.

    python recipes/tiny_improve/run.py --seeds 3 --trainings 3

The same command resumes. Other options go to `coral improve`, such as `--evaluate.task.size 500`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from coral.improvement.arms import Sight

RECIPE = Path(__file__).parent
CORAL = (sys.executable, "-m", "coral")
TRAINING_SEED_STEP = 1_000
"""From one training of the same rows to the next."""


@dataclass(frozen=True)
class Further:
    """A training beside the loop's own, of rows of the same conversations.

    Attributes:
        arm: whose rows and options it starts from.
        sample: options of `coral sample` that differ; empty: the same conversations.
        build: options of `coral build` that differ; empty: the same rows.
        train: options of `coral train` that differ.
        chosen: SFT on the chosen replies of the arm's pairs, with the options of pair-sft.
    """

    name: str
    arm: str
    sample: tuple[str, ...] = ()
    build: tuple[str, ...] = ()
    train: tuple[str, ...] = ()
    chosen: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="of everything: problems, sampling, training")
    parser.add_argument("--trainings", type=int, default=3, help="of each seed's rows, with other seeds")
    parser.add_argument("--output", type=Path, default=Path("runs/tiny_improve"))
    args, options = parser.parse_known_args()
    for seed in range(args.seeds):
        out = args.output / str(seed)
        improve(out, seed, *options)
        for one in further(out, seed, args.trainings):
            train(out, one)
    if reports := sorted(str(path) for path in args.output.glob("*/report.json")):
        table = [sys.executable, str(RECIPE / "table.py"), *reports]
        subprocess.run([*table, "--plot", str(args.output / "results.png")], check=True)


def further(out: Path, seed: int, trainings: int) -> Iterator[Further]:
    """What is trained beside the arms of a seed."""
    arms = sorted(folder.parent.name.removesuffix("-1") for folder in out.glob("models/*-1/rows"))
    for arm in arms:
        if arm.startswith("pair"):
            yield Further(f"{arm}-opener", arm, build=("--seat", "opener"))
        if arm == "pair-dpo":  # as many as pair-sft has
            yield Further(f"{arm}-rows", arm, build=("--max_per_turn", "2"))
            valued = ("--score", "rollouts")
            yield Further(f"{arm}-rollouts", arm, sample=("--rollouts", "2"), build=valued)
            if "pair-sft" in arms:
                yield Further(f"{arm}-chosen", arm, chosen=True)
        for number in range(2, trainings + 1):
            other = seed + TRAINING_SEED_STEP * (number - 1)
            yield Further(f"{arm}-training-{number}", arm, train=("--seed", str(other)))


def train(out: Path, one: Further, sight: Sight = "final") -> None:
    """Sample, build, train, and evaluate on the problems of a sight; what is complete is left alone."""
    arm, folder = out / "models" / f"{one.arm}-1", out / "further" / one.name
    if (folder / sight / "summary.json").is_file():
        return
    rows = arm / "rows"
    if one.build:
        rows = folder / "rows"
        if not rows.exists():
            runs = sample(arm / "rows", folder, one.sample)
            settings = ("--config", str(arm / "rows" / "config.yaml"), *runs)
            coral("build", *settings, "--output", str(rows), *one.build)
    settings = arm / "train.yaml"
    if one.chosen:
        settings, rows = out / "models" / "pair-sft-1" / "train.yaml", keep_chosen(rows, folder / "rows")
    trained = folder / "train"
    options = ("--rows", str(rows), "--output", str(trained), *one.train)
    coral("train", "--config", str(settings), *options)
    start = out / "models" / "start" / sight / "config.yaml"
    options = ("--agent.model", str(trained), "--output", str(folder / sight))
    coral("eval", "--config", str(start), *options)


def sample(rows: Path, folder: Path, options: tuple[str, ...]) -> list[str]:
    """Hold the conversations that rows are of once more, with these options; none: as they are.

    Returns:
        What `coral build` is told of it.
    """
    if not options:
        return []
    sampled = []
    for run in yaml.safe_load((rows / "config.yaml").read_text(encoding="utf-8"))["runs"]:
        sampled.append(str(folder / Path(run).name))
        coral("sample", "--config", str(Path(run) / "config.yaml"), "--output", sampled[-1], *options)
    return ["--runs", json.dumps(sampled)]


def keep_chosen(pairs: Path, folder: Path) -> Path:
    """The chosen replies of preference pairs as rows for SFT."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "train.jsonl").open("w", encoding="utf-8") as file:
        for line in (pairs / "train.jsonl").read_text(encoding="utf-8").splitlines():
            pair = json.loads(line)
            file.write(json.dumps({"prompt": pair["prompt"], "completion": pair["chosen"]}) + "\n")
    return folder


def improve(out: Path, seed: int, *options: str) -> None:
    config = str(RECIPE / "improve.yaml")
    coral("improve", "--config", config, "--seed", str(seed), "--output", str(out), *options)


def coral(*words: str) -> None:
    print("coral", *words, flush=True)
    subprocess.run([*CORAL, *words], check=True)


if __name__ == "__main__":
    main()
