"""The page opened while the node that it came from does not run."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.page.conftest import OUTAGE
from tests.page.reader import Reader, expect_messages, kept_rows, new_context, say, wait_connected, wait_page_kept
from tests.page.test_sign_in import REFUSAL, sign_in
from tests.support.cluster import READY_S, Cluster, NodeProcess
from tests.support.waiting import wait_until


@pytest.fixture
def of_three_hosts(tmp_path: Path) -> Iterator[Cluster]:
    """Three nodes that browsers reach by names of their own: a cookie of one is none of another."""
    with Cluster(tmp_path, command=QUICK_PASSWORDS) as cluster:
        for node in cluster.nodes.values():
            url = f"http://node{node.id}.localhost:{node.port}"
            node.start(*node.flags(cluster.url_list, *FLAGS, "--advertise", url))
        wait_until(lambda: all(allows_all(node) for node in cluster.nodes.values()), READY_S, "all names are known")
        yield cluster


def allows_all(node: NodeProcess) -> bool:
    """The node's page may connect to all three nodes: it has heard of their names."""
    policy = node.request("GET", "/").headers["Content-Security-Policy"]
    return all(f"http://node{id}.localhost" in policy for id in (1, 2, 3))


def opened(browser: Browser, cluster: Cluster, user: str) -> tuple[Reader, Page]:
    """A page of somebody who signs in at the first node; it asks for a spare ticket at once, and waits for no try."""
    reader = Reader(new_context(browser, has_worker=True), f"http://node1.localhost:{cluster.nodes[1].port}")
    reader.context.add_init_script("Math.random = () => 0")
    page = reader.context.new_page()
    page.on("console", reader._hear)
    with page.expect_websocket() as socket:
        page.goto(f"{reader.url}/#/rooms/general")
        sign_in(page, user)
    socket.value.wait_for_event("framereceived", lambda frame: '"Ticket"' in str(frame))
    wait_page_kept(page)
    return reader, page


def opened_with_a_message(browser: Browser, of_three_hosts: Cluster) -> tuple[People, Reader, Page]:
    """The people of a cluster, and the page of bob at its first node, which shows and keeps a message of ann."""
    people = People(of_three_hosts)
    assert people.post("ann", 1, "before").status == 201
    reader, page = opened(browser, of_three_hosts, "bob")
    expect_messages(page, "before")
    wait_rows(page, "history", 1)
    return people, reader, page


def test_a_reload_while_the_own_node_is_gone_goes_on_signed_in_at_another_host(
    browser: Browser, of_three_hosts: Cluster
) -> None:
    people, reader, page = opened_with_a_message(browser, of_three_hosts)
    wait_rows(page, "session", 4)  # the user, the nodes, the rooms, a ticket
    of_three_hosts.nodes[1].kill()
    of_three_hosts.wait_leader()
    expect(page.locator("#connection-text")).to_have_text(re.compile("^node[23]"))
    wait_rows(page, "session", 4)  # the ticket was used up, and there is another one
    page.reload()
    expect(page.locator("#me")).to_contain_text("bob")
    expect_messages(page, "before")
    wait_connected(page)
    assert people.post("ann", 2, "meanwhile").status == 201
    say(page, "after")
    expect_messages(page, "before", "meanwhile", "after")
    new = reader.context.new_page()
    new.goto(f"{reader.url}/#/rooms/general")
    expect_messages(new, "before", "meanwhile", "after")
    reader.context.close()
    assert [said for said in reader.complaints if not REFUSAL.search(said) and not OUTAGE.search(said)] == []


def test_signing_out_and_a_revoked_session_leave_nothing_in_the_browser(
    browser: Browser, of_three_hosts: Cluster
) -> None:
    people, reader, page = opened_with_a_message(browser, of_three_hosts)
    page.click("#me")
    page.click("#account-sign-out")
    expect(page.locator("#sign-in")).to_be_visible()
    assert kept_rows(page) == {"drafts": 0, "history": 0, "outbox": 0, "session": 0}
    sign_in(page, "bob")
    wait_rows(page, "history", 1)
    assert people.request("ann", 1, "PATCH", "/users/bob", {"Active": False}).status == 200
    expect(page.locator("#sign-in")).to_be_visible()
    wait_rows(page, "session", 0)
    assert kept_rows(page)["history"] == 0
    reader.context.close()


def wait_rows(page: Page, table: str, count: int) -> None:
    """Wait until the browser keeps that many rows; it writes them a second after they changed."""
    for _ in range(100):
        if kept_rows(page)[table] == count:
            return
        page.wait_for_timeout(50)
    assert kept_rows(page)[table] == count
