"""Puts the documentation together and builds it as a site: `make docs`.

The pages are the Markdown files of the project, laid out as they lie there: links between them are checked,
and a warning is an error. Added are a reference of the commands, made of `coral COMMAND --help`, and one of
the Python API, made of docstrings. A page of docs/ that no section names goes to "More".
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.commands.build import build
from mkdocs.config import load_config

import coral
from coral.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "build" / "pages"
FENCE = re.compile(r"^```console \w+$", re.MULTILINE)
WIDER = ".md-grid { max-width: 78rem }\n"
"""Outputs of 80 columns fit beside both side bars."""
SECTIONS: dict[str, tuple[str, ...]] = {
    "Start": ("quickstart", "concepts", "protocols", "python", "first_steps", "troubleshooting"),
    "Evaluate": (
        "tasks", "code", "jail", "mbpp_cr", "own_data", "own_agents", "models", "prompts", "budget",
        "metrics", "studies", "analysis", "plots", "viewer", "people", "runs", "extraction", "grading",
        "parity",
    ),
    "Train": ("sampling", "training_data", "training", "rl", "improve", "collaboration"),
    "Serve": ("serving", "generate", "cluster", "engine", "embedded_model", "sally_anne"),
    "Figures": ("performance", "real_models"),
}  # fmt: skip


def main() -> None:
    """Build the site; what mkdocs warns of ends it with an error."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    shutil.rmtree(PAGES, ignore_errors=True)
    for file in _files():
        target = PAGES / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        if file.suffix == ".md":  # what tests/documents.py is told behind a fence, Markdown does not know
            target.write_text(FENCE.sub("```console", file.read_text(encoding="utf-8")), encoding="utf-8")
    _write("site.css", WIDER)
    _write("reference/commands.md", "\n".join(_commands()))
    _write("reference/api.md", "\n".join(_api()))
    os.chdir(ROOT)
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    build(load_config(str(ROOT / "mkdocs.yml"), nav=_nav(), strict=True))


def _files() -> Iterator[Path]:
    """Pages, and what they link to."""
    yield from ROOT.glob("*.md")
    yield ROOT / "src" / "coral" / "assets" / "tiny" / "README.md"
    for folder in ("docs", "recipes"):
        for kind in ("md", "png", "svg", "ipynb", "yaml"):
            yield from (ROOT / folder).rglob(f"*.{kind}")


def _write(name: str, text: str) -> None:
    (PAGES / name).parent.mkdir(parents=True, exist_ok=True)
    (PAGES / name).write_text(text, encoding="utf-8")


def _commands() -> Iterator[str]:
    """What `coral COMMAND --help` says, of every command."""
    yield "# Commands\n\nWhat `coral COMMAND --help` says. Each option is also a key of a `--config` file.\n"
    for name, about in COMMANDS.items():
        help_of = [sys.executable, "-m", "coral", name, "--help"]
        environment = {**os.environ, "COLUMNS": "88"}
        told = subprocess.run(help_of, env=environment, capture_output=True, text=True, check=True).stdout
        yield f"## coral {name}\n\n{about[0].upper()}{about[1:]}.\n\n```text\n{told.rstrip()}\n```\n"


def _api() -> Iterator[str]:
    """Every name of `coral`, with its docstring."""
    yield "# Python API\n\n[Python](../docs/python.md) shows how they are used.\n"
    functions = [name for name in coral.__all__ if name.islower()]
    for title, names in (("Functions", functions), ("Classes", sorted(set(coral.__all__) - set(functions)))):
        yield f"## {title}\n"
        yield from (f"::: coral.{name}\n" for name in names)


def _nav() -> list[Any]:
    there = {
        path.stem: f"docs/{path.name}"
        for path in (ROOT / "docs").iterdir()
        if path.suffix in {".md", ".ipynb"}
    }
    named = {name for names in SECTIONS.values() for name in names}
    sections = {title: [there[name] for name in names if name in there] for title, names in SECTIONS.items()}
    if more := [there[name] for name in sorted(there.keys() - named)]:
        sections["More"] = more
    recipes = sorted((ROOT / "recipes").glob("*/README.md"))
    sections["Recipes"] = [f"recipes/{path.parent.name}/README.md" for path in recipes]
    sections["Reference"] = ["reference/commands.md", "reference/api.md", "CHANGELOG.md"]
    sections["Design"] = ["docs/design/README.md", "CONTRIBUTING.md"]
    return [{"Coral": "README.md"}, *({title: found} for title, found in sections.items())]


if __name__ == "__main__":
    main()
