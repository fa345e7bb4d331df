"""`coral examples`: recipes and sample data, from a checkout or out of a wheel."""

import subprocess
import sys

import pytest

from coral.cli import examples


def test_examples_lie_as_in_the_project(coral_command, tmp_path, pytestconfig):
    """So that commands of the documentation work there; each recipe is named with its title."""
    code, output, errors = coral_command("examples", tmp_path / "ex")
    assert (code, errors) == (0, "")
    for folder in examples.LIST.read_text().split():
        wanted = {
            path.relative_to(pytestconfig.rootpath)
            for path in (pytestconfig.rootpath / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and ".egg-info" not in str(path)
        }
        assert wanted <= {path.relative_to(tmp_path / "ex") for path in (tmp_path / "ex").rglob("*")}
    assert "recipes/tiny_improve       One iteration on split information" in output


def test_examples_overwrite_nothing(coral_command, tmp_path):
    """What was changed there is the user's."""
    (tmp_path / "recipes").mkdir()
    code, output, errors = coral_command("examples", tmp_path)
    assert (code, output) == (2, "")
    assert "recipes exists\n  -> give a folder without examples" in errors
    assert [path.name for path in tmp_path.iterdir()] == ["recipes"]


def test_examples_want_one_folder(coral_command):
    """A word too many is no folder to guess."""
    assert "coral examples DIR" in coral_command("examples")[2]
    assert coral_command("examples", "a", "b")[0] == 2


def test_a_wheel_holds_them(tmp_path, pytestconfig):
    """What `setup.py` puts into a wheel is what the command looks for."""
    pytest.importorskip("setuptools", minversion="77")
    built = tmp_path / "built"
    command = [sys.executable, "setup.py", "-q", "egg_info", "-e", tmp_path, "build_py", "--build-lib", built]
    subprocess.run(command, cwd=pytestconfig.rootpath, capture_output=True, check=True)
    for folder in examples.LIST.read_text().split():
        assert list((built / "coral" / "examples" / folder).iterdir()), folder
    assert (built / "coral" / "examples.txt").is_file()
