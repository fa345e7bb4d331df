"""Control partners and what is shown of a partner's turn, at the level of a conversation."""

import re

import pytest

from coral.conversation.agent import Agent
from coral.conversation.controls import FREE, ControlPartner, Nobody
from coral.conversation.mistakes import Mistakes
from coral.conversation.protocols.pair import Pair
from coral.conversation.sight import (
    AGAIN,
    NO_REASON,
    NO_STANCE,
    ProblemPool,
    Sight,
    reasons_in,
    stance_of,
    vacuous,
)
from coral.models.protocol import Sampling
from coral.models.scripted import ScriptedModel
from coral.tasks import boundary
from coral.types import (
    OPENER,
    RESPONDER,
    Answered,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    StopReason,
    Turn,
    Unreadable,
    Unsure,
)

OTHER = Problem(id="sum-2", task="sums", question="Seven spiders sit in one web. How many legs?", target="56")


def control(sums, kind, words="own", script=None):
    model = Nobody(f"control:{kind}") if script is None else ScriptedModel(script, name="writer")
    partner = ControlPartner(
        kind=kind, words=words, task=sums["task"], mistakes=Mistakes(sums["task"], [OTHER])
    )
    return Agent(name="partner", model=model, sampling=Sampling(), system="", control=partner)


def beliefs(talk, seat):
    return [turn.reply.belief for turn in talk.turns if turn.seat == seat]


@pytest.mark.parametrize(
    ("kind", "said", "held"),
    [
        ("right", ["Answer: 7", "Answer: 7", "Answer: 7"], [Answered("4")] * 3),
        ("echo", ["Answer: 7"], [Answered("7")]),
        ("unsure", ["Answer: 4", "Answer: 4", "Answer: 4"], [Unsure()] * 3),
    ],
)
async def test_a_control_holds_its_stance(sums, kind, said, held):
    """Each control submits what its name says at every turn, whatever the other says."""
    talk = await sums["talk"](sums["agent"]("agent", sums["speaking"](*said)), control(sums, kind))
    assert beliefs(talk, OPENER) == held
    assert talk.speakers[OPENER].model == f"control:{kind}"


async def test_the_wrong_answer_is_one_and_wrong(sums):
    """`wrong` insists on one wrong answer of the problem, the same in every conversation."""
    seen = set()
    for answer in ("Answer: 4", "Answer: 90"):
        talk = await sums["talk"](sums["agent"]("agent", lambda _, a=answer: a), control(sums, "wrong"))
        seen |= {belief.value for belief in beliefs(talk, OPENER)}
        assert talk.stop is StopReason.MAX_TURNS
        assert not any(turn.reply.correct for turn in talk.turns if turn.seat == OPENER)
    assert len(seen) == 1


async def test_random_is_drawn_by_conversation(sums):
    """`random` keeps one answer per conversation; over conversations it is right and wrong."""
    partner = control(sums, "random").control
    drawn = {await partner._answer(sums["problem"], f"sum-1#{sample}") for sample in range(40)}
    assert "4" in drawn
    assert len(drawn) > 2
    assert {await partner._answer(sums["problem"], "sum-1#3") for _ in range(5)} < drawn


async def test_own_words_send_nothing_and_cost_nothing(sums):
    """A control partner with words of its own makes no request, and no token is counted for it."""
    calls = []

    async def counted(step, model, request):
        calls.append(step)
        return await model.generate(request)

    agent = sums["agent"]("agent", lambda _: "Answer: 7")
    talk = await sums["talk"](agent, control(sums, "right"), calls=counted, max_turns=4)
    assert calls == ["1", "3"]
    spoken = [turn.reply for turn in talk.turns if turn.seat == OPENER]
    assert [(reply.usage, reply.attempts) for reply in spoken] == [(FREE, 0)] * 2


async def test_no_extractor_is_asked_about_a_control(sums):
    """With an extractor model, the turns of the agent cost an extraction; those of a control do not."""
    extractor = ScriptedModel(lambda _: "Answer: 7", name="extractor")
    agent = sums["agent"]("agent", lambda _: "Answer: 7")
    talk = await sums["talk"](agent, control(sums, "right"), mode="model", model=extractor, max_turns=4)
    assert [turn.reply.extraction.by for turn in talk.turns] == ["model", "rules", "model", "rules"]
    assert beliefs(talk, OPENER) == [Answered("4")] * 2


async def test_a_model_may_find_the_words(sums):
    """With `control_words model` the model argues, its own answer is taken out, and ours stands below."""
    asked = []

    def argues(request):
        asked.append(request.messages[-1].content)
        return "Two and two make four, count your fingers.\nAnswer: 99"

    agent = sums["agent"]("agent", lambda _: "Answer: 7")
    talk = await sums["talk"](agent, control(sums, "right", "model", argues), max_turns=2)
    reply = talk.turns[1].reply
    assert "argue that the answer is 4" in asked[0]
    assert "count your fingers" in reply.text
    assert "99" not in reply.text
    assert reply.belief == Answered("4")
    assert talk.speakers[OPENER].model == "writer"
    assert reply.attempts == 1
    assert reply.usage.completion_tokens > 0


async def test_a_blank_argument_is_replaced(sums):
    """A model that argues nothing, or only states an answer, still leaves the stance that was set."""
    agent = sums["agent"]("agent", lambda _: "Answer: 7")
    talk = await sums["talk"](agent, control(sums, "right", "model", lambda _: "Answer: 3"), max_turns=2)
    assert talk.turns[1].reply.belief == Answered("4")


