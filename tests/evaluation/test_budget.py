"""Limits on tokens, money and time: a run stops before one is passed, and the same command resumes it."""

import msgspec
import pytest

import coral
from coral.api import evaluate_async, load_run
from coral.budget import Budget, Limits, OutOfBudget
from coral.cli import main
from coral.errors import ConfigError, StoppedEarly
from coral.metrics.cost import Price, PriceTable
from coral.models.protocol import Candidate, Generation, Request, Sampling
from coral.models.scripted import ScriptedModel
from coral.types import (
    SCHEMA,
    Conversation,
    Failure,
    FinishReason,
    Message,
    Problem,
    Role,
    Speaker,
    Spent,
    StopReason,
    Usage,
)

MODEL = ScriptedModel(lambda _: "word", name="m")
PRICES = PriceTable({"m": Price(prompt=1.0, completion=1.0)})


def request(characters=100, max_tokens=50, n=1):
    return Request(
        messages=(Message(Role.USER, "x" * characters),), sampling=Sampling(max_tokens=max_tokens), n=n
    )


def budget(*, now=None, **limits):
    return Budget(
        Limits(**limits), PRICES, ["m"], is_stopping=lambda: False, clock=lambda: now[0] if now else 0.0
    )


def used(prompt, written):
    return Usage(prompt_tokens=prompt, completion_tokens=written)


async def test_what_may_come_is_set_aside():
    """A request is let in where all that are in flight may end at their most; otherwise it waits."""
    import asyncio

    it = budget(tokens=260)
    first = await it.enter(MODEL, request())  # at most 50 + 16 + 50
    second = await it.enter(MODEL, request())
    third = asyncio.create_task(it.enter(MODEL, request()))
    await asyncio.sleep(0)
    assert not third.done()
    it.leave(first, used(20, 10))
    it.leave(await third, used(20, 10))
    it.leave(second, used(20, 10))
    assert it.spent.tokens == 90


async def test_it_ends_where_nothing_in_flight_can_make_room():
    """The next request could pass the limit: it is not sent, and the cause has both figures."""
    it = budget(tokens=150)
    it.leave(await it.enter(MODEL, request()), used(60, 40))
    with pytest.raises(OutOfBudget, match="100 of 150 tokens"):
        await it.enter(MODEL, request())
    money = budget(usd=0.0001)
    with pytest.raises(OutOfBudget, match=r"\$0.0000 of \$0.0001"):
        await money.enter(MODEL, request())


async def test_prompts_are_estimated_by_what_the_server_counted():
    """A tokenizer that makes few tokens lets more requests in; one that makes many, fewer."""
    it = budget(tokens=10_000)
    it.leave(await it.enter(MODEL, request(1000)), used(100, 1))
    assert it._most(MODEL, request(1000, max_tokens=1)).tokens == pytest.approx(110 + 16 + 1)
    it.leave(await it.enter(MODEL, request(1000)), used(900, 1))
    assert it._most(MODEL, request(1000, max_tokens=1)).tokens == pytest.approx(990 + 16 + 1)


async def test_a_model_that_writes_more_than_it_may_is_expected_to():
    """Thinking tokens come on top of max_tokens: what was seen is what is set aside."""
    it = budget(tokens=10_000)
    it.leave(await it.enter(MODEL, request(max_tokens=10)), used(10, 900))
    assert it._most(MODEL, request(max_tokens=10)).tokens > 900


async def test_tokens_that_nobody_counted_are_counted_at_their_most():
    """Unknown is not 0."""
    it = budget(tokens=10_000)
    it.leave(await it.enter(MODEL, request()), Usage())
    assert it.spent.tokens == 50 + 16 + 50


async def test_time_is_over_before_the_next_request_could_end():
    """The longest request that was seen has to fit in."""
    now = [0.0]
    it = budget(now=now, hours=0.01)
    reservation = await it.enter(MODEL, request())
    now[0] = 20.0
    it.leave(reservation, used(1, 1))
    with pytest.raises(OutOfBudget, match=r"0\.01 hours"):
        await it.enter(MODEL, request())


def test_money_needs_prices():
    """A limit that could not be kept is refused before anything is sent."""
    with pytest.raises(ConfigError, match="max_cost is set, and other has no price"):
        Budget(Limits(usd=1.0), PRICES, ["other"], is_stopping=lambda: False)


