"""The page in a real browser: what a person does with it, and that nothing a model wrote ever runs."""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

import coral
from coral.viewer.pages import TOKEN_HEADER

playwright = pytest.importorskip("playwright.sync_api", reason="`make test-browser` installs it")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
]
PATIENCE_MS = 120_000
"""How long something is waited for: what takes so long is not slow, but lost."""
SCREENS = (
    "#/run/0", "#/run/0/list?kind=lost", "#/run/0/conversation?id=q1%230", "#/compare", "#/run/0/people",
)  # fmt: skip
READY = "main .headline, main .all .row a, main article .turn, main .aligned a, main .people .card"


@pytest.fixture(scope="module")
def browser():
    """One browser for all tests of the file."""
    with playwright.sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def command(*words):
    """Runs a command to its end, in a process of its own: the browser's tools hold this one's event loop."""
    subprocess.run([sys.executable, "-m", "coral", *map(str, words)], check=True, capture_output=True)


@contextmanager
def served(*words, cwd=None):
    """A command that serves a page; gives its address once all runs are read: until then counts grow."""
    command = [sys.executable, "-m", "coral", *map(str, words), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=cwd)
    try:
        address = process.stdout.readline().split()[0]
        base, token = re.match(r"(.*/)\?token=([^#]*)", address).groups()
        asked = Request(f"{base}api/runs", headers={TOKEN_HEADER: token})
        while any(run["indexing"] for run in json.load(urlopen(asked))):
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def address(stored):
    """`coral view` over both runs, as a user starts it."""
    with served("view", stored / "first", stored / "second") as address:
        yield address


@pytest.fixture
def page(browser, address, request):
    """A page whose console and errors are listened to: there may be none."""
    heard = []
    options = getattr(request, "param", {})
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    context.set_default_timeout(PATIENCE_MS)
    shown = context.new_page()
    shown.on("pageerror", lambda error: heard.append(str(error)))
    shown.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    shown.on("dialog", lambda dialog: heard.append(dialog.message))
    shown.base = address
    yield shown
    context.close()
    assert heard == []


def visit(page, hash_):
    page.goto(page.base + hash_)
    page.wait_for_selector(READY)


def test_the_overview_leads_to_the_conversations_of_a_kind(page):
    """From a count to the list that it counts, and the address says so."""
    visit(page, "#/run/0")
    assert "Agreed, and right" in page.inner_text("main")
    link = page.locator(".kinds a").first
    count = int(link.locator("b").inner_text())
    link.click()
    page.wait_for_selector(".all .row a")
    assert "kind=" in page.url
    assert f"{count} conversation" in page.inner_text("output")


