"""The hidden probe: asked of every speaking seat, shown to nobody, kept, counted and resumable."""

import pytest

from coral.conversation.agent import Agent
from coral.conversation.controls import ControlPartner, Nobody
from coral.conversation.mistakes import Mistakes
from coral.conversation.probe import probability_in
from coral.conversation.protocols import Settings, build
from coral.errors import BadResponse, Unreachable
from coral.metrics.cost import calls_of
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.types import OPENER, RESPONDER, Answered, Role, StopReason, Unreadable, Unsure

ASKED = 'Off the record? End with "Answer: N" and "Probability: N%".'


def two_faced(public, private, heard=None):
    """Says one thing in public and another off the record; notes what it was shown."""

    def speak(request):
        if heard is not None:
            heard.append(request.messages)
        return private if request.messages[-1].content == ASKED else public

    return speak


@pytest.mark.parametrize(
    ("said", "probability", "rest"),
    [
        ("Answer: 4\nProbability: 80%", 0.8, "Answer: 4"),
        ("Answer: 4\n**Probability:** 80 %", 0.8, "Answer: 4"),
        ("Answer: 4\nprobability: 0.35", 0.35, "Answer: 4"),
        ("Answer: 4\nProbability: 0,35", 0.35, "Answer: 4"),
        ("Answer: 4\nProbability: .5", 0.5, "Answer: 4"),
        ("Answer: 4\nProbability: 65", 0.65, "Answer: 4"),
        ("Answer: 4\nProbability: 65.", 0.65, "Answer: 4"),
        ("Answer: 4\nProbability: 100", 1.0, "Answer: 4"),
        ("Answer: 4\nProbability: 0", 0.0, "Answer: 4"),
        ("Answer: 4\nProbability: 8 out of 10", 0.8, "Answer: 4"),
        ("Answer: 4\nProbability: 3/4", 0.75, "Answer: 4"),
        ("Answer: 4\nProbability: about 90 percent, since 2 and 2 make 4", 0.9, "Answer: 4"),
        ("Answer: 4\nProbability: \\boxed{70\\%}", 0.7, "Answer: 4"),
        ("Answer: 4\n- Confidence (0-100): 55", 0.55, "Answer: 4"),
        ("Answer: 4\nProbability:\n60%", 0.6, "Answer: 4"),
        ("Answer: 4. Probability: 60%", 0.6, "Answer: 4."),
        ("Probability: 20%\nAnswer: 4\nProbability: 30%", 0.3, "Probability: 20%\nAnswer: 4"),
        ("Answer: 4\nProbability: 1", None, "Answer: 4"),
        ("Answer: 4\nProbability: 1%", 0.01, "Answer: 4"),
        ("Answer: 4\nProbability: 80-90%", None, "Answer: 4"),
        ("Answer: 4\nProbability: 120%", None, "Answer: 4"),
        ("Answer: 4\nProbability: -5%", None, "Answer: 4"),
        ("Answer: 4\nProbability: high", None, "Answer: 4"),
        ("Answer: 4\nProbability:", None, "Answer: 4"),
        ("Answer: 4", None, "Answer: 4"),
        ("The probability is 1 in 3.\nAnswer: 3", None, "The probability is 1 in 3.\nAnswer: 3"),
        ("", None, ""),
    ],
)
def test_a_stated_probability_is_read(said, probability, rest):
    """Percent, shares and odds out of so many are one number; what is no single one from 0 to 1 is none."""
    assert probability_in(said) == (pytest.approx(probability) if probability is not None else None, rest)


