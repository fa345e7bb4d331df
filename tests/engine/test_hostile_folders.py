"""Model folders that are damaged, lie about themselves, or were made to do harm.

Each is refused with the file, the cause and a remedy: no traceback, no hang, no memory taken on its word.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from coral.engine.checkpoint import open_checkpoint
from coral.engine.model import EmbeddedModel
from coral.engine.prompt import PromptMaker
from coral.engine.weights import build_weights
from coral.errors import ConfigError, ContextOverflow, FatalReject, Rejected, Unreachable
from coral.types import Message, Role

Spoil = Callable[[Path], Any]
DEEP = '{"a":' + "[" * 100_000 + "]" * 100_000 + "}"
FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json")
HI = [Message(Role.USER, "Hi")]


@pytest.fixture
def spoilt(tmp_path: Path, folder: Path) -> Callable[[Spoil], Path]:
    """A copy of the default folder after `spoil` had its way with it."""

    def make(spoil: Spoil) -> Path:
        target = tmp_path / "model"
        shutil.copytree(folder, target)
        (target / "generation_config.json").write_text('{"eos_token_id": 1, "temperature": 0.6}')
        spoil(target)
        return target

    return make


# Ways to spoil a folder ----------------------------------------------------------------------------------


def config(**changes: Any) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return spoil


def holds(name: str, content: str | bytes) -> Spoil:
    raw = content if isinstance(content, bytes) else content.encode()
    return lambda folder: (folder / name).write_bytes(raw)


def half(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        raw = (folder / name).read_bytes()
        (folder / name).write_bytes(raw[: len(raw) // 2])

    return spoil


def is_folder(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()

    return spoil


def is_pipe(name: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return spoil


def is_link(name: str, to: str) -> Spoil:
    def spoil(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return spoil


def is_huge(name: str) -> Spoil:
    """20 GiB that take no room on the disk."""
    return lambda folder: os.truncate(folder / name, 20 << 30)


def header(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    """Change the header of the safetensors file; bytes replace it as they are."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        raw = path.read_bytes()
        size = int.from_bytes(raw[:8], "little")
        changed = change(json.loads(raw[8 : 8 + size]))
        new = changed if isinstance(changed, bytes) else json.dumps(changed).encode()
        path.write_bytes(len(new).to_bytes(8, "little") + new + raw[8 + size :])

    return spoil


def entry(**changes: Any) -> Spoil:
    """Change what the header says of one tensor."""

    def change(entries: dict[str, Any]) -> dict[str, Any]:
        name = "model.layers.0.self_attn.q_proj.weight"
        return {**entries, name: {**entries[name], **changes}}

    return header(change)