def test_a_seat_has_a_command_to_copy(page):
    """It asks a model; the page is one click away from every screen of a run."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    for screen in ("#/run/0", "#/run/0/list", "#/run/0/conversation?id=q1%230"):
        visit(page, screen)
        page.locator("nav >> text=People").click()
        page.wait_for_selector(".people .command")
    said = page.locator(".people code").first.inner_text()
    assert said.startswith("coral chat open ")
    page.locator(".people >> text=copy").first.click()
    page.wait_for_selector(".people >> text=copied")
    assert page.evaluate("navigator.clipboard.readText()") == said


def test_blind_pages_are_opened_from_the_page(page, stored, tmp_path):
    """With a token of their own, in a window of their own; the command stands beside, with its options."""
    first, second = (shutil.copytree(stored / name, tmp_path / name) for name in ("first", "second"))
    with served("view", first, second) as address:
        page.goto(f"{address}#/run/1/people")
        readers = page.locator(".card", has_text="Read answers, blind")
        readers.locator("text=Open this page").click()
        with page.expect_popup() as opened:
            readers.locator("text=Go there").click()
        opened.value.wait_for_selector("text=Which answer does a message submit?")
        assert opened.value.evaluate("window.opener") is None
        page.goto(f"{address}#/compare?a=1&b=0")
        page.locator(".people summary").first.click()
        page.locator("text=Open this page").click()
        with page.expect_popup() as opened:
            page.locator("text=Go there").click()
        judging = opened.value
        judging.fill("input", "Ada")
        judging.click("text=Begin")
        judging.wait_for_selector("text=0 of 30 pairs judged")
        page.locator("text=with options of your own").click()
        wanted = f"coral judge {second} {first} --output judged"
        assert page.locator(".people code").last.inner_text() == wanted


def test_a_conversation_is_found_read_and_left_with_the_keyboard(page):
    """Search, choose, open, next, back."""
    visit(page, "#/run/0/list")
    page.wait_for_selector(".all .row a")
    page.keyboard.press("/")
    page.keyboard.type("topicless 9999")
    page.wait_for_selector("output:text-matches('^0 ')")
    assert "No conversation" in page.inner_text("main")
    page.fill("input[type=search]", "")
    page.wait_for_selector("output:text-matches('^30 ')")
    page.locator("input[type=search]").blur()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn mark")
    first = page.inner_text("h2")
    page.keyboard.press("j")
    page.wait_for_selector(f"h2:not(:text-is('{first}'))")
    page.keyboard.press("Escape")
    page.wait_for_selector(".all .row a")


def test_the_mark_of_a_turn_tells_seat_and_verdict_without_colour(page):
    """A strip is an image with a name in words; every mark has a sign."""
    visit(page, "#/run/0/list")
    strip = page.locator(".all .strip").first
    strip.wait_for()
    assert "1 responder" in strip.get_attribute("aria-label")
    assert strip.locator("text").first.text_content() in "✓✗?∅·"


def test_the_messages_are_shown_as_sent(page):
    """System prompt and problem, on demand."""
    visit(page, "#/run/0/conversation?id=q1%230")
    page.wait_for_selector("#turn-1")
    page.locator("#turn-1 summary", has_text="messages as sent").click()
    page.wait_for_selector("#turn-1 h4")
    assert page.locator("#turn-1 h4").all_inner_texts() == ["system", "user"]


def test_a_turn_is_replaced_and_what_becomes_of_it_stands_beside(page, stored, tmp_path):
    """From the form below a turn to the outcome, and on to the continuations."""
    run = shutil.copytree(stored / "second", tmp_path / "run")
    with served("view", run) as address:
        page.goto(f"{address}#/run/0/conversation?id=q1%230")
        page.locator("#turn-1 summary", has_text="fork from here").click()
        page.fill("#turn-1 textarea", "The answer is 8.")
        page.fill("#turn-1 input[type=number]", "2")
        page.click("#turn-1 form button")
        page.locator("a", has_text="with the change").click()
        page.wait_for_selector("output:text-matches('^2 ')")


def test_a_run_that_joined_since_is_found_by_its_address(page, stored, tmp_path):
    """Whoever leaves a page before it has heard of all that joined, such as the other half of a fork."""
    shutil.copytree(stored, tmp_path / "mine")
    with served("view", cwd=tmp_path) as address:
        page.goto(address)
        page.locator("button.link", has_text="mine/first").click()
        page.wait_for_selector("main .headline")
        page.evaluate(
            """async () => {
              const token = new URLSearchParams(location.search).get("token");
              const headers = { "X-Coral-Token": token, "Content-Type": "application/json" };
              const { places } = await (await fetch("api/places", { headers })).json();
              const { number } = places.find((one) => one.name === "mine/second");
              await fetch("api/places", { method: "POST", headers, body: JSON.stringify({ number }) });
              location.hash = "#/run/1/list";
            }"""
        )
        page.wait_for_selector("main .all .row a")


def test_two_conversations_stand_side_by_side(page):
    """The first difference is marked in both."""
    visit(page, "#/compare?a=0&b=1&change=won")
    page.wait_for_selector(".aligned a")
    page.locator(".aligned a").first.click()
    page.wait_for_selector(".side-by-side .turn")
    assert page.locator(".side-by-side .conversation").count() == 2
    assert page.locator(".differs").count() == 2


@pytest.mark.parametrize("markdown", [False, True])
def test_nothing_that_a_model_wrote_runs(page, markdown):
    """Scripts, handlers, links, styles and hidden characters of all conversations are text."""
    visit(page, "#/run/0/list")
    page.wait_for_selector(".all .row a")
    said = ""
    for number in range(30):
        page.goto(f"{page.base}#/run/0/conversation?id=q{number}%230")
        page.wait_for_selector(f"article h2:text-is('q{number}#0')")
        if markdown:
            page.check(".toggle input")
        said += page.inner_text("article")
    assert page.evaluate("window.ran") is None
    assert (
        page.locator("article script, article img, article a[href^='javascript'], article style").count() == 0
    )
    assert "<script>window.ran = 1</script>" in said
    assert "</script><!--" in said
    assert "\\u202e" in said
    assert "\u202e" not in said
    assert "<b>1</b>?" in said


def test_a_reply_of_five_megabytes_is_shown_in_part(page, stored, tmp_path):
    """The rest on demand; the page stays usable."""
    fresh = shutil.copytree(stored / "first", tmp_path / "run")
    file = next((fresh / "conversations").glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b"Consider", b"Consider " + b"long " * 1_000_000, 1))
    with served("view", fresh) as address:
        page.goto(f"{address}#/run/0/list?text=long")
        page.locator(".all .row a").first.click()
        page.wait_for_selector("text=show all")
        assert len(page.inner_text("article")) < 200_000


def test_a_judge_sees_two_conversations_and_goes_on(page, stored, tmp_path):
    """A name, a choice for every aspect, the next pair; and the same name goes on after a reload."""
    folder = tmp_path / "judged"
    runs = (str(stored / "first"), str(stored / "second"))
    with served("judge", *runs, "--output", folder, "--pairs", "2") as address:
        page.goto(address)
        page.fill("input", "Ada")
        page.click("button")
        page.wait_for_selector("text=0 of 2 pairs judged")
        assert page.locator(".side-by-side .turn").count() > 1
        assert page.locator("form.judge button").is_disabled()
        for aspect in page.locator("fieldset").all():
            aspect.locator("input").first.check()
        page.click("form.judge button")
        page.wait_for_selector("text=1 of 2 pairs judged")
        page.reload()
        page.wait_for_selector("text=1 of 2 pairs judged")
        assert page.evaluate("window.ran") is None
    assert len((folder / "judgements.jsonl").read_text().splitlines()) == 5


@pytest.mark.parametrize("page", [{}, {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 2560])
def test_no_screen_is_wider_than_the_window(page, width):
    """Nothing has to be scrolled sideways but tables and pictures in their own frames."""
    page.set_viewport_size({"width": width, "height": 800})
    for hash_ in SCREENS:
        visit(page, hash_)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, hash_


@pytest.mark.parametrize("page", [{}, {"color_scheme": "dark"}], indirect=True, ids=["light", "dark"])
def test_no_screen_has_a_serious_barrier(page):
    """By axe's rules: contrast, names, roles, order of headings."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="`make test-browser` has it")
    for hash_ in SCREENS:
        visit(page, hash_)
        found = axe.Axe().run(page).response["violations"]
        assert [one["id"] for one in found if one["impact"] in {"serious", "critical"}] == [], hash_


