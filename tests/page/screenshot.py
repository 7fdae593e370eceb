"""Write docs/page.png, the picture of the README: `python -m tests.page.screenshot`.

The people and their messages are invented; the nodes and the page are real.
"""

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.page.conftest import CHROMIUM_FLAGS
from tests.page.reader import Reader, expect_messages, new_context
from tests.support.cluster import ROOT, Cluster

ROOM = "general"
TALK = (
    ("ann", "Morning! Node 2 is down for an update, back in ten minutes."),
    ("bob", "Should I have noticed anything?"),
    ("ann", "No. Two of three nodes are enough."),
    ("ann", "Each message is on two disks before it counts as sent."),
    ("Chloé Dubois", "I post this on node 3, and you read it on node 1.\nIt is there before you can look."),
)
ELSEWHERE = (("bob", "kitchen", "Coffee is ready."), ("Chloé Dubois", "releases", "0.1.0 is tagged."))


def reading(closing: ExitStack, browser: Browser, url: str, user: str) -> Page:
    context = closing.enter_context(new_context(browser, user=user))
    return Reader(context, url).open(f"/#/rooms/{ROOM}")


def take(browser: Browser, path: Path) -> None:
    """Save the page of ann: a room with messages, two users who are online, one who is typing."""
    with ExitStack() as closing:
        directory = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        cluster = closing.enter_context(Cluster(directory, 3)).start_ready()
        cluster.request(1, "PUT", f"/rooms/{ROOM}")
        for user, room, message in ELSEWHERE:
            cluster.post(1, room, message, user=user)
        others = {user: reading(closing, browser, cluster.nodes[3].url, user) for user in ("Chloé Dubois", "bob")}
        page = reading(closing, browser, cluster.nodes[1].url, "ann")
        for user, message in TALK:
            cluster.post(1, ROOM, message, user=user)
        cluster.request(1, "PATCH", f"/rooms/{ROOM}", '{"Topic": "The move to three nodes"}')
        cluster.request(1, "PUT", f"/rooms/{ROOM}/messages/4/reactions/{quote('❤')}?user=bob")
        cluster.post(1, "kitchen", "And cake.", user="bob")
        expect_messages(page, *(message for _, message in TALK))
        expect(page.locator(".reaction, .badge")).to_have_count(2)
        expect(page.locator("#online-users .avatar")).to_have_count(2)
        others["bob"].locator("#message").press_sequentially("Then")
        expect(page.locator("#typing")).to_have_text("bob is typing")
        page.screenshot(path=path, animations="disabled")


def main() -> int:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        take(chromium, ROOT / "docs" / "page.png")
        chromium.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