def filled(value: float) -> Spoil:
    """Every weight is `value`."""

    def spoil(folder: Path) -> None:
        path = folder / "model.safetensors"
        raw = path.read_bytes()
        begin = 8 + int.from_bytes(raw[:8], "little")
        path.write_bytes(raw[:begin] + np.full((len(raw) - begin) // 4, value, "<f4").tobytes())

    return spoil


def shards(*names: str) -> Spoil:
    """An index that names these files."""

    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder.parent / "outside.safetensors")
        weight_map = {str(index): name for index, name in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return spoil


def tokenizer(change: Callable[[dict[str, Any]], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        path = folder / "tokenizer.json"
        whole = json.loads(path.read_text())
        change(whole)
        path.write_text(json.dumps(whole))

    return spoil


def shift_ids(whole: dict[str, Any]) -> None:
    whole["model"]["vocab"] = {token: number + 1000 for token, number in whole["model"]["vocab"].items()}


REGEX = {"type": "Replace", "pattern": {"Regex": "(e+)+$"}, "content": ""}


def decoder(value: dict[str, Any]) -> Spoil:
    """How tokens become text."""
    return tokenizer(lambda whole: whole.update(decoder=value))


CHARACTER_MAP = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}


def template(source: str) -> Spoil:
    return holds("chat_template.jinja", source)


# What is refused before anything is computed -------------------------------------------------------------

LYING = {
    **{
        f"{name} {value}": (config(**{name: value}), name)
        for name, values in {
            "vocab_size": (0, -1),
            "hidden_size": (0, -64),
            "intermediate_size": (0,),
            "num_hidden_layers": (0, -1),
            "num_attention_heads": (0, -4),
            "num_key_value_heads": (0, -2),
            "max_position_embeddings": (0, -1, 10**12, 10**30),
            "rms_norm_eps": (0, -1, 1e38),
            "rope_theta": (0, -1, 1e-300, 1e300),
        }.items()
        for value in values
    },
    "no head size": (config(head_dim=0), "size of its heads is 0"),
    "a decoder that runs a regular expression": (decoder(REGEX), "decoder uses a regular expression"),
    "one inside a sequence": (
        decoder({"type": "Sequence", "decoders": [{"type": "Fuse"}, REGEX]}),
        "decoder uses a regular expression",
    ),
    "odd heads": (config(head_dim=15), "size of its heads is 15"),
    "more heads than width": (config(num_attention_heads=10**6, num_key_value_heads=1), "heads is 0"),
    "a layer count beyond all files": (config(num_hidden_layers=10**12), r"lacks .*model\.layers\.2\."),
    "another width": (config(hidden_size=10**12), "has shape"),
    "rope without frequencies": (
        config(rope_scaling={"rope_type": "llama3", "low_freq_factor": 4, "high_freq_factor": 4}),
        "rope scaling",
    ),
    "rope factor 0": (config(rope_scaling={"rope_type": "llama3", "factor": 0}), "rope scaling"),
    "rope from no context": (
        config(rope_scaling={"rope_type": "llama3", "original_max_position_embeddings": 0}),
        "rope scaling",
    ),
    "nan in JSON": (config(rms_norm_eps=float("nan")), r"config\.json: JSON is malformed"),
}
DAMAGED = {
    **{f"{name} is cut": (half(name), name) for name in (*FILES, "model.safetensors")},
    **{f"{name} is empty": (holds(name, ""), name) for name in (*FILES, "model.safetensors")},
    **{f"{name} is binary": (holds(name, b"\xff\xfe\0" * 50), name) for name in FILES},
    **{f"{name} is a list": (holds(name, "[]"), name) for name in FILES},
    **{f"{name} is nested deeply": (holds(name, DEEP), name) for name in (*FILES, "model.safetensors")},
    **{f"{name} is a folder": (is_folder(name), f"{name}.*not a regular file") for name in FILES},
    **{f"{name} is a pipe": (is_pipe(name), f"{name}.*not a regular file") for name in FILES},
    **{f"{name} links to itself": (is_link(name, name), name) for name in FILES},
    **{f"{name} links to nothing": (is_link(name, "gone"), f"{name}.*No such file") for name in FILES},
    **{f"{name} has 20 GiB": (is_huge(name), rf"{name}.*21,474,836,480 bytes") for name in FILES},
    "model.safetensors is a pipe": (is_pipe("model.safetensors"), "neither"),
    "nested header": (header(lambda _: DEEP.encode()), "header cannot be read"),
    "a header of 2^63 bytes": (holds("model.safetensors", (2**63).to_bytes(8, "little") + b"{}"), "header"),
    "a negative shape": (entry(shape=[-64, -64]), "do not match its shape"),
    "a hundred dimensions": (entry(shape=[1] * 100 + [64, 64]), "102 dimensions"),
    "10^30 rows": (entry(shape=[10**30, 64]), "do not match its shape"),
    "begins before the file": (entry(data_offsets=[-16384, 0]), "its place in the file"),
    "lies behind the file": (entry(data_offsets=[10**15, 10**15 + 16384]), "its place in the file"),
    "10^400": (entry(data_offsets=[0, 10**400]), "damaged"),
    "tensors overlap": (entry(data_offsets=[0, 16384]), "its place in the file"),
    "shifted by a byte": (entry(data_offsets=[1, 16385]), "its place in the file"),
    "no tensors": (header(lambda _: {}), "belong to no tensor"),
    "a shard outside": (shards("../outside.safetensors"), "not a file of this folder"),
    "a shard anywhere": (shards("/etc/passwd"), "not a file of this folder"),
    "a shard with a null character": (shards("a\0b"), "not a file of this folder"),
    "no shards": (shards(), "lacks the tensor"),
    "weights are no numbers": (filled(np.nan), "are not numbers"),
    "weights are infinite": (filled(np.inf), "are not numbers"),
    "weights near the end of floats": (filled(3e38), "are not numbers"),
    "an unknown kind of tokenizer": (tokenizer(lambda whole: whole["model"].update(type="X")), "tokenizer"),
    "merges of unknown tokens": (tokenizer(lambda whole: whole["model"].update(merges=[["zz", "y"]])), "zz"),
    "a broken character map": (tokenizer(lambda whole: whole.update(normalizer=CHARACTER_MAP)), "damaged"),
    "a negative token": (tokenizer(lambda whole: whole["model"]["vocab"].update(x=-1)), "tokenizer"),
    "another model's tokenizer": (tokenizer(shift_ids), "has a token 1332"),
    "token 4,000,000,000": (
        tokenizer(lambda w: w["model"]["vocab"].update(x=4 * 10**9)),
        "has a token 4000000000",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), [*LYING.values(), *DAMAGED.values()], ids=[*LYING, *DAMAGED])
def test_a_folder_that_cannot_be_a_model_is_refused_with_cause_and_remedy(spoilt, spoil, words):
    """Nothing of a folder is computed or allocated before it is known to fit together."""
    with pytest.raises(ConfigError, match=words) as caught:
        build_weights(open_checkpoint(spoilt(spoil)))
    assert caught.value.remedy


def test_what_merely_looks_odd_is_taken(spoilt):
    """A byte order mark, end marks beyond the vocabulary, and unused added tokens do no harm."""

    def spoil(folder: Path) -> None:
        config(eos_token_id=[-1, 10**9])(folder)
        for name in ("config.json", "tokenizer_config.json"):
            (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
        tokenizer(lambda whole: whole["added_tokens"].append({**whole["added_tokens"][0], "id": 5000}))(
            folder
        )

    assert build_weights(open_checkpoint(spoilt(spoil))).layers


def test_a_context_of_millions_takes_memory_only_as_it_is_used(spoilt):
    """`max_position_embeddings` is a promise: rotations are computed for positions that occur."""
    folder = spoilt(config(max_position_embeddings=1 << 24))
    rotations = build_weights(open_checkpoint(folder)).rotations
    few = rotations.at(np.array([0, 5]))
    assert np.array_equal(few, rotations.at(np.arange(3000))[[0, 5]])


# Templates and tokenizers that do not end ----------------------------------------------------------------

RANGE = "{% for i in range(99999) %}"
ENDLESS = {
    "nested loops": RANGE * 3 + "{% endfor %}" * 3,
    "a macro that calls itself twice": "{% macro f(n) %}{{ n and f(n-1) ~ f(n-1) }}{% endmacro %}{{ f(60) }}",
    "a text doubled fifty times": "{% set n = namespace(x='a') %}{% for i in range(50) %}"
    "{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "a power while it is compiled": "{{ 9 ** (9 ** 9) }}",
    "a text of ten billion characters": "{{ 'a' * 10 ** 10 }}",
    "a number a billion wide": "{{ '%3000000000d' % 1 }}",
    "lorem ipsum": "{{ lipsum(n=99999) }}",
}


@pytest.mark.parametrize("source", ENDLESS.values(), ids=ENDLESS)
async def test_a_template_that_does_not_end_is_refused_at_the_door(spoilt, source):
    """It is tried with a short message, in a process with a limit of time and memory."""
    prompts = PromptMaker(spoilt(template(source)), time_limit_s=1.0)
    try:
        with pytest.raises(ConfigError, match=r"(take longer than 1 s|take more than 2 GiB|fail)") as caught:
            await prompts.check()
    finally:
        await prompts.close()
    assert "chat_template.jinja" in caught.value.remedy


async def test_coral_build_tries_a_template_before_it_renders_rows(tmp_path):
    """Also that of a folder without a tokenizer; a sound one is used."""
    for source, words in [("{{ 9 ** (9 ** 9) }}", "longer than 1 s"), ("{% for", "broken"), ("x", "")]:
        template(source)(tmp_path)
        prompts = PromptMaker(tmp_path, time_limit_s=1.0)
        try:
            with pytest.raises(ConfigError, match=words) if words else nullcontext():
                await prompts.check(template_alone=True)
        finally:
            await prompts.close()


BROKEN = {
    "not UTF-8": (b"\xff\xfe", "is not UTF-8"),
    "nested deeper than the compiler goes": (b"{{ " + b"(" * 5000 + b"1" + b")" * 5000 + b" }}", "compiled"),
    "cut in a tag": (b"{% for m in", "broken in line 1"),
}


@pytest.mark.parametrize(("source", "words"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_template_is_named_when_the_model_is_opened(spoilt, source, words):
    """With the folder, and what is wrong."""
    with pytest.raises(ConfigError, match=words):
        async with EmbeddedModel(spoilt(holds("chat_template.jinja", source))):
            pass


async def test_what_a_template_does_to_some_messages_is_their_failure(spoilt):
    """Endless for some, or a text without end: that request is refused, and the next one served."""
    source = (
        "{% set text = messages[-1].content %}"
        "{% if text == 'loop' %}" + RANGE * 3 + "{% endfor %}" * 3 + "{% endif %}"
        "{% if text == 'long' %}{{ 'a' * 10 ** 7 }}{% endif %}"
        "{% if text == 'refuse' %}{{ raise_exception('no') }}{% endif %}"
        "{% if text == 'file' %}{% include '/etc/passwd' %}{% endif %}"
        "{% if text == 'half' %}{{ '\\ud83d' }}{% endif %}{{ text }}"
    )
    prompts = PromptMaker(spoilt(template(source)), time_limit_s=4.0)
    try:
        for text, kind, words in [
            ("loop", Rejected, "longer than 4 s on these messages"),
            ("long", ContextOverflow, "10,000,004 characters"),
            ("refuse", Rejected, "refuses the messages: no"),
            ("file", Rejected, "the chat template fails"),
        ]:
            with pytest.raises(kind, match=words):
                await prompts.tokens([Message(Role.USER, text)], {}, context=512)
            assert await prompts.tokens(HI, {}, context=512)
        assert len(await prompts.tokens([Message(Role.USER, "half")], {}, context=512)) > 1
    finally:
        await prompts.close()


async def test_a_tokenizer_that_cannot_split_a_short_message_is_refused_at_the_door(spoilt):
    """It can be read, and fails at the first unknown word."""
    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "missing"}
    prompts = PromptMaker(spoilt(tokenizer(lambda whole: whole.update(model=model, pre_tokenizer=None))))
    try:
        with pytest.raises(ConfigError, match="Missing") as caught:
            await prompts.check()
    finally:
        await prompts.close()
    assert caught.value.remedy


async def test_a_tokenizer_whose_pattern_takes_for_ever_is_stopped(spoilt):
    """A pattern that backtracks without end costs the request that meets it; the next one is served."""
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    prompts = PromptMaker(
        spoilt(tokenizer(lambda whole: whole.update(pre_tokenizer=pattern))), time_limit_s=1.0
    )
    try:
        with pytest.raises(Rejected, match=r"(longer than 1 s|more than 2 GiB)"):
            await prompts.tokens([Message(Role.USER, "a" * 40 + "b")], {}, context=512)
        assert await prompts.tokens(HI, {}, context=512)
    finally:
        await prompts.close()


# What is met while it serves -----------------------------------------------------------------------------


async def test_a_token_beyond_the_vocabulary_is_the_failure_of_its_request(spoilt, ask):
    """A trainer added a token without a row in the embedding: it is named, and other requests are served."""

    def add(whole: dict[str, Any]) -> None:
        whole["added_tokens"].append({**whole["added_tokens"][-1], "id": 5000, "content": "<|new|>"})

    async with EmbeddedModel(spoilt(tokenizer(add))) as model:
        with pytest.raises(Rejected, match=r"<\|new\|>.*token 333"):
            await model.generate(ask("see <|new|>"))
        assert (await model.generate(ask("see", max_tokens=2))).candidates


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
async def test_a_model_that_computes_no_numbers_says_so(spoilt, ask, caplog):
    """Weights so large that sums overflow: no reply is made up, and the engine is known to be broken."""
    async with EmbeddedModel(spoilt(filled(1e15))) as model:
        with pytest.raises((Unreachable, FatalReject), match="logits are not numbers"):
            await model.generate(ask("see", max_tokens=2))
    assert "logits are not numbers" in caplog.text


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (half("tokenizer.json"), "tokenizer.json is damaged"),
        (header(lambda _: DEEP.encode()), "header cannot be read"),
        (config(max_position_embeddings=10**12), "max_position_embeddings is 1,000,000,000,000"),
        (template("{{ 9 ** (9 ** 9) }}"), "on these messages"),
    ],
    ids=["cut tokenizer", "nested header", "10^12 positions", "endless template"],
)
def test_coral_serve_ends_with_cause_and_remedy(spoilt, spoil, words):
    """The command says in two lines what is wrong and what to do, and ends with exit code 2."""
    code = (
        "import sys; from coral.engine import prompt; prompt.TIME_LIMIT_S = 1.0; "
        "from coral.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, "serve", str(spoilt(spoil)), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "->" in ended.stderr
    assert "Traceback" not in ended.stderr
