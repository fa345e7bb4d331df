"""What `coral view` needs for a big run: to index it, to answer the page, and the page itself.

    python benchmarks/view.py [--conversations 100000] [--folder DIR]

A run of conversations of six turns is written. Indexing is a process of its own: its time, peak memory and
disk. Then the server answers each question of the page nine times; the median is told. With playwright and
Chromium there, the page is opened too: seconds from the address to the first rows, and the memory of its
JavaScript.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

import scale
from coral.viewer.server import TOKEN_HEADER

INDEX = """
import sys
from coral.store.folder import RunFolder
from coral.viewer.index import RunIndex
RunIndex(RunFolder(sys.argv[1])).update()
"""
QUESTIONS = {
    "first rows": ("runs/0/conversations", {}),
    "rows 90,000 on": ("runs/0/conversations", {"offset": "90000"}),
    "a kind": ("runs/0/conversations", {"kind": "gained"}),
    "a kind, by tokens": ("runs/0/conversations", {"kind": "gained", "sort": "-tokens"}),
    "a group": ("runs/0/conversations", {"group.category": "law"}),
    "a word of all": ("runs/0/conversations", {"text": "boundary"}),
    "a word of one": ("runs/0/conversations", {"text": "p4711"}),
    "two words, sorted": ("runs/0/conversations", {"text": "boundary units", "sort": "-turns"}),
    "overview, first time": ("runs/0", {}),
    "overview": ("runs/0", {}),
}
PATHS = ("BABAAA", "ABABAA", "BBBBBB", "CABABB")
"""Beliefs over six turns; A is right."""


def main() -> None:
    """Write, index, ask, open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=100_000)
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run = (given.folder or Path(temporary)) / "run"
        if not run.exists():
            scale.write_run(run, given.conversations, PATHS)
        _index(run, given.conversations)
        _serve(run)


def _index(run: Path, conversations: int) -> None:
    for left in run.glob("view.sqlite*"):
        left.unlink()
    begun = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", INDEX, str(run)])
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0
    disk = sum(file.stat().st_size for file in run.glob("view.sqlite*"))
    cpu = used.ru_utime + used.ru_stime
    print(f"{conversations:,} conversations of six turns")
    print(
        f"index: {time.perf_counter() - begun:.1f} s, {cpu:.1f} CPU s, "
        f"{used.ru_maxrss / 1024:.0f} MB of memory, {disk / 1e6:.0f} MB of disk"
    )


def _serve(run: Path) -> None:
    begun = time.perf_counter()
    command = [sys.executable, "-m", "coral", "view", str(run), "--no_browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = process.stdout.readline().split()[0]
        print(f"from the command to the address: {time.perf_counter() - begun:.2f} s")
        base, token = address.split("?token=")
        for name, (path, query) in QUESTIONS.items():
            once = 1 if "first time" in name else 9
            spent = [_ask(f"{base}api/{path}?{urllib.parse.urlencode(query)}", token) for _ in range(once)]
            print(f"{name:22} {1000 * statistics.median(spent):6.0f} ms")
        _open(address)
    finally:
        process.terminate()
        process.wait()


def _ask(address: str, token: str) -> float:
    request = urllib.request.Request(address, headers={TOKEN_HEADER: token})
    begun = time.perf_counter()
    with urllib.request.urlopen(request) as response:
        json.loads(response.read())
    return time.perf_counter() - begun


def _open(address: str) -> None:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        chromium = None
    if chromium is None:
        print("the page: not opened, playwright or Chromium is not there")
        return
    with sync_playwright() as tools:
        browser = tools.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--enable-precise-memory-info"]
        )
        page = browser.new_page()
        begun = time.perf_counter()
        page.goto(address + "#/run/0/list")
        page.wait_for_selector(".all .row a")
        print(f"the page, to its first rows: {time.perf_counter() - begun:.2f} s")
        page.evaluate(
            "async () => { const box = document.querySelector('.window');"
            "for (let n = 0; n < 100; n += 1) { box.scrollTop = (n / 100) * box.scrollHeight;"
            "await new Promise((done) => setTimeout(done, 50)); } }"
        )
        heap = page.evaluate("performance.memory.usedJSHeapSize")
        print(f"memory of its JavaScript after scrolling through all: {heap / 1e6:.0f} MB")
        browser.close()


if __name__ == "__main__":
    main()
