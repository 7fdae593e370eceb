"""The page in a real browser, served by real nodes: what a reader sees, across restarts and the loss of a node.

Every test ends with a look at the browser's console: no error, no warning, nothing that the content security policy
had to stop.  Only a test that takes a node away may see connections fail.
"""

import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from tests.cluster.clients import curl
from tests.cluster.harness import Cluster

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# For a page that may have to wait out several tries to reconnect, beside other tests on two cores.
DEADLINE_MS = 30_000
OUTAGE = "net::ERR_"  # how the console tells of a connection that failed

# Runs before the page's own code: what the policy stops goes to the console as an error of ours too.
WATCH_POLICY = "addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"

expect.set_options(timeout=DEADLINE_MS)


class Reader:
    """One person's browser: its storage outlives its windows."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.complaints: list[str] = []

    def open(self, path: str = "/") -> Page:
        """A new window, connected."""
        page = self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.goto(self.url + path)
        wait_connected(page)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """One node, or as many as the test asks for."""
    with Cluster(tmp_path, getattr(request, "param", 1)) as cluster:
        yield cluster.start_ready()


@pytest.fixture
def reader(browser: Browser, cluster: Cluster) -> Iterator[Reader]:
    """Somebody who has never been here; nothing may be wrong in their console."""
    reader = Reader(new_context(browser), cluster.nodes[1].url)
    yield reader
    reader.context.close()
    assert reader.complaints == []


@pytest.fixture
def reader_of_outage(browser: Browser, cluster: Cluster) -> Iterator[Reader]:
    """Somebody called ann, who sees connections fail and nothing worse."""
    reader = Reader(new_context(browser, user="ann"), cluster.nodes[1].url)
    yield reader
    reader.context.close()
    assert [complaint for complaint in reader.complaints if OUTAGE not in complaint] == []


def new_context(browser: Browser, user: str = "") -> BrowserContext:
    context = browser.new_context(locale="en-GB", viewport={"width": 1100, "height": 700})
    context.set_default_timeout(DEADLINE_MS)
    context.add_init_script(WATCH_POLICY)
    if user:
        context.add_init_script(f"localStorage.setItem('raft-chat.user', {json.dumps(user)})")
    return context


def wait_connected(page: Page) -> None:
    expect(page.locator("#connection")).to_have_attribute("data-phase", "open")


def wait_disconnected(page: Page) -> None:
    expect(page.locator("#connection")).not_to_have_attribute("data-phase", "open")


def say(page: Page, message: str) -> None:
    page.fill("#message", message)
    page.press("#message", "Enter")


def expect_messages(page: Page, *messages: str) -> None:
    """Exactly these texts, in this order, all of them confirmed."""
    expect(page.locator(".post-text")).to_have_text(list(messages))
    expect(page.locator(".post-pending, .post-refused")).to_have_count(0)


def stored(cluster: Cluster, room: str, node: int = 1) -> list[tuple[str, str]]:
    """What the server has: (User, Message) of the newest thousand."""
    posts = cluster.request(node, "GET", f"/rooms/{room}?limit=1000").json()
    return [(post["User"], post["Message"]) for post in posts]


# --- reading and writing ---


def test_rooms_and_posts_from_curl_appear(cluster: Cluster, reader: Reader) -> None:
    url = cluster.nodes[1].url
    curl("-L", f"{url}/rooms/general", "-d", '{"Message": "hello", "User": "ann"}')
    curl("-L", f"{url}/rooms/general", "-d", '{"Message": "hello ann", "User": "bob"}')
    curl("-L", f"{url}/rooms/the%20kitchen", "-d", '{"Message": "coffee is ready", "User": "bob"}')
    page = reader.open()
    expect(page.locator("#rooms a")).to_have_text(["general", "the kitchen"])
    page.click("text=general")
    expect_messages(page, "hello", "hello ann")
    expect(page.locator(".post-author")).to_have_text(["ann", "bob"])
    page.click("text=the kitchen")
    expect_messages(page, "coffee is ready")
    assert page.url.endswith("#/rooms/the%20kitchen")
    expect(page).to_have_title("the kitchen · raft-chat")


def test_a_post_from_the_page_shows_once_and_can_be_read_by_rest(cluster: Cluster, reader: Reader) -> None:
    page = reader.open("/#/rooms/general")
    say(page, "first words")
    page.fill("#name", "Chloé")  # nobody is known yet, so the page asks
    page.press("#name", "Enter")
    expect_messages(page, "first words")
    say(page, "second words")
    expect_messages(page, "first words", "second words")
    assert stored(cluster, "general") == [("Chloé", "first words"), ("Chloé", "second words")]
    page.reload()
    expect_messages(page, "first words", "second words")
    expect(page.locator("#me")).to_contain_text("Chloé")


def test_a_post_by_curl_appears_live(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "before")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "before")
    curl("-L", f"{cluster.nodes[1].url}/rooms/general", "-d", '{"Message": "after", "User": "bob"}')
    expect_messages(page, "before", "after")
    expect(page.locator("#announcer")).to_have_text("bob: after")


def test_a_post_to_another_room_is_counted_as_unread_until_it_is_read(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello")
    cluster.post(1, "kitchen", "coffee", user="bob")
    cluster.post(1, "kitchen", "tea", user="bob")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen2 unread"])
    expect(page).to_have_title("(2) general · raft-chat")
    page.click("text=kitchen")
    expect_messages(page, "coffee", "tea")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen"])


def test_markup_in_names_and_messages_is_shown_as_text(cluster: Cluster, reader: Reader) -> None:
    markup = "<img src=x onerror=\"document.title='broken'\"> <b>bold</b> &amp;"
    cluster.post(1, "%3Ci%3Eroom", markup, user="<u>ann</u>")
    page = reader.open("/#/rooms/%3Ci%3Eroom")
    expect_messages(page, markup)
    expect(page.locator(".post-author")).to_have_text("<u>ann</u>")
    expect(page.locator("#rooms a")).to_have_text("<i>room")
    expect(page.locator("#posts img, #posts b, #posts u, #rooms i")).to_have_count(0)
    expect(page).to_have_title("<i>room · raft-chat")


def test_a_new_room_is_opened_by_its_name(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open("/#/rooms")
    page.click("#new-room-toggle")
    page.fill("#new-room-name", "..")
    page.press("#new-room-name", "Enter")
    expect(page.locator("#new-room-fault")).not_to_be_empty()
    page.fill("#new-room-name", "50% off / more")
    page.press("#new-room-name", "Enter")
    expect(page.locator("#room-title")).to_have_text("50% off / more")
    say(page, "anybody here?")
    page.fill("#name", "ann")
    page.press("#name", "Enter")
    expect_messages(page, "anybody here?")
    assert cluster.request(1, "GET", "/rooms").json() == ["50% off / more", "general"]


def test_posts_of_one_author_are_grouped(cluster: Cluster, reader: Reader) -> None:
    for user, message in [("ann", "one"), ("ann", "two"), ("bob", "three"), ("ann", "four")]:
        cluster.post(1, "general", message, user=user)
    page = reader.open("/#/rooms/general")
    expect_messages(page, "one", "two", "three", "four")
    expect(page.locator(".post .avatar")).to_have_text(["A", "B", "A"])
    expect(page.locator(".day")).to_have_text("Today")


def test_enter_that_accepts_a_word_of_an_input_method_sends_nothing(cluster: Cluster, reader: Reader) -> None:
    page = reader.open("/#/rooms/general")
    page.fill("#message", "にほん")
    page.evaluate(
        "document.getElementById('message').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true, cancelable: true}))"
    )
    page.press("#message", "Shift+Enter")
    expect(page.locator("#message")).to_have_value("にほん\n")
    expect(page.locator(".post, #name-dialog[open]")).to_have_count(0)


def test_the_keyboard_alone_reads_and_writes(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    cluster.post(1, "kitchen", "coffee")
    page = reader.open("/#/rooms/general")
    expect_messages(page, "hello")
    page.focus("#rooms a >> nth=1")
    page.keyboard.press("Enter")
    expect_messages(page, "coffee")
    page.focus("#skip-link")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_be_focused()
    page.keyboard.type("thanks")
    page.keyboard.press("Enter")
    page.keyboard.type("ann")  # the dialog has the focus
    page.keyboard.press("Enter")
    expect_messages(page, "coffee", "thanks")
    expect(page.locator("#message")).to_be_focused()


# --- scrolling ---


def test_older_posts_are_loaded_by_scrolling_up(cluster: Cluster, reader: Reader) -> None:
    messages = [f"message {number}" for number in range(1, 251)]
    for message in messages:
        cluster.post(1, "general", message)
    page = reader.open("/#/rooms/general")
    expect(page.locator(".post-text")).to_have_text(messages[-100:])
    for shown in (200, 250):  # one page at a time: the place that was read stays in view, the first post far above it
        page.eval_on_selector("#timeline", "timeline => timeline.scrollTo(0, 0)")
        expect(page.locator(".post-text")).to_have_text(messages[-shown:])
    expect(page.locator("#timeline-head")).to_have_text("This is where the room begins.")


def test_who_reads_older_posts_is_not_moved_by_new_ones(cluster: Cluster, reader: Reader) -> None:
    for number in range(80):
        cluster.post(1, "general", f"message {number}")
    page = reader.open("/#/rooms/general")
    expect(page.locator("text='message 79'")).to_be_in_viewport()
    page.eval_on_selector("#timeline", "timeline => timeline.scrollTo(0, 300)")
    expect(page.locator("#latest")).to_have_text("Latest")
    cluster.post(1, "general", "news", user="bob")
    expect(page.locator("#latest")).to_have_text("1 new")
    assert page.eval_on_selector("#timeline", "timeline => timeline.scrollTop") == 300
    page.click("#latest")
    expect(page.locator("text='news'")).to_be_in_viewport()
    cluster.post(1, "general", "more news", user="bob")
    expect(page.locator("text='more news'")).to_be_in_viewport()
    expect(page.locator("#latest")).to_be_hidden()


def test_a_phone_shows_the_list_or_a_room(cluster: Cluster, reader: Reader) -> None:
    cluster.post(1, "general", "hello")
    page = reader.open()
    page.set_viewport_size({"width": 390, "height": 780})
    expect(page.locator("#room")).to_be_hidden()
    page.click("text=general")
    expect(page.locator("#rooms")).to_be_hidden()
    expect_messages(page, "hello")
    page.click("[aria-label='All rooms']")
    expect(page.locator("#rooms")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


# --- losing the server ---


def test_what_was_missed_during_a_restart_appears_once(cluster: Cluster, reader_of_outage: Reader) -> None:
    cluster.post(1, "general", "one")
    page = reader_of_outage.open("/#/rooms/general")
    expect_messages(page, "one")
    cluster.kill(1)
    wait_disconnected(page)
    cluster.restart(1)
    cluster.post(1, "general", "two", user="bob")
    cluster.post(1, "kitchen", "coffee", user="bob")
    wait_connected(page)
    cluster.post(1, "general", "three", user="bob")
    expect_messages(page, "one", "two", "three")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen1 unread"])


def test_what_was_written_offline_is_sent_once_after_a_restart(cluster: Cluster, reader_of_outage: Reader) -> None:
    page = reader_of_outage.open("/#/rooms/general")
    say(page, "one")
    expect_messages(page, "one")
    cluster.kill(1)
    wait_disconnected(page)
    say(page, "two")
    say(page, "three")
    expect(page.locator(".post-pending .post-text")).to_have_text(["two", "three"])
    expect(page.locator("#offline")).to_be_visible()
    cluster.restart(1)
    page.click("#retry-now")
    wait_connected(page)
    expect_messages(page, "one", "two", "three")
    expect(page.locator("#offline")).to_be_hidden()
    assert stored(cluster, "general") == [("ann", "one"), ("ann", "two"), ("ann", "three")]


def test_what_was_written_offline_survives_the_window(cluster: Cluster, reader_of_outage: Reader) -> None:
    page = reader_of_outage.open("/#/rooms/general")
    cluster.kill(1)
    wait_disconnected(page)
    say(page, "remember me")
    expect(page.locator(".post-pending .post-text")).to_have_text("remember me")
    page.close()
    cluster.restart(1)
    page = reader_of_outage.open("/#/rooms/general")
    expect_messages(page, "remember me")
    assert stored(cluster, "general") == [("ann", "remember me")]
    assert page.evaluate("Object.keys(localStorage).filter(key => key.includes('outbox'))") == []


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_the_page_goes_on_at_another_node(cluster: Cluster, reader_of_outage: Reader) -> None:
    page = reader_of_outage.open("/#/rooms/general")
    say(page, "one")
    expect_messages(page, "one")
    cluster.kill(1)
    wait_disconnected(page)
    say(page, "two")
    expect_messages(page, "one", "two")
    others = "|".join(str(cluster.nodes[id].port) for id in (2, 3))
    expect(page.locator("#connection-words")).to_have_text(re.compile(f":({others})$"))
    assert stored(cluster, "general", node=2) == [("ann", "one"), ("ann", "two")]


# --- what the files themselves must keep to ---


def test_no_script_makes_markup_out_of_text() -> None:
    forbidden = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function")
    for name, text in page_files(".js"):
        assert not forbidden.search(text), name


def test_every_script_is_type_checked() -> None:
    for name, text in page_files(".js"):
        assert text.startswith("// @ts-check\n"), name


def test_no_file_names_another_host_or_carries_inline_code() -> None:
    inline = re.compile(r"\bstyle=|\bon[a-z]+=|<style|<script(?![^>]*\bsrc=)")
    for name, text in page_files(".html", ".css", ".js", ".svg"):
        urls = re.findall(r"https?://[^\s\"')]+", text)
        assert set(urls) <= {"http://www.w3.org/2000/svg"}, name
        assert not (name.endswith((".html", ".svg")) and inline.search(text)), name


def page_files(*suffixes: str) -> list[tuple[str, str]]:
    """(path, text) of the page's files."""
    root = Path(str(files("static")))
    found = [path for path in sorted(root.rglob("*")) if path.suffix in suffixes]
    assert found
    return [(str(path.relative_to(root)), path.read_text()) for path in found]