async def test_a_run_stops_before_its_limit_and_resumes(serve, data, tmp_path, content):
    """Below the limit in all sessions together; with a higher one the run is what it would have been."""
    async with serve(stubbornness=0.8) as (url, _):
        agent = {"model": "scripted", "base_url": url, "max_tokens": 120}
        more = {"agent": agent, "data": data, "limit": 12, "extractor": {"mode": "rules"}}
        whole = await evaluate_async("hi_tom", output=str(tmp_path / "whole"), **more)
        usage = whole.summary.usage.values()
        total = sum(role.prompt_tokens + role.completion_tokens for role in usage)
        for share in (0.3, 0.6):
            limit = int(share * total)
            with pytest.raises(StoppedEarly, match=f"of {limit:,} tokens") as caught:
                await evaluate_async("hi_tom", output=str(tmp_path / "run"), max_tokens_total=limit, **more)
            assert "higher limit" in caught.value.remedy
            assert "none has failed" in caught.value.remedy
            spent = sum(
                (turn.reply.usage.prompt_tokens or 0) + (turn.reply.usage.completion_tokens or 0)
                for talk in load_run(tmp_path / "run").conversations()
                for turn in talk.turns
            )
            assert 0 < spent <= limit
        run = await evaluate_async("hi_tom", output=str(tmp_path / "run"), max_tokens_total=2 * total, **more)
    assert content(run) == content(whole)


def test_the_command_line(tmp_path, capsys):
    """`--max_tokens_total` ends with code 3 and the remedy; a value that means nothing is refused."""
    path = str(tmp_path / "run")
    assert main(["eval", "sally_anne", "--limit", "3", "--output", path, "--max_tokens_total", "200"]) == 3
    assert "higher limit" in capsys.readouterr().err
    assert main(["eval", "sally_anne", "--limit", "3", "--output", path, "--max_hours", "0"]) == 2
    assert "above 0" in capsys.readouterr().err
    assert main(["eval", "sally_anne", "--limit", "3", "--output", path, "--max_cost", "1"]) == 2
    assert "has no price" in capsys.readouterr().err


def test_an_unlimited_run_has_no_budget(tmp_path):
    """Without limits nothing is set aside."""
    run = coral.evaluate("sally_anne", limit=1, protocol="cot", max_hours=5, output=str(tmp_path / "run"))
    assert run.summary is not None


class Held:
    """What the journal has of a conversation."""

    def holds(self, step):
        return True

    async def __call__(self, step, model, request):
        return await MODEL.generate(request)


async def test_a_failed_conversation_that_is_held_again_counts_once():
    """Its record holds what it had cost, so the replies that the journal gives it again are no new ones."""
    it = budget(tokens=100_000)
    talk = Conversation(
        schema=SCHEMA, id="p#0", problem=Problem(id="p", task="t", question="?", target="A"), opening="?",
        speakers={"responder": Speaker(name="agent", model="m")}, turns=(), stop=StopReason.FAILED, seed=0,
        started_at=0.0, seconds=0.0,
        failure=Failure(
            where="turn 1", type="Rejected", message="no",
            spent=(Spent(role="agent", calls=1, requests=1, usage=used(30, 10)),),
        ),
    )  # fmt: skip
    it.count(talk, None)
    assert it.spent.tokens == 40
    await it.make(Held(), "1", MODEL, msgspec.structs.replace(request(), conversation_id="p#0"))
    assert it.spent.tokens == 40
    await it.make(Held(), "1", MODEL, msgspec.structs.replace(request(), conversation_id="q#0"))
    assert it.spent.tokens > 40, "another conversation's are counted here for the first time"


async def test_pieces_that_count_already_are_not_counted_with_the_whole():
    """A reply of several candidates reports what its pieces of an earlier session took, too."""
    it = budget(tokens=100_000)
    it.replayed(MODEL, used(30, 10))

    async def whole():
        candidate = Candidate(text="x", finish_reason=FinishReason.STOP)
        return Generation(candidates=(candidate,), usage=used(90, 25), latency_s=0.0, attempts=1)

    await it.send(MODEL, request(n=3), whole, counted=used(30, 10))
    assert it.spent.tokens == 115
