"""Blind judgements: nobody sees which run is which, nothing is lost, and the results are what was said."""

import json
import math

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from coral.cli import main
from coral.errors import RunFolderError, UserError
from coral.viewer.judging import DESIGN, JUDGEMENTS, Judgement, Judging, draw
from coral.viewer.pages import TOKEN_HEADER
from coral.viewer.server import ViewServer
from coral.viewer.verdicts import alpha, bradley_terry, preferences, strengths


def design(*paths, pairs=10, aspects=("naturalness", "politeness"), seed=0):
    return draw([str(path) for path in paths], pairs=pairs, aspects=aspects, seed=seed,
                names=[path.name for path in paths])  # fmt: skip


@pytest.fixture
def judging(stored, tmp_path):
    return Judging.begin(tmp_path / "judged", design(stored / "first", stored / "second"))


def said(judging, judge, choose):
    """A judge who takes `choose(number of the run on the left)` for all pairs; returns what was shown."""
    shown = []
    while (pair := judging.next(judge)) is not None:
        shown.append(pair)
        judging.judge(judge, pair["pair"], dict.fromkeys(pair["aspects"], choose(pair)))
    return shown


def test_nothing_tells_which_run_is_which(judging, stored):
    """No name, model, belief, verdict or gold; and the sides are mixed."""
    shown = said(judging, "Ada", lambda _: "left")
    told = json.dumps(shown)
    for word in ("first", "second", "python:", "view_bots", "correct", "target", str(stored)):
        assert word not in told
    lefts = {one.left for one in judging.judgements}
    assert lefts == {0, 1}
    assert {pair["pair"] for pair in shown} == {pair.id for pair in judging.design.pairs}


def test_what_is_shown_left_is_counted_for_its_run(judging):
    """A judge who prefers whatever is plain prefers the second run, on whichever side it stands."""

    def plain(pair):
        return "left" if pair["left"][0]["text"].startswith("Plainly") else "right"

    said(judging, "Ada", plain)
    for found in preferences(judging.design, judging.judgements):
        assert (found.a, found.b, found.rate) == ("first", "second", 1.0)
        assert (found.wins, found.losses, found.pairs) == (10, 0, 10)
        assert found.low < 1.0 == found.high


def test_every_judge_has_an_order_and_sides_of_their_own_and_resumes(judging):
    """The same name goes on where it stopped, also after a kill in the middle of a line."""
    first = judging.next("Ada")
    orders = {tuple(pair["pair"] for pair in said(judging, name, lambda _: "neither")) for name in "BCDE"}
    assert len(orders) > 1
    judging.judge("Ada", first["pair"], dict.fromkeys(first["aspects"], "left"))
    with (judging.folder / JUDGEMENTS).open("ab") as file:
        file.write(b'{"judge":"Ada","pa')
    again = Judging.resume(judging.folder)
    assert again.progress("Ada") == (1, 10)
    assert again.next("Ada")["pair"] != first["pair"]
    assert again.progress("B") == (10, 10)
    said(again, "Ada", lambda _: "right")
    assert Judging.resume(judging.folder).progress("Ada") == (10, 10)


def test_the_latest_judgement_counts(judging):
    """Whoever judges a pair again is counted once."""
    pair = judging.next("Ada")
    for choice in ("left", "right"):
        judging.judge("Ada", pair["pair"], dict.fromkeys(pair["aspects"], choice))
    again = Judging.resume(judging.folder)
    assert len(again.judgements) == 2
    assert all(one.better != one.left for one in again.judgements)


@pytest.mark.parametrize(
    ("judge", "pair", "choices", "cause"),
    [
        ("", "1", {"naturalness": "left", "politeness": "left"}, "name"),
        ("A" * 61, "1", {"naturalness": "left", "politeness": "left"}, "name"),
        ("Ada", "99", {"naturalness": "left", "politeness": "left"}, "no pair"),
        ("Ada", "1", {"naturalness": "left"}, "every aspect"),
        ("Ada", "1", {"naturalness": "left", "politeness": "up"}, "every aspect"),
        ("Ada", "1", {"naturalness": "left", "politeness": "left", "more": "left"}, "every aspect"),
    ],
)
def test_half_a_judgement_is_none(judging, judge, pair, choices, cause):
    """Refused whole, with the remedy."""
    with pytest.raises(UserError, match=cause) as refused:
        judging.judge(judge, pair, choices)
    assert refused.value.remedy
    assert judging.judgements == []


