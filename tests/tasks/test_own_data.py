"""The tasks `choices`, `open` and those of one function: records of many shapes, and what is in doubt."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import coral
from coral.errors import ConfigError, CoralError, DataError, Notice
from coral.tasks import registry
from coral.tasks.protocol import Source
from coral.types import Answered, Problem, Unreadable, Unsure

Load = Callable[..., list[Problem]]
Write = Callable[..., Path]

pytestmark = pytest.mark.filterwarnings("ignore::coral.errors.Notice")

ABC = {"question": "2+2?", "choices": ["3", "4", "5"]}
NAMES = {"question": "Whose?", "choices": ["Ann", "Bob", "Cid"]}
APART = {"question": "Whose?", "answer": "Ann"}
MARKS = {"question": "Whose?"}
LETTERED = {"question": "Whose?", "choices": {"text": ["Ann", "Bob"], "label": ["1", "2"]}}


@pytest.mark.parametrize(
    ("record", "target"),
    [
        (NAMES | {"answer": "B"}, "B"),
        (NAMES | {"answer": "b"}, "B"),
        (NAMES | {"answer": "(B)"}, "B"),
        (NAMES | {"answer": "B."}, "B"),
        (NAMES | {"answer": "Bob"}, "B"),
        (NAMES | {"answer": " Bob "}, "B"),
        (NAMES | {"answer": ["Bob"]}, "B"),
        (NAMES | {"answerKey": "B"}, "B"),
        (NAMES | {"label": "C"}, "C"),
        (ABC | {"answer": "4"}, "B"),
        (ABC | {"answer": 4}, "B"),
        (LETTERED | {"answerKey": "2"}, "B"),
        ({"stem": "Whose?", "choices": [{"text": "Ann", "label": "A"}, {"text": "Bob", "label": "B"}],
          "answerKey": "B"}, "B"),
        ({"question": "Whose?", "options": {"A": "Ann", "B": "Bob"}, "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": "['Ann', 'Bob']", "answer": "Bob"}, "B"),
        ({"question": "Whose?", "choices": '["Ann", "Bob"]', "answer": "Bob"}, "B"),
        ({"question": "Whose?", "A": "Ann", "B": "Bob", "C": "Cid", "answer": "C"}, "C"),
        ({"question": "Whose?", "option_a": "Ann", "option_b": "Bob", "answer": "B"}, "B"),
        ({"ctx": "Whose?", "ending0": "Ann", "ending1": "Bob", "label": "Bob"}, "B"),
        ({"question": "Whose?", "answerA": "Ann", "answerB": "Bob", "label": "B"}, "B"),
        ({"question": "Whose?", "choice1": "Ann", "choice2": "Bob", "answer": "Ann"}, "A"),
        (NAMES | {"answer": "bOB"}, "B"),
        (NAMES | {"answer": "B. Bob"}, "B"),
        (NAMES | {"answer": "(b) bob."}, "B"),
        (NAMES | {"answer": "Option B"}, "B"),
        (NAMES | {"Correct Answer": "B"}, "B"),
        (NAMES | {"context": None, "answer": "B"}, "B"),
        (ABC | {"answer": 4.0}, "B"),
        ({"question": "Whose?", "choices": ["Ann  Lee", "cafe\u0301"], "answer": "ann lee"}, "A"),
        ({"question": "Whose?", "choices": ["Ann Lee", "cafe\u0301"], "answer": "caf\u00e9"}, "B"),
        ({"question": "Whose?", "choices": ["A. Ann", "B. Bob"], "answer": "Bob"}, "B"),
        ({"question": "Whose?", "choices": ["Ann", "ANN"], "answer": "ANN"}, "B"),
        ({"question": "Whose?", "choices": [True, False], "answer": False}, "B"),
        ({"question": "Whose?", "choices": "['Ann' 'Bob']", "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": "{'text': array(['Ann', 'Bob'], dtype=object), 'label': "
          "array(['A', 'B'], dtype=object)}", "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": "Ann | Bob", "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": {"text": ["Ann", "Bob"], "correct": 1}, "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": [{"text": "Ann", "correct": False},
          {"text": "Bob", "correct": True}], "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": "Ann\nBob; Cid", "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": {"a": "Ann", "b": "Bob"}, "answer": "b"}, "B"),
        ({"question": "Whose?", "choices": {"1": "Ann", "2": "Bob"}, "answer": 2}, "B"),
        ({"question": "Whose?", "choices": {"B": "Ann", "A": "Bob"}, "answer": "A"}, "B"),
        ({"question": "Whose?", "choices": {"A": "Ann", "B": "Bob", "C": None}, "answer": "B"}, "B"),
        ({"question": "Whose?", "choices": {"first": "Ann", "second": "Bob"}, "answer": "Second"}, "B"),
        ({"question": "Whose?", "choices": {"text": ["Ann", "Bob"], "label": ["A", "B"]}, "answer": "bob"},
         "B"),
        ({"question": "Whose?", "choices": [{"key": "A", "value": "Ann"}, {"key": "B", "value": "Bob"}],
          "answer": "B"}, "B"),
        ({"question": "Whose?", "Option A": "Ann", "Option B": "Bob", "Answer": "Option B"}, "B"),
        ({"question": "Whose?", "choice1": "Ann", "choice2": "Bob", "answer": "choice2"}, "B"),
        ({"question_stem": "Whose?", "sol1": "Ann", "sol2": "Bob", "answer": "Bob"}, "B"),
        ({"prompt": [{"role": "user", "content": "Whose?"}], "choices": ["Ann", "Bob"], "answer": "B"}, "B"),
    ],
    ids=lambda value: json.dumps(value)[:60] if isinstance(value, dict) else value,
)  # fmt: skip
def test_shapes_of_a_question_with_choices(load: Load, write: Write, record: Any, target: str) -> None:
    """Lists, mappings, labels and fields of their own; the answer by letter, index or its own words."""
    options = {"question": "ctx"} if "ctx" in record else {}
    [problem] = load("choices", write("mine.jsonl", [record]), options=options)
    assert problem.target == target
    assert len(problem.choices) >= 2
    assert problem.question in ("Whose?", "2+2?")


@pytest.mark.parametrize(
    ("answers", "options", "targets"),
    [
        ([0, 2], {}, "AC"),
        ([1, 3], {}, "AC"),
        (["0", "1"], {}, "AB"),
        ([0.0, "2.0"], {}, "AC"),
        ([1, 2], {"first_index": 1}, "AB"),
        ([1, 2], {"first_index": 0}, "BC"),
    ],
)
def test_indices_count_as_the_whole_file_tells(
    load: Load, write: Write, answers: list[Any], options: dict[str, Any], targets: str
) -> None:
    """A 0 somewhere counts from 0, the number of choices somewhere from 1, and the user's word goes first."""
    records = [NAMES | {"question": f"Whose {n}?", "answer": answer} for n, answer in enumerate(answers)]
    found = load("choices", write("mine.jsonl", records), options=options)
    assert "".join(problem.target for problem in found) == targets


