"""Every config of a recipe runs as it stands."""

import json
from pathlib import Path

import pytest

from coral.cli.options import parse
from coral.errors import ConfigError
from coral.evaluation.config import EvalConfig
from coral.evaluation.estimate import estimate

RECIPES = Path(__file__).parents[2] / "recipes"
LIBRARY = {
    "assistant_sbs_short": {
        "description": "for a pair", "required_args": ["task_name", "task_specific_inst"],
        "template_str": "A pair works on {{ task_name }}. {{ task_specific_inst }}",
    },
    "simple_cot": {
        "description": "alone", "required_args": ["task_name", "task_specific_inst"],
        "template_str": "Alone on {{ task_name }}. {{ task_specific_inst }}",
    },
}  # fmt: skip
"""In the form of the published prompt library; the words are ours."""


def load(name, data, tmp_path, *flags):
    library = tmp_path / "prompt_library.json"
    library.write_text(json.dumps(LIBRARY))
    arguments = [
        "--task.name", "hi_tom", "--config", str(RECIPES / "published_setting" / name), "--data", data,
        "--prompt_library", str(library), "--agent.model", "m", "--agent.base_url", "http://127.0.0.1:9",
        *flags,
    ]  # fmt: skip
    return parse(EvalConfig, arguments, command="coral eval", about="")


@pytest.mark.parametrize(("name", "words"), [("coral.yaml", "A pair works on"), ("cot.yaml", "Alone on")])
def test_the_published_setting_loads_with_a_published_prompt_library(name, words, data, tmp_path):
    """One config and the library file give the published prompts, sampling and extraction."""
    config = load(name, data, tmp_path)
    system = estimate(config).first[0].content
    assert system.startswith(words)
    assert "Answer:" in system, "the task's answer format fills task_specific_inst"
    extractor = config.extractor_config()
    assert (extractor.mode, extractor.temperature, extractor.max_tokens) == ("model", 0.0, 32)
    assert (config.agent.temperature, config.agent.max_tokens, config.max_turns) == (0.2, 1024, 20)


def test_a_prompt_that_the_library_lacks_is_named(data, tmp_path):
    """The remedy lists what there is."""
    config = load("coral.yaml", data, tmp_path, "--agent.prompt", "assistant_xyz")
    with pytest.raises(ConfigError, match="assistant_xyz") as caught:
        estimate(config)
    assert "assistant_sbs_short" in caught.value.remedy


@pytest.mark.parametrize("text", ["[]", "{", '{"a": 1}', '{"a": {"template": "x"}}'])
def test_a_file_that_is_no_prompt_library_is_refused(data, tmp_path, text):
    """A wrong file is named, with the form it should have."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text(text)
    config = load("coral.yaml", data, tmp_path, "--prompt_library", str(wrong))
    with pytest.raises(ConfigError, match="not a prompt library") as caught:
        estimate(config)
    assert "template_str" in caught.value.remedy


@pytest.mark.parametrize("template", ["{{ nobody }}", "{{ instruction", "{% for %}"])
def test_a_broken_template_is_the_users_to_mend(data, tmp_path, template):
    """Undefined values and syntax errors are caught before anything is sent."""
    config = load("coral.yaml", data, tmp_path, "--agent.system_prompt", template)
    with pytest.raises(ConfigError, match="template"):
        estimate(config)
