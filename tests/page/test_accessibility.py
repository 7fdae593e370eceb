"""Every view of the page: axe-core finds nothing in it, and the keyboard alone opens, uses and closes it.

A new view is a line of VIEWS.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.cluster.people import FLAGS, PASSWORD, QUICK_PASSWORDS, People, wait_login
from tests.page.axe import ALL, COLOURS, findings, need_axe
from tests.page.conftest import OUTAGE
from tests.page.reader import Reader, Wire, new_context, wait_connected
from tests.page.test_sign_in import REFUSAL, sign_in
from tests.support.cluster import Cluster

KEYS_MAX = 60  # until a key has gone through all that it goes through
DESKTOP = {"width": 1100, "height": 700}
PHONE = {"width": 390, "height": 844}
OPEN = "dialog[open], .popup"


class View(NamedTuple):
    """A view that opens over another one, and closes with Escape."""

    name: str  # of the dialog, menu or pop-up
    opener: str  # the name of the button that opens it, or the key
    place: str = "#/rooms/general"  # the address where that button is
    role: str = "dialog"
    on: str = ""  # the element to point at or to focus first
    first: tuple[str, ...] = ()  # the views to open before it, by the names of their buttons


MESSAGE = "article[data-id='4']"
VIEWS = (
    View("New room", "New room", "#/rooms"),
    View("Browse rooms", "Browse rooms", "#/rooms"),
    View("New direct message", "New direct message", "#/rooms"),
    View("Preferences", "Preferences", "#/rooms"),
    View("ann (admin)", "Account", "#/rooms"),
    View("Cluster", "Cluster", "#/rooms"),
    View("Settings of general", "Room settings"),
    View("Delete general?", "Delete room…", first=("Room settings",)),
    View("Members of general", "Members"),
    View("Pinned messages", "Pinned messages"),
    View("Jump to a date", "Jump to a date"),
    View("Choose an emoji", "React", on=MESSAGE),
    View("More actions", "More actions", role="menu", on=MESSAGE),
    View("Earlier versions", "Edited"),
    View("Go to", "Control+k"),
    View("Keyboard shortcuts", "?", on=MESSAGE),
)

TALK = (
    ("ann", {"Message": "Morning! Node 2 is down for an **update**, see https://example.org/raft and @bob."}),
    ("bob", {"Message": "Should I have noticed `anything`?\n\n> a quote\n\n- one\n- two\n\n```py\nprint(1)\n```"}),
    ("ann", {"Message": "No. ~~Three~~ two of three nodes are enough.\n" + "\n".join(f"line {n}" for n in range(40))}),
    ("ann", {"Message": "helo"}),
    ("bob", {"Message": "An answer, @ann", "ReplyTo": 1}),
    ("bob", {"Message": "to be deleted"}),
    ("bob", {"Message": "🎉"}),
)  # fmt: skip


def fill(people: People) -> None:
    """Rooms of every kind, and in "general" messages of every kind."""

    def ask(name: str, method: str, path: str, **body: object) -> object:
        answer = people.request(name, 1, method, path, body or None)
        assert answer.status < 300, (path, answer)
        return answer.json() if answer.body else None

    for room in ("general", "empty", "kitchen", "old"):
        ask("ann", "PUT", f"/rooms/{room}")
    ask("ann", "PATCH", "/rooms/general", Topic="The move to three nodes")
    ask("ann", "POST", "/rooms", Name="secret", Visibility="private", Members=["bob"])
    ask("ann", "POST", "/directs", Users=["bob"])
    for user, body in TALK:
        ask(user, "POST", "/rooms/general", **body)
    message = "/rooms/general/messages"
    ask("ann", "PATCH", f"{message}/4", Message="hello")
    ask("ann", "PUT", f"{message}/4/reactions/{quote('❤')}")
    ask("bob", "PUT", f"{message}/4/reactions/{quote('❤')}")
    ask("ann", "PUT", f"{message}/1/pin")
    ask("bob", "DELETE", f"{message}/6")
    ask("bob", "POST", "/rooms/kitchen", Message="Coffee, @ann")
    ask("ann", "PATCH", "/rooms/old", Archived=True)


class Views:
    """A page in a browser, on a node with sign-in."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.found: dict[str, list[str]] = {}

    def look(self, name: str, place: str = "") -> None:
        """Keep what axe-core finds in this place, or on the whole page as it is, in light and dark."""
        for scheme, rules in (("light", ALL), ("dark", COLOURS)):
            # A colour on its way to another one has the contrast of neither.
            self.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            if found := findings(self.page, rules, place):
                self.found[f"{name}, {scheme}, {self.page.viewport_size}"] = found

    def look_wide_and_narrow(self, name: str) -> None:
        for size in (PHONE, DESKTOP):
            self.page.set_viewport_size(size)  # type: ignore[arg-type]
            self.look(name)

    def go(self, place: str) -> None:
        self.page.evaluate("(place) => { location.hash = place; }", place)
        expect(self.page.locator("#room" if place.count("/") > 1 else "#sidebar-rooms")).to_be_visible()

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True).first

    def open(self, view: View) -> Locator:
        self.go(view.place)
        if view.on:
            self.page.locator(view.on).focus()
        for name in (*view.first, view.opener):
            if is_key(name):
                self.page.keyboard.press(name)
            else:
                self.button(name).click()
        opened = self.page.get_by_role(view.role, name=view.name, exact=True)  # type: ignore[arg-type]
        expect(opened).to_be_visible()
        return opened

    def close(self) -> None:
        self.page.keyboard.press("Escape")
        expect(self.page.locator(OPEN)).to_have_count(0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    need_axe()
    with Cluster(tmp_path_factory.mktemp("views"), 1, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        cluster.start_ready()
        wait_login(cluster)
        yield cluster


@pytest.fixture(scope="module")
def people(guarded: Cluster) -> People:
    people = People(guarded)
    fill(people)
    return people


@pytest.fixture(scope="module")
def reader(browser: Browser, guarded: Cluster) -> Iterator[Reader]:
    reader = Reader(new_context(browser), guarded.nodes[1].url)
    yield reader
    reader.context.close()
    assert [said for said in reader.complaints if not REFUSAL.search(said) and not OUTAGE.search(said)] == []


@pytest.fixture(scope="module")
def page(reader: Reader) -> Page:
    page = reader.context.new_page()
    page.on("console", reader._hear)
    page.on("pageerror", lambda error: reader.complaints.append(f"uncaught: {error}"))
    return page


@pytest.fixture(scope="module")
def wire(page: Page, people: People, reader: Reader) -> Wire:
    """The page, signed in, and its wire."""
    wire = Wire(page)
    page.goto(reader.url)
    sign_in(page, "ann")
    return wire


def expect_none(views: Views) -> None:
    assert views.found == {}, json.dumps(views.found, indent=1)


def test_axe_finds_nothing_before_sign_in(reader: Reader, page: Page, request: pytest.FixtureRequest) -> None:
    views = Views(page)
    page.goto(reader.url)
    expect(page.locator("#sign-in-heading")).to_have_text("Welcome")
    views.look_wide_and_narrow("set-up")
    request.getfixturevalue("people")
    page.reload()
    expect(page.locator("#sign-in-heading")).to_have_text("Sign in")
    page.click("#sign-in-submit")  # without a name, for an error
    views.look_wide_and_narrow("sign in")
    page.click("#sign-in-switch")
    views.look_wide_and_narrow("sign up")
    expect_none(views)


def test_axe_finds_nothing_in_a_room(page: Page, wire: Wire) -> None:
    views = Views(page)
    for name, place in (("room", "general"), ("empty room", "empty"), ("archived room", "old")):
        views.go(f"#/rooms/{place}")
        expect(page.locator("#timeline")).to_have_attribute("aria-busy", "false")
        if name == "room":
            expect(page.locator("article")).to_have_count(len(TALK))
            page.locator(MESSAGE).focus()
            page.fill("#message", "x" * 17_000)  # too long
        views.look_wide_and_narrow(name)
    views.go("#/rooms")
    views.look_wide_and_narrow("no room")
    expect_none(views)


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_in_what_opens(page: Page, wire: Wire, size: dict[str, int]) -> None:
    views = Views(page)
    page.set_viewport_size(size)  # type: ignore[arg-type]
    for view in VIEWS:
        views.open(view)
        views.look(view.name, "" if view.role == "menu" else OPEN)  # a menu lies in a landmark of the page
        views.close()
    expect_none(views)


def test_axe_finds_nothing_while_nothing_can_be_sent(guarded: Cluster, page: Page, wire: Wire) -> None:
    views = Views(page)
    views.go("#/rooms/general")
    wire.tell({"Cluster": {"Majority": False}})
    expect(page.locator("#notice-text")).to_contain_text("Read-only")
    views.look_wide_and_narrow("read-only")
    guarded.kill(1)
    expect(page.locator("#connection")).not_to_have_attribute("data-phase", "open")
    views.look_wide_and_narrow("disconnected")
    guarded.restart(1)
    expect_none(views)


# The keyboard.


class Keys(Views):
    """Goes from one view to another with the keyboard alone."""

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def has_focus(self, element: Locator) -> bool:
        found: bool = element.evaluate("(element) => element.contains(document.activeElement)")
        return found

    def press_until_focused(self, key: str, element: Locator) -> None:
        for _ in range(KEYS_MAX):
            if element.evaluate("(element) => element === document.activeElement"):
                return
            self.press(key)
        raise AssertionError(f"{key} never gets to {element}")

    def reach(self, view: View) -> Locator | None:
        """Focus what opens the view; None for a key, which opens it wherever the focus is."""
        self.page.evaluate("() => document.activeElement.blur()")
        if view.on:
            self.press_until_focused("Tab", self.page.get_by_role("log", name="Messages"))
            self.press_until_focused("ArrowUp", self.page.locator(view.on))
        if is_key(view.opener):
            return None
        opener = self.button((*view.first, view.opener)[0])
        if view.on:
            self.press("Enter")  # from the message into its bar of actions
            self.press_until_focused("ArrowRight", opener)
        else:
            self.press_until_focused("Tab", opener)
        return opener

    def open_by_keys(self, view: View) -> Locator:
        """Open the view; return the element that opened it, or had the focus before."""
        opener = self.reach(view) or self.page.locator(view.on or "body")
        self.press(view.opener if is_key(view.opener) else "Enter")
        for name in view.first and (*view.first[1:], view.opener):
            expect(self.page.locator(OPEN)).to_be_visible()
            self.press_until_focused("Tab", self.button(name))
            self.press("Enter")
        return opener


def is_key(opener: str) -> bool:
    return len(opener) == 1 or "+" in opener


def sign_in_by_keys(reader: Reader, page: Page) -> None:
    page.goto(reader.url)
    expect(page.get_by_role("textbox", name="Name")).to_be_focused()
    page.keyboard.type("ann")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    wait_connected(page)


def test_the_keyboard_alone_opens_each_view_and_closing_it_gives_the_focus_back(
    browser: Browser, guarded: Cluster, people: People
) -> None:
    reader = Reader(new_context(browser), guarded.nodes[1].url)
    page = reader.context.new_page()
    sign_in_by_keys(reader, page)
    keys = Keys(page)
    for view in VIEWS:
        keys.go(view.place)
        if view.place != "#/rooms":
            expect(page.locator("article")).to_have_count(len(TALK))
        opener = keys.open_by_keys(view)
        opened = page.get_by_role(view.role, name=view.name, exact=True)  # type: ignore[arg-type]
        expect(opened).to_be_visible()
        assert keys.has_focus(opened), view
        keys.close()
        if view.opener != "Control+k":  # nothing had the focus before
            expect(opener).to_be_focused()
    reader.context.close()
