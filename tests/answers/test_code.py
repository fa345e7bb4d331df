"""Which program a message submits: the last complete code block that defines the entry point."""

from __future__ import annotations

import pytest

from coral.answers import code, programs
from coral.answers.fences import blocks
from coral.answers.programs import Form
from coral.types import Answered, Unreadable, Unsure

ADD = Form(name="add")
OWN = "def add(a, b):\n    return a + b"
OTHER = "def add(a, b):\n    return b + a"
STUB = 'def add(a, b):\n    """Add two numbers."""'
BROKEN = "def add(a, b)\n    return a + b"
PROMPT = 'from typing import List\n\n\ndef add(a, b):\n    """Add two numbers."""'
BODY = Form(name="add", prompt=PROMPT)


def block(program: str, tag: str = "python", mark: str = "```") -> str:
    """A program in a code block."""
    return f"{mark}{tag}\n{program}\n{mark}"


def indented(text: str, by: str) -> str:
    """Every line behind `by`."""
    return "\n".join(by + line for line in text.split("\n"))


RUBY = "def add(a, b)\n  a + b\nend"
NO_BREAK = "\u00a0"
QUOTED = indented(block(OTHER), "> ")
SUBMITTED = {
    "a block alone": block(OWN),
    "prose around": f"Here is my idea.\n\n{block(OWN)}\n\nIt runs in constant time.",
    "no tag": block(OWN, ""),
    "tag py": block(OWN, "py"),
    "tag python3": block(OWN, "python3"),
    "tag Python": block(OWN, "Python"),
    "tag with a title": block(OWN, 'python title="add.py"'),
    "tag in braces": block(OWN, "{.python .numberLines}"),
    "a blank before the tag": block(OWN, " python"),
    "tildes": block(OWN, mark="~~~"),
    "four backticks": block(OWN, mark="````"),
    "a longer fence at the end": f"```python\n{OWN}\n`````",
    "windows line ends": block(OWN).replace("\n", "\r\n"),
    "indented in a list": "1. My program:\n\n" + indented(block(OWN), "   "),
    "indented with a tab": indented(block(OWN), "\t"),
    "the fence is indented, the code is not": f"  ```python\n{OWN}\n  ```",
    "the fence behind words": f"My answer: ```python\n{OWN}\n```",
    "a full stop behind the fence": f"```python\n{OWN}\n```.",
    "words behind the closing fence": f"```python\n{OWN}\n``` This is my answer.",
    "another language behind it, which looks like ours": f"{block(OWN)}\n\n{block(RUBY, 'ruby')}",
    "within a document, fences alike": block(f"# Answer\n\n{block(OWN)}", "markdown"),
    "within a document that does not end": f"```markdown\n# Answer\n\n{block(OWN)}",
    "within a document": block(f"# Answer\n\n{block(OWN)}", "markdown", "````"),
    "empty lines in the block": block(f"\n\n{OWN}\n\n"),
    "the later of two": f"{block(OTHER)}\n\nBetter:\n\n{block(OWN)}",
    "an example of its use behind it": f"{block(OWN)}\n\nFor example:\n\n{block('print(add(1, 2))')}",
    "its output behind it": f"{block(OWN)}\n\nThis prints:\n\n{block('3', 'text')}",
    "a shell command behind it": f"{block(OWN)}\n\nRun it:\n\n{block('python add.py', 'bash')}",
    "another language behind it": f"{block(OWN)}\n\n{block('int add(int a) { return a; }', 'java')}",
    "an unclosed block behind it": f"{block(OWN)}\n\nOr rather:\n\n```python\n{OTHER}",
    "an unclosed block before it": f"```python\n{OTHER}\n\nNo, this one:\n\n{block(OWN)}",
    "a stub behind it": f"{block(OWN)}\n\nIt fills in:\n\n"
    + block('def add(a, b):\n    """Add two numbers."""'),
    "the partner's quoted with marks, mine behind": f"{QUOTED}\n\nMine:\n\n{block(OWN)}",
    "mine, then the partner's quoted with marks": f"{block(OWN)}\n\nYours was:\n\n{QUOTED}",
    "mine, then the partner's": f"Mine:\n\n{block(OWN)}\n\nYour program:\n\n{block(OTHER)}\n\nIt fails.",
    "mine, then what the partner wrote": f"{block(OWN)}\n\nYou wrote:\n\n{block(OTHER)}\n\nThat is slower.",
    "the partner's, corrected": f"Here is your program with the bug fixed:\n\n{block(OWN)}",
    "the partner's, endorsed before": f"I agree with your program:\n\n{block(OWN)}",
    "the partner's, endorsed behind": f"Your program:\n\n{block(OWN)}\n\nThat is correct, and I submit it.",
    "the partner's, flawless": f"Your code:\n\n{block(OWN)}\n\nI found nothing wrong. I agree with it.",
    "the partner's, the same as mine": f"I tested your code:\n\n{block(OWN)}\n\nIt is identical to mine.",
    "the partner's, looks good": f"**Your code:**\n\n{block(OWN)}\n\nLooks good to me.",
    "the closing fence behind the code": f"```python\n{OWN}```\n\nDone.",
    "the fence at once behind words": f"My answer:```python\n{OWN}\n```",
    "code moved to the right": f"```python\n{indented(OWN, '  ')}\n```",
    "marked as few-shot prompts mark it": f"[BEGIN]\n{OWN}\n[DONE]",
    "marked within a fence": block(f"{OWN}\n[DONE]"),
    "within a fence that holds fences": f"````\n{block(OWN)}\n````",
    "a mark that nobody sees": block(f"\ufeff\u200b{OWN}"),
    "an indented block without a fence": f"My program:\n\n{indented(OWN, '    ')}\n\nIt adds.",
    "the partner's, submitted": f"Your code:\n\n{block(OWN)}\n\nI see nothing to add, so I'm submitting it.",
    "the partner's, works": f"Your code:\n\n{block(OWN)}\n\nworks on all examples.",
    "no fence, the partner's first": f"Your code:\n\n{OTHER}\n\nMine:\n\n{OWN}",
    "made of the partner's": f"Based on your code:\n\n{block(OWN)}",
    "the partner's way": f"Following your suggestion:\n\n{block(OWN)}",
    "the partner's, with a change": f"With your fix applied:\n\n{block(OWN)}",
    "blanks that do not break": block(OWN.replace("    ", "\u00a0 \u00a0 ")),
    "wide blanks": block(OWN.replace("    ", "\u3000" * 4)),
    "blanks that do not break, no fence": f"So:\n\n{OWN.replace('    ', NO_BREAK * 4)}\n\nIt adds.",
    "blanks that do not break before the fence": indented(block(OWN), NO_BREAK * 3),
    "marks that nobody sees within": block(OWN.replace("return", "re\u200bturn")),
    "typed in a console": block(indented(OWN, "... ").replace("... def", ">>> def") + "\n...", "pycon"),
    "typed in a notebook's console": block(f"In [1]: {OWN.replace(chr(10), chr(10) + '   ...: ')}"),
    "a notebook's commands": block(f"%%time\n!pip install x\n{OWN}"),
    "code behind the tag": f"```python {OWN}\n```",
    "no fence": OWN,
    "no fence, prose around": f"I would write it so.\n\n{OWN}\n\nThis adds both numbers.",
    "no fence, prose at once behind": f"{OWN}\nThis adds both numbers.",
}


