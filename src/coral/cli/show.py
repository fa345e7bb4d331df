"""`coral show DIR [ID]`: read the conversations of a run."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from coral.cli.options import parse, take_name
from coral.cli.terminal import Terminal, standard_output
from coral.cli.visible import answer_in_short, one_line, shell_word, visible
from coral.comparison.kinds import Kind, turn_of
from coral.config import COUNT, NOT_NEGATIVE, Options, option
from coral.errors import ConfigError
from coral.store.folder import RunFolder
from coral.tasks.protocol import Task
from coral.tasks.registry import task_of
from coral.types import (
    OPENER,
    Answered,
    Conversation,
    Failure,
    Probe,
    Reply,
    Seat,
    StopReason,
    Turn,
    Unsure,
)

ABOUT = "Read the conversations of a run: the list of them, or one by its id."
COLOURS = ("magenta", "cyan", "green", "yellow", "blue")
"""Of the seats, in the order in which they speak; a pair's opener is cyan."""
Only = Literal["all", "failed", "long"] | Kind


@dataclass(frozen=True, kw_only=True)
class ShowConfig(Options):
    """What to show."""

    only: Only = option("all", decides=False)
    """Of the list: all, failed, long (most turns first), or how they ended: agreed, agreed_right,
    agreed_wrong, disagreed (or never_agreed), right, wrong, rescued (wrong at first), unused (right at a
    turn, not in the end). Or what happened: changed (an answer was given up), lost_right_answer (or lost),
    gained_right_answer (or gained), right_to_wrong, wrong_to_right (of whoever spoke first, in the end),
    unreadable."""
    limit: int = option(20, decides=False, within=COUNT)
    """Most rows of the list."""
    read: int = option(0, decides=False, within=NOT_NEGATIVE)
    """Show so many conversations of the list whole, instead of the list."""
    reasoning: bool = option(False, decides=False)
    """Show what thinking models wrote apart from their replies."""
    siblings: bool = option(False, decides=False)
    """Below each turn, show the candidates that were not chosen (of a sampled run)."""


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    path, rest = take_name(arguments)
    identity, flags = take_name(rest)
    config = parse(ShowConfig, flags, command="coral show DIR [CONVERSATION_ID]", about=ABOUT)
    if path is None:
        raise ConfigError("no run folder given", remedy="coral show DIR")
    folder, console = RunFolder(path), standard_output()
    folder.identity()
    if identity is not None:
        console.print(_found(folder, identity, config, task_of(folder)))
    elif config.read:
        for conversation in _first(folder, config.only, config.read)[0]:
            console.print(_whole(conversation, config, task_of(folder)))
            console.print()
    else:
        _show_list(folder, config, console)
    return 0


def _first(folder: RunFolder, only: Only, limit: int) -> tuple[list[Conversation], int]:
    """The first `limit` conversations of a kind by id, or the longest, and how many there are.

    Files hold conversations in the order in which they happened to end.
    """
    num_matching = 0

    def matching() -> Iterator[Conversation]:
        nonlocal num_matching
        for conversation in folder.conversations():
            if _matches(conversation, only):
                num_matching += 1
                yield conversation

    def place(conversation: Conversation) -> tuple[int, list[tuple[int, str]]]:
        return -len(conversation.turns) if only == "long" else 0, _natural(conversation.id)

    first = heapq.nsmallest(limit, matching(), key=place)
    return first, num_matching


def _show_list(folder: RunFolder, config: ShowConfig, console: Terminal) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("conversation", "stop", "beliefs, responder first", "gold"):
        table.add_column(column, overflow="fold")
    first, num_matching = _first(folder, config.only, config.limit)
    for conversation in first:
        table.add_row(
            one_line(conversation.id),
            _stop(conversation),
            _path(conversation),
            answer_in_short(conversation.problem.target),
        )
    console.print(table)
    command = f"coral show {shell_word(folder.path)} ID"
    console.print(f"\n{len(first)} of {num_matching} conversations; `{command}` reads one")


def _path(conversation: Conversation) -> Text:
    """The beliefs, and why it failed if it did."""
    beliefs = Text(" ").join(map(_beliefs, conversation.turns))
    if conversation.failure is None:
        return beliefs
    return Text(" ").join([beliefs, _failure(conversation.failure)])


def _beliefs(turn: Turn) -> Text:
    """What was said, and in brackets what was said off the record where that is in other words."""
    if turn.probe is None or turn.probe.reply.belief == turn.reply.belief:
        return _belief(turn.reply)
    return Text.assemble(_belief(turn.reply), "(", _belief(turn.probe.reply), ")")


def _failure(failure: Failure) -> Text:
    return Text(visible(f"{failure.where}: {failure.type}: {failure.message}"), "red")


def _natural(identity: str) -> list[tuple[int, str]]:
    """Order in which 9 comes before 10."""
    parts = re.split(r"(\d+)", identity)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]


def _found(folder: RunFolder, identity: str, config: ShowConfig, task: Task) -> Padding:
    wanted = identity if "#" in identity else f"{identity}#0"
    conversation = folder.conversation(wanted)
    if conversation is not None:
        return _whole(conversation, config, task)
    raise ConfigError(
        f"{folder.path} holds no conversation '{wanted}'", remedy=f"`coral show {folder.path}` lists them"
    )


