"""People in the seats, over a real server: what they are told, what is kept, and what survives what."""

import asyncio
import json
import os

import pytest

from coral.api import load_run
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.config import AgentConfig
from coral.people.server import SHARED, Address
from coral.types import OPENER, RESPONDER, StopReason

SPELL = {"seconds": 1.0, "first_key_s": None, "away_s": 0.0}
OWN = ("draft.js", "person.js", "study.js", "person.css")
FORBIDDEN = ("GOLD", "ID0", "ID1", "ID2", "GROUP", "SOURCE", "UNREADABLE", "WORDS_OF_SERVER")


def agrees(messages):
    """Answers what it heard last."""
    heard = messages[-1]["content"].split()[-1]
    return f"I agree, answer {'nothing' if 'secret' in heard else heard}"


async def slow(messages):
    await asyncio.sleep(0.3)
    return agrees(messages)


class Failing:
    """Fails for a while."""

    def __init__(self, times):
        self.left = times

    def __call__(self, messages):
        self.left -= 1
        if self.left >= 0:
            raise RuntimeError("WORDS_OF_SERVER quote: opener-secret-0")
        return agrees(messages)


async def test_from_the_link_to_the_record(study, stored, tmp_path):
    """A conversation is stored and measured like any other, under `human`, with the time it took."""
    async with study(slow, limit=2) as on:
        page = on.page()
        assert (await page.sees("welcome"))["welcome"] == "Thank you for taking part."
        await page.post("seat/next")
        state = await page.sees("yours")
        assert [one["who"] for one in state["messages"]] == ["instructions", "problem"]
        assert (state["number"], state["done"], state["more"]) == (1, 0, True)
        state = await page.says("I say answer 5")
        assert state["phase"] == "waiting"
        assert state["messages"][-1] == {"who": "you", "text": "I say answer 5"}
        state = await page.sees("over")
        assert (state["outcome"], state["done"], state["more"]) == ("agreed", 1, True)
        assert state["messages"][-1] == {"who": "other", "text": "I agree, answer 5"}
        await page.post("seat/next")
        await page.says("No idea.")
        await page.says("answer 7")
        state = await page.sees("over")
        assert (state["more"], state["done"]) == (False, 2)
        run = await on.run
    assert run.summary.models["partner"] == "human"
    assert run.summary.usage["partner"].calls == 3
    first, _ = sorted(stored(), key=lambda one: len(one.turns))
    assert (first.stop, first.speakers[RESPONDER].model) == (StopReason.AGREED, "human")
    assert first.turns[0].reply.belief.value == "5"
    times = [
        json.loads(line) for line in (tmp_path / "run/people/times/00000.jsonl").read_text().splitlines()
    ]
    assert [(one["session"], one["seconds"], one["first_key_s"], one["away_s"]) for one in times] == [
        (1, 2.5, 1.25, 0.5)
    ] * 3
    assert {one["conversation"] for one in times} == {one.id for one in stored()}


@pytest.mark.parametrize("seat", [OPENER, RESPONDER])
@pytest.mark.parametrize("probe", [False, True])
async def test_a_page_is_told_what_the_seat_sees_and_no_more(study, seat, probe):
    """In no answer and in no script: gold, ids, groups, the other's briefing, failures, beliefs."""
    model = Failing(1)
    async with study(model, seat=seat, limit=1, probe=probe) as on:
        page, other = on.page(), RESPONDER if seat == OPENER else OPENER
        for name in ("/", *(f"/page/{one}" for one in (*SHARED, *OWN))):
            await page.get(name)
        await page.sees("welcome")
        await page.post("seat/next")
        words = iter(("hm", "and hm"))
        while (state := await page.sees("yours", "trouble", "over"))["phase"] != "over":
            if state["phase"] == "trouble":
                await page.post("seat/again", again=True)
            else:
                await page.says(next(words, "answer 9"))
    assert f"{seat}-secret-" in page.told
    assert "I agree" in page.told
    for word in (*FORBIDDEN, f"{other}-secret-", '"correct"', '"belief"', '"verdict"'):
        where = page.told.find(word)
        assert where < 0, page.told[max(0, where - 200) : where + 200]
    assert ('"who":"aside"' in page.told) == probe


