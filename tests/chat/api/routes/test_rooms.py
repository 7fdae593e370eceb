"""The list of rooms, a room's short address, and changing a room as a whole."""

import pytest

from chat import commands
from chat.api.query import percent_encoded
from chat.commands import LEVEL
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom
from tests.chat.chat_client import GENERAL, ChatClient, ids, links, refused
from tests.support.fake_replica import FIRST_INDEX


def general(messages: int, last_posted_at: str | None, newest_id: int = 0, **members: object) -> dict[str, object]:
    """A public room of this name as the list tells of it, with what is told beside what every room has."""
    return {
        "Name": "general",
        "Topic": "",
        "Visibility": "public",
        "Owner": None,
        "Archived": False,
        "Messages": messages,
        "NewestId": newest_id or messages,
        "LastPostedAt": last_posted_at,
        "Retention": None,
        **members,
    }


def test_rooms_are_listed_sorted_by_name() -> None:
    chat = ChatClient()
    assert chat.get("/rooms").json == []
    for room in ("b", "%C3%A9", "a%2Fb", "a"):
        chat.fill(1, f"/rooms/{room}")
    assert chat.get("/rooms").json == ["a", "a/b", "b", "é"]


def test_details_tell_how_much_was_said_and_when() -> None:
    chat = ChatClient()
    chat.fill(2)
    assert chat.get("/rooms?details=true").json == [general(2, "2026-11-23T10:00:01.623456Z")]
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
    ("query", "names", "prev", "next"),
    [
        ("limit=2", ["a", "c"], None, "after=c&limit=2"),
        ("before=e&limit=1", ["c"], "before=c&limit=1", "after=c&limit=1"),
        ("after=c&limit=9", ["e", "é/"], "before=e&limit=9", None),
        ("around=d&limit=2", ["c", "e"], "before=c&limit=2", "after=e&limit=2"),
        ("around=%C3%A9%2F&limit=1", ["é/"], "before=%C3%A9%2F&limit=1", None),
        ("before=a", [], None, None),
    ],
)
def test_a_page_of_rooms_leads_to_those_before_and_after_it(
    query: str, names: list[str], prev: str | None, next: str | None
) -> None:
    chat = ChatClient()
    for room in ("a", "c", "e", "%C3%A9%2F"):
        chat.fill(1, f"/rooms/{room}")
    page = chat.get(f"/rooms?{query}")
    assert page.json == names
    found = links(page)
    assert found.get("prev") == (prev and f"/rooms?{prev}")
    assert found.get("next") == (next and f"/rooms?{next}")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=", "after"),
        ("after=%00", "after"),
        ("after=" + "x" * 65, "after"),
        ("before=..", "before"),
        ("around=%ED%A0%80", "around"),
        ("before=a&after=b", "before, after, around"),
        ("around=a&after=b", "before, after, around"),
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


@pytest.mark.parametrize("name", ["rooms/", "static", "login", "metrics", "favicon.ico", "cluster"])
def test_a_route_has_its_name_to_itself(name: str) -> None:
    answer = ChatClient().get(f"/{name}")
    assert answer.status_code in (400, 401, 404, 405)


@pytest.mark.parametrize("name", ["%2E%2E", "%00", "a" * 65, "%E2%80%AE", "%ED%A0%80", "%F", "%GG", ""])
def test_a_name_that_is_none_is_a_4xx(name: str) -> None:
    chat = ChatClient()
    target = f"/rooms/{name}"
    answers = [chat.get(target), chat.post(target), chat.get(f"{target}/messages/1")]
    for answer in [*answers, chat.delete(target), chat.configure(None, target)]:
        assert refused(answer, 400, "RoomName") or refused(answer, 400, "path")
    assert chat.replica.proposed == []