def _whole(conversation: Conversation, config: ShowConfig, task: Task) -> Padding:
    grid = Table.grid(expand=True)
    for block in _blocks(conversation, config, task):
        grid.add_row(block)
    return Padding(grid, (0, 0))


def _blocks(conversation: Conversation, config: ShowConfig, task: Task) -> Iterator[Panel | Padding | Text]:
    opener = conversation.speakers.get(OPENER)
    stated = f"opener · {opener.model}" if opener else "problem"
    yield Panel(
        Text(visible(conversation.opening)),
        title=Text(one_line(stated)),
        title_align="left",
        border_style=_colour(conversation, OPENER),
    )
    for seat in reversed(conversation.speakers):
        if told := task.briefing(conversation.problem, seat):
            colour, title = _colour(conversation, seat), f"told to the {seat} alone"
            yield Panel(Text(visible(told)), title=title, title_align="left", border_style=colour)
    for number, turn in enumerate(conversation.turns, 1):
        yield _panel(number, turn, conversation, config)
        if turn.probe is not None:
            yield _probe_panel(turn.probe, config)
        if config.siblings:
            yield from _sibling_panels(turn, config)
    end = Text.assemble(_stop(conversation), f" after {len(conversation.turns)} turns · gold: ")
    gold = conversation.problem.target
    end.append(f"\n\n{visible(gold)}" if "\n" in gold else one_line(gold), "bold")
    yield end
    if conversation.failure:
        yield _failure(conversation.failure)


def _panel(number: int, turn: Turn, conversation: Conversation, config: ShowConfig) -> Panel:
    name = f"{number} {turn.seat} · {conversation.speakers[turn.seat].model}"
    return Panel(
        _body(turn.reply, config),
        title=Text(one_line(name)),
        title_align="left",
        subtitle=_verdict(turn.reply),
        subtitle_align="right",
        border_style=_colour(conversation, turn.seat),
    )


def _probe_panel(probe: Probe, config: ShowConfig) -> Padding:
    """What the seat said off the record, indented below its turn."""
    verdict = _verdict(probe.reply)
    if probe.probability is not None:
        verdict.append(f" · {100 * probe.probability:.0f}% sure")
    panel = Panel(
        _body(probe.reply, config),
        title="off the record",
        title_align="left",
        subtitle=verdict,
        subtitle_align="right",
        border_style="dim",
    )
    return Padding(panel, (0, 0, 0, 4))


def _colour(conversation: Conversation, seat: Seat) -> str:
    """Of a seat; the statement of a problem without an opener is cyan, too."""
    seats = list(conversation.speakers)
    return COLOURS[seats.index(seat) % len(COLOURS) if seat in seats else 1]


def _sibling_panels(turn: Turn, config: ShowConfig) -> Iterator[Padding]:
    """The candidates that were not chosen, numbered from 0 as in `replies`, indented."""
    for index, reply in enumerate(turn.replies):
        if index != turn.chosen:
            panel = Panel(
                _body(reply, config),
                title=f"candidate {index}",
                title_align="left",
                subtitle=_verdict(reply),
                subtitle_align="right",
                border_style="dim",
            )
            yield Padding(panel, (0, 0, 0, 4))


def _body(reply: Reply, config: ShowConfig) -> Text:
    body = Text()
    if config.reasoning and reply.reasoning:
        body.append(visible(reply.reasoning.strip()) + "\n\n", "dim italic")
    body.append(visible(reply.text))
    return body


def _verdict(reply: Reply) -> Text:
    verdict = Text.assemble("belief ", _belief(reply), f" · by {reply.extraction.by}")
    if reply.judgement is not None:
        verdict.append(f" · judge: {one_line(reply.judgement.text or 'refused')}")
    if reply.value is not None:
        verdict.append(f" · value {reply.value:.2f} of {len(reply.rollouts)}")
    return verdict


def _belief(reply: Reply) -> Text:
    mark, style = {True: ("✓", "green"), False: ("✗", "red"), None: ("?", "yellow")}[reply.correct]
    match reply.belief:
        case Answered(value):
            return Text(answer_in_short(value) + mark, style)
        case Unsure():
            return Text("unsure", "yellow")
        case _:
            return Text("unreadable", "yellow")


def _stop(conversation: Conversation) -> Text:
    style = "red" if conversation.stop is StopReason.FAILED else "yellow"
    if conversation.stop is StopReason.AGREED:
        style = {True: "green", False: "red", None: "yellow"}[_last_verdict(conversation)]
    return Text(conversation.stop.value, style)


def _last_verdict(conversation: Conversation) -> bool | None:
    return conversation.turns[-1].reply.correct if conversation.turns else None


def _matches(conversation: Conversation, only: Only) -> bool:
    match only:
        case "all" | "long":
            return True
        case "failed":
            return conversation.stop is StopReason.FAILED
        case kind:
            return turn_of(conversation, kind) is not None
