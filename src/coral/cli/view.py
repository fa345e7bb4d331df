"""`coral view RUN...`: runs in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_name
from coral.config import Bounds, Options, option
from coral.errors import ConfigError

ABOUT = (
    "Show runs in the browser: what was said, who believed what at which turn, and two runs problem by "
    "problem. A run that is still going on is followed."
)


@dataclass(frozen=True, kw_only=True)
class ViewConfig(Options):
    """Where the page is served."""

    host: str = option("127.0.0.1", decides=False)
    """Address to bind. The default is reachable from this machine alone; the address holds a token."""
    port: int = option(0, decides=False, within=Bounds(least=0, most=65535))
    """Port to bind; 0 takes a free one."""
    no_browser: bool = option(False, decides=False)
    """Only print the address."""


def run(arguments: Sequence[str]) -> int:
    """Serve the page until Ctrl-C; returns the exit code.

    Raises:
        UserError: a folder is no run, or the address cannot be bound.
    """
    from coral.viewer.serve import open_runs, serve

    paths, rest = [], list(arguments)
    while (taken := take_name(rest))[0] is not None:
        paths.append(taken[0])
        rest = taken[1]
    config = parse(ViewConfig, rest, command="coral view RUN...", about=ABOUT)
    if not paths:
        raise ConfigError("no run folder given", remedy="coral view RUN...; `coral list` shows the runs")
    runs = open_runs(paths)

    def announce(address: str) -> None:
        print(f"{address}  (Ctrl-C stops)", flush=True)
        if not config.no_browser:
            webbrowser.open(address)

    run_in_loop(serve(runs, host=config.host, port=config.port, on_ready=announce))
    return EXIT_DONE
