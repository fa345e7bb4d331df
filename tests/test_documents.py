"""What the pages show is what happens."""

import re
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from documents import ROOT, Shell, agrees, matches, steps

PAGES = (
    "README.md", "docs/quickstart.md", "docs/sampling.md", "docs/training_data.md", "docs/python.md",
    "docs/own_data.md", "docs/own_agents.md", "docs/prompts.md", "docs/troubleshooting.md",
)  # fmt: skip

BUILT = {".venv", ".venv-docs", ".venv-lowest", "build", "tests"}


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_give_the_output_it_shows(page, tmp_path):
    """Every command is run; its output is compared to the letter (`...` stands for any lines)."""
    shell = Shell(tmp_path)
    try:
        for step in steps((ROOT / page).read_text(encoding="utf-8")):
            real = shell.run(step)
            assert agrees(step, real), f"$ {step.command}\n{real}"
    finally:
        shell.close()


def test_every_console_block_shows_an_output():
    """A command whose output nobody wrote down is not checked, so there is none."""
    for page in PAGES:
        for step in steps((ROOT / page).read_text(encoding="utf-8")):
            assert step.kind == "python" or step.shown.strip(), step.command


@pytest.mark.parametrize(
    "page", sorted(p for p in ROOT.rglob("*.md") if not BUILT & set(p.relative_to(ROOT).parts)), ids=str
)
def test_links_between_pages_lead_somewhere(page):
    """A relative link names a file of the project."""
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not target.startswith(("http://", "https://", "mailto:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_matching_is_exact_but_for_dots():
    """The check itself can fail."""
    assert matches("a\nb\n", "a\nb\n")
    assert matches("a\n...\nd\n", "a\nb\nc\nd\n")
    assert not matches("a\n", "a\nb\n")
    assert not matches("a\n...\nd\n", "a\nb\n")