async def test_the_same_link_after_the_study_was_stopped(study, stored):
    """Same address, same place, nothing asked twice; whoever has finished all has a page that says so."""
    heard = []

    def model(messages):
        heard.append(len(messages))
        return agrees(messages)

    async with study(model, limit=1) as on:
        page, base, token = on.page(), on.server.base, on.tokens[0]
        await page.sees("welcome")
        await page.post("seat/next")
        await page.says("Good morning.")
        before = await page.sees("yours")
    assert stored() == []
    async with study(model, limit=1) as on:
        assert (on.server.base, on.tokens) == (base, [token])
        page = on.page()
        after = await page.sees("yours")
        assert (after["messages"], after["turn"]) == (before["messages"], before["turn"])
        assert after["version"] != before["version"]
        await page.says("answer 3")
        await page.sees("over")
    (conversation,) = stored()
    assert [turn.reply.text for turn in conversation.turns][::2] == ["Good morning.", "answer 3"]
    assert len(heard) == 2


async def test_what_was_sent_is_not_asked_again_if_the_process_dies_behind_it(study, stored, tmp_path):
    """Words are on the disk before their page hears that they were sent."""
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.sees("welcome")
        await page.post("seat/next")
        state = await page.sees("yours")
        session = on.host.places[0].session
    path = tmp_path / "run/people/session-0001.json"
    kept = json.loads(path.read_bytes())
    kept["said"] = {"turn": state["turn"], "text": "answer 4"}
    path.write_text(json.dumps(kept))
    assert session.said is None
    async with study(agrees, limit=1) as on:
        await on.page().sees("over")
    assert stored()[0].turns[0].reply.text == "answer 4"


async def test_several_people_each_with_problems_of_their_own(study, stored):
    """All at once; nobody meets a problem twice, and with as many samples as people everybody meets all."""
    async with study(slow, sessions=2, samples=2) as on:
        pages = [on.page(0), on.page(1)]

        async def work(page):
            for _ in range(3):
                await page.post("seat/next")
                await page.says("I say answer 1")
                await page.sees("over")
            return await page.get()

        ends = await asyncio.gather(*map(work, pages))
        assert [(end["done"], end["more"]) for end in ends] == [(3, False)] * 2
        sessions = [place.session for place in on.host.places]
        assert [sorted(one[:3] for one in s.conversations) for s in sessions] == [["ID0", "ID1", "ID2"]] * 2
    assert len({one.id for one in stored()}) == 6


async def test_a_link_that_finds_no_problem_left_says_so(study):
    """One problem, two links: the first has it."""
    async with study(agrees, sessions=2, limit=1) as on:
        first, second = on.page(0), on.page(1)
        await first.post("seat/next")
        assert (await second.post("seat/next"))["phase"] == "welcome"
        assert not (await second.get())["more"]
        await first.says("answer 2")


async def test_two_people_with_each_other(study, stored):
    """A link per seat: it begins when both pages are open, and each is told of their own seat alone."""
    async with study("human", limit=1) as on:
        seats = [on.host.seats[place.session.name] for place in on.host.places]
        opener, responder = on.page(seats.index(OPENER)), on.page(seats.index(RESPONDER))
        assert (await responder.post("seat/next"))["phase"] == "gathering"
        on.host.places[seats.index(RESPONDER)].seen_at = float("-inf")  # closed, an hour ago
        assert (await opener.post("seat/next"))["phase"] == "gathering"
        assert (await responder.get())["number"] == 1
        await responder.says("I say answer 8")
        first = (await opener.sees("yours"))["messages"][-1]
        assert (first["who"], first["text"].endswith("I say answer 8")) == ("beginning", True)
        await opener.says("Fine, answer 8")
        ends = await asyncio.gather(opener.sees("over"), responder.sees("over"))
        assert [end["outcome"] for end in ends] == ["agreed", "agreed"]
        assert ends[1]["messages"][-1] == {"who": "other", "text": "Fine, answer 8"}
        assert "responder-secret" not in opener.told
        assert "opener-secret" not in responder.told
    (conversation,) = stored()
    assert {speaker.model for speaker in conversation.speakers.values()} == {"human"}


