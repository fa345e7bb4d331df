"""What a type checker says of code that uses Coral: mistakes are found, and the pages' own code has none."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAD = "import coral\n"
WRONG = [
    ('coral.evaluate("gsm8k", lmit=3)', "lmit"),
    ('coral.evaluate("gsm8k", limit="many")', "limit"),
    ('coral.evaluate("gsm8k", agent=7)', "agent"),
    ('coral.evaluate("gsm8k", extractor=7)', "extractor"),
    ('coral.sample("gsm8k", candidates="5")', "candidates"),
    ('coral.build("run", output="rows", kind="dpoo")', "kind"),
    ('coral.estimate("gsm8k", protokol="cot")', "protokol"),
    ('coral.evaluate("gsm8k").sumary', "sumary"),
]
"""A mistake each, and the word that is wrong."""
RIGHT = [
    "def says(messages: list[dict[str, str]]) -> str:\n    return messages[-1]['content']",
    "def read(text: str, problem: coral.Problem) -> str | None:\n    return text or None",
    "def words(trace: coral.Trace) -> float:\n    return float(len(trace.turns))",
    'coral.evaluate("gsm8k", agent=says, partner={"command": "./agent.sh"}, extractor=read, metrics=[words])',
    'coral.evaluate("gsm8k", agent="openai/gpt-4o", limit=3, max_cost=1.5, data=None)',
]


def page_code(page):
    """The Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What `mypy --strict` says of all of them, by file. One run, with the cache of `make check`."""
    pytest.importorskip("mypy")
    folder = tmp_path_factory.mktemp("typed")
    for number, (code, _) in enumerate(WRONG):
        (folder / f"wrong{number}.py").write_text(f"{HEAD}{code}\n")
    (folder / "right.py").write_text("from __future__ import annotations\n" + HEAD + "\n".join(RIGHT) + "\n")
    for number, code in enumerate(page_code("README.md")):
        (folder / f"readme{number}.py").write_text(code)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", str(ROOT / "pyproject.toml"),
         "--cache-dir", str(ROOT / ".mypy_cache"), *map(str, sorted(folder.glob("*.py")))],
        cwd=ROOT / "src", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in {0, 1}, done.stdout + done.stderr
    lines = {}
    for line in done.stdout.splitlines():
        lines.setdefault(Path(line.partition(":")[0]).name, []).append(line)
    return lines


@pytest.mark.parametrize("number", range(len(WRONG)), ids=[row[0] for row in WRONG])
def test_a_mistake_is_found(said, number):
    """Once, by its name."""
    (line, *_) = said[f"wrong{number}.py"]
    assert WRONG[number][1] in line, line


def test_right_code_passes(said):
    """Functions of all kinds, typed as a user types them."""
    assert said.get("right.py", []) == []


@pytest.mark.parametrize("number", range(len(page_code("README.md"))))
def test_the_code_of_the_readme_passes(said, number):
    """So an editor underlines nothing in what a user copies."""
    assert said.get(f"readme{number}.py", []) == []
