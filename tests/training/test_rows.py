"""Rows on disk, and the split that holds problems out."""

import json

import pytest

from coral.errors import DataError
from coral.training.rows import load_rows, split_rows

USER = {"role": "user", "content": "where ball"}
REPLY = {"role": "assistant", "content": "the answer is A"}
DPO = {"prompt": [USER], "chosen": [REPLY], "rejected": [{**REPLY, "content": "B"}]}


def write(folder, *rows, name="rows.jsonl"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(folder)


def test_a_folder_and_its_file_are_the_same_rows(tmp_path):
    """A row is known by its content: folder or file, the fingerprint is that of the bytes."""
    folder = write(tmp_path / "rows", DPO, DPO)
    whole, file = load_rows(folder, "dpo"), load_rows(f"{folder}/rows.jsonl", "dpo")
    assert whole.sha256 == file.sha256
    assert whole.rows == file.rows
    assert len(whole.rows) == 2
    assert whole.columns(whole.rows[:1]) == {
        "prompt": [DPO["prompt"]],
        "chosen": [DPO["chosen"]],
        "rejected": [DPO["rejected"]],
    }


def test_parquet_holds_the_same_rows(tmp_path):
    """Both formats of `coral build` are read."""
    pytest.importorskip("pyarrow")
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist([DPO]), tmp_path / "rows.parquet")
    assert (
        load_rows(str(tmp_path), "dpo").rows[0].prompt
        == load_rows(write(tmp_path / "j", DPO), "dpo").rows[0].prompt
    )


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        ({"prompt": [USER]}, "sft", "no completion"),
        ({"prompt": [USER], "completion": [REPLY]}, "dpo", "no chosen, rejected"),
        ({"prompt": [USER], "completion": [REPLY]}, "kto", "no label"),
        ({"prompt": "where", "completion": [REPLY]}, "sft", "prompt is not a list of messages"),
        ({"prompt": [USER], "completion": [USER]}, "sft", "does not end with words of the assistant"),
        ({"prompt": [USER], "completion": [REPLY, USER, REPLY]}, "sft", "completion holds words of the user"),
        (
            {"prompt": [USER], "chosen": [REPLY], "rejected": [USER, REPLY]},
            "dpo",
            "rejected holds words of the",
        ),
        ({"prompt": [USER], "completion": []}, "sft", "does not end with words of the assistant"),
        ({"prompt": [USER], "completion": [{**REPLY, "content": " "}]}, "sft", "does not end with words"),
        ({"prompt": [{"role": "tool", "content": ""}], "completion": [REPLY]}, "sft", "prompt is not a list"),
        ([], "sft", "no prompt, completion"),
        ({"prompt": [], "completion": [REPLY]}, "sft", "the prompt is empty"),
        ({"prompt": [None], "completion": [REPLY]}, "sft", "prompt is not a list of messages"),
        ({"prompt": [{**USER, "content": None}], "completion": [REPLY]}, "sft", "prompt is not a list"),
        ({"prompt": [USER], "completion": [REPLY], "label": "false"}, "kto", "the label is 'false'"),
        ({"prompt": [USER], "completion": [REPLY], "label": 2}, "kto", "the label is 2"),
    ],
)
def test_a_row_of_another_shape_is_refused_with_its_line(tmp_path, row, kind, message):
    """A bad row stops the training; it is never passed over."""
    good = {**DPO, "completion": [REPLY], "label": True}
    with pytest.raises(DataError, match=message) as error:
        load_rows(write(tmp_path / "rows", good, row), kind)
    assert "rows.jsonl:2" in str(error.value)


def test_a_torn_line_is_refused(tmp_path):
    """Rows come from a finished build; a line that is no JSON is damage."""
    folder = write(tmp_path / "rows", DPO)
    with (tmp_path / "rows" / "rows.jsonl").open("a") as file:
        file.write('{"prompt": [')
    with pytest.raises(DataError, match=r"rows\.jsonl:2"):
        load_rows(folder, "dpo")


def test_a_byte_order_mark_is_read_over(tmp_path):
    """Editors on Windows write one."""
    folder = write(tmp_path / "rows", DPO)
    path = tmp_path / "rows" / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load_rows(folder, "dpo").rows) == 1


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("rows.jsonl", b'{"prompt": ' + b"[" * 5000, "rows.jsonl:1: not JSON: it is nested too deep"),
        ("rows.jsonl", b'{"margin": NaN}', "rows.jsonl:1: not JSON: it holds NaN"),
        ("rows.jsonl", b'{"a": "\xff"}', "rows.jsonl:1: not JSON: it is not UTF-8"),
        ("rows.parquet", b"PAR1 nonsense PAR1", "rows.parquet is not a parquet file"),
    ],
)
def test_a_damaged_file_of_rows_is_named(tmp_path, name, content, cause):
    """Whatever a file holds, it ends in its name, the line and a remedy."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), "dpo")
    assert cause in str(error.value)
    assert error.value.remedy


@pytest.mark.parametrize("names", [(), ("rows.jsonl", "rows.parquet")], ids=["none", "both formats"])
def test_a_folder_without_rows_or_with_two_sets_is_refused(tmp_path, names):
    """Which rows are trained on is never guessed."""
    for name in names:
        (tmp_path / name).write_text("")
    with pytest.raises(DataError) as error:
        load_rows(str(tmp_path), "dpo")
    assert error.value.remedy


@pytest.mark.parametrize(
    "lineage",
    [
        {"problem": "p1"},
        {"conversation": "p1#3"},
        {"source": {"conversation": "p1#0", "turn": 2}},
        {"conversation_id": "p1#0"},
    ],
    ids=lambda lineage: next(iter(lineage)),
)
def test_the_problem_is_read_from_the_lineage(tmp_path, lineage):
    """Rows of one problem are one group, however the lineage names it."""
    assert load_rows(write(tmp_path / "rows", {**DPO, **lineage}), "dpo").rows[0].problem == "p1"


def test_held_out_problems_are_whole_and_stay_held_out(tmp_path):
    """No problem has rows on both sides, and more rows move none across."""
    records = [{**DPO, "conversation": f"p{number % 50}#{number}"} for number in range(200)]
    rows = load_rows(write(tmp_path / "rows", *records), "dpo").rows
    training, held_out = split_rows(rows, 0.3, seed=0)
    sides = [{row.problem for row in side} for side in (training, held_out)]
    assert not sides[0] & sides[1]
    assert 5 <= len(sides[1]) <= 25
    assert {row.problem for row in split_rows(rows[:60], 0.3, seed=0)[1]} <= sides[1]
    assert split_rows(rows, 0.3, seed=1)[1] != held_out
    assert split_rows(rows, 0.0, seed=0) == (rows, ())
