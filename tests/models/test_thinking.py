"""Where thinking ends and the reply begins."""

from __future__ import annotations

import json
import time

import pytest

from coral.models.config import ModelConfig
from coral.models.providers import resolve
from coral.models.thinking import split_thinking
from coral.models.wire import read_answer

SEVERAL_MESSAGES = (
    "<|start|>assistant<|channel|>analysis<|message|>2+2<|end|>"
    "<|start|>assistant<|channel|>commentary<|message|>I look it up<|end|>"
    "<|start|>assistant<|channel|>analysis<|message|>yes<|end|>"
    "<|start|>assistant<|channel|>final<|message|>4"
)

CASES = [
    ("The answer is 4.", "The answer is 4.", None, "no thinking: untouched"),
    ("  4\n", "  4\n", None, "no thinking: white space untouched, it is the model's"),
    ("<think>2+2</think>4", "4", "2+2", "a block"),
    ("\n<think>\n2+2\n</think>\n\n4", "4", "2+2", "white space around"),
    ("2+2 is easy\n</think>\n4", "4", "2+2 is easy", "opening tag is in the prompt, as in some templates"),
    ("<think></think>\n4", "4", None, "an empty block (thinking switched off)"),
    ("<think>2+2 and so", "", "2+2 and so", "cut off by the limit: no reply"),
    ("<think>", "", None, "cut off at once"),
    ("<thinking>2+2</thinking>4", "4", "2+2", "the longer tag"),
    ("[THINK]2+2[/THINK]4", "4", "2+2", "Mistral's marks"),
    ("A tag like <think> opens a block.", "A tag like <think> opens a block.", None, "mentioned, not used"),
    ("<think>a</think>b</think>c", "b</think>c", "a", "the first closing tag ends it"),
    ("", "", None, "empty"),
    # Marks of other families.
    ("<seed:think>2+2</seed:think>4", "4", "2+2", "Seed-OSS"),
    ("<thought>2+2</thought>4", "4", "2+2", "Gemini, EXAONE"),
    ("<reasoning>2+2</reasoning>\n4", "4", "2+2", "recipes of reinforcement learning"),
    ("<THINK>2+2</THINK>4", "4", "2+2", "capitals"),
    ("◁think▷2+2◁/think▷4", "4", "2+2", "Kimi-VL"),
    ("<|START_THINKING|>2+2<|END_THINKING|><|START_RESPONSE|>4<|END_RESPONSE|>", "4", "2+2", "Command A"),
    (
        "<|begin_of_thought|>\n2+2\n<|end_of_thought|>\n<|begin_of_solution|>\n4\n<|end_of_solution|>",
        "4",
        "2+2",
        "OpenThoughts",
    ),
    ("<think>2+2</think><response>4</response>", "4", "2+2", "Granite"),
    ("<|channel>thought\n2+2<channel|>4", "4", "2+2", "Gemma 4"),
    ("<unused94>thought\n2+2<unused95>4", "4", "2+2", "MedGemma"),
    ("2+2[/THINK]4", "4", "2+2", "a lone closing mark of Mistral"),
    ("2+2</seed:think>4", "4", "2+2", "a lone closing mark of Seed-OSS"),
    ("<seed:think>2+2 and", "", "2+2 and", "another mark, cut off"),
    ("◁think▷2+2 and", "", "2+2 and", "and another"),
    # Further blocks.
    ("<think>a</think>b\n<think>c</think>\nd", "b\n\nd", "a\n\nc", "a second block"),
    ("<think>a</think>b <think>c</think> d", "b  d", "a\n\nc", "a second block within a line"),
    ("<think>a</think>b\n<think>c", "b", "a\n\nc", "a second block that was cut off"),
    ("<think>a</think>A tag <think> is a word.", "A tag <think> is a word.", "a", "a word behind a block"),
    ("Sure.\n<think>a</think>\n4", "Sure.\n\n4", "a", "a greeting before the block"),
    ("The tag <think> opens, </think> closes.", None, None, "both named in a sentence"),
    ("Compare a < b and [THINKING].", None, None, "signs that are no marks"),
    # gpt-oss.
    (
        "<|channel|>analysis<|message|>2+2<|end|><|start|>assistant<|channel|>final<|message|>4<|return|>",
        "4",
        "2+2",
        "harmony",
    ),
    (
        SEVERAL_MESSAGES,
        "4",
        "2+2\n\nI look it up\n\nyes",
        "harmony, several messages",
    ),
    ("<|channel|>final<|message|>4<|return|>", "4", None, "harmony without thinking"),
    ("<|channel|>analysis<|message|>2+2 and so", "", "2+2 and so", "harmony, cut off while it thought"),
    (
        '<|channel|>analysis<|message|>2+2<|end|><|channel|>final <|constrain|>json<|message|>{"a":4}',
        '{"a":4}',
        "2+2",
        "harmony with a format",
    ),
    ("analysis2+2 is easy.assistantfinal4", "4", "2+2 is easy.", "harmony without its special tokens"),
    ("analysisThe user asks for 2+2", "", "The user asks for 2+2", "the same, cut off"),
    ("analysis of the case: 4", None, None, "a word of the reply"),
    ('<think duration="3">foo</think>B', "B", "foo", "attributes of a tag"),
    ("<think >foo</think >B", "B", "foo", "blanks in a tag"),
    ("<thought_process>foo</thought_process>B", "B", "foo", "GRPO recipes"),
    ("<reflection>r</reflection>B", "B", "r", "Reflection"),
    ("<longcat_think>foo</longcat_think>B", "B", "foo", "LongCat"),
    ("foo\n</thought>\n\nB", "B", "foo", "EXAONE Deep: the opening mark is in the prompt"),
    ("foo<|inner_suffix|>B", "B", "foo", "Apertus: the opening mark is in the prompt"),
    ("<|thought_begin|>foo<|thought_end|>B", "B", "foo", "marks with begin and end"),
    ("<|cot_start|>foo<|cot_end|>B", "B", "foo", "LFM"),
    ("<|think|>foo<|end|><|begin|>assistant<|content|>B", "B", "foo", "Solar"),
    (
        "analysis<|message|>foo<|end|><|start|>assistant<|channel|>final<|message|>B",
        "B",
        "foo",
        "harmony: the first mark is in the prompt",
    ),
    ("<|START_THINKING|>foo<|END_THINKING|><|START_TEXT|>B<|END_TEXT|>", "B", "foo", "Command A, as text"),
    ("<think>a<think>b</think>c</think>B", "B", "a<think>b</think>c", "a block within a block"),
    ("[thinking]foo[/thinking]B", "B", "foo", "square brackets"),
    ("<|im_start|>think\nfoo<|im_start|>answer\nB", "B", "foo", "s1"),
    ('<details type="reasoning" done="true">foo</details>B', "B", "foo", "Open WebUI"),
    ("Here is my thought process: foo\n\nHere is my response: B", "B", "foo", "Granite 3.2"),
    ("Here's my thought process: foo", "", "foo", "Granite 3.2, cut"),
    ("a vector <x think> and <analysis of it", None, None, "words in angle brackets"),
]


