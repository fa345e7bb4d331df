"""How pictures look, and how they are written: fit for a paper, and the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, Literal

from coral.errors import ConfigError, MissingExtra, RunFolderError
from coral.store.whole import whole_file

INK, MUTED = "#222222", "#8a8a8a"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7A5C00", "#4D4D4D")
"""Okabe and Ito (2008), told apart with every kind of colour vision; in place of their yellow, which is faint
as a line, and of black, which is the text's, a brown and a grey of other lightness."""
MARKERS = "osD^vPX"
"""Taken in turn beside eight colours: 56 runs look different."""

Columns = Literal[1, 2]
"""How many columns of a paper a picture spans."""
WIDTHS: dict[int, float] = {1: 3.35, 2: 7.0}
"""Inches, by columns."""
FONT_SIZES: dict[int, float] = {1: 7, 2: 8}

OURS = "coral plot"
"""Stands in every picture that we write, so that we know it again and replace no other."""
SUFFIXES: dict[str, dict[str, str | None]] = {
    ".png": {"Software": OURS},
    ".svg": {"Creator": OURS, "Date": None},
    ".pdf": {"Creator": OURS, "Producer": None, "CreationDate": None},
}
"""What can be written, and what stands in it beside the picture: nothing that another day would change."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same everywhere
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "pdf.fonttype": 42,  # letters stay letters: journals refuse type 3
    "svg.fonttype": "none",
    "svg.hashsalt": "coral",
}


@contextmanager
def drawing(font_size: float = 10) -> Iterator[Any]:
    """Within it matplotlib draws in our style; yields the class `Figure`.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtra("matplotlib", extra="plot", why="drawing pictures") from None
    sizes = {
        "font.size": font_size,
        "axes.titlesize": font_size,
        "axes.labelsize": font_size,
        "legend.fontsize": font_size,
        "xtick.labelsize": font_size,
        "ytick.labelsize": font_size,
    }
    with mpl.rc_context({**_STYLE, **sizes}):
        yield Figure


def check_suffix(path: Path) -> None:
    """Refuse a file that is no picture.

    Raises:
        ConfigError: its suffix is another one.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(
            f"'{path}' does not end in {', '.join(SUFFIXES)}", remedy="the suffix says what is written"
        )


def save(figure: Any, path: Path, *, dpi: int = 150) -> None:
    """Write a picture in the format that the suffix names, letters as letters.

    Raises:
        ConfigError: the suffix is another one.
        OSError: it cannot be written.
    """
    check_suffix(path)
    suffix = path.suffix.lower()
    with drawing(), whole_file(path) as file:
        figure.savefig(file, format=suffix[1:], dpi=dpi, metadata=SUFFIXES[suffix])


def save_new(figure: Any, path: Path) -> None:
    """`save` for a file that the user names: it replaces only what we drew ourselves.

    Raises:
        ConfigError: the suffix is another one.
        RunFolderError: another file has this name, or it cannot be written.
    """
    check_suffix(path)
    try:
        if path.exists() and OURS.encode() not in path.read_bytes():
            raise RunFolderError(
                f"{path} exists, and was not drawn by {OURS}",
                remedy="choose another --output: only pictures of its own are replaced",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        save(figure, path, dpi=300)
    except OSError as error:
        raise RunFolderError(
            f"cannot write {path}: {error.strerror}", remedy="free space, or choose another --output"
        ) from None


def short_names(names: Sequence[str], most: int) -> list[str]:
    """Names for labels: folders that all of them lie in are left out, and the middle of what is still longer
    than `most` characters. Different names stay different.
    """
    parts = [PurePath(name).parts or (name,) for name in names]
    while len(set(names)) > 1 and all(len(one) > 1 for one in parts) and len({one[0] for one in parts}) == 1:
        parts = [one[1:] for one in parts]
    whole = ["/".join(one).replace("//", "/") for one in parts] if len(set(names)) > 1 else [
        one[-1] for one in parts
    ]  # fmt: skip
    short = [shortened(name, most) for name in whole]
    if len(set(short)) == len(set(names)):
        return short
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names), 1)}
    return [f"{numbers[name]}: {shortened(long, most - 4)}" for name, long in zip(names, whole, strict=True)]


def shortened(text: str, most: int) -> str:
    """A text without its middle where it is too long: names of runs differ at their ends."""
    if len(text) <= most:
        return text
    front = (most - 1) // 2
    return f"{text[:front]}…{text[len(text) - (most - 1 - front) :]}"
