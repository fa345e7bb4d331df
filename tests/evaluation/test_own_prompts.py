"""Prompts and few-shot examples of the user's own: shown, kept, counted, and refused where they are wrong."""

import json
import re

import pytest

import coral
from coral.cli import main
from coral.errors import ConfigError, DataError, RunFolderError
from coral.store.folder import RunFolder
from coral.store.prompts import load_prompts

pytestmark = pytest.mark.filterwarnings("ignore::coral.errors.Notice")

OPENING = "# A riddle\nIt: {{ question }} {# a note #}\n{{ choices }}\n(as the task says: {{ opening }})"
FRAME = "You: {{ opening }}\n--\nThey: {{ reply }}\n# and now?"


class Heard:
    """An agent that keeps what it is told, and says the same to everybody."""

    def __init__(self, says="Reason.\nAnswer: (A)"):
        self.says, self.messages = says, []

    def __call__(self, messages):
        self.messages.append(messages)
        return self.says


@pytest.fixture
def data(tmp_path):
    """Three questions with choices."""
    rows = [
        {"question": f"Which letter is number {n}, told in full?", "choices": ["x", "y"], "answer": "A"}
        for n in range(3)
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


@pytest.fixture
def examples(tmp_path):
    """Writes a file of examples."""

    def write(*rows, name="examples.jsonl"):
        path = tmp_path / name
        path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
        return str(path)

    return write


def test_opening_and_frame_are_the_users(data, tmp_path):
    """Both agents are told by them; the run keeps opening, templates and which are the user's; rows are made
    with the very same words.
    """
    agent, partner = Heard("Mine.\nAnswer: (A)"), Heard("Theirs.\nAnswer: (B)")
    frame = tmp_path / "frame.txt"
    frame.write_text(FRAME)
    run = coral.evaluate(
        "choices", data=data, agent=agent, partner=partner, limit=1, max_turns=2,
        output=str(tmp_path / "run"), templates={"opening": OPENING, "first_reply": f"@{frame}"},
    )  # fmt: skip
    [conversation] = run.conversations()
    question = conversation.problem.question
    assert conversation.opening.startswith(
        f"# A riddle\nIt: {question} \n(A) x\n(B) y\n(as the task says: I'm"
    )
    assert partner.messages[0][-1]["content"] == conversation.opening
    framed = agent.messages[0][-1]["content"]
    assert framed == f"You: {conversation.opening}\n--\nThey: Theirs.\nAnswer: (B)\n# and now?"
    assert RunFolder(run.path).identity()["own_templates"] == ["opening", "first_reply"]
    told = load_prompts(RunFolder(run.path))
    assert (told.opening, told.protocol["first_reply"]) == (OPENING, FRAME)
    from coral.rows.run import open_run

    rows = open_run(run.path, "run")
    assert [message.content for message in rows.prompt(conversation, 1)] == [
        m["content"] for m in agent.messages[0]
    ]


@pytest.mark.parametrize("placed", [True, False])
def test_a_review_is_asked_in_the_users_words(data, tmp_path, placed):
    """After each turn; the instruction stands where it is placed, else below. Rows hold the same words."""
    agent = Heard()
    text = "{{ instruction }} Look again." if placed else "Look again."
    run = coral.evaluate(
        "choices", data=data, agent=agent, limit=1, protocol="self_refine", max_turns=2,
        output=str(tmp_path / "run"), templates={"review": text},
    )  # fmt: skip
    asked = agent.messages[1][-1]["content"]
    assert "Answer: (X)" in asked
    assert asked.endswith("Look again.") if placed else asked.startswith("Look again.\n\n")
    assert load_prompts(RunFolder(run.path)).protocol["review"] == asked
    again = coral.evaluate(
        "choices", data=data, agent=agent, limit=1, protocol="self_refine", max_turns=2,
        output=str(tmp_path / "run"), templates={"review": text},
    )  # fmt: skip
    assert again.finished == 1
    with pytest.raises(RunFolderError):
        coral.evaluate(
            "choices", data=data, agent=agent, limit=1, protocol="self_refine", max_turns=2,
            output=str(tmp_path / "run"), templates={"review": text + "!"},
        )  # fmt: skip


def test_a_second_chance_is_given_in_the_users_words(data, tmp_path):
    """Where it is given; without the option it would never be said, and is refused."""
    agent, options = Heard("Who knows?"), {"templates": {"second_chance": "The letter, please."}}
    coral.evaluate(
        "choices", data=data, agent=agent, limit=1, protocol="cot", second_chance=True,
        output=str(tmp_path / "run"), **options,
    )  # fmt: skip
    assert agent.messages[1][-1]["content"].startswith("The letter, please.\n\nSubmit an answer")
    with pytest.raises(ConfigError, match="no second chance"):
        coral.evaluate(
            "choices", data=data, agent=agent, protocol="cot", output=str(tmp_path / "b"), **options
        )


def test_a_panel_hears_its_members_by_the_users_frame(data, tmp_path):
    """Each reply by itself, under a name; what a member says is no template; rows hold the same words."""
    members = [Heard(f"{{{{ name }}}}\nAnswer: ({letter})") for letter in "ABA"]
    run = coral.evaluate(
        "choices", data=data, agents=members, limit=1, protocol="panel", max_turns=4,
        output=str(tmp_path / "run"), templates={"panel": "<{{ name }}> {{ reply }}"},
    )  # fmt: skip
    heard = members[2].messages[0][-1]["content"]
    assert "<Agent 1> {{ name }}\nAnswer: (A)" in heard
    assert "<Agent 2> {{ name }}\nAnswer: (B)" in heard
    from coral.rows.run import open_run

    [conversation] = run.conversations()
    rows = open_run(run.path, "run").prompt(conversation, 2)
    assert rows[-1].content == heard


def test_extraction_and_judge_are_asked_in_the_users_words(tmp_path):
    """And in no others."""
    extractor, judge = Heard("Answer: because of it"), Heard("Verdict: right")
    path = tmp_path / "q.jsonl"
    path.write_text('{"question": "Why?", "answer": "So."}\n')
    run = coral.evaluate(
        {"name": "open", "judge": judge}, data=str(path), agent=Heard("I think."), protocol="cot",
        extractor={"model": extractor, "mode": "model"}, output=str(tmp_path / "run"),
        templates={"extraction": "In {{ reply }}, what is said?", "judge": "{{ reference }}|{{ answer }}"},
    )  # fmt: skip
    assert extractor.messages[0][0]["content"] == "In I think., what is said?"
    assert judge.messages[0][0]["content"] == "So.|because of it"
    assert run.summary.metrics["accuracy"].mean == 1


def test_a_text_is_never_parsed_a_second_time(data, tmp_path, capsys):
    """What looks like YAML, a comment or a mapping stays the text that it is; so on the command line."""
    text = "{{ opening }} # not a comment: [yes, 1e5] 'it'"
    given = ["eval", "choices", "--data", data, "--limit", "1", "--dry_run", "--agent.model", "m"]
    given += ["--agent.base_url", "http://localhost:1", "--templates.opening", text]
    assert main(given) == 0
    assert "# not a comment: [yes, 1e5] 'it'" in " ".join(capsys.readouterr().out.split())
    (tmp_path / "c.yaml").write_text(f"templates:\n  opening: {json.dumps(text)}\n")
    assert main([*given[:-2], "--config", str(tmp_path / "c.yaml")]) == 0
    assert "# not a comment: [yes, 1e5] 'it'" in " ".join(capsys.readouterr().out.split())


def test_what_a_model_or_data_set_writes_is_no_template(tmp_path):
    """Braces in a question, an example or a reply are shown as they are."""
    path = tmp_path / "q.jsonl"
    path.write_text(json.dumps({"question": "What is {{ 7 * 7 }}?", "answer": "{{ config }}"}) + "\n")
    (tmp_path / "ex.jsonl").write_text(json.dumps({"question": "{{ x }}", "answer": "{% if %}"}) + "\n")
    agent = Heard("{{ reply }} Answer: {{ config }}")
    coral.evaluate(
        {"name": "open", "kind": "exact"}, data=str(path), max_turns=2, output=str(tmp_path / "run"),
        agent={"model": agent, "examples": str(tmp_path / "ex.jsonl"), "examples_as": "system"},
        templates={"opening": "{{ question }}", "first_reply": "{{ opening }}|{{ reply }}"},
    )  # fmt: skip
    system, first = agent.messages[0][0]["content"], agent.messages[1][1]["content"]
    assert "{{ x }}" in system
    assert "{% if %}" in system
    assert first == "What is {{ 7 * 7 }}?|{{ reply }} Answer: {{ config }}"


BAD_PROMPTS = {
    "an opening without the problem": ({"opening": "Solve."}, "--templates.opening does not name opening or"),
    "a frame without the reply": ({"first_reply": "{{ opening }}"}, "first_reply does not name reply"),
    "a frame without the problem": ({"first_reply": "{{ reply }}"}, "first_reply does not name opening"),
    "an extraction without the reply": ({"extraction": "What?"}, "extraction does not name reply"),
    "a judge without the answer": ({"judge": "{{ reference }}"}, "--templates.judge does not name answer"),
    "a value that there is not": ({"opening": "{{ opening }} {{ target }}"}, "'target' is undefined"),
    "a broken template": ({"opening": "{{ opening }"}, "--templates.opening: a prompt template is broken"),
    "a file that is not there": ({"opening": "@nowhere.txt"}, "cannot read 'nowhere.txt'"),
    "an empty text": ({"extraction": ""}, "--templates.extraction is empty"),
    "an empty review": ({"review": " \n"}, "--templates.review is empty"),
    "a review of nobody": ({"review": "Again."}, "--templates.review: the protocol coral asks for no review"),
    "a chance that is not given": ({"second_chance": "Now."}, "this run gives no second chance (coral)"),
    "a panel of two": ({"panel": "{{ reply }}"}, "--templates.panel: the protocol coral is not a panel"),
    "a panel without replies": ({"panel": "{{ name }}"}, "--templates.panel does not name reply"),
    "a review of a value": ({"review": "{{ reply }}"}, "--templates.review: a prompt template cannot be"),
    "a second chance that breaks": ({"second_chance": "{% if %}"}, "--templates.second_chance: a prompt"),
    "an unknown prompt": ({"openning": "x"}, "no option templates.openning"),
    "a list": ({"opening": ["x"]}, "templates.opening"),
    "what would leave the sandbox": ({"opening": "{{ opening.__class__.__mro__ }}"}, "--templates.opening"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_PROMPTS)
def test_prompts_that_cannot_work_are_refused_before_anything(data, tmp_path, case):
    """By the option's name, and with what it may hold."""
    given, message = BAD_PROMPTS[case]
    with pytest.raises(ConfigError, match=re.escape(message)):
        coral.evaluate("choices", data=data, agent=Heard(), templates=given, output=str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_frame_is_an_option_of_pairs_alone(data, tmp_path):
    """Elsewhere nobody would see it."""
    with pytest.raises(ConfigError, match="the protocol cot frames no first reply"):
        coral.evaluate("choices", data=data, agent=Heard(), protocol="cot", templates={"first_reply": FRAME})


def test_an_opening_does_not_tell_both_what_each_is_to_know_in_part(tmp_path):
    """Where a task divides the problem, only its own statement may be used."""
    task = {"name": "sally_anne", "split_information": True}
    with pytest.raises(ConfigError, match="would tell all agents the whole problem"):
        coral.evaluate(
            task, limit=1, agent=Heard(), templates={"opening": OPENING}, output=str(tmp_path / "a")
        )
    templates = {"opening": "Please: {{ opening }}"}
    run = coral.evaluate(
        task, limit=1, agent=Heard(), max_turns=2, templates=templates, output=str(tmp_path / "b")
    )
    assert next(iter(run.conversations())).opening.startswith("Please: ")


def test_other_prompts_are_another_run(data, tmp_path):
    """What is stored was said to other words."""
    given = {"data": data, "agent": Heard(), "protocol": "cot", "output": str(tmp_path / "run")}
    coral.evaluate("choices", templates={"opening": "A: {{ opening }}"}, **given)
    coral.evaluate("choices", templates={"opening": "A: {{ opening }}"}, **given)
    with pytest.raises(RunFolderError, match="prompts"):
        coral.evaluate("choices", templates={"opening": "B: {{ opening }}"}, **given)
    with pytest.raises(RunFolderError, match="own_templates"):
        coral.evaluate("choices", **given)


# Examples ---------------------------------------------------------------------------------------------------

SHORT = {"question": "Which letter comes first?", "answer": "The first one. Answer: (A)"}
LONG = {
    "messages": [
        {"role": "user", "content": "Say B."}, {"role": "assistant", "content": "B?"},
        {"role": "user", "content": "Yes."}, {"role": "assistant", "content": "Answer: (B)"},
    ]
}  # fmt: skip


@pytest.mark.parametrize("protocol", ["cot", "coral", "self_refine", "panel"])
@pytest.mark.parametrize("in_user", [False, True])
def test_examples_are_earlier_turns(data, tmp_path, examples, protocol, in_user):
    """Behind the system prompt and before the problem, in every view of every protocol, roles in turn."""
    agent = Heard()
    path = examples(SHORT, LONG)
    run = coral.evaluate(
        "choices", data=data, protocol=protocol, limit=1, max_turns=3, output=str(tmp_path / "run"),
        agent={"model": agent, "examples": path, "system_in_user": in_user},
    )  # fmt: skip
    shown = [SHORT["question"], SHORT["answer"], *(message["content"] for message in LONG["messages"])]
    for messages in agent.messages:
        roles = [message["role"] for message in messages if message["role"] != "system"]
        assert roles == (["user", "assistant"] * len(roles))[: len(roles)]
        assert roles[-1] == "user"
        said = [message["content"] for message in messages if message["role"] != "system"]
        assert said[0].endswith(shown[0])
        assert said[1:6] == shown[1:]
        assert ("Submit an answer" in said[0]) == in_user
    told = load_prompts(RunFolder(run.path)).examples
    assert all([one.content for one in messages] == shown for messages in told.values())
    from coral.rows.run import open_run

    [conversation] = run.conversations()
    rows = open_run(run.path, "run")
    for index in range(len(conversation.turns)):
        prompt = [message.content for message in rows.prompt(conversation, index)]
        assert prompt in [[message["content"] for message in messages] for messages in agent.messages]


def test_examples_below_the_system_prompt(data, tmp_path, examples):
    """One message more or less, the same words."""
    agent = Heard()
    coral.evaluate(
        "choices", data=data, protocol="cot", limit=1, output=str(tmp_path / "run"),
        agent={"model": agent, "examples": examples(SHORT), "examples_as": "system"},
    )  # fmt: skip
    [messages] = agent.messages
    assert [message["role"] for message in messages] == ["system", "user"]
    system = messages[0]["content"]
    assert system.index("Submit an answer") < system.index(SHORT["question"]) < system.index(SHORT["answer"])


def test_a_partner_has_the_agents_examples_unless_told(data, tmp_path, examples):
    """Like every other option of an agent."""
    heard = {}
    for name, own in {"same": {}, "none": {"examples": None}}.items():
        partner = heard[name] = Heard()
        coral.evaluate(
            "choices", data=data, limit=1, max_turns=2, output=str(tmp_path / name),
            agent={"model": Heard(), "examples": examples(SHORT)}, partner={"model": partner, **own},
        )  # fmt: skip
    assert len(heard["same"].messages[0]) == 4
    assert len(heard["none"].messages[0]) == 2


@pytest.mark.parametrize("names", [("prompt", "completion"), ("input", "target"), ("instruction", "output")])
def test_an_example_may_name_its_parts_otherwise(examples, names):
    """As data sets for training do; `@FILE` names a file here, too."""
    from coral.conversation.examples import load_examples

    path = examples(dict(zip(names, ("What?", "That. Answer: (A)"), strict=True)))
    for name in (str(path), f"@{path}"):
        assert [message.content for message in load_examples(name, "--agent.examples")] == [
            "What?", "That. Answer: (A)",
        ]  # fmt: skip


CHAT = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "That. Answer: (A)"}]
SHAPES = {
    "names in capitals": ("x.csv", "Question,Answer\nWhat?,That. Answer: (A)\n"),
    "semicolons": ("x.csv", "question;answer\nWhat?;That. Answer: (A)\n"),
    "chat in csv": ("x.csv", "messages\n" + '"' + json.dumps(CHAT).replace('"', '""') + '"\n'),
    "a list": ("x.json", json.dumps([{"problem": "What?", "solution": "That. Answer: (A)"}])),
    "parts of content": (
        "x.jsonl",
        json.dumps({"messages": [{**one, "content": [{"text": one["content"]}]} for one in CHAT]}),
    ),
    "human and gpt": (
        "x.jsonl",
        json.dumps({"conversations": [
            {"from": who, "value": one["content"]} for who, one in zip(("human", "gpt"), CHAT, strict=True)
        ]}),
    ),
    "user and assistant": ("x.jsonl", json.dumps({one["role"]: one["content"] for one in CHAT})),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_examples_of_other_shapes(tmp_path, case):
    """Files that people have already are read as they are."""
    from coral.conversation.examples import load_examples

    name, text = SHAPES[case]
    (tmp_path / name).write_text(text)
    found = load_examples(str(tmp_path / name), "--agent.examples")
    assert [(one.role.value, one.content) for one in found] == [(one["role"], one["content"]) for one in CHAT]


BAD_EXAMPLES = {
    "no json": (["not json"], "line 1: this line is not JSON"),
    "a list": (["[1]"], "line 1: expected an object"),
    "no answer": ([SHORT, {"question": "What?"}], "line 2: an example has a question and an answer"),
    "an empty answer": ([{"question": "What?", "answer": " "}], "line 1: an example has a question and"),
    "other fields": ([{"left": "a", "right": "b"}], "line 1: an example has a question"),
    "choices": ([{"question": "?", "choices": ["a", "b"], "answer": "B"}], "and not its choices"),
    "no message": ([{"messages": []}], "line 1: the field 'messages' is not a list of messages"),
    "a text of messages": ([{"messages": "hi"}], "line 1: the field 'messages' is not a list"),
    "an unknown role": ([{"messages": [{"role": "robot", "content": "x"}]}], "has the role 'robot'"),
    "several answers": ([{"question": "What?", "answer": ["a", "b"]}], "'answer' of an example is not one"),
    "a system message": (
        [{"messages": [{"role": "system", "content": "x"}, *LONG["messages"]]}], "by system, user, assistant",
    ),
    "no reply": ([{"messages": LONG["messages"][:1]}], "its messages are by user"),
    "two of one role": ([{"messages": LONG["messages"][:1] * 2}], "its messages are by user, user"),
    "an assistant first": ([{"messages": LONG["messages"][1:]}], "its messages are by assistant, user"),
    "an empty content": (
        [{"messages": [{"role": "user", "content": ""}, LONG["messages"][1]]}], "not a text, or empty",
    ),
    "a number of content": (
        [{"messages": [{"role": "user", "content": 4}, LONG["messages"][1]]}], "not a text, or empty",
    ),
    "nothing": ([], "is empty"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_EXAMPLES)
def test_bad_examples_are_refused_by_line(data, tmp_path, examples, case):
    """None is skipped, and no request is sent."""
    rows, message = BAD_EXAMPLES[case]
    agent = Heard()
    with pytest.raises(DataError, match=re.escape(message)):
        coral.evaluate(
            "choices", data=data, agent={"model": agent, "examples": examples(*rows)},
            output=str(tmp_path / "run"),
        )  # fmt: skip
    assert not agent.messages
    assert not (tmp_path / "run").exists()


def test_a_file_of_examples_that_is_not_there(data):
    """Named with its option."""
    with pytest.raises(DataError, match=r"--agent\.examples: there is no file 'nowhere\.jsonl'"):
        coral.evaluate("choices", data=data, agent={"model": Heard(), "examples": "nowhere.jsonl"})


LEAKS = {
    "the question itself": {"question": "Which letter is number 1, told in full?", "answer": "(A)"},
    "in other case and spacing": {"question": "which  letter is NUMBER 2,\ntold in full?", "answer": "(A)"},
    "as the task states it": {
        "messages": [
            {"role": "user", "content": "Solve: Which letter is number 0, told in full? (A) x (B) y"},
            {"role": "assistant", "content": "(A)"},
        ]
    },
    "in a reply": {"question": "Anything?", "answer": "Which letter is number 1, told in full? It is A."},
}


@pytest.mark.parametrize("case", LEAKS)
@pytest.mark.parametrize("shown", ["turns", "system"])
def test_examples_that_hold_a_problem_are_refused(data, tmp_path, examples, case, shown):
    """Its answer would stand beside it; the problem is named."""
    with pytest.raises(ConfigError, match=r"an example holds the problem .*, which is to be asked"):
        coral.evaluate(
            "choices", data=data, output=str(tmp_path / "run"),
            agent={"model": Heard(), "examples": examples(SHORT, LEAKS[case]), "examples_as": shown},
        )  # fmt: skip
    assert not (tmp_path / "run").exists()


def test_a_problem_that_is_left_out_may_be_an_example(data, tmp_path, examples):
    """Only what is asked counts."""
    first = coral.evaluate("choices", data=data, agent=Heard(), protocol="cot", output=str(tmp_path / "all"))
    ids = {one.problem.question: one.problem.id for one in first.conversations()}
    leaked = LEAKS["the question itself"]
    (tmp_path / "ids.txt").write_text("\n".join(ids[q] for q in ids if q != leaked["question"]))
    run = coral.evaluate(
        "choices", data=data, problems=str(tmp_path / "ids.txt"), protocol="cot",
        output=str(tmp_path / "run"), agent={"model": Heard(), "examples": examples(leaked)},
    )  # fmt: skip
    assert run.finished == 2


def test_the_record_names_examples_by_content(data, tmp_path, examples):
    """Moved, the file is the same; changed, the run is another."""
    given = {"data": data, "protocol": "cot", "limit": 1, "output": str(tmp_path / "run")}
    agent = Heard()
    coral.evaluate("choices", agent={"model": agent, "examples": examples(SHORT)}, **given)
    coral.evaluate(
        "choices", agent={"model": agent, "examples": examples(SHORT, name="moved.jsonl")}, **given
    )
    assert len(agent.messages) == 1
    assert re.fullmatch(r"[0-9a-f]{16}", RunFolder(tmp_path / "run").identity()["agent"]["examples"])
    with pytest.raises(RunFolderError, match=r"agent\.examples"):
        coral.evaluate("choices", agent={"model": agent, "examples": examples(LONG)}, **given)


def test_a_dry_run_counts_examples(data, examples, capsys):
    """They are read in every turn."""
    tokens = []
    for more in ([], ["--agent.examples", examples(SHORT, LONG)]):
        given = ["eval", "choices", "--data", data, "--dry_run", "--agent.model", "m", *more]
        assert main([*given, "--agent.base_url", "http://localhost:1", "--extractor.mode", "rules"]) == 0
        row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("4 turns"))
        numbers = [int(word.replace(",", "")) for word in row.split() if word.replace(",", "").isdigit()]
        tokens.append(numbers[3])
    characters = sum(map(len, (*SHORT.values(), *(one["content"] for one in LONG["messages"]))))
    assert tokens[1] - tokens[0] == pytest.approx(3 * 4 * characters / 4, abs=2)
