"""What a user with sign-in prefers about rooms: kept by the server, the same on all their devices."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People
from tests.page.test_sign_in import leave, newcomer, sign_in
from tests.support.cluster import Cluster


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    path: Path = tmp_path_factory.mktemp("preferences")
    with Cluster(path, 1, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())
        for room in ("general", "kitchen"):
            assert people.post("ann", 1, "hello", room).status == 201
        yield people


def expect_preferences(page: Page, favourites: list[str], muted: int) -> None:
    expect(page.locator("#favourites a")).to_have_text(favourites)
    expect(page.locator("a.room-link.is-muted")).to_have_count(muted)


def test_a_favourite_and_a_muted_room_are_so_on_every_device_of_the_user(browser: Browser, people: People) -> None:
    readers = [newcomer(browser, people.cluster, "/#/rooms/general") for _ in range(2)]
    for _, page in readers:
        sign_in(page, "bob")
    (_, laptop), (_, phone) = readers
    laptop.get_by_role("button", name="Favourite", exact=True).click()
    for page in (laptop, phone):
        expect_preferences(page, ["general"], 0)
    phone.get_by_role("button", name="Room settings").click()
    phone.get_by_role("combobox", name="Notify me about").select_option("none")
    phone.get_by_role("button", name="Save").click()
    for page in (laptop, phone):
        expect_preferences(page, ["general muted"], 1)
    laptop.reload()
    expect_preferences(laptop, ["general muted"], 1)
    rooms = people.request("bob", 1, "GET", "/rooms?details=true").json()
    assert [(room.get("Favourite"), room.get("Notify")) for room in rooms] == [(True, "none"), (None, None)]
    laptop.route("**/preferences", lambda route: route.fulfill(status=409, json={"detail": "RoomName: not now"}))
    laptop.get_by_role("button", name="Favourite", exact=True).click()
    expect(laptop.locator(".toast")).to_have_text("RoomName: not now")
    expect_preferences(laptop, ["general muted"], 1)
    for reader, _ in readers:
        leave(reader)