@pytest.mark.parametrize("text", SUBMITTED.values(), ids=SUBMITTED)
def test_what_is_submitted(text: str) -> None:
    """The last complete block that defines the entry point, whatever its fence and what stands around."""
    assert code.read(text, ADD) == Answered(OWN)


NOT_SUBMITTED = {
    "nothing": "",
    "words": "I would add the two numbers.",
    "agreement alone": "I agree with your program.",
    "another function": block("def subtract(a, b):\n    return a - b"),
    "a call alone": block("print(add(1, 2))"),
    "a call in a console": block(">>> add(1, 2)\n3", "pycon"),
    "unclosed": f"```python\n{OWN}",
    "quoted with marks": f"{indented(block(OWN), '> ')}\n\nWhat does this do for strings?",
    "quoted twice": indented(block(OWN), "> > "),
    "quoted with marks, without a fence": indented(OWN, "> "),
    "the partner's, introduced": f"Your program:\n\n{block(OWN)}\n\nWhat happens for strings?",
    "the partner's, introduced by a verb": f"You wrote:\n\n{block(OWN)}\n\nI will think about it.",
    "the partner's, looked at": f"Let me see. Looking at your code:\n\n{block(OWN)}\n\nHm.",
    "the partner's, refused": f"Here is your solution:\n\n{block(OWN)}\n\nI do not agree with it.",
    "the partner's, praised and refused": f"Your code:\n\n{block(OWN)}\n\nIt looks right. However, it fails.",
    "the partner's, asked about": f"You suggested this:\n\n{block(OWN)}\n\nAre you sure that it is correct?",
    "the partner's, after a bullet": f"- Your version:\n\n{block(OWN)}\n\nDoes that work for strings?",
    "the partner's, checked": f"I checked your code:\n\n{block(OWN)}\n\nIt takes time that grows with a.",
    "the partner's, to look at": f"Let's look at your suggestion:\n\n{block(OWN)}\n\nWhy b?",
    "the opener's": f"The opener's program:\n\n{block(OWN)}\n\nWhat is a?",
    "a heading alone": block("def add(a, b):"),
    "the partner's, traced": f"Let me trace through your code:\n\n{block(OWN)}\n\nFor 1 and 2 it is 3.",
    "the partner's, step by step": f"Walking through your solution step by step:\n\n{block(OWN)}\n\nSo.",
    "the partner's, a closer look": f"Let me take a closer look at your function:\n\n{block(OWN)}\n\nSo.",
    "the partner's, provided": f"The code you provided:\n\n{block(OWN)}\n\nIs it linear?",
    "the partner's, come up with": f"The solution you came up with:\n\n{block(OWN)}\n\nIs it linear?",
    "the partner's, in it": f"In your code, you have:\n\n{block(OWN)}\n\nWhy?",
    "the partner's, initial": f"### Your initial solution\n\n{block(OWN)}\n\nWhy?",
    "the partner's, without a fence": f"Your code:\n\n{OWN}\n\nDoes it work for texts?",
    "the partner's, indented": f"Your code:\n\n{indented(OWN, '    ')}\n\nDoes it work for texts?",
    "the partner's by name": f"My partner's program is:\n\n{block(OWN)}\n\nWhy?",
    "the partner's, from a message": f"From your message:\n\n{block(OWN)}\n\nWhy?",
    "another language": block(RUBY, "ruby"),
    "the signature alone": block(STUB),
    "dots": block("def add(a, b):\n    ..."),
    "pass": block("def add(a, b):\n    pass  # your code here"),
    "not implemented": block("def add(a, b):\n    raise NotImplementedError"),
    "imported from elsewhere": block("from operator import add"),
    "within a class": block("class Solution:\n    def add(self, a, b):\n        return a + b"),
    "within a text": block(f"text = '''\n{OWN}\n'''"),
    "a line of prose": "The line def add(a, b): return a + b would do.",
}


