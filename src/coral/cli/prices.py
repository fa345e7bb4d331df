"""`coral prices [MODEL]`: the prices by which costs are computed, with date and source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from coral.cli import EXIT_DONE
from coral.cli.options import parse
from coral.cli.terminal import WIDTH, standard_output
from coral.config import Options, option
from coral.errors import UserError
from coral.metrics import Price, load_prices
from coral.metrics.cost import SHARE_BILLED

ABOUT = "Show the prices by which costs are computed: USD per million tokens, with date and source."
BATCHES = ("openai/", "anthropic/")
"""Whose batches `--batch` uses."""


@dataclass(frozen=True, kw_only=True)
class PricesConfig(Options):
    """Which prices to show."""

    model: str = option("", decides=False)
    """A model, or a part of its name; by default all."""
    prices: str | None = option(None, decides=False)
    """YAML file of prices that are laid over the shipped ones; docs/budget.md shows its form."""


def run(arguments: Sequence[str]) -> int:
    """Print the table; returns the exit code.

    Raises:
        UserError: no price has that name.
    """
    config = parse(PricesConfig, arguments, command="coral prices [MODEL]", about=ABOUT, positional="model")
    table = load_prices(config.prices)
    exact = table.price(config.model) if config.model else None
    part = config.model.lower()
    shown = {name: price for name, price in table.prices.items() if part in name.lower()}
    if exact is not None and config.model not in shown:
        shown = {config.model: exact, **shown}
    if not shown:
        raise UserError(
            f"{config.model} has no price: what it costs is unknown, and shown as such",
            remedy="give one with --prices FILE, a YAML file with a line "
            f"{config.model}: {{prompt: 2.5, cached: 1.25, completion: 10}} (USD per million tokens)",
        )
    _print(shown)
    return EXIT_DONE


def _print(shown: dict[str, Price]) -> None:
    out = standard_output()
    table = Table(box=None, pad_edge=False, width=WIDTH, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("USD per million tokens", ratio=1, overflow="fold")
    for name in ("read", "cached", "written", "in a batch", "as of"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, price in shown.items():
        share = SHARE_BILLED["batch"]
        halved = f"{_usd(share * price.prompt)} / {_usd(share * price.completion)}"
        table.add_row(
            name,
            _usd(price.prompt),
            "-" if price.cached is None else _usd(price.cached),
            _usd(price.completion),
            halved if name.startswith(BATCHES) else "-",
            "-" if price.as_of is None else f"{price.as_of:%Y-%m-%d}",
        )
    out.print(table)
    sources = dict.fromkeys(price.source for price in shown.values() if price.source)
    out.print(
        "".join(f"\nsource: {source}" for source in sources) + "\nlist prices: check before you publish"
    )


def _usd(price: float) -> str:
    return f"{price:.2f}" if price == round(price, 2) else f"{price:.4f}".rstrip("0")
