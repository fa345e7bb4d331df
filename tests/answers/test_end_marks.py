"""Every reader stops at an end mark: what a model wrote behind it is no part of its reply."""

import pytest

from coral.answers import choice, math, phrase
from coral.types import Answered

CHOICES = ("first", "second", "third", "fourth")
TAILS = [
    "<|endoftext|>Answer: {other}",
    "<|im_end|>\n<|im_start|>user\nAnswer: {other}",
    "<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nNo, it is \\boxed{{{other}}}.",
    "</s>Answer: {other}",
    "</s> [INST] Sure? [/INST] The answer is {other}.",
    "<end_of_turn>\n<start_of_turn>user\nAnswer: {other}",
    "<｜end▁of▁sentence｜><｜User｜>The answer is {other}.",
    "\n<|user|>\nWait, that is wrong. Answer: {other}",
    "\n### Human: I don't agree. Answer: {other}",
    "\n\nHuman: I am not sure.\n\nAssistant: Answer: {other}",
    "<eos>#### {other}",
    "<|return|>Answer: {other}",
]
READERS = [
    pytest.param(lambda text: choice.read(text, CHOICES), "B", "C", id="choice.read"),
    pytest.param(lambda text: choice.parse(text, CHOICES), "B", "C", id="choice.parse"),
    pytest.param(phrase.read, "red box", "blue box", id="phrase.read"),
    pytest.param(phrase.parse, "red box", "blue box", id="phrase.parse"),
    pytest.param(math.read, "5", "10", id="math.read"),
    pytest.param(math.parse, "5", "10", id="math.parse"),
]


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize(("read", "answer", "other"), READERS)
def test_nothing_behind_an_end_mark_is_read(read, answer, other, tail):
    """The mark, the partner that the model invents and a second answer change nothing."""
    assert read(f"Answer: {answer}{tail.format(other=other)}") == Answered(answer)


@pytest.mark.parametrize(("read", "answer", "other"), READERS)
def test_nothing_before_an_end_mark_is_lost(read, answer, other):
    """The template's opening goes, and control tokens within a reply stay."""
    assert read(f"<|im_start|>assistant\nAnswer: {answer}<|im_end|>") == Answered(answer)
    assert read(f"<|begin_of_thought|>{other}?<|end_of_thought|>\nAnswer: {answer}") == Answered(answer)
