"""`coral plot` and `run.plot`: pictures can be read whatever the runs are, and are the same every time."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import re
import zlib

import pytest

import coral
from coral.cli import main
from coral.errors import ConfigError, RunFolderError
from coral.evaluation.pictures import _figures
from coral.plots import KINDS, draw, short_names
from coral.store.folder import RunFolder

pytest.importorskip("matplotlib")


def speaks(messages):
    """Right, wrong, unsure or unreadable, by the text alone."""
    text = " ".join(message["content"] for message in messages)
    return ["The answer is 7.", "The answer is 8.", "I am not sure yet.", "Hm.", "The answer is 7."][
        zlib.crc32(text.encode()) % 5
    ]


def evaluated(folder, groups, **options):
    count = max(groups, 8)
    rows = [{"question": f"{n} + 1?", "answer": 7, "topic": f"topic {n % groups}"} for n in range(count)]
    data = folder / f"{groups}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"name": "open", "kind": "number", "question": "question", "answer": "answer", "group": "topic"}
    return coral.evaluate(task, data=data, agent=speaks, max_turns=6, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Finished runs: of a pair about 30 groups of problems, of another and of one agent about one group."""
    path = tmp_path_factory.mktemp("plots")
    evaluated(path, 30, output=path / "pair")
    evaluated(path, 1, output=path / "alone", protocol="cot")
    evaluated(path, 1, output=path / "one_group")
    return path


@pytest.fixture(scope="module")
def known(folder):
    """What is drawn of them, with tokens and prices as a server would tell them."""
    folders = [RunFolder(folder / name) for name in ("pair", "alone", "one_group")]
    found = asyncio.run(_figures(folders, with_flow=True))
    priced = []
    for place, run in enumerate(found):
        right = run.right
        assert right is not None
        tokens = dict(zip(("mean", "low", "high"), (900 + place, 800, 1000), strict=True))
        cost = dict(zip(("mean", "low", "high"), (0.002, 0.0015, 0.003), strict=True))
        metrics = {
            **run.summary.metrics,
            "total_tokens": coral.Estimate(**{**_fields(right), **tokens}),
            "cost": coral.Estimate(**{**_fields(right), **cost}),
        }
        summary = type(run.summary)(**{**_fields(run.summary), "metrics": metrics})
        priced.append(dataclasses.replace(run, summary=summary))
    return priced


def _fields(record):
    return {name: getattr(record, name) for name in type(record).__struct_fields__}


LONG = "runs/a-name-that-is-rather-long-as-default-names-of-runs-are-{}-3fa9c1"


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (3, 2), (12, 1)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_label_is_cut_and_none_hides_another(known, kind, count, columns):
    """One run, some, and many; long names and 30 groups; every text stands inside, and apart from others."""
    of = [known[2], known[1]] if count == 12 else known[:2]  # 12 runs of 30 groups take ten seconds to draw
    runs = [dataclasses.replace(of[n % 2], name=LONG.format(n)) for n in range(count)]
    _assert_readable(draw(kind, runs, columns))


@pytest.mark.parametrize("columns", [1, 2])
def test_one_group_is_drawn(known, columns):
    """A single row is a picture, too."""
    figure = draw("groups", [known[2]], columns)
    _assert_readable(figure)
    assert len(figure.axes[0].get_yticklabels()) == 1


def _assert_readable(figure):
    page = figure.bbox
    shown = [text for text in _texts(figure) if text.get_visible() and text.get_text().strip()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in shown]
    assert boxes
    for told, box in boxes:
        assert page.x0 - 2 <= box.x0, told
        assert box.x1 <= page.x1 + 2, told
        assert page.y0 - 2 <= box.y0, told
        assert box.y1 <= page.y1 + 2, told
    for place, (told, box) in enumerate(boxes):
        for other, further in boxes[:place]:
            assert not _overlap(box, further), (told, other)


def _texts(figure):
    """All that is drawn; ticks beyond the ends of an axis are not."""
    yield from figure.texts
    for legend in figure.legends:
        yield from legend.get_texts()
    for axes in figure.axes:
        if axes.axison:
            yield from axes.texts
            yield from (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label)
            for axis in (axes.xaxis, axes.yaxis):
                yield from (tick.label1 for tick in axis._update_ticks())


def _overlap(one, other):
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return wide > 1 and high > 3


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_the_same_runs_make_the_same_bytes(folder, tmp_path, suffix):
    """No date, no random name; and letters are letters, which can be searched and edited."""
    files = [tmp_path / f"{name}.{suffix}" for name in "ab"]
    for file in files:
        coral.plot(folder / "pair", kind="headline", output=file)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert b"coral plot" in first  # by which it is known again, and may be replaced
    assert not re.search(rb"20\d\d-\d\d-\d\d|/CreationDate", first)
    if suffix == "svg":
        assert b">Agreement, and right</text>" in first
    if suffix == "pdf":
        assert b"/FontFile2" in first
        assert b"/Type3" not in first


