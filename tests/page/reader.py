"""Somebody who reads the page in a real browser, and what tests do and expect in their stead."""

import json
import re

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, WebSocketRoute, expect

from tests.support.cluster import Cluster

# For a page that may have to wait out several tries to reconnect, beside other tests on two cores.
DEADLINE_MS = 30_000

# Runs before the page's own code: what the content security policy stops goes to the console as an error.
WATCH_POLICY = "addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective))"

# What Playwright says where a page may not install its service worker.
WORKER_BLOCKED = "Service Worker registration blocked by Playwright"

# The page waits by chance before it tries again: a tenth of the longest that it may.
SOON = "Math.random = () => 0.1"

expect.set_options(timeout=DEADLINE_MS)


class Reader:
    """One person's browser: its storage outlives its windows."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context = context
        self.url = url
        self.complaints: list[str] = []

    def open(self, path: str = "/", page: Page | None = None) -> Page:
        """A window, new where none is given, connected."""
        page = page or self.context.new_page()
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        page.goto(self.url + path)
        wait_connected(page)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and message.text != WORKER_BLOCKED:
            self.complaints.append(message.text)


class Wire:
    """Stands between the page and its node's websocket: keeps back what the node says, and says things of its own."""

    def __init__(self, page: Page) -> None:
        self.silent = False
        self.last_post: dict[str, str] = {}
        self.swallow = 0  # so many of the page's next posts get nowhere
        page.route_web_socket(re.compile("/ws$"), self._join)

    def _join(self, page_side: WebSocketRoute) -> None:
        self._page_side = page_side
        self._node_side = page_side.connect_to_server()
        page_side.on_message(self._from_page)
        self._node_side.on_message(self._from_node)

    def _from_page(self, text: str | bytes) -> None:
        frame = json.loads(text)
        if frame["Action"] == "post":
            self.last_post = frame["Post"]
            if self.swallow:
                self.swallow -= 1
                return
        self._node_side.send(text)

    def _from_node(self, text: str | bytes) -> None:
        if not self.silent:
            self._page_side.send(text)

    def tell(self, frame: dict[str, object]) -> None:
        self._page_side.send(json.dumps(frame))

    def refuse_last(self, *, temporary: bool) -> str:
        """Answer the page's last post with an error; its ClientId."""
        error = {"code": "some_code", "detail": "Message: not today", "Temporary": temporary}
        self.tell({"Error": {"ClientId": self.last_post["ClientId"], **error}})
        return self.last_post["ClientId"]


def new_context(
    browser: Browser, user: str = "", *, believes_all: bool = False, has_worker: bool = False
) -> BrowserContext:
    """`believes_all`: it knows no CA of ours.  `has_worker`: the page may install its service worker."""
    # With a service worker Playwright no longer sees the page's requests: tests that route them do without one.
    context = browser.new_context(
        locale="en-GB",
        viewport={"width": 1100, "height": 700},
        ignore_https_errors=believes_all,
        service_workers="allow" if has_worker else "block",
    )
    return prepare(context, user)


def prepare(context: BrowserContext, user: str = "") -> BrowserContext:
    """Make a context one of somebody who chose this name on the page before."""
    context.set_default_timeout(DEADLINE_MS)
    context.add_init_script(WATCH_POLICY)
    context.add_init_script(SOON)
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


def kept_messages(page: Page) -> list[str]:
    """The texts that the browser keeps until they are sent, in the order of writing."""
    asked = """
        new Promise((resolve) => {
          indexedDB.open("raft-chat").onsuccess = ({ target: { result: database } }) => {
            database.transaction("outbox").objectStore("outbox").getAll().onsuccess = (event) => {
              database.close();
              resolve(event.target.result.sort((a, b) => a.QueuedAt - b.QueuedAt).map((row) => row.Message));
            };
          };
        })
    """
    kept: list[str] = page.evaluate(asked)
    return kept


def wait_page_kept(page: Page) -> None:
    """Wait until the browser has all that it needs to open the page without a node."""
    asked = """
        async () => {
          while (!navigator.serviceWorker.controller || !(await caches.match(new URL(".", location.href).href)))
            await new Promise((resolve) => setTimeout(resolve, 20));
        }
    """
    page.evaluate(asked)


def kept_rows(page: Page) -> dict[str, int]:
    """Return how many rows the browser keeps of the user, by table."""
    asked = """
        new Promise((resolve) => {
          indexedDB.open("raft-chat").onsuccess = async ({ target: { result: database } }) => {
            const counts = {};
            for (const name of database.objectStoreNames) {
              const request = database.transaction(name).objectStore(name).count();
              counts[name] = await new Promise((done) => (request.onsuccess = () => done(request.result)));
            }
            database.close();
            resolve(counts);
          };
        })
    """
    counts: dict[str, int] = page.evaluate(asked)
    return counts


def kept_drafts(page: Page) -> list[str]:
    """Return the texts of drafts that survive a kill of the browser; one that was sent is empty."""
    asked = """
        new Promise((resolve) => {
          indexedDB.open("raft-chat").onsuccess = ({ target: { result: database } }) => {
            database.transaction("drafts").objectStore("drafts").getAll().onsuccess = (event) => {
              database.close();
              resolve(event.target.result.map((row) => row.Text));
            };
          };
        })
    """
    texts: list[str] = page.evaluate(asked)
    return texts
