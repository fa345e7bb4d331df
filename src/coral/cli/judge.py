"""`coral judge RUN RUN`: people judge conversations of two runs, blind; and what they found."""

from __future__ import annotations

import csv
import io
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_names
from coral.cli.terminal import standard_output
from coral.cli.visible import one_line
from coral.comparison.tables import percent
from coral.config import ANY, COUNT, Bounds, Options, option
from coral.errors import ConfigError
from coral.store.cells import harmless
from coral.store.whole import write_whole

if TYPE_CHECKING:
    from coral.viewer.judging import Judging

ABOUT = (
    "Let people say which of two conversations on one problem is better, without knowing which run it is of. "
    "`coral judge DIR` resumes judgements; `coral judge DIR --results true` tells what came out."
)


@dataclass(frozen=True, kw_only=True)
class JudgeConfig(Options):
    """What is judged, and where the page is served."""

    output: str | None = option(None, decides=False)
    """Folder of new judgements."""
    pairs: int = option(100, decides=False, within=COUNT)
    """Most pairs to draw: one per problem that all runs have finished."""
    aspects: tuple[str, ...] | None = option(None, decides=False)
    """What is judged; by default the five aspects of the paper's study."""
    seed: int = option(0, decides=False, within=ANY)
    """Of the pairs, their order and their sides."""
    results: bool = option(False, decides=False)
    """Print what came out, and write it to `judgements.csv` in the folder, instead of asking."""
    host: str = option("127.0.0.1", decides=False)
    """Address to bind: judges on other machines need one that they can reach. The address holds a token."""
    port: int = option(0, decides=False, within=Bounds(least=0, most=65535))
    """Port to bind; 0 takes a free one."""
    no_browser: bool = option(False, decides=False)
    """Only print the address."""


def run(arguments: Sequence[str]) -> int:
    """Serve the page until Ctrl-C, or print results; returns the exit code.

    Raises:
        UserError: runs that cannot be judged against each other, or no judgements in a folder.
    """
    from coral.viewer.serve import serve

    paths, rest = take_names(arguments)
    config = parse(JudgeConfig, rest, command="coral judge RUN RUN", about=ABOUT)
    judging = _opened(paths, config)
    if config.results:
        return _print_results(judging)

    def announce(address: str) -> None:
        count = len(judging.design.pairs)
        print(f"{address}  ({count} pairs; judgements go to {judging.folder}; Ctrl-C stops)", flush=True)
        if not config.no_browser:
            webbrowser.open(address)

    run_in_loop(
        serve([], host=config.host, port=config.port, on_ready=announce, forms=[judging], screen="judge")
    )
    return EXIT_DONE


def _opened(paths: Sequence[str], config: JudgeConfig) -> Judging:
    from coral.viewer.families import names_of_runs
    from coral.viewer.judging import ASPECTS, Judging, draw

    if len(paths) == 1:
        if config.output is not None:
            raise ConfigError(
                "two runs are judged against each other", remedy="coral judge RUN RUN --output DIR"
            )
        return Judging.resume(Path(paths[0]).expanduser())
    if config.results:
        raise ConfigError("--results is of judgements", remedy="coral judge DIR --results true")
    if config.output is None:
        raise ConfigError("no folder for the judgements", remedy="coral judge RUN RUN --output DIR")
    folders = [str(Path(path).expanduser()) for path in paths]
    design = draw(
        folders, pairs=config.pairs, seed=config.seed, names=names_of_runs(folders),
        aspects=ASPECTS if config.aspects is None else config.aspects,
    )  # fmt: skip
    return Judging.begin(Path(config.output).expanduser(), design)


def _print_results(judging: Judging) -> int:
    from coral.viewer.verdicts import alpha, preferences, strengths

    design, said, out = judging.design, judging.judgements, standard_output()
    if not said:
        raise ConfigError("nobody has judged yet", remedy=f"coral judge {judging.folder}")
    judges = sorted({one.judge for one in said})
    out.print(
        f"\n{len(judges)} judges, {len({one.pair for one in said})} of {len(design.pairs)} pairs",
        style="bold",
    )
    table = _table("aspect", "preferred", "over", "rate", "95% interval", "n", "alpha")
    for one in preferences(design, said):
        low, high = percent(one.low), percent(one.high)
        agreement = alpha(said, one.aspect)
        table.add_row(
            one_line(one.aspect), one_line(one.b), one_line(one.a), percent(one.rate),
            "-" if one.low is None else f"{low.removesuffix('%')} to {high}", f"{one.judgements}",
            "-" if agreement is None else f"{agreement:.2f}",
        )  # fmt: skip
    out.print(table)
    if found := strengths(design, said):
        table = _table("aspect", "run", "strength", "95% interval")
        for strength in found:
            ends = f"{strength.low:+.2f} to {strength.high:+.2f}"
            table.add_row(one_line(strength.aspect), one_line(strength.run), f"{strength.value:+.2f}", ends)
        out.print(table)
    path = judging.folder / "judgements.csv"
    write_whole(path, _csv(judging))
    out.print(f"every judgement: {one_line(path)}", markup=False)
    return EXIT_DONE


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in names:
        table.add_column(name, overflow="fold", justify="left" if name in names[:3] else "right")
    return table


def _csv(judging: Judging) -> str:
    """A line per judgement."""
    pairs = {pair.id: pair for pair in judging.design.pairs}
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(("judge", "pair", "problem", "aspect", "better", "left"))
    for one in judging.judgements:
        names = judging.design.names
        better = "" if one.better is None else names[one.better]
        row = (one.judge, one.pair, pairs[one.pair].problem, one.aspect, better, names[one.left])
        writer.writerow([harmless(cell) for cell in row])
    return file.getvalue()
