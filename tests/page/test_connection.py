"""The page while nodes stop and start, and with rare frames of the websocket."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.cluster.older_copy import take_copy
from tests.page.reader import (
    Reader,
    Wire,
    expect_messages,
    kept_messages,
    say,
    stored,
    wait_connected,
    wait_disconnected,
)
from tests.support.cluster import Cluster


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
    expect(page.locator("#connection-notice")).to_be_visible()
    cluster.restart(1)
    page.dispatch_event("#retry-now", "click")  # not a real click: the page may be back before it
    wait_connected(page)
    expect_messages(page, "one", "two", "three")
    expect(page.locator("#connection-notice")).to_be_hidden()
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
    assert kept_messages(page) == []


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_the_page_goes_on_at_another_node(cluster: Cluster, reader_of_outage: Reader) -> None:
    page = reader_of_outage.open("/#/rooms/general")
    say(page, "one")
    expect_messages(page, "one")
    cluster.kill(1)
    say(page, "two")
    expect_messages(page, "one", "two")
    others = "|".join(str(cluster.nodes[id].port) for id in (2, 3))
    expect(page.locator("#connection-text")).to_have_text(re.compile(f":({others})$"))
    assert stored(cluster, "general", node=2) == [("ann", "one"), ("ann", "two")]


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_page_whose_node_has_no_majority_says_so_and_sends_later(cluster: Cluster, reader_of_outage: Reader) -> None:
    page = reader_of_outage.open("/#/rooms/general")
    say(page, "one")
    expect_messages(page, "one")
    with cluster.paused(2), cluster.paused(3):
        expect(page.locator("#connection-text")).to_have_text("Read-only")
        expect(page.locator("#connection")).to_have_attribute("data-phase", "read-only")
        expect(page.locator("#notice-text")).to_have_text(
            "Read-only: the cluster has no majority. What you write is kept. Newer messages may be missing."
        )
        say(page, "two")
        expect(page.locator(".post-note")).to_contain_text("when the cluster has a majority")
    wait_connected(page)
    expect(page.locator("#connection-notice")).to_be_hidden()
    expect_messages(page, "one", "two")


@pytest.mark.parametrize("missed", [150, 620])
def test_what_the_socket_will_not_tell_is_read_by_rest(cluster: Cluster, wired: tuple[Page, Wire], missed: int) -> None:
    page, wire = wired
    say(page, "mine")
    expect_messages(page, "mine")
    wire.silent = True
    messages = [f"message {number}" for number in range(missed)]
    for message in messages:
        cluster.post(1, "general", message, user="bob")
    wire.tell({"Limited": {"RoomName": "general", "NewestId": missed + 1}, "Cursor": "c0ffee-1"})
    expected = ["mine", *messages] if missed < 500 else messages[-100:]  # past that it begins with the newest page
    expect_messages(page, *expected)


def test_a_hole_before_a_live_post_is_filled(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    say(page, "one")
    expect_messages(page, "one")
    wire.silent = True
    cluster.post(1, "general", "two", user="bob")
    post = cluster.post(1, "general", "three", user="bob").json()
    wire.tell({"RoomName": "general", "Post": post, "Cursor": "c0ffee-1"})
    expect_messages(page, "one", "two", "three")


def test_what_could_not_be_read_is_read_later(cluster: Cluster, reader_of_outage: Reader) -> None:
    for number in range(3):
        cluster.post(1, "general", f"message {number}")
    reader_of_outage.context.route("**/rooms/general?*", lambda route: route.fulfill(status=503, body="{}"))
    page = reader_of_outage.open("/#/rooms/general")
    expect(page.locator("#timeline-tail")).to_contain_text("could not be loaded")
    reader_of_outage.context.unroute("**/rooms/general?*")  # not before it was seen to fail
    expect_messages(page, "message 0", "message 1", "message 2")
    expect(page.locator("#timeline-tail")).to_be_empty()


def test_a_refused_post_waits_for_its_writer(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    wire.swallow = 2
    say(page, "one")
    expect(page.locator(".post-note")).to_have_text("Sending…")
    wire.refuse_last(temporary=False)
    expect(page.locator(".post-refused .post-note")).to_contain_text("Message: not today")
    page.click("text=Send again")
    expect(page.locator(".post-note")).to_have_text("Sending…")
    wire.refuse_last(temporary=False)
    page.click("text=Discard")
    expect(page.locator(".post")).to_have_count(0)
    say(page, "two")
    expect_messages(page, "two")
    assert stored(cluster, "general") == [("ann", "two")]


def test_a_post_that_failed_for_now_is_sent_again_in_its_order(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    wire.swallow = 1
    say(page, "one")
    say(page, "two")
    expect(page.locator(".post-note")).to_have_text(["Sending…", "Sending…"])
    client_id = wire.refuse_last(temporary=True)
    expect_messages(page, "one", "two")
    assert stored(cluster, "general") == [("ann", "one"), ("ann", "two")]
    assert cluster.request(1, "GET", "/rooms/general").json()[0]["ClientId"] == client_id


def test_a_page_of_a_history_that_is_lost_starts_over_and_sends_what_waited_once(
    cluster: Cluster, reader_of_outage: Reader
) -> None:
    cluster.post(1, "general", "one", user="bob")
    put_back = take_copy(cluster)
    page = reader_of_outage.open("/#/rooms/general")
    cluster.post(1, "kitchen", "lost with its room", user="bob")
    for message in ("lost", "lost too", "lost as well"):
        cluster.post(1, "general", message, user="bob")
    say(page, "mine, lost")
    expect_messages(page, "one", "lost", "lost too", "lost as well", "mine, lost")
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen1 unread"])
    cluster.kill(1)
    wait_disconnected(page)
    say(page, "kept")
    say(page, "kept too")
    page.fill("#message", "a draft")
    put_back()
    page.dispatch_event("#retry-now", "click")
    wait_connected(page)
    expect_messages(page, "one", "kept", "kept too")
    expect(page.locator("#restored-text")).to_have_text(
        "The server was restored from an older copy. This page now shows what it has."
    )
    expect(page.locator("#rooms a")).to_have_text(["general"])
    assert page.input_value("#message") == "a draft"
    cluster.post(1, "general", "new", user="bob")
    say(page, "mine")
    expect_messages(page, "one", "kept", "kept too", "new", "mine")
    assert [message for _, message in stored(cluster, "general")] == ["one", "kept", "kept too", "new", "mine"]
    page.click("#restored-ok")
    expect(page.locator("#restored")).to_be_hidden()


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_page_leaves_a_node_without_a_majority_for_one_that_has_a_leader(
    cluster: Cluster, wired: tuple[Page, Wire]
) -> None:
    page, wire = wired
    say(page, "one")
    expect_messages(page, "one")
    words = page.locator("#connection-text")
    expect(words).to_have_text(re.compile(f":{cluster.nodes[1].port}$"))
    wire.tell({"Cluster": {"Majority": False}})
    expect(words).to_have_text("Read-only")
    others = "|".join(str(cluster.nodes[id].port) for id in (2, 3))
    expect(words).to_have_text(re.compile(f":({others})$"))
    expect(page.locator("#connection-notice")).to_be_hidden()
    say(page, "two")
    expect_messages(page, "one", "two")
    assert stored(cluster, "general", node=2) == [("ann", "one"), ("ann", "two")]


@pytest.mark.parametrize("cluster", [3], indirect=True)
def test_a_page_stays_where_the_majority_comes_back(cluster: Cluster, wired: tuple[Page, Wire]) -> None:
    page, wire = wired
    page.clock.install()
    counts = "looks = 0; const ask = fetch; fetch = (url, more) => ((looks += /raft$/.test(url)), ask(url, more));"
    page.add_init_script(counts)
    page.reload()
    wait_connected(page)
    for majority, phase in ((False, "read-only"), (True, "open")):
        wire.tell({"Cluster": {"Majority": majority}})
        expect(page.locator("#connection")).to_have_attribute("data-phase", phase)
    page.clock.fast_forward(10_000)
    say(page, "one")
    expect_messages(page, "one")
    assert page.evaluate("looks") == 0