@pytest.mark.parametrize("text", NOT_SUBMITTED.values(), ids=NOT_SUBMITTED)
def test_what_is_not_submitted(text: str) -> None:
    """Quotations of the partner, stubs, fragments and unclosed blocks submit nothing."""
    assert not isinstance(code.read(text, ADD), Answered)


def test_a_block_in_one_line() -> None:
    """Opening and closing fence may stand in one line with the program."""
    line = "def add(a, b): return a + b"
    assert code.read(f"```python {line}```", ADD) == code.read(f"So: \n```{line}```", ADD) == Answered(line)
    assert not isinstance(code.read("It is ```add(a, b)``` that counts.", ADD), Answered)


@pytest.mark.parametrize(
    "string", ["a\u00a0b", "a\n\u00a0\u00a0b", "\u3000\u200b", "a\n    \nb", "\n  \n    x  \n\t", "    \n"]
)
def test_a_string_keeps_its_blanks(string: str) -> None:
    """A program that stands at the margin is submitted letter by letter."""
    program = f'def add(a, b):\n    """{string}"""\n    return a + b'
    assert code.read(f"I wrote this:\n\n{block(program)}", ADD) == Answered(program)
    assert code.parse(program, ADD) == Answered(program)


EXAMPLE = "```\n    add(1, 2)\n    ```"


