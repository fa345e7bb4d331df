"""Verdicts on a program: what counts as one, and what is somebody else's, a part of one, or none."""

from __future__ import annotations

import time

import pytest

from coral.answers import verdict
from coral.types import Answered, Unreadable, Unsure


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Answer: correct", "correct"),
        ("**Answer:** Incorrect", "incorrect"),
        ("Final verdict: incorrect", "incorrect"),
        ("Answer: not correct", "incorrect"),
        ("Answer: **incorrect** (off-by-one in the range)", "incorrect"),
        ("Answer: no", "incorrect"),
        ("Answer: yes", "correct"),
        ("Incorrect.", "incorrect"),
        ("I traced all three tests.\n\nCorrect", "correct"),
        (r"So \boxed{\text{incorrect}}", "incorrect"),
        ("I checked every branch. The program is correct.", "correct"),
        ("The program isn't correct because it returns 3.", "incorrect"),
        ("So the code is incorrect for negative n.", "incorrect"),
        ("The correct output is 5, but the function returns 4. So the function is wrong.", "incorrect"),
        ("I'd judge the program incorrect.", "incorrect"),
        ("My final answer is incorrect.", "incorrect"),
        ("My partner thinks the code is wrong. Answer: correct", "correct"),
        ("Answer: correct\n\nWait, no: the loop ends early.\nAnswer: incorrect", "incorrect"),
        ("The program is correct for all inputs.", "correct"),
    ],
)
def test_reads_a_verdict(text: str, value: str) -> None:
    """A verdict in the speaker's own name is read, however it is worded."""
    assert verdict.read(text) == Answered(value)
    assert verdict.parse(text) == Answered(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Is the program correct?",
        "If the program is correct, the test passes.",
        "I do not think the program is correct.",
        "Your answer is correct.",
        "The answer is correct.",
        "You are right about the loop.",
        "The program is correct for n = 1 but fails for n = 0.",
        "Answer: correct only for positive n",
        "Answer: correct or incorrect",
        "Answer: neither",
        "I agree with you.",
        "Error: connection refused",
        "The correct output is 5.",
        "```python\n# the program is correct\nreturn x\n```\nThat is all I can say.",
    ],
)
def test_reads_no_verdict_where_there_is_none(text: str) -> None:
    """Praise of the partner, questions, conditions, half verdicts and comments in code submit nothing."""
    assert isinstance(verdict.read(text), Unreadable)


@pytest.mark.parametrize(
    "text", ["Answer: not sure yet", "You say that the program is correct. I am not sure yet."]
)
def test_doubt_is_no_verdict(text: str) -> None:
    """Who says that it is not sure holds no answer."""
    assert verdict.read(text) == Unsure()


def test_a_long_reply_is_read_in_time_that_grows_with_its_length() -> None:
    """No pattern runs away on what a model may write."""
    started = time.perf_counter()
    verdict.read("the program is " * 20_000 + "```" * 3_000 + "answer " * 20_000)
    assert time.perf_counter() - started < 10
