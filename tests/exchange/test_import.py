"""`coral import`: what the published code wrote becomes a run that is measured as ours are.

The lines follow that code's schema (commit bd18e0f, read in its source): no outputs of it are published.
"""

from __future__ import annotations

import json

import pytest

import coral
from coral.cli import main
from coral.types import Answered, Unreadable, Unsure

pytestmark = pytest.mark.filterwarnings("always::coral.errors.Notice")  # the command prints them

MMLU = {
    "question_id": 7, "question": "Two plus two?", "options": ["3", "4", "5"], "answer": "B",
    "answer_index": 1, "category": "math", "src": "x",
}  # fmt: skip
MATH = {"problem": "What is 1/2 + 1/2?", "answer": "1", "level": "Level 1", "type": "Algebra"}
GPQA = {"Question": "Which one?", "choices": ["this", "that", "these", "those"], "label": 2}
TOM = {"story_structure": "Ann put the ball into the red box.", "question": "Where is the ball?",
       "expected_answer": "red box"}  # fmt: skip
USAGE = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}


def turn(role, content, extracted=None, *, ok=True, siblings=()):
    """A turn as that code writes it."""
    if not ok:
        return {"role": role, "content": content, "info": {"status_ok": False, "error": content}}
    rated = {"score": 1.0, "info": {"response": f"({extracted})", "agreement": False, "status_ok": True}}
    info = {"status_ok": True, "usage": USAGE, "annotation": {"M-MMLUProExtractionPromptingEvaluator": rated}}
    if extracted is not None:
        info["extracted_answer"] = extracted
    if siblings:
        info["siblings"] = list(siblings)
    return {"role": role, "content": content, "info": info}


def line(record, *turns, limit=None):
    """A conversation as that code writes it."""
    metadata = {**record, "init_prompt": "I'm trying ...", "teacher_inst": "You teach.",
                "student_inst": "You learn."}  # fmt: skip
    if "options" in record:
        metadata["choices"] = {"ABCDEFGHIJ"[i]: text for i, text in enumerate(record["options"])}
    opening = {"role": "student", "content": "I'm trying ...", "info": {"usage": {}}}
    metrics = {"conv_err": 0, **({"MMLUProMatchEvaluator-n_turns_to_success": limit} if limit else {})}
    return {"conv_result": [opening, *turns], "metadata": metadata, "metrics": metrics}


def folder(path, *lines, name="57000000_outputs_step_0_rank_0.jsonl"):
    path.mkdir(exist_ok=True)
    (path / name).write_text("".join(json.dumps(one) + "\n" for one in lines))
    (path / "metrics.json").write_text("{}")
    return path


RIGHT, WRONG = "The correct answer is (B).", "The correct answer is (C)."


def imported(tmp_path, source, *words):
    """The stored conversations, by id."""
    out = tmp_path / "run"
    assert main(["import", str(source), "--output", str(out), *words]) == 0
    return out, {one.id: one for one in coral.load_run(out).conversations()}


def test_conversations_are_measured_as_ours(tmp_path):
    """Teacher answers first; two samples of one problem; agreement by the task's own rules; and intervals."""
    source = folder(
        tmp_path / "theirs",
        line(MMLU, turn("teacher", WRONG), turn("student", RIGHT), turn("teacher", RIGHT)),
        line(MMLU, turn("teacher", WRONG), turn("student", WRONG)),
        line({**MMLU, "question_id": 8}, turn("teacher", RIGHT), turn("student", WRONG), limit=20),
    )
    out, told = imported(tmp_path, source, "--model", "llama")
    assert [told[name].stop.value for name in ("7#0", "7#1", "8#0")] == ["agreed", "agreed", "max_turns"]
    assert [one.seat for one in told["7#0"].turns] == ["responder", "opener", "responder"]
    assert {one.model for one in told["7#0"].speakers.values()} == {"llama"}
    assert told["7#0"].parent.conversation == "57000000_outputs_step_0_rank_0.jsonl:1"
    identity = coral.load_run(out).identity()
    assert (identity["max_turns"], identity["protocol"]) == (20, "coral")
    assert identity["imported"]["from"] == "theirs"
    metrics = json.loads((out / "summary.json").read_text())["metrics"]
    assert metrics["agreement_correctness"]["mean"] == pytest.approx(1 / 3)
    assert metrics["agreement"]["low"] < metrics["agreement"]["mean"] < metrics["agreement"]["high"]
    assert metrics["conversation_tokens"]["mean"] == pytest.approx(70 / 3)


