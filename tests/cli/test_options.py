"""Options on the command line: each word is read once, by its option's type, and wins over every file."""

import pytest

from coral.cli.options import as_yaml, parse
from coral.errors import ConfigError, Notice
from coral.evaluation.config import EvalConfig, SampleConfig
from coral.evaluation.identity import stored
from coral.improvement.config import ImproveConfig
from coral.options import load_yaml_file
from coral.rows.build import BuildConfig
from coral.training.config import TrainConfig


def read(*words, kind=EvalConfig):
    given = ["--task.name", "hi_tom"] if kind in (EvalConfig, SampleConfig) else []
    return parse(kind, [*given, *words], command="coral it", about="")


TEXTS = [
    "Be brief. Use # for headings.",
    "# Rules\n\n- be brief",
    "#",
    "- be brief",
    "Rule: be brief",
    "{{ instruction }}",
    "{instruction}",
    "[1] Be brief.",
    "'quoted'",
    '"quoted"',
    "yes",
    "off",
    "123",
    "0x10",
    "1_000",
    "12:30",
    "1e5",
    "~",
    "null?",
    "!!python/object/apply:os.system ['true']",
    "&a *a",
    "| folded",
    "> folded",
    "@file",
    "%TAG",
    "2024-01-01",
    " spaces around ",
    "",
    "tab\tand \x1b",
    "ünï",
]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_the_same_for_every_seat(text):
    """What the agent is told, the partner and the extractor can be told, too, in the same words."""
    config = read(
        "--agent.system_prompt", text, "--partner.system_prompt", text, "--extractor.system_prompt", text
    )
    assert config.agent.system_prompt == text
    assert config.partner_config().system_prompt == text
    assert config.extractor_config().system_prompt == text
    assert config.partner == {"system_prompt": text}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_the_same_in_a_config_file(text, tmp_path):
    """The stored config of a run gives the same texts again."""
    path = tmp_path / "config.yaml"
    first = read("--agent.system_prompt", text, "--partner.system_prompt", text, "--split", text)
    path.write_text(as_yaml(stored(first)), encoding="utf-8")
    again = parse(EvalConfig, ["--config", str(path)], command="coral it", about="")
    assert again.agent.system_prompt == again.partner_config().system_prompt == again.split == text


@pytest.mark.parametrize("text", [text for text in TEXTS if text])
def test_every_option_that_is_a_text_takes_it_whole(text):
    """Passwords, names and paths are texts like any other."""
    config = read("--data_password", text, "--data", text, f"--output={text}", "--agent.stop", text)
    assert (config.data_password, config.data, config.output) == (text, text, text)
    assert config.agent.stop == (text,)
    improve = read("--common.agent.system_prompt", text, "--dpo.train.run_name", text, kind=ImproveConfig)
    assert improve.common == {"agent": {"system_prompt": text}}
    assert improve.dpo == {"train": {"run_name": text}}


VALUES = [
    (EvalConfig, ["--limit", "5"], "limit", 5),
    (EvalConfig, ["--max-turns", "4"], "max_turns", 4),
    (EvalConfig, ["--dry-run"], "dry_run", True),
    (EvalConfig, ["--dry_run", "false"], "dry_run", False),
    (EvalConfig, ["--retry_failed", "--limit", "3"], "retry_failed", True),
    (EvalConfig, ["--split", "null"], "split", None),
    (EvalConfig, ["--partner.temperature", "1e-1"], "partner", {"temperature": 0.1}),
    (EvalConfig, ["--partner.model", "007"], "partner", {"model": "007"}),
    (EvalConfig, ["--partner.stop", "[a, b]"], "partner", {"stop": ["a", "b"]}),
    (EvalConfig, ["--partner.stop", "a", "#b"], "partner", {"stop": ["a", "#b"]}),
    (EvalConfig, ["--partner.extra_body.top_k", "20"], "partner", {"extra_body": {"top_k": 20}}),
    (EvalConfig, ["--partner.extra_body", "{k: 2, a: [x]}"], "partner", {"extra_body": {"k": 2, "a": ["x"]}}),
    (EvalConfig, ["--partner.extra_body.note", "a: b # c"], "partner", {"extra_body": {"note": "a: b # c"}}),
    (EvalConfig, ["--partner.extra_body.think", "false"], "partner", {"extra_body": {"think": False}}),
    (EvalConfig, ["--partner", "{top_p: 1}", "--partner.stop", "b"], "partner", {"top_p": 1, "stop": ["b"]}),
    (EvalConfig, ["--task.orders", "[0, 2]"], "task", {"name": "hi_tom", "orders": [0, 2]}),
    (EvalConfig, ["--task", "sally_anne", "--task.orders", "0,2"], "task",
     {"name": "sally_anne", "orders": [0, 2]}),
    (EvalConfig, ["--limit", "3", "--limit", "4"], "limit", 4),
    (BuildConfig, ["--runs", "a", "b", "--held_out", "c"], "runs", ["a", "b"]),
    (BuildConfig, ["--runs", "a b"], "runs", ["a b"]),
    (BuildConfig, ["--held_out", "[a, b]"], "held_out", ["a", "b"]),
    (ImproveConfig, ["--controls", "[]"], "controls", ()),
    (ImproveConfig, ["--controls", "alone-dpo", "pair-sft"], "controls", ("alone-dpo", "pair-sft")),
    (ImproveConfig, ["--train.learning_rate", "1e-5"], "train", {"learning_rate": 1e-5}),
    (ImproveConfig, ["--evaluate.task.orders", "[1]"], "evaluate", {"task": {"orders": [1]}}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "words", "name", "value"), VALUES, ids=lambda value: str(value)[:40])
