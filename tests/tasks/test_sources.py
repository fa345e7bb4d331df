"""From a source to its files: which split a path holds, seeded parts, and what identifies the data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coral.errors import ConfigError, DataError
from coral.tasks import registry, sources
from coral.tasks.protocol import Source

GSM8K = registry.info("gsm8k")
HI_TOM = registry.info("hi_tom")
PUBLISHED = ("test", "train")


@pytest.fixture
def tree(tmp_path: Path) -> Callable[..., Path]:
    """A folder with empty files of these names."""

    def make(*names: str) -> Path:
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("")
        return tmp_path / "root"

    return make


LAYOUTS = [
    (("test.jsonl", "train.jsonl"), "test", {"test.jsonl"}, "one file a split"),
    (("test.jsonl", "train.jsonl"), "", {"test.jsonl"}, "the default split"),
    (
        ("data/test-00000-of-00002.parquet", "data/test-00001-of-00002.parquet"),
        "test",
        {"*"},
        "the hub's shards",
    ),
    (("train/algebra/1.json", "test/algebra/1.json"), "train", {"train/algebra/1.json"}, "a folder a split"),
    (("algebra/test.jsonl", "geometry/test.jsonl"), "test", {"*"}, "a folder a subject"),
    (("training.csv", "testing.csv", "test.csv"), "train", {"training.csv"}, "whole words only"),
    (("test.jsonl", ".cache/train.jsonl"), "test", {"test.jsonl"}, "hidden folders are not looked into"),
    (("test.jsonl", "dataset_info.json"), "test", {"test.jsonl"}, "files of no split stand aside"),
    (("problems.jsonl",), "test", {"problems.jsonl"}, "files without a split's name are the default split"),
]


@pytest.mark.parametrize(("names", "split", "chosen", "why"), LAYOUTS)
def test_layouts(
    tree: Callable[..., Path], names: tuple[str, ...], split: str, chosen: set[str], why: str
) -> None:
    """The split of a file is told by its name, or by the nearest folder's."""
    root = tree(*names)
    found = sources.data_files(root, GSM8K, published=PUBLISHED, split=split)
    expected = set(names) if chosen == {"*"} else chosen
    assert {file.relative_to(root).as_posix() for file in found} == expected, why


def test_a_folder_may_itself_be_a_split(tmp_path: Path) -> None:
    """`--data MATH/train` holds the split train."""
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "1.json").write_text("")
    assert sources.data_files(tmp_path / "train", GSM8K, published=PUBLISHED, split="train")
    with pytest.raises(DataError, match="holds no split 'test' but train"):
        sources.data_files(tmp_path / "train", GSM8K, published=PUBLISHED, split="test")


REFUSED = [
    (
        ("train.jsonl",),
        "test",
        "holds no split 'test' but train",
        "training data are never passed off as test data",
    ),
    (("problems.jsonl",), "train", "does not tell which split it holds", "a guess would mix train and test"),
    ((), "test", "no data file in", "an empty folder"),
    (("test.jsonl", "test.csv"), "test", "look like the same data twice", "two formats of one split"),
    (("test.jsonl", "test.jsonl.gz"), "test", "look like the same data twice", "plain and packed"),
]


@pytest.mark.parametrize(("names", "split", "message", "why"), REFUSED)
def test_refused_layouts(
    tree: Callable[..., Path], names: tuple[str, ...], split: str, message: str, why: str
) -> None:
    """Where it is not clear which files make up a split, the user is asked, with a remedy."""
    root = tree("README.md", *names)
    with pytest.raises(DataError, match=message) as caught:
        sources.data_files(root, GSM8K, published=PUBLISHED, split=split)
    assert caught.value.remedy, why


@pytest.mark.parametrize("name", ["test.jsonl", "train.jsonl", "mine.jsonl"])
def test_a_single_file_needs_no_split(tree: Callable[..., Path], name: str) -> None:
    """With no split asked for, a single file is read whatever its name."""
    path = tree(name) / name
    assert sources.data_files(path, GSM8K, published=PUBLISHED, split="") == [path]


@settings(max_examples=50)
@given(st.lists(st.text(), unique=True), st.integers())
def test_seeded_parts_share_nothing_and_lose_nothing(keys: list[str], seed: int) -> None:
    """Every key is in exactly one of train, validation and test."""
    for key in keys:
        assert [sources.in_part(key, part, seed) for part in sources.PARTS].count(True) == 1


def test_seeded_parts_have_their_sizes_and_depend_on_the_seed() -> None:
    """80, 10 and 10 % of many keys; another seed draws others."""
    keys = [str(number) for number in range(5000)]
    parts = {part: {key for key in keys if sources.in_part(key, part, 0)} for part in sources.PARTS}
    assert [round(len(parts[part]) / 5000, 1) for part in sources.PARTS] == [0.8, 0.1, 0.1]
    assert parts["test"] != {key for key in keys if sources.in_part(key, "test", 1)}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "no data were named"),
        ("nowhere/test.jsonl", "there is no file or folder"),
        ("https://example.org/test.jsonl", "is not a local path"),
    ],
)
def test_missing_data_tell_how_to_get_them(data: str | None, message: str) -> None:
    """The remedy is the command that fetches the data, or to download them."""
    with pytest.raises(DataError, match=message) as caught:
        sources.locate(Source(data=data, split="test"), GSM8K)
    assert GSM8K.fetch in caught.value.remedy or "download" in caught.value.remedy


def test_an_unknown_split_suggests_one() -> None:
    """A split with a typing error is answered with the nearest one."""
    with pytest.raises(ConfigError, match="hi_tom has no split 'valid'") as caught:
        sources.split_of(Source(data="x", split="valid"), HI_TOM)
    assert "did you mean validation?" in caught.value.remedy


def test_fingerprint_of_a_file_is_its_sha256(tmp_path: Path) -> None:
    """The fingerprint can be checked with `sha256sum`."""
    path = tmp_path / "test.jsonl"
    path.write_bytes(b"{}\n")
    expected = hashlib.sha256(b"{}\n").hexdigest()
    assert sources.fingerprint(Source(data=str(path), split="test")) == f"sha256:{expected}"


def test_fingerprint_of_a_folder_covers_names_and_contents(tree: Callable[..., Path]) -> None:
    """A changed byte, a renamed or an added data file changes it; a README or a hidden file does not."""
    root = tree("a.json", "b/c.txt")
    source = Source(data=str(root), split="")
    first = sources.fingerprint(source)
    tree("README.md", ".git/index.json")
    assert sources.fingerprint(source) == first
    seen = {first}
    (root / "a.json").write_text("1")
    seen.add(sources.fingerprint(source))
    (root / "a.json").rename(root / "d.json")
    seen.add(sources.fingerprint(source))
    tree("e.zip")
    seen.add(sources.fingerprint(source))
    assert len(seen) == 4


def test_generated_tasks_have_no_fingerprint() -> None:
    """Without data there is nothing to identify."""
    assert sources.fingerprint(Source(data=None, split="")) == ""
