"""How far one has read, who is mentioned, and what the list of rooms tells of that."""

from typing import Any

import pytest

from chat.commands import OPERATOR, Actor, decode
from chat.commands.cluster import SetAuth
from chat.commands.posts import MarkRead, MarkUnread, Post
from chat.services.maintenance import MARKS, MARKS_EVERY_S, Maintenance
from chat.state.settings import INVITE, OPEN
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, refused
from tests.chat.login_client import LoginClient, bearer, code


class Reading(LoginClient):
    """With maintenance, whose clock is the test's."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.maintenance = Maintenance(
            self.replica, self.state, lambda: self.now_s, pending_markers=self.pending_markers
        )

    def mark(self, name: str, id: object, room: str = GENERAL) -> int:
        return self.ask(name, "PUT", f"{room}/read", {"Id": id}).status_code

    def kept(self) -> list[object]:
        """What maintenance proposes at its next look."""
        before = len(self.replica.proposed)
        self.maintenance.step()
        return [decode(body) for body in self.replica.proposed[before:]]

    def room(self, name: str) -> dict[str, Any]:
        """What the list says of the first room to who asks."""
        answer = self.ask(name, target="/rooms?details=true")
        assert answer.json is not None
        found: dict[str, Any] = answer.json[0]
        return found


@pytest.fixture
def chat() -> Reading:
    return Reading()


def test_what_is_unread_and_mentions_stand_in_the_list_of_rooms(chat: Reading) -> None:
    for text in ("hi", "hello @bob", "@nobody and @eve"):
        assert chat.say("ann", Message=text).status_code == 201
    assert chat.room("ann")["Unread"] == 3, "the room is hers, and she has not marked what she said"
    assert chat.mark("bob", 1) == 202
    assert chat.room("bob")["ReadId"] == 1, "the mention made a reader of him"
    chat.maintenance.step()
    told = chat.room("bob")
    assert (told["ReadId"], told["Unread"], told["Mentions"]) == (1, 2, 1)
    chat.mark("bob", 3)
    chat.now_s += MARKS_EVERY_S
    chat.maintenance.step()
    told = chat.room("bob")
    assert (told["ReadId"], told["Unread"], told["Mentions"]) == (3, 0, 0)
    told = chat.room("eve")
    assert (told["ReadId"], told["Unread"], told["Mentions"]) == (2, 1, 1)


def test_a_message_names_in_its_command_whom_it_mentions_and_readers_are_shown_none_of_that(chat: Reading) -> None:
    answer = chat.say("ann", Message="@bob @room @zoe")
    assert answer.json is not None
    assert answer.json.keys() == {"Id", "User", "Message", "PostedAt", "ClientId"}
    post = decode(chat.replica.proposed[-1])
    assert isinstance(post, Post)
    assert post.mentions == ("bob", "@room")
    again = chat.say("ann", Message="@bob @room @zoe", ClientId=answer.json["ClientId"])
    assert (again.status_code, again.json) == (200, answer.json)


def test_however_often_somebody_marks_the_log_has_one_command_in_five_seconds(chat: Reading) -> None:
    for id in range(1, 31):
        chat.say("ann")
        chat.mark("bob", id)
        chat.mark("eve", id)
    assert chat.kept() == [MarkRead(((chat.number["bob"], "general", 30), (chat.number["eve"], "general", 30)))]
    chat.say("ann")
    chat.mark("bob", 31)
    assert chat.kept() == []
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == [MarkRead(((chat.number["bob"], "general", 31),))]
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == []


def test_marking_unread_is_told_before_what_was_read_and_only_where_it_changes_something(chat: Reading) -> None:
    for id in (1, 2, 3):
        chat.say("ann")
        chat.mark("bob", id)
    assert len(chat.kept()) == 1
    unread = {"Id": 2, "Unread": True}
    assert chat.ask("bob", "PUT", f"{GENERAL}/read", unread).status_code == 202
    assert chat.ask("gus", "PUT", f"{GENERAL}/read", unread).status_code in (202, 404)
    chat.mark("eve", 3)
    assert chat.kept() == []
    chat.now_s += MARKS_EVERY_S
    back = MarkUnread(((chat.number["bob"], "general", 2),))
    assert [*chat.kept(), *chat.kept()] == [back, MarkRead(((chat.number["eve"], "general", 3),))]
    chat.ask("bob", "PUT", f"{GENERAL}/read", unread)
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == []
    assert refused(chat.ask("bob", "PUT", f"{GENERAL}/read", {"Id": 1, "Unread": 1}), 400, "Unread")


def test_marking_unread_that_failed_is_told_later(chat: Reading) -> None:
    chat.say("ann")
    chat.mark("bob", 1)
    chat.kept()
    chat.ask("bob", "PUT", f"{GENERAL}/read", {"Id": 1, "Unread": True})
    chat.now_s += MARKS_EVERY_S
    chat.replica.unavailable = True
    assert chat.kept() == []
    chat.replica.unavailable = False
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == [MarkUnread(((chat.number["bob"], "general", 1),))]


def test_a_member_that_does_not_lead_tells_it_too(chat: Reading) -> None:
    chat.say("ann")
    chat.mark("bob", 1)
    chat.replica.leads = False
    assert len(chat.kept()) == 1


def test_what_could_not_be_told_is_told_later(chat: Reading) -> None:
    chat.say("ann")
    chat.mark("bob", 1)
    chat.replica.unavailable = True
    assert chat.kept() == []
    chat.replica.unavailable = False
    chat.now_s += MARKS_EVERY_S
    assert len(chat.kept()) == 1


def test_a_step_has_so_many_and_the_rest_comes_with_the_next(chat: Reading) -> None:
    for number in range(MARKS + 1):
        chat.do(Post(f"r{number}", "ann", "hi", f"r{number}", by=chat.number["ann"]))
        chat.monotonic.now += 1  # a token may not change so much at once
        chat.mark("bob", 1, f"/rooms/r{number}")
    (first,) = chat.kept()
    assert isinstance(first, MarkRead)
    assert len(first.marks) == MARKS
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == [MarkRead(((chat.number["bob"], f"r{MARKS}", 1),))]


def test_the_log_is_not_told_what_changes_nothing_and_that_holds_up_nobody(chat: Reading) -> None:
    for number in range(2 * MARKS):
        chat.mark("gus", 1, f"/rooms/nowhere{number}")
    chat.say("ann")
    for name, id in (("gus", 1), ("eve", 2), ("bob", 1)):
        chat.mark(name, id)
    assert chat.kept() == [MarkRead(((chat.number["bob"], "general", 1),))]
    chat.mark("bob", 1)
    chat.now_s += MARKS_EVERY_S
    assert chat.kept() == []


@pytest.mark.parametrize("body", [{}, {"Id": 0}, {"Id": "1"}, {"Id": True}, {"Id": 1.5}])
def test_what_is_no_mark_is_a_400_that_names_the_field(chat: Reading, body: object) -> None:
    assert refused(chat.ask("bob", "PUT", f"{GENERAL}/read", body), 400, "Id")
    assert refused(chat.ask("bob", "PUT", f"{GENERAL}/read", {"Id": 1, "User": "bob"}), 400, "body")
    assert chat.pending_markers.take(9) == ()


def test_only_users_mark() -> None:
    chat = Reading()
    assert code(chat.open("PUT", f"{GENERAL}/read", b'{"Id": 1}')) == (401, "login_needed")
    assert code(chat.open("PUT", f"{GENERAL}/read", b'{"Id": 1}', bearer(OPERATORS_SECRET))) == (403, "forbidden")
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    assert code(chat.open("PUT", f"{GENERAL}/read", b'{"Id": 1}')) == (409, "open_mode")
    assert chat.pending_markers.take(9) == ()


def test_a_room_that_one_does_not_see_is_marked_by_nobody(chat: Reading) -> None:
    """And answered as one that is not there; or marks of rooms that are not there would drive out everybody's."""
    chat.say("ann")
    for room in ("/rooms/general", "/rooms/nothing"):  # a guest sees no public room
        assert code(chat.ask("gus", "PUT", f"{room}/read", {"Id": 1})) == (404, "not_found")
    assert chat.kept() == []
