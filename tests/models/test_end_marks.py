"""A reply ends at its end mark, whatever the model wrote behind it."""

import pytest

from coral.models.end_marks import own_turn
from coral.models.protocol import Candidate
from coral.types import FinishReason

MARKED = [
    "Answer: (B)<|im_end|>\n<|im_start|>user\nSure? I get (C).<|im_end|>",
    "Answer: (B)\n<|im_start|>user\nSure?",
    "Answer: (B)<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nSure?",
    "Answer: (B)<|eot|><|header_start|>user<|header_end|>Sure?",
    "Answer: (B)<|start_header_id|>user<|end_header_id|>\n\nSure?",
    "Answer: (B)<|eom_id|>",
    "Answer: (B)<end_of_turn>\n<start_of_turn>user\nSure?",
    "Answer: (B)<turn|>\n<|turn>user\nSure?",
    "Answer: (B)</s> [INST] Sure? [/INST] Answer: (C)",
    "Answer: (B) [INST] Sure? [/INST]",
    "Answer: (B)<|end|>\n<|user|>\nSure?<|end|>",
    "Answer: (B)\n<|user|>\nSure?",
    "Answer: (B)<|endoftext|>Question: What is 1+1?",
    "Answer: (B)<|end_of_text|>",
    "Answer: (B)<｜end▁of▁sentence｜><｜User｜>Sure?",
    "Answer: (B)<｜User｜>Sure?",
    "Answer: (B)<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>Sure?",
    "Answer: (B)<|end_of_role|>Sure?",
    "Answer: (B)<|return|>",
    "Answer: (B)<|observation|>Sure?",
    "Answer: (B)<eos>Sure?",
    "Answer: (B)\n### Human: Sure?\n### Assistant: (C)",
    "Answer: (B)\n\n### Instruction:\nSure?",
    "Answer: (B)\n\nHuman: Sure?\n\nAssistant: (C)",
    "<|im_start|>assistant\nAnswer: (B)<|im_end|>",
    "<|start_header_id|>assistant<|end_header_id|>\n\nAnswer: (B)<|eot_id|>",
    "<start_of_turn>model\nAnswer: (B)<end_of_turn>",
    "<s> Answer: (B)</s>",
    "[/INST] Answer: (B)</s>",
]
WHOLE = [
    "Answer: (B)",
    "<answer>(B)</answer>",
    "The answer is <|begin_of_box|>(B)<|end_of_box|>",
    "f <| g |> h, and 0 <|x|> 1",
    "<think>Hm</think>(B) as |a| < |b|",
    "for x in xs: y[i] = <b>3</b>",
    "#### 42",
    "### Answer\n(B)",
    "<|begin_of_thought|>Hm<|end_of_thought|> (B)",
    "Human: that is what we are.",
]


@pytest.mark.parametrize("text", MARKED)
def test_a_reply_is_cut_at_its_end_mark(text):
    """Mark, header and the invented partner go; how much went is told."""
    turn = own_turn(Candidate(text=text, finish_reason=FinishReason.STOP))
    assert turn.text == "Answer: (B)"
    assert turn.overrun > 0


@pytest.mark.parametrize("text", WHOLE)
def test_what_is_no_end_mark_stays(text):
    """Tags, boxes, thinking and operators are parts of a reply."""
    candidate = Candidate(text=text, finish_reason=FinishReason.STOP)
    assert own_turn(candidate) == candidate


def test_a_reply_that_ran_on_to_its_limit_was_not_cut():
    """What the token limit cut is the invented part; the reply is whole."""
    ran_on = Candidate(text="Answer: (B)<|im_end|>\nSure? I", finish_reason=FinishReason.LENGTH)
    assert own_turn(ran_on).finish_reason is FinishReason.STOP
    cut = Candidate(text="Let me see", finish_reason=FinishReason.LENGTH)
    assert own_turn(cut).finish_reason is FinishReason.LENGTH


def test_a_reply_of_nothing_but_an_invented_partner_is_empty():
    """A model that speaks for its partner at once has said nothing."""
    turn = own_turn(Candidate(text="<|im_start|>user\nSure?", finish_reason=FinishReason.STOP))
    assert turn.text == ""
