"""Tokens become text piece by piece."""

import random

import pytest
from tokenizers import Tokenizer

from coral.engine.text import ReplyText, decode


@pytest.fixture(scope="module")
def tokenizer(folder) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def _write(tokenizer: Tokenizer, text: str, *stop: str) -> tuple[list[str], ReplyText]:
    """The pieces of `text`, token by token up to a stop string, and the finished reply."""
    tokens = tokenizer.encode(text, add_special_tokens=False).ids
    reply = ReplyText(tokenizer, stop)
    pieces = []
    for count, token in enumerate(tokens, 1):
        pieces.append(reply.push(token))
        if reply.stopped:
            tokens = tokens[:count]
            break
    return [*pieces, reply.finish(tokens)], reply


@pytest.mark.parametrize(
    "text", ["plain words", "naïve café", "日本語 🌍🇪🇺!", " spaces  and\nlines\n", "ball" * 9]
)
def test_pieces_join_to_the_text(tokenizer, text):
    """Nothing is lost, doubled or torn, whatever the characters."""
    pieces, reply = _write(tokenizer, text)
    assert "".join(pieces) == reply.text == text


def test_no_piece_ends_within_a_character(tokenizer):
    """A character of several tokens appears once it is whole."""
    pieces, _ = _write(tokenizer, "🦜🦜x")
    assert [piece for piece in pieces if piece] == ["🦜", "🦜", "x"]


def test_a_reply_cut_within_a_character_says_so(tokenizer):
    """What is still incomplete at the end is U+FFFD, as in a decoding of all tokens at once."""
    tokens = tokenizer.encode("ok 🦜", add_special_tokens=False).ids[:-1]
    reply = ReplyText(tokenizer, ())
    early = "".join(map(reply.push, tokens))
    assert early == "ok "
    assert early + reply.finish(tokens) == decode(tokenizer, tokens)
    assert reply.text.startswith("ok \ufffd")


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("one two three", ("two",), "one "),
        ("one two three", ("x",), "one two three"),
        ("one two three", ("three", "two"), "one "),
        ("one two three", ("e tw", "two"), "on"),
        ("aaab", ("aab",), "a"),
        ("\n\nstop", ("\n\n",), ""),
        ("Anna", ("Anna says",), "Anna"),
        ("Where is 日本語?", ("本",), "Where is 日"),
    ],
    ids=[
        "found",
        "absent",
        "the first in the text counts",
        "overlapping ones",
        "a false start",
        "at the very beginning",
        "only its beginning came",
        "within characters of several tokens",
    ],
)
def test_the_text_ends_before_a_stop_string(tokenizer, text, stop, expected):
    """Neither the reply nor any piece on the way holds a stop string or a part of one that came."""
    pieces, reply = _write(tokenizer, text, *stop)
    assert "".join(pieces) == reply.text == expected
    assert reply.stopped == (expected != text)


def test_what_may_become_a_stop_string_is_held_back(tokenizer):
    """A piece sent cannot be taken back: the beginning of a stop string waits for what follows."""
    reply = ReplyText(tokenizer, ("###",))
    tokens = tokenizer.encode("a##b", add_special_tokens=False).ids
    seen = [reply.push(token) for token in tokens]
    assert seen == ["a", "", "", "##b"]


def test_special_tokens_have_no_text(tokenizer):
    """Marks of the chat format do not appear in replies."""
    mark = tokenizer.token_to_id("<|user|>")
    reply = ReplyText(tokenizer, ())
    assert "".join([reply.push(mark), reply.finish([mark])]) == ""


def test_any_tokens_have_a_text_and_the_same_one_piece_by_piece(tokenizer):
    """A hot model may write bytes that are no UTF-8: no error, and streaming changes nothing."""
    rng = random.Random(0)
    for _ in range(300):
        tokens = [rng.randrange(tokenizer.get_vocab_size()) for _ in range(rng.randrange(1, 40))]
        reply = ReplyText(tokenizer, [])
        pieces = [reply.push(token) for token in tokens]
        assert "".join(pieces) + reply.finish(tokens) == decode(tokenizer, tokens)
