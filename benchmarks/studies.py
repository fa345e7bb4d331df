"""What a study costs: its conversations beside the same number in one `coral eval`, and its report.

    python benchmarks/studies.py [--problems 1000] [--arms 8]
    python benchmarks/studies.py --problems 12500 --preset

The server costs almost nothing and answers A or B by a hash of what it is asked, so that answers differ and
flip; the gold answers are A and B by turns. By default each arm holds pairs of four turns that differ in
temperature; with `--preset` the arms are the eight of `--preset controls`, half of whose seats ask no model.
`report` is the same command again: everything is there, it reads, counts, draws and writes.
CPU and memory are what the operating system counted for the process alone, start-up included; ratios of one
run tell more than its seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from evaluate import Cost, fake_server, measured, write_problems


def options_of(data: Path, port: int, turns: int) -> dict[str, object]:
    return {
        "task": {"name": "mmlu_pro"}, "data": str(data), "max_turns": turns,
        "agent": {"model": "fake", "base_url": f"http://127.0.0.1:{port}/v1"},
        "extractor": {"mode": "rules"},
    }  # fmt: skip


def coral(folder: Path, name: str, command: list[str], options: dict[str, object]) -> Cost:
    """Run a command with these options; the same name again resumes what is there."""
    config = folder / f"{name}.yaml"
    config.write_text(json.dumps({**options, "output": str(folder / name)}))
    words = [*command, str(config)] if command == ["study"] else [*command, "--config", str(config)]
    return measured([sys.executable, "-m", "coral", *words])


def requests_of(folder: Path) -> int:
    """The requests that were answered, of a run or of all arms of a study."""
    return sum(json.loads(path.read_text())["requests"] for path in folder.rglob("summary.json"))


def show(what: str, cost: Cost, requests: int) -> None:
    each = f"{1000 * cost.cpu_s / requests:>12.3f}" if requests else f"{'-':>12}"
    spent = f"{cost.wall_s:>9.1f}{cost.cpu_s:>9.1f}{each}{cost.peak_mb:>9.0f}"
    print(f"{what:<24}{requests:>10,}{spent}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--arms", type=int, default=8)
    parser.add_argument("--preset", action="store_true", help="the arms of --preset controls")
    options = parser.parse_args()
    print(f"{'':<24}{'requests':>10}{'wall s':>9}{'CPU s':>9}{'CPU ms/req':>12}{'peak MB':>9}")
    with tempfile.TemporaryDirectory() as name, fake_server(0.0, 0.0, "--hashed") as port:
        folder = Path(name)
        data = folder / "problems.jsonl"
        write_problems(data, options.problems, golds="AB")
        if options.preset:
            study = {**options_of(data, port, 4), "preset": "controls"}
        else:
            study = {**options_of(data, port, 4), "arms": arms(options.arms)}
            many = folder / "many.jsonl"
            write_problems(many, options.problems * options.arms, golds="AB")
            cost = coral(folder, "eval", ["eval"], options_of(many, port, 4))
            show("eval, as many", cost, requests_of(folder / "eval"))
        cost = coral(folder, "study", ["study"], study)
        show("study, with report", cost, requests_of(folder / "study"))
        show("report", coral(folder, "study", ["study"], study), 0)


def arms(count: int) -> dict[str, object]:
    return {f"arm{number}": {"agent": {"temperature": number / 10}} for number in range(count)}


if __name__ == "__main__":
    main()