@pytest.mark.parametrize(
    ("records", "options", "words"),
    [
        ([NAMES | {"answer": 1}, NAMES | {"question": "?", "answer": 2}], {}, "--task.first_index"),
        ([NAMES | {"answer": 0}, NAMES | {"question": "?", "answer": 3}], {}, "--task.first_index"),
        ([{"question": "?", "choices": ["1", "2", "3"], "answer": "2"}], {}, "--task.answer_form"),
        ([{"question": "?", "choices": ["B", "A"], "answer": "A"}], {}, "--task.answer_form"),
        ([NAMES | {"answer": "Dan"}], {}, "letter, its index, or its own text"),
        ([NAMES | {"answer": "D"}], {}, "names none of the 3 choices"),
        ([{"question": "?", "choices": ["Ann", "Ann"], "answer": "Ann"}], {}, "as 2 of the choices do"),
        ([{"question": "?", "choices": ["Ann"], "answer": "A"}], {}, "it has 1 choice 2 to 26"),
        ([{"question": "?", "choices": ["Ann", " "], "answer": "A"}], {}, "empty"),
        ([{"question": "?", "choices": 5, "answer": "A"}], {}, "a list of texts"),
        ([NAMES], {}, "--task.answer FIELD"),
        ([{"question": "?", "answer": "A"}], {}, "use the task open"),
        ([{"choices": ["a", "b"], "answer": "A"}], {}, "--task.question FIELD"),
        ([NAMES | {"answer": "B"}], {"question": "q"}, "its records have: question, choices, answer"),
        ([NAMES | {"answer": "B"}], {"group": "topic"}, "its fields are"),
        ([NAMES | {"answer": "B"}], {"choices": ("A", "B")}, "name one field"),
        ([{"question": "?", "choices": ["B", "A"], "answer": "a"}], {}, "--task.answer_form"),
        ([{"question": "?", "choices": ["Ann", None], "answer": "A"}], {}, "empty"),
        ([{"question": "?", "choices": "Ann, Bob", "answer": "A"}], {}, "a list of texts"),
        ([NAMES | {"answer": ["A", "B"]}], {}, "one choice has to be right"),
        ([NAMES | {"answer": "B. Cid"}], {}, "names none of the 3 choices"),
        ([NAMES | {"answer": "B"}, NAMES | {"answer": None}], {}, "--task.gold false"),
        ([NAMES | {"answer": None}, NAMES | {"answer": "B"}], {}, "'answer' is missing or empty"),
        ([{"q": {"stem": "?", "about": "x"}, "choices": ["a1", "b1"], "answer": "A"}], {}, "q.stem, q.about"),
        ([NAMES | {"question": {"stem": "?", "x": 1}, "answer": "B"}], {}, "--task.question question.x"),
        (
            [NAMES | {"question": [{"content": "a"}, {"content": "b"}], "answer": "B"}],
            {},
            "question.1.content",
        ),
        ([NAMES | {"answer": "B", "id": 1}, NAMES | {"answer": "B", "id": 1}], {}, "--task.id FIELD"),
        ([APART | {"wrong": ["Bob", "Bob"]}], {}, "line 1: the wrong answer 'Bob' is there twice"),
        ([APART | {"wrong": ["Bob", " Ann "]}], {}, "line 1: the right answer 'Ann' is a wrong one, too"),
        ([APART | {"wrong": ["Bob"]}, APART | {"wrong": []}], {}, "line 2: it has no wrong answer"),
        ([APART | {"wrong": ["Bob"]}, APART], {}, "--task.wrong FIELD"),
        ([APART | {"wrong": ["Bob", ""]}], {}, "empty"),
        ([APART | {"wrong1": "Bob", "wrong2": "Cid"}, APART], {}, "line 2: it has no wrong answer"),
        ([APART | {"wrong": ["Bob"], "answer": ["Ann", "Eve"]}], {}, "--task.answer"),
        ([APART | {"wrong": ["Bob"]}], {"wrong": "false"}, "(--task.wrong)"),
        ([APART | {"wrong": ["Bob"]}], {"wrong": "wrong", "choices": "wrong"}, "leave out --task.wrong"),
        ([{"question": "?", "wrong": ["Bob"]}], {}, "--task.answer FIELD; the record has: question, wrong"),
        (
            [APART | {"wrong": ["Bob"]}, {"question": "?", "wrong": ["Bob"]}],
            {},
            "line 2: the field 'answer' is",
        ),
        ([MARKS | {"choices": {"Ann Lee": 1, "Bob Lee": 1}}], {}, "a single 1"),
        (
            [MARKS | {"choices": {"text": ["Ann", "Bob", "Bob"], "label": [1, 0, 0]}}],
            {},
            "'Bob' is there twice",
        ),
    ],
    ids=lambda value: str(value)[:50],
)
def test_doubt_and_defects_are_said(
    load: Load, write: Write, records: list[Any], options: dict[str, Any], words: str
) -> None:
    """No record is skipped, and none is read in one of two possible ways: the message says what decides."""
    with pytest.raises(CoralError) as raised:
        load("choices", write("mine.jsonl", records), options=options)
    assert isinstance(raised.value, DataError | ConfigError)
    assert words in f"{raised.value} {raised.value.remedy}"


