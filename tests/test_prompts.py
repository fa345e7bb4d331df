"""Prompts: templates that come from others reach nothing but what they are given."""

import ast
import json
from pathlib import Path

import pytest

import coral
from coral import prompts, tasks
from coral.engine.template import ChatTemplate
from coral.errors import ConfigError, CoralError, Notice
from coral.evaluation.config import AgentConfig, EvalConfig
from coral.evaluation.plan import check_agents, open_plan
from coral.types import Message, Role

REACH = "os.popen('touch PATH').read()"
ATTACKS = [
    "{{ cycler.__init__.__globals__." + REACH + " }}",
    "{{ joiner.__init__.__globals__." + REACH + " }}",
    "{{ namespace.__init__.__globals__." + REACH + " }}",
    "{{ lipsum.__globals__['os'].popen('touch PATH').read() }}",
    "{{ lipsum.__globals__." + REACH + " }}",
    "{{ self.__init__.__globals__.__builtins__.__import__('os').system('touch PATH') }}",
    "{{ self._TemplateReference__context.cycler.__init__.__globals__." + REACH + " }}",
    "{{ instruction.__class__.__mro__[1].__subclasses__() }}",
    "{{ ''['__cl' + 'ass__'].__base__.__subclasses__() }}",
    "{{ ''|attr('__class__')|attr('__mro__') }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ ('{0.__class__.__mro__}'|attr('format'))('') }}",
    "{% set f = '{0.__class__.__init__.__globals__}'.format %}{{ f(cycler) }}",
    "{{ [''].__class__.__base__.__subclasses__() }}",
    "{{ (1).__class__.__base__ }}",
    "{% for key, value in dict(a=1).__class__.__dict__.items() %}{{ key }}{% endfor %}",
    "{{ instruction.encode.__self__.__class__ }}",
    "{{ (lambda: 1)() }}",
    "{% import 'os' as os %}{{ os }}",
    "{% include '/etc/hostname' %}",
    "{% extends '/etc/hostname' %}",
]


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("how", ["prompt", "chat template"])
def test_no_template_reaches_python(attack, how, tmp_path):
    """A prompt library, a config file or a checkpoint that tries it is refused; nothing runs or is told."""
    trace = tmp_path / "ran"
    source = attack.replace("PATH", str(trace))
    try:
        if how == "prompt":
            said = prompts.render(source, instruction="Answer: (X)")
        else:
            template = ChatTemplate(source, bos_token="", eos_token="", where="here")
            said = template.render([Message(Role.USER, "hello")], {"instruction": "Answer"})
    except CoralError:
        said = ""
    assert not trace.exists()
    for told in ("class '", "subclass", "built-in", "root", "mappingproxy", "__builtins__"):
        assert told not in said


@pytest.mark.parametrize(
    "change", ["{% do x.append(1) %}", "{{ x.append(1) }}", "{{ x.clear() }}", "{{ x.__setitem__(0, 1) }}"]
)
def test_a_template_changes_nothing_it_is_given(change):
    """What it is given belongs to the run."""
    given = [1]
    with pytest.raises(ConfigError):
        prompts.render(change, x=given)
    assert given == [1]


@pytest.mark.parametrize(
    "mistake",
    ["{{ 1 / 0 }}", "{{ 1 + '' }}", "{{ instruction.nothing }}", "{{ [][3] }}", "{{ range(10**9) }}", "{{ x",
     "{{ instruction | nothing }}", "{{ 'a' * -1 % 0 }}", "{% include 'x' %}",
     "{{ " + "(" * 400 + ")" * 400 + " }}"],
)  # fmt: skip
def test_a_mistake_in_a_template_is_told(mistake):
    """Whatever a template's own mistake raises becomes a message with a remedy."""
    with pytest.raises(ConfigError, match="template") as caught:
        prompts.render(mistake, instruction="x")
    assert caught.value.remedy


