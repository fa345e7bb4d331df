"""Chat templates as model folders bring them."""

import pytest

from coral.engine.template import ChatTemplate
from coral.errors import ConfigError, Rejected
from coral.types import Message, Role

MESSAGES = (Message(Role.USER, "<b>né"), Message(Role.ASSISTANT, "hi"))


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{% for m in messages %}{{ m['role'] }}:{{ m.content }};{% endfor %}", "user:<b>né;assistant:hi;"),
        ("{% generation %}{{ messages[1].content }}{% endgeneration %}!", "hi!"),
        ("{%- if add_generation_prompt %}A{% endif -%}\n", "A"),
        ("{% if true %}\nx\n{% endif %}\ny", "x\ny"),
        ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
        ("{{ messages[0] | tojson }}", '{"role": "user", "content": "<b>né"}'),
        ("{% for m in messages %}{% if loop.index0 %}{% break %}{% endif %}{{ m.role }}{% endfor %}", "user"),
        ("{{ strftime_now('%%') }}{{ thinking }}", "%True"),
        ("{{ missing or 'default' }}", "default"),
    ],
    ids=[
        "messages are mappings",
        "the trainers' mark renders its body",
        "a reply is asked for",
        "blocks take their line",
        "marks are known",
        "tojson escapes no HTML",
        "loop controls",
        "date and own options",
        "unset variables are false",
    ],
)
def test_what_templates_use_is_there(source, text):
    """The dialect of published chat templates renders as in transformers."""
    template = ChatTemplate(source, bos_token="<s>", eos_token="</s>", where="folder")
    assert template.render(MESSAGES, {"thinking": True}) == text


@pytest.mark.parametrize(
    "source",
    ["{{ raise_exception('roles must alternate') }}", "{{ messages[0].content + 1 }}", "{{ x.y.z }}"],
    ids=["its own refusal", "it cannot compute", "it needs a variable"],
)
def test_a_template_that_refuses_rejects_the_request(source):
    """A refusal by the template is the request's failure, not a crash."""
    with pytest.raises(Rejected, match=r"chat template (refuses|fails)") as caught:
        ChatTemplate(source, bos_token="", eos_token="", where="folder").render(MESSAGES, {})
    assert caught.value.status == 400


def test_a_template_cannot_leave_its_sandbox():
    """A downloaded template is foreign code: it reaches no Python objects."""
    source = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(Rejected):
        ChatTemplate(source, bos_token="", eos_token="", where="folder").render(MESSAGES, {})


def test_a_broken_template_is_named():
    """A syntax error is reported with folder and line when the model is opened."""
    with pytest.raises(ConfigError, match="folder: the chat template is broken in line 2"):
        ChatTemplate("\n{% for %}", bos_token="", eos_token="", where="folder")
