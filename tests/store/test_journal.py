"""The journal of received generations."""

from contextlib import suppress

import pytest
from msgspec.structs import replace

from coral.errors import (
    ABOUT_THE_TEXT,
    BadResponse,
    FatalReject,
    ModelError,
    RateLimited,
    Rejected,
    RunFolderError,
    Unreachable,
)
from coral.models.protocol import Generation, Request, Sampling
from coral.models.scripted import ScriptedModel
from coral.store.journal import Journal
from coral.types import Message, Role, Usage

REQUEST = Request(messages=(Message(Role.USER, "hello"),), sampling=Sampling())


async def test_what_was_received_is_not_asked_again(tmp_path):
    """The next session answers the same step of the same conversation from the journal."""
    first = Journal(tmp_path / "journal", set())
    said = await first.of("c#0")("1", ScriptedModel(lambda _: "once"), REQUEST)
    first.close()
    again = Journal(tmp_path / "journal", set())
    silent = ScriptedModel(lambda _: "never")
    calls = again.of("c#0")
    assert await calls("1", silent, REQUEST) == said
    assert silent.requests == []
    assert (await calls("2", silent, REQUEST)).candidates[0].text == "never"
    again.close()


async def test_conversations_and_steps_are_kept_apart(tmp_path):
    """Another conversation, or another step, is another request."""
    journal = Journal(tmp_path / "journal", set())
    await journal.of("c#0")("1", ScriptedModel(lambda _: "c0 1"), REQUEST)
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    fresh = ScriptedModel(lambda _: "fresh")
    await journal.of("c#1")("1", fresh, REQUEST)
    await journal.of("c#0")("1/extraction", fresh, REQUEST)
    assert len(fresh.requests) == 2
    journal.close()


async def test_finished_conversations_are_not_loaded(tmp_path):
    """Memory on resume grows with what was in flight, not with the run."""
    journal = Journal(tmp_path / "journal", set())
    for number in range(5):
        await journal.of(f"c#{number}")("1", ScriptedModel(lambda _: "x"), REQUEST)
    journal.close()
    assert Journal(tmp_path / "journal", {"c#0", "c#1", "c#2"}).replayed == 2


async def test_a_fault_of_the_network_leaves_no_entry(tmp_path):
    """Nothing was received, and the next try may fare better."""

    def fail(_):
        raise Unreachable("down")

    journal = Journal(tmp_path / "journal", set())
    with pytest.raises(Unreachable):
        await journal.of("c#0")("1", ScriptedModel(fail), REQUEST)
    journal.close()
    assert Journal(tmp_path / "journal", set()).replayed == 0


def failing(error):
    """A model that always fails in one way."""

    def fail(_):
        raise error

    return ScriptedModel(fail)


@pytest.mark.parametrize("kind", ABOUT_THE_TEXT)
async def test_a_failure_that_would_come_again_is_not_paid_again(tmp_path, kind):
    """The next session raises the same exception: words, status and attempts, without a request."""
    journal = Journal(tmp_path / "journal", set())
    with pytest.raises(kind):
        await journal.of("c#0")(
            "1/extraction", failing(kind("no such words", status=400, attempts=3)), REQUEST
        )
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    assert journal.replayed == 1
    silent = ScriptedModel(lambda _: "never")
    with pytest.raises(kind, match=r"^no such words$") as caught:
        await journal.of("c#0")("1/extraction", silent, REQUEST)
    assert (type(caught.value), caught.value.status, caught.value.attempts) == (kind, 400, 3)
    assert silent.requests == []
    journal.close()


@pytest.mark.parametrize("kind", [Unreachable, RateLimited, FatalReject])
async def test_a_failure_that_time_or_the_user_may_mend_is_met_anew(tmp_path, kind):
    """The server is up again, or the key is right now."""
    journal = Journal(tmp_path / "journal", set())
    with pytest.raises(kind):
        await journal.of("c#0")("1", failing(kind("no")), REQUEST)
    journal.close()
    assert Journal(tmp_path / "journal", set()).replayed == 0


REOPENED = [
    ({"2": "BadResponse"}, ["1", "1/extraction"], "the turn's own request failed"),
    (
        {"2": "ok", "2/extraction": "Unreachable"},
        ["1", "1/extraction", "2"],
        "its reply was paid for, and is good",
    ),
    (
        {"2": "ok", "2/c0/extraction": "ok", "2/c1/extraction": "Rejected"},
        ["1", "1/extraction", "2", "2/c0/extraction"],
        "of its candidates, those are asked about again that failed",
    ),
    (
        {"2": "ok", "2/c0/extraction": "ok"},
        ["1", "1/extraction"],
        "no request failed, so no reply could be kept: others are drawn, and nothing is known of them",
    ),
]


