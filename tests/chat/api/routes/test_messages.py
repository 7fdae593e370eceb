"""Posting to a room and reading what was said there."""

import json
from collections.abc import Sequence
from functools import partial
from threading import Thread

import pytest
from werkzeug.test import TestResponse

from chat.api.request import BODY_BYTES_MAX
from chat.state.name_pages import NamePageRequest
from raft.core.raft_messages import Command
from tests.chat.chat_client import GENERAL, ChatClient, ids, links, refused
from tests.support.fake_replica import FIRST_INDEX, FIRST_TIME


def test_a_post_is_answered_with_the_post_where_it_is() -> None:
    chat = ChatClient()
    answer = chat.post(ClientId="c1")
    assert answer.status_code == 201
    assert answer.headers["Location"] == "/rooms/general/messages/1"
    assert answer.headers["X-Raft-Index"] == str(FIRST_INDEX)
    assert answer.content_type == "application/json"
    assert answer.json == {
        "Id": 1,
        "User": "ann",
        "Message": "hi",
        "PostedAt": "2026-11-23T10:00:00.123456Z",
        "ClientId": "c1",
    }
    assert chat.get(GENERAL).json == [answer.json]
    assert chat.get(answer.headers["Location"]).json == answer.json


def test_the_body_is_json_whatever_its_type_and_the_case_of_its_members() -> None:
    chat = ChatClient()
    form = {"CONTENT_TYPE": "application/x-www-form-urlencoded"}
    answer = chat.open("POST", GENERAL, b'{"message": "hello", "USER": "ann", "Unknown": [1, {"a": null}]}', form)
    assert answer.status_code == 201
    assert answer.json is not None
    assert (answer.json["Message"], answer.json["User"]) == ("hello", "ann")
    assert answer.json["ClientId"]


def test_a_repeat_is_answered_200_with_the_first_post() -> None:
    chat = ChatClient()
    first, other, repeat = chat.post(ClientId="c1"), chat.post(), chat.post(ClientId="c1")
    assert other.status_code == 201
    assert repeat.status_code == 200
    assert repeat.data == first.data
    assert repeat.headers["Location"] == first.headers["Location"]
    assert ids(chat.get(GENERAL)) == [1, 2]


def test_a_client_id_of_another_post_is_a_422() -> None:
    chat = ChatClient()
    chat.post(ClientId="c1")
    assert refused(chat.post(ClientId="c1", Message="other"), 422, "ClientId")
    assert refused(chat.post("/rooms/other", ClientId="c1"), 422, "ClientId")
    assert refused(chat.post(ClientId="c1", ReplyTo=1), 422, "ClientId")
    assert chat.post(ClientId="c1", User="bob").status_code == 201


def test_a_reply_names_a_post_of_its_room() -> None:
    chat = ChatClient()
    chat.fill(1)
    answer = chat.post(ReplyTo=1)
    assert answer.json is not None
    assert answer.json["ReplyTo"] == 1
    assert refused(chat.post(ReplyTo=3), 422, "ReplyTo")
    assert refused(chat.post("/rooms/other", ReplyTo=1), 422, "ReplyTo")


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"User": ""}, "User"),
        ({"User": "x" * 65}, "User"),
        ({"User": ".."}, "User"),
        ({"User": "a\u202eb"}, "User"),
        ({"User": None}, "User"),
        ({"Message": ""}, "Message"),
        ({"Message": "x" * 8_001}, "Message"),
        ({"Message": "\ud800"}, "Message"),
        ({"Message": ["x"]}, "Message"),
        ({"message": "again"}, "Message"),
        ({"ClientId": ""}, "ClientId"),
        ({"ClientId": "x" * 129}, "ClientId"),
        ({"ReplyTo": 0}, "ReplyTo"),
        ({"ReplyTo": True}, "ReplyTo"),
        ({"ReplyTo": 10**30}, "ReplyTo"),
    ],
)
def test_a_wrong_field_is_a_400_and_nothing_is_proposed(members: dict[str, object], field: str) -> None:
    chat = ChatClient()
    assert refused(chat.post(**members), 400, field)
    assert chat.replica.proposed == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"Message":NaN}',
        b'{"x":"a","x":"b"}',
        b"[" * 99_999,
        b'{"a":' + b"1" * 9_999 + b"}",
    ],
)
def test_a_body_that_is_no_json_object_is_a_400_and_nothing_is_proposed(body: bytes) -> None:
    chat = ChatClient()
    assert refused(chat.raw(body), 400, "body")
    assert chat.replica.proposed == []