def test_belief_flow_counts_every_turn_once(known, folder):
    """The bars are the turns of the run; what flows between two of them is no more than either."""
    flow = known[0].flow
    told = [conversation.turns for conversation in coral.load_run(folder / "pair").conversations()]
    for seat in flow.seats:
        for number in flow.turns(seat):
            there = sum(len(turns) >= number for turns in told)
            assert sum(flow.share(seat, number, state) for state in ("right", "wrong", "unsure", "unreadable")
                       ) == pytest.approx(100 * there / len(told))  # fmt: skip
            right = sum(len(turns) >= number and turns[number - 1].reply.correct is True for turns in told)
            assert flow.share(seat, number, "right") == pytest.approx(100 * right / len(told))
    first, second, *_ = flow.turns("responder")
    moved = flow.moves("responder", first, second)
    for state in ("right", "wrong", "unsure", "unreadable"):
        arriving = sum(share for (_, to), share in moved.items() if to == state)
        assert arriving == pytest.approx(flow.share("responder", second, state))


def test_differences_are_those_of_the_comparison(folder):
    """Each run minus the first in points, with the interval that `coral compare` prints."""
    compared = coral.compare(folder / "alone", folder / "one_group")
    figure = coral.plot(folder / "alone", folder / "one_group")
    _assert_readable(figure)
    headline = compared.comparisons[0]
    told = [text.get_text().replace("−", "-") for text in figure.axes[0].texts]
    assert told[0].startswith(f"{100 * headline.difference:+.1f} [{100 * headline.low:+.1f}, ")


async def test_a_run_is_drawn_beside_a_running_loop(folder):
    """As in a notebook; the figure is matplotlib's own, as wide as one column."""
    run = coral.Run(path=folder / "pair", summary=None, finished=1, total=1)
    figure = run.plot("beliefs", columns=1)
    assert figure.get_size_inches()[0] == pytest.approx(3.35)


BAD = {
    "no run": (["plot"], "no run folder is given"),
    "not a run": (["plot", "{}"], "is not a run folder"),
    "unknown kind": (["plot", "{}/pair", "--kind", "pie"], "kind must be one of"),
    "unknown suffix": (["plot", "{}/pair", "--output", "{}/x.jpg"], "does not end in .png, .svg, .pdf"),
    "no suffix": (["plot", "{}/pair", "--output", "{}/x"], "does not end in .png, .svg, .pdf"),
    "three columns": (["plot", "{}/pair", "--columns", "3"], "columns must be one of"),
    "one run, differences": (["plot", "{}/pair", "--kind", "differences"], "a difference needs two runs"),
    "alone, agreement": (["plot", "{}/alone", "--kind", "agreement"], "one agent answers alone"),
    "no tokens": (["plot", "{}/pair", "--kind", "cost"], "tokens of these runs are not known"),
    "too few labels": (["plot", "{}/pair", "{}/alone", "--labels", "a"], "1 label given for 2 runs"),
    "output is a folder": (["plot", "{}/pair", "--output", "{}/dir.png"], "cannot write"),
}


def test_a_run_that_failed_is_not_drawn(tmp_path, capsys, monkeypatch):
    """A picture without a point in it is none."""
    monkeypatch.chdir(tmp_path)
    coral.evaluate("sally_anne", agent=lambda messages: None, limit=2, output="run")
    assert main(["plot", "run"]) == 2
    assert "known of these runs" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.p*"))


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_drawn_is_told(folder, capsys, case, monkeypatch, tmp_path):
    """In words, with what to do, and without a file."""
    monkeypatch.chdir(tmp_path)
    (folder / "dir.png").mkdir(exist_ok=True)
    words, told = BAD[case]
    assert main([word.format(folder) for word in words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "  -> " in said
    assert not list(tmp_path.iterdir())


def test_only_own_pictures_are_replaced(folder, tmp_path, capsys):
    """A figure is drawn again and again; a file of somebody else's keeps its name."""
    theirs = tmp_path / "theirs.pdf"
    theirs.write_bytes(b"a thesis")
    with pytest.raises(RunFolderError, match="was not drawn by"):
        coral.plot(folder / "pair", output=theirs)
    assert theirs.read_bytes() == b"a thesis"
    mine = tmp_path / "mine.svg"
    for _ in range(2):
        assert main(["plot", str(folder / "alone"), "--output", str(mine)]) == 0


def test_bad_arguments_from_python(folder):
    """As on the command line."""
    with pytest.raises(ConfigError, match="no run is given"):
        coral.plot()
    with pytest.raises(ConfigError, match="kind must be one of"):
        coral.plot(folder / "pair", kind="pie")
    with pytest.raises(ConfigError, match="columns must be 1 or 2"):
        coral.plot(folder / "pair", columns=3)


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["runs/a", "runs/b"], ["a", "b"]),
        (["/x/runs/a"], ["a"]),
        (["runs/a", "runs/a"], ["a", "a"]),
        (["a/run", "b/run"], ["a/run", "b/run"]),
        (["abcdefghijklmnop"], ["abcd…mnop"]),
        (["abcd1efghijklm", "abcd2efghijklm"], ["1: ab…lm", "2: ab…lm"]),
        (["x"], ["x"]),
    ],
)
def test_names_are_short_and_stay_apart(names, short):
    """Common folders go first, then middles; two runs never look like one."""
    assert short_names(names, 9) == short
