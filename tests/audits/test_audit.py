"""`coral audit` as a user runs it: blind sheets, labels, a second extractor that is resumed, studies."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from aiohttp import web

import coral
from coral.api import evaluate_async
from coral.audits.audit import AuditConfig, audit, runs_of
from coral.audits.marks import mark
from coral.budget import OutOfBudget
from coral.cli import main
from coral.comparison.compare import compare_several
from coral.errors import ConfigError, Interrupted, StoppedEarly
from coral.evaluation.config import EvalConfig
from coral.evaluation.plan import open_plan
from coral.evaluation.progress import Progress
from coral.store.folder import RunFolder


def answers(letter):
    return lambda messages: f"I went through it twice.\nAnswer: ({letter})"


@pytest.fixture
def run(tmp_path):
    """A pair that always says A, on 12 problems."""
    folder = tmp_path / "run"
    coral.evaluate("sally_anne", agent=answers("A"), limit=12, output=str(folder))
    return folder


def gold(limit=12):
    with open_plan(EvalConfig(task={"name": "sally_anne"}, limit=limit)) as plan:
        return {plan.task.opening(problem): problem.target for problem in plan.problems}


def filled(sheet, target, said, delimiter=","):
    """The sheet with answers, `said(row number, gold)` each."""
    golds = gold()
    rows = list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))
    for place, row in enumerate(rows):
        row["answer"] = said(place, golds[row["question"]])
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return str(target)


async def test_the_sheet_is_blind(run):
    """People see question, message and how to answer: no gold, no belief, no arm, no order that tells."""
    found = await audit([str(run)], AuditConfig())
    assert (found.reference, found.texts, found.arms) == ("", 24, ())
    text = (run / "audit" / "sheet.csv").read_text(encoding="utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["key", "question", "message", "how to answer", "answer"]
    assert all(row[4] == "" and row[2].endswith("Answer: (A)") for row in rows[1:])
    keys = [row[0] for row in rows[1:]]
    assert keys == sorted(keys)
    assert not any(talk.id in row[0] for talk in coral.load_run(run).conversations() for row in rows)


@pytest.mark.parametrize("delimiter", [",", ";"])
async def test_people_correct_the_headline(run, tmp_path, delimiter):
    """They read gold in every message: as read A is right in some, corrected all agree on gold."""
    await audit([str(run)], AuditConfig())
    sheet = run / "audit" / "sheet.csv"
    labels = filled(sheet, tmp_path / "labels.csv", lambda _, target: f"({target})", delimiter)
    found = await audit([str(run)], AuditConfig(labels=labels))
    truly = sum(target == "A" for target in gold().values())
    arm = found.arms[0]
    assert (found.reference, found.labelled) == ("people", 24)
    assert arm.headline.plain == pytest.approx(truly / 12)
    assert arm.headline.corrected == pytest.approx(1.0)
    assert arm.errors.value == pytest.approx(1 - truly / 12)
    assert found.agreements[0].agreement.value == pytest.approx(truly / 12)
    assert "prediction-powered" in (run / "audit" / "report.md").read_text()
    stored = json.loads((run / "audit" / "results.json").read_text())
    assert stored["arms"][0]["headline"]["audited"] == 12


async def test_a_sheet_that_is_filled_in_its_place_stays(run):
    """Nobody writes over what people wrote: not the audit that reads it, and not one of a larger sample."""
    sheet = run / "audit" / "sheet.csv"
    await audit([str(run)], AuditConfig(sample=4))
    few = filled(sheet, sheet, lambda *_: "unsure", ";")
    before = sheet.read_bytes()
    found = await audit([str(run)], AuditConfig(sample=4, labels=few))
    assert (found.labelled, sheet.read_bytes()) == (found.texts, before)
    assert found.texts < 24
    larger = await audit([str(run)], AuditConfig(sample=12, labels=few))
    assert (larger.texts, larger.labelled) == (24, found.texts)


async def test_what_failed_is_not_read_again(tmp_path):
    """Errors in what was said tell nothing about conversations that failed: those are wrong for certain."""

    def breaks(messages):
        if breaks.asked % 2:
            breaks.asked += 1
            raise ValueError("no")
        breaks.asked += 1
        return "Answer: (A)"

    breaks.asked = 0
    folder = tmp_path / "half"
    await evaluate_async(
        "sally_anne", agent=breaks, protocol="single", limit=12, max_failed_rate=1.0, output=str(folder),
        max_connections=1,
    )  # fmt: skip
    failed = sum(one.failure is not None for one in coral.load_run(folder).conversations())
    await audit([str(folder)], AuditConfig())
    sheet = folder / "audit" / "sheet.csv"
    labels = filled(sheet, sheet, lambda _, target: f"({target})")
    found = await audit([str(folder)], AuditConfig(labels=labels))
    assert 0 < failed < 12
    assert found.arms[0].headline.corrected == pytest.approx(1 - failed / 12)


async def test_unfinished_labels_count_for_what_they_read(run, tmp_path):
    """Empty rows are not labelled yet; a conversation counts once all of its deciding texts are."""
    await audit([str(run)], AuditConfig())
    labels = filled(
        run / "audit" / "sheet.csv", tmp_path / "l.csv", lambda place, _: "unsure" if place < 9 else ""
    )
    found = await audit([str(run)], AuditConfig(labels=labels))
    assert found.labelled == 9
    assert found.arms[0].headline.audited < 9
    assert found.arms[0].texts == 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("key,", "number,"), "no column 'key'"),
        (lambda text: "key,answer\nabc,A\n", "no text of this audit has the key 'abc'"),
        (
            lambda text: text.replace("\n", "\n", 1).replace(",unsure", ",who knows"),
            "'who knows' is not an answer",
        ),
        (lambda text: text + text.partition("\n")[2].replace(",unsure", ",(B)"), "two answers"),
        (lambda text: "", "no column"),
    ],
)
async def test_labels_that_cannot_be_used_are_refused(run, tmp_path, change, message):
    """A wrong file, a typing error and a contradiction are named with their line; nothing is skipped."""
    await audit([str(run)], AuditConfig())
    labels = filled(run / "audit" / "sheet.csv", tmp_path / "labels.csv", lambda *_: "unsure")
    path = tmp_path / "changed.csv"
    path.write_text(change(Path(labels).read_text(encoding="utf-8")))
    with pytest.raises(ConfigError, match=message):
        await audit([str(run)], AuditConfig(labels=str(path)))


def reads_b(messages):
    reads_b.asked += 1
    return "Answer: (B)" if reads_b.asked % 2 else "Answer: (A)"


async def test_what_the_second_extractor_read_is_kept(run, monkeypatch):
    """Run again it sends nothing; a larger sample sends the rest; another extractor asks by itself."""
    import sys
    import types

    module = types.ModuleType("coral_second_reader")
    module.read = reads_b
    monkeypatch.setitem(sys.modules, "coral_second_reader", module)
    reads_b.asked = 0
    options = {"model": "python:coral_second_reader:read"}
    first = await audit([str(run)], AuditConfig(sample=4, extractor=options))
    asked = reads_b.asked
    assert asked == first.texts > 0
    again = await audit([str(run)], AuditConfig(sample=4, extractor=options))
    assert (reads_b.asked, again.arms) == (asked, first.arms)
    larger = await audit([str(run)], AuditConfig(sample=12, extractor=options))
    assert reads_b.asked == larger.texts == 24
    await audit([str(run)], AuditConfig(sample=12, extractor={**options, "max_tokens": 5}))
    assert reads_b.asked == 48
    assert larger.agreements[0].readers == ("first reading", "second extractor")
    assert 0 < larger.agreements[0].agreement.value < 1


async def test_the_extractors_own_reading_changes_nothing(run):
    """Read again by the same rules, nothing is off, and the corrected headline is the plain one."""
    found = await audit([str(run)], AuditConfig(extractor={"mode": "rules"}))
    headline = found.arms[0].headline
    assert (headline.off, headline.corrected) == (0, headline.plain)
    assert found.requests == 0


async def test_arms_of_a_study_are_audited_together(tmp_path):
    """A study's folder stands for its arms; beside a control, the agent's last answer is what counts."""
    folder = tmp_path / "study"
    for name, letter in (("right", "A"), ("wrong", "B")):
        await evaluate_async(
            "sally_anne", agent=answers(letter), limit=8, opener="partner", max_turns=3,
            partner={"control": "wrong"}, output=str(folder / "arms" / name),
        )  # fmt: skip
    assert list(runs_of([str(folder)])) == ["right", "wrong"]
    found = await audit([str(folder)], AuditConfig(extractor={"mode": "rules"}))
    by_gold = sum(target == "A" for target in gold(8).values()) / 8
    assert found.arms[0].headline.plain == pytest.approx(by_gold)
    assert [arm.texts for arm in found.arms] == [8, 8]
    assert (found.differences[0].left, found.differences[0].right) == ("wrong", "right")


def test_the_command(run, capsys, tmp_path):
    """It says what to do next, prints the corrected headline, and refuses what is no run with a remedy."""
    assert main(["audit", str(run), "--sample", "6"]) == 0
    assert "--labels" in capsys.readouterr().out
    assert main(["audit", str(run), "--extractor.mode", "rules"]) == 0
    assert "right of all, as read and corrected:" in capsys.readouterr().out
    for words in (["audit"], ["audit", str(tmp_path / "none")], ["audit", str(run), "--sample", "0"]):
        assert main(words) == 2
        assert "->" in capsys.readouterr().err
    assert main(["audit", str(run), "--extractor.temperature", "0"]) == 2
    assert "--extractor.model" in capsys.readouterr().err


class Refusing:
    """A server that refuses; `react` may answer a request by its number."""

    def __init__(self):
        self.requests = 0
        self.status, self.words = 400, "reasoning level must be low or high"
        self.answers = lambda number: False

    async def answer(self, request):
        self.requests += 1
        if not self.answers(self.requests):
            return web.json_response({"error": {"message": self.words}}, status=self.status)
        choice = {"message": {"content": "Answer: (A)"}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105}
        return web.json_response({"choices": [choice], "usage": usage})


@pytest.fixture
async def refusing():
    server = Refusing()
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    options = {"model": "m", "base_url": f"http://127.0.0.1:{port}/v1", "max_connections": 1}
    server.config = AuditConfig(extractor=options, max_connections=1)
    yield server
    await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "words", "most"),
    [
        (400, "reasoning level must be low or high", 5),
        (400, "your request was flagged by content_policy", 5),
        (401, "no such key", 1),
        (402, "Insufficient credits", 1),
    ],
)
async def test_an_extractor_that_refuses_every_text_reads_nothing(run, refusing, status, words, most):
    """Its refusals were taken for readings: a headline "corrected" to 0.0%, after a request per text."""
    refusing.status, refusing.words = status, words
    with pytest.raises(StoppedEarly, match="second extractor") as caught:
        await audit([str(run)], refusing.config)
    assert words in str(caught.value)
    assert refusing.requests <= most
    assert not (run / "audit" / "results.json").exists()
    refusing.answers = lambda number: True
    found = await audit([str(run)], refusing.config)
    assert (found.unanswered, found.agreements[0].agreement.value) == (0, 1.0)


async def test_a_text_that_is_refused_is_no_reading(run, refusing):
    """Some texts may be refused: the others are held against each other, and the report says so."""
    refusing.answers = lambda number: number % 6 != 0
    found = await audit([str(run)], refusing.config)
    agreed = found.agreements[0].agreement
    assert (found.unanswered, agreed.n, agreed.value) == (4, 20, 1.0)
    assert "refused to read, and that are left out: 4." in (run / "audit" / "report.md").read_text()
    assert found.arms[0].headline.corrected is not None


@pytest.fixture
async def long_run(tmp_path):
    """A run of 120 conversations, whose last replies are 120 texts."""
    folder = tmp_path / "long"
    await evaluate_async("sally_anne", agent=answers("A"), limit=120, protocol="cot", output=str(folder))
    return folder


FROM_SOME_MOMENT_ON = {
    "a parameter": (400, "reasoning level must be low or high"),
    "its content": (400, "your request was flagged by content_policy"),
    "a length": (400, "maximum context length is 8 tokens"),
    "a wrong key": (401, "no such key"),
    "no credit": (402, "Insufficient credits"),
    "an unknown model": (404, "The model `m` does not exist"),
    "a failure of the server": (500, "out of memory"),
    "a limit without an end": (429, "slow down"),
    "nobody there": (503, "overloaded"),
}


@pytest.mark.parametrize("name", FROM_SOME_MOMENT_ON)
@pytest.mark.parametrize("parallel", [1, 8])
async def test_refusals_that_begin_in_the_midst_stop_the_audit(long_run, refusing, name, parallel):
    """It asked about every text that was left, and read 40 of 120. The same command has the rest."""
    refusing.status, refusing.words = FROM_SOME_MOMENT_ON[name]
    refusing.answers = lambda number: number <= 40
    quick = {
        **refusing.config.extractor,
        "max_connections": parallel,
        "max_attempts": 2,
        "backoff_s": 0.001,
        "total_timeout_s": 2,
    }
    config = dataclasses.replace(
        refusing.config, sample=120, max_connections=parallel, extractor={**quick, "max_backoff_s": 0.002}
    )
    with pytest.raises(StoppedEarly, match="second extractor could not be asked") as caught:
        await audit([str(long_run)], config)
    assert refusing.words in str(caught.value)
    if name != "nobody there":  # a server that may come back is waited for, for total_timeout_s
        assert refusing.requests <= 40 + 21 + 3 * parallel
    assert not (long_run / "audit" / "results.json").exists()
    before = refusing.requests
    refusing.answers = lambda number: True
    found = await audit([str(long_run)], config)
    assert (found.unanswered, found.texts) == (0, 120)
    assert refusing.requests == before + 80


async def test_a_resumed_audit_whose_server_refuses_everything_stops(long_run, refusing):
    """What an earlier session read says that the server could answer, not that it does."""
    refusing.answers = lambda number: number <= 30
    config = dataclasses.replace(refusing.config, sample=120, max_tokens_total=3_000)
    with pytest.raises(OutOfBudget):
        await audit([str(long_run)], config)
    before = refusing.requests
    refusing.answers = lambda number: False
    with pytest.raises(StoppedEarly, match="so did one that was answered before"):
        await audit([str(long_run)], dataclasses.replace(config, max_tokens_total=None))
    assert refusing.requests - before <= 22


async def test_a_stretch_of_refused_texts_stops_no_audit(long_run, refusing):
    """Forty in a row are refused, and the server still answers what it answered before."""
    # Twenty refusals, one that is asked again, and twenty more, before the next is asked again.
    refusing.answers = lambda number: not 30 < number <= 71 or number == 51
    found = await audit([str(long_run)], dataclasses.replace(refusing.config, sample=120))
    assert found.texts == 120
    assert (found.unanswered, refusing.requests) == (40, 122)


@pytest.mark.parametrize("parallel", [1, 8])
async def test_limits_hold_in_all_sessions_together(run, refusing, parallel):
    """An audit stops before its limit is passed and leaves no report; a higher one sends the rest alone."""
    refusing.answers = lambda number: True
    limited = dataclasses.replace(refusing.config, max_tokens_total=1_500, max_connections=parallel)
    for _ in range(2):  # the second session has nothing left
        with pytest.raises(OutOfBudget, match="tokens") as caught:
            await audit([str(run)], limited)
        assert "higher limit: what it has read is kept" in caught.value.remedy
        assert 0 < 105 * refusing.requests <= 1_500
        assert not (run / "audit" / "results.json").exists()
    progress = Progress()
    found = await audit([str(run)], refusing.config, progress)
    assert refusing.requests == found.texts == progress.total == progress.done == 24


async def test_money_is_limited_by_the_price_table(run, refusing, tmp_path):
    """And refused before anything is sent where the extractor has no price."""
    refusing.answers = lambda number: True
    with pytest.raises(ConfigError, match="has no price"):
        await audit([str(run)], dataclasses.replace(refusing.config, max_cost=0.1))
    assert refusing.requests == 0
    prices = tmp_path / "prices.yaml"
    prices.write_text("m: {prompt: 1000, completion: 1000}\n")
    with pytest.raises(OutOfBudget, match=r"\$"):
        await audit([str(run)], dataclasses.replace(refusing.config, max_cost=1.0, prices=str(prices)))
    assert 0.105 * refusing.requests <= 1.0


async def test_an_interrupted_audit_resumes(run, refusing):
    """What is in flight arrives and is kept, nothing else is sent, and the same command asks for the rest."""
    progress = Progress()

    def answers(number):
        progress.stopping = progress.stopping or number == 5
        return True

    refusing.answers = answers
    with pytest.raises(Interrupted, match="the audit was interrupted"):
        await audit([str(run)], refusing.config, progress)
    before = refusing.requests
    assert before < 24
    progress = Progress()
    await audit([str(run)], refusing.config, progress)
    assert refusing.requests == 24


async def test_differences_that_reading_could_produce_are_marked(tmp_path):
    """In the comparison of audited runs and among the planned contrasts of a study, until a run has grown."""
    folder = tmp_path / "study"
    options = {
        "task": {"name": "sally_anne"}, "limit": 30, "output": str(folder),
        "contrasts": ["b - a", "turns: b - a"],
        "arms": {"a": {"max_turns": 4}, "b": {"max_turns": 2}, "c": {"protocol": "single"}},
    }  # fmt: skip
    await coral.study_async(options)
    found = await audit([str(folder)], AuditConfig(sample=15, extractor={"mode": "rules"}))
    told = {(one.left, one.right): one.reading_alone for one in found.differences}
    assert told.keys() == {("b", "a"), ("c", "a")}
    assert all(told.values()), "five read again of each stratum show little"
    again = await coral.study_async(options)
    assert [one.reading_alone for one in again.contrasts[:2]] == [True, None]
    assert "(could be reading alone)" in (folder / "report.md").read_text()
    a, b = (RunFolder(folder / "arms" / name) for name in "ab")
    runs = await compare_several(a, [b])
    assert runs.compared[0].reading_alone is None
    assert mark(runs).compared[0].reading_alone is True
    assert (await coral.compare_async(a.path, b.path)).reading_alone is True
    grown = await coral.study_async({**options, "limit": 31})
    assert [one.reading_alone for one in grown.contrasts[:2]] == [None, None]
    assert mark(await compare_several(a, [b])).compared[0].reading_alone is None


async def test_a_difference_beyond_reading_is_not_marked(tmp_path):
    """All was read again and nothing is off: what remains is a difference."""
    runs = []
    for letter, kind in (("A", "right"), ("B", "wrong")):
        folder = tmp_path / letter
        await evaluate_async(
            "sally_anne", agent=answers("A"), limit=20, opener="partner", max_turns=3,
            partner={"control": kind}, output=str(folder),
        )  # fmt: skip
        runs.append(folder)
    await audit([str(run) for run in runs], AuditConfig(sample=1000, extractor={"mode": "rules"}))
    found = mark(await compare_several(RunFolder(runs[0]), [RunFolder(runs[1])]))
    assert found.compared[0].reading_alone is (found.compared[0].comparisons[0].difference == 0)


# A judge's verdicts -----------------------------------------------------------------------------------------


class Judges:
    """Agents whose answers a lenient judge calls right, and a strict one only where the number is even."""

    asked = 0

    def lenient(self, messages):
        return "Close enough.\nVerdict: right"

    def strict(self, messages):
        type(self).asked += 1
        even = any(f"is {n}" in messages[-1]["content"] for n in (0, 2, 4))
        return f"Verdict: {'right' if even else 'wrong'}"


def numbered(messages):
    number = next(n for n in range(12) if f"number {n}?" in messages[-1]["content"])
    return f"Answer: it is {number % 6}"


@pytest.fixture
def judged(tmp_path):
    """One agent alone on 12 questions, half of them with an even answer; the judge calls all right."""
    data = tmp_path / "mine.jsonl"
    rows = [{"question": f"What is number {n}?", "answer": f"the number {n}"} for n in range(12)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = {"model": Judges().lenient}
    named = {"question": "question", "answer": "answer", "kind": "text"}
    coral.evaluate(
        {"name": "open", "judge": judge, **named}, data=str(data), agent=numbered, protocol="cot",
        output=str(tmp_path / "run"),
    )  # fmt: skip
    return tmp_path / "run"


def verdict_rows(sheet):
    return list(csv.DictReader(io.StringIO(sheet.read_text(encoding="utf-8-sig"), newline="")))


def write_verdicts(sheet, target, said):
    rows = [{**row, "verdict": said(place, row)} for place, row in enumerate(verdict_rows(sheet))]
    with target.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return str(target)


async def test_the_sheet_of_verdicts_is_blind(judged):
    """People see question, reference and answer: no verdict, no words of the judge, no arm."""
    found = await audit([str(judged)], AuditConfig())
    assert (found.verdicts.reference, found.verdicts.answers, found.verdicts.arms) == ("", 12, ())
    rows = verdict_rows(judged / "audit" / "verdicts.csv")
    assert list(rows[0]) == ["key", "question", "reference", "answer", "verdict"]
    assert all(row["reference"].startswith("the number") and row["verdict"] == "" for row in rows)
    text = (judged / "audit" / "verdicts.csv").read_text()
    assert "Close enough" not in text
    assert [row["key"] for row in rows] == sorted(row["key"] for row in rows)


async def test_a_second_judge_corrects_the_headline_and_is_kept(judged):
    """As judged all is right, by the second judge half; the same command asks it nothing."""
    config = AuditConfig(extractor={"mode": "rules"}, judge={"model": "python:coral_judges:strict"})
    found = await audit([str(judged)], config)
    assert found.verdicts.reference == "second judge"
    [arm] = found.verdicts.arms
    assert (arm.headline.plain, arm.headline.corrected) == (1.0, 0.5)
    assert arm.headline.low < 0.5 < arm.headline.high
    assert found.verdicts.agreements[0].agreement.value == 0.5
    assert found.arms[0].headline.corrected == 1.0  # what was read stands
    asked = Judges.asked
    assert (await audit([str(judged)], config)).verdicts == found.verdicts
    assert Judges.asked == asked == 12
    assert "## The judge" in (judged / "audit" / "report.md").read_text()


async def test_people_are_the_truth_of_verdicts(judged, tmp_path):
    """Where they have judged, both judges are held against them; what they cannot tell is not right."""
    await audit([str(judged)], AuditConfig())
    sheet = judged / "audit" / "verdicts.csv"
    labels = write_verdicts(
        sheet, tmp_path / "v.csv", lambda place, row: ("right", "Wrong", "cannot tell")[place % 3]
    )
    found = await audit(
        [str(judged)], AuditConfig(verdicts=labels, judge={"model": "python:coral_judges:strict"})
    )
    assert (found.verdicts.reference, found.verdicts.labelled) == ("people", 12)
    assert found.verdicts.arms[0].headline.corrected == pytest.approx(1 / 3)
    assert len(found.verdicts.agreements) == 3


VERDICTS = {
    "an unknown key": (lambda place, row: "right", {"key": "abc"}, "no answer of this audit has the key"),
    "another word": (lambda place, row: "maybe" if place == 3 else "", {}, "'maybe' is not a verdict"),
}


@pytest.mark.parametrize("case", VERDICTS)
async def test_verdicts_that_cannot_be_used_are_refused(judged, tmp_path, case):
    """With the line, and what to write."""
    said, other, message = VERDICTS[case]
    await audit([str(judged)], AuditConfig())
    labels = write_verdicts(judged / "audit" / "verdicts.csv", tmp_path / "v.csv", said)
    if other:
        text = Path(labels).read_text()
        Path(labels).write_text(text.replace(text.splitlines()[1].split(",")[0], other["key"]))
    with pytest.raises(ConfigError, match=message):
        await audit([str(judged)], AuditConfig(verdicts=labels))


async def test_a_run_without_judge_has_no_verdicts_to_audit(run):
    """Asking for them is an error, not a silence."""
    with pytest.raises(ConfigError, match="no answer in the sample was graded by a judge"):
        await audit([str(run)], AuditConfig(judge={"model": "python:coral_judges:strict"}))
    with pytest.raises(ConfigError, match="the second judge has no model"):
        await audit([str(run)], AuditConfig(judge={"temperature": 0.5}))


def test_the_command_tells_of_the_judge(judged, capsys):
    """Both audits, and both sheets."""
    assert main(["audit", str(judged), "--judge.model", "python:coral_judges:strict"]) == 0
    out = capsys.readouterr().out
    assert "12 answers in these texts were graded by a judge. It is held against the second judge" in out
    assert "verdicts.csv" in out


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The second judge is named, so it must be importable."""
    import sys
    import types

    module = types.ModuleType("coral_judges")
    module.strict = Judges().strict
    Judges.asked = 0
    monkeypatch.setitem(sys.modules, "coral_judges", module)
