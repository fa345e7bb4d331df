"""Agents whose conformity is known by construction: the decomposition gives it back."""

from contextlib import asynccontextmanager

import numpy as np
import pytest

import coral
from coral import tasks
from coral.metrics.statistics import clustered_ratio
from coral.serving.app import ChatServer
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, ScriptedModel, serve_scripted
from coral.tasks.protocol import Source

PROBLEMS = 80


@asynccontextmanager
async def served(**persona):
    task = tasks.load("sally_anne")
    knowledge = Knowledge(task, task.problems(Source(data=None, split="")))
    behaves = Persona(**{"accuracy": 0.5, "unsure": 0.0, **persona})
    async with listening(ChatServer(serve_scripted(knowledge, behaves)), host="127.0.0.1", port=0) as url:
        yield url


@pytest.mark.parametrize(
    ("restless", "stubbornness", "swayed"),
    [(0.1, 0.7, 0.5), (0.0, 1.0, 0.0)],
)
async def test_the_parts_of_the_flips_are_those_of_the_agent(restless, stubbornness, swayed, tmp_path):
    """Spontaneous, conforming and reasoned shares hold what the agent is made of, toward wrong and right.

    It changes by itself with `restless`; else gives in to a bare answer with 1 - stubbornness; else to words
    with `swayed`. Words are enough, so reasons add nothing to as many vacuous ones.
    """
    stays = 1 - restless
    expected = {
        "spontaneous": restless,
        "conforming": stays * (1 - stubbornness),
        "reasoned": stays * stubbornness * swayed,
        "vacuous words": stays * stubbornness * swayed,
        "reasons beyond vacuous words": 0.0,
    }
    async with served(restless=restless, stubbornness=stubbornness, swayed=swayed) as url:
        results = await coral.study_async(
            {
                "task": {"name": "sally_anne"}, "preset": "controls", "limit": PROBLEMS,
                "agent": {"model": "scripted", "base_url": url}, "extractor": {"mode": "rules"},
                "output": str(tmp_path / "study"),
            }
        )  # fmt: skip
    for found in results.flips:
        assert found.whole.challenged > PROBLEMS / 4
        for part in found.parts:
            slack = 0.02  # of 20 intervals one misses by chance, by next to nothing
            assert part.low - slack <= expected[part.name] <= part.high + slack, (found.toward, part)
    lost = sum(expected[name] for name in ("spontaneous", "conforming", "reasoned"))
    [persuasion] = results.persuasion
    assert persuasion.resistance.low - 0.02 <= 1 - lost <= persuasion.resistance.high + 0.02
    assert persuasion.receptiveness.low - 0.02 <= lost <= persuasion.receptiveness.high + 0.02
    assert persuasion.net.low <= 0 <= persuasion.net.high, "it takes right and wrong arguments alike"


CONFORMITY = (1 - 0.1) * (1 - 0.05) * (1 - 0.65)
"""Not restless, not unsure, and gives in to a bare answer: of the persona below, in that order."""


async def test_conformity_on_real_stories_has_no_bias(data, tmp_path):
    """Hi-ToM, three samples of 90 problems, both directions: a bare answer adds what the agent is made of.

    A doubtful agent withdraws before it could give in, so its conformity is that much lower.
    """
    task = tasks.load("hi_tom")
    knowledge = Knowledge(task, task.problems(Source(data=data, split="")))
    persona = Persona(accuracy=0.5, unsure=0.05, restless=0.1, stubbornness=0.65)
    agent, flips = ScriptedModel(knowledge, persona), {}
    for kind in ("wrong", "right"):
        for sees in ("nothing", "stance"):
            run = await coral.evaluate_async(
                "hi_tom", data=data, samples=3, agent={"model": agent, "sees": sees}, opener="partner",
                max_turns=3, partner={"control": kind, "sees": "everything"}, extractor={"mode": "rules"},
                output=str(tmp_path / kind / sees),
            )  # fmt: skip
            for talk in run.conversations():
                if len(talk.turns) == 3 and talk.turns[0].reply.correct is (kind == "wrong"):
                    flipped = talk.turns[2].reply.correct is (kind == "right")
                    flips.setdefault(talk.problem.id, {}).setdefault(sees, []).append(flipped)

    def rate(sees):
        parts = [(sum(of.get(sees, ())), len(of.get(sees, ()))) for of in flips.values()]
        return clustered_ratio(*np.array(parts).T)

    shown, asked = rate("stance"), rate("nothing")
    stderr = np.linalg.norm(shown.residuals - asked.residuals)
    assert stderr < 0.04
    assert abs(shown.value - asked.value - CONFORMITY) < 2 * stderr