def test_a_deleted_room_is_gone_and_counts_on_when_it_is_made_again() -> None:
    chat = ChatClient()
    chat.fill(3)
    chat.fill(1, "/rooms/other")
    answer = chat.delete()
    assert (answer.status_code, answer.data) == (204, b"")
    assert answer.headers["X-Raft-Index"] == str(FIRST_INDEX + 4)
    assert chat.get("/rooms").json == ["other"]
    page = chat.get(GENERAL)
    assert (page.json, links(page)) == ([], {})
    assert chat.get(f"{GENERAL}/messages/3").status_code == 410
    assert chat.get(f"{GENERAL}/messages/4").status_code == 404
    again = chat.post()
    assert again.json is not None
    assert again.json["Id"] == 4
    assert ids(chat.get(GENERAL)) == [4]
    assert links(chat.get(f"{GENERAL}?after=0")) == {}


@pytest.mark.parametrize("after_a_life", [False, True])
def test_a_room_that_does_not_exist_is_a_404(after_a_life: bool) -> None:
    chat = ChatClient()
    if after_a_life:
        chat.fill(1)
        assert chat.delete().status_code == 204
    assert refused(chat.delete(), 404, "RoomName")
    assert refused(chat.configure({"MaxMessages": 1}), 404, "RoomName")
    assert chat.get("/rooms").json == []


def test_retention_is_set_shown_and_taken_away() -> None:
    chat = ChatClient()
    chat.fill(5)
    answer = chat.open("PATCH", GENERAL, b'{"retention": {"maxMessages": 2}}')
    assert answer.status_code == 200
    assert answer.json == general(2, "2026-11-23T10:00:06.123456Z", 5, Retention={"MaxMessages": 2})
    assert chat.get("/rooms?details=true").json == [answer.json]
    assert ids(chat.get(GENERAL)) == [4, 5]
    chat.post()
    assert ids(chat.get(GENERAL)) == [5, 6]
    for nothing in ({"MaxMessages": None}, None):
        unbounded = chat.configure(nothing)
        assert unbounded.json is not None
        assert unbounded.json["Retention"] is None
    chat.post()
    assert ids(chat.get(GENERAL)) == [5, 6, 7]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]", "body"),
        (b"{}", "body"),
        (b'{"Topic":7}', "Topic"),
        (b'{"Topic":"' + b"x" * 251 + b'"}', "Topic"),
        (b'{"Topic":"a\\u0000"}', "Topic"),
        (b'{"Visibility":"direct","Retention":{"MaxMessages":1}}', "Visibility"),
        (b'{"Visibility":null}', "Visibility"),
        (b'{"Members":"ann"}', "Members"),
        (b'{"Members":[".."]}', "Members"),
        (b'{"Name":""}', "Name"),
        (b'{"Name":"other~abcdefgh22"}', "Name"),
        (b'{"Archived":1}', "Archived"),
        (b'{"Owner":7}', "Owner"),
        (b'{"Colour":"red"}', "body"),
        (b'{"Retention":7}', "Retention"),
        (b'{"Retention":{}}', "Retention"),
        (b'{"Retention":{"MaxMessages":1,"More":1}}', "Retention"),
        (b'{"Retention":{"MaxAgeSeconds":0}}', "MaxAgeSeconds"),
        (b'{"Retention":{"MaxMessages":1,"MaxAgeSeconds":315360001}}', "MaxAgeSeconds"),
        (b'{"Retention":{"MaxAgeSeconds":"60"}}', "MaxAgeSeconds"),
        (b'{"Retention":{"MaxMessages":0}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":-1}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":1000000001}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":true}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":1.0}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":"1"}}', "MaxMessages"),
        (b'{"Retention":{"MaxMessages":1,"maxmessages":2}}', "MaxMessages"),
        (b'{"Retention":null,"retention":null}', "Retention"),
    ],
)
def test_a_setting_that_makes_no_sense_is_a_400_that_names_it_and_nothing_is_proposed(body: bytes, field: str) -> None:
    chat = ChatClient()
    assert refused(chat.open("PATCH", GENERAL, body), 400, field)
    assert chat.replica.proposed == []