def test_a_body_has_128_kib_at_most() -> None:
    chat = ChatClient()
    body = json.dumps({"Message": "hi", "User": "ann"}).encode()
    assert chat.raw(body.ljust(BODY_BYTES_MAX)).status_code == 201
    assert refused(chat.raw(body.ljust(BODY_BYTES_MAX + 1)), 413, "body")
    assert refused(chat.open("POST", GENERAL, b"x", {"CONTENT_LENGTH": "9" * 5_000}), 413, "body")


def test_a_body_of_unknown_length_is_read_to_its_end() -> None:
    chat = ChatClient()
    chunked = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    body = json.dumps({"Message": "hi", "User": "ann"}).encode()
    assert chat.open("POST", GENERAL, body, chunked).status_code == 201
    assert refused(chat.open("POST", GENERAL, body.ljust(BODY_BYTES_MAX + 1), chunked), 413, "body")


@pytest.mark.parametrize("length", ["-1", "+5", "5_0", "\u0665", "x", "1000"])
def test_a_length_that_is_wrong_is_a_400(length: str) -> None:
    chat = ChatClient()
    answer = chat.open("POST", GENERAL, b'{"Message":"hi","User":"ann"}', {"CONTENT_LENGTH": length})
    assert answer.status_code == 400
    assert chat.replica.proposed == []


def test_without_a_quorum_a_post_is_a_503_and_a_stale_read_answers() -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.unavailable = True
    answer = chat.post()
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    assert chat.get(GENERAL).status_code == 503
    assert ids(chat.get(f"{GENERAL}?consistency=stale")) == [1]


def test_an_unknown_outcome_is_a_504_that_names_the_client_id() -> None:
    chat = ChatClient()
    chat.replica.loses_answers = True
    answer = chat.post()
    assert answer.status_code == 504
    assert answer.json is not None
    assert answer.json["code"] == "outcome_unknown"
    chat.replica.loses_answers = False
    assert chat.post(ClientId=answer.json["ClientId"]).status_code == 200
    assert ids(chat.get(GENERAL)) == [1]


def test_an_unknown_room_has_no_posts() -> None:
    answer = ChatClient().get("/rooms/unknown")
    assert answer.json == []
    assert links(answer) == {}


def test_the_newest_page_is_read_by_default_and_links_to_older_posts() -> None:
    chat = ChatClient()
    chat.fill(120)
    newest = chat.get(GENERAL)
    assert ids(newest) == list(range(21, 121))
    assert links(newest) == {"prev": "/rooms/general?before=21&limit=100"}
    oldest = chat.get(links(newest)["prev"])
    assert ids(oldest) == list(range(1, 21))
    assert links(oldest) == {"next": "/rooms/general?after=20&limit=100"}


def test_a_page_is_asked_for_by_a_post_it_lies_before_after_or_around() -> None:
    chat = ChatClient()
    chat.fill(10)
    assert ids(chat.get(f"{GENERAL}?before=5&limit=2")) == [3, 4]
    assert ids(chat.get(f"{GENERAL}?after=5&limit=2")) == [6, 7]
    assert ids(chat.get(f"{GENERAL}?around=5&limit=3")) == [4, 5, 6]
    assert ids(chat.get(f"{GENERAL}?before=1")) == []
    assert ids(chat.get(f"{GENERAL}?after=10")) == []
    assert set(links(chat.get(f"{GENERAL}?around=5&limit=3"))) == {"prev", "next"}


def test_a_page_is_asked_for_by_a_time() -> None:
    chat = ChatClient()
    for hour in range(8):  # 10:00 to 17:00 UTC
        chat.replica.now = FIRST_TIME + hour * 3_600_000_000
        chat.fill(1)
    found = {
        "2026-11-23": [1, 2, 3],
        "2026-11-23T12:30:00Z": [3, 4, 5],
        "2026-11-23t13:00:00.123456z": [3, 4, 5],
        "2026-11-23T13:00:00.123457Z": [4, 5, 6],
        "2026-11-23T15:30:00%2B02:00": [4, 5, 6],
        "2026-11-24": [6, 7, 8],
        "9999-12-31": [6, 7, 8],
    }
    assert {at: ids(chat.get(f"{GENERAL}?at={at}&limit=3")) for at in found} == found
    assert set(links(chat.get(f"{GENERAL}?at=2026-11-23T12:30:00Z&limit=3"))) == {"prev", "next"}
    assert ids(chat.get("/rooms/nowhere?at=2026-11-23")) == []


