"""Where a reply ends, for models that write past the end of their turn.

A server that does not know its model's end mark lets it write on: the mark itself, as text, and then the
partner's next turn, invented. Nothing behind the first mark belongs to the reply.
"""

from __future__ import annotations

import re

import msgspec

from coral.models.protocol import Candidate
from coral.types import FinishReason

_INLINE = (
    r"(?!\w*(?:box|thought|think|solution|answer|channel|constrain|vision|image|audio|video|python|code|cit))"
)
"""Control tokens that stand within a reply, such as GLM's `<|begin_of_box|>`."""
_MARK = (
    rf"<[|｜]\s?{_INLINE}[\w▁./-]{{3,40}}\s?[|｜]>"  # <|im_end|>, <|eot_id|>, <｜end▁of▁sentence｜>
    r"|<(?:end|start)_of_turn>|<turn\||<\|turn>|</?eo[st]>|</s>|\[/?INST\]|<</?SYS>>"
    r"|<\[(?:end|begin)[▁_ ]of[▁_ ]sentence\]>"
)
_END = re.compile(
    rf"{_MARK}|^### ?(?:Human|User|Instruction)\b:?|(?<=\n\n)Human:", re.IGNORECASE | re.MULTILINE
)
_SIGNS = ("<", "INST]", "###", "Human:")
"""What every end mark holds one of."""
_HEADER = re.compile(
    r"\s*(?:(?:<s>|<bos>|<[|｜]begin[_▁]of[_▁](?:text|sentence)[|｜]>)\s*)?"
    r"(?:<(?:start_of_turn|[|｜]\s?(?:im_start|start_header_id|header_start|start_of_role|start|turn)\s?[|｜]?)>"
    rf"\s*(?:assistant|model)\b\s*(?:{_MARK})?|<[|｜]assistant[|｜]>|\[/INST\])?\s*",
    re.IGNORECASE,
)
"""The chat template's opening of the model's own turn, which some servers leave in the reply."""


def own_turn(candidate: Candidate) -> Candidate:
    """The candidate without what it wrote past its end mark, whose length `overrun` then tells.

    One that ran on until its token limit is whole up to the mark, so it was not cut.
    """
    text = candidate.text
    if not any(sign in text for sign in _SIGNS):
        return candidate
    header = _HEADER.match(text)
    start = header.end() if header and header.group().strip() else 0
    end = _END.search(text, start)
    if end is None:
        return msgspec.structs.replace(candidate, text=text[start:]) if start else candidate
    whole = candidate.finish_reason is FinishReason.LENGTH
    return msgspec.structs.replace(
        candidate,
        text=text[start : end.start()].rstrip(),
        overrun=len(text) - end.start(),
        finish_reason=FinishReason.STOP if whole else candidate.finish_reason,
    )