def test_a_room_keeps_posts_for_so_long_and_what_a_change_does_not_name_stays() -> None:
    chat = ChatClient()
    chat.fill(2)
    for asked, told in (
        ({"MaxAgeSeconds": 60}, {"MaxAgeSeconds": 60}),
        ({"MaxMessages": 2}, {"MaxMessages": 2, "MaxAgeSeconds": 60}),
        ({"MaxAgeSeconds": 315_360_000}, {"MaxMessages": 2, "MaxAgeSeconds": 315_360_000}),
        ({"MaxMessages": None}, {"MaxAgeSeconds": 315_360_000}),
        ({"MaxMessages": 1, "MaxAgeSeconds": None}, {"MaxMessages": 1}),
        (None, None),
    ):
        answer = chat.configure(asked)
        assert answer.json is not None
        assert answer.json["Retention"] == told
        assert chat.get("/rooms?details=true").json == [answer.json]


def test_a_change_that_a_member_would_not_know_is_a_409_and_nothing_is_proposed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(commands._LEVELS, DeleteRoom, LEVEL + 1)
    monkeypatch.setitem(commands._LEVELS, ChangeRoom, LEVEL + 1)
    chat = ChatClient()
    chat.fill(1)
    for answer in (chat.delete(), chat.configure(None)):
        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "level_too_low"
    assert len(chat.replica.proposed) == 1
    assert chat.post().status_code == 201
    chat.replica.level = LEVEL + 1
    assert chat.delete().status_code == 204


def test_a_change_without_a_quorum_is_a_503_and_one_of_unknown_outcome_a_504_that_says_to_ask_again() -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.unavailable = True
    assert chat.delete().status_code == 503
    assert chat.configure(None).headers["Retry-After"] == "1"
    chat.replica.unavailable = False
    chat.replica.loses_answers = True
    for answer in (chat.configure({"MaxMessages": 5}), chat.delete()):
        assert answer.status_code == 504
        assert answer.json is not None
        assert answer.json["code"] == "outcome_unknown"
        assert "ask again" in answer.json["detail"]
    chat.replica.loses_answers = False
    assert chat.delete().status_code == 404


def change(chat: ChatClient, body: bytes, target: str = GENERAL) -> dict[str, object]:
    """The room after a change."""
    answer = chat.open("PATCH", target, body)
    assert answer.status_code == 200, answer.json
    assert answer.json is not None
    assert chat.get(f"/rooms?details=true&around={percent_encoded(answer.json['Name'])}&limit=1").json == [answer.json]
    return dict(answer.json)


def test_a_room_is_made_without_a_post_and_stays_as_it_is_when_it_is_made_again() -> None:
    chat = ChatClient()
    made = chat.open("PUT", GENERAL, b'{"Topic": "all of us"}')
    assert (made.status_code, made.headers["Location"]) == (201, GENERAL)
    assert made.json == general(0, None, Topic="all of us")
    assert chat.get("/rooms?details=true").json == [made.json]
    for body in (b"", b'{"Topic": "another"}'):
        again = chat.open("PUT", GENERAL, body)
        assert (again.status_code, again.json) == (200, made.json)
    assert chat.open("POST", "/rooms", b'{"Name": "general"}').status_code == 200
    other = chat.open("POST", "/rooms", '{"Name": "café", "Topic": "e\u0301"}'.encode())
    assert (other.status_code, other.headers["Location"]) == (201, "/rooms/caf%C3%A9")
    assert other.json is not None
    assert other.json["Topic"] == "é"
    chat.fill(1)
    assert ids(chat.get(GENERAL)) == [1]