def test_a_field_is_seen_wherever_it_stands(load: Load, write: Write) -> None:
    """The first record may lack what others have: a context that is left out would change their questions."""
    records = [NAMES | {"answer": "B"}, NAMES | {"answer": "C", "passage": "It is new.", "level": "hard"}]
    plain, told = load("choices", write("mine.jsonl", records), options={"group": "level"})
    assert (plain.question, told.question) == ("Whose?", "It is new.\n\nWhose?")
    assert (plain.group, told.group) == ({}, {"level": "hard"})


def test_parts_of_fields_are_named_by_their_paths(load: Load, write: Write) -> None:
    """As published: the question and its choices in one field."""
    record = {
        "question": {"stem": "Whose?", "choices": ["Ann", "Bob"]},
        "meta": {"topic": "x"},
        "answer": "B",
    }
    options = {"question": "question.stem", "choices": "question.choices", "group": "meta.topic"}
    [problem] = load("choices", write("mine.jsonl", [record]), options=options)
    assert (problem.question, problem.target) == ("Whose?", "B")
    assert problem.group == {"meta.topic": "x"}


@pytest.mark.parametrize(("others", "told"), [("A", True), ("B", False)])
def test_one_letter_that_is_always_right_is_said(write: Write, others: str, told: bool) -> None:
    """Data that list the right choice first make whoever prefers (A) look right."""
    records = [NAMES | {"question": f"{n}?", "answer": others if n else "A"} for n in range(10)]
    source = Source(data=str(write("mine.jsonl", records)), split="")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(registry.load("choices").problems(source))
    said = [str(one.message) for one in caught if "(A) is right in all 10 problems" in str(one.message)]
    assert ["--task.shuffle true" in one for one in said] == [True] * told


