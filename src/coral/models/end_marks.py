"""A candidate up to its end mark, with the length of what the model wrote behind it (`coral.end_marks`)."""

from __future__ import annotations

import msgspec

from coral import end_marks
from coral.models.protocol import Candidate
from coral.types import FinishReason


def own_turn(candidate: Candidate) -> Candidate:
    """The candidate without what it wrote past its end mark, whose length `overrun` then tells.

    One that ran on until its token limit is whole up to the mark, so it was not cut.
    """
    text, overrun = end_marks.cut(candidate.text)
    if not overrun:
        return candidate if text == candidate.text else msgspec.structs.replace(candidate, text=text)
    whole = candidate.finish_reason is FinishReason.LENGTH
    return msgspec.structs.replace(
        candidate,
        text=text,
        overrun=overrun,
        finish_reason=FinishReason.STOP if whole else candidate.finish_reason,
    )
