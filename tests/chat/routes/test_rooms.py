"""The list of rooms, and a room's short address."""

import pytest

from tests.chat.chat_client import ChatClient, links, refused


def test_rooms_are_listed_sorted_by_name() -> None:
    chat = ChatClient()
    assert chat.get("/rooms").json == []
    for room in ("b", "%C3%A9", "a%2Fb", "a"):
        chat.fill(1, f"/rooms/{room}")
    assert chat.get("/rooms").json == ["a", "a/b", "b", "é"]


def test_details_tell_how_much_was_said_and_when() -> None:
    chat = ChatClient()
    chat.fill(2)
    assert chat.get("/rooms?details=true").json == [
        {"Name": "general", "Messages": 2, "LastPostedAt": "2026-11-23T10:00:01.623456Z"}
    ]
    assert chat.get("/rooms?details=false").json == ["general"]


@pytest.mark.parametrize("details", ["", "&details=true"])
def test_walking_by_links_meets_every_room_once(details: str) -> None:
    chat = ChatClient()
    names = [f"r{number:02}&é/" for number in range(25)]
    for number in range(25):
        chat.fill(1, f"/rooms/r{number:02}%26%C3%A9%2F")
    seen: list[str] = []
    target: str | None = f"/rooms?limit=4{details}"
    while target:
        page = chat.get(target)
        assert page.json is not None
        seen += [room["Name"] if details else room for room in page.json]
        target = links(page).get("next")
    assert seen == names


def test_a_page_that_ends_with_the_last_room_has_no_next() -> None:
    chat = ChatClient()
    chat.fill(1)
    assert links(chat.get("/rooms?limit=1")) == {}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=", "after"),
        ("after=%00", "after"),
        ("after=" + "x" * 65, "after"),
        ("details=yes", "details"),
        ("consistency=", "consistency"),
        ("min_index=-1", "min_index"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it(query: str, field: str) -> None:
    assert refused(ChatClient().get(f"/rooms?{query}"), 400, field)


@pytest.mark.parametrize("name", ["general", "a%2Fb", "caf%C3%A9", "%3F%23", "room%25"])
def test_a_rooms_short_address_leads_to_the_room(name: str) -> None:
    answer = ChatClient().get(f"/{name}?limit=5")
    assert answer.status_code == 302
    assert answer.headers["Location"] == f"/rooms/{name}?limit=5"


@pytest.mark.parametrize("name", ["rooms/", "static", "login", "metrics", "openapi.json", "favicon.ico", "cluster"])
def test_a_route_has_its_name_to_itself(name: str) -> None:
    answer = ChatClient().get(f"/{name}")
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize("name", ["%2E%2E", "%00", "a" * 65, "%E2%80%AE", "%ED%A0%80", "%F", "%GG", ""])
def test_a_name_that_is_none_is_a_4xx(name: str) -> None:
    chat = ChatClient()
    for answer in (chat.get(f"/rooms/{name}"), chat.post(f"/rooms/{name}"), chat.get(f"/rooms/{name}/messages/1")):
        assert refused(answer, 400, "RoomName") or refused(answer, 400, "path")
    assert chat.replica.proposed == []
