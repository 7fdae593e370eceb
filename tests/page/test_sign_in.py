"""Signing in and out, and going on at another node while signed in."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, People, wait_login
from tests.page.conftest import OUTAGE
from tests.page.reader import Reader, expect_messages, kept_messages, new_context, say, wait_connected
from tests.support.cluster import Cluster

# A stranger is told so with 401, and who could not come in with 403 or 409; the console counts those as errors.
REFUSAL = re.compile(r"status of (401|403|409|429)|Error during WebSocket handshake")

WRONG = "Wrong name or password."


@pytest.fixture
def guarded(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster that asks for a login, of one node or as many as the test asks for."""
    with Cluster(tmp_path, getattr(request, "param", 1), flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        wait_login(cluster)
        yield cluster


def newcomer(browser: Browser, cluster: Cluster, path: str = "/", id: int = 1) -> tuple[Reader, Page]:
    """A browser that was never here before, with the sign-in form."""
    reader = Reader(new_context(browser), cluster.nodes[id].url)
    page = reader.context.new_page()
    page.on("console", reader._hear)
    page.on("pageerror", lambda error: reader.complaints.append(f"uncaught: {error}"))
    page.goto(reader.url + path)
    expect(page.locator("#sign-in")).to_be_visible()
    return reader, page


def submit_sign_in(page: Page, name: str, password: str = PASSWORD) -> None:
    page.fill("#sign-in-name", name)
    page.fill("#sign-in-password", password)
    page.click("#sign-in-submit")


def sign_in(page: Page, name: str) -> None:
    submit_sign_in(page, name)
    wait_connected(page)
    expect(page.locator("#me")).to_contain_text(name)
    expect(page.locator("#sign-in")).to_be_hidden()


def continue_busy(page: Page, route: Route) -> None:
    """Let a sign-in go on, which takes a second or two on purpose: meanwhile the form says that it is under way."""
    expect(page.locator("#sign-in-submit")).to_have_text("One moment…")
    expect(page.locator("#sign-in-submit")).to_be_disabled()
    route.continue_()


def leave(reader: Reader) -> None:
    reader.context.close()
    assert [said for said in reader.complaints if not REFUSAL.search(said) and not OUTAGE.search(said)] == []


def test_the_first_reader_sets_up_and_invites_the_second(browser: Browser, guarded: Cluster) -> None:
    guarded.nodes[1].wait_says("set up the first account")
    token = re.findall(r"with the token (su_\S+)", guarded.nodes[1].log())[-1]
    ann, page = newcomer(browser, guarded)
    expect(page.locator("#sign-in-heading")).to_have_text("Welcome")
    page.fill("#sign-in-secret", "su_wrong")
    submit_sign_in(page, "ann")
    expect(page.locator("#sign-in-error")).not_to_be_empty()
    page.fill("#sign-in-secret", token)
    sign_in(page, "ann")
    page.click("#me")
    page.click("#account-invite-create")
    expect(page.locator("#account-invite-link")).to_be_visible()
    link = page.locator("#account-invite-link").input_value()
    page.click("#account-close")
    page.goto(f"{ann.url}/#/rooms/general")
    say(page, "hello bob")

    bob, his = newcomer(browser, guarded, link.removeprefix(ann.url))
    expect(his.locator("#sign-in-heading")).to_have_text("Join")
    submit_sign_in(his, "bob", "short")
    expect(his.locator("#sign-in-error")).to_contain_text("at least 8")
    sign_in(his, "bob")
    his.click("text=general")
    say(his, "hello ann")
    for each in (page, his):
        expect_messages(each, "hello bob", "hello ann")
    his.reload()
    expect_messages(his, "hello bob", "hello ann")
    leave(ann)
    leave(bob)


def test_who_signs_out_is_out_in_every_window_and_a_wrong_password_says_so(browser: Browser, guarded: Cluster) -> None:
    People(guarded)
    reader, page = newcomer(browser, guarded, "/#/rooms/general")
    page.route("**/login", lambda route: continue_busy(page, route))
    for password, error in (("", "Enter your password."), ("short", WRONG), ("something else", WRONG)):
        submit_sign_in(page, "bob", password)
        expect(page.locator("#sign-in-error")).to_have_text(error)
    expect(page.locator("#sign-in")).to_be_visible()
    sign_in(page, "bob")
    other = reader.open("/#/rooms/general")
    say(other, "only for members")
    expect_messages(page, "only for members")
    page.click("#me")
    page.click("#account-sign-out")
    for window in (page, other):
        expect(window.locator("#sign-in")).to_be_visible()
        expect(window.locator(".post-text")).to_have_count(0)
    leave(reader)


def test_a_password_is_changed_and_only_the_new_one_signs_in(browser: Browser, guarded: Cluster) -> None:
    People(guarded)
    reader, page = newcomer(browser, guarded)
    page.evaluate("localStorage.setItem('raft-chat.user', 'bob')")  # the name in use before there was a sign-in
    sign_in(page, "bob")
    account = page.get_by_role("button", name="Account", exact=True)
    expect(account).to_have_accessible_description("You are bob.")
    page.click("#me")
    page.click("#account-details summary")
    page.fill("#account-old", "not this one")
    page.fill("#account-new", "another horse")
    page.click("#account-form button")
    expect(page.locator("#account-status")).to_have_text("The old password is wrong.")
    page.fill("#account-old", PASSWORD)
    page.click("#account-form button")
    expect(page.locator("#account-status")).to_contain_text("was changed")
    page.click("#account-sign-out")
    expect(page.locator("#sign-in")).to_be_visible()
    submit_sign_in(page, "bob")
    expect(page.locator("#sign-in-error")).not_to_be_empty()
    submit_sign_in(page, "bob", "another horse")
    wait_connected(page)
    leave(reader)


@pytest.mark.parametrize("guarded", [3], indirect=True)
def test_a_reader_goes_on_at_another_node_when_the_own_one_is_killed(browser: Browser, guarded: Cluster) -> None:
    people = People(guarded)
    assert people.request("ann", 1, "POST", "/directs", {"Users": ["bob"]}).status == 201
    plans = {"Name": "plans", "Visibility": "private", "Members": ["bob"]}
    assert people.request("ann", 1, "POST", "/rooms", plans).status == 201
    assert people.post("ann", 1, "coffee", room="kitchen").status == 201
    reader, page = newcomer(browser, guarded, "/#/rooms/general", id=1)
    sign_in(page, "bob")
    say(page, "before")
    expect(page.locator("#directs a")).to_have_text(["Direct messages with ann"])
    expect(page.locator("#rooms a")).to_have_text(["general", "kitchen", "Private room plans"])
    expect(page.locator("#directs .direct-mark")).to_have_count(1)
    expect(page.locator("#room-direct")).to_be_hidden()
    expect_messages(page, "before")
    guarded.nodes[1].kill()
    guarded.wait_leader()
    assert people.post("ann", 2, "meanwhile").status == 201
    expect_messages(page, "before", "meanwhile")
    say(page, "after")
    expect_messages(page, "before", "meanwhile", "after")
    page.click("text=kitchen")  # what was not read yet comes from a node that knows no cookie of this page
    expect_messages(page, "coffee")
    leave(reader)


def test_a_reader_goes_on_at_a_node_of_another_host_by_a_ticket(browser: Browser, tmp_path: Path) -> None:
    with Cluster(tmp_path, command=QUICK_PASSWORDS) as cluster:
        for node in cluster.nodes.values():
            host = "127.0.0.1" if node.id == 1 else "localhost"
            node.start(*node.flags(cluster.url_list, *FLAGS, "--advertise", f"http://{host}:{node.port}"))
        people = People(cluster)
        reader, page = newcomer(browser, cluster, "/#/rooms/general")
        page.add_init_script("Math.random = () => 0")  # the ticket is asked for at once, and no try waits
        page.reload()
        with page.expect_websocket() as opened:
            sign_in(page, "bob")
        opened.value.wait_for_event("framereceived", lambda frame: '"Ticket"' in str(frame))
        cluster.nodes[1].kill()
        cluster.wait_leader()
        assert people.post("ann", 2, "meanwhile").status == 201
        expect_messages(page, "meanwhile")
        say(page, "after")
        expect_messages(page, "meanwhile", "after")
        leave(reader)


def test_an_open_page_asks_for_a_login_once_the_cluster_does(browser: Browser, tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        reader = Reader(new_context(browser, user="ann"), cluster.nodes[1].url)
        page = reader.open("/#/rooms/general")
        say(page, "anybody's")
        expect_messages(page, "anybody's")
        cluster.kill()
        node = cluster.nodes[1]
        node.start(*node.flags(cluster.url_list, *FLAGS))
        wait_login(cluster)
        expect(page.locator("#sign-in-heading")).to_have_text("Welcome")
        leave(reader)


def test_a_message_to_a_room_that_became_private_goes_back_into_the_box(browser: Browser, guarded: Cluster) -> None:
    people = People(guarded)
    assert people.post("ann", 1, "hello", room="plans").status == 201
    reader, page = newcomer(browser, guarded, "/#/rooms/plans")
    sign_in(page, "bob")
    expect_messages(page, "hello")
    private = {"Visibility": "private", "Members": ["ann"]}
    assert people.request("ann", 1, "PATCH", "/rooms/plans", private).status == 200
    expect(page.locator("#timeline-tail")).to_contain_text("was deleted")
    say(page, "for your eyes only")
    expect(page.locator("#timeline-tail")).to_have_text(
        "This room is not open to you. Your message was not sent. Its text is in the box below."
    )
    expect(page.locator("#message")).to_have_value("for your eyes only")
    expect(page.locator(".post")).to_have_count(0)
    say(page, "for your eyes only, again")
    expect(page.locator("#message")).to_have_value("for your eyes only, again")
    assert kept_messages(page) == []
    assert people.request("bob", 1, "PUT", "/rooms/plans").status == 201  # a new room of that name
    page.press("#message", "Enter")
    expect_messages(page, "for your eyes only, again")
    expect(page.locator("#timeline-tail")).to_be_empty()
    leave(reader)


def test_a_message_to_a_private_room_that_one_is_no_member_of_any_more_goes_back_into_the_box(
    browser: Browser, guarded: Cluster
) -> None:
    people = People(guarded)
    reader, page = newcomer(browser, guarded)
    sign_in(page, "bob")
    plans = {"Name": "plans", "Visibility": "private", "Members": ["bob"]}
    name = people.request("ann", 1, "POST", "/rooms", plans).json()["Name"]
    page.click("text=plans")
    say(page, "one")
    expect_messages(page, "one")
    assert people.request("ann", 1, "DELETE", f"/rooms/{name}/members/bob").status == 204
    expect(page.locator("#timeline-tail")).to_have_text("This room was deleted, or you are no longer a member of it.")
    say(page, "two")
    expect(page.locator("#timeline-tail")).to_contain_text("This room is not open to you.")
    expect(page.locator("#announcer")).to_contain_text("This room is not open to you.")
    expect(page.locator("#room-title")).to_have_text("plans")
    expect(page.locator("#message")).to_have_value("two")
    leave(reader)
