"""A post that was changed is shown as it is now: which entry of the log says so, and what JSON comes of it."""

import json

from chat.state.post_json import render_post, spliced
from chat.state.post_revisions import Revision
from chat.state.room import EventKind, PageRequest, Room
from raft.core.raft_messages import Command

TIME = 1_795_428_000_123_456  # 2026-11-23T10:00:00.123456Z
POST = '"Post":{"User":"ann","Message":"a \\"b\\"","ClientId":"c1","ReplyTo":3}}'


def room() -> Room:
    """Posts 1 to 5 lie at 10 to 14: the second was edited, the third deleted, somebody reacted to the fourth."""
    room = Room("general")
    for index in range(10, 15):
        room.append(index, TIME, 100)
    room.revise(2, Revision(version_index=20, edits=(17, 20), edited_index=20))
    room.revise(3, Revision(version_index=21, edited_index=21, deleted=True, reactions=(("+", ("ann",)),)))
    room.revise(4, Revision(reacted_index=22, reactions=(("+", ("ann", "bob")), ("\u00e9", ("bob",)))))
    return room


def rendered(body: str) -> object:
    return json.loads(render_post(Command(9, TIME + 1_000_000, body.encode()), 7))


def test_an_edit_shows_who_said_it_when_and_when_it_was_edited() -> None:
    body = f'{{"Type":"edit","By":1,"User":"ann","RoomName":"r","Id":7,"At":4,"PostedAt":{TIME},{POST}'
    assert rendered(body) == {
        "Id": 7, "User": "ann", "Message": 'a "b"', "PostedAt": "2026-11-23T10:00:00.123456Z", "ClientId": "c1",
        "ReplyTo": 3, "EditedAt": "2026-11-23T10:00:01.123456Z",
    }  # fmt: skip


def test_a_tombstone_has_no_text() -> None:
    post = '"Post":{"User":"ann","ClientId":"c1"}}'
    assert rendered(f'{{"Type":"delete","RoomName":"r","Id":7,"At":4,"PostedAt":{TIME},{post}') == {
        "Id": 7, "User": "ann", "Message": "", "PostedAt": "2026-11-23T10:00:00.123456Z", "ClientId": "c1",
        "Deleted": True,
    }  # fmt: skip


def test_a_page_names_the_entries_that_show_its_posts_now() -> None:
    page = room().page(PageRequest(), 99)
    assert page.positions == [10, 20, 21, 13, 14]
    assert spliced(page, [b"{}"] * 5)[2:] == [
        b"{}",
        '{,"Reactions":{"+":["ann","bob"],"\u00e9":["bob"]}}'.encode(),
        b"{}",
    ]
    assert spliced(page.part(4, 4), [b"{}"]) == ['{,"Reactions":{"+":["ann","bob"],"\u00e9":["bob"]}}'.encode()]
    assert room().page(PageRequest(limit=1), 99).extras == {}


def test_a_retry_is_answered_with_what_the_post_is_now() -> None:
    assert [room().version_index(id) for id in (1, 2, 3, 4)] == [10, 20, 0, 13]


def test_what_was_missed_is_each_post_as_it_is_now_and_the_last_change_of_each() -> None:
    found = [(each.log_index, each.id, each.kind, each.source) for each in sorted(room().located(11, 99, 99))]
    assert found == [
        (12, 3, EventKind.POST, 21),
        (13, 4, EventKind.POST, 13),
        (14, 5, EventKind.POST, 14),
        (20, 2, EventKind.CHANGED, 20),
        (21, 3, EventKind.CHANGED, 21),
        (22, 4, EventKind.REACTED, 13),
    ]
    assert [each.log_index for each in room().located(21, 99, 99)] == [22]
    assert [each.log_index for each in sorted(room().located(13, 20, 99))] == [14, 20]