def test_other_values_are_read_by_their_types(kind, words, name, value):
    """Numbers, switches, lists and mappings; hyphens are underscores; the later word wins."""
    assert getattr(read(*words, kind=kind), name) == value


MISTAKES = [
    (["--limit", "five"], "--limit must be a whole number (got 'five')", "--help"),
    (["--limit", "3 # three"], "--limit must be a whole number (got '3 # three')", "--help"),
    (["--limit", "-5"], "--limit must be at least 1 (got -5)", "leave it out"),
    (["--limit"], "--limit has no value", "--limit VALUE"),
    (["--limit", "--seed", "3"], "--limit has no value", "--limit VALUE"),
    (["--config"], "--config has no value", "--config VALUE"),
    (["--agent.model", "--seed", "3"], "--agent.model has no value", "--agent.model VALUE"),
    (["--agent.extra_body.think"], "--agent.extra_body.think has no value", "VALUE"),
    (["--nonsense"], "no option --nonsense", "coral it --help"),
    (["--dry-rum"], "no option --dry_rum", "did you mean --dry_run?"),
    (["--limits", "--seed", "3"], "no option --limits", "did you mean --limit?"),
    (["--agent.modle", "--seed", "3"], "no option --agent.modle", "did you mean --agent.model?"),
    (["--agent.temperature", "hot"], "--agent.temperature must be a number (got 'hot')", "--help"),
    (["--agent.modle", "x"], "no option --agent.modle", "did you mean --agent.model?"),
    (["--agnt.model", "x"], "no option --agnt.model", "did you mean --agent.model?"),
    (["--protocol", "coarl"], "there is no protocol 'coarl'", "did you mean coral?"),
    (["--dry_run", "perhaps"], "--dry_run must be true or false (got 'perhaps')", "--help"),
    (["--partner", "none.yaml"], "none.yaml", "YAML file"),
    (["-m", "x"], "'-m' is not an option", "did you mean --agent.model MODEL?"),
    (["-x", "x"], "'-x' is not an option", "coral it --help"),
    (["--agent", ""], "--agent is empty", "leave it out"),
    (["--agent.model", ""], "--agent.model is empty", "leave it out"),
    (["--agent.command", ""], "command is empty", "leave it out"),
    (["--agent.http="], "http is empty", "leave it out"),
    (["--agent.system_prompt", "--careful"], "has no value", "--agent.system_prompt=--careful"),
    (["stray"], "'stray' is not an option", "coral it"),
    (["--seed", "1", "stray"], "'stray' is not an option", "coral it"),
    (["--config", "/no/such.yaml"], "cannot read /no/such.yaml", "name: value"),
    (["--config", "a\0b"], "cannot read a\0b", "name: value"),
]


@pytest.mark.parametrize(("words", "cause", "remedy"), MISTAKES, ids=lambda value: str(value)[:30])
def test_mistakes_are_named(words, cause, remedy):
    """The option, what it was given, and what it may be."""
    with pytest.raises(ConfigError) as caught:
        read(*words)
    assert cause in str(caught.value)
    assert remedy in caught.value.remedy