@pytest.mark.parametrize("mark", ["```", "````", "~~~"])
@pytest.mark.parametrize(
    "inner", [EXAMPLE, EXAMPLE.replace("```", "```python", 1), f"{EXAMPLE}\n    gives\n    {EXAMPLE}", "```"]
)
def test_a_docstring_may_hold_fences(inner: str, mark: str) -> None:
    """A program is not cut at a fence within it, and what stands behind it is not part of it."""
    program = f'def add(a, b):\n    """Add.\n\n    {inner}\n    """\n    return a + b'
    written = block(program, mark=mark)
    assert code.read(f"So:\n\n{written}\n\nThat is all.", ADD) == Answered(program)
    assert code.read(f"{written}\n\nFor example:\n\n{block('add(1, 2)')}", ADD) == Answered(program)


def test_why_nothing_is_submitted() -> None:
    """An honest "not sure" is one; an unclosed block and a bare agreement are named."""
    assert code.read("I am not sure yet.", ADD) == Unsure()
    assert code.read(f"Looking at your code:\n\n{block(OWN)}\n\nI am not sure yet.", ADD) == Unsure()
    assert code.read(f"```python\n{OWN}", ADD) == Unreadable("the code block is not closed")
    assert code.read("I agree with you.", ADD) == Unreadable("agrees without naming an answer")
    assert code.read("", ADD) == Unreadable("empty")


def test_a_program_that_does_not_parse_is_submitted() -> None:
    """It is what the turn submits, and wrong: it is not passed over for an earlier one."""
    assert code.read(f"{block(OTHER)}\n\nBetter:\n\n{block(BROKEN)}", ADD) == Answered(BROKEN)


def test_an_unfinished_body_is_submitted() -> None:
    """In a closed block it is what the turn submits; a heading alone says nothing."""
    for unfinished in (
        "def add(a, b):\n    c = a\n    for x in b:",
        'def add(a, b):\n    """Add.\n    return a',
    ):
        assert code.read(block(unfinished), ADD) == Answered(unfinished)


DEFINING = {
    "in an except": "try:\n    import x\nexcept OSError:\n    def add(a, b):\n        return a + b",
    "in an else": "if 0:\n    pass\nelse:\n    def add(a, b):\n        return a + b",
    "a name": "add = lambda a, b: a + b",
    "one of two names": "add, sub = lambda a, b: a + b, None",
    "a coroutine": "async def add(a, b):\n    return a + b",
    "decorated": "@cache\ndef add(a, b):\n    return a + b",
    "other letters": "def add(größe, π):\n    return größe + π",
    "with a main part": f"{OWN}\n\nif __name__ == '__main__':\n    print(add(1, 2))",
}


@pytest.mark.parametrize("program", DEFINING.values(), ids=DEFINING)
def test_ways_to_define(program: str) -> None:
    """Whatever binds the name in the module, other than an import."""
    assert code.read(block(program), ADD) == Answered(program)


