"""Where a reply ends, for models that write past the end of their turn.

A server that does not know its model's end mark lets it write on: the mark itself, as text, and then the
partner's next turn, invented. Nothing behind the first mark belongs to the reply.
"""

from __future__ import annotations

import re

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
_HEADER = re.compile(
    r"\s*(?:(?:<s>|<bos>|<[|｜]begin[_▁]of[_▁](?:text|sentence)[|｜]>)\s*)?"
    r"(?:<(?:start_of_turn|[|｜]\s?(?:im_start|start_header_id|header_start|start_of_role|start|turn)\s?[|｜]?)>"
    rf"\s*(?:assistant|model)\b\s*(?:{_MARK})?|<[|｜]assistant[|｜]>|\[/INST\])?\s*",
    re.IGNORECASE,
)
"""The chat template's opening of the model's own turn, which some servers leave in the reply."""


def cut(text: str) -> tuple[str, int]:
    """The text up to its end mark without the template's opening, and how long what follows the text is."""
    if not ("<" in text or "###" in text or "INST]" in text or "Human:" in text):  # every mark holds one
        return text, 0
    header = _HEADER.match(text)
    start = header.end() if header and header.group().strip() else 0
    end = _END.search(text, start)
    if end is None:
        return text[start:], 0
    return text[start : end.start()].rstrip(), len(text) - end.start()
