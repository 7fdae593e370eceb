"""The side bar, what is unread, the keyboard, and the dialogs of rooms."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.reader import Reader, expect_messages, new_context
from tests.support.cluster import Cluster

# From a key to the layout, the quickest of three: other tests run beside this one.  Up to the second frame after it a
# quiet machine takes 19 to 35 ms, of which 33 are the two frames.
FILTER_MS = 50
ROWS_DRAWN = 120  # of 1,800: those near the view
FILTER = """() => {
  const field = document.querySelector("input[aria-label='Filter rooms']");
  field.focus();
  return ["z", "zo", "zon", "zone", "zone-", "zone-1", "zone-12", "zone-123", "zone-1234", ""].map((text) => {
    const began = performance.now();
    field.value = text;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
    document.querySelector("#rooms").getBoundingClientRect();
    return performance.now() - began;
  });
}"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A node whose rooms the tests of this module do not share."""
    path: Path = tmp_path_factory.mktemp("rooms")
    with Cluster(path, 1) as cluster:
        yield cluster.start_ready()


@pytest.fixture
def page(browser: Browser, shared: Cluster) -> Iterator[Page]:
    reader = Reader(new_context(browser, user="ann"), shared.nodes[1].url)
    yield reader.open("/#/rooms")
    reader.context.close()
    assert reader.complaints == []


def room_link(page: Page, name: str) -> str:
    return f"#rooms a[data-room='{name}']"


def test_what_is_unread_is_kept_over_a_reload_and_read_when_it_is_seen(shared: Cluster, page: Page) -> None:
    shared.post(1, "unread", "zero", user="bob")
    page.click(room_link(page, "unread"))
    expect_messages(page, "zero")
    page.evaluate("location.hash = '#/rooms'")
    shared.post(1, "unread", "one", user="bob")
    expect(page.locator(room_link(page, "unread"))).to_have_text("unread1 unread")
    shared.post(1, "unread", "hello @ann", user="bob")
    expect(page.locator(room_link(page, "unread"))).to_have_text("unread1 mentions")
    page.reload()
    expect(page.locator(room_link(page, "unread"))).to_have_text("unread2 unread")
    page.click(room_link(page, "unread"))
    expect_messages(page, "zero", "one", "hello @ann")
    expect(page.get_by_role("separator", name="New messages")).to_have_count(1)
    expect(page.locator(room_link(page, "unread"))).to_have_text("unread")
    page.keyboard.press("Escape")
    expect(page.get_by_role("separator", name="New messages")).to_have_count(0)
    page.reload()
    expect_messages(page, "zero", "one", "hello @ann")
    expect(page.locator(room_link(page, "unread"))).to_have_text("unread")


def test_the_keyboard_goes_to_rooms_and_lists_its_shortcuts(shared: Cluster, page: Page) -> None:
    for name in ("alpha", "beta"):
        shared.post(1, name, f"in {name}", user="bob")
    expect(page.locator(room_link(page, "beta"))).to_be_visible()
    page.keyboard.press("Control+k")
    page.get_by_role("combobox", name="Go to").fill("alp")
    page.keyboard.press("Enter")
    expect_messages(page, "in alpha")
    page.keyboard.press("Alt+Shift+ArrowDown")
    expect_messages(page, "in beta")
    page.keyboard.press("Alt+ArrowUp")
    expect_messages(page, "in alpha")
    page.focus(room_link(page, "alpha"))
    page.keyboard.press("ArrowDown")
    expect(page.locator(room_link(page, "beta"))).to_be_focused()
    expect(page.locator(".room-link[tabindex='0']")).to_have_count(1)
    page.keyboard.press("Shift+?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(room_link(page, "beta"))).to_be_focused()


def test_a_room_is_made_changed_and_deleted_with_its_name_typed(shared: Cluster, page: Page) -> None:
    page.get_by_role("button", name="New room").click()
    page.get_by_role("textbox", name="Room name").fill("garden")
    page.get_by_role("textbox", name="Topic").fill("Plants")
    page.keyboard.press("Enter")
    expect(page.locator("#room-topic")).to_have_text("Plants")
    page.get_by_role("button", name="Favourite").click()
    expect(page.locator("#favourites a")).to_have_text(["garden"])
    page.get_by_role("button", name="Room settings").click()
    page.get_by_role("textbox", name="Topic").fill("Trees")
    page.get_by_role("combobox", name="Notify me about").select_option("none")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#room-topic")).to_have_text("Trees")
    expect(page.locator("#favourites a.is-muted")).to_have_count(1)
    page.get_by_role("button", name="Room settings").click()
    page.get_by_role("button", name="Delete room…").click()
    page.get_by_role("button", name="Delete room").click()
    expect(page.get_by_text("This is not the room's name.")).to_be_visible()
    page.get_by_role("textbox", name="Type the room's name").fill("garden")
    page.get_by_role("button", name="Delete room").click()
    expect(page.locator("#favourites a")).to_have_count(0)


def test_the_preferences_choose_the_theme_and_the_density(page: Page) -> None:
    page.get_by_role("button", name="Preferences").click()
    page.get_by_role("combobox", name="Colours").select_option("dark")
    page.get_by_role("combobox", name="Density").select_option("compact")
    page.get_by_role("button", name="Save").click()
    for _ in range(2):
        expect(page.locator("html[data-theme=dark][data-density=compact]")).to_have_count(1)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(26, 32, 33)"
        page.reload()


def test_a_filter_of_1_800_rooms_is_painted_at_once_and_rows_out_of_view_are_reached(
    shared: Cluster, page: Page
) -> None:
    page.route(re.compile(r"/rooms\?"), lambda route: route.fulfill(json=many_rooms()))
    page.reload()
    links = page.locator(".room-link")
    expect(page.locator("#directs .room-link").first).to_be_visible()
    rounds = [page.evaluate(FILTER) for _ in range(3)]
    assert max(min(key) for key in zip(*rounds, strict=True)) <= FILTER_MS, rounds
    assert links.count() < ROWS_DRAWN
    page.keyboard.type("ZONE-1234")
    expect(links).to_have_text(["zone-1234"])
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("End")
    last = page.locator(room_link(page, "zone-1499"))
    expect(last).to_be_focused()
    expect(last).to_be_in_viewport(ratio=1)
    page.keyboard.press("ArrowUp")
    expect(page.locator(room_link(page, "zone-1498"))).to_be_focused()
    size, place = page.evaluate("(row => [row.ariaSetSize, row.ariaPosInSet])(document.activeElement.parentElement)")
    assert (int(size) >= 1_500, int(place)) == (True, int(size) - 1)
    page.keyboard.press("Home")
    expect(page.locator("#directs .room-link").first).to_be_focused()
    expect(page.locator("#directs .room-link").first).to_be_in_viewport(ratio=1)
    expect(page.locator(".room-link[tabindex='0']")).to_have_count(1)


def many_rooms() -> list[dict[str, object]]:
    """1,500 rooms and 300 direct ones."""
    room = {"Topic": "", "Archived": False, "Joined": True}
    rooms = [{**room, "Name": f"zone-{number:04d}", "Visibility": "public"} for number in range(1_500)]
    direct = [
        {**room, "Name": f"direct-{number}", "Visibility": "direct", "Members": ["ann", f"user {number}"]}
        for number in range(300)
    ]
    return rooms + direct
