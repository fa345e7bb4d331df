"""Print the tables of README.md from the reports of several seeds, and draw its picture.

python recipes/tiny_improve/table.py runs/tiny_improve/*/report.json [--plot FILE.png]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import further
import msgspec

from coral.improvement.arms import Sight
from coral.improvement.gate import told
from coral.improvement.results import HEADLINE, ModelResult, Results
from coral.metrics import Comparison, Estimate, holm

SIGHTS: dict[Sight, str] = {
    "final": "in the pair, final problems",
    "alone": "alone",
    "second": "in the pair, full information",
    "pair": "in the pair, problems of the gate",
}
SOCIAL = {
    "turns": "turns",
    "persuasion": "persuasive turns",
    "correct_persuasion": "... to a right answer",
    "assertiveness": "assertive turns",
    "conformity": "conformity",
    "lost_right_answer_rate": "right answers lost",
    "gained_right_answer_rate": "right answers gained",
}
Reports = dict[str, Results]
Others = dict[str, dict[str, Comparison]]


def main(paths: Sequence[str], plot: Path | None) -> None:
    folders = {Path(path).parent.name: Path(path).parent for path in paths}
    reports = {
        seed: msgspec.json.decode((folder / "report.json").read_bytes(), type=Results)
        for seed, folder in folders.items()
    }
    others = {seed: further.load(folder) for seed, folder in folders.items()}
    for sight, title in SIGHTS.items():
        print(f"\n{title}: change since the start\n")
        print_changes(reports, sight)
    print("\nlast answer minus first, final problems\n")
    print_gains(reports)
    print("\nthe main arm against the others\n")
    print_rivals(reports)
    print("\nother rows, in the pair, final problems: change since the start\n")
    print_others(others)
    print("\nwhat holds after Holm's correction\n")
    print_claims(reports, others)
    print("\nseveral trainings of the same rows, final problems\n")
    print_components(reports, others)
    print("\nhow the pair talks\n")
    print_social(reports)
    print("\ncost\n")
    print_cost(reports)
    if plot is not None:
        draw(reports, plot)


def print_changes(reports: Reports, sight: Sight) -> None:
    arms = [arm_of(model) for model in next(iter(reports.values())).models[1:]]
    print_table(
        ["seed", "before", *arms],
        (
            [
                seed,
                share(results.models[0].measured[sight].metrics[HEADLINE[sight]]),
                *(told(model.since_start[sight]) for model in results.models[1:]),
            ]
            for seed, results in reports.items()
        ),
    )


def print_gains(reports: Reports) -> None:
    """What talking changed, before and after training."""
    print_table(
        ["seed", *(arm_of(model) for model in next(iter(reports.values())).models)],
        (
            [
                seed,
                *(points(model.measured["final"].metrics["conversation_gain"]) for model in results.models),
            ]
            for seed, results in reports.items()
        ),
    )


def print_rivals(reports: Reports) -> None:
    arms = next(iter(reports.values())).head_to_head
    print_table(
        ["seed", *(f"{arm}, {SIGHTS[sight]}" for arm, found in arms.items() for sight in found)],
        (
            [seed, *(told(one) for found in results.head_to_head.values() for one in found.values())]
            for seed, results in reports.items()
        ),
    )


def print_others(others: Others) -> None:
    """Arms on other rows of the same conversations."""
    names = sorted({name for found in others.values() for name in found if not further.AGAIN.fullmatch(name)})
    print_table(
        ["seed", *names],
        (
            [seed, *(told(found[name]) if name in found else "-" for name in names)]
            for seed, found in others.items()
        ),
    )


def print_components(reports: Reports, others: Others) -> None:
    """How far trainings of the same rows lie apart, and what seeds add to that."""
    rows = []
    for arm in (arm_of(model) for model in next(iter(reports.values())).models[1:]):
        values = [
            further.trainings(arm, model.since_start["final"], others[seed])
            for seed, results in reports.items()
            for model in results.models[1:]
            if arm_of(model) == arm
        ]
        if found := further.components(values):
            trained = "; ".join(", ".join(f"{one:+.1f}" for one in ones) for ones in values)
            rows.append([arm, trained, f"{found.training:.1f}", f"{found.seed:.1f}"])
    print_table(["arm", "points, by seed", "s.d. of trainings", "s.d. of seeds beside that"], rows)


def print_claims(reports: Reports, others: Others) -> None:
    """Which differences on the final problems hold among all, and how far the seeds lie apart."""
    found = list(final_differences(reports, others))
    adjusted = holm([one.p_value if one.p_value is not None else 1.0 for _, _, one in found])
    by_name: dict[str, list[tuple[str, Comparison, float]]] = {}
    for (name, seed, one), p in zip(found, adjusted, strict=True):
        by_name.setdefault(name, []).append((seed, one, p))
    rows = []
    for name, ones in by_name.items():
        values = [100 * (one.difference or 0.0) for _, one, _ in ones]
        spread = f"{statistics.stdev(values):.1f}" if len(values) > 1 else "-"
        holding = ", ".join(seed for seed, _, p in ones if p < 0.05) or "none"
        rows.append([name, f"{statistics.mean(values):+.1f}", spread, holding])
    print_table(["difference", "mean of seeds", "standard deviation of seeds", "holds with seeds"], rows)


def final_differences(reports: Reports, others: Others) -> Iterator[tuple[str, str, Comparison]]:
    """Every paired difference on the final problems but those of repeated trainings, with name and seed."""
    for seed, results in reports.items():
        for model in results.models[1:]:
            yield f"{arm_of(model)} since the start", seed, model.since_start["final"]
        for arm, compared in results.head_to_head.items():
            yield f"{results.main_arm} minus {arm}", seed, compared["final"]
        for name, one in others[seed].items():
            if not further.AGAIN.fullmatch(name):
                yield f"{name} since the start", seed, one


def print_social(reports: Reports) -> None:
    rows = []
    for seed, results in reports.items():
        for model in results.models:
            metrics = model.measured["final"].metrics
            cells = [
                f"{metrics[name].mean:.2f}" if name == "turns" else plain_share(metrics[name])
                for name in SOCIAL
            ]
            rows.append([seed, arm_of(model), *cells])
    print_table(["seed", "trained on", *SOCIAL.values()], rows)


def print_cost(reports: Reports) -> None:
    """Seconds of each step; in all: with the evaluation before, as if the arm were trained by itself."""
    rows = []
    for seed, results in reports.items():
        start, *trained = results.models
        before = sum(start.seconds.values())
        for model in trained:
            made = model.made
            assert made is not None
            drawn = made.sampled.candidates.drawn if made.sampled and made.sampled.candidates else 0
            seconds = [before, *(made.seconds.get(step, 0.0) for step in ("sample", "build", "train"))]
            seconds.append(sum(model.seconds.values()))
            counts = [f"{drawn:,}", f"{made.rows:,}", f"{made.training.steps}"]
            rows.append([seed, made.arm, *counts, *(f"{one:.0f}" for one in (*seconds, sum(seconds)))])
    names = ["evaluate", "sample", "build", "train", "evaluate again", "in all"]
    print_table(
        ["seed", "trained on", "candidates", "rows", "steps", *(f"{name}, s" for name in names)], rows
    )


def draw(reports: Reports, path: Path) -> None:
    """A dot for each seed and arm with its 95% interval, in the pair and alone; also as SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    colours = ("#0b6e8f", "#588157", "#c8553d", "#8e6c8a")
    arms = [arm_of(model) for model in next(iter(reports.values())).models[1:]]
    style = {"axes.spines.top": False, "axes.spines.right": False, "font.size": 10, "svg.hashsalt": "coral"}
    with mpl.rc_context(style):
        figure = Figure(figsize=(7.6, 3.4), layout="constrained")
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, sight in zip(panels, ("final", "alone"), strict=True):
            for row, (arm, colour) in enumerate(zip(arms, colours, strict=False)):
                for number, results in enumerate(reports.values()):
                    model = next(model for model in results.models if arm_of(model) == arm)
                    change = model.since_start[sight]
                    middle, low, high = (100 * one for one in (change.difference, change.low, change.high))
                    y = row + 0.2 * (number - (len(reports) - 1) / 2)
                    bars = [[middle - low], [high - middle]]
                    axes.errorbar([middle], [y], xerr=bars, fmt="o", color=colour, capsize=3, markersize=5)
            axes.axvline(0, color="#222222", linewidth=0.8)
            axes.set_title(SIGHTS[sight], loc="left", fontsize=10)
        panels[0].set_yticks(range(len(arms)), arms)
        panels[0].invert_yaxis()
        figure.supxlabel(f"points more right than before training (paired, 95%; {len(reports)} seeds)")
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=150, metadata={"Software": None})
        figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})


def points(estimate: Estimate) -> str:
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{100 * estimate.mean:+.1f} [{100 * estimate.low:+.1f}, {100 * estimate.high:+.1f}]"


def arm_of(model: ModelResult) -> str:
    return model.made.arm if model.made else "before"


def share(estimate: Estimate) -> str:
    if estimate.mean is None or estimate.low is None or estimate.high is None:
        return "-"
    return f"{100 * estimate.mean:.1f}% [{100 * estimate.low:.1f}, {100 * estimate.high:.1f}]"


def plain_share(estimate: Estimate) -> str:
    return "-" if estimate.mean is None else f"{100 * estimate.mean:.1f}% (n = {estimate.n})"


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    for line in (header, ["---"] * len(header), *rows):
        print(f"| {' | '.join(line)} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reports", nargs="+", help="report.json of each seed, in a folder named after it")
    parser.add_argument("--plot", type=Path, help="where to draw the picture (PNG; SVG beside it)")
    arguments = parser.parse_args()
    main(arguments.reports, arguments.plot)
