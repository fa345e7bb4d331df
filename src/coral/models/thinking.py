"""Where a model's thinking ends and its reply begins, for servers that send both in one text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_TAGS = (
    # DeepSeek-R1, Qwen3, GLM, QwQ, Phi-4; fine-tunes; Gemini, EXAONE; GRPO recipes; Seed-OSS, LongCat
    (
        r"<(?P<tag>think|thinking|thought|thoughts|thought_process|reasoning|reason|reflection|analysis|cot"
        r"|scratchpad|inner_monologue|\w{1,20}[:_]think)(?:\s[^<>]{0,200})?>"
    ),
    r"\[(?P<bracket>think|thinking)\]",  # Mistral, Magistral
    r"(?P<kimi>◁think▷)",  # Kimi-VL
    r"(?P<cohere><\|START_THINKING\|>)",  # Command A Reasoning
    # OpenThoughts, Sky-T1, Kimi, LFM
    r"(?P<open><\|(?:(?:begin|start)_of_)?(?:think|thinking|thought|reasoning|cot)(?:_(?:start|begin))?\|>)",
    r"(?P<gemma><\|?channel>\s*thought\b)",  # Gemma 4
    r"(?P<med><unused94>\s*thought\b)",  # MedGemma
    r"(?P<apertus><\|inner_prefix\|>)",  # Apertus
    r"(?P<s1><\|im_start\|>think\b)",  # s1
    r"(?P<details><details type=.reasoning.[^<>]{0,200}>)",  # Open WebUI
)
"""Opening marks: model families that write them."""

_CLOSINGS = {
    "kimi": r"◁/think▷",
    "cohere": r"<\|END_THINKING\|>",
    "open": r"<\|(?:end_of_(?:think|thinking|thought|reasoning|cot)"
    r"|(?:think|thinking|thought|reasoning|cot)_end)\|>"
    r"|<\|end\|>(?:<\|begin\|>assistant)?(?:<\|content\|>)?",  # Solar
    "gemma": r"<(?:channel|/channel|\|/?channel)\|?>",
    "med": r"<unused95>",
    "apertus": r"<\|inner_suffix\|>",
    "s1": r"(?:<\|im_end\|>\s*)?<\|im_start\|>(?:answer|assistant)\b",
    "details": r"</details>",
}
_OPENING = re.compile("|".join(_TAGS), re.IGNORECASE)
_LONE_CLOSING = re.compile(
    r"</(?:think|thinking|thought|thoughts|reasoning|\w{1,20}[:_]think)\s*>|\[/think(?:ing)?\]|◁/think▷"
    r"|<\|END_THINKING\|>|<\|end_of_(?:thought|thinking)\|>|<\|(?:think|thinking|thought)_end\|>"
    r"|<\|inner_suffix\|>|<channel\|>",
    re.IGNORECASE,
)
"""Some chat templates put the opening mark into the prompt, so only the closing one is in the reply."""

_SIGNS = ("<", "[THINK", "[think", "[Think", "[/", "◁", "analysis", "thought process")
"""What every mark holds one of."""

_SPOKEN = re.compile(
    r"\s*Here(?:'s| is) my thought process:(.*?)(?:Here(?:'s| is) my response:(.*)|\Z)",
    re.DOTALL | re.IGNORECASE,
)
"""Granite 3.2 marks both with a sentence."""

_REPLY_MARKS = re.compile(
    r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>|<\|(?:begin|end)_of_solution\|>|</?response>", re.IGNORECASE
)
"""What stands around a reply, behind thinking, in the same families: Command A, OpenThoughts, Granite."""

_CHANNEL = re.compile(
    r"(?:<\|channel\|>|\A(?=\s*(?:analysis|commentary|final)\b))\s*(\w+)\b"
    r"[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
)
"""A message of OpenAI's harmony format (gpt-oss): its channel is `analysis`, `commentary` or `final`. Its
first mark may stand in the prompt.
"""
_CHANNEL_END = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_BARE_START = re.compile(r"\s*(?:assistant)?analysis")
_BARE_FINAL = "assistantfinal"
"""Harmony of a server that drops the special tokens and keeps the words between them."""


class Thought(NamedTuple):
    """A reply without its thinking, and the thinking (None where there was none)."""

    text: str
    reasoning: str | None


def split_thinking(content: str) -> Thought:
    """Part the thinking in `content` from the reply.

    It stands in blocks: one at the start, and then further ones anywhere. A block that is opened and never
    closed was cut off by the token limit: nothing behind its mark is reply.
    """
    if not any(sign in content for sign in _SIGNS):
        return Thought(content, None)
    if spoken := _SPOKEN.match(content):
        return _thought(spoken[2] or "", [spoken[1]])
    return _split_harmony(content) or _split_blocks(content) or Thought(content, None)


def _split_blocks(content: str) -> Thought | None:
    head = _OPENING.match(content.lstrip())
    if head is None:
        lone = _LONE_CLOSING.search(content)
        first = _OPENING.search(content)
        if lone is None or (first is not None and first.start() < lone.start()):
            return _split_late_block(content, first)
        return _rest(content[lone.end() :], [content[: lone.start()]])
    return _rest(content, [], ahead=True)


def _split_late_block(content: str, first: re.Match[str] | None) -> Thought | None:
    """A block at the start of a later line, whole: some models greet first. A tag in a sentence is a word."""
    if first is None or content[: first.start()].rpartition("\n")[2].strip():
        return None
    if _closing_of(first).search(content, first.end()) is None:
        return None
    return _rest(content, [])


def _rest(content: str, thoughts: list[str], *, ahead: bool = False) -> Thought:
    """Take every further block out of `content`.

    Args:
        thoughts: what was already taken.
        ahead: a block opens the content.
    """
    text: list[str] = []
    at = 0
    while opening := _OPENING.search(content, at):
        closing = _end_of(opening, content)
        is_first = ahead and not thoughts
        own_line = not content[at : opening.start()].rpartition("\n")[2].strip()
        if closing is None and not (is_first or own_line):
            break  # a tag in a sentence
        text.append(content[at : opening.start()])
        thoughts.append(content[opening.end() : closing.start() if closing else len(content)])
        at = closing.end() if closing else len(content)
    text.append(content[at:])
    return _thought("".join(text), thoughts)


def _closing_of(opening: re.Match[str]) -> re.Pattern[str]:
    if tag := opening["tag"]:
        pattern = rf"</{re.escape(tag)}\s*>"
    elif bracket := opening["bracket"]:
        pattern = rf"\[/{bracket}\]"
    else:
        pattern = _CLOSINGS[str(opening.lastgroup)]
    return re.compile(pattern, re.IGNORECASE)


def _end_of(opening: re.Match[str], content: str) -> re.Match[str] | None:
    """The mark that closes a block: not the first one, where the same block stands within it once more."""
    pattern = _closing_of(opening)
    closing = pattern.search(content, opening.end())
    if closing is None:
        return None
    within = content.count(opening.group(), opening.end(), closing.start())
    outer = closing
    for _ in range(min(within, 4)):
        further = pattern.search(content, outer.end())
        following = content.find(opening.group(), outer.end())
        if further is None or 0 <= following < further.start():
            break
        outer = further
    return outer


def _thought(text: str, thoughts: Iterable[str]) -> Thought:
    kept = [thought.strip() for thought in thoughts if thought.strip()]
    return Thought(_REPLY_MARKS.sub("", text).strip(), "\n\n".join(kept) or None)


def _split_harmony(content: str) -> Thought | None:
    """The `final` channel is the reply; `analysis` is thinking, and `commentary` is about tools."""
    first = _CHANNEL.search(content)
    if first is None:
        return _split_bare_harmony(content)
    text = [content[: first.start()].removeprefix("<|start|>assistant")]
    thoughts: list[str] = []
    opening: re.Match[str] | None = first
    while opening is not None:
        end = _CHANNEL_END.search(content, opening.end())
        said = content[opening.end() : end.start() if end else len(content)]
        (text if opening[1] == "final" else thoughts).append(said)
        opening = _CHANNEL.search(content, end.start()) if end else None
    return _thought("".join(text), thoughts)


def _split_bare_harmony(content: str) -> Thought | None:
    start = _BARE_START.match(content)
    if start is None:
        return None
    thought, final, text = content[start.end() :].partition(_BARE_FINAL)
    if final:
        return Thought(text.strip(), thought.strip() or None)
    # No English text continues like that: "analysisThe user ...".
    return Thought("", thought.strip()) if thought[:1].isupper() else None


# Fields -----------------------------------------------------------------------------------------------------

_TEXT_FIELDS = ("text", "thinking", "reasoning", "summary", "content", "reasoning_content", "reasoning_text")


def thinking_in(value: Any, depth: int = 0) -> str:
    """The words of a field for thinking: a text, or parts of several providers' forms, such as OpenRouter's
    `reasoning_details` or Mistral's `thinking`.
    """
    if isinstance(value, str):
        return value
    if depth > 4:
        return ""
    if isinstance(value, list):
        return "".join(thinking_in(part, depth + 1) for part in value)
    if isinstance(value, dict):
        found = (thinking_in(value.get(name), depth + 1) for name in _TEXT_FIELDS)
        return next((words for words in found if words), "")
    return ""


def is_thinking_part(part: Any) -> bool:
    """Whether a part of a content in parts is thinking."""
    kind = part.get("type") if isinstance(part, dict) else None
    return isinstance(kind, str) and ("think" in kind or "reason" in kind or "thought" in kind)
