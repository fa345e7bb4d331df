"""`coral score DIR`: measure a stored run again, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.cli.report import print_summary
from coral.config import Options, option
from coral.errors import ConfigError
from coral.evaluation.measure import save_summary, score
from coral.metrics.own import own_metric
from coral.store.folder import RunFolder

ABOUT = "Measure a stored run again, without a model, and write its summary.json."


@dataclass(frozen=True, kw_only=True)
class ScoreConfig(Options):
    """How to measure."""

    prices: str | None = option(None, decides=True)
    """Prices (YAML) that are laid over the shipped ones; `coral prices` shows those."""
    everything: bool = option(False, decides=False)
    """Show every metric, by the name it has in summary.json."""
    metrics: tuple[str, ...] | None = option(None, decides=True, names=True)
    """Further metrics, `module:function` each, or names that packages add; by default those of the run."""
    regrade: bool = option(False, decides=True)
    """Grade every stored answer anew, with the graders of this version."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, flags = take_name(arguments)
    config = parse(ScoreConfig, flags, command="coral score DIR", about=ABOUT)
    if path is None:
        raise ConfigError("no run folder given", remedy="coral score DIR")
    folder = RunFolder(path)
    own = None if config.metrics is None else [own_metric(name) for name in config.metrics]
    summary = run_in_loop(score(folder, prices=config.prices, regrade=config.regrade, own=own))
    print_summary(summary, folder.path, everything=config.everything)
    save_summary(folder, summary)  # last: what is measured is shown, too, where nothing can be written
    return 0
