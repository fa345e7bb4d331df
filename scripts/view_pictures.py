"""Draw the pictures of the viewer that the pages show: real runs of the embedded model, in a real browser.

python scripts/view_pictures.py runs/pictures docs/pictures      # the runs, then the pictures; needs Chromium

What `make test-browser` installs is enough. Runs that are there are kept; the pictures are made anew.
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

CORAL = (sys.executable, "-m", "coral")
RUNS = {
    "whole": "eval sally_anne --limit 200",
    "whole-hot": "eval sally_anne --limit 200 --agent.temperature 1",
    "halves": "eval sally_anne --task.split_information true --limit 200",
    "trees": "sample sally_anne --split train --limit 20 --samples 1 --candidates 4 --rollouts 3"
    " --agent.temperature 1",
}
CHANGED = "compare?a=0&b=1&change=lost"
SCREENS = {  # file: caption, how wide it stands on the picture of all screens, and which part of it
    "view_overview": ("overview", 453, "top"),
    "view_list": ("conversations in which a right answer was given up", 453, "top"),
    "view_conversation": ("a conversation", 453, "bottom"),
    "view_compare": ("two runs, paired by problem", 684, "top"),
    "view_side": ("two conversations side by side", 684, "bottom"),
}
AS_OPENED = {  # file: the screen, how high it stands, and what it has to have
    "view_overview": ("run/0", 760, ["main .headline"]),
    "view_list": ("run/0/list?kind=lost", 520, ["main .all .row a"]),
    "view_compare": (CHANGED, 760, [".aligned a", ".card table"]),
}
LESSON = "sally_anne-9c18c1c879f7%230"  # begins wrong, and is put right; other weights need another one
HEADER = 60  # pixels that the page's header covers


def main() -> None:
    runs, pictures = map(Path, sys.argv[1:])
    pictures.mkdir(parents=True, exist_ok=True)
    for name, command in RUNS.items():
        if not (runs / name / "summary.json").exists():
            subprocess.run([*CORAL, *command.split(), "--output", runs / name], check=True)
    with sync_playwright() as tools:
        browser = tools.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        with served(runs / "whole", runs / "whole-hot") as address:
            for name, (screen, height, wanted) in AS_OPENED.items():
                shown(browser, address, screen, height, wanted, pictures / f"{name}.png")
            side_by_side(browser, address, pictures)
        with served(runs / "halves") as address:
            conversation(browser, address, pictures)
        with served(runs / "trees") as address:
            lessons(browser, address, pictures)
        all_screens(browser, pictures)
        browser.close()


@contextmanager
def served(*runs: Path) -> Iterator[str]:
    process = subprocess.Popen([*CORAL, "view", *runs, "--no-browser"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[0]
    finally:
        process.terminate()
        process.communicate()


def shown(
    browser: Browser, address: str, screen: str, height: int, wanted: Sequence[str], picture: Path
) -> None:
    """A screen as it opens, once it has what is wanted."""
    page = opened(browser, f"{address}#/{screen}", height=height)
    for selector in wanted:
        page.wait_for_selector(selector)
    save(page, picture)


def conversation(browser: Browser, address: str, pictures: Path) -> None:
    """One in which two halves became an answer."""
    page = opened(browser, f"{address}#/run/0/list?kind=gained", height=900)
    page.locator("main .all .row a").first.click()
    page.wait_for_selector("article #turn-1")
    to_top(page, "article .problem-text")
    save(page, pictures / "view_conversation.png")


def side_by_side(browser: Browser, address: str, pictures: Path) -> None:
    page = opened(browser, f"{address}#/{CHANGED}", height=900)
    page.locator(".aligned a").first.click()
    page.wait_for_selector(".side-by-side #turn-2")
    page.locator("#turn-2").first.evaluate("turn => turn.scrollIntoView({block: 'end'})")
    save(page, pictures / "view_side.png")


def lessons(browser: Browser, address: str, pictures: Path) -> None:
    page = opened(browser, f"{address}#/run/0/conversation?id={LESSON}", height=760)
    page.select_option(".lessons select", "dpo")
    page.locator("#turn-1 details.lesson summary").first.click()
    page.wait_for_selector("#turn-1 .trained")
    to_top(page, "#turn-1")
    save(page, pictures / "view_lessons.png")


def all_screens(browser: Browser, pictures: Path) -> None:
    figures = "".join(
        f"<figure><img style='width:{wide}px;object-position:{end} left' src='data:image/png;base64,"
        f"{base64.b64encode((pictures / f'{name}.png').read_bytes()).decode()}'>"
        f"<figcaption>{caption}</figcaption></figure>"
        for name, (caption, wide, end) in SCREENS.items()
    )
    page = browser.new_page(viewport={"width": 1400, "height": 560})
    page.set_content(
        "<style>*{box-sizing:border-box}figure{margin:0}"
        "body{margin:12px;display:flex;flex-wrap:wrap;gap:8px;font:14px sans-serif}"
        "img{border:1px solid #ccc;border-radius:6px;object-fit:cover;height:240px;display:block}"
        f"figcaption{{padding:6px 0;color:#444}}</style>{figures}"
    )
    save(page, pictures / "view_screens.png")


def opened(browser: Browser, address: str, height: int) -> Page:
    page = browser.new_page(viewport={"width": 1200, "height": height})
    page.goto(address)
    return page


def to_top(page: Page, selector: str) -> None:
    page.locator(selector).first.evaluate(
        f"found => scrollBy(0, found.getBoundingClientRect().top - {HEADER})"
    )


def save(page: Page, file: Path) -> None:
    page.wait_for_timeout(300)  # what is still being drawn
    shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    shown.quantize(128).save(file, optimize=True)
    page.close()


if __name__ == "__main__":
    main()
