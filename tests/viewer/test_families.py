"""Studies and loops open as their runs, in their own order, held against their own baseline."""

import json
import shutil

import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer

import coral
from coral.improvement.collapse import StyleStatistics
from coral.improvement.done import write_record
from coral.improvement.results import REPORT, ModelResult, Results
from coral.metrics import Comparison
from coral.viewer.pages import TOKEN_HEADER
from coral.viewer.places import Places
from coral.viewer.runs import open_runs
from coral.viewer.server import ViewServer

STUDY = {
    "task": {"name": "sally_anne"}, "limit": 20, "max_turns": 4,
    "arms": {
        "pair": {}, "alone": {"protocol": "cot"}, "warm": {"agent": {"temperature": 1.0}},
    },
    "contrasts": ["pair - alone", "warm - pair"],
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study of three arms."""
    folder = tmp_path_factory.mktemp("family") / "mine"
    coral.study({**STUDY, "output": str(folder)})
    return folder


async def asked(client, path, **query):
    async with client.get(f"/api/{path}", params=query) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def test_the_arms_of_a_study_are_its_runs(study, view):
    """In the order of its options, against the arm that its first contrast has as its second."""
    async with view(study) as client:
        names = [run["name"] for run in await asked(client, "runs")]
        (family,) = await asked(client, "families")
        standings = await asked(client, "standings", runs="0,1,2", base=1)
        problems = await asked(client, "problems", runs="0,1,2")
        differing = await asked(client, "problems", runs="0,1,2", differ=1)
        paired = await asked(client, "compare", a=1, b=0, limit=1)
    results = json.loads((study / "results.json").read_text())
    assert names == ["pair", "alone", "warm"]
    assert (family["kind"], family["runs"], family["baseline"]) == ("study", [0, 1, 2], 1)
    assert [(one["left"], one["right"]) for one in family["found"]][:2] == [(0, 1), (2, 0)]
    for told, one in zip(family["found"], results["contrasts"], strict=True):
        assert [told[name] for name in ("difference", "low", "high", "p_value", "p_holm")] == [
            one[name] for name in ("difference", "low", "high", "p_value", "p_holm")
        ]
    assert standings[0]["changes"] == paired["changes"]
    assert standings[1]["changes"] == {}
    assert [one["right"] for one in standings] == [
        sum(row["cells"][place][0] for row in problems["rows"]) for place in range(3)
    ]
    assert problems["count"] == 20
    assert differing["count"] == sum(len({cell[0] for cell in row["cells"]}) > 1 for row in problems["rows"])


async def test_a_study_without_a_report_says_so(study, view, tmp_path):
    """Its arms are shown all the same, as is a report that cannot be read."""
    folder = shutil.copytree(study, tmp_path / "mine")
    for content, cause in (
        (None, "no report yet"),
        ("{", "cannot be read"),
        ('{"arms": 1}', "cannot be read"),
    ):
        (folder / "results.json").unlink(missing_ok=True)
        if content is not None:
            (folder / "results.json").write_text(content)
        async with view(folder) as client:
            (family,) = await asked(client, "families")
        assert cause in family["note"]
        assert (family["found"], family["baseline"]) == ([], 1)


@pytest.fixture
def loop(stored, tmp_path):
    """A loop's folder as `coral improve` leaves it: its own options, two models, each evaluated in two ways,
    the training of one, and what was sampled.
    """
    folder = tmp_path / "loop"
    for record, place in (
        ('{"model": "m", "common": {}, "evaluate": {}}', "loop"),
        ('{"training": {}, "model": "m", "rows_sha256": "0"}', "models/pair-dpo-1/train"),
    ):
        (folder / place).mkdir(parents=True)
        (folder / place / "run.json").write_text(record)
    for model in ("start", "pair-dpo-1"):
        for sight, run in (("pair", "first"), ("alone", "second")):
            shutil.copytree(stored / run, folder / "models" / model / sight)
    shutil.copytree(stored / "first", folder / "samples" / "pair-1-start")
    return folder


async def test_the_models_of_a_loop_are_held_against_the_start(loop, view):
    """Each way to evaluate is a family of its own; what was sampled is shown and compared with nothing."""
    async with view(loop) as client:
        names = [run["name"] for run in await asked(client, "runs")]
        families = await asked(client, "families")
    assert names == [
        "start, pair", "pair-dpo-1, pair", "start, alone", "pair-dpo-1, alone", "sampled pair-1-start",
    ]  # fmt: skip
    assert [(one["kind"], one["runs"], one["baseline"]) for one in families] == [
        ("loop", [0, 1], 0), ("loop", [2, 3], 2), ("samples", [4], None),
    ]  # fmt: skip
    assert "coral improve" in families[0]["note"]


async def test_what_was_trained_beside_a_loop_is_shown_with_it(loop, stored, view):
    """As recipes leave it in the loop's folder: evaluations among the loop's, samples among its samples."""
    for place, run in (
        ("further/pair-dpo-opener/pair", "second"),
        ("further/pair-dpo-opener/pair-1-start", "first"),
        ("further/other/final", "second"),
    ):
        shutil.copytree(stored / run, loop / place)
    shutil.copytree(loop / "models" / "pair-dpo-1" / "train", loop / "further" / "other" / "train")
    async with view(loop) as client:
        names = [run["name"] for run in await asked(client, "runs")]
        families = await asked(client, "families")
        standings = await asked(client, "standings", runs="0,1,2", base=0)
    assert names == [
        "start, pair", "pair-dpo-1, pair", "further/pair-dpo-opener, pair", "start, alone",
        "pair-dpo-1, alone", "further/other, final", "sampled pair-1-start",
        "sampled further/pair-dpo-opener/pair-1-start",
    ]  # fmt: skip
    assert [(one["kind"], one["runs"], one["baseline"], one["beside"]) for one in families] == [
        ("loop", [0, 1, 2], 0, [2]), ("loop", [3, 4], 3, []), ("loop", [5], 5, [5]),
        ("samples", [6, 7], None, []),
    ]  # fmt: skip
    assert standings[2]["changes"]


async def test_names_stay_apart(study, stored, view):
    """A run beside a study, and two studies whose arms have the same names."""
    async with view(stored / "first", study) as client:
        assert [run["name"] for run in await asked(client, "runs")] == ["first", "pair", "alone", "warm"]
    names = [run.name for run in open_runs([study, study])]
    assert len(names) == 6


async def test_runs_are_chosen_on_the_start_page(study, stored, tmp_path):
    """All below a folder are listed, studies by one line; what is chosen is opened once."""
    root = tmp_path / "mine"
    shutil.copytree(stored / "first", root / "deep" / "first")
    shutil.copytree(study, root / "study")
    runs = []
    server = ViewServer(runs, forms=[Places(root, runs)])
    async with TestClient(TestServer(server.app), headers={TOKEN_HEADER: server.token}) as client:
        own = {"Origin": str(client.make_url("/")).rstrip("/")}
        found = {one["name"]: one for one in (await asked(client, "places"))["places"]}
        assert set(found) == {"deep/first", "study"}
        assert found["study"]["ended"] == "3/3"
        opened = []
        for name in ("deep/first", "study", "deep/first"):
            chosen = {"number": found[name]["number"]}
            async with client.post("/api/places", json=chosen, headers=own) as response:
                opened.append(await response.json())
        assert opened == [
            {"run": 0, "several": False}, {"run": 1, "several": True}, {"run": 0, "several": False},
        ]  # fmt: skip
        assert [run["name"] for run in await asked(client, "runs")] == ["first", "pair", "alone", "warm"]
        for chosen, cause in (({"number": 7}, "no place 7"), ({"number": "../.."}, "cannot be read")):
            async with client.post("/api/places", json=chosen, headers=own) as response:
                assert response.status == 400
                assert cause in (await response.json())["error"]
        await server.close()


async def test_changes_of_a_loop_are_its_own(loop, view):
    """From its report: each checkpoint against the start where it was so evaluated, and against controls."""
    manner = StyleStatistics(
        instant_agreement=0, copied_turns=0, words_per_turn=1, disagreement=0, conversations=1
    )
    gained = Comparison(
        metric="agreement_correctness", a=0.5, b=0.75, difference=0.25, stderr=0.1, low=0.05, high=0.45,
        p_value=0.01, num_problems=20, num_higher=6, num_lower=1, num_only_a=0, num_only_b=0,
    )  # fmt: skip
    same = msgspec.structs.replace(gained, b=0.5, difference=0.0)
    models = [
        ModelResult(
            name=name, path="", made=None, measured={}, since_start=since, social={}, style=manner, seconds={}
        )
        for name, since in (("start", {"pair": same}), ("pair-dpo-1", {"pair": gained}))
    ]
    results = Results(
        task="open", second_task=None, main_arm="pair-dpo", models=tuple(models),
        head_to_head={"alone-dpo": {"pair": gained}},
    )  # fmt: skip
    write_record(loop / REPORT, results)
    async with view(loop) as client:
        pair, alone, _ = await asked(client, "families")
    assert [(one["text"], one["left"], one["right"]) for one in pair["found"]] == [
        ("pair-dpo-1 - start", 1, 0), ("pair-dpo - alone-dpo, last of each", None, None),
    ]  # fmt: skip
    assert [(one["difference"], one["low"], one["unit"]) for one in pair["found"]] == [
        (0.25, 0.05, "share")
    ] * 2
    assert (alone["found"], alone["note"]) == ([], "")