def test_one_of_a_thing_has_no_s(page, tmp_path):
    """A run of one problem, as one tries first."""
    run = tmp_path / "one"
    command("eval", "sally_anne", "--limit", "1", "--max_turns", "2", "--output", run)
    with served("view", run) as address:
        page.goto(f"{address}#/run/0")
        page.wait_for_selector("main .headline")
        assert re.search(r"\b1 of 1 conversation scored · 1 problem ·", page.inner_text("main .headline"))
        page.goto(f"{address}#/run/0/list")
        page.wait_for_selector("main .all .row a")
        assert page.inner_text("output") == "1 conversation"


def test_an_address_without_its_token_says_what_to_do(browser, address):
    """In words, not as an empty page."""
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(address.split("?")[0])
    page.wait_for_selector("[role=alert]")
    assert "coral view" in page.inner_text("[role=alert]")
    page.close()


def test_one_file_opens_from_the_disk(page, stored, tmp_path):
    """Overview, list, search and conversations, without a server; a search finds what the server finds."""
    out = tmp_path / "run.html"
    subprocess.run(
        [sys.executable, "-m", "coral", "view", str(stored / "first"), "--export", str(out)], check=True
    )
    for words in ("let thi", '"answer is 7"', "consider script", "nonsense"):
        counts = []
        for base in (page.base, out.as_uri()):
            page.goto("about:blank")
            page.goto(f"{base}#/run/0/list?text={words}")
            page.wait_for_selector("output:text-matches('^[0-9]')")
            counts.append(page.inner_text("output"))
        assert counts[0] == counts[1]
    page.goto(f"{out.as_uri()}#/run/0/list?kind=agreed_wrong&sort=-turns")
    page.locator(".all .row a").first.click()
    page.wait_for_selector(".turn")
    assert page.evaluate("window.ran") is None


