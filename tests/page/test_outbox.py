"""Messages that wait in the browser: kept through reloads and crashes, sent once and in order."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page, Playwright, expect

from tests.page.conftest import CHROMIUM_FLAGS, OUTAGE, chromium_path
from tests.page.reader import (
    Reader,
    Wire,
    expect_messages,
    kept_drafts,
    kept_messages,
    new_context,
    prepare,
    say,
    stored,
    wait_connected,
    wait_disconnected,
    wait_page_kept,
)
from tests.support.cluster import Cluster
from tests.support.waiting import wait_until

HOUR_MS = 60 * 60 * 1000
# Runs in the page before its own code: a browser without IndexedDB, and one that also refuses localStorage.
NO_DATABASE = "indexedDB.open = () => { throw new Error('refused'); };"
NO_ITEMS = "Storage.prototype.setItem = () => { throw new Error('full'); };"


@contextmanager
def started(playwright: Playwright, profile: Path) -> Iterator[Page]:
    """A page of ann in a browser of its own."""
    context = playwright.chromium.launch_persistent_context(
        profile, executable_path=chromium_path(), args=CHROMIUM_FLAGS
    )
    prepare(context, user="ann")
    yield context.pages[0]
    with suppress(Error):  # it may have crashed
        context.close()


def kill_browser(profile: Path) -> None:
    """Kill all processes of the browser with this profile, as the kernel does without memory."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"--user-data-dir={profile}" in (process / "cmdline").read_text().split("\0"):
                os.kill(int(process.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError):
            continue


def test_five_messages_and_a_draft_survive_a_reload_and_a_crash_of_the_browser_and_are_sent_once_in_order(
    playwright: Playwright, cluster: Cluster, tmp_path: Path
) -> None:
    texts = [f"message {number}" for number in range(5)]
    profile = tmp_path / "profile"
    url = f"{cluster.nodes[1].url}/#/rooms/general"
    with started(playwright, profile) as page:
        page.goto(url)
        wait_connected(page)
        wait_page_kept(page)
        cluster.kill(1)
        wait_disconnected(page)
        for text in texts:
            say(page, text)
        expect(page.locator(".post-pending")).to_have_count(5)
        page.fill("#message", "a draft")
        page.reload()
        expect(page.locator(".post-pending .post-text")).to_have_text(texts)
        assert kept_messages(page) == texts
        expect(page.locator("#message")).to_have_value("a draft")
        wait_until(lambda: kept_drafts(page) == ["a draft"], 10, "the draft is on the disk")
        kill_browser(profile)
    cluster.restart(1)
    with started(playwright, profile) as page:
        page.goto(url)
        expect_messages(page, *texts)
        assert kept_messages(page) == []
        expect(page.locator("#message")).to_have_value("a draft")
    assert stored(cluster, "general") == [("ann", text) for text in texts]


@pytest.mark.parametrize("refusals", [NO_DATABASE, NO_DATABASE + NO_ITEMS])
def test_a_browser_that_keeps_nothing_sends_all_the_same(
    cluster: Cluster, reader_of_outage: Reader, refusals: str
) -> None:
    reader_of_outage.context.add_init_script(refusals)
    page = reader_of_outage.open("/#/rooms/general")
    cluster.kill(1)
    wait_disconnected(page)
    say(page, "one")
    says_so = "leave this page open" if NO_ITEMS in refusals else "Will be sent when connected"
    expect(page.locator(".post-note")).to_contain_text(says_so)
    cluster.restart(1)
    if NO_ITEMS not in refusals:
        page = reader_of_outage.open("/#/rooms/general", page)
    expect_messages(page, "one")
    assert stored(cluster, "general") == [("ann", "one")]


def test_a_refused_message_goes_back_into_the_field_to_be_edited(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    wire.swallow = 1
    say(page, "one")
    expect(page.locator(".post-note")).to_have_text("Sending…")
    wire.refuse_last(temporary=False)
    page.fill("#message", "begun")
    page.click("text=Edit")
    expect(page.locator("#message")).to_have_value("one\nbegun")
    expect(page.locator(".post")).to_have_count(0)
    say(page, "two")
    expect_messages(page, "two")
    assert stored(cluster, "general") == [("ann", "two")]


def test_a_message_that_waited_for_a_day_asks_before_it_is_sent(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    wire.swallow = 1
    say(page, "old")
    expect(page.locator(".post-note")).to_have_text("Sending…")
    page.clock.install()
    page.clock.fast_forward(23 * HOUR_MS + 1)
    wire.refuse_last(temporary=True)
    page.clock.fast_forward(3_000)
    expect(page.locator(".post-refused .post-note")).to_contain_text("It is a day old.")
    say(page, "new")
    expect(page.locator(".post:not(.post-refused) .post-text")).to_have_text("new")
    page.click("text=Send again")
    expect_messages(page, "new", "old")


def test_a_tab_sends_what_another_tab_has_left(cluster: Cluster, reader_of_outage: Reader) -> None:
    page, other = (reader_of_outage.open("/#/rooms/general") for _ in range(2))
    cluster.kill(1)
    wait_disconnected(page)
    wait_disconnected(other)
    say(page, "left behind")
    expect(page.locator(".post-pending")).to_have_count(1)
    assert kept_messages(page) == ["left behind"]
    page.close()
    cluster.restart(1)
    expect_messages(other, "left behind")
    assert kept_messages(other) == []


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_fifty_messages_of_a_page_whose_node_is_killed_arrive_once_in_order_on_two_nodes(
    browser: Browser, cluster: Cluster, reader_of_outage: Reader
) -> None:
    """In the page that sends them, which goes on at another node, and in one that reads at the second node."""
    sender = reader_of_outage.open("/#/rooms/general")
    other = Reader(new_context(browser, user="bob"), cluster.nodes[2].url)
    watcher = other.open("/#/rooms/general")
    texts = [f"message {number}" for number in range(50)]
    for text in texts[:25]:
        say(sender, text)
    cluster.kill(1)
    for text in texts[25:]:
        say(sender, text)
    expect_messages(sender, *texts)
    expect_messages(watcher, *texts)
    assert stored(cluster, "general", node=2) == [("ann", text) for text in texts]
    other.context.close()
    assert [said for said in other.complaints if not OUTAGE.search(said)] == []
