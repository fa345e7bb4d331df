"""How long it takes to measure a conversation of four turns, and what a tally of it weighs.

    python benchmarks/metrics.py [--conversations 20000]

Times are CPU time, the best of several rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import time
import tracemalloc
from collections.abc import Callable

import msgspec

from coral.conversation.protocols import Settings, build
from coral.metrics import Tally, Trace, measure, summarize, trace_of
from coral.types import (
    OPENER,
    RESPONDER,
    SCHEMA,
    Answered,
    Conversation,
    Extraction,
    FinishReason,
    Problem,
    Reply,
    Speaker,
    StopReason,
    Turn,
    Usage,
)

PAIR = build("pair", Settings(agents=("agent", "partner")))


def conversation_of(*, partner: bool) -> Conversation:
    """Two who disagree for three turns: the case with the most to count."""
    turns = tuple(
        Turn(
            seat=OPENER if i % 2 else RESPONDER,
            replies=(
                Reply(
                    text="I think the answer is as follows.",
                    belief=Answered("right" if answer == "R" else "wrong"),
                    correct=answer == "R",
                    finish_reason=FinishReason.STOP,
                    extraction=Extraction(by="rules"),
                    usage=Usage(prompt_tokens=500, completion_tokens=80),
                ),
            ),
        )
        for i, answer in enumerate("XRXX")
    )
    agent = Speaker(name="agent", model="a")
    return Conversation(
        schema=SCHEMA,
        id="p#0",
        problem=Problem(id="p", task="t", question="q", target="right", group={"order": "1"}),
        speakers={RESPONDER: agent, OPENER: Speaker(name="partner", model="b") if partner else agent},
        opening="q",
        turns=turns,
        stop=StopReason.AGREED,
        seed=0,
        started_at=0.0,
        seconds=1.0,
    )


async def same(a: str, b: str) -> bool:
    """Equivalence that costs nothing."""
    return a == b


def trace_now(conversation: Conversation) -> Trace:
    """A trace without the cost of an event loop, as inside of one."""
    coroutine = trace_of(conversation, same)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("`same` never waits")


def microseconds(action: Callable[[], object], *, calls: int = 1000, rounds: int = 20) -> float:
    """CPU time of one call, the best of several rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        for _ in range(calls):
            action()
        best = min(best, time.process_time() - start)
    return best / calls * 1e6


def report_times(*, partner: bool) -> None:
    conversation = conversation_of(partner=partner)
    trace = asyncio.run(trace_of(conversation, same))
    tally = Tally(task="t", rules=PAIR)
    print(f"{'agent and partner' if partner else 'agent with itself'}, 4 turns, microseconds a conversation:")
    print(f"  trace_of          {microseconds(lambda: trace_now(conversation)):6.1f}")
    print(f"  Tally.add         {microseconds(lambda: tally.add(conversation, trace)):6.1f}")
    both = microseconds(lambda: tally.add(conversation, trace_now(conversation)))
    print(f"  both, as in a run {both:6.1f}")
    print(f"  measure (alone)   {microseconds(lambda: measure(conversation, trace, PAIR)):6.1f}")


def report_run(conversations: int) -> None:
    one = conversation_of(partner=True)
    trace = trace_now(one)
    tally = Tally(task="t", rules=PAIR)
    tracemalloc.start()
    for i in range(conversations):
        problem = msgspec.structs.replace(one.problem, id=f"problem-{i}", group={"order": str(i % 5)})
        tally.add(msgspec.structs.replace(one, problem=problem), trace)
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    start = time.process_time()
    summarize(tally)
    seconds = time.process_time() - start
    print(f"{conversations} conversations on as many problems, 5 groups:")
    print(f"  memory {used / conversations:.0f} bytes a conversation; summarize {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=int, default=20_000)
    options = parser.parse_args()
    for partner in (False, True):
        report_times(partner=partner)
    report_run(options.conversations)


if __name__ == "__main__":
    main()
