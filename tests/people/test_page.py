"""The page of a person in a real browser: from the link to the record, and what may happen on the way."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from coral.api import load_run

playwright = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
DATA = str(Path(__file__).parents[1] / "data" / "gsm8k" / "test.sample.jsonl")
AGENT = r"""
import json, os, sys, time
for line in sys.stdin:
    while os.path.exists(sys.argv[1] + "/slow"):
        time.sleep(0.05)
    if os.path.exists(sys.argv[1] + "/fail"):
        print(json.dumps({"error": "WORDS_OF_SERVER"}), flush=True)
        continue
    text = "<script>window.ran = 1</script><img src=x onerror='window.ran = 1'> \u202e So: \\boxed{7}"
    print(json.dumps({"text": text, "reasoning": "THOUGHT"}), flush=True)
"""


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of the file."""
    with playwright.sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


class Chat:
    """`coral chat --web`, as a user starts it, stops it, and starts it again."""

    def __init__(self, folder):
        self.folder = folder
        self._process = None

    def start(self, *options):
        """Returns the links."""
        (self.folder / "agent.py").write_text(AGENT)
        command = [
            sys.executable, "-m", "coral", "chat", "gsm8k", "--data", DATA, "--limit", "2", "--web",
            "--no_browser", "--agent.command", f"{sys.executable} {self.folder / 'agent.py'} {self.folder}",
            "--output", str(self.folder / "run"), *options,
        ]  # fmt: skip
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        links = []
        while not links or "all sessions" not in links[-1]:
            links.append(self._process.stdout.readline())
            assert links[-1], "it did not start"
        return [link.split()[0] for link in links]

    def kill(self):
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()

    def ends(self):
        """Wait for the end; returns what it printed."""
        return self._process.communicate(timeout=120)[0]

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate()

    def when(self, name, holds):
        """Whether the agent is slow, or fails."""
        path = self.folder / name
        path.touch() if holds else path.unlink()


@pytest.fixture
def chat(tmp_path):
    running = Chat(tmp_path)
    yield running
    running.stop()


@pytest.fixture
def page(browser, request):
    """A page whose errors are listened to: there may be none, but that nobody answers."""
    heard = []
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **getattr(request, "param", {}))
    context.set_default_timeout(120_000)  # what takes so long is not slow, but lost
    shown = context.new_page()
    shown.on("pageerror", lambda error: heard.append(str(error)))
    shown.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    shown.on("dialog", lambda dialog: heard.append(dialog.message))
    yield shown
    context.close()
    assert [one for one in heard if "Failed to load resource" not in one] == []


def begin(page, link):
    page.goto(link)
    page.click("text=Begin")
    page.wait_for_selector("textarea:focus")


def send(page, text):
    page.wait_for_selector("textarea:focus")
    page.keyboard.type(text)
    page.keyboard.press("Control+Enter")


def test_a_person_talks_from_link_to_record_with_the_keyboard_alone(page, chat):
    """Two problems, and the end; nothing that the model wrote ran, and no secret of it is in the page."""
    policies = []
    page.on("response", lambda response: policies.append(response.headers["content-security-policy"]))
    page.goto(chat.start()[0])
    page.wait_for_selector("button:focus:text('Begin')")
    page.keyboard.press("Enter")
    send(page, "I think it is 5. Answer: \\boxed{5}")
    page.wait_for_selector("text=\\boxed{7}")
    send(page, "You are right. \\boxed{7}")
    page.wait_for_selector("text=You agree.")
    assert "1 problem done" in page.inner_text("main")
    page.wait_for_selector("button:focus:text('Next problem')")
    page.keyboard.press("Enter")
    send(page, "\\boxed{7}")
    page.wait_for_selector("text=that was the last problem")
    assert "2 problems done" in page.inner_text("main")
    said = page.inner_text("main")
    assert "<script>window.ran = 1</script>" in said
    assert "\\u202e" in said
    assert page.evaluate("window.ran") is None
    assert page.locator("main script, main img").count() == 0
    assert "and human" in " ".join(chat.ends().split())
    conversations = list(load_run(chat.folder / "run").conversations())
    assert sorted(len(one.turns) for one in conversations) == [2, 3]
    assert {policy.partition(";")[0] for policy in policies} == {"default-src 'none'"}
    assert not any(word in page.content() for word in ("THOUGHT", *(one.problem.id for one in conversations)))
    lines = (chat.folder / "run/people/times/00000.jsonl").read_text().splitlines()
    assert all(0 < json.loads(line)["first_key_s"] <= json.loads(line)["seconds"] for line in lines)


