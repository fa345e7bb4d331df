"""The line that a running job shows: what matters first, cut by whole figures to the room there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from coral.conversation import protocols
from coral.evaluation.progress import Progress

LONGEST_CAUSE = 60
"""Characters that the cause of retries may take of the line."""
BETWEEN = " · "


class Figure(NamedTuple):
    """A figure of the line.

    Attributes:
        rank: where there is no room, figures of higher rank are left out first; 0 never is.
        short: the same in fewer characters.
    """

    text: str
    rank: int
    short: str = ""


class Rates:
    """Requests and tokens per second since the last look."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = (progress.elapsed_s, progress.requests, progress.completion_tokens)
        self.requests = self.tokens = 0.0

    def look(self) -> None:
        """Measure anew, averaging with the last look so that figures do not jump."""
        now = (self._progress.elapsed_s, self._progress.requests, self._progress.completion_tokens)
        seconds = now[0] - self._last[0]
        if seconds > 0:
            self.requests = 0.5 * self.requests + 0.5 * (now[1] - self._last[1]) / seconds
            self.tokens = 0.5 * self.tokens + 0.5 * (now[2] - self._last[2]) / seconds
            self._last = now


def describe(progress: Progress, rates: Rates, protocol: str, width: int | None = None) -> str:
    """How many are finished, the headline so far, how long still, what fails and why, how fast.

    Args:
        width: characters there are; the count, failures and a stop are told in any case.
    """
    rates.look()
    figures = list(_figures(progress, rates, protocol))
    if width is None:
        return _joined(figures)
    while len(_joined(figures)) > width:
        place, last = max(enumerate(figures), key=lambda found: found[1].rank)
        if not last.rank:
            break
        figures[place : place + 1] = [Figure(last.short, last.rank)] if last.short else []
    return _joined(figures)


def _figures(progress: Progress, rates: Rates, protocol: str) -> list[Figure]:
    """In the order in which they are told."""
    figures = [Figure(f"{progress.kept + progress.done}/{progress.total or '?'}", 0)]
    if headline := headline_of(progress, protocol):
        figures.append(Figure(headline, 1, headline.partition(" of ")[0]))
    if progress.stopping:
        figures.append(Figure(f"stopping, {progress.in_flight} to finish", 0))
    elif progress.remaining_s is not None:
        figures.append(Figure(f"{clock(progress.remaining_s)} left", 2))
    if progress.failed:
        figures.append(Figure(f"{progress.failed} failed", 0))
    retry_state = progress.retry_state
    if retry_state.retrying and retry_state.latest is not None:
        again = f"{retry_state.retrying} retrying"
        figures.append(Figure(f"{again}: {_brief(retry_state.latest.brief)}", 3, again))
    if not progress.stopping:
        figures.append(Figure(f"{progress.in_flight} active", 4))
    if waiting := progress.waiting_for():
        figures.append(Figure(waiting, 3))
    if progress.from_cache:
        figures.append(Figure(f"{progress.from_cache} from the cache", 4))
    return [
        *figures,
        Figure(f"{rates.requests:.0f} req/s", 5),
        Figure(f"{_thousands(rates.tokens)} tok/s", 6),
    ]


def headline_of(progress: Progress, protocol: str) -> str:
    """The share that the table of the run will open with, so far; empty where there is none to tell.

    A session knows of its own conversations alone, and says so where it is not the first. Where no answer has
    a grade, agreement is all there is; beside a control partner even that says nothing.
    """
    alone = not protocol or protocols.kind(protocol).max_agents == 1
    if progress.graded and progress.scored:
        several = "last answer right" if progress.last_answer_counts else "agreed and right"
        name, part, whole = "right" if alone else several, progress.right, progress.scored
    elif progress.done > progress.failed and not alone and not progress.last_answer_counts:
        name, part, whole = "agreed", progress.agreed, progress.done - progress.failed
    else:
        return ""
    return f"{name} {part / whole:.0%}{f' of {whole} new' if progress.kept else ''}"


def opening(progress: Progress) -> str:
    """The first line of a session: the folder, what was kept, and what is to be done."""
    if not (progress.kept or progress.replayed):
        return f"{progress.place}: {_conversations(progress.total)} to hold"
    kept = f"{progress.kept} finished conversations"
    if progress.replayed:
        kept += f" and {progress.replayed} replies of unfinished ones"
    return (
        f"resumed {progress.place}: {kept} were kept, "
        f"{_conversations(progress.total - progress.kept)} to hold"
    )


def ending(progress: Progress, protocol: str) -> str:
    """The last line of a session: how many there are, the headline, and how long it took."""
    figures = [f"{progress.kept + progress.done}/{progress.total}"]
    if headline := headline_of(progress, protocol):
        figures.append(headline)
    if progress.failed:
        figures.append(f"{progress.failed} failed")
    return BETWEEN.join([*figures, f"took {clock(progress.elapsed_s)}"])


def clock(seconds: float) -> str:
    """Such as 4s, 3:07 or 2:10:00."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _joined(figures: Sequence[Figure]) -> str:
    return BETWEEN.join(figure.text for figure in figures)


def _conversations(number: int) -> str:
    return f"{number} conversation{'' if number == 1 else 's'}"


def _brief(words: str) -> str:
    """One short line of somebody else's words."""
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_CAUSE else f"{line[: LONGEST_CAUSE - 1]}…"


def _thousands(number: float) -> str:
    return f"{number / 1000:.1f}k" if number >= 1000 else f"{number:.0f}"