MEETS = {"opener": "partner", "max_turns": 3, "partner": {"control": "wrong", "sees": "everything"}}


def meeting(sees, **agent):
    return {**MEETS, "agent": {"sees": sees, **agent}}


async def test_flips_of_two_agents_never_mix(tmp_path):
    """Two agents beside one kind of control partner: each has its own parts, resistance and panel."""
    async with served(restless=0.0, stubbornness=1.0) as firm, served(restless=0.0, stubbornness=0.0) as soft:
        results = await coral.study_async(
            {
                "task": {"name": "sally_anne"}, "limit": 20, "agent": {"model": "scripted"},
                "extractor": {"mode": "rules"}, "output": str(tmp_path / "study"),
                "arms": {
                    f"{name}{sees}": meeting(sees, base_url=url, temperature=heat)
                    for name, url, heat in (("firm_", firm, 0.1), ("soft_", soft, 0.2))
                    for sees in ("everything", "stance", "nothing")
                },
            }
        )  # fmt: skip
    assert [(one.whole.arms, len(one.parts)) for one in results.flips] == [
        (("firm_everything",), 3),
        (("soft_everything",), 3),
    ]
    firm_parts, soft_parts = ({part.name: part for part in one.parts} for one in results.flips)
    assert firm_parts["conforming"].share == 0
    assert soft_parts["conforming"].share == 1
    assert soft_parts["conforming"].arms == ("soft_stance", "soft_nothing")
    assert [one.arms for one in results.persuasion] == [("firm_everything",), ("soft_everything",)]
    assert (tmp_path / "study" / "flips.png").is_file()


async def test_flips_are_of_all_wordings_together(tmp_path):
    """As contrasts are: no wording is left out, and none is counted as a problem of its own."""
    async with served(restless=0.0, stubbornness=0.5) as url:
        results = await coral.study_async(
            {
                "task": {"name": "sally_anne"}, "limit": 20, "agent": {"model": "scripted", "base_url": url},
                "extractor": {"mode": "rules"}, "output": str(tmp_path / "study"), "preset": "controls",
                "prompts": ["agent", "same"],
            }
        )  # fmt: skip
    wrong, right = results.flips
    assert (wrong.whole.arms, right.whole.arms) == (("wrong",), ("right",))
    flips = {"wrong": 0, "right": 0}
    for name in flips:
        for wording in ("agent", "same"):
            for talk in coral.load_run(tmp_path / "study" / "arms" / f"{name}.{wording}").conversations():
                first = talk.turns[0].reply.correct
                flips[name] += len(talk.turns) == 3 and first is (name == "wrong")
    assert {"wrong": wrong.whole.challenged, "right": right.whole.challenged} == flips
    assert wrong.whole.problems <= 20
    assert [one.arms for one in results.persuasion] == [("wrong", "right")]


async def test_a_control_partner_that_answers_first_challenges_nobody(tmp_path):
    """Without `opener: partner` there is no own answer to be given up, and no flip to be told apart."""
    async with served() as url:
        results = await coral.study_async(
            {
                "task": {"name": "sally_anne"}, "limit": 5, "agent": {"model": "scripted", "base_url": url},
                "extractor": {"mode": "rules"}, "output": str(tmp_path / "study"), "max_turns": 3,
                "arms": {"alone": {"protocol": "single"}, "wrong": {"partner": {"control": "wrong"}}},
            }
        )  # fmt: skip
    assert (results.flips, results.persuasion) == ((), ())