async def test_a_model_that_fails_while_a_person_waits(study, stored):
    """They are told, without the server's words, and it is asked again when they say so; nothing is lost."""
    async with study(Failing(2), limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("I say answer 6")
        for _ in range(2):
            state = await page.sees("trouble")
            assert state["messages"][-1]["text"] == "I say answer 6"
            await page.post("seat/again", again=True)
        assert (await page.sees("over"))["outcome"] == "agreed"
        assert "WORDS_OF_SERVER" not in page.told
        assert sum("WORDS_OF_SERVER" in line for line in on.said) == 2
    assert stored()[0].stop is StopReason.AGREED


async def test_a_server_that_is_away_for_a_while(study, stored, serve, refusal, data):
    """Scripted agents behind HTTP: after all retries the person is told, and can go on."""
    away = [True]

    def react(number, body):
        del number, body
        return refusal(503, "WORDS_OF_SERVER") if away[0] else None

    async with serve(react=react, accuracy=1.0) as (url, _):
        away[0] = False
        agent = AgentConfig(
            model="scripted", base_url=url, max_attempts=3, backoff_s=0.001, max_backoff_s=0.002
        )
        async with study(agent, task="hi_tom", data=data, limit=1) as on:
            page = on.page()
            await page.post("seat/next")
            await page.sees("yours")
            away[0] = True
            await page.says("I am not sure yet.")
            await page.sees("trouble")
            away[0] = False
            await page.post("seat/again", again=True)
            state = await page.sees("yours")
            answer = state["messages"][-1]["text"]
            await page.says(f"You are right. {answer}")
            assert (await page.sees("over"))["outcome"] == "agreed"
            assert "WORDS_OF_SERVER" not in page.told
    (conversation,) = stored()
    assert conversation.turns[-1].reply.correct


async def test_a_conversation_that_is_given_up_is_failed_and_can_be_held_again(study, stored):
    """By whom had it, and from where it was."""
    async with study(Failing(1), limit=2) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("I say answer 6")
        await page.sees("trouble")
        await page.post("seat/again", again=False)
        state = await page.sees("over")
        assert (state["outcome"], state["more"]) == ("failed", True)
        await page.post("seat/next")
        await page.says("answer 1")
        await page.sees("over")
        token = on.tokens[0]
    assert [one.stop for one in stored()] == [StopReason.FAILED, StopReason.AGREED]
    async with study(Failing(0), limit=2, retry_failed=True) as on:
        assert on.tokens == [token]
        state = await on.page().sees("over")
        assert state["done"] == 2
    assert {one.stop for one in stored()} == {StopReason.AGREED}


def leaves(on, number=0):
    """As if the page had been closed a while ago."""
    on.host.places[number].seen_at = float("-inf")


async def refused(page, path, **body):
    response, found = await page.send("POST", f"/api/{path}", json=body)
    assert response.status in {400, 403}, found
    return found["error"]


async def test_an_abandoned_conversation_is_handed_on(study, stored, tmp_path):
    """It goes on from where it stands, on a new link; who left it is told so, and gets other problems."""
    async with study(agrees, limit=2, samples=2) as on:
        own, page = on.own_page(), on.page()
        await page.post("seat/next")
        await page.says("Good morning.")
        before = await page.sees("yours")
        assert "is open" in await refused(own, "people/hand_on", number=1)
        leaves(on)
        (session,) = (await own.get("/api/people"))["sessions"]
        assert session["left"]
        found = await own.post("people/hand_on", number=1)
        assert [(one["number"], one["phase"], one["left"]) for one in found["sessions"]] == [
            (1, "over", False), (2, "yours", True)
        ]  # fmt: skip
        assert "in no conversation" in await refused(own, "people/hand_on", number=1)
        assert "in no conversation" in await refused(own, "people/hand_on", number=9)
        assert "not of who runs" in await refused(page, "people/hand_on", number=2)
        other = on.page(1)
        state = await other.sees("yours")
        assert (state["messages"], state["turn"]) == (before["messages"], before["turn"])
        assert "since" in await refused(
            page,
            "seat/say",
            turn=before["turn"],
            text="late",
            spell={"seconds": 1, "first_key_s": None, "away_s": 0},
        )
        await other.says("answer 4")
        assert (await other.sees("over"))["outcome"] == "agreed"
        back = await page.get()
        assert (back["phase"], back["outcome"], back["messages"], back["done"]) == (
            "over",
            "handed on",
            [],
            0,
        )
        handed = on.host.places[1].session.conversations[0]
        await page.post("seat/next")
        await page.says("answer 5")
        await page.sees("over")
        begun = on.host.places[0].session.conversations
    assert handed.partition("#")[0] not in {one.partition("#")[0] for one in begun}
    first = next(one for one in stored() if one.id == handed)
    assert [turn.reply.text for turn in first.turns][::2] == ["Good morning.", "answer 4"]
    lines = (tmp_path / "run/people/times/00000.jsonl").read_text().splitlines()
    assert [json.loads(line)["session"] for line in lines] == [1, 2, 1]


async def test_a_conversation_is_handed_on_while_the_other_speaks(study, stored):
    """Words that were sent are not asked for again, and the reply comes to the new link."""
    async with study(slow, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("Good morning.")
        leaves(on)
        await on.own_page().post("people/hand_on", number=1)
        other = on.page(1)
        await other.says("answer 2")
        await other.sees("over")
    (conversation,) = stored()
    assert [turn.reply.text for turn in conversation.turns][::2] == ["Good morning.", "answer 2"]


async def test_a_failed_request_is_handed_on(study, stored):
    """Who takes the conversation over may have it sent again."""
    async with study(Failing(1), limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("I say answer 6")
        await page.sees("trouble")
        leaves(on)
        await on.own_page().post("people/hand_on", number=1)
        other = on.page(1)
        await other.sees("trouble")
        await other.post("seat/again", again=True)
        assert (await other.sees("over"))["outcome"] == "agreed"


async def test_a_process_that_dies_while_it_hands_on_leaves_one_owner(study, stored, tmp_path):
    """Both sessions were written as if they had the conversation: the new one has it."""
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("Good morning.")
        await page.sees("yours")
        leaves(on)
        kept = (tmp_path / "run/people/session-0001.json").read_bytes()
        await on.own_page().post("people/hand_on", number=1)
    (tmp_path / "run/people/session-0001.json").write_bytes(kept)
    async with study(agrees, limit=1) as on:
        assert (await on.page(0).get())["phase"] == "over"
        other = on.page(1)
        await other.says("answer 2")
        await other.sees("over")
    assert len(stored()) == 1


async def test_who_runs_the_study_makes_links_on_demand(study):
    """And sees how far each session is, but no word of it."""
    async with study(agrees, limit=3) as on:
        own, page = on.own_page(), on.page()
        assert (await own.get())["phase"] == "study"
        await page.post("seat/next")
        await page.says("a WORD of theirs")
        await page.sees("yours")
        found = await own.post("people")
        assert [(one["number"], one["phase"], one["present"]) for one in found["sessions"]] == [
            (1, "yours", True), (2, "welcome", False)
        ]  # fmt: skip
        assert (found["left"], found["plain"]) == (2, False)
        assert found["reads"] == f"coral view {on.host.folder}"
        assert "WORD" not in own.told
        assert len(set(on.tokens)) == 2
        link = found["sessions"][1]["link"]
        assert link == f"{on.server.base}/?token={on.tokens[1]}"
        await on.page(1).post("seat/next")


async def test_a_name_that_is_given_is_answered_to(study):
    """Behind a proxy: links lead there, and words from there are taken."""
    async with study(agrees, limit=1, address=Address(public="https://study.example")) as on:
        page = on.page()
        assert on.server.link("T") == "https://study.example/?token=T"
        page.base = f"http://127.0.0.1:{on.host.sessions.door.port}"
        outside = {"Host": "study.example", "Origin": "https://study.example"}
        response, state = await page.send("POST", "/api/seat/next", json={}, headers=outside)
        assert (response.status, state["number"]) == (200, 1)
        response, _ = await page.send("POST", "/api/seat/next", json={}, headers={"Host": "other.example"})
        assert response.status == 403


async def test_requests_that_are_sent_again_are_spoken_of(study):
    """While somebody waits, and in no words of the server."""

    answers = asyncio.Event()

    async def silent(messages):
        await answers.wait()
        return agrees(messages)

    async with study(silent, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        assert not (await page.says("answer 1"))["slow"]
        on.progress.retry_state.note("a request", None)
        assert (await page.get())["slow"]
        on.progress.retry_state.settle("a request")
        assert not (await page.get())["slow"]
        answers.set()
        await page.sees("over")


async def test_people_who_begin_without_an_answer_do_not_stop_the_run(study, monkeypatch):
    """As models do whose every reply cannot be read."""
    monkeypatch.setattr("coral.evaluation.breaker.UNREADABLE", 1)
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        await page.says("I have to think first.")
        await page.says("answer first.")
        await page.sees("over")


async def test_who_sends_while_the_study_stops_has_their_words_still(study):
    """They are told, and asked again when it is back."""
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        state = await page.sees("yours")
        on.host.stopping = True
        response, found = await page.send("POST", "/api/seat/say", json={**GOOD, "turn": state["turn"]})
        assert (response.status, found["error"]) == (400, "the study stops just now")
        on.host.stopping = False


DAMAGED = [
    (b"{", "truncated"),
    (b'{"number": 1, "name": "partner"}', "missing required field `token`"),
    (b'{"number": 1, "name": "partner", "token": "t", "more": 1}', "unknown field `more`"),
    (b"\xff", "invalid"),
]


@pytest.mark.parametrize(("content", "words"), DAMAGED)
async def test_a_damaged_session_is_named(study, tmp_path, content, words):
    """Rather than given to somebody anew: its link would lead nowhere."""
    async with study(agrees, limit=1):
        pass
    (tmp_path / "run/people/session-0001.json").write_bytes(content)
    with pytest.raises(RunFolderError, match=f"session-0001.json is damaged.*{words}"):
        async with study(agrees, limit=1):
            pass


async def test_only_the_owner_can_read_the_links(study, tmp_path):
    """A link is a key."""
    async with study(agrees, limit=1):
        assert (tmp_path / "run/people").stat().st_mode & 0o077 == 0


GOOD = {"turn": "", "text": "answer 1", "spell": {"seconds": 1, "first_key_s": None, "away_s": 0}}
REFUSED = [
    ("a token that nobody has", "GET", "/api/seat", {"X-Coral-Token": "guess"}, None, 403, "not known here"),
    ("no token", "GET", "/api/seat", {"X-Coral-Token": ""}, None, 403, "not known here"),
    ("a token that is no ASCII", "GET", "/api/seat", {"X-Coral-Token": "\xe9"}, None, 403, "not known here"),
    ("another name of the server", "GET", "/", {"Host": "evil.example"}, None, 403, "--address"),
    ("another page", "POST", "/api/seat/next", {"Origin": "http://evil.example"}, {}, 403, "only the page"),
    ("no page", "POST", "/api/seat/next", {"Origin": ""}, {}, 403, "only the page"),
    ("a form", "POST", "/api/seat/next", {"Content-Type": "text/plain"}, {}, 415, "application/json"),
    ("a person among links", "GET", "/api/people", {}, None, 403, "is of a person"),
    ("a person who makes links", "POST", "/api/people", {}, {}, 403, "is of a person"),
    ("another turn", "POST", "/api/seat/say", {}, {**GOOD, "turn": "0"}, 400, "has gone on"),
    ("nothing", "POST", "/api/seat/say", {}, {**GOOD, "text": " \n"}, 400, "nothing to send"),
    ("too much", "POST", "/api/seat/say", {}, {**GOOD, "text": "x" * 1_000_001}, 413, "too long"),
    ("an unknown field", "POST", "/api/seat/say", {}, {**GOOD, "more": 1}, 400, "cannot be read"),
    ("no object", "POST", "/api/seat/say", {}, [[[]]], 400, "cannot be read"),
    ("a path", "GET", "/page/../sessions.py", {}, None, 404, "Not Found"),
    ("a file that is not the page's", "GET", "/page/inside.js", {}, None, 404, "Not Found"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "method", "path", "headers", "body", "status", "words"), REFUSED)
async def test_what_is_refused(study, name, method, path, headers, body, status, words):
    """With words that its reader understands, under a policy that lets nothing else load."""
    del name
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        state = await page.sees("yours")
        if isinstance(body, dict) and body.get("turn") == "":
            body = {**body, "turn": state["turn"]}
        response, found = await page.send(method, path, json=body, headers=headers)
        assert (response.status, words in found["error"]) == (status, True), found
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert (await page.get())["phase"] == "yours"


async def test_what_is_sent_twice_counts_once(study, stored):
    """As after an answer that was lost on its way; and half a surrogate pair is kept as a mark."""
    async with study(slow, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        state = await page.sees("yours")
        for _ in range(2):
            await page.post("seat/say", turn=state["turn"], text="x \ud83d answer 1", spell=GOOD["spell"])
        await page.sees("over")
    assert [turn.reply.text for turn in stored()[0].turns] == ["x \ufffd answer 1", "I agree, answer 1"]


async def test_words_that_cannot_be_kept_are_not_taken(study, monkeypatch):
    """The page says so and has them still; sent again when there is room, they count."""
    async with study(agrees, limit=1) as on:
        page = on.page()
        await page.post("seat/next")
        state = await page.sees("yours")

        def full(*_):
            raise OSError(28, os.strerror(28))

        with monkeypatch.context() as patch:
            patch.setattr("coral.people.sessions.write_whole", full)
            body = {**GOOD, "turn": state["turn"]}
            response, found = await page.send("POST", "/api/seat/say", json=body)
        assert (response.status, "No space left" in found["error"]) == (400, True)
        assert (await page.get())["turn"] == state["turn"]
        await page.says("answer 1")
        await page.sees("over")


ADDRESSES = [
    (Address(), "http://127.0.0.1:80", False),
    (Address(host="localhost"), "http://localhost:80", False),
    (Address(host="::1"), "http://[::1]:80", False),
    (Address(host="192.0.2.7"), "http://192.0.2.7:80", True),
    (Address(host="::"), f"http://{os.uname().nodename}:80", True),
    (Address(host="0.0.0.0", public="https://study.example/a/"), "https://study.example/a", False),
    (Address(public="http://study.example"), "http://study.example", False),
]


@pytest.mark.parametrize(("address", "base", "plain"), ADDRESSES)
def test_where_links_lead(address, base, plain):
    """To the named address, else to where it is bound; plain where others may read along."""
    assert (address.base(80), address.is_plain) == (base, plain)


@pytest.mark.parametrize("public", ["study.example", "ftp://x", "https://", "https://x/?a=1"])
def test_what_is_no_address(public):
    """Refused with an example."""
    with pytest.raises(ConfigError, match="not the address of a page"):
        Address(public=public)


async def test_a_port_in_use_is_told_and_nothing_is_lost(study, tmp_path):
    """The port of the links so far is taken: other links would not be found."""
    async with study(agrees, limit=1) as on:
        port = on.server.base.rpartition(":")[2]
    taken = await asyncio.start_server(lambda *_: None, "127.0.0.1", int(port))
    async with taken:
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}") as refused:
            async with study(agrees, limit=1):
                pass
        assert "--port" in refused.value.remedy
    async with study(agrees, limit=1) as on:
        assert on.server.base.endswith(port)
        assert load_run(tmp_path / "run").path.exists()