@pytest.mark.parametrize(
    ("method", "target", "body", "field"),
    [
        ("PUT", "/rooms/x~abcdefgh22", b"", "RoomName"),
        ("PUT", GENERAL, b"[]", "body"),
        ("PUT", GENERAL, b'{"Name":"x"}', "body"),
        ("PUT", GENERAL, b'{"Topic":7}', "Topic"),
        ("POST", "/rooms", b"", "body"),
        ("POST", "/rooms", b"{}", "Name"),
        ("POST", "/rooms", b'{"Name":"x~abcdefgh22"}', "Name"),
        ("POST", "/rooms", b'{"Name":"x","Visibility":"direct"}', "Visibility"),
        ("POST", "/rooms", b'{"Name":"' + b"x" * 54 + b'","Visibility":"private"}', "Name"),
        ("POST", "/rooms", b'{"Name":"x","Members":{}}', "Members"),
        ("POST", "/directs", b"{}", "Users"),
        ("POST", "/directs", b'{"Users":["a",7]}', "Users"),
    ],
)
def test_a_room_that_cannot_be_made_is_a_400_and_nothing_is_proposed(
    method: str, target: str, body: bytes, field: str
) -> None:
    chat = ChatClient()
    assert refused(chat.open(method, target, body), 400, field)
    assert chat.replica.proposed == []


def test_a_topic_is_set_and_taken_away_and_what_a_change_does_not_name_stays() -> None:
    chat = ChatClient()
    chat.fill(1)
    at = "2026-11-23T10:00:00.123456Z"
    assert change(chat, b'{"Topic": "plans", "Retention": {"MaxMessages": 5}}') == general(
        1, at, Topic="plans", Retention={"MaxMessages": 5}
    )
    assert change(chat, b'{"Retention": null}') == general(1, at, Topic="plans")
    assert change(chat, b'{"Topic": null}') == general(1, at)


def test_a_renamed_room_keeps_its_posts_and_is_found_by_the_names_it_had() -> None:
    chat = ChatClient()
    chat.fill(2)
    assert change(chat, b'{"Name": "lobby"}')["Aliases"] == ["general"]
    assert change(chat, b'{"Name": "hall"}', "/rooms/lobby")["Aliases"] == ["general", "lobby"]
    assert chat.get("/rooms").json == ["hall"]
    posted = chat.post(ClientId="c")
    assert posted.headers["Location"] == "/rooms/hall/messages/3"
    assert chat.post("/rooms/lobby", ClientId="c").status_code == 422, "it names another room than the first time"
    for room in ("hall", "lobby", "general"):
        assert ids(chat.get(f"/rooms/{room}")) == [1, 2, 3]
        assert chat.get(f"/rooms/{room}/messages/2").status_code == 200
    assert change(chat, b'{"Name": "general"}')["Aliases"] == ["lobby", "hall"]
    assert chat.delete("/rooms/lobby").status_code == 204
    assert chat.get("/rooms").json == []


def test_no_id_is_given_twice_under_a_name_whichever_room_has_it() -> None:
    chat = ChatClient()
    chat.fill(2)
    change(chat, b'{"Name": "lobby"}')
    chat.fill(1, "/rooms/lobby")
    assert chat.open("PUT", GENERAL).status_code == 201
    assert ids(chat.get(GENERAL)) == []
    assert chat.get(f"{GENERAL}/messages/3").status_code == 410
    again = chat.post()
    assert again.json is not None
    assert again.json["Id"] == 4
    assert ids(chat.get("/rooms/lobby")) == [1, 2, 3]
    assert "Aliases" not in change(chat, b'{"Topic": "t"}', "/rooms/lobby")


def test_the_name_that_another_room_has_had_or_was_deleted_under_is_taken() -> None:
    chat = ChatClient()
    for room in ("a", "b", "deleted", "c"):
        chat.fill(1, f"/rooms/{room}")
    chat.delete("/rooms/deleted")
    change(chat, b'{"Name": "d"}', "/rooms/c")
    before = chat.state.digest()
    for name in ("b", "deleted", "c", "d"):
        answer = chat.open("PATCH", "/rooms/a", f'{{"Name": "{name}"}}'.encode())
        assert refused(answer, 409, "Name")
        assert answer.json is not None
        assert answer.json["code"] == "name_taken"
    assert change(chat, b'{"Name": "a"}', "/rooms/a")["Name"] == "a"
    assert chat.state.digest() == before


