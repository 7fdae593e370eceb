"""The dialogs of rooms and people where there is sign-in, and notifications: each does what it says for who may."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.page.reader import Reader, expect_messages, new_context, say
from tests.page.test_sign_in import leave, newcomer, sign_in
from tests.support.cluster import Cluster

# Stands in for the browser's, which shows nothing in a test; the page decides as it would with the other.
RECORDER = """
  window.shown = [];
  window.away = false;
  document.hasFocus = () => !window.away;
  window.Notification = class {
    static permission = "granted";
    static requestPermission = async () => "granted";
    constructor(title, { body }) { this.text = `${title}: ${body}`; window.shown.push(this); }
    close() {}
  };
"""


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    path: Path = tmp_path_factory.mktemp("dialogs")
    with Cluster(path, 1, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())
        for room in ("general", "kitchen"):
            assert people.post("ann", 1, "hello", room).status == 201
        yield people


@pytest.fixture(scope="module")
def readers(browser: Browser, people: People) -> Iterator[tuple[Page, Page]]:
    """The pages of ann, an admin, and of bob."""
    found = [newcomer(browser, people.cluster, "/#/rooms/general") for _ in range(2)]
    for (_, page), name in zip(found, ("ann", "bob"), strict=True):
        sign_in(page, name)
    yield found[0][1], found[1][1]
    for reader, _ in found:
        # What was asked of a room that was lost meanwhile.
        reader.complaints[:] = [said for said in reader.complaints if "status of 404" not in said]
        leave(reader)


def press(page: Page, *names: str) -> None:
    for name in names:
        page.get_by_role("button", name=name, exact=True).click()


def test_a_private_room_gets_members_who_are_removed_and_leave(readers: tuple[Page, Page]) -> None:
    ann, bob = readers
    press(ann, "New room")
    ann.get_by_label("Room name").fill("plans")
    ann.get_by_label("Who can see it").select_option("private")
    ann.get_by_role("textbox", name="Members").fill("bob")
    press(ann, "Create room")
    expect(ann.locator("#room-title")).to_have_text("plans")
    link = bob.locator("#rooms a", has_text="plans")
    expect(link).to_have_text("Private room plans")
    press(ann, "Members")
    members = ann.get_by_role("dialog", name="Members of plans")
    expect(members.locator(".choice-title")).to_have_text(["ann", "bob"])
    expect(members.locator(".choice-note")).to_have_text(["owner, you", ""])
    members.get_by_label("Add a person").fill("nobody")
    members.get_by_role("button", name="Add", exact=True).click()
    expect(members.get_by_role("alert").filter(has_text="there is no active user")).to_be_visible()
    members.get_by_label("Add a person").fill("gus")
    members.get_by_role("button", name="Add", exact=True).click()
    expect(members.locator(".choice-title")).to_have_text(["ann", "bob", "gus"])
    expect(members.get_by_label("Add a person")).to_be_focused()
    members.get_by_role("button", name="Remove gus").click()
    expect(members.locator(".choice-title")).to_have_text(["ann", "bob"])
    press(ann, "Cancel")
    link.click()
    press(bob, "Room settings")
    expect(bob.get_by_label("Topic")).to_have_count(0)  # the room is ann's
    press(bob, "Leave room")
    expect(bob.get_by_role("dialog")).to_have_count(0)
    expect(link).to_have_count(0)
    expect(bob.locator("#timeline-tail")).to_contain_text("you are no longer a member of it")


def test_a_public_room_is_found_and_joined(readers: tuple[Page, Page], people: People) -> None:
    _, bob = readers
    press(bob, "Browse rooms")
    bob.get_by_role("searchbox", name="Find a room").fill("kitc")
    press(bob, "Join kitchen")
    expect(bob.locator("#room-title")).to_have_text("kitchen")
    expect_messages(bob, "hello")
    assert people.request("bob", 1, "GET", "/rooms/kitchen/members").json() == ["ann", "bob"]
    press(bob, "Browse rooms")
    expect(bob.get_by_role("button", name="Open kitchen")).to_be_visible()
    press(bob, "Close")


def test_a_direct_message_is_begun_from_the_list_of_people(readers: tuple[Page, Page]) -> None:
    ann, bob = readers
    press(bob, "New direct message")
    bob.get_by_role("searchbox", name="Find a person").fill("an")
    press(bob, "Write to ann")
    expect(bob.locator("#room-title")).to_have_text("ann")
    say(bob, "just for you")
    row = ann.get_by_role("navigation", name="Direct messages").get_by_role("link")
    expect(row).to_contain_text("Direct messages with")
    row.click()
    expect_messages(ann, "just for you")
    expect(ann.locator("#room-title")).to_have_text("bob")


def test_an_owner_renames_bounds_and_archives_a_room(readers: tuple[Page, Page], people: People) -> None:
    ann, bob = readers
    press(ann, "New room")
    ann.get_by_label("Room name").fill("garden")
    press(ann, "Create room")
    bob.locator("#rooms a[data-room=garden]").click()
    press(ann, "Room settings")
    settings = ann.get_by_role("dialog", name="Settings of garden")
    settings.get_by_label("Newest messages to keep").fill("many")
    press(ann, "Save")
    expect(settings.get_by_text("Enter a whole number, or leave it empty.")).to_be_visible()
    settings.get_by_label("Newest messages to keep").fill("100")
    settings.get_by_label("Days to keep messages").fill("7")
    settings.get_by_label("Room name").fill("yard")
    settings.get_by_label("Archive").select_option("yes")
    press(ann, "Save")
    for page in (ann, bob):
        expect(page.locator("#room-title")).to_have_text("yard")
        expect(page.locator("#room-archived")).to_be_visible()
    room = next(
        room for room in people.request("ann", 1, "GET", "/rooms?details=true").json() if room["Name"] == "yard"
    )
    assert room["Retention"] == {"MaxMessages": 100, "MaxAgeSeconds": 7 * 24 * 60 * 60}


def test_a_node_that_does_not_vote_is_let_vote(readers: tuple[Page, Page], people: People) -> None:
    ann, _ = readers
    known = people.request("ann", 1, "GET", "/raft").json()
    learner = {**known["Members"][0], "Id": 9, "Voting": False}
    more = {**known, "Members": [*known["Members"], learner]}
    ann.route(re.compile(r"/raft\?"), lambda route: route.fulfill(json=more))
    ann.route("**/raft/9/promote", lambda route: route.fulfill(json=known))
    press(ann, "Cluster")
    with ann.expect_request("**/raft/9/promote") as asked:
        press(ann, "Let node 9 vote")
        ann.get_by_role("dialog", name="Let node 9 vote").get_by_role("button", name="Let it vote").click()
    assert asked.value.method == "POST"
    ann.unroute_all()
    press(ann, "Close")


def test_notifications_come_by_the_rooms_level_not_in_quiet_hours_and_lead_to_the_message(
    browser: Browser, people: People
) -> None:
    context = new_context(browser)
    context.add_init_script(RECORDER)
    reader = Reader(context, people.cluster.nodes[1].url)
    page = context.new_page()
    page.goto(reader.url + "/#/rooms/kitchen")
    sign_in(page, "bob")

    def shown() -> list[str]:
        texts: list[str] = page.evaluate("window.shown.map(({ text }) => text)")
        return texts

    def prefer(level: str, quiet: tuple[str, str] = ("", "")) -> None:
        press(page, "Preferences")
        page.get_by_label("Notifications").select_option(level)
        page.get_by_label("Quiet from").fill(quiet[0])
        page.get_by_label("Quiet to").fill(quiet[1])
        press(page, "Save")
        expect(page.get_by_role("dialog")).to_have_count(0)

    prefer("on")
    page.evaluate("window.away = true")
    for text, room in (("nothing for bob", "general"), ("look, @bob", "general")):
        people.post("ann", 1, text, room)
    page.wait_for_function("window.shown.length > 0")
    assert shown() == ["ann · general: look, @bob"]
    prefer("on", ("00:00", "23:59"))
    people.post("ann", 1, "quiet, @bob", "general")
    expect(page.locator("#rooms a[data-room=general]")).to_contain_text("2 mentions")
    prefer("off")
    people.post("ann", 1, "off, @bob", "general")
    expect(page.locator("#rooms a[data-room=general]")).to_contain_text("3 mentions")
    assert len(shown()) == 1
    page.evaluate("window.shown[0].onclick()")
    expect(page.locator("article[data-id='3']")).to_be_focused()
    expect(page.locator("#room-title")).to_have_text("general")
    leave(reader)
