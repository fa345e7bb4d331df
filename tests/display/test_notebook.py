"""A bar in a notebook. `make docs` runs a real one in a real kernel."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from coral.display import notebook
from coral.evaluation.progress import Progress


@pytest.fixture
def cell(monkeypatch):
    """What a cell shows, one HTML after the other; IPython as far as it is used."""
    shown = []

    def display(html, *, display_id):
        assert display_id
        shown.append(html._repr_html_())
        return SimpleNamespace(update=lambda newer: shown.append(newer._repr_html_()))

    ipython, of_display = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=object())
    of_display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", of_display)
    return shown


def test_only_a_kernel_is_a_notebook(monkeypatch):
    """Neither a script nor IPython's own terminal shows HTML."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()
    terminal = ModuleType("IPython")
    terminal.get_ipython = SimpleNamespace
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert not notebook.in_notebook()


async def test_the_bar_ends_with_what_came_of_the_run(cell):
    """One place in the cell is updated; at the end it holds the headline and the folder."""
    progress = Progress()
    async with notebook.shown(progress, protocol="coral"):
        progress.place, progress.total, progress.done = "runs/<a>", 4, 4
        progress.scored, progress.graded, progress.right = 4, 4, 3
        progress.notes.append("temperature <is> left out")
    assert "preparing" in cell[0]
    assert '<progress value="4" max="4"' in cell[-1]
    assert "4/4 · agreed and right 75% · took 0s" in cell[-1]
    assert "runs/&lt;a&gt;: 4 conversations to hold<br>note: temperature &lt;is&gt; left out" in cell[-1]


async def test_a_failing_job_is_not_hidden_by_its_bar(cell):
    """Its error is what the cell ends with."""
    with pytest.raises(ZeroDivisionError):
        async with notebook.shown(Progress(), protocol="coral"):
            raise ZeroDivisionError
    assert "nothing was begun" in cell[-1]


async def test_a_script_shows_nothing(capsys, monkeypatch):
    """What is no notebook stays as silent as it was."""
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    async with notebook.shown(Progress(place="runs/a", total=4), protocol="coral"):
        pass
    assert capsys.readouterr() == ("", "")