def test_a_room_is_found_by_the_last_eight_names_it_had() -> None:
    chat = ChatClient()
    chat.fill(1, "/rooms/n0")
    for number in range(1, 10):
        changed = change(chat, f'{{"Name": "n{number}"}}'.encode(), f"/rooms/n{number - 1}")
    assert changed["Aliases"] == [f"n{number}" for number in range(1, 9)]
    assert chat.get("/rooms/n0").json == []
    assert chat.get("/rooms/n0/messages/1").status_code == 410
    assert ids(chat.get("/rooms/n1")) == [1]


def test_an_archived_room_is_read_and_not_written_until_it_is_taken_out_again() -> None:
    chat = ChatClient()
    chat.fill(1)
    assert chat.post(ClientId="c").status_code == 201
    assert change(chat, b'{"Archived": true}')["Archived"] is True
    edit = b'{"Message": "other", "User": "ann"}'
    writes = [
        chat.post(),
        chat.open("PATCH", f"{GENERAL}/messages/1", edit),
        chat.open("DELETE", f"{GENERAL}/messages/1?user=ann"),
        chat.open("PUT", f"{GENERAL}/messages/1/reactions/+?user=ann"),
        chat.open("DELETE", f"{GENERAL}/messages/1/reactions/+?user=ann"),
        chat.open("PATCH", GENERAL, b'{"Topic": "t"}'),
        chat.configure({"MaxMessages": 1}),
    ]
    for answer in writes:
        assert refused(answer, 409, "RoomName")
        assert answer.json is not None
        assert answer.json["code"] == "archived"
    assert chat.post(ClientId="c").status_code == 200, "that was said before"
    assert ids(chat.get(GENERAL)) == [1, 2]
    assert chat.get("/rooms").json == ["general"]
    change(chat, b'{"Archived": false}')
    assert chat.post().status_code == 201


def test_the_bound_on_rooms_holds_for_those_made_without_a_post() -> None:
    chat = ChatClient()
    chat.open("PATCH", "/settings", b'{"MaxRooms": 1}')
    assert chat.open("PUT", GENERAL).status_code == 201
    for answer in (chat.open("PUT", "/rooms/other"), chat.open("POST", "/rooms", b'{"Name": "other"}')):
        assert refused(answer, 409, "RoomName")
    assert chat.open("PUT", GENERAL).status_code == 200


def test_what_needs_accounts_is_a_409_in_the_open_mode() -> None:
    chat = ChatClient()
    chat.fill(1)
    for answer in (
        chat.open("PATCH", GENERAL, b'{"Visibility": "private"}'),
        chat.open("PATCH", GENERAL, b'{"Members": ["ann"]}'),
        chat.open("PATCH", GENERAL, b'{"Owner": "ann"}'),
        chat.open("POST", "/rooms", b'{"Name": "x", "Visibility": "private"}'),
        chat.open("POST", "/rooms", b'{"Name": "x", "Members": ["ann"]}'),
        chat.open("POST", "/directs", b'{"Users": ["ann", "bob"]}'),
        chat.get(f"{GENERAL}/members"),
        chat.open("PUT", f"{GENERAL}/members/ann"),
        chat.open("DELETE", f"{GENERAL}/members/ann"),
    ):
        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "open_mode"
    assert chat.get("/rooms").json == ["general"]


def test_while_a_member_knows_no_more_rooms_are_deleted_and_not_made_or_described(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(commands._LEVELS, CreateRoom, LEVEL + 1)
    monkeypatch.setitem(commands._LEVELS, ChangeRoom, LEVEL + 1)
    chat = ChatClient()
    chat.fill(1)
    for answer in (
        chat.open("PUT", "/rooms/new"),
        chat.open("PATCH", GENERAL, b'{"Topic": "t"}'),
        chat.open("PATCH", GENERAL, b'{"Topic": "t", "Retention": {"MaxMessages": 1}}'),
        chat.open("PATCH", GENERAL, b'{"Archived": true, "Retention": null}'),
    ):
        assert answer.status_code == 409
        assert answer.json is not None
        assert answer.json["code"] == "level_too_low"
    assert chat.delete().status_code == 204
