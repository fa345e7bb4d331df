"""The table of a sampled run: what it offers for training, and what it cost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from coral.cli.terminal import standard_output
from coral.cli.visible import shell_word
from coral.metrics import CandidateCounts, Summary
from coral.metrics.table import number_of

Row = tuple[str, str, str]


def print_sampled(summary: Summary, path: Path, *, asked: int | None = None) -> None:
    """The end of `coral sample`: outcome, candidates, turns of which pairs can be made, and cost.

    Args:
        asked: conversations that the session asked for: the folder may hold more.
    """
    out = standard_output()
    title = f"\n{summary.task} · {summary.protocol} · sampled · {size_of(summary, asked)}"
    out.print(title, style="bold")
    out.print(candidates_table(summary))
    if summary.failures:
        kinds = ", ".join(f"{count} {kind}" for kind, count in summary.failures.items())
        out.print(f"failed: {kinds}; --retry_failed runs them again", soft_wrap=True)
    for line in adjusted(summary):
        out.print(line, soft_wrap=True)
    if warning := _no_choice(summary.candidates):
        out.print(warning, soft_wrap=True)
    name = shell_word(path)
    out.print(f"\nread them: coral show {name} --siblings", soft_wrap=True)
    out.print(f"all metrics: coral score {name}", soft_wrap=True)


def adjusted(summary: Summary) -> list[str]:
    """What was changed for models that refuse what the options say, or do otherwise."""
    return [f"changed for {made.model}: {made.change}" for made in summary.adjustments]


def _no_choice(counts: CandidateCounts | None) -> str:
    """A warning where several candidates were paid for and all of a turn are the same text."""
    if counts is None or counts.drawn <= counts.turns or counts.distinct > counts.turns:
        return ""
    return (
        "all candidates of each turn are the same text: the server ignores temperature or seed, or the "
        "temperature is 0; `coral doctor` tells more"
    )


def size_of(summary: Summary, asked: int | None) -> str:
    """What was measured; and, where a session asked for less than there is, that it is the whole folder."""
    counted = f"{number_of(summary.problems, 'problem')}, {number_of(summary.conversations, 'conversation')}"
    if asked is None or asked >= summary.conversations:
        return counted
    return f"{counted}: all that the folder holds, more than the {asked} asked for"


def candidates_table(summary: Summary) -> Table:
    """What a sampled run offers for training; `summary` must be of one."""
    assert summary.candidates is not None
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("sampled", min_width=36, no_wrap=True)
    for name in ("number", "share"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in (*_outcomes(summary), *_offers(summary.candidates), *_costs(summary)):
        table.add_row(*row)
    return table


def _outcomes(summary: Summary) -> Iterator[Row]:
    failed = summary.stop_reasons.get("failed", 0)
    yield "conversations", f"{summary.conversations:,}", ""
    if failed:
        yield _part("failed", failed, summary.conversations)
    together = "agreement" in summary.metrics
    if together:
        agreed = summary.stop_reasons.get("agreed", 0)
        yield _part("agreed", agreed, summary.conversations)
    name = "agreement_correctness" if together else "accuracy"
    right = summary.metrics[name]
    label = "  agreed, and right" if together else "  right"
    number = "" if right.mean is None else f"{right.mean * right.n:,.0f}"
    yield label, number, "-" if right.mean is None else f"{right.mean:.1%}"


def _offers(counts: CandidateCounts) -> Iterator[Row]:
    yield "candidates", f"{counts.drawn:,}", ""
    for name in ("right", "wrong", "unsure", "unreadable"):
        yield _part(name, getattr(counts, name), counts.drawn)
    for name in ("ungraded", "cut"):
        if number := getattr(counts, name):
            yield _part(name, number, counts.drawn)
    yield "turns", f"{counts.turns:,}", ""
    if counts.drawn > counts.turns:
        yield "  distinct candidates per turn", f"{counts.distinct / counts.turns:.2f}", ""
    yield _part("with a right and another candidate", counts.paired_turns, counts.turns)
    if counts.rollouts:
        yield "roll-outs", f"{counts.rollouts:,}", ""
        yield _part("agreed, and right", counts.right_rollouts, counts.rollouts - counts.failed_rollouts)
        if counts.failed_rollouts:
            yield _part("failed", counts.failed_rollouts, counts.rollouts)


def _costs(summary: Summary) -> Iterator[Row]:
    if not summary.conversations:
        return
    usage = summary.usage.values()
    read, written = sum(role.prompt_tokens for role in usage), sum(role.completion_tokens for role in usage)
    yield "requests", f"{summary.requests:,}", ""
    yield "  a conversation", f"{summary.requests / summary.conversations:,.1f}", ""
    yield "tokens in", f"{read:,}", ""
    yield "tokens out", f"{written:,}", ""
    yield "  a conversation, in and out", f"{(read + written) / summary.conversations:,.0f}", ""
    if from_cache := sum(role.from_cache for role in usage):
        yield "  replies from the cache, free", f"{from_cache:,}", ""
    if batched := sum(role.batched for role in usage):
        yield "  replies of batches, half price", f"{batched:,}", ""
    if uncounted := sum(role.num_uncounted for role in usage):
        yield "  replies that no server counted", f"{uncounted:,}", ""


def _part(name: str, number: int, whole: int) -> Row:
    return f"  {name}", f"{number:,}", f"{100 * number / whole:.1f}%" if whole else "-"