FILES = [
    (b"limit: [", "is not YAML"),
    (b"a: \x1b[2J", "is not YAML"),
    (b"a: \x00", "is not YAML"),
    (b"- a", "holds no options"),
    (b"", "holds no options"),
    (b"\xff\xfe", "cannot read"),
    (b"a: " + b"[" * 5000, "nested too deep"),
    (b"a: " + b"[" * 150 + b"]" * 150, "nested too deep"),
    (b"a: " + b"{b: " * 150 + b"1" + b"}" * 150, "nested too deep"),
    (b"- " * 150 + b"1", "nested too deep"),
    (b"- " * 60 + b"1", "holds no options"),
    (b"a: *b", "is not YAML"),
    (
        b"a0: &a0 [x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (i, i, b",".join([b"*a%d" % (i - 1)] * 9)) for i in range(1, 12)),
        "aliases stand for more",
    ),
    (b"a: &a [*a]", "aliases stand for more"),
    (b"a: !!python/object/apply:os.system [id]", "is not YAML"),
    (b"a: 1\nb: 2\na: 3", "line 3: 'a' is there for the second time"),
    (b"arms: {pair: {}, alone: {}, pair: {max_turns: 6}}", "'pair' is there for the second time"),
    (b"arms: [{b: {c: 1, c: 1}}]", "'c' is there for the second time"),
    (b"name: x\non: slurm", "line 2: 'on' is true or false to YAML"),
]


@pytest.mark.parametrize(("content", "cause"), FILES, ids=[row[1] + str(row[0])[:12] for row in FILES])
def test_a_file_that_holds_no_options_is_named(tmp_path, content, cause):
    """Control characters, torn text, deep nesting, other encodings."""
    path = tmp_path / "options.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=cause) as caught:
        load_yaml_file(path)
    assert str(path) in str(caught.value)


def test_yaml_has_the_numbers_of_json_and_no_dates(tmp_path):
    """`learning_rate: 1e-5` is a number; a name that looks like a date is a text."""
    path = tmp_path / "options.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1e-5\nb: 2024-01-01\nc: 1.5e3\nd: yes\n")
    assert load_yaml_file(path) == {"a": 1e-5, "b": "2024-01-01", "c": 1500.0, "d": True}


