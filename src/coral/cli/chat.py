"""`coral chat TASK`: a person talks with a model about one problem after the other."""

from __future__ import annotations

import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from coral.agents.person import Face
from coral.cli import EXIT_DONE
from coral.cli.loop import run_in_loop
from coral.cli.options import parse
from coral.cli.person import face_for
from coral.cli.report import print_estimate, print_summary
from coral.cli.session import in_view
from coral.cli.terminal import Terminal
from coral.config import COUNT, Bounds, option
from coral.conversation import protocols
from coral.conversation.protocols import PAIR
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate
from coral.evaluation.measure import save_summary, score
from coral.evaluation.progress import Progress
from coral.models.config import HUMAN
from coral.store.folder import RunFolder

if TYPE_CHECKING:
    from coral.people.host import WebHost
    from coral.people.server import PeopleServer

ABOUT = (
    "Talk with a model about the problems of a task, from one of the two seats. You see what a model in your "
    "seat would see. What is said is stored as any conversation; the same command resumes. With --web in the "
    "browser, and several people at once."
)


@dataclass(frozen=True, kw_only=True)
class ChatConfig(EvalConfig):
    """All options of a chat: those of an evaluation, with a person as the partner."""

    seat: Literal["opener", "responder"] = option("responder", decides=False)
    """The person's seat. responder: speaks first. opener: answers to what the model says first."""
    web: bool = option(False, decides=False)
    """Talk in the browser, by links that can be given to others. `--agent human`: two people, a link each."""
    sessions: int = option(1, decides=False, within=COUNT)
    """With --web: links to make, each for one person, who takes one problem after the other."""
    welcome: str | None = option(None, decides=False)
    """With --web: file with what people read before they begin, such as what they consent to."""
    host: str = option("127.0.0.1", decides=False)
    """With --web: address to bind. The default is reachable from this machine alone."""
    port: int | None = option(None, decides=False, within=Bounds(least=0, most=65535))
    """With --web: port to bind; by default that of the last time, at first a free one."""
    address: str | None = option(None, decides=False)
    """With --web: how people reach the page where that is another address, as behind a proxy with TLS."""
    no_browser: bool = option(False, decides=False)
    """With --web: only print the links."""

    def __post_init__(self) -> None:
        """Seat the person.

        Raises:
            ConfigError: somebody else sits there, or names the option and what it may be.
        """
        if self.partner.get("model", HUMAN) != HUMAN:
            raise ConfigError(
                "the partner is you", remedy="name the model you talk with: --agent MODEL, without --partner"
            )
        if protocols.name_of(protocols.normal(self.protocol)) != PAIR:
            raise ConfigError("a chat is between two", remedy="leave --protocol out")
        object.__setattr__(self, "partner", {**self.partner, "model": HUMAN})
        object.__setattr__(self, "opener", "partner" if self.seat == "opener" else "agent")
        super().__post_init__()
        given = [name for name in ("welcome", "address", "port") if getattr(self, name) is not None]
        given += ["sessions"] * (self.sessions > 1) + ["host"] * (self.host != "127.0.0.1")
        if given and not self.web:
            raise ConfigError(f"--{given[0]} is of a page in the browser", remedy="give --web, too")

    @property
    def most_people(self) -> int:
        """How many of the agents may be people: a page for each seat."""
        return 2 if self.web else 1


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    config = parse(ChatConfig, arguments, command="coral chat TASK", about=ABOUT, positional="task.name")
    if config.dry_run:
        print_estimate(config, estimate(config))
        return EXIT_DONE
    held = run_in_loop(in_view(config, _seat))
    summary = held.summary
    if summary is None and held.finished:  # of the problems so far
        folder = RunFolder(held.path)
        summary = run_in_loop(score(folder, prices=config.prices, regrade=False))
        save_summary(folder, summary)
    if summary is not None:
        print_summary(summary, held.path)
    return EXIT_DONE


def _seat(config: ChatConfig, progress: Progress, console: Terminal) -> Face | None:
    """Where the person sits: at this terminal, or at pages in the browser."""
    return _host(config, progress, console) if config.web else face_for(config, progress, console)


def _host(config: ChatConfig, progress: Progress, console: Terminal) -> WebHost:
    """Who receives people in their browsers.

    Raises:
        ConfigError: the welcome cannot be read, or the address is none.
    """
    from coral.people.host import WebHost
    from coral.people.server import Address, receiving

    address = Address(host=config.host, port=config.port, public=config.address or "")
    count = config.sessions

    def announce(server: PeopleServer) -> None:
        if address.is_plain:
            console.print(
                "plain HTTP: whoever can read the network reads what is written, and the links; beyond a "
                "network that you trust put a proxy with TLS in front, and give --address https://NAME"
            )
        links = [server.link(place.session.token) for place in host.places]
        for place, link in zip(host.places, links, strict=True):
            print(f"{link}  ({host.seats[place.session.name]})", flush=True)
        print(f"{server.own_link}  (all sessions, and new links; Ctrl-C stops)", flush=True)
        if not config.no_browser:
            webbrowser.open(links[0] if len(links) == 1 else server.own_link)

    host = WebHost(
        count,
        _welcome(config.welcome),
        progress,
        say=console.print,
        receive=lambda host: receiving(host, address, announce),
    )
    return host


def _welcome(path: str | None) -> str:
    """What people read before they begin."""
    if path is None:
        return files("coral.people").joinpath("welcome.txt").read_text(encoding="utf-8")
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"cannot read {path}: {getattr(error, 'strerror', None) or error}",
            remedy="--welcome is a text file in UTF-8",
        ) from None
