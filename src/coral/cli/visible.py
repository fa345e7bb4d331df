"""Somebody else's words on a terminal: what would act there, hide or reorder is shown as an escape instead.

Replies, error messages, file names and model names come from servers and files. Written raw, an escape
sequence could retitle the window, fill the clipboard or clear the screen, and characters without a shape make
two names look the same.
"""

from __future__ import annotations

import hashlib
import re
import shlex

# Control characters but newline and tab; then what has no shape or turns the direction of writing. Joiners
# (U+200C, U+200D) and variation selectors (U+FE00 to U+FE0F) stay: scripts and emoji are spelled with them.
HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164"
    "\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    r"""`text` with every such character as an escape, such as `\x1b`; lines and tabs stay."""
    return HIDDEN.sub(_escape, text.replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """A name, such as that of a model or file: as `visible`, and line breaks and tabs are escapes, too."""
    return visible(str(text)).replace("\n", r"\n").replace("\t", r"\t")


def answer_in_short(answer: str) -> str:
    """An answer as a line holds it: a program by four digits that tell it from another one."""
    if "\n" not in answer:
        return one_line(answer)
    digest = hashlib.sha256(answer.encode("utf-8", "surrogatepass")).hexdigest()
    return f"program {digest[:4]}"


def shell_word(path: object) -> str:
    r"""A path as a word of a command that can be copied: quoted, and with `$'...'` where it needs escapes."""
    word = str(path)
    if one_line(word) == word:
        return shlex.quote(word)
    return "$'" + one_line(word.replace("\\", r"\\").replace("'", r"\'")) + "'"


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\r":
        return r"\r"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