HALF = "def half(a):\n    return a / 2"
USES_HALF = "def add(a, b):\n    return 2 * half(a + b)"
CACHED = f"import math\n\n@cache\n{HALF}"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        (f"{block(HALF)}\n\nWith it:\n\n{block(USES_HALF)}", f"{HALF}\n\n{USES_HALF}"),
        (f"{block(USES_HALF)}\n\n{block(CACHED)}", f"@cache\n{HALF}\n\n{USES_HALF}"),
        (f"{block(HALF)}\n\n{block(OWN)}", OWN),
    ],
    ids=["before", "behind", "not needed"],
)
def test_helpers_in_another_block(text: str, program: str) -> None:
    """What the program uses and does not define is taken from other blocks, and nothing else."""
    assert code.read(text, ADD) == Answered(program)


def test_what_tests_use_beside_it_is_taken_from_another_block() -> None:
    """A class whose instances the function is given is part of the program, though it does not name it."""
    node = "class Node:\n    pass"
    text = f"{block(node)}\n\n{block(OWN)}"
    assert code.read(text, ADD) == Answered(OWN)
    assert code.read(text, Form(name="add", beside=("Node",))) == Answered(f"{node}\n\n{OWN}")
    whole = f"{node}\n\n{OWN}"
    assert code.read(f"{block(node)}\n\n{block(whole)}", Form(name="add", beside=("Node",))) == Answered(
        whole
    )


def test_helpers_stand_behind_imports_from_the_future() -> None:
    """Python wants those first."""
    program = programs.with_helpers(
        "from __future__ import annotations\nx = half(1)", ["def half(a): return a / 2"]
    )
    assert program.split("\n")[:2] == ["from __future__ import annotations", "def half(a): return a / 2"]