async def test_a_probe_is_kept_and_shown_to_nobody(sums):
    """Both seats are asked after each turn; no later request of either holds what they said."""
    heard = []
    agent = sums["agent"]("agent", two_faced("Answer: 7", "Answer: 4\nProbability: 90%", heard))
    partner = sums["agent"]("partner", two_faced("Answer: 5", "Answer: 6\nProbability: 20%", heard))
    talk = await sums["talk"](partner, agent, max_turns=4, probe=ASKED)
    assert [turn.reply.belief for turn in talk.turns] == [Answered("5"), Answered("7")] * 2
    assert [turn.probe.reply.belief for turn in talk.turns] == [Answered("6"), Answered("4")] * 2
    assert [turn.probe.reply.correct for turn in talk.turns] == [False, True] * 2
    assert [turn.probe.probability for turn in talk.turns] == [0.2, 0.9] * 2
    assert len(heard) == 8
    for messages in heard:
        assert not any(word in message.content for message in messages for word in ("Answer: 4", "Answer: 6"))
        assert sum(message.content == ASKED for message in messages) <= 1
        roles = [message.role for message in messages]
        assert roles == [Role.USER, Role.ASSISTANT] * (len(roles) // 2) + [Role.USER]


@pytest.mark.parametrize("name", ["cot", "coral", "self_refine", "panel"])
async def test_every_protocol_is_probed(sums, name):
    """The question stands below what the seat answered to and its own turn, whatever the protocol shows."""
    number = {"cot": 1, "coral": 2, "self_refine": 1, "panel": 3}[name]
    names = ("agent", "partner") if number == 2 else tuple(f"agent_{i}" for i in range(number))
    protocol = build(name, Settings(agents=names, max_turns=3, instruction="End."))
    asked = []

    def speak(request):
        asked.append(request.messages)
        return "Answer: 4" if request.messages[-1].content == ASKED else f"Answer: {len(asked)}"

    one = sums["agent"]("agent", speak)
    talk = await sums["hold"](protocol, dict.fromkeys(protocol.speakers, one), probe=ASKED)
    assert all(turn.probe.reply.belief == Answered("4") for turn in talk.turns)
    for place in range(len(talk.turns)):
        turn, probe = asked[2 * place], asked[2 * place + 1]
        assert probe[:-2] == turn
        assert [message.role for message in probe[-2:]] == [Role.ASSISTANT, Role.USER]
        assert probe[-2].content == talk.turns[place].reply.text


async def test_a_conversation_is_the_same_with_and_without(sums):
    """Off the record: what is said on the record, and with which seeds, does not change."""
    seeds = {True: [], False: []}

    def noting(is_probed):
        def speak(request):
            if request.messages[-1].content != ASKED:
                seeds[is_probed].append(request.seed)
            return "Answer: 7" if len(request.messages) < 4 else "Answer: 5"

        return speak

    talks = [
        await sums["talk"](
            sums["agent"]("partner", noting(is_probed)), sums["agent"]("agent", lambda _: "Answer: 5"),
            probe=ASKED if is_probed else "",
        )
        for is_probed in (True, False)
    ]  # fmt: skip
    assert seeds[True] == seeds[False]
    said = [[turn.reply.text for turn in talk.turns] for talk in talks]
    assert said[0] == said[1]
    assert [turn.probe for turn in talks[1].turns] == [None] * len(said[1])


async def test_a_control_partner_is_not_asked(sums):
    """A stance that is known by construction has no second face, and costs no request."""
    partner = ControlPartner(
        kind="wrong", words="own", task=sums["task"], mistakes=Mistakes(sums["task"], [])
    )
    control = Agent(
        name="partner", model=Nobody("control:wrong"), sampling=Sampling(), system="", control=partner
    )
    agent = sums["agent"]("agent", two_faced("Answer: 7", "not sure"))
    talk = await sums["talk"](agent, control, max_turns=3, probe=ASKED)
    assert [turn.probe is not None for turn in talk.turns] == [True, False, True]
    assert talk.turns[0].probe.reply.belief == Unsure()


class Refusing:
    """A model that answers turns and fails at the probe."""

    name = "refusing"

    def __init__(self, error):
        self._error = error

    async def generate(self, request):
        if request.messages[-1].content == ASKED:
            raise self._error
        return await ScriptedModel(lambda _: "Answer: 4", name="m").generate(request)


async def test_a_refused_probe_leaves_the_conversation_whole(sums):
    """What the same question would meet again makes the private answer unreadable, and its cost is kept."""
    one = Agent(
        name="agent", model=Refusing(BadResponse("no words", attempts=3)), sampling=Sampling(), system=""
    )
    talk = await sums["talk"](one, sums["agent"]("agent", lambda _: "Answer: 4"), probe=ASKED)
    assert talk.stop is StopReason.AGREED
    probe = talk.turns[0].probe
    assert isinstance(probe.reply.belief, Unreadable)
    assert (probe.reply.correct, probe.reply.attempts, probe.probability) == (None, 3, None)


async def test_a_lost_probe_fails_the_conversation_and_counts_what_was_paid(sums):
    """A network failure says nothing about the turn: the conversation fails there, and can be run again."""
    one = Agent(name="agent", model=Refusing(Unreachable("gone", attempts=5)), sampling=Sampling(), system="")
    talk = await sums["talk"](one, sums["agent"]("agent", lambda _: "Answer: 4"), probe=ASKED)
    assert (talk.stop, talk.failure.where) == (StopReason.FAILED, "probe of turn 1 (responder)")
    assert talk.turns == ()
    assert [(call.role, call.received) for call in calls_of(talk)] == [("agent", 1)]


async def test_probes_are_paid_for_and_extracted_like_any_reply(sums):
    """A model extractor reads the private answer, too; both stand among the calls of their roles."""
    extractor = ScriptedModel(lambda _: "Answer: 4", name="extractor")
    agent = sums["agent"]("agent", two_faced("Answer: 4", "Four, I guess.\nProbability: 70%"))
    partner = sums["agent"]("partner", lambda _: "Answer: 4")
    steps = []

    async def noted(step, model, request):
        steps.append(step)
        return await model.generate(request)

    talk = await sums["talk"](
        partner, agent, probe=ASKED, mode="model", model=extractor, calls=noted, max_turns=2
    )
    assert steps == [
        "1", "1/extraction", "1/probe", "1/probe/extraction",
        "2", "2/extraction", "2/probe", "2/probe/extraction",
    ]  # fmt: skip
    roles = [call.role for call in calls_of(talk)]
    assert roles == ["partner", "extractor"] * 2 + ["agent", "extractor"] * 2
    assert talk.turns[1].probe.reply.belief == Answered("4")
    assert talk.turns[1].seat == OPENER
    assert talk.turns[0].seat == RESPONDER
