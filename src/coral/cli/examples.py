"""`coral examples DIR`: copy recipes and sample data out of the package."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from coral.cli import EXIT_DONE
from coral.cli.options import take_name
from coral.cli.visible import shell_word
from coral.errors import ConfigError

HELP = (
    "usage: coral examples DIR\n\n"
    "Copy recipes and sample data into a folder, laid out as in the project: commands\n"
    "of the documentation that name recipes/ or tests/data/ work there. Nothing is\n"
    "overwritten."
)
PACKAGE = Path(__file__).parents[1]
LIST = PACKAGE / "examples.txt"
"""The folders of the project that are copied; `setup.py` puts them into the wheel."""
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info")


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code.

    Raises:
        ConfigError: no folder is given, or it holds some of them already.
    """
    if any(word in {"-h", "--help"} for word in arguments):
        print(HELP)
        return EXIT_DONE
    name, rest = take_name(arguments)
    if name is None or rest:
        raise ConfigError("examples go into one folder", remedy="coral examples DIR")
    root, target = _root(), Path(name).expanduser()
    folders = LIST.read_text(encoding="utf-8").split()
    for folder in folders:
        if (target / folder).exists():
            raise ConfigError(f"{target / folder} exists", remedy="give a folder without examples")
    for folder in folders:
        shutil.copytree(root / folder, target / folder, ignore=_LEFT_OUT)
    for line in _told(target):
        print(line)
    return EXIT_DONE


def _root() -> Path:
    """Where the folders are: inside an installed package, or around the source of a checkout."""
    inside = PACKAGE / "examples"
    return inside if inside.is_dir() else PACKAGE.parents[1]


def _told(target: Path) -> Iterator[str]:
    for readme in sorted((target / "recipes").glob("*/README.md")):
        title = readme.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        yield f"recipes/{readme.parent.name:18} {title}"
    for folder in sorted((target / "tests" / "data").iterdir()):
        yield f"tests/data/{folder.name}"
    command = "coral improve --config recipes/tiny_improve/improve.yaml --dry_run"
    yield f"\nbegin with: cd {shell_word(target)} && {command}"