@pytest.mark.parametrize(("steps", "kept", "reason"), REOPENED, ids=[row[2] for row in REOPENED])
async def test_what_failed_a_conversation_is_asked_again(tmp_path, steps, kept, reason):
    """And nothing else: a failure in an earlier turn stays, since the later turns build on it."""
    errors = {"BadResponse": BadResponse("x"), "Rejected": Rejected("x"), "Unreachable": Unreachable("x")}
    journal = Journal(tmp_path / "journal", set())
    calls = journal.of("c#0")
    for step, outcome in {"1": "ok", "1/extraction": "Rejected", **steps}.items():
        model = failing(errors[outcome]) if outcome in errors else ScriptedModel(lambda _: "ok")
        with suppress(ModelError):
            await calls(step, model, REQUEST)
    calls.reopen("2")
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    assert journal.replayed == len(kept)
    calls, asked = journal.of("c#0"), []
    for step in ("1", "1/extraction", *steps):
        fresh = ScriptedModel(lambda _: "new")
        with suppress(Rejected):
            await calls(step, fresh, REQUEST)
        asked += [step] if fresh.requests else []
    assert asked == [step for step in steps if step not in kept], reason
    journal.close()


async def test_what_is_received_after_a_failure_counts(tmp_path):
    """Running a failed conversation again may be interrupted, too: what came by then is kept."""
    journal = Journal(tmp_path / "journal", set())
    calls = journal.of("c#0")
    with pytest.raises(BadResponse):
        await calls("1", failing(BadResponse("x")), REQUEST)
    calls.reopen("1")
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    await journal.of("c#0")("1", ScriptedModel(lambda _: "fixed"), REQUEST)
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    silent = ScriptedModel(lambda _: "never")
    assert (await journal.of("c#0")("1", silent, REQUEST)).candidates[0].text == "fixed"
    journal.close()


async def test_a_torn_entry_is_owed_again_and_a_damaged_one_is_named(tmp_path):
    """A kill tears the last line at most; anything else is damage that the user should know of."""
    journal = Journal(tmp_path / "journal", set())
    await journal.of("c#0")("1", ScriptedModel(lambda _: "x"), REQUEST)
    await journal.of("c#0")("2", ScriptedModel(lambda _: "y"), REQUEST)
    journal.close()
    path = tmp_path / "journal" / "00000.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    assert Journal(tmp_path / "journal", set()).replayed == 1
    path.write_bytes(b"x" + whole)
    with pytest.raises(RunFolderError, match="line 1"):
        Journal(tmp_path / "journal", set())


def one_by_one(fails_at, seen):
    """A model that draws each candidate in a response of its own, and fails at one of them."""

    class Singly:
        name = "singly"

        async def generate(self, request):
            candidates = []
            for number in range(request.n):
                part = request.parts.find(str(number))
                if part is None:
                    if number == fails_at:
                        raise Rejected("no")
                    seen.append(number)
                    one = await ScriptedModel(lambda _, n=number: f"text {n}").generate(REQUEST)
                    part = replace(one, attempts=2)
                    request.parts.keep(str(number), part)
                candidates += part.candidates
            return Generation(candidates=tuple(candidates), usage=Usage(), latency_s=0.0)

    return Singly()


async def test_parts_of_a_generation_are_kept_until_it_is_whole(tmp_path):
    """What arrived before a kill or a failed sibling is found again; the whole takes the parts' place."""
    request, seen = replace(REQUEST, n=4), []
    journal = Journal(tmp_path / "journal", set())
    calls = journal.of("c#0")
    with pytest.raises(Rejected):
        await calls("1", one_by_one(2, seen), request)
    calls.reopen("1")
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    assert journal.replayed == 2
    whole = await journal.of("c#0")("1", one_by_one(None, seen), request)
    assert [candidate.text for candidate in whole.candidates] == [f"text {n}" for n in range(4)]
    assert seen == [0, 1, 2, 3], "each was drawn once"
    journal.close()
    journal = Journal(tmp_path / "journal", set())
    assert journal.replayed == 1, "the whole, without its parts"
    calls = journal.of("c#0")
    await calls("1", one_by_one(None, seen), request)
    calls.reopen("1")
    journal.close()
    assert Journal(tmp_path / "journal", set()).replayed == 0, "none of its replies could be kept"