@pytest.mark.parametrize(("content", "text", "reasoning", "reason"), CASES, ids=[case[3] for case in CASES])
def test_split(content, text, reasoning, reason):
    """The thinking at the start goes apart; what follows is the reply."""
    assert split_thinking(content) == (content if text is None else text, reasoning)


HOSTILE = [
    ("<|channel|>", "a"),
    ("<|channel|>analysis ", "a "),
    ("<think>", "<think>a</think>"),
    ("", "<think "),
    ("", "<|channel|>a<|constrain|>"),
    ("", "\n<details type='reasoning"),
]


@pytest.mark.parametrize(("start", "piece"), HOSTILE)
def test_hostile_text_is_split_in_linear_time(start, piece):
    """100 KB of any repetition is split at once: no pattern backtracks without bound."""
    began = time.process_time()
    split_thinking(start + piece * (100_000 // len(piece)))
    assert time.process_time() - began < 2


FIELDS = [
    ({"reasoning_content": "2+2"}, "DeepSeek, vLLM, llama.cpp"),
    ({"reasoning": "2+2"}, "OpenRouter, Groq, Together"),
    ({"thinking": "2+2"}, "Ollama"),
    ({"reasoning_details": [{"type": "reasoning.text", "text": "2+2"}]}, "OpenRouter, in parts"),
    ({"reasoning_details": [{"type": "reasoning.summary", "summary": "2+2"}]}, "OpenRouter, a summary"),
    ({"thinking_blocks": [{"type": "thinking", "thinking": "2+2", "signature": "x"}]}, "LiteLLM"),
    ({"reasoning": {"content": "2+2"}}, "an object"),
    ({"reasoning_content": None, "reasoning": "2+2"}, "an empty field beside a full one"),
    ({"reasoning": "2+2", "reasoning_content": "2+2"}, "the same in two fields"),
    ({"content": [{"type": "thinking", "thinking": "2+2"}, {"type": "text", "text": "4"}]}, "parts"),
    (
        {"content": [{"type": "reasoning", "text": "2+2"}, {"type": "output_text", "text": "4"}]},
        "other parts",
    ),
    ({"content": "<think>2+2</think>4", "reasoning_content": "2+2"}, "a field and a block"),
]


@pytest.mark.parametrize(("message", "reason"), FIELDS, ids=[row[1] for row in FIELDS])
def test_thinking_in_fields(message, reason):
    """Whatever a server calls the field, its words are no part of the reply."""
    target = resolve(ModelConfig(model="m", base_url="http://gpu"), {})
    body = {"choices": [{"message": {"content": "4", **message}, "finish_reason": "stop"}]}
    candidate = read_answer(json.dumps(body).encode(), 1, target).candidates[0]
    assert (candidate.text, candidate.reasoning) == ("4", "2+2"), reason


@pytest.mark.parametrize(
    "reasoning", [3, [3], {"a": {"b": "c"}}, [[[[[["x"]]]]]], True, {"type": "reasoning.encrypted"}]
)
def test_a_field_without_words_is_no_thinking(reasoning):
    """An odd form costs no reply."""
    target = resolve(ModelConfig(model="m", base_url="http://gpu"), {})
    body = {"choices": [{"message": {"content": "4", "reasoning": reasoning}, "finish_reason": "stop"}]}
    candidate = read_answer(json.dumps(body).encode(), 1, target).candidates[0]
    assert (candidate.text, candidate.reasoning) == ("4", None)