@pytest.mark.parametrize(
    ("record", "text", "answer", "task"),
    [
        (MMLU, "The correct answer is (B).", "B", "mmlu_pro"),
        (GPQA, "The correct answer is (C).", "C", "gpqa"),
        (MATH, r"So the sum is $\boxed{\frac{2}{2}}$.", r"\frac{2}{2}", "math"),
        (TOM, "He looks there. Short Answer: red box", "red box", "explore_tom"),
        (TOM, "It was moved.\n\n**Short Answer:** red box", "red box", "explore_tom"),
    ],
)
def test_the_task_is_told_by_its_fields(tmp_path, record, text, answer, task):
    """Records of each data set that the published code reads, and answers in the form that it asks for."""
    source = folder(
        tmp_path / "theirs", line(record, turn("teacher", text)), line(record, turn("teacher", text))
    )
    out, told = imported(tmp_path, source)
    assert coral.load_run(out).identity()["task"]["name"] == task
    assert coral.load_run(out).identity()["protocol"] == "cot"
    assert len(told) == 2
    for conversation in told.values():
        reply = conversation.turns[0].reply
        assert (reply.belief, reply.correct) == (Answered(answer), True)


KEPT = {
    "The answer is (B).": (Answered("B"), True),
    "The answer is (C).": (Answered("C"), False),
    "not sure yet": (Unsure(), False),
    "Error: extraction network error": (Unreadable("Error: extraction network error"), None),
    "": (Unreadable("the published code extracted nothing"), None),
    "  ": (Unreadable("the published code extracted nothing"), None),
    None: (Unreadable("the published code extracted nothing"), None),
}


@pytest.mark.parametrize("extracted", KEPT)
def test_their_beliefs_may_be_kept(tmp_path, extracted):
    """An error is not graded as the letter E, and an empty extraction is not right."""
    source = folder(tmp_path / "theirs", line(MMLU, turn("teacher", "whatever", extracted)))
    _, told = imported(tmp_path, source, "--beliefs", "keep")
    reply = told["7#0"].turns[0].reply
    assert (reply.belief, reply.correct) == KEPT[extracted]
    assert (reply.extraction.by, reply.extraction.text) == ("model", f"({extracted})")


def test_candidates_come_with_their_turn(tmp_path):
    """Those drawn beside a turn are its siblings; one count of tokens is all draws', and no single one's."""
    beside = (turn("teacher", WRONG), turn("teacher", "timeout", ok=False))
    source = folder(tmp_path / "theirs", line(MMLU, turn("teacher", RIGHT, siblings=beside)))
    _, told = imported(tmp_path, source)
    [one] = told["7#0"].turns
    assert [reply.text for reply in one.replies] == [RIGHT, WRONG]
    assert (one.usage.completion_tokens, one.reply.usage) == (10, None)


def test_a_failed_request_fails_its_conversation(tmp_path, capsys):
    """The error text is no turn; what answers it is cut, and said."""
    source = folder(
        tmp_path / "theirs",
        line(MMLU, turn("teacher", RIGHT), turn("student", "timeout", ok=False)),
        line(MMLU, turn("teacher", "timeout", ok=False), turn("student", RIGHT)),
    )
    _, told = imported(tmp_path, source)
    assert "1 conversations went on after a request that failed" in capsys.readouterr().err
    assert [one.stop.value for one in told.values()] == ["failed", "failed"]
    assert [len(one.turns) for one in told.values()] == [1, 0]
    assert told["7#0"].failure.message == "timeout"


def test_all_ranks_are_read_and_what_is_left_out_is_named(tmp_path, capsys):
    """A rank that began half a minute later is no other run; an older session of one rank is."""
    source = folder(tmp_path / "theirs", line(MMLU, turn("teacher", RIGHT)))
    for name in ("57000001_outputs_step_0_rank_1.jsonl", "56999999_outputs_step_0_rank_1.jsonl"):
        folder(source, line({**MMLU, "question_id": name}, turn("teacher", RIGHT)), name=name)
    (source / "notes.txt").write_text("mine")
    _, told = imported(tmp_path, source)
    said = capsys.readouterr().err
    assert len(told) == 2
    assert "earlier sessions are left out: 56999999" in said
    assert "left alone: notes.txt" in said


