"""What second speakers do in evaluations on split information: compare the days, and how well.

python recipes/tiny_improve/turns.py runs/tiny_improve/0/models/*/final
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

import coral
from coral.types import Answered

COMPARED = re.compile(r"[Yy]ou have day (\d+) .*, my last is day (\d+) .*\. Later: (my|you)\b")
"""How a second speaker compares: the partner's day, its own, and whose it decides for."""


def main(folders: list[Path]) -> None:
    columns = ("compare", "right where they compare", "verdict fits the days they state")
    print("| run |", *(f"{name} |" for name in (*columns, "decide for their own day", "where it is later")))
    print("|" + " --- |" * (len(columns) + 3))
    for folder in folders:
        second = list(second_turns(folder))
        compared = [(found, right) for found, right in second if found]
        whose = [(found[3] == "my", int(found[2]) > int(found[1])) for found, _ in compared]
        shares = (
            share([bool(found) for found, _ in second]),
            share([right for _, right in compared]),
            share([mine == later for mine, later in whose]),
            share([mine for mine, _ in whose]),
            share([later for _, later in whose]),
        )
        print(f"| {folder.parent.name} |", *(f"{one} |" for one in shares))


def second_turns(folder: Path) -> Iterator[tuple[re.Match[str] | None, bool]]:
    """Of each conversation, how the second speaker compared (None: it did not), and whether it is right."""
    for conversation in coral.load_run(folder).conversations():
        if len(conversation.turns) > 1:
            reply = conversation.turns[1].reply
            belief, target = reply.belief, conversation.problem.target
            yield COMPARED.match(reply.text), isinstance(belief, Answered) and belief.value == target


def share(values: list[bool]) -> str:
    return f"{sum(values) / len(values):.1%}" if values else "-"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of the pair on split information")
    main(parser.parse_args().runs)
