"""The tokens that the page marks are those that a training learns from."""

import shutil
from importlib import resources
from pathlib import Path

import pytest

import coral
from coral import workers
from coral.store.folder import RunFolder
from coral.training.tokens import encode, folder_of
from coral.viewer.index import RunIndex
from coral.viewer.lessons import lessons

TINY = Path(str(resources.files("coral"))) / "assets" / "tiny"
PROMPT = [("system", "You are Ann."), ("user", "Where is the ball?")]
REPLIES = [
    "It is in the box (C).\nAnswer: (C)",
    "",
    "naïve café, 日本語, 🌍, e\u0301\n\n\tand \u202e so on",
    "<|end|> within",
]
KEEPS_HEADS = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
TEMPLATES = {
    "its own": None,
    "with a line behind the mark": KEEPS_HEADS.replace("<|end|>", "<|end|>\n")
    + "{% if add_generation_prompt %}<|assistant|>{% endif %}",
    "trims": KEEPS_HEADS.replace("m.content }}", "m.content | trim }}")
    + "{% if add_generation_prompt %}<|assistant|>{% endif %}",
}


def folder(path, template=None):
    """The tiny model's tokenizer, with another template."""
    shutil.copytree(TINY, path)
    if template is not None:
        (path / "chat_template.jinja").write_text(template)
    return path


@pytest.mark.parametrize("template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_tokens_are_those_of_the_trainers(template, tmp_path):
    """Prompt and reply, to the number; and the boxes hold the text, whole."""
    transformers = pytest.importorskip("transformers")
    place = folder(tmp_path / "model", template)
    theirs = transformers.AutoTokenizer.from_pretrained(str(place))

    def ids(said, *, generate):
        plain = [{"role": role, "content": content} for role, content in said]
        return list(
            theirs.apply_chat_template(
                plain, tokenize=True, return_dict=True, add_generation_prompt=generate
            )["input_ids"]
        )

    [row] = encode(str(place), [(PROMPT, [[("assistant", reply)] for reply in REPLIES])])
    prompt = ids(PROMPT, generate=True)
    assert row["prompt"] == len(prompt)
    for reply, found in zip(REPLIES, row["replies"], strict=True):
        wanted = ids([*PROMPT, ("assistant", reply)], generate=False)[len(prompt) :]
        assert [number for _, numbers, _ in found["pieces"] for number in numbers] == wanted
        assert found["count"] == len(wanted)
        whole = "".join(text for text, _, _ in found["pieces"])
        assert whole.startswith(reply.strip())
        assert any(mark for *_, mark in found["pieces"])


REFUSED = [
    (KEEPS_HEADS, "another way when a reply follows"),
    ("{{ raise_exception('no system') }}", "no system"),
    ("{% for m in", "is broken"),
]


@pytest.mark.parametrize(("template", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_a_training_would_refuse_is_said(template, why, tmp_path):
    """In place of tokens that nobody trains."""
    template = template if template != KEEPS_HEADS else KEEPS_HEADS + (
        "{% if add_generation_prompt %}<|user|>{% endif %}"
    )  # fmt: skip
    [row] = encode(str(folder(tmp_path / "model", template)), [(PROMPT, [[("assistant", "Yes.")]])])
    assert why in row["why"]


def test_a_tokenizer_is_looked_for_on_this_machine_alone(tmp_path, monkeypatch):
    """The model's own folder, the model in the package, or what the hub's cache has."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert folder_of(str(TINY)) == TINY
    assert folder_of("tiny (embedded)") == TINY
    (tmp_path / "empty").mkdir()
    for nobody in (
        str(tmp_path / "empty"),
        "gpt-4o",
        "some/model",
        "control:wrong",
        "python:a:b",
        "human",
        "",
    ):
        assert folder_of(nobody) is None, nobody


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trees of the model in the package."""
    path = tmp_path_factory.mktemp("tokens") / "run"
    coral.sample("sally_anne", limit=2, samples=4, candidates=3, max_turns=4, split="train", output=path)
    return path


def rows_of(run, tokenizer=None):
    index = RunIndex(RunFolder(run))
    index.update()
    found = [
        row
        for conversation in coral.load_run(run).conversations()
        for row in lessons(index, conversation, {"kind": "kto"}, tokenizer)
    ]
    assert found
    return found


def test_rows_have_the_tokens_of_who_speaks_or_of_whom_one_names(run, tmp_path):
    """And of a model without a tokenizer on this machine the words, and why."""
    for row in rows_of(run):
        assert row["tokenizer"] == "tiny"
        [column] = row["trained"]
        assert "".join(text for text, *_ in column["tokens"]["pieces"]) == column["text"] + "<|end|>"
    assert {row["tokenizer"] for row in rows_of(run, folder(tmp_path / "other"))} == {"other"}
    broken = folder(tmp_path / "broken")
    (broken / "tokenizer.json").write_text("{}")
    for row in rows_of(run, broken):
        assert "damaged" in row["why"]
        assert row["trained"][0]["text"]


async def test_a_template_that_does_not_end_stops_nothing(tmp_path, monkeypatch):
    """It runs in a process that is ended."""
    from coral.training import tokens

    monkeypatch.setattr(tokens, "TIME_LIMIT_S", 0.5)
    endless = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    async with workers.in_use():
        place = folder(tmp_path / "model", endless)
        found = await tokens.trained(place, [(PROMPT, [[("assistant", "Yes.")]])])
    assert "fail" in found[0]["why"]
