"""`coral doctor` tells whether a model can extract beliefs."""

import pytest

from coral.answers import choice
from coral.doctor import extraction_probe
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.types import Answered


def _able(request):
    asked = request.messages[0].content
    [known] = [known for known in extraction_probe.TEXTS if known.text in asked]
    return f"Answer: ({known.letter})" if known.letter else "Answer: not sure yet"


@pytest.mark.parametrize(
    ("script", "right", "verdict"),
    [
        (_able, 10, "ok"),
        (lambda request: "Answer: (C)", 3, "no"),
        (lambda request: "Answer: not sure yet", 4, "no"),
        (lambda request: "I cannot help with that.", 0, "no"),
        (lambda request: request.messages[0].content, 0, "no"),
    ],
    ids=["able", "solves", "shy", "refuses", "echoes"],
)
async def test_what_a_model_makes_of_ten_known_texts(script, right, verdict):
    """Nine of ten are enough; one that solves the problem itself, or echoes, is too weak, and told so."""
    model = ScriptedModel(script)
    outcome = await extraction_probe.probe(model, Sampling())
    assert (outcome.right, outcome.verdict) == (right, verdict)
    assert bool(outcome.consequence) is (verdict == "no")
    assert len(model.requests) == len(extraction_probe.TEXTS) == 10


def test_the_rules_never_read_a_known_text_wrongly():
    """What the texts are said to submit is what the rules find, where they find anything."""
    for known in extraction_probe.TEXTS:
        belief = choice.read(known.text, extraction_probe.PROBLEM.choices)
        assert not isinstance(belief, Answered) or belief.value == known.letter