def test_a_link_keeps_the_limit_and_the_consistency() -> None:
    chat = ChatClient()
    chat.fill(3)
    target = links(chat.get(f"{GENERAL}?after=0&limit=1&consistency=stale"))["next"]
    assert target == "/rooms/general?after=1&limit=1&consistency=stale"


@pytest.mark.parametrize("start", ["?before=26", "?after=25", "?around=25"])
def test_walking_by_links_meets_every_post_once_while_posts_arrive(start: str) -> None:
    chat = ChatClient()
    chat.fill(50)
    seen: list[int] = []
    first = chat.get(f"{GENERAL}{start}&limit=7")
    seen += ids(first)
    for direction in ("prev", "next"):
        page = first
        while target := links(page).get(direction):
            if len(seen) < 80:
                chat.post()
            page = chat.get(target)
            seen += ids(page)
    assert sorted(seen) == list(range(1, len(seen) + 1))
    assert len(seen) == chat.state.rooms(NamePageRequest(1))[1][0].posts > 50


@pytest.mark.parametrize("start", ["?before=451", "?after=0", "?around=17", "?around=225", "?around=450", "?"])
def test_a_page_of_more_than_may_be_in_one_ends_early_and_links_lead_on(
    start: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = ChatClient()
    chat.fill(450)
    whole = len(chat.get(f"{GENERAL}?limit=450").data)
    monkeypatch.setattr("chat.services.post_cache.PAGE_BYTES_MAX", whole // 3)
    monkeypatch.setattr("chat.services.post_cache.PIECE_POSTS", 10)
    first = chat.get(f"{GENERAL}{start}&limit=450")
    assert whole // 6 <= len(first.data) < whole // 2
    assert ids(first) == list(range(ids(first)[0], ids(first)[-1] + 1))
    if "around" in start:
        assert int(start.partition("=")[2]) in ids(first)
    else:
        assert (1 if "after" in start else 450) in ids(first)
    seen = ids(first)
    for direction in ("prev", "next"):
        page = first
        while target := links(page).get(direction):
            page = chat.get(target)
            assert len(page.data) < whole // 2
            seen += ids(page)
    assert sorted(seen) == list(range(1, 451))


def test_half_of_a_page_that_ends_early_lies_before_the_post_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    chat = ChatClient()
    chat.fill(450)
    monkeypatch.setattr("chat.services.post_cache.PAGE_BYTES_MAX", len(chat.get(f"{GENERAL}?limit=450").data) // 3)
    monkeypatch.setattr("chat.services.post_cache.PIECE_POSTS", 10)
    page = ids(chat.get(f"{GENERAL}?around=225&limit=450"))
    assert abs((page[0] + page[-1]) // 2 - 225) <= 10


def test_a_thousand_posts_of_a_usual_length_are_one_page() -> None:
    chat = ChatClient()
    for number in range(1, 1_001):
        chat.post(Message=f"{number} " + "x" * 3_000)
    assert ids(chat.get(f"{GENERAL}?limit=1000")) == list(range(1, 1_001))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=1", "limit"),
        ("limit=%31%FF", "limit"),
        ("limit=%zz", "limit"),
        ("before=-1", "before"),
        ("before=+1", "before"),
        ("after=1_0", "after"),
        ("around=%D9%A5", "around"),
        ("after=99999999999999999999", "after"),
        ("before=3&after=1", "before, after, around, at"),
        ("after=1&around=1", "before, after, around, at"),
        ("after=1&at=2026-11-23", "before, after, around, at"),
        ("at=", "at"),
        ("at=yesterday", "at"),
        ("at=2026-11-23T10:00:00", "at"),  # of which offset?
        ("at=2026-02-30", "at"),
        ("consistency=fresh", "consistency"),
        ("min_index=x", "min_index"),
    ],
)
def test_a_wrong_parameter_is_a_400_that_names_it_and_nothing_is_read(query: str, field: str) -> None:
    chat = ChatClient()
    chat.fill(3)
    assert refused(chat.get(f"{GENERAL}?{query}"), 400, field)
    assert chat.replica.reads == 0


def test_an_unknown_parameter_is_ignored() -> None:
    chat = ChatClient()
    chat.fill(2)
    assert ids(chat.get(f"{GENERAL}?limits=0&%FF=%zz&&limit=%31")) == [2]


def test_one_post_is_read_by_its_id() -> None:
    chat = ChatClient()
    chat.fill(3)
    answer = chat.get(f"{GENERAL}/messages/2")
    assert answer.json is not None
    assert (answer.json["Id"], answer.json["Message"]) == (2, "m2")
    assert refused(chat.get(f"{GENERAL}/messages/4"), 404, "Id")
    assert refused(chat.get("/rooms/unknown/messages/1"), 404, "Id")
    for wrong in ("0", "x", "-1", "1.0", ""):
        assert refused(chat.get(f"{GENERAL}/messages/{wrong}"), 400, "Id")


def test_a_post_that_is_gone_is_a_410_and_one_that_never_was_a_404() -> None:
    chat = ChatClient()
    chat.fill(4)
    chat.configure({"MaxMessages": 2})
    for id, status in {1: 410, 2: 410, 3: 200, 4: 200, 5: 404}.items():
        assert chat.get(f"{GENERAL}/messages/{id}").status_code == status
    gone = chat.get(f"{GENERAL}/messages/1")
    assert refused(gone, 410, "Id")
    assert gone.json is not None
    assert gone.json["code"] == "gone"


def test_pages_begin_with_the_first_post_that_is_left_and_no_link_leads_before_it() -> None:
    chat = ChatClient()
    chat.fill(10)
    chat.configure({"MaxMessages": 4})
    assert ids(chat.get(f"{GENERAL}?after=0&limit=2")) == [7, 8]
    assert links(chat.get(f"{GENERAL}?after=0&limit=2")) == {"next": "/rooms/general?after=8&limit=2"}
    assert ids(chat.get(f"{GENERAL}?before=8")) == [7]
    assert set(links(chat.get(f"{GENERAL}?before=8"))) == {"next"}
    assert ids(chat.get(f"{GENERAL}?before=3&limit=2")) == []
    assert links(chat.get(f"{GENERAL}?before=3&limit=2")) == {"next": "/rooms/general?after=6&limit=2"}
    assert ids(chat.get(f"{GENERAL}?around=2&limit=2")) == [7, 8]
    newest = chat.get(f"{GENERAL}?limit=3")
    assert ids(newest) == [8, 9, 10]
    assert ids(chat.get(links(newest)["prev"])) == [7]


def test_a_retry_of_a_post_that_is_gone_is_a_410_and_makes_none() -> None:
    chat = ChatClient()
    chat.post(ClientId="c1")
    chat.fill(2)
    for let_go in (partial(chat.configure, {"MaxMessages": 1}), chat.delete, lambda: chat.replica.gone.add(3)):
        let_go()
        assert refused(chat.post(ClientId="c1"), 410, "ClientId")
        assert 1 not in ids(chat.get(GENERAL))
    assert chat.get("/rooms").json == []


def test_a_post_that_leaves_the_log_between_locating_and_reading_is_left_out_of_the_page() -> None:
    chat = ChatClient()
    chat.fill(4)
    read = chat.replica.commands

    def commands_after_a_compaction(indexes: Sequence[int]) -> list[Command]:
        if not chat.replica.gone:
            chat.configure({"MaxMessages": 2})
            chat.replica.gone = {FIRST_INDEX, FIRST_INDEX + 1}
        return read(indexes)

    chat.replica.commands = commands_after_a_compaction  # type: ignore[method-assign]
    page = chat.get(f"{GENERAL}?before=4")
    assert ids(page) == [3]
    assert set(links(page)) == {"next"}
    chat.replica.gone = set()
    chat.post()
    assert chat.get(f"{GENERAL}/messages/3").status_code == 410


def test_a_log_that_lacks_what_the_state_has_is_a_503() -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.gone = {FIRST_INDEX}
    for target in (GENERAL, f"{GENERAL}/messages/1"):
        answer = chat.get(target)
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "1"


def test_a_read_asks_the_cluster_unless_it_may_be_stale() -> None:
    chat = ChatClient()
    for target in (GENERAL, "/rooms", "/rooms?consistency=linearizable"):
        chat.get(target)
    assert chat.replica.reads == 3
    chat.get("/rooms?consistency=stale")
    assert chat.replica.reads == 3


def test_a_read_waits_for_the_index_it_is_to_have() -> None:
    chat = ChatClient()
    chat.fill(1)
    poster = Thread(target=chat.fill, args=[1])
    chat.replica.on_wait = poster.start
    reached = chat.replica.leader_index = FIRST_INDEX + 1
    answer = chat.get(f"{GENERAL}?min_index={reached}")
    poster.join(10)
    assert ids(answer) == [1, 2]
    assert answer.headers["X-Raft-Index"] == str(reached)


def test_an_index_that_does_not_come_is_a_503() -> None:
    chat = ChatClient()
    chat.replica.leader_index = 99
    for consistency in ("stale", "linearizable"):
        answer = chat.get(f"{GENERAL}?min_index=99&consistency={consistency}")
        assert refused(answer, 503, "min_index")
        assert answer.headers["Retry-After"] == "1"
    assert refused(chat.open("POST", f"{GENERAL}?min_index=99", b"{}"), 503, "min_index")
    assert chat.replica.proposed == []


@pytest.mark.parametrize("index", ["99", "ab12-3", "ab12-99"])
def test_an_index_of_a_history_that_is_lost_starts_over_at_once(index: str) -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.proposed.clear()
    answers = [chat.get(f"{GENERAL}?min_index={index}&consistency={how}") for how in ("stale", "linearizable")]
    answers.append(chat.open("POST", f"{GENERAL}?min_index={index}", b'{"User": "ann", "Message": "hi"}'))
    answers.append(chat.open("DELETE", f"{GENERAL}?min_index={index}", b""))
    for answer in answers:
        assert refused(answer, 410, "min_index")
        assert json.loads(answer.data)["code"] == "start_over"
    assert chat.replica.proposed == []


@pytest.mark.parametrize("how", ["stale", "post"])
def test_an_index_that_is_reached_here_needs_no_leader(how: str) -> None:
    chat = ChatClient()
    chat.fill(1)
    ahead = chat.replica.last_applied + 1
    chat.replica.leader_index = 99
    poster = Thread(target=chat.fill, args=[1])
    chat.replica.on_wait = lambda: None if poster.ident else poster.start()
    if how == "stale":
        assert ids(chat.get(f"{GENERAL}?min_index={ahead}&consistency=stale")) == [1, 2]
    else:
        posted = chat.open("POST", f"{GENERAL}?min_index={ahead}", b'{"User": "ann", "Message": "hi"}')
        assert json.loads(posted.data)["Id"] == 3
    poster.join(10)


def test_an_index_carries_the_generation() -> None:
    chat = ChatClient()
    chat.fill(1)
    chat.replica.generation = "ab12"
    index = chat.get(GENERAL).headers["X-Raft-Index"]
    assert index == f"ab12-{FIRST_INDEX}"
    assert ids(chat.get(f"{GENERAL}?min_index={index}&consistency=stale")) == [1]
    assert json.loads(chat.get(f"{GENERAL}?min_index={FIRST_INDEX}").data)["code"] == "start_over"
    assert chat.get(f"{GENERAL}?min_index=0").status_code == 200
    posted = chat.open("POST", f"{GENERAL}?min_index={index}", b'{"User": "ann", "Message": "hi"}')
    assert posted.headers["X-Raft-Index"] == f"ab12-{FIRST_INDEX + 1}"


def keyed(chat: ChatClient, key: str, **members: object) -> TestResponse:
    body = json.dumps({"User": "ann", "Message": "hi"} | members).encode()
    return chat.open("POST", GENERAL, body, {"HTTP_IDEMPOTENCY_KEY": key})


def test_an_idempotency_key_is_a_client_id() -> None:
    chat = ChatClient()
    first = keyed(chat, "k-1")
    assert first.status_code == 201
    assert first.json is not None
    assert first.json["ClientId"] == "k-1"
    for repeat in (
        keyed(chat, "k-1"),
        keyed(chat, '"k-1"'),
        keyed(chat, "k-1", clientid="k-1"),
        chat.post(ClientId="k-1"),
    ):
        assert (repeat.status_code, repeat.json) == (200, first.json)
    assert refused(keyed(chat, "k-1", Message="other"), 422, "ClientId")
    assert len(chat.replica.proposed) == 6


@pytest.mark.parametrize(
    ("key", "members"),
    [("", {}), ('""', {}), ("x" * 129, {}), ("\xe9", {}), ("k", {"ClientId": "c"}), ("k", {"CLIENTID": None})],
)
def test_a_key_that_is_none_or_not_the_client_id_is_a_400(key: str, members: dict[str, object]) -> None:
    chat = ChatClient()
    assert refused(keyed(chat, key, **members), 400, "Idempotency-Key")
    assert chat.replica.proposed == []