def test_a_folder_of_many_conversations_opens_from_the_disk(page, stored, tmp_path):
    """Beyond what one file holds: overview, list, filters, a search over all parts, a conversation."""
    run = shutil.copytree(stored / "first", tmp_path / "run")
    (run / "summary.json").unlink()
    file = next((run / "conversations").glob("*.jsonl"))
    lines = file.read_text().split("\n")[:-1]
    with file.open("w") as rows:
        for sample in range(200):
            rows.writelines(re.sub(r'#0"', f'#{sample}"', line, count=1) + "\n" for line in lines)
    out = tmp_path / "out.html"
    command("view", run, "--export", out)
    base = (tmp_path / "out" / "index.html").as_uri()
    page.goto(f"{base}#/run/0")
    page.wait_for_selector(".headline")
    assert "6,000 of 6,000 conversations scored" in page.inner_text(".headline")
    page.goto(f"{base}#/run/0/list?text=q29%23199")
    page.wait_for_selector("output:text-matches('^1 ')")
    assert page.locator(".all .row a").all_inner_texts() == ["q29#199"]
    page.locator(".all .row a").first.click()
    page.wait_for_selector(".turn mark, .turn .read")
    assert page.inner_text("article h2") == "q29#199"
    page.goto(f"{base}#/run/0/list?group.topic=a&kind=agreed_wrong")
    page.wait_for_selector("output:text-matches('^[0-9]')")
    assert page.evaluate("window.ran") is None


def test_a_turn_shows_its_branches_and_what_it_would_teach(page, tmp_path):
    """Candidates with grades and roll-out values; the pairs of a build with both trained sides."""
    run = tmp_path / "trees"
    words = ("--limit", "4", "--candidates", "4", "--rollouts", "2", "--max_turns", "4", "--split", "train")
    command("sample", "sally_anne", *words, "--output", run)
    turns = [(talk, turn) for talk in coral.load_run(run).conversations() for turn in talk.turns]
    talk = next(talk for talk, turn in turns if {True, False} <= {reply.correct for reply in turn.replies})
    with served("view", run) as address:
        page.goto(f"{address}#/run/0/conversation?id={talk.id.replace('#', '%23')}")
        page.wait_for_selector(".branches")
        assert page.locator("#turn-1 .branches > li").count() == 4
        assert page.locator("#turn-1 .branches .goes-on").count() == 1
        assert "roll-outs right" in page.inner_text("#turn-1 .branches")
        page.select_option(".lessons select", "dpo")
        page.wait_for_selector("details.lesson")
        page.locator("details.lesson summary").first.click()
        page.wait_for_selector(".lesson[open] .trained")
        assert page.locator(".lesson[open] h4").all_inner_texts()[0].startswith("chosen")
        assert page.locator(".lesson[open] .trained.down").count() == 1
        boxes = page.locator(".lesson[open] .trained.down .token").all_inner_texts()
        assert boxes[-1] == "<|end|>"
        assert f"{len(boxes)} tokens" in page.locator(".lesson[open] h4").all_inner_texts()[1]
        assert "rows of this conversation" in page.inner_text(".lessons")


def test_a_study_opens_with_its_contrasts_and_a_start_page_with_all(page, tmp_path):
    """From the start page to the study, to a contrast's two arms, to a problem of one arm."""
    options = {"task": {"name": "sally_anne"}, "limit": 12, "max_turns": 4,
               "arms": {"pair": {}, "alone": {"protocol": "cot"}, "warm": {"agent": {"temperature": 1.0}}},
               "contrasts": ["pair - alone"]}  # fmt: skip
    (tmp_path / "study.yaml").write_text(json.dumps({**options, "output": str(tmp_path / "mine")}))
    command("study", tmp_path / "study.yaml")
    with served("view", cwd=tmp_path) as address:
        page.goto(address)
        page.locator("button.link", has_text="mine").click()
        page.wait_for_selector(".family >> text=study mine")
        page.wait_for_selector(".family >> text=baseline")
        page.locator(".family summary", has_text="problem by problem").click()
        page.locator(".family input[type=checkbox]").uncheck()
        page.wait_for_selector(".matrix tbody tr:nth-child(12)")
        page.locator(".family a", has_text="pair - alone").click()
        page.wait_for_selector(".aligned a")
        assert "a=1&b=0" in page.url
        page.locator(".matrix a").first.click()
        page.wait_for_selector("output:text-matches('^1 ')")


