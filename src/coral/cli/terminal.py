"""The terminal as commands write to it: the one place that builds a console."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NoReturn

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from coral.cli.visible import HIDDEN, visible

WIDTH = 80


class Terminal(Console):
    """A console that takes every text literally: no markup, no emoji codes, no guesses about numbers and
    paths, and nothing that acts on the terminal.
    """

    def __init__(self, *, errors: bool = False, width: int | None = None, soft_wrap: bool = False) -> None:
        """Write to standard output, or with `errors` to standard error."""
        super().__init__(
            stderr=errors, width=width, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False
        )

    def on_broken_pipe(self) -> NoReturn:
        """The reader, such as `head`, has seen enough: no error of ours."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: object) -> Text:
        """A text as rich shows it. Here it is escaped before it is measured for a table."""
        return super().render_str(visible(text), **options)  # type: ignore[arg-type]

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Everything that is printed, piece by piece: styled texts are escaped here."""
        return super().render(_escaped(renderable) if isinstance(renderable, Text) else renderable, options)


def _escaped(text: Text) -> Text:
    """A styled text with escapes in the style of what they stand for."""
    cuts = [cut for match in HIDDEN.finditer(text.plain) for cut in match.span()]
    if not cuts:
        return text
    whole = text.blank_copy()
    for piece in text.divide(cuts):
        shown = Text(visible(piece.plain))
        for span in piece.spans:
            shown.stylize(span.style, span.start, span.end if shown.plain == piece.plain else None)
        whole.append_text(shown)
    return whole


def standard_output() -> Terminal:
    """Standard output, 80 columns wide where no narrower terminal says otherwise."""
    terminal = Terminal()
    narrow = terminal.is_terminal and terminal.width < WIDTH
    return terminal if narrow else Terminal(width=WIDTH)


def standard_error() -> Terminal:
    """Standard error, where progress and what became of a run are told."""
    return Terminal(errors=True)
