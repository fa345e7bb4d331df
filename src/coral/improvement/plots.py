"""Plots of an improvement, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coral.errors import RunFolderError
from coral.improvement.arms import Sight
from coral.improvement.config import ARMS
from coral.improvement.results import HEADLINE, ModelResult, Results
from coral.metrics import Estimate, metric
from coral.plots import COLOURS, INK, Row, drawing, save, whiskers

SHOWN_SOCIAL = (
    "agreement",
    "persuasion",
    "correct_persuasion",
    "assertiveness",
    "correct_assertion",
    "conformity",
)


def save_plots(results: Results, folder: Path) -> list[str]:
    """Draw everything into `folder`; returns the names of the PNG files.

    Raises:
        MissingExtra: matplotlib is not installed.
        RunFolderError: the folder cannot be written.
    """
    drawn = {
        "headline": draw_headline,
        "alone_and_pair": draw_square,
        "social": draw_social,
        "cost": draw_cost,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with drawing() as figure_class:
            for name, draw in drawn.items():
                figure = figure_class(figsize=(7.2, 4.0), layout="constrained")
                draw(figure, results)
                for suffix in ("png", "svg"):
                    save(figure, folder / f"{name}.{suffix}")
    except OSError as error:
        raise RunFolderError(
            f"cannot write to {folder}: {error.strerror}", remedy="free space or fix the folder"
        ) from None
    return [f"{name}.png" for name in drawn]


def draw_headline(figure: Any, results: Results) -> None:
    """Agreement correctness by iteration, one colour an arm; a line leads from the model that it came from,
    and what was not taken over is hollow.
    """
    axes = figure.subplots()
    start, *trained = results.models
    arms = list(dict.fromkeys(map(_arm, trained)))
    places = {start.name: (0.0, _percent(start))}
    _with_bars(axes, [0.0], [_headline(start, "pair")], INK, label="before")
    for number, arm in enumerate(arms):
        models = [model for model in trained if _arm(model) == arm]
        shift = 0.04 * (number - (len(arms) - 1) / 2)
        places |= {model.name: (_iteration(model) + shift, _percent(model)) for model in models}
        colour = _colour(models[0])
        xs = [places[model.name][0] for model in models]
        _with_bars(axes, xs, [_headline(model, "pair") for model in models], colour, label=arm)
        _lead(axes, models, places, colour)
    axes.set_xticks(range(1 + max(map(_iteration, results.models))))
    axes.set_xlabel("iteration (0: before; hollow: not taken over)")
    axes.set_ylabel("agreement, and right (%)")
    _head(figure, _titled(results, "pair", "Agreement on the right answer"))
    _explain(figure)


def _lead(
    axes: Any, models: Iterable[ModelResult], places: dict[str, tuple[float, float]], colour: str
) -> None:
    """A line to each model from where it came from; a hollow point over those that were not taken over."""
    for model in models:
        if model.made is None:
            continue
        ends = (places[model.made.came_from], places[model.name])
        axes.plot(*zip(*ends, strict=True), color=colour, linewidth=1.2, zorder=1)
        if not model.made.verdict.accepted:
            hollow = {"color": "white", "markeredgecolor": colour, "markersize": 6, "zorder": 5}
            axes.plot(*places[model.name], "o", **hollow)


def draw_square(figure: Any, results: Results) -> None:
    """Each model alone and in the pair."""
    axes = figure.subplots()
    models = _last_of_arms(results)
    sights: tuple[Sight, ...] = ("alone", "pair")
    for number, sight in enumerate(sights):
        xs = [index + (number - 0.5) * 0.18 for index in range(len(models))]
        label = "alone, right" if sight == "alone" else "pair: agreement, and right"
        _with_bars(axes, xs, [_headline(model, sight) for model in models], COLOURS[number], label=label)
    axes.set_xticks(range(len(models)), [_arm(model).replace("-", "-\n") for model in models])
    axes.set_xlim(-0.6, len(models) - 0.4)
    axes.set_xlabel("arm, after its last training")
    axes.set_ylabel("right (%)")
    _head(figure, _titled(results, "pair", "Alone and in the pair"))
    _explain(figure)


def draw_social(figure: Any, results: Results) -> None:
    """Persuasion, assertiveness and agreement, before and after."""
    axes = figure.subplots()
    models = _last_of_arms(results)
    for number, model in enumerate(models):
        ys = [index + (number - (len(models) - 1) / 2) * 0.14 for index in range(len(SHOWN_SOCIAL))]
        estimates = [model.measured["pair"].metrics.get(name) for name in SHOWN_SOCIAL]
        _with_bars(
            axes,
            ys,
            estimates,
            _colour(model),
            label=_arm(model),
            across=True,
        )
    axes.set_yticks(range(len(SHOWN_SOCIAL)), [metric(name).title for name in SHOWN_SOCIAL])
    axes.invert_yaxis()
    axes.set_xlabel("share (%); left out where there are fewer than two cases")
    _head(figure, _titled(results, "pair", "How the pair talks"))
    _explain(figure)


def draw_cost(figure: Any, results: Results) -> None:
    """Seconds of each step, by model."""
    axes = figure.subplots()
    models = results.models
    left = [0.0] * len(models)
    for number, step in enumerate(("sample", "build", "train", "evaluate")):
        widths = [_seconds(model, step) for model in models]
        axes.barh(range(len(models)), widths, left=left, height=0.55, color=COLOURS[number], label=step)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for index, whole in enumerate(left):
        axes.text(whole, index, f"  {whole:.0f} s", va="center", color=INK)
    axes.set_yticks(range(len(models)), [model.name for model in models])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("seconds")
    _head(figure, "What it cost")
    _explain(figure)


def _with_bars(
    axes: Any,
    positions: Iterable[float],
    estimates: Iterable[Estimate | None],
    colour: str,
    *,
    label: str,
    across: bool = False,
) -> None:
    """Points with 95% intervals, where there is one."""
    rows = [Row.of("", one if one is None or one.low is not None else None) for one in estimates]
    whiskers(axes, positions, rows, colour, label=label, across=across)


def _headline(model: ModelResult, sight: Sight) -> Estimate:
    return model.measured[sight].metrics[HEADLINE[sight]]


def _percent(model: ModelResult) -> float:
    return 100 * (_headline(model, "pair").mean or 0.0)


def _last_of_arms(results: Results) -> list[ModelResult]:
    """The starting model, and the last of each arm."""
    last = {model.made.arm if model.made else "": model for model in results.models}
    return list(last.values())


def _arm(model: ModelResult) -> str:
    return model.made.arm if model.made else "before"


def _iteration(model: ModelResult) -> int:
    return model.made.iteration if model.made else 0


def _colour(model: ModelResult) -> str:
    """An arm has the same colour in every plot."""
    return COLOURS[ARMS.index(model.made.arm)] if model.made else INK


def _head(figure: Any, title: str) -> None:
    """The title over plot and legend, however long."""
    figure.suptitle(title, x=0.01, horizontalalignment="left", fontsize=11)


def _explain(figure: Any) -> None:
    """The legend, beside the plot: it must hide no point, and no title."""
    figure.legend(frameon=False, loc="outside right center")


def _titled(results: Results, sight: Sight, title: str) -> str:
    problems = results.models[0].measured[sight].problems
    return f"{title}: {results.task}, {problems:,} problems, 95% CI"


def _seconds(model: ModelResult, step: str) -> float:
    if step == "evaluate":
        return sum(model.seconds.values())
    return model.made.seconds[step] if model.made else 0.0
