"""The response cache at a million replies: microseconds to keep and to find one, and what the folder takes.

    python benchmarks/replies.py [--replies 1000000] [--bytes 1500] [--files 100000]

`one file per reply` is the other way to do it: written whole, then renamed, in 4,096 folders.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from coral.store.replies import ReplyStore


def measure(name: str, count: int, keep: Callable[[bytes], object], find: Callable[[bytes], object]) -> None:
    """Keep `count` replies, find 20,000 of them and 20,000 that are not there, and print what that took."""
    keys = [os.urandom(16) for _ in range(count)]
    began = time.perf_counter()
    for key in keys:
        keep(key)
    kept = time.perf_counter()
    some = random.sample(keys, min(20_000, count))
    for key in some:
        find(key)
    found = time.perf_counter()
    for _ in range(20_000):
        find(os.urandom(16))
    missed = time.perf_counter()
    print(
        f"{name}, {count:,} replies: keep {1e6 * (kept - began) / count:.0f} us, "
        f"find {1e6 * (found - kept) / len(some):.0f} us, miss {1e6 * (missed - found) / 20_000:.0f} us"
    )


def size_of(folder: Path) -> str:
    """What a folder takes on the disk, and its files."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return f"{sum(path.stat().st_blocks for path in paths) * 512 / 1e9:.2f} GB in {len(paths):,} files"


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replies", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--bytes", type=int, default=1500)
    options = parser.parse_args()
    value = os.urandom(options.bytes)
    with tempfile.TemporaryDirectory() as name:
        store = ReplyStore(Path(name))
        measure("SQLite", options.replies, lambda key: store.keep(key, value), store.find)
        store.close()
        print(size_of(Path(name)))
    with tempfile.TemporaryDirectory() as name:

        def place(key: bytes) -> Path:
            return Path(name) / key.hex()[:3] / key.hex()

        def keep(key: bytes) -> None:
            path = place(key)
            path.parent.mkdir(exist_ok=True)
            path.with_suffix(".new").write_bytes(value)
            path.with_suffix(".new").replace(path)

        def find(key: bytes) -> bytes | None:
            try:
                return place(key).read_bytes()
            except FileNotFoundError:
                return None

        measure("one file per reply", options.files, keep, find)
        print(size_of(Path(name)))


if __name__ == "__main__":
    main()