def turn(text, belief, seat=OPENER):
    reply = Reply(
        text=text,
        belief=belief,
        correct=None,
        finish_reason=FinishReason.STOP,
        extraction=Extraction(by="rules"),
    )
    return Turn(seat=seat, replies=(reply,))


SAID = "Take two apples. Add two more. That makes five, I think.\nAnswer: 5"


@pytest.mark.parametrize(
    ("shown", "text", "belief", "expected"),
    [
        ("everything", SAID, Answered("5"), SAID),
        ("stance", SAID, Answered("5"), "Answer: 5"),
        ("stance", "Hm. I am not sure.", Unsure(), "I am not sure yet."),
        ("stance", "blah", Unreadable("no"), NO_STANCE),
        ("reasoning", SAID, Answered("5"), "Take two apples. Add two more. That makes five, I think."),
        ("reasoning", "Answer: 5", Answered("5"), NO_REASON),
        ("reasoning", "Answer: 5\nThat is all. Answer: 5", Answered("5"), "That is all."),
        ("reasoning", "Only words.", Unreadable("no"), "Only words."),
        ("nothing", SAID, Answered("5"), AGAIN),
    ],
)
def test_what_is_shown_of_a_turn(sums, shown, text, belief, expected):
    """Each way of showing a turn shows that and no more; one's own turns stay as they are."""
    sight = Sight(shown=shown, task=sums["task"], others=ProblemPool(lambda: [OTHER]))
    own = turn("Answer: 4", Answered("4"), RESPONDER)
    before, seen = sight.of([own, turn(text, belief)], RESPONDER, sums["problem"])
    assert before == own
    assert seen.reply.text == expected
    assert seen.reply.belief == belief


@pytest.mark.parametrize("shown", ["vacuous", "unrelated"])
def test_fillers_are_as_long_and_keep_the_stance(sums, shown):
    """Vacuous and unrelated words: as many as the reasoning has, none of it, and the same stance."""
    sight = Sight(shown=shown, task=sums["task"], others=ProblemPool(lambda: [OTHER, sums["problem"]]))
    text = sight.of([turn(SAID, Answered("5"))], RESPONDER, sums["problem"])[0].reply.text
    filler, _, stance = text.rpartition("\n\n")
    assert stance == "Answer: 5"
    assert len(filler.split()) == len(SAID.splitlines()[0].split())
    assert "apples" not in text
    assert boundary.read(sums["task"], text, sums["problem"]) == Answered("5")
    if shown == "unrelated":
        long = sight.of([turn("word " * 60 + "\nAnswer: 5", Answered("5"))], RESPONDER, sums["problem"])
        assert "spiders" in long[0].reply.text


def test_another_problem_is_always_the_same_and_never_the_own():
    """The pool gives each problem one other problem, however its data are ordered."""
    problems = [Problem(id=f"p{n}", task="sums", question="?", target=str(n)) for n in range(700)]
    pools = [ProblemPool(lambda: problems), ProblemPool(lambda: problems[::-1])]
    for problem in problems[:50]:
        others = {pool.other_than(problem).id for pool in pools}
        assert len(others) == 1
        assert problem.id not in others
    assert ProblemPool(lambda: problems[:1]).other_than(problems[0]) is None


def test_vacuous_words_have_the_length(sums):
    """As many words as asked for, however many."""
    assert [len(vacuous(length).split()) for length in (0, 1, 30, 400)] == [0, 1, 30, 400]


def test_reasons_and_stance_make_no_answer_of_a_quotation(sums):
    """What two answers leave unreadable keeps its reasons, and loses each line that submits one."""
    text = "One may think:\nAnswer: 5\nBut rather:\nAnswer: 6\nbecause of the carry."
    reasons = reasons_in(text, sums["problem"], sums["task"])
    assert reasons.split("\n") == ["One may think:", "But rather:", "because of the carry."]
    assert stance_of(Answered("6"), sums["problem"], sums["task"]) == "Answer: 6"


async def test_nothing_shown_asks_again(sums):
    """The spontaneous flip: the agent is asked again and reads nothing of the partner."""
    asked = []

    def answers(request):
        asked.append(request.messages[-1].content)
        return "Answer: 7"

    agent = Agent(
        name="agent", model=ScriptedModel(answers, name="m"), sampling=Sampling(), system="",
        sight=Sight(shown="nothing", task=sums["task"], others=ProblemPool(list)),
    )  # fmt: skip
    talk = await sums["hold"](
        Pair(max_turns=3, first_reply="{{ opening }} {{ reply }}"),
        {RESPONDER: agent, OPENER: control(sums, "right")},
    )
    assert asked[1] == AGAIN
    assert beliefs(talk, OPENER) == [Answered("4")]


async def test_words_of_a_control_do_not_vouch_for_a_model(sums):
    """That no reply of a model can be read must be seen beside a control, whose words always can."""
    seen = []
    agent = sums["agent"]("agent", lambda _: "Hm.")
    await sums["talk"](agent, control(sums, "right"), max_turns=4, on_belief=seen.append)
    assert [type(belief) for belief in seen] == [Unreadable, Unreadable]


def test_a_sentence_about_another_answer_is_a_reason(sums):
    """Readers that take any answer in a sentence for a submission must not empty the reasoning."""
    text = "You say Answer: 7 and carry wrongly.\nCount again.\nAnswer: 5"

    class Last(type(sums["task"])):
        def read(self, said, problem):
            found = re.findall(r"Answer: ([\d.]+)", said)
            return Answered(found[-1]) if found else Unreadable("none")

    assert reasons_in(text, sums["problem"], Last()) == "You say Answer: 7 and carry wrongly.\nCount again."
