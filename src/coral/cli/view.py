"""`coral view [RUN...]`: runs in the browser."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse, take_names
from coral.config import Bounds, Options, option
from coral.errors import ConfigError

if TYPE_CHECKING:
    from coral.viewer.runs import ViewedRun

ABOUT = (
    "Show runs in the browser: what was said, who believed what at which turn, and two runs problem by "
    "problem. Of a study or a loop (coral improve), all its runs. Without RUN, a choice of what lies below "
    "this folder. A run that is still going on is followed."
)


@dataclass(frozen=True, kw_only=True)
class ViewConfig(Options):
    """Where the page is served."""

    host: str = option("127.0.0.1", decides=False)
    """Address to bind. The default is reachable from this machine alone; the address holds a token."""
    port: int = option(0, decides=False, within=Bounds(least=0, most=65535))
    """Port to bind; 0 takes a free one."""
    export: str | None = option(None, decides=False)
    """Write the run as one HTML file that opens without a server, instead of showing it; as a folder if the
    name does not end in .html, or beyond 5,000 conversations or 30 MB."""
    redact: bool | None = option(None, decides=False)
    """Leave what holds or may quote a problem out of that file; by default if the task is confidential."""
    tokenizer: str | None = option(None, decides=False)
    """Folder of the model that is to be trained: the tokens of training rows are its. By default those of the
    model that speaks, where its folder or the hub's cache is on this machine."""
    no_browser: bool = option(False, decides=False)
    """Only print the address."""


def run(arguments: Sequence[str]) -> int:
    """Serve the page until Ctrl-C; returns the exit code.

    Raises:
        UserError: a folder is no run, or the address cannot be bound.
    """
    from coral.people.pages import PeoplePages
    from coral.viewer.places import Places
    from coral.viewer.runs import open_runs
    from coral.viewer.serve import serve

    paths, rest = take_names(arguments)
    config = parse(ViewConfig, rest, command="coral view [RUN...]", about=ABOUT)
    if config.export is None and config.redact is not None:
        raise ConfigError("--redact is of a file", remedy="give --export FILE.html, too")
    tokenizer = _tokenizer(config.tokenizer)
    root = _start(paths)
    runs = [] if root else open_runs(paths)
    if config.export is not None:
        return _export(runs, Path(config.export), redact=config.redact)

    def announce(address: str) -> None:
        print(f"{address}  (Ctrl-C stops)", flush=True)
        if not config.no_browser:
            webbrowser.open(address)

    async def work() -> None:
        forms, screen = ([Places(root, runs)], "start") if root else ([], _screen(runs))
        async with PeoplePages(runs, config.host) as people:
            await serve(
                runs, host=config.host, port=config.port, on_ready=announce, forms=[*forms, people],
                screen=screen, tokenizer=tokenizer,
            )  # fmt: skip

    run_in_loop(work())
    return EXIT_DONE


def _tokenizer(name: str | None) -> Path | None:
    """The folder of a tokenizer.

    Raises:
        ConfigError: it holds none.
    """
    if name is None:
        return None
    folder = Path(name).expanduser()
    if not (folder / "tokenizer.json").is_file():
        raise ConfigError(
            f"{folder} holds no tokenizer.json",
            remedy="--tokenizer FOLDER, of the model that is to be trained",
        )
    return folder


def _start(paths: Sequence[str]) -> Path | None:
    """The folder below which runs are chosen on the start page; None where runs are given.

    Raises:
        ConfigError: nothing lies there.
    """
    from coral.comparison.listing import runs_below
    from coral.viewer.families import families_in

    root = Path(paths[0] if paths else ".").expanduser()
    if len(paths) > 1 or (paths and not root.is_dir()) or (root / "run.json").is_file() or families_in(root):
        return None
    if any(runs_below(root)):
        return root
    if paths:
        return None  # opening it says what it lacks
    raise ConfigError(
        f"no run lies below {root.resolve()}", remedy="coral view RUN, or go to a folder that holds runs"
    )


def _screen(runs: Sequence[ViewedRun]) -> str:
    """The screen that shows first: of a study or loop, how its runs compare."""
    kinds = {run.member[0].kind for run in runs if run.member is not None}
    return "compare" if kinds & {"study", "loop"} else ""


def _export(runs: Sequence[ViewedRun], output: Path, *, redact: bool | None) -> int:
    from coral.viewer.export import write

    if len(runs) != 1:
        raise ConfigError("an export shows one run", remedy="export each run to a place of its own")
    if output.suffix not in {"", ".html"}:
        raise ConfigError(
            f"'{output}' does not end in .html",
            remedy="--export FILE.html, or --export FOLDER for a large run",
        )
    done = write(runs[0].index, runs[0].name, output, redact=redact)
    where = done.path if done.path.suffix == ".html" else done.path / "index.html and beside it"
    if done.why:
        print(f"{done.why}: this run becomes a folder")
    redacted = ", redacted," if done.redacted else ""
    print(f"{done.conversations} conversations{redacted} in {where} ({done.size / 1e6:.1f} MB)")
    return EXIT_DONE