AT_ONCE = """([selector, text, key]) => new Promise((done) => {
  const press = (pressed) =>
    document.body.dispatchEvent(new KeyboardEvent("keydown", { key: pressed, bubbles: true }));
  const watch = new MutationObserver(() => {
    const found = document.querySelector(selector);
    if (!found || !found.textContent.includes(text)) return;
    watch.disconnect();
    press(key);
    done();
  });
  watch.observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
  press(key);
  setTimeout(() => done("never shown"), 60000);
})"""


@contextmanager
def reading(page, run):
    """The page on which Ada reads five answers of a run, at the first of them."""
    with served("audit", run, "--label", "--sample", "5") as address:
        page.goto(address)
        page.fill("input", "Ada")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=0 of")
        yield


@pytest.mark.parametrize(
    ("screen", "shown", "key", "after"),
    [
        ("label", ("[role=status]", "1 of"), "u", "[role=status] >> text=2 of"),
        ("list", (".row.chosen", "q1#0"), "j", ".row.chosen >> text=q2#0"),
        ("conversation", ("article h2", "q1#0"), "j", "article h2 >> text=q2#0"),
    ],
)
def test_a_key_goes_to_what_is_shown(page, stored, tmp_path, screen, shown, key, after):
    """From the moment it stands there, painted or not: not to the text, row or conversation of before."""
    if screen == "label":
        with reading(page, shutil.copytree(stored / "second", tmp_path / "run")):
            assert page.evaluate(AT_ONCE, [*shown, key]) is None
            page.wait_for_selector(after)
        return
    visit(page, "#/run/0/list" if screen == "list" else "#/run/0/conversation?id=q0%230&at=0")
    assert page.evaluate(AT_ONCE, [*shown, key]) is None
    page.wait_for_selector(after)


class Held:
    """Requests of a page that are held back until they are let go."""

    def __init__(self, page, asked):
        self._page, self._routes = page, []
        page.route(lambda address: re.search(asked, address) is not None, self._hold)

    def _hold(self, route):
        self._routes.append(route)

    def wait(self):
        while not self._routes:
            self._page.wait_for_timeout(20)

    def let_go(self):
        """Answer the first one, and let the page take it in."""
        self.wait()
        first = self._routes.pop(0)
        with self._page.expect_response(lambda response: response.url == first.request.url):
            first.continue_()
        self._page.evaluate("new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")


def test_an_answer_to_an_older_question_is_not_shown(page):
    """Rows are of the filters that are chosen, however late others arrive."""
    visit(page, "#/run/0/list")
    late = Held(page, r"conversations\?.*kind=lost")
    page.select_option(".filters select >> nth=0", "lost")
    late.wait()
    page.select_option(".filters select >> nth=0", "")
    page.wait_for_selector("output:text-matches('^30 ')")
    late.let_go()
    assert page.inner_text("output") == "30 conversations"


def test_a_step_leads_nowhere_once_the_screen_was_left(page):
    """To the next conversation, and back before it is there: the list stays, at the row of before."""
    visit(page, "#/run/0/list")
    for _ in range(25):
        page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("article h2:text-is('q25#0')")
    late = Held(page, "offset=26")
    page.keyboard.press("j")
    late.wait()
    page.keyboard.press("Escape")
    page.wait_for_selector(".row.chosen >> text=q25#0")
    late.let_go()
    page.wait_for_selector(".row.chosen >> text=q25#0")
    page.keyboard.press("Enter")
    page.wait_for_selector("article h2:text-is('q25#0')")
    page.go_back()
    page.wait_for_selector(".row.chosen >> text=q25#0")


def test_steps_add_up_while_a_conversation_is_on_its_way(page):
    """Two quick presses are two steps; none leads beyond the last one."""
    visit(page, "#/run/0/conversation?id=q0%230&at=0")
    late = Held(page, "offset=1&")
    page.keyboard.press("j")
    late.wait()
    page.keyboard.press("j")
    page.wait_for_selector("article h2:text-is('q2#0')")
    late.let_go()
    assert page.inner_text("article h2") == "q2#0"
    visit(page, "#/run/0/conversation?id=q28%230&at=28")
    late = Held(page, "offset=29&")
    page.keyboard.press("j")
    late.wait()
    page.keyboard.press("j")
    late.let_go()
    late.let_go()
    page.wait_for_selector("article h2:text-is('q29#0')")