def test_one_place_builds_environments():
    """Any other environment could be built without the sandbox."""
    for path in Path(coral.__file__).parent.rglob("*.py"):
        names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}
        attributes = {
            node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)
        }
        built = (names | attributes) & {
            "Environment",
            "SandboxedEnvironment",
            "ImmutableSandboxedEnvironment",
        }
        assert not built or path.name == "sandbox.py", path


LIBRARIES = [
    (b"[]", "a list"),
    (b"{", "cut off"),
    (b'{"a": 1}', "a number"),
    (b'{"a": {"template": "x"}}', "another field"),
    (b'{"a": {"template_str": 5}}', "a number as template"),
    (b'{"a": ' + b"[" * 3000 + b"]" * 3000 + b"}", "nested deep"),
    (b"\xff\xfe{}", "not UTF-8"),
    (b"", "empty"),
]


@pytest.mark.parametrize(("content", "reason"), LIBRARIES, ids=[row[1] for row in LIBRARIES])
def test_a_file_that_is_not_a_library_is_named(tmp_path, content, reason):
    """The message names the file, and the form that it should have."""
    path = tmp_path / "library.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"library\.json") as caught:
        prompts.load_library(str(path))
    assert "template_str" in caught.value.remedy, reason


def test_a_byte_order_mark_is_read_over(tmp_path):
    """Editors on Windows write one."""
    path = tmp_path / "library.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": {"template_str": "x", "description": "y"}}).encode())
    assert prompts.load_library(str(path)) == {"a": "x"}


def test_a_text_can_be_a_files(tmp_path, monkeypatch):
    """`@FILE` is what the file holds, whatever is in it; `@@` is a text that begins with `@`."""
    (tmp_path / "sys.txt").write_text("# Rules\n\n- be brief\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert prompts.text_or_file("@sys.txt", "--x") == "# Rules\n\n- be brief"
    assert prompts.text_or_file("@@all: be brief", "--x") == "@all: be brief"
    assert prompts.text_or_file("Be brief.", "--x") == "Be brief."
    with pytest.warns(Notice, match="@sys.txt reads it"):
        assert prompts.text_or_file("sys.txt", "--x") == "sys.txt"
    for name in ("no.txt", ".", "a\0b", "x" * 5000):
        with pytest.raises(ConfigError, match="--x: cannot read"):
            prompts.text_or_file(f"@{name}", "--x")


@pytest.mark.parametrize(
    ("partner", "said"),
    [({}, ["agent"]), ({"model": "other"}, ["agent"]), ({"system_prompt": "else.txt"}, ["agent", "partner"])],
)
def test_a_prompt_of_both_agents_is_remarked_in_one_text(tmp_path, monkeypatch, partner, said):
    """The partner has the agent's prompt where it has none of its own: it was named once, and a text that is
    the same is shown once.
    """
    monkeypatch.chdir(tmp_path)
    for name in ("sys.txt", "else.txt"):
        (tmp_path / name).write_text("be brief")
    config = EvalConfig(
        task={"name": "sally_anne"}, agent=AgentConfig(system_prompt="sys.txt"), partner=partner
    )
    with pytest.warns(Notice) as caught:
        check_agents(config, tasks.load("sally_anne"))
    remarks = dict.fromkeys(str(one.message) for one in caught)
    assert [one.split(".")[0].removeprefix("--") for one in remarks] == said


@pytest.mark.parametrize(
    ("template", "sent"),
    [
        ("Be brief.", "Be brief.\n\n{form}"),
        ("{{ instruction }} Be brief.", "{form} Be brief."),
        ("{% if 1 %}{{ task_specific_inst }}{% endif %}", "{form}"),
        ("The word instruction is no instruction.", "The word instruction is no instruction.\n\n{form}"),
        ("", ""),
    ],
)
def test_a_prompt_of_ones_own_keeps_the_form_of_answers(template, sent, tmp_path):
    """Unless it places the instruction, it stands below; nothing at all stays nothing."""
    config = EvalConfig(
        task={"name": "sally_anne"},
        agent=AgentConfig(model="m", system_prompt=template),
        output=str(tmp_path),
    )
    with open_plan(config) as plan:
        assert plan.systems["agent"] == sent.format(form=plan.task.instruction)
