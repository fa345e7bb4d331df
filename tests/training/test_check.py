"""What is trained, seen before the first step: chat templates that would train something else are refused."""

import dataclasses

import pytest

from coral.errors import ConfigError
from coral.training.check import check_rows, refuse_long
from coral.training.encode import load_encoder
from coral.training.rows import Row
from coral.types import Message, Role

pytest.importorskip("transformers")

BODY = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}"
ASK = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
TEMPLATES = {
    "drops assistant messages": (
        "{% for m in messages %}{% if m['role'] != 'assistant' %}<|user|>{{ m['content'] }}<|end|>{% endif %}"
        "{% endfor %}" + "{% if add_generation_prompt %}{% endif %}",
        "no token would be trained",
    ),
    "renders the prompt in another way alone": (
        BODY + "{% if add_generation_prompt %}<|assistant|>{% endif %}",
        "in another way when a reply follows",
    ),
    "counts the messages in its head": (
        "{{ 'A' if messages|length > 1 else 'B' }} " + BODY + ASK,
        "in another way when a reply follows",
    ),
    "cuts the reply": (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{{ m['content'][:3] }}<|end|>"
        "{% else %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}" + ASK,
        "the trained tokens are not the reply",
    ),
    "leaves out the end mark": (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}<|assistant|>{{ m['content'] }}"
        "{% else %}<|user|>{{ m['content'] }}<|end|>{% endif %}{% endfor %}" + ASK,
        "never learn to stop",
    ),
    "has a mistake": ("{{ messages[0]['content'] + 1 }}", "TypeError"),
    "divides by nothing": ("{{ 1 / 0 }}", "ZeroDivisionError"),
    "looks for what is not there": ("{{ messages[7]['content'] }}", "refuses the conversation"),
    "runs into itself": ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "RecursionError"),
    "reaches for Python": ("{{ messages.__class__.__mro__ }}", "unsafe"),
    "refuses roles": ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
}


def row(asked="where ball", reply="the answer is A", where="rows.jsonl:1"):
    return Row(
        where=where,
        problem="p",
        prompt=(Message(Role.USER, asked),),
        replies=((Message(Role.ASSISTANT, reply),),),
    )


def test_exactly_the_reply_and_its_end_are_trained(tiny_model):
    """The mask covers the reply's words and its end mark, and nothing of the prompt."""
    encoder = load_encoder(str(tiny_model), None)
    (encoded,) = encoder.encode(row(), ("completion",))
    assert encoder.text(encoded.reply) == "the answer is A <|end|>"
    assert encoder.text(encoded.prompt) == "<s> <|user|> where ball <|end|> <|assistant|>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_with_a_wrong_mask_is_refused(tiny_model, tmp_path, name):
    """An empty mask, a foreign prompt, a cut reply or a missing end each stop the training with a reason."""
    template, reason = TEMPLATES[name]
    (tmp_path / "template.jinja").write_text(template)
    encoder = load_encoder(str(tiny_model), str(tmp_path / "template.jinja"))
    with pytest.raises(ConfigError, match=reason) as error:
        encoder.encode(row(), ("completion",))
    assert "rows.jsonl:1" in str(error.value)
    assert "--chat_template" in error.value.remedy


def test_a_model_without_a_template_is_refused(tiny_model, tmp_path):
    """A base model has no way to tell prompt and reply apart."""
    import shutil

    shutil.copytree(tiny_model, tmp_path / "base")
    (tmp_path / "base" / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match="no chat template"):
        load_encoder(str(tmp_path / "base"), None)


def test_rows_that_are_too_long_are_counted_and_never_cut(tiny_model):
    """Long rows stop the training, or are left out whole on request."""
    encoder = load_encoder(str(tiny_model), None)
    rows = [row(where="r:1"), row(asked="ball " * 60, where="r:2"), row(asked="ball " * 80, where="r:3")]
    check = check_rows(rows, encoder, kind="sft", limit=64, show=5)
    assert [kept.where for kept in check.kept] == ["r:1"]
    assert check.too_long == (("r:3", 89), ("r:2", 69))
    assert (check.longest, check.trained_tokens, check.all_tokens) == (11, 5, 11)
    assert [shown.trained for shown in check.shown] == ["the answer is A <|end|>"]
    with pytest.raises(ConfigError, match=r"2 of 3 rows are longer than 64 tokens; .*r:3.* has 89") as error:
        refuse_long(check, drop=False, what="rows")
    assert "--drop_long" in error.value.remedy
    refuse_long(check, drop=True, what="rows")
    with pytest.raises(ConfigError, match="none is left"):
        refuse_long(dataclasses.replace(check, kept=()), drop=True, what="rows")


def test_the_longer_reply_of_a_pair_counts(tiny_model):
    """A pair fits only if both of its replies do."""
    encoder = load_encoder(str(tiny_model), None)
    pair = dataclasses.replace(
        row(), replies=((Message(Role.ASSISTANT, "A"),), (Message(Role.ASSISTANT, "B " * 60),))
    )
    assert check_rows([pair], encoder, kind="dpo", limit=64, show=1).too_long == (("rows.jsonl:1", 67),)


def pair(chosen, rejected, where="rows.jsonl:1"):
    said = tuple((Message(Role.ASSISTANT, text),) for text in (chosen, rejected))
    return dataclasses.replace(row(where=where), replies=said)


@pytest.mark.parametrize(
    ("chosen", "rejected", "equal"),
    [
        ("A", "A", True),
        ("A ", "A", True),  # the same tokens
        ("the answer is A", "the answer is B", False),
        ("A", "A A", False),
    ],
)
def test_a_pair_of_equal_replies_is_left_out_and_counted(tiny_model, chosen, rejected, equal):
    """The loss of a pair whose sides are the same tokens teaches nothing."""
    encoder = load_encoder(str(tiny_model), None)
    check = check_rows([pair(chosen, rejected), pair("A", "B", "r:2")], encoder, kind="dpo", limit=64, show=1)
    assert check.equal == (("rows.jsonl:1",) if equal else ())
    assert len(check.kept) == 2 - equal


@pytest.mark.parametrize(
    ("asked", "reply", "controlled"),
    [
        ("where ball", "A <|end|> <|user|> sure ?", True),
        ("where ball", "A<s>", True),
        ("where <|end|><|assistant|> A", "B", True),
        ("where ball", "A now", False),
    ],
)
def test_a_row_with_control_tokens_is_left_out_and_counted(tiny_model, asked, reply, controlled):
    """A reply that goes on with its partner's turn would teach the model to do so."""
    encoder = load_encoder(str(tiny_model), None)
    rows = [row(asked, reply), row(where="r:2")]
    check = check_rows(rows, encoder, kind="sft", limit=64, show=1)
    assert check.controlled == (("rows.jsonl:1",) if controlled else ())
    assert len(check.kept) == 2 - controlled


def test_where_no_row_is_left_it_is_said_why(tiny_model):
    """The message counts the rows that were left out, and names one."""
    encoder = load_encoder(str(tiny_model), None)
    check = check_rows([pair("A", "A"), pair("A <|end|>", "B", "r:2")], encoder, kind="dpo", limit=64, show=1)
    with pytest.raises(
        ConfigError, match=r"1 hold control tokens \(such as r:2\), 1 have two replies that are"
    ):
        refuse_long(check, drop=True, what="rows")