def test_what_is_typed_while_the_address_changes_is_kept(page):
    """A search is told to the address, and comes back from there when more may be typed."""
    visit(page, "#/run/0/list")
    page.evaluate(
        """() => addEventListener("hashchange", () => {
          const input = document.querySelector("input[type=search]");
          input.value += "sider";
          input.dispatchEvent(new Event("input", { bubbles: true }));
        }, { once: true })"""
    )
    page.locator("input[type=search]").press_sequentially("con")
    page.wait_for_url(re.compile("text=consider"))
    assert page.input_value("input[type=search]") == "consider"
    page.wait_for_selector("output:text-matches('^[0-9]')")
    page.keyboard.press("Enter")  # on to the rows
    page.keyboard.press("j")
    page.wait_for_selector(".row.chosen >> text=q1#0")


def test_a_filter_that_is_chosen_while_a_search_waits_is_kept(page):
    """The search joins what is in the address by then."""
    visit(page, "#/run/0/list")
    page.evaluate(
        """() => {
          const input = document.querySelector("input[type=search]");
          input.value = "consider";
          input.dispatchEvent(new Event("input", { bubbles: true }));
          const kind = document.querySelector(".filters select");
          kind.value = "agreed";
          kind.dispatchEvent(new Event("change", { bubbles: true }));
        }"""
    )
    page.wait_for_url(re.compile(r"(?=.*kind=agreed)(?=.*text=consider)"))


TWICE = "(selector) => [0, 1].forEach(() => document.querySelector(selector).click())"


def test_a_fork_is_begun_once(page):
    """It asks models: a second click before the first is answered is none."""
    visit(page, "#/run/0/conversation?id=q1%230")
    page.locator("#turn-1 summary", has_text="fork from here").click()
    page.fill("#turn-1 textarea", "The answer is 8.")
    sent = []
    page.on("request", lambda request: sent.append(request.method) if "/api/forks" in request.url else None)
    page.route("**/api/forks", lambda route: route.fulfill(json=[]))
    with page.expect_response("**/api/forks"):
        page.evaluate(TWICE, "#turn-1 form button")
    page.wait_for_selector("#turn-1 form button:enabled")
    assert sent.count("POST") == 1


def test_more_rows_come_once_and_of_what_is_chosen(page):
    """Of a table that is shown part after part."""
    row = {"strip_a": "", "strip_b": "", "stop_a": "", "stop_b": "", "right_a": 1, "right_b": 1}

    def rows(route):
        first = int(re.search(r"offset=(\d+)", route.request.url)[1])
        found = [{**row, "id": f"q{first + number}"} for number in range(100)]
        route.fulfill(json={"rows": found, "count": 300, "changes": {}})

    page.route("**/api/compare?*", rows)
    visit(page, "#/compare?a=0&b=1")
    page.evaluate(TWICE, "main > .compare > button")
    page.wait_for_selector(".aligned tr >> text=q199")
    assert page.locator(".aligned tbody tr").count() == 200


def test_a_person_reads_blind_with_the_keyboard(page, stored, tmp_path):
    """A name, an answer, a letter; a reload resumes, and an answer can be looked at again."""
    run = shutil.copytree(stored / "second", tmp_path / "run")
    with reading(page, run):
        page.wait_for_selector("input:focus")
        page.keyboard.type("7")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=1 of")
        page.keyboard.press("Escape")
        page.keyboard.press("u")
        page.wait_for_selector("text=2 of")
        page.keyboard.press("x")
        page.wait_for_selector("text=3 of")
        page.reload()
        page.wait_for_selector("text=this is number 4")
        page.wait_for_selector("input:focus")
        page.keyboard.press("Escape")
        page.keyboard.press("o")  # leads to a run elsewhere, and nowhere here
        page.keyboard.press("k")
        page.wait_for_selector("text=this is number 3")
        assert page.input_value("input") == "unreadable"
        assert "gold" not in page.inner_text("main")
    assert "7" in (run / "audit" / "people" / "Ada.csv").read_text()
