"""How often the rules find what a response really submits: the figures of docs/extraction.md.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --base_url http://localhost:8000/v1 --model NAME

The truth is `tests/data/responses/labels.jsonl`: what each response submits, right or wrong, by reading.
With a model, the modes `model` and `hybrid` are measured, too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import timeit
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

from coral import prompts
from coral.answers import choice, math, phrase
from coral.models.client import build_model
from coral.models.config import ModelConfig
from coral.models.protocol import Model, Request, Sampling
from coral.types import Answered, Belief, Message, Role, Unreadable

DATA = Path(__file__).parent.parent / "tests" / "data"
INSTRUCTIONS = {
    "letter": "The answer is the letter of one of the choices.",
    "number": "The answer is a number.",
    "phrase": "The answer is a short phrase, such as yes or no.",
}
SUFFIXES = (
    " But my partner said the answer is (A).",
    " Are you sure it isn't (B)?",
    "\n\nIf the answer were (C), the first step would fail.",
    '\n\nYou wrote: "The answer is (D)." I cannot follow that.',
    "\n\nYour answer is (A).",
    "\n\nWhy do you think that the answer is (B)?",
    "\n\nThe answer is not (C).",
    "\n\nI first thought the answer was (D).",
)
OUTCOMES = ("right", "missed", "silent", "wrong")


@dataclass(frozen=True, kw_only=True)
class Case:
    """One text with what it submits."""

    source: str
    kind: str
    question: str
    text: str
    choices: tuple[str, ...]
    submits: str | None
    published: str | None = None

    def read(self, text: str) -> Belief:
        if self.kind == "letter":
            return choice.read(text, self.choices)
        return math.read(text) if self.kind == "number" else phrase.read(text)

    def parse(self, answer: str) -> Belief:
        if self.kind == "letter":
            return choice.parse(answer, self.choices)
        return math.parse(answer) if self.kind == "number" else phrase.parse(answer)

    def outcome(self, belief: Belief) -> str:
        """`wrong` is the error to avoid: an answer that the text does not submit."""
        if not isinstance(belief, Answered):
            return "silent" if self.submits is None else "missed"
        same = {"letter": str.__eq__, "number": math.same_text, "phrase": phrase.same}[self.kind]
        return "right" if self.submits is not None and same(belief.value, self.submits) else "wrong"


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (DATA / path).read_text(encoding="utf-8").splitlines()]


def cases() -> list[Case]:
    submitted = {(row["id"], row["part"]): row["submits"] for row in rows("responses/labels.jsonl")}
    found: list[Case] = []
    for source in ("mmlu_pro", "gsm8k", "gsm8k_tora_boxed"):
        found.extend(
            Case(
                source=source,
                kind="letter" if source == "mmlu_pro" else "number",
                question=row["question"],
                text=row["response"],
                choices=tuple(row.get("options") or ()),
                submits=submitted[row["id"], "response"],
                published=row.get("official_extracted"),
            )
            for row in rows(f"responses/{source}_responses.jsonl")
        )
    return found + list(reconcile_cases(submitted))


def reconcile_cases(submitted: dict[tuple[str, str], str | None]) -> Iterable[Case]:
    kinds = {"aqua": "letter", "gsm8k": "number", "sqa": "phrase"}
    for row in rows("responses/reconcile_pre_post.jsonl"):
        for part in ("before", "after"):
            yield Case(
                source="reconcile",
                kind=kinds[row["dataset"]],
                question=row["question"],
                text=json.dumps(row[part], ensure_ascii=False),
                choices=tuple(option.partition(")")[2].strip() for option in row["options"] or ()),
                submits=submitted[row["id"], part],
            )


def show(title: str, results: Iterable[tuple[str, str, str]]) -> None:
    """Print outcomes (mode, source, outcome) as a table."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for mode, source, outcome in results:
        counts.setdefault((mode, source), Counter())[outcome] += 1
    print(f"\n{title}")
    print(f"{'mode':<12}{'source':<24}{'n':>6}" + "".join(f"{name:>9}" for name in OUTCOMES))
    for (mode, source), count in counts.items():
        print(f"{mode:<12}{source:<24}{count.total():>6}" + "".join(f"{count[name]:>9}" for name in OUTCOMES))


def show_rules(found: list[Case]) -> None:
    results = [("rules", case.source, case.outcome(case.read(case.text))) for case in found]
    results += [("rules", "all", outcome) for _, _, outcome in results]
    for case in found:
        if case.source == "mmlu_pro":
            belief = Answered(case.published) if case.published else Unreadable("none found")
            results.append(("published", case.source, case.outcome(belief)))
        elif case.kind == "number":
            results.append(("math-verify", case.source, by_math_verify(case)))
    show("What responses submit, and what is read", results)
    bare = [
        ("parse", f"reconcile, {case.kind}s", case.outcome(case.parse(case.submits)))
        for case in found
        if case.source == "reconcile" and case.submits
    ]
    show("Bare answers, as an extractor model gives them", bare)


def by_math_verify(case: Case) -> str:
    """What Math-Verify, which looks for boxes, labels and the last number, finds in a response."""
    import math_verify

    found = math_verify.parse(case.text, parsing_timeout=None)
    if not found:
        return "silent" if case.submits is None else "missed"
    if case.submits is None:
        return "wrong"
    wanted = math_verify.parse(f"${case.submits}$", parsing_timeout=None)
    return "right" if math_verify.verify(wanted, found, timeout_seconds=None) else "wrong"