def one(judge, pair, better):
    return Judgement(judge=judge, pair=pair, aspect="x", better=better, left=0, at=0.0)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"1": (0, 0), "2": (1, 1), "3": (None, None)}, 1.0),
        ({"1": (0, 1), "2": (1, 0)}, -0.5),
        ({"1": (0,), "2": (1,)}, None),
        ({"1": (0, 0), "2": (0, 0)}, 1.0),
        # Krippendorff (2011), section B: two observers, ten units, two values; alpha is 0.095
        ({str(n): pair for n, pair in enumerate(zip([0, 1, 0, 0, 0, 0, 0, 0, 1, 0],
                                                     [1, 1, 1, 0, 0, 1, 0, 0, 0, 0], strict=True))}, 0.095),
    ],
)  # fmt: skip
def test_alpha_by_hand(table, expected):
    """Krippendorff's own example, and the ends of the scale."""
    judgements = [
        one(f"j{n}", pair, value) for pair, values in table.items() for n, value in enumerate(values)
    ]
    found = alpha(judgements, "x")
    assert found == (None if expected is None else pytest.approx(expected, abs=5e-4))


def test_strengths_of_known_runs_are_found():
    """Wins drawn from known strengths give them back; all against none stays finite."""
    true = np.array([0.8, 0.0, -0.8])
    rng = np.random.default_rng(0)
    wins = np.zeros((3, 3))
    for a in range(3):
        for b in range(3):
            if a < b:
                won = rng.binomial(4000, 1 / (1 + math.exp(true[b] - true[a])))
                wins[a, b], wins[b, a] = won, 4000 - won
    assert bradley_terry(wins) == pytest.approx(true, abs=0.06)
    lonely = bradley_terry(np.array([[0.0, 9.0], [0.0, 0.0]]))
    assert np.isfinite(lonely).all()
    assert lonely[0] > lonely[1]


def test_three_runs_have_strengths(stored, tmp_path):
    """With intervals; who is always preferred is strongest."""
    copies = [stored / "first", stored / "second", stored / "first"]
    judged = Judging.begin(tmp_path / "judged", design(*copies, pairs=30))
    said(judged, "Ada", lambda pair: "left" if pair["left"][0]["text"].startswith("Plainly") else "right")
    found = [one for one in strengths(judged.design, judged.judgements) if one.aspect == "politeness"]
    strongest = max(found, key=lambda one: one.value)
    assert strongest.run == "second"
    assert all(one.low <= one.value <= one.high for one in found)


async def test_the_page_asks_and_keeps(judging):
    """Over HTTP, with the token and from the own page only."""
    server = ViewServer([], forms=[judging])
    async with TestClient(TestServer(server.app), headers={TOKEN_HEADER: server.token}) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        async with client.get("/api/judging", params={"judge": "Ada"}) as response:
            pair = await response.json()
        body = {"judge": "Ada", "pair": pair["pair"], "choices": dict.fromkeys(pair["aspects"], "right")}
        async with client.post("/api/judging", json=body) as response:
            assert response.status == 403
        async with client.post("/api/judging", json={"judge": "Ada"}, headers=own) as response:
            assert response.status == 400
        async with client.post("/api/judging", json=body, headers=own) as response:
            following = await response.json()
    assert following["done"] == 1
    assert following["pair"] != pair["pair"]
    assert judging.progress("Ada") == (1, 10)


def test_results_on_the_command_line(judging, capsys):
    """A table of 80 columns, and a csv with every judgement."""
    assert main(["judge", str(judging.folder), "--results", "true"]) == 2
    assert "nobody has judged yet" in capsys.readouterr().err
    for name in ("Ada", "Ben"):
        said(judging, name, lambda _: "left")
    assert main(["judge", str(judging.folder), "--results", "true"]) == 0
    out = capsys.readouterr().out
    assert "2 judges, 10 of 10 pairs" in out
    assert all(len(line) <= 80 for line in out.splitlines() if "judgements.csv" not in line)
    lines = (judging.folder / "judgements.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 10 * 2


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ([], "holds no judgements"),
        (["{first}", "--output", "new"], "two runs are judged"),
        (["{first}", "{second}"], "no folder for the judgements"),
        (["{first}", "{second}", "--output", "new", "--results", "true"], "--results is of judgements"),
        (["{first}", "{second}", "--output", "new", "--aspects", "[]"], "no aspect"),
        (["{first}", "nowhere", "--output", "new"], "nowhere is not a run folder"),
        (["{first}", "{second}", "--output", "{judged}"], "holds judgements"),
    ],
)
def test_what_cannot_be_judged_is_refused(judging, stored, tmp_path, monkeypatch, capsys, words, cause):
    """With the remedy, before a page is served."""
    monkeypatch.chdir(tmp_path)
    places = {"first": stored / "first", "second": stored / "second", "judged": judging.folder}
    assert main(["judge", *([word.format(**places) for word in words] or ["nowhere"])]) == 2
    told = capsys.readouterr().err
    assert cause in told
    assert "->" in told
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [(DESIGN, b"{"), (DESIGN, b'{"runs": 1}'), (JUDGEMENTS, b'{"judge": 1}\n'), (JUDGEMENTS, b"\xff\n")],
)
def test_damaged_judgements_are_named(judging, name, content):
    """With the file."""
    (judging.folder / name).write_bytes(content)
    with pytest.raises(RunFolderError, match=f"{name}.*damaged"):
        Judging.resume(judging.folder)
