"""Puts what `coral examples` copies (recipes, sample data) into the wheel; all else is in pyproject.toml."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
FOLDERS = (ROOT / "src/coral/examples.txt").read_text(encoding="utf-8").split()
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", "runs", "rows")


class WithExamples(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:  # a checkout has them where they are
            for folder in FOLDERS:
                target = Path(self.build_lib, "coral", "examples", folder)
                shutil.copytree(ROOT / folder, target, ignore=LEFT_OUT, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithExamples})