def show_calls(found: list[Case]) -> None:
    print("\nTurns that mode hybrid sends to a model (the rules abstain)")
    for source in dict.fromkeys(case.source for case in found):
        here = [case for case in found if case.source == source]
        asked = sum(isinstance(case.read(case.text), Unreadable) for case in here)
        print(f"{source:<24}{asked:>4} of {len(here):>3}   calls saved {1 - asked / len(here):>4.0%}")


def show_suffixes(found: list[Case]) -> None:
    """Talk about other letters, appended to every response, must not become its answer."""
    print("\nResponses with a sentence about another letter behind them (mmlu_pro)")
    print(f"{'sentence':<52}{'same':>6}{'abstains':>10}{'invented':>10}")
    for suffix in SUFFIXES:
        tally: Counter[str] = Counter()
        for case in found:
            if case.source == "mmlu_pro":
                before, after = case.read(case.text), case.read(case.text.rstrip() + suffix)
                if after == before or (not isinstance(before, Answered) and not isinstance(after, Answered)):
                    tally["same"] += 1
                else:
                    tally["invented" if isinstance(after, Answered) else "abstains"] += 1
        print(f"{suffix.strip():<52}{tally['same']:>6}{tally['abstains']:>10}{tally['invented']:>10}")


def show_turns() -> None:
    choices = tuple(f"choice text {index}" for index in range(10))
    results = []
    for name in ("choice_turns", "unseen_turns"):
        for row in rows(f"turns/{name}.jsonl"):
            case = Case(
                source=name,
                kind="letter",
                question="",
                text=row["text"],
                choices=choices,
                submits=row["submits"],
            )
            results.append(("rules", name, case.outcome(case.read(case.text))))
    show("Turns written by hand: traps that shaped the rules, and turns that did not", results)


def show_speed(found: list[Case]) -> None:
    print("\nMicroseconds of processor time per text (best of 60 rounds)")
    for kind in ("letter", "number"):
        here = [case for case in found if case.kind == kind]
        times = sorted(map(min, zip(*(map(_reading_time, here) for _ in range(60)), strict=True)))
        chars = statistics.median(len(case.text) for case in here)
        line = f"{kind:<8}n {len(here):>3}, median length {chars:>5.0f} characters"
        print(f"{line}: median {statistics.median(times):>4.0f}, worst {times[-1]:>5.0f}")


def _reading_time(case: Case) -> float:
    start = process_time()
    case.read(case.text)
    return (process_time() - start) * 1e6


FLOODS = (
    *(
        "\\boxed{",
        "the answer is ",
        "\\boxed{      ",
        "\\boxed ",
        "Answer: \\[ ",
        "I choose ",
        "correct ",
        "#### ",
        "$",
        "{",
    ),
    *(
        "(A) ",
        "\nA. a",
        "\nQuestion: a\n",
        '"answer": "',
        "<answer>",
        "<|im_",
        "~~a",
        "1=",
        "8 (4 ",
        "\n> ",
        "\u00b2",
    ),
)
"""Pieces of hostile texts: each is repeated."""


def show_floods() -> None:
    """The slowest reader on a text of nothing but repetitions: twice the length may take twice as long."""
    print("\nSeconds of processor time, slowest reader, on the slowest of hostile texts")
    readers = (
        lambda text: choice.read(text, ("red", "blue")),
        lambda text: choice.parse(text, ("red", "blue")),
        *(math.read, math.parse, phrase.read, phrase.parse),
    )
    for size in (50_000, 100_000, 200_000):
        took = max(
            (min(timeit.repeat(lambda: read(text), timer=process_time, number=1, repeat=2)), piece)  # noqa: B023
            for piece in FLOODS
            for text in [piece * (size // len(piece))]
            for read in readers
        )
        print(f"{size // 1000:>4} kB: {took[0]:.2f} s ({took[1]!r} repeated)")


async def ask(model: Model, case: Case) -> Belief:
    """What mode `model` reads: the extractor's last line, brought into canonical form."""
    listed = "\n".join(f"({chr(65 + at)}) {text}" for at, text in enumerate(case.choices))
    content = prompts.render(
        prompts.builtin("extraction"),
        question=f"{case.question}\n{listed}".strip(),
        reply=case.text,
        instruction=INSTRUCTIONS[case.kind],
    )
    sampling = Sampling(temperature=0.0, max_tokens=32)
    generation = await model.generate(Request(messages=(Message(Role.USER, content),), sampling=sampling))
    return case.parse((generation.candidates[0].text.strip().splitlines() or [""])[-1])


async def show_model(found: list[Case], base_url: str, name: str) -> None:
    async with build_model(ModelConfig(model=name, base_url=base_url, max_connections=16)) as model:
        asked = await asyncio.gather(*(ask(model, case) for case in found))
    results = []
    for case, belief in zip(found, asked, strict=True):
        by_rules = case.read(case.text)
        settled = belief if isinstance(by_rules, Unreadable) else by_rules
        results += [
            ("model", case.source, case.outcome(belief)),
            ("hybrid", case.source, case.outcome(settled)),
        ]
    show(f"With {name}", sorted(results, key=lambda result: result[0]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base_url", help="an OpenAI-compatible server, for the modes model and hybrid")
    parser.add_argument("--model", help="the model's name on that server")
    args = parser.parse_args()
    found = cases()
    show_rules(found)
    show_calls(found)
    show_suffixes(found)
    show_turns()
    show_speed(found)
    show_floods()
    if args.base_url:
        asyncio.run(show_model(found, args.base_url, args.model or ""))
    else:
        print("\nmodes model and hybrid: not run (give --base_url and --model)")


if __name__ == "__main__":
    main()