def test_a_draft_a_reload_and_a_server_that_was_killed(page, chat):
    """The same place and the same words, each time; the page goes on by itself when the server is back."""
    link = chat.start()[0]
    begin(page, link)
    page.keyboard.type("half a thou")
    page.reload()
    page.wait_for_selector("textarea:focus")
    assert page.input_value("textarea") == "half a thou"
    chat.kill()
    page.wait_for_selector("text=The study is not there at the moment")
    page.keyboard.press("Control+End")
    page.keyboard.type("ght: ")
    assert chat.start()[0] == link
    page.wait_for_selector("text=The study is not there at the moment", state="detached")
    assert page.input_value("textarea") == "half a thought: "
    chat.when("slow", True)
    send(page, "\\boxed{5}")
    page.wait_for_selector("text=Your partner is writing")
    chat.kill()
    chat.when("slow", False)
    page.wait_for_selector("text=The study is not there at the moment")
    chat.start()
    page.wait_for_selector("section.turn.s-1")
    assert page.locator("section.turn .raw").first.inner_text() == "half a thought: \\boxed{5}"
    send(page, "\\boxed{7}")
    page.wait_for_selector("text=You agree.")


def test_an_answer_that_arrives_late_takes_nothing_back(page, chat):
    """The next turn, which the page waits for, may overtake the answer to the words of the last one."""
    begin(page, chat.start()[0])
    held = []
    page.route("**/api/seat/say", lambda route: held.append((route, route.fetch())))
    send(page, "\\boxed{5}")
    page.wait_for_selector("section.turn.s-1")
    page.wait_for_selector("textarea:focus")
    page.keyboard.type("half ")
    (route, response), *_ = held
    with page.expect_response("**/api/seat/say"):
        route.fulfill(response=response)
    page.unroute("**/api/seat/say")
    page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")
    send(page, "a thought: \\boxed{7}")
    page.wait_for_selector("text=half a thought")
    page.wait_for_selector("text=You agree.")


def test_a_server_that_is_away_behind_a_proxy_is_waited_for(page, chat):
    """The proxy answers, in words of its own; or an answer breaks off."""
    link = chat.start()[0]
    away = [{"status": 502, "body": "<h1>Bad Gateway</h1>"}, {"status": 200, "body": '{"phase": "wel'}]
    page.route(
        re.compile(r"/api/seat(\?|$)"),
        lambda route: route.fulfill(**away.pop(0)) if away else route.continue_(),
    )
    page.goto(link)
    page.wait_for_selector("text=The study is not there at the moment")
    page.wait_for_selector("text=Begin")
    assert not away


def test_a_model_that_fails_is_told_and_asked_again(page, chat):
    """In words of ours, at a button that has the focus."""
    begin(page, chat.start()[0])
    chat.when("fail", True)
    send(page, "\\boxed{7}")
    page.wait_for_selector("button:focus:text('Try again')")
    assert "WORDS_OF_SERVER" not in page.content()
    chat.when("fail", False)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=You agree.")


def test_who_runs_the_study_makes_a_link_and_watches(page, chat):
    """The page of all sessions."""
    page.goto(chat.start("--sessions", "2")[-1])
    page.wait_for_selector("tbody tr >> nth=1")
    page.click("text=New link")
    page.wait_for_selector("tbody tr >> nth=2")
    other = page.context.new_page()
    begin(other, page.locator("tbody a").nth(2).get_attribute("href"))
    page.wait_for_selector("tbody tr:nth-child(3):has-text('writes')")


def test_a_link_that_is_cut_off_says_what_to_do(page, chat):
    """In words, not as an empty page."""
    page.goto(chat.start()[0][:-3])
    page.wait_for_selector("[role=alert]")
    assert "not known here" in page.inner_text("main")


@pytest.mark.parametrize("page", [{}, {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_no_screen_has_a_serious_barrier_or_is_wider_than_the_window(page, chat, width):
    """By axe's rules, at every step."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="`make test-browser` has it")
    page.set_viewport_size({"width": width, "height": 800})

    def look(selector):
        page.wait_for_selector(selector)
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == [], selector
        assert page.evaluate("document.documentElement.scrollWidth") <= width, selector

    link, study = chat.start()
    page.goto(study)
    look("table")
    page.goto(link)
    look("text=Begin")
    page.click("text=Begin")
    look("textarea")
    chat.when("slow", True)
    send(page, "x" * 400)
    look("text=is writing")
    chat.when("slow", False)
    look("section.turn.s-1")
    chat.when("fail", True)
    send(page, "Hm.")
    look("text=Try again")
    chat.when("fail", False)
    page.click("text=Give this problem up")
    look("text=This conversation is over")
    page.goto(link[:-1])
    look("[role=alert]")