WRONG = {"question": "Whose?", "incorrect_answers": ["Bob", "Cid", "Dan"]}
COLUMNS = {"distractor1": "Bob", "distractor2": "Cid", "distractor3": "Dan"}
MARKED = {"choices": ["Ann", "Bob", "Cid", "Dan"], "labels": [1, 0, 0, 0]}


@pytest.mark.parametrize(
    ("record", "options"),
    [
        (WRONG | {"correct_answer": "Ann", "category": "x", "type": "multiple"}, {}),
        (WRONG | {"best_answer": "Ann", "correct_answers": ["Eve", "Ann"]}, {}),
        (WRONG | {"correct_answers": ["Ann"]}, {}),
        (WRONG | {"correct_answer": "Ann", "incorrect_answers": "Dan; Bob; Cid"}, {}),
        ({"question": "Whose?", "correct_answer": "Ann", "support": "..."} | COLUMNS, {}),
        ({"Question": "Whose?", "Correct Answer": "Ann", "Incorrect Answer 1": "Bob",
          "Incorrect Answer 2": "Cid", "Incorrect Answer 3": "Dan"}, {}),
        ({"question": "Whose?", "mc1_targets": MARKED, "mc2_targets": {}}, {}),
        ({"question": "Whose?", "mc1_targets": {"Bob": 0, "Ann": 1, "Dan": 0, "Cid": 0}}, {}),
        ({"question": "Whose?", "choices": [{"text": name, "is_correct": name == "Ann"}
                                            for name in MARKED["choices"]]}, {}),
        ({"question": "Whose?", "yes": "Ann", "no": ["Bob", "Cid", "Dan"]}, {"answer": "yes", "wrong": "no"}),
        ({"question": "Whose?", "yes": "Ann", "x": "Bob", "y": "Cid", "z": "Dan"},
         {"answer": "yes", "wrong": "x,y,z"}),
        ({"question": "Whose?", "choices": MARKED["choices"], "answer": "A"}, {"shuffle": True}),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
def test_the_problem_alone_orders_right_and_wrong_answers(
    write: Write, record: Any, options: dict[str, Any]
) -> None:
    """However the data list them, and whatever the seed, one question has its choices in one order."""
    path = str(write("mine.jsonl", [record]))
    for seed in (0, 1):
        [problem] = registry.load("choices", **options).problems(Source(data=path, split="", seed=seed))
        assert problem.choices == ("Dan", "Cid", "Bob", "Ann")
        assert problem.target == "D"


def test_shuffled_choices_have_their_right_one_under_each_letter(load: Load, write: Write) -> None:
    """Whoever always takes the first choice is right by chance alone; ids are those of the file's order."""
    records = [NAMES | {"question": f"{n}?", "answer": "A"} for n in range(300)]
    path = write("mine.jsonl", records)
    shuffled = load("choices", path, options={"shuffle": True})
    counts = [sum(problem.target == letter for problem in shuffled) for letter in "ABC"]
    assert min(counts) > 70
    assert {problem.choices[ord(problem.target) - ord("A")] for problem in shuffled} == {"Ann"}
    assert [problem.id for problem in shuffled] == [problem.id for problem in load("choices", path)]


@pytest.mark.parametrize(("form", "target"), [("text", "B"), ("index", "C"), ("letter", None)])
def test_the_users_word_settles_the_form_of_answers(
    load: Load, write: Write, form: str, target: str | None
) -> None:
    """Choices that are numbers: "2" is the second one's text, or the third one's index."""
    path = write("mine.jsonl", [{"question": "?", "choices": ["1", "2", "3"], "answer": "2"}])
    options = {"answer_form": form, "first_index": 0}
    if target is None:
        with pytest.raises(DataError, match="names none"):
            load("choices", path, options=options)
    else:
        assert load("choices", path, options=options)[0].target == target


def test_options_name_fields(load: Load, write: Write) -> None:
    """Question, choices, answer, context, id and groups may be called anything."""
    record = {"q": "Where?", "os": ["hall", "attic"], "ok": "B", "tale": "She went up.", "nr": "x 1", "t": 3}
    options = {"question": "q", "choices": "os", "answer": "ok", "context": "tale", "id": "nr", "group": "t"}
    [problem] = load("choices", write("mine.jsonl", [record]), options=options)
    assert problem.question == "She went up.\n\nWhere?"
    assert (problem.choices, problem.target, problem.group) == (("hall", "attic"), "B", {"t": "3"})
    assert problem.id.startswith("x-1-")


def test_short_lists_leave_their_last_fields_empty(load: Load, write: Write) -> None:
    """In csv a question with two choices has blanks for C and D."""
    text = "question,A,B,C,D,answer\nWho?,Ann,Bob,Cid,Dan,D\nWhose?,Ann,Bob,,,B\n"
    first, second = load("choices", write("mine.csv", text))
    assert (len(first.choices), second.choices) == (4, ("Ann", "Bob"))


@pytest.mark.parametrize(
    ("task", "records", "told"),
    [
        ("choices", [NAMES | {"answer": "B"}], "choices in 'choices', answer in 'answer'"),
        ("open", [{"question": "2+2?", "answer": 4}], "answers are numbers"),
        ("open", [{"question": "Who?", "answer": "Ann"}], "answers are phrases"),
        ("choices", [{"question": "?", "A": "Ann", "B": "Bob", "answer": "B"}], "choices in A, B"),
        (
            "open",
            [{"instruction": "Add", "input": "1 2", "output": "3"}],
            "question in 'instruction', answer in 'output', context in 'input'",
        ),
        ("open", [{"prompt": "Who?", "completion": "Ann"}], "answer in 'completion'"),
        ("open", [NAMES | {"answer": "B"}], "'choices' is not told to the agents: the task choices would"),
    ],
)
def test_what_was_recognised_is_said(write: Write, task: str, records: list[Any], told: str) -> None:
    """A wrong guess must be seen by the user."""
    source = Source(data=str(write("mine.jsonl", records)), split="")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(registry.load(task).problems(source))
    assert [told in str(one.message) and one.category is Notice for one in caught] == [True]


def test_problems_that_are_there_twice_are_told(write: Write) -> None:
    """They count twice, as they always did; who reads the intervals should know."""
    record = NAMES | {"answer": "B"}
    source = Source(
        data=str(write("mine.jsonl", [record, {**record, "question": "Which?"}, record])), split=""
    )
    with pytest.warns(Notice, match="repeats an earlier problem, the first in line") as told:
        assert len(list(registry.load("choices").problems(source))) == 3
    assert "too narrow" in str(told[-1].message)


@pytest.mark.parametrize("task", ["choices", "open"])
def test_a_nan_is_a_cell_that_is_missing(tmp_path: Path, task: str) -> None:
    """pandas writes it into columns of numbers; it is no answer."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    records = {
        "question": ["Whose?", "Whose else?"],
        "choices": [["Ann", "Bob"]] * 2,
        "answer": [0.0, float("nan")],
    }
    parquet.write_table(arrow.table(records), tmp_path / "mine.parquet")
    source = Source(data=str(tmp_path / "mine.parquet"), split="")
    with pytest.raises(DataError, match="record 2: the field 'answer' is missing or empty"):
        list(registry.load(task).problems(source))


def test_seeded_parts_divide_a_file_of_ones_own(load: Load, write: Write) -> None:
    """What is trained on is not tested on."""
    path = write("mine.jsonl", [NAMES | {"question": f"Whose {n}?", "answer": "B"} for n in range(60)])
    whole = {problem.id for problem in load("choices", path)}
    parts = [
        {p.id for p in load("choices", path, split=f"seeded-{name}")}
        for name in ("train", "validation", "test")
    ]
    assert set.union(*parts) == whole
    assert sum(map(len, parts)) == len(whole) == 60


# Free answers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "answer", "said", "right"),
    [
        (None, "Paris", "I think so. Answer: Paris", True),
        (None, "Paris", "Answer: the city of Lyon", False),
        (None, "Paris", "Answer: paris.", True),
        (None, ["U.S.", "United States"], "Answer: the United States", True),
        (None, {"text": ["Ann", "Ann Lee"]}, "Answer: Ann Lee", True),
        (None, True, "Answer: yes", True),
        (None, True, "Answer: true", True),
        (None, False, "Answer: yes", False),
        (None, 42, "Answer: 42", True),
        (None, "70,000", "Answer: 70000", True),
        (None, "$5", "Answer: 5", True),
        (None, 0.5, "Answer: 1/2", True),
        ("math", r"\frac{1}{2}", r"\boxed{0.5}", True),
        ("math", "x+1", r"\boxed{1+x}", True),
        ("math", "x+1", r"\boxed{x+2}", False),
        ("phrase", "4", "Answer: four", True),
        ("exact", "Paris", "Answer: Paris", True),
        ("exact", "Paris", "Answer: paris", False),
        ("exact", "f(x) = x**2", "So:\n**Answer:** `f(x) = x**2`", True),
        ("exact", "unknown", "Answer: unknown", True),
        ("exact", "a b", "Answer: a  b", False),
        (None, {"value": "Ann", "aliases": ["Annie"]}, "Answer: Ann", True),
        (None, "(3, 4)", "Answer: 3", False),
        (None, "[1, 2]", "Answer: 1", False),
        ("math", "[1, 2]", r"\boxed{[1,2]}", True),
        ("number", "[1, 2]", "Answer: 2", True),
        (None, "['U.S.', 'United States']", "Answer: United States", True),
    ],
)
async def test_free_answers_are_read_and_graded(
    write: Write, kind: Any, answer: Any, said: str, right: bool
) -> None:
    """By the kind of the data's answers, or by the one that the user names."""
    task = registry.load("open", **({"kind": kind} if kind else {}))
    path = write("mine.jsonl", [{"question": "What?", "answer": answer}])
    [problem] = task.problems(Source(data=str(path), split=""))
    belief = task.read(said, problem)
    assert isinstance(belief, Answered)
    assert await task.grade(belief.value, problem) is right


@pytest.mark.parametrize("kind", ["number", "math", "phrase", "exact"])
def test_instructions_name_the_form_that_is_read(write: Write, kind: str) -> None:
    """An answer as the instruction wants it is read; none is unreadable, doubt is doubt."""
    task = registry.load("open", kind=kind)
    path = write("mine.jsonl", [{"question": "What?", "answer": "7"}])
    [problem] = task.problems(Source(data=str(path), split=""))
    form = r"\boxed{7}" if kind == "math" else "Answer: 7"
    assert ("Answer: X" in task.instruction) is (kind != "math")
    assert task.read(f"Seven days.\n\n{form}", problem) == Answered("7")
    assert task.parse("7", problem) == Answered("7")
    assert isinstance(task.read("Let us begin.", problem), Unreadable)
    assert isinstance(task.read("I am not sure yet.", problem), Unsure)


async def test_all_accepted_answers_are_one(write: Write) -> None:
    """Two agents who name the same thing by its two names agree."""
    path = write("mine.jsonl", [{"question": "Which?", "answer": ["UK", "Great Britain"]}])
    task = registry.load("open")
    [problem] = task.problems(Source(data=str(path), split=""))
    assert await task.same("UK", "great britain", problem)
    assert not await task.same("UK", "France", problem)
    assert not await task.same("Spain", "France", problem)


@pytest.mark.parametrize(
    ("record", "options", "words"),
    [
        ({"question": "?", "answer": []}, {}, "which is not an answer"),
        ({"question": "?", "answer": [{"a": 1}]}, {}, "which is not an answer"),
        ({"question": "?", "answer": ["a", ""]}, {}, "none of them empty"),
        ({"question": "?", "answer": "She has 3.\n#### 3"}, {}, "coral eval gsm8k"),
        ({"question": "?", "answer": r"So it is \boxed{3}."}, {}, "--task.kind math"),
        ({"question": "?", "answer": "x", "t": ["a", "b"]}, {"group": "t"}, "a group is one text"),
        ({"question": "?", "answer": "Paris"}, {"kind": "number"}, "--task.kind"),
        ({"question": "?"}, {}, "--task.answer FIELD"),
    ],
)
def test_free_answers_that_are_none(
    load: Load, write: Write, record: Any, options: dict[str, Any], words: str
) -> None:
    """The message names the record, and what helps."""
    with pytest.raises(CoralError) as raised:
        load("open", write("mine.jsonl", [record]), options=options)
    assert words in f"{raised.value} {raised.value.remedy}"


def test_a_cell_that_is_one_answer_or_several(load: Load, write: Write) -> None:
    """A list of numbers in csv: an interval, or two answers. Nothing but the user's word tells."""
    path = write("mine.csv", 'question,answer\n?,"[1, 2]"\n')
    with pytest.raises(DataError, match="one answer or several"):
        load("open", path)
    assert load("open", path, options={"kind": "phrase"})[0].target == "[1, 2]"


@pytest.mark.parametrize("task", ["choices", "open"])
def test_an_empty_file_is_called_empty(load: Load, write: Write, task: str) -> None:
    """Not a problem of splits."""
    with pytest.raises(DataError, match="is empty"):
        load(task, write("mine.jsonl", ""))


# A file or a function in a task's place ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("record", "tasks"),
    [
        (NAMES | {"answer": "B"}, "coral eval choices --data"),
        ({"question": "Who?", "answer": "Ann"}, "coral eval open --data"),
        ({"question": "2+2?", "answer": "2+2 is 4.\n#### 4"}, "coral eval gsm8k --data"),
        (
            {"q": "Who?", "opts": ["Ann", "Bea"], "lab": 1},
            "choices takes --task.choices FIELD, too; the record has: q, opts, lab",
        ),
        ({"nothing": "at all"}, "the record has: nothing"),
    ],
)
def test_a_file_in_place_of_a_task_says_who_reads_it(write: Write, record: Any, tasks: str) -> None:
    """`coral eval mine.jsonl` is a natural thing to type."""
    with pytest.raises(ConfigError) as raised:
        registry.load(str(write("mine.jsonl", [record])))
    assert "is a file of data, not a task" in str(raised.value)
    assert tasks in raised.value.remedy


def test_a_file_that_nobody_reads_in_place_of_a_task(write: Write) -> None:
    """Files that are empty, damaged or of another kind are told as they are where `--data` names them."""
    for name, text, cause in (
        ("mine.jsonl", "", "is empty"), ("mine.jsonl", "{", "is not JSON"), ("a.xlsx", "PK", "kind of file"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"{name} is not a task, and .* {cause}") as raised:
            registry.load(str(write(name, text)))
        assert raised.value.remedy


@coral.task("phrase")
def capitals():
    """Capitals of Europe."""
    yield {"question": "What is the capital of France?", "answer": "Paris", "id": "fr"}
    yield {"question": "What is the capital of Spain?", "answer": "Madrid", "id": "es"}


@coral.task("choices")
def towns():
    yield {"question": "Which is a capital?", "A": "Lyon", "B": "Paris", "answer": "B"}


@coral.task("phrase")
def nothing():
    return []


@coral.task("phrase")
def wrong():
    return ["Paris"]


def test_a_function_becomes_a_task() -> None:
    """Its name and docstring are the task's, its records its problems; options are those of `open`."""
    task = capitals()
    assert (task.info.name, task.info.title) == ("capitals", "Capitals of Europe.")
    problems = list(task.problems(Source(data=None, split="")))
    assert [problem.target for problem in problems] == ["Paris", "Madrid"]
    assert problems[1].id == "es"
    assert {problem.task for problem in problems} == {"capitals"}
    [lettered] = towns().problems(Source(data=None, split=""))
    assert lettered.target == "B"


@pytest.mark.parametrize(("task", "words"), [(nothing, "yields no record"), (wrong, "is not a mapping")])
def test_functions_that_yield_no_records(task: Any, words: str) -> None:
    """Said with the function's name."""
    with pytest.raises(DataError, match=words):
        list(task().problems(Source(data=None, split="")))


def test_a_bare_decorator_says_how_it_is_written() -> None:
    """`@coral.task` without a call would make the function the kind."""
    with pytest.raises(ConfigError, match="is called"):
        coral.task(list)  # type: ignore[arg-type]


def test_a_task_in_a_file_is_found_by_its_path(tmp_path: Path) -> None:
    """`coral eval folder/file.py:name`; a second file of the same name is not mistaken for the first."""
    source = (
        'import coral\n\n\n@coral.task("number")\ndef sums():\n    yield {"question": "1+1?", "answer": %d}\n'
    )
    for folder, answer in (("one", 2), ("two", 3)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tasks_by_path.py").write_text(source % answer)
    task = registry.load(f"{tmp_path}/one/tasks_by_path.py:sums")
    assert [p.target for p in task.problems(Source(data=None, split=""))] == ["2"]
    with pytest.raises(ConfigError, match="another module is called tasks_by_path"):
        registry.load(f"{tmp_path}/two/tasks_by_path.py:sums")
    with pytest.raises(ConfigError, match="there is no file"):
        registry.load(f"{tmp_path}/three.py:sums")


@pytest.mark.parametrize(
    ("task", "record"),
    [
        ("choices", ABC),
        ("choices", {"question": "Whose?", "A": "Ann", "B": "Bob"}),
        ("choices", NAMES | {"answer": "nobody knows"}),
        ("open", {"question": "What is new?"}),
        ("open", {"question": "How many?", "answer": ""}),
    ],
)
async def test_data_without_right_answers(load: Load, write: Write, task: str, record: Any) -> None:
    """Only where it is said: then no field is taken for an answer, and nothing has a grade."""
    file = write("mine.jsonl", [record])
    with pytest.raises(DataError, match=r"answer|choices"):
        load(task, file)
    [problem] = load(task, file, options={"gold": False})
    assert problem.target == ""
    loaded = registry.load(task, gold=False)
    assert await loaded.grade("A", problem) is None
    assert isinstance(loaded.parse("B" if task == "choices" else "Paris", problem), Answered)


def test_an_answer_field_without_right_answers_is_refused(load: Load, write: Write) -> None:
    """Both cannot be meant."""
    file = write("mine.jsonl", [NAMES | {"answer": "B"}])
    with pytest.raises(ConfigError, match=r"--task\.gold false says that there are none"):
        load("choices", file, options={"gold": False, "answer": "answer"})