BODIES = {
    "as sampled": "    return a + b\n",
    "without the blanks it began with": "return a + b",
    "two lines without the first blanks": "c = a + b\n    return c",
    "in a block": block("    return a + b"),
    "in a block, flush": block("c = a + b\nreturn c"),
    "with a tab": "\treturn a + b",
    "a variable that is called so": "    add = a + b\n    return add",
    "a variable that is called so, in a block": block("    add = a + b\n    return add"),
    "a variable that is called so, flush": block("add = a + b\nreturn add"),
    "and more behind it": "    return a + b\n\n\nprint(add(1, 2))",
    "a loop that returns": "for _ in range(2):\n    return a + b",
    "behind words": "This is the body:\n\n    c = a + b\n    return c\n",
    "a helper first": "def helper(x):\n        return x\n\n    return helper(a) + b",
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
def test_a_body_alone_completes_the_prompt(text: str) -> None:
    """Where the problem is a prompt to complete, a text that can be nothing but the body is one."""
    belief = code.read(text, BODY)
    assert isinstance(belief, Answered)
    assert belief.value.startswith(PROMPT)
    there: dict[str, object] = {}
    exec(belief.value, there)  # our own text
    assert there["add"](1, 2) == 3  # type: ignore[operator]


@pytest.mark.parametrize(
    "text",
    [
        "Your program does this:\n\n    return a + b\n\nWhy?",
        "Your program:\n\n    return a + b",
        "Return the sum.",
        block("print(add(1, 2))"),
        block("c = 1"),
        "    Some indented words.",
        block(PROMPT),
    ],
)
def test_what_is_no_body(text: str) -> None:
    """Words, examples, and the prompt itself complete nothing."""
    assert not isinstance(code.read(text, BODY), Answered)


@pytest.mark.parametrize(
    ("program", "is_one"),
    [
        ("class Solution:\n    def add(self, a, b):\n        return a + b", True),
        ("class Solution:\n    def add(self, a, b):\n        pass", False),
        (OWN, True),
        (f"{OWN}\n\n\nclass Solution:\n    pass", False),
        (OWN.replace("(a,", "(self, a,"), False),
        (STUB, False),
    ],
)
def test_a_class_with_a_method(program: str, is_one: bool) -> None:
    """Where a method of a class is asked for, a function of its name is as good, but no method cut out of its
    class and no empty one.
    """
    found = code.read(block(program), Form(name="Solution", method="add"))
    assert (found == Answered(program)) is is_one
    assert isinstance(found, Answered) is is_one


@pytest.mark.parametrize(
    "body",
    [
        "@staticmethod\n    def add(a, b):\n        return a",
        "add = max",
        "async def add(self):\n        return 1",
    ],
)
def test_ways_to_have_a_method(body: str) -> None:
    """Whatever gives the class the method, or a class that it derives from."""
    form = Form(name="Solution", method="add")
    program = f"class Solution:\n    {body}"
    assert code.read(block(program), form) == Answered(program)
    derived = f"{program.replace('Solution', 'Base')}\n\nclass Solution(Base):\n    pass"
    assert code.read(block(derived), form) == Answered(derived)


@pytest.mark.parametrize(
    "script", ["list(map(print, [1]))", "import sys\nwrite = sys.stdout.write\nwrite('1')", "p = print\np(1)"]
)
def test_a_script_writes_by_another_name(script: str) -> None:
    """What it calls may have been given a name, or to a function."""
    assert code.read(block(script), Form()) == Answered(script)


@pytest.mark.parametrize("broken", ["print(int(input())", "n = input()\nprint n", "for x in 1:\nprint(x)"])
def test_a_script_that_does_not_parse_is_submitted(broken: str) -> None:
    """As a function that does not parse is; what is not said to be Python, such as an outline, is none."""
    text = f"{block('print(1)')}\n\nBetter:\n\n"
    assert code.read(text + block(broken), Form()) == Answered(broken)
    assert code.read(text + block(broken, ""), Form()) == Answered("print(1)")


def test_a_script_writes_something() -> None:
    """Where a whole script is asked for, blocks of input and output are none."""
    script = "a, b = map(int, input().split())\nprint(a + b)"
    text = f"{block(script)}\n\nFor the input\n\n{block('1 2', '')}\n\nit prints\n\n{block('3', '')}"
    assert code.read(text, Form()) == Answered(script)
    assert not isinstance(code.read(block("1 2", ""), Form()), Answered)


def test_a_bare_answer() -> None:
    """What an extractor model answers may be a program without a block, behind a label."""
    assert code.parse(f"Answer: {block(OWN)}", ADD) == Answered(OWN)
    assert code.parse(OWN, ADD) == Answered(OWN)
    assert code.parse("not sure yet", ADD) == Unsure()


SAME = {
    "comments": "def add(a, b):  # both\n    return a + b",
    "a docstring": 'def add(a, b):\n    """Add."""\n    return a + b',
    "layout": "def add(a,b) : return (a+b)",
    "annotations": "def add(a: int, b: int) -> int:\n    return a + b",
    "a pass": "def add(a, b):\n    pass\n    return a + b",
}


@pytest.mark.parametrize("program", SAME.values(), ids=SAME)
def test_equal_texts(program: str) -> None:
    """Layout, comments, docstrings and annotations make no difference; names and order do."""
    assert programs.normal(program) == programs.normal(OWN)
    assert programs.normal(program) != programs.normal(OTHER)


def test_a_text_that_does_not_parse_is_equal_to_itself() -> None:
    """Nothing is known about it but its letters."""
    assert programs.normal(BROKEN) == programs.normal(f"\n{BROKEN}  \n") != programs.normal(OWN)


def test_hostile_texts_are_read() -> None:
    """Whatever a model writes is read in bounded time: nothing raises, and deep nesting is no program."""
    deep = "(" * 5_000 + ")" * 5_000
    for text in (
        deep,
        block(deep),
        "```" * 5_000,
        "> " * 5_000,
        "```python\n" * 2_000,
        f"{OWN}\0",
        "def add(" * 3_000,
    ):
        code.read(text, BODY)
    assert programs.normal(deep) == deep
    assert blocks("```\n```\n```") != []
