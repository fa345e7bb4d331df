"""From tokens to text, piece by piece: whole characters only, and nothing of a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BROKEN = "\ufffd"
"""What bytes become that are no UTF-8."""


class ReplyText:
    """The text of one reply while it is written.

    A character whose bytes are spread over several tokens is held back until it is whole; so is what might
    be the beginning of a stop string.

    Attributes:
        stopped: a stop string was met; the text ends before it.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        self.stopped = False
        self._tokenizer = tokenizer
        self._pieces = Pieces(tokenizer)
        self._stop = tuple(stop)
        self._text = ""
        self._released = 0

    def push(self, token: int) -> str:
        """Add a token; returns the text that is now certain."""
        piece = self._pieces.push(token)
        if piece:
            self._extend(piece)
        return self._release(self._certain())

    def finish(self, tokens: Sequence[int]) -> str:
        """The rest of the text after the last of all `tokens`; incomplete characters become U+FFFD."""
        if not self.stopped:
            whole = decode(self._tokenizer, tokens)
            if whole.startswith(self._text):
                self._extend(whole[len(self._text) :])
        return self._release(len(self._text))

    @property
    def text(self) -> str:
        """All text so far, held back parts included."""
        return self._text

    def _extend(self, piece: str) -> None:
        longest = max(map(len, self._stop), default=0)
        begin = max(0, len(self._text) - longest + 1)
        self._text += piece
        found = [at for stop in self._stop if (at := self._text.find(stop, begin)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self.stopped = True

    def _certain(self) -> int:
        """How much of the text no later token can take back."""
        if self.stopped:
            return len(self._text)
        return len(self._text) - max((_overlap(self._text, stop) for stop in self._stop), default=0)

    def _release(self, end: int) -> str:
        piece = self._text[self._released : end]
        self._released = max(self._released, end)
        return piece


class Pieces:
    """The text of tokens that come one by one, as far as later tokens cannot change it.

    The tokenizers library has this as `DecodeStream`, which raises where bytes are no UTF-8: a token that
    was readable alone reads otherwise behind broken bytes. A model may write any tokens, so here such text is
    what it was when it was certain.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []
        self._num_certain = 0
        self._certain = ""

    def push(self, token: int) -> str:
        """Add a token; returns the text that is now certain."""
        self._window.append(token)
        text = _decode(self._tokenizer, self._window)
        if len(text) <= len(self._certain) or text.endswith(BROKEN):
            return ""
        piece = text[len(self._certain) :]
        # The last certain tokens stay in sight: what a token reads like may depend on the one before.
        self._window = self._window[self._num_certain :]
        self._num_certain = len(self._window)
        self._certain = _decode(self._tokenizer, self._window)
        return piece

    def rest(self) -> str:
        """What was held back: incomplete characters become U+FFFD."""
        return _decode(self._tokenizer, self._window)[len(self._certain) :]


def decode(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    """The text of `tokens`, special tokens left out: the same at once as piece by piece."""
    text = _decode(tokenizer, tokens)
    if BROKEN not in text:
        return text
    pieces = Pieces(tokenizer)
    return "".join([pieces.push(token) for token in tokens]) + pieces.rest()


def _decode(tokenizer: Tokenizer, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(tokens), skip_special_tokens=True)
    return text


def _overlap(text: str, stop: str) -> int:
    """The longest end of `text` that is a beginning of `stop`, short of the whole."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
