"""`coral sample` and `coral show --siblings` as a user meets them."""

import asyncio
import json
import shutil

import pytest

import coral
from coral import tasks
from coral.api import sample_async
from coral.serving.app import ChatServer
from coral.serving.listen import listening
from coral.serving.scripted import Knowledge, Persona, serve_scripted
from coral.tasks.protocol import Source


@pytest.fixture(scope="module")
def sampled(hi_tom, tmp_path_factory):
    """The folder of a finished sampled run of 6 trees with roll-outs."""
    path = tmp_path_factory.mktemp("runs") / "sampled"
    task = tasks.load("hi_tom")
    knowledge = Knowledge(task, task.problems(Source(data=hi_tom, split="")))

    async def main():
        server = ChatServer(serve_scripted(knowledge, Persona(accuracy=0.5, stubbornness=0.7)))
        async with listening(server, host="127.0.0.1", port=0) as url:
            await sample_async(
                "hi_tom", agent={"model": "scripted", "base_url": url}, data=hi_tom, limit=6, max_turns=4,
                samples=1, candidates=3, rollouts=2, output=str(path),
            )  # fmt: skip

    asyncio.run(main())
    return path


def test_the_end_table_fits_80_columns_and_holds_what_the_run_offers(coral_command, sampled):
    """Outcome, candidates by grade, turns of which pairs can be made, requests and tokens a conversation."""
    code, output, errors = coral_command("sample", "--config", sampled / "config.yaml")
    assert code == 0, errors
    lines = [
        line.rstrip() for line in output.splitlines() if not line.startswith(("read them", "all metrics"))
    ]
    assert all(len(line) <= 80 for line in lines)
    summary = json.loads((sampled / "summary.json").read_text())
    rows = {line.strip().split("  ")[0]: line.split() for line in lines if line}
    counts = summary["candidates"]
    assert rows["conversations"][-1] == "6"
    assert rows["candidates"][-1] == str(counts["drawn"])
    for name in ("right", "wrong", "unsure", "unreadable"):
        assert rows[name][1] == str(counts[name])
    assert rows["with a right and another candidate"][6] == str(counts["paired_turns"])
    assert rows["roll-outs"][-1] == str(counts["rollouts"])
    assert rows["a conversation"][-1] == f"{summary['requests'] / 6:.1f}"
    assert {"agreed", "agreed, and right", "tokens in", "tokens out"} <= set(rows)


def test_a_smaller_number_of_samples_shows_the_whole_folder_and_says_so(coral_command, sampled, tmp_path):
    """The end table of a session that asks for less than there is counts the folder, and says so."""
    again = tmp_path / "again"
    shutil.copytree(sampled, again)
    arguments = ("sample", "--config", again / "config.yaml", "--output", again, "--limit", "2")
    code, output, errors = coral_command(*arguments)
    assert code == 0, errors
    said = "6 problems, 6 conversations: all that the folder holds, more than the 2 asked for"
    assert said in " ".join(output.split())
    assert all(len(line) <= 80 or "coral s" in line for line in output.splitlines())


def test_score_shows_metrics_and_candidates_of_a_sampled_run(coral_command, sampled):
    """The metrics are those of the chosen path."""
    code, output, _ = coral_command("score", sampled)
    assert code == 0
    assert "Agreement, and right" in output
    assert "with a right and another candidate" in output


def test_an_evaluation_has_no_candidates_to_show(coral_command, finished):
    """Its table stays as it was."""
    assert "candidate" not in coral_command("score", finished)[1]
    assert json.loads((finished / "summary.json").read_text())["candidates"] is None


def test_show_displays_siblings_on_request(coral_command, sampled):
    """Below each turn: every candidate that did not go on, with belief and value."""
    conversation = max(coral.load_run(sampled).conversations(), key=lambda c: len(c.turns))
    plain = coral_command("show", sampled, conversation.id)[1]
    code, whole, _ = coral_command("show", sampled, conversation.id, "--siblings")
    assert code == 0
    assert "─ candidate" not in plain
    assert whole.count("─ candidate") == sum(len(turn.siblings) for turn in conversation.turns)
    for turn in conversation.turns:
        numbers = [index for index in range(len(turn.replies)) if index != turn.chosen]
        assert all(f"─ candidate {index} " in whole for index in numbers)
    values = {f"value {r.value:.2f} of {len(r.rollouts)}" for t in conversation.turns for r in t.replies}
    assert all(value in whole for value in values)


def test_a_redacted_export_holds_no_text_of_siblings_and_rollouts(coral_command, sampled, tmp_path):
    """What did not go on may quote a problem, too."""
    target = tmp_path / "redacted.jsonl"
    assert coral_command("export", sampled, "--output", target, "--redact")[0] == 0
    text = target.read_text()
    for conversation in coral.load_run(sampled).conversations():
        for reply in (reply for turn in conversation.turns for reply in turn.replies):
            assert reply.text not in text
            assert all(rollout.answer is None or rollout.answer not in text for rollout in reply.rollouts)


@pytest.mark.parametrize(
    ("flags", "cause"),
    [
        (["--candidates", "0"], "--candidates must be at least 1"),
        (["--select", "best"], "--select"),
        (["--canditates", "3"], "no option --canditates"),
        (["--rollouts", "2", "--protocol", "cot"], "one agent alone"),
    ],
)
def test_mistakes_name_cause_and_remedy(coral_command, flags, cause):
    """What a user can cause exits with 2 and says what to do."""
    code, output, errors = coral_command("sample", "hi_tom", "--agent.model", "m", *flags)
    assert (code, output) == (2, "")
    assert cause in errors
    assert "\n  -> " in errors


def test_dry_run_counts_candidates_and_rollouts(coral_command, hi_tom, tmp_path):
    """Before the first request: what roll-outs multiply."""

    def requests(*flags):
        code, output, errors = coral_command(
            "sample", "hi_tom", "--data", hi_tom, "--limit", "10", "--agent.model", "m", "--extractor.mode",
            "rules", "--output", tmp_path / "run", "--dry_run", *flags,
        )  # fmt: skip
        assert (code, errors) == (0, "")
        assert "10 problems, 50 conversations" in output
        row = next(line for line in output.splitlines() if line.startswith("4 turns"))
        return int(row.split()[5].replace(",", ""))

    assert requests() == 50 * 4
    assert requests("--rollouts", "1") == 50 * (4 + 5 * 6)
