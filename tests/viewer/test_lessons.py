"""The rows beside a turn are those that `coral build` makes, to the letter."""

import json

import pytest

import coral
from coral.rows.build import BuildConfig, build

OPTIONS = [{"kind": "dpo"}, {"kind": "sft"}, {"kind": "kto"}, {"kind": "dpo", "score": "majority"}]
COLUMNS = {"dpo": ("chosen", "rejected"), "sft": ("completion",), "kto": ("completion",)}


@pytest.fixture(scope="module")
def sampled(tmp_path_factory):
    """Trees over few problems, with more pairs per problem than a build keeps."""
    folder = tmp_path_factory.mktemp("lessons") / "trees"
    coral.sample("sally_anne", limit=3, samples=24, candidates=4, max_turns=4, split="train", output=folder)
    return folder


@pytest.mark.parametrize("options", OPTIONS, ids=str)
async def test_the_rows_are_those_of_a_build(sampled, view, tmp_path, options):
    """Of every conversation, those that it gives to a build: limits, draws and duplicates included."""
    built = tmp_path / "built"
    report = await build(BuildConfig(runs=[str(sampled)], output=str(built), **options))
    rows = [json.loads(line) for line in (built / "train.jsonl").read_text().splitlines()]
    dropped = {one.name for one in report.filters if one.kept < one.of}
    assert dropped & {"max_per_problem", "distinct", "agreed_and_right"}
    columns = COLUMNS[options["kind"]]
    wanted = sorted(
        [row["source"]["conversation"], row["source"]["turn"], [row[name][0]["content"] for name in columns]]
        for row in rows
    )
    ids = [one.id for one in coral.load_run(sampled).conversations()]
    found = []
    async with view(sampled) as client:
        for identity in ids:
            async with client.get("/api/runs/0/lessons", params={"id": identity, **options}) as response:
                assert response.status == 200
                for row in await response.json():
                    assert [one["column"] for one in row["trained"]] == list(columns)
                    found.append([identity, row["turn"], [one["text"] for one in row["trained"]]])
    assert sorted(found) == wanted
    assert wanted


@pytest.mark.parametrize(
    ("asked", "cause"),
    [({"kind": "ppo"}, "no rows like that"), ({"kind": "sft", "score": "best"}, "no rows like that")],
)
async def test_rows_that_cannot_be_are_refused(sampled, view, asked, cause):
    """In words, with what there is."""
    identity = next(iter(coral.load_run(sampled).conversations())).id
    async with (
        view(sampled) as client,
        client.get("/api/runs/0/lessons", params={"id": identity, **asked}) as response,
    ):
        told = await response.json()
        assert response.status == 400
        assert cause in told["error"]
        assert "dpo" in told["remedy"]