@pytest.fixture
def file(tmp_path):
    """Writes a config file; returns its path."""

    def write(text, name="run.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return str(path)

    return write


@pytest.mark.parametrize("order", ["before", "behind"])
def test_a_word_wins_over_every_file(file, order):
    """Wherever the file stands; what the word does not say stays as the file says."""
    flags = [
        "--config",
        file("limit: 10\nseed: 3\nagent: {model: a, temperature: 0.9}\npartner: {model: b}\n"),
    ]
    words = ["--limit", "3", "--agent.model", "c", "--partner.temperature", "0.1"]
    config = read(*(flags + words if order == "before" else words + flags))
    assert (config.limit, config.seed, config.agent.model, config.agent.temperature) == (3, 3, "c", 0.9)
    assert config.partner == {"model": "b", "temperature": 0.1}


def test_the_later_file_wins(file):
    """Files may be stacked: a common one, and one for the case."""
    config = read("--config", file("limit: 10\nseed: 3\n"), "--config", file("limit: 5\n", "other.yaml"))
    assert (config.limit, config.seed) == (5, 3)


def test_a_section_may_be_a_file(file):
    """`--agent FILE` and `--partner FILE` name a file with that section's options."""
    path = file("{model: m, system_prompt: '# Rules'}", "section.yaml")
    config = read("--agent", path, "--partner", path, "--agent.temperature", "0.5")
    assert (config.agent.model, config.agent.system_prompt, config.agent.temperature) == ("m", "# Rules", 0.5)
    assert config.partner_config().system_prompt == "# Rules"


SHORT = [
    (["--task", "gsm8k"], "", "task", {"name": "gsm8k"}),
    ([], "task: gsm8k", "task", {"name": "gsm8k"}),
    (["--task.x", "1"], "task: gsm8k", "task", {"name": "gsm8k", "x": 1}),
    (
        ["--partner", "openai/gpt-4o", "--partner.top_p", "0.5"],
        "",
        "partner",
        {"model": "openai/gpt-4o", "top_p": 0.5},
    ),
    (["--partner.top_p", "0.5"], "partner: m", "partner", {"model": "m", "top_p": 0.5}),
]


@pytest.mark.parametrize(("words", "text", "name", "value"), SHORT)
def test_a_text_for_a_section_is_its_foremost_option(file, words, text, name, value):
    """`--task gsm8k` names the task, `--agent openai/gpt-4o` the model."""
    given = ["--config", file(text)] if text else []
    config = parse(EvalConfig, [*given, *words, *([] if name == "task" else ["--task", "hi_tom"])],
                   command="coral it", about="")  # fmt: skip
    assert getattr(config, name) == value


@pytest.mark.parametrize("kind", [EvalConfig, SampleConfig])
def test_an_agent_may_be_named_by_its_model(file, kind):
    """On the command line and in files; other options of it may follow."""
    for given in (["--agent", "openai/gpt-4o"], ["--config", file("agent: openai/gpt-4o")]):
        config = read(*given, "--agent.max_tokens", "5", kind=kind)
        assert (config.agent.model, config.agent.max_tokens) == ("openai/gpt-4o", 5)


SPELLINGS = [
    ("max-turns: 4", "max_turns", 4),
    ("max-turns: 4\nagent.temperature: 0.5", "agent.temperature", 0.5),
    ("agent: m\nagent.temperature: 0.5", "agent.model", "m"),
    ("agent: {top-p: 0.5}", "agent.top_p", 0.5),
    ("agent.top-p: 0.5\nagent: {model: m}", "agent.model", "m"),
    ("metrics: a:b", "metrics", ("a:b",)),
    ("agent: {extra_body: {top-k: 3}}", "agent.extra_body", {"top-k": 3}),
    ("task.group: topic", "task", {"name": "hi_tom", "group": "topic"}),
]


@pytest.mark.parametrize(("text", "name", "value"), SPELLINGS)
def test_a_file_spells_options_as_words_do(file, text, name, value):
    """Hyphens are underscores, a name with dots is a part of its section, and one text is a list of one."""
    found = read("--config", file(text))
    for part in name.split("."):
        found = getattr(found, part)
    assert found == value


@pytest.mark.parametrize("text", ["max-turns: 4\nmax_turns: 5", "agent: {top-p: 0.5, top_p: 0.1}"])
def test_two_spellings_of_an_option_are_refused(file, text):
    """One of two values would be lost without a word."""
    with pytest.raises(ConfigError, match="for the second time"):
        read("--config", file(text))


POSITIONS = [
    (["eval", "gsm8k"], "task: {name: math}", "name: gsm8k", "the task"),
    (["sample", "gsm8k"], "task: {name: math}", "name: gsm8k", "the task of sampling"),
    (["eval", "gsm8k", "--task.name", "math"], "limit: 3", "name: gsm8k", "over a flag, too"),
    (["train", "sft"], "kind: dpo", "kind: sft", "the kind of training"),
    (["build", "runs/a", "runs/b"], "runs: [runs/c]\noutput: x", "runs:\n- runs/a\n- runs/b", "the runs"),
]


@pytest.mark.parametrize(("words", "text", "said", "reason"), POSITIONS, ids=[row[3] for row in POSITIONS])
def test_the_word_behind_a_command_wins(file, capsys, words, text, said, reason):
    """`coral eval gsm8k` is about gsm8k, whatever a config file names."""
    from coral.cli import main

    with pytest.raises(SystemExit) as ended:
        main([*words, "--config", file(text), "--print_config"])
    assert ended.value.code == 0
    assert said in capsys.readouterr().out, reason


def test_what_is_printed_can_be_read(file, capsys):
    """`--print_config` states all options, and as a file they mean the same."""
    words = ["--limit", "3", "--agent.system_prompt", "# a", "--partner.model", "007", "--agent.stop", "x"]
    with pytest.raises(SystemExit):
        read(*words, "--print_config")
    path = file(capsys.readouterr().out)
    assert parse(EvalConfig, ["--config", path], command="coral it", about="") == read(*words)


def test_options_of_training_are_typed():
    """The options of `coral train` go the same way."""
    config = parse(
        TrainConfig,
        [
            "--kind",
            "sft",
            "--model",
            "m",
            "--rows",
            "r",
            "--output",
            "o",
            "--learning_rate",
            "1e-5",
            "--lora",
        ],
        command="coral train",
        about="",
    )
    assert (config.learning_rate, config.lora) == (1e-5, True)


@pytest.mark.parametrize(
    "words",
    [["gsm8k", "--limit", "3"], ["--limit", "3", "gsm8k"], ["--limit=3", "gsm8k", "--seed", "1"]],
    ids=" ".join,
)
def test_the_task_may_stand_anywhere(words):
    """A word that no option takes is the task, before options or behind them."""
    config = parse(EvalConfig, words, command="coral it", about="", positional="task.name")
    assert (config.task_name, config.limit) == ("gsm8k", 3)


def test_the_positional_task_wins(tmp_path):
    """Over a file and over an option; a second one is a mistake."""
    path = tmp_path / "o.yaml"
    path.write_text("task: hi_tom\n")
    words = ["gsm8k", "--config", str(path), "--task", "math"]
    assert parse(EvalConfig, words, command="c", about="", positional="task.name").task_name == "gsm8k"
    with pytest.raises(ConfigError, match="'math' is not an option"):
        parse(EvalConfig, ["gsm8k", "math"], command="c", about="", positional="task.name")


def test_an_unusual_temperature_is_noticed():
    """Most servers refuse it."""
    with pytest.warns(Notice, match="most servers take 0 to 2"):
        read("--agent.temperature", "5")
