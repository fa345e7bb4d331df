"""`coral audit --batch`: second extractor and second judge are asked by batches, at half the price."""

import asyncio
import dataclasses
import shutil

import pytest

import coral
from coral.api import evaluate_async
from coral.audits.audit import AuditConfig, audit
from coral.errors import ConfigError, Interrupted
from coral.evaluation.progress import Progress

TEXTS = 8


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Batches of tests begin and end at once."""
    monkeypatch.setattr("coral.batches.gather.QUIET_S", 0.05)
    monkeypatch.setattr("coral.batches.gather.PATIENCE_S", 30.0)  # a test that needs it is too slow to pass
    monkeypatch.setattr("coral.batches.gather.FIRST_POLL_S", 0.01)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """One agent alone, on eight problems."""
    folder = tmp_path_factory.mktemp("audited") / "run"
    coral.evaluate(
        "sally_anne", agent=lambda messages: "I looked twice.\nAnswer: (A)", limit=TEXTS, protocol="cot",
        output=str(folder),
    )  # fmt: skip
    return folder


@pytest.fixture
def run(stored, tmp_path):
    """A copy of it."""
    return str(shutil.copytree(stored, tmp_path / "run"))


def says(text):
    """A model that replies with one text."""

    async def ask(body):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        return 200, {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}

    return ask


def reader(provider):
    """The audit with a second extractor there."""
    provider.ask = says("A")
    options = {"model": provider.model, "base_url": provider.url, "backoff_s": 0.001, "max_connections": 2}
    return AuditConfig(extractor=options, batch=True, max_connections=2)


async def test_all_texts_of_the_second_extractor_are_one_batch(provider, run):
    """However few may be in flight where it is asked directly; a second audit asks nothing."""
    progress = Progress()
    found = await audit([run], reader(provider), progress)
    assert (found.texts, found.unanswered, found.requests) == (TEXTS, 0, TEXTS)
    assert found.agreements[0].agreement.value == 1.0
    assert (len(provider.batches), provider.most_at_once) == (1, TEXTS)
    assert "at half price" in progress.notes[0]
    again = await audit([run], reader(provider))
    assert (again.agreements, len(provider.batches)) == (found.agreements, 1)


async def test_a_stopped_audit_submits_nothing_twice(provider, run):
    """The batch goes on at the provider, and the same command takes what has come of it."""
    provider.polls = 10**9
    progress, config = Progress(), reader(provider)
    running = asyncio.create_task(audit([run], config, progress))
    while not provider.batches:
        await asyncio.sleep(0.005)
    progress.stopping = True
    with pytest.raises(Interrupted, match="the audit was interrupted"):
        await asyncio.wait_for(running, 20)
    for batch in provider.batches.values():
        batch["left"] = 1
    assert (await audit([run], config)).requests == TEXTS
    assert set(provider.sent.values()) == {1}


async def test_the_limit_on_money_holds_at_the_price_of_batches(openai, run, tmp_path):
    """What would pass it at the list price fits: eight texts at 120 USD per million tokens, halved."""
    prices = tmp_path / "prices.yaml"
    prices.write_text("scripted: {prompt: 1, completion: 1000}\n")
    config = reader(openai)
    limited = dataclasses.replace(config, prices=str(prices), max_cost=0.28)  # 8 x 64 tokens set aside: 0.256
    assert (await audit([run], limited)).requests == TEXTS
    assert len(openai.batches) == 1


@pytest.mark.filterwarnings("ignore::coral.errors.Notice")
async def test_a_second_judge_is_asked_by_batches(openai, tmp_path):
    """Each judged answer once."""
    rows = tmp_path / "why.jsonl"
    rows.write_text("".join(f'{{"question": "Why ({n})?", "answer": "Air."}}\n' for n in range(5)))
    await evaluate_async(
        {"name": "open", "judge": {"model": lambda messages: "Verdict: right"}}, data=str(rows),
        agent=lambda messages: "Answer: It scatters.", protocol="cot", output=str(tmp_path / "run"),
    )  # fmt: skip
    openai.ask = says("Verdict: wrong")
    judge = {"model": openai.model, "base_url": openai.url}
    found = await audit([str(tmp_path / "run")], AuditConfig(judge=judge, batch=True))
    assert (found.verdicts.requests, found.verdicts.unanswered, len(openai.batches)) == (5, 0, 1)
    assert found.verdicts.agreements[0].agreement.value == 0.0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"extractor": {"mode": "rules"}},
        {"extractor": {"model": "ollama/gemma3"}},
        {"extractor": {"mode": "rules", "model": "openai/gpt-5-mini"}},
        {"judge": {"model": "ollama/gemma3"}},
    ],
)
def test_an_audit_of_which_nobody_is_sold_in_batches_is_refused(options):
    """Before anything is read."""
    with pytest.raises(ConfigError, match="nobody who is asked here is sold in batches"):
        AuditConfig(batch=True, **options).check_batch()