GOOD = json.dumps(line(MMLU, turn("teacher", RIGHT)))
DAMAGED = {
    "torn": (GOOD[:80], "line 2"),
    "not JSON": ("{]", "line 2"),
    "a list": ("[]", "not a conversation of the published code"),
    "another schema": ('{"conv": []}', "missing required field `conv_result`"),
    "no turns": ('{"conv_result": [], "metadata": {}}', "conv_result is empty"),
    "content is missing": ('{"conv_result": [{"role": "a"}], "metadata": {}}', "missing required field"),
    "content is null": (
        '{"conv_result": [{"role": "a", "content": null, "info": {}}], "metadata": {}}',
        "Expected `str`, got `null`",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_lines_are_named(tmp_path, capsys, case):
    """By file and line; nothing is written; they are left out on request, and said."""
    text, told = DAMAGED[case]
    source = folder(tmp_path / "theirs")
    file = source / "57000000_outputs_step_0_rank_0.jsonl"
    file.write_text(f"{GOOD}\n{text}\n")
    out = tmp_path / "run"
    assert main(["import", str(source), "--output", str(out)]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert f"{file}, line 2" in said
    assert not out.exists()
    _, kept = imported(tmp_path, source, "--skip_damaged", "true")
    assert capsys.readouterr().err.count("line 2 is left out") == 1
    assert len(kept) == 1


BAD = {
    "no folder": ([], ["nowhere", "--output", "run"], "there is no folder"),
    "no output": ([], ["theirs"], "folder or output missing"),
    "nothing in it": ([], ["empty", "--output", "run"], "holds no file such as"),
    "no conversation": ([], ["theirs", "--output", "run"], "holds no conversation"),
    "output exists": ([line(MMLU, turn("teacher", RIGHT))], ["theirs", "--output", "empty"], "empty exists"),
    "unknown fields": ([line({"q": "?"}, turn("teacher", RIGHT))], ["theirs", "--output", "run"], "--task"),
    "wrong task": (
        [line(MATH, turn("teacher", RIGHT))],
        ["theirs", "--output", "run", "--task", "gpqa"],
        "the task gpqa cannot read the record",
    ),
    "no such task": (
        [line(MMLU, turn("teacher", RIGHT))], ["theirs", "--output", "run", "--task", "x"], "no task 'x'",
    ),
    "a record lacks its answer": (
        [line(MMLU, turn("teacher", RIGHT)), line({"question": "?", "options": ["a"]}, turn("teacher", "?"))],
        ["theirs", "--output", "run"],
        "rank_0.jsonl:2",
    ),
    "two of one id": (
        [line(MMLU, turn("teacher", RIGHT)), line({**MMLU, "question": "Other?"}, turn("teacher", RIGHT))],
        ["theirs", "--output", "run"],
        "another record is called 7, too",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_imported_is_told(tmp_path, monkeypatch, capsys, case):
    """In words, with what to do, and before there is a folder."""
    lines, words, told = BAD[case]
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "theirs", *lines)
    (tmp_path / "empty").mkdir()
    assert main(["import", *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "  -> " in said
    assert not (tmp_path / "run").exists()


def test_an_imported_run_goes_where_ours_go(tmp_path):
    """Scored, compared with itself, exported, and made rows of."""
    source = folder(
        tmp_path / "theirs",
        *(line({**MMLU, "question_id": n}, turn("teacher", WRONG), turn("student", RIGHT),
               turn("teacher", RIGHT)) for n in range(3)),
    )  # fmt: skip
    out, _ = imported(tmp_path, source)
    assert coral.score(out).metrics["agreement_correctness"].mean == 1.0
    assert coral.compare(out, out).comparisons[0].difference == 0.0
    for name, words in (("a.csv", []), ("a.eval", []), ("a.jsonl", ["--format", "messages"])):
        assert main(["export", str(out), "--output", str(tmp_path / name), *words]) == 0
    row = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])
    assert row["messages"][0] == {"role": "system", "content": "You teach."}
