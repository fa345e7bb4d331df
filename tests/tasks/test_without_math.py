"""Tasks with mathematical answers where the extra `math` is not installed."""

import pytest

from coral import tasks
from coral.errors import MissingExtra
from coral.tasks import boundary, mathematics
from coral.tasks.protocol import Source
from coral.types import Problem

MATH500 = '{"problem": "1 + 1?", "answer": "2", "unique_id": "test/algebra/1.json"}\n'
OWN = '{"question": "1 + 1?", "answer": "2"}\n'


@pytest.fixture(autouse=True)
def without_it(monkeypatch):
    monkeypatch.setattr(mathematics, "_is_installed", lambda _module: False)


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
@pytest.mark.parametrize(
    ("task", "options", "content"),
    [
        ("math", {}, MATH500),
        ("gsm8k", {}, '{"question": "1 + 1?", "answer": "#### 2"}\n'),
        ("open", {}, OWN),
        ("open", {"kind": "math"}, OWN),
    ],
)
def test_a_task_says_so_before_anything_is_asked(tmp_path, task, options, content):
    """Reading the data fails already, with both spellings of what to install."""
    data = tmp_path / "test.jsonl"
    data.write_text(content)
    with pytest.raises(MissingExtra, match="math-verify") as caught:
        next(iter(tasks.load(task, **options).problems(Source(data=str(data), split=""))))
    assert "pip install 'collaborative-reasoner[math]'" in caught.value.remedy
    assert "pip install '.[math]'" in caught.value.remedy
    shown = Source(data=str(data), split="", graded=False)
    assert next(iter(tasks.load(task, **options).problems(shown))).target == "2"


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
@pytest.mark.parametrize("kind", ["phrase", "exact"])
def test_other_answers_need_no_sympy(tmp_path, kind):
    """Phrases are compared without it."""
    data = tmp_path / "test.jsonl"
    data.write_text(OWN)
    assert list(tasks.load("open", kind=kind).problems(Source(data=str(data), split="")))


async def test_a_stored_run_is_not_measured_wrongly_without_it():
    """Formulas that nobody can compare are not "different": measuring stops."""
    task, problem = tasks.load("math"), Problem(id="1", task="math", question="?", target="x")
    with pytest.raises(MissingExtra):
        await boundary.same(task, "x+1", "1+x", problem)
    with pytest.raises(MissingExtra):
        await boundary.grade(task, "x+1", problem)
