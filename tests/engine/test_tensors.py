"""Reading safetensors by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from coral.engine.tensors import Tensors
from coral.errors import ConfigError

VALUES = np.array([[1.0, -2.5, 0.15625], [3.0e38, 0.0, -1.0e-3]])


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("F32", 1e-7), ("F16", 1e-3), ("BF16", 1e-2)],
    ids=["full precision", "half precision", "bfloat16: the upper half of a float32"],
)
def test_every_float_type_is_read_as_float32(tmp_path: Path, safetensors_writer, dtype, tolerance):
    """The three types that models are saved in give the numbers that were saved."""
    values = VALUES if dtype != "F16" else np.clip(VALUES, -6e4, 6e4)
    safetensors_writer(tmp_path / "model.safetensors", {"a": values, "b": values[0]}, dtype)
    tensors = Tensors(tmp_path)
    assert sorted(tensors) == ["a", "b"]
    assert tensors["a"].dtype == np.float32
    np.testing.assert_allclose(tensors["a"], values, rtol=tolerance)
    np.testing.assert_allclose(tensors["b"], values[0], rtol=tolerance)


def test_shards_are_read_as_one(llama_folder):
    """A model saved in several files is the same model."""
    whole, parts = Tensors(llama_folder()), Tensors(llama_folder(shards=3))
    assert set(whole) == set(parts)
    assert all(np.array_equal(whole[name], parts[name]) for name in whole)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _lie_about_size(path: Path) -> None:
    path.write_bytes((10**9).to_bytes(8, "little") + path.read_bytes()[8:])


def _break_header(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[8] = ord("]")
    path.write_bytes(bytes(raw))


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _integers(path: Path) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw.replace(b'"F32"', b'"I32"'))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_cut, "do not match its shape"),
        (_lie_about_size, "shorter than its own header"),
        (_break_header, "header cannot be read"),
        (_empty, "shorter than its own header"),
        (_integers, "only F32, F16 and BF16"),
    ],
    ids=[
        "download was cut",
        "header size is nonsense",
        "header is no JSON",
        "empty file",
        "quantized weights",
    ],
)
def test_a_damaged_file_is_a_user_error(tmp_path: Path, safetensors_writer, spoil, message):
    """A damaged file is named with what is wrong, never read as numbers."""
    path = tmp_path / "model.safetensors"
    safetensors_writer(path, {"a": VALUES})
    spoil(path)
    with pytest.raises(ConfigError, match=message) as caught:
        _ = Tensors(tmp_path)["a"]
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_missing_files_are_named(tmp_path: Path):
    """Without weights, or without a shard that the index names, the message says which file is missing."""
    with pytest.raises(ConfigError, match=r"neither model\.safetensors nor"):
        Tensors(tmp_path)
    index = {"weight_map": {"a": "model-1.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ConfigError, match=r"model-1\.safetensors, which is missing"):
        Tensors(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(ConfigError, match="damaged"):
        Tensors(tmp_path)
