"""What users prefer about rooms: kept for each user and room, shown and told to that user only."""

import pytest

from chat.commands import NOBODY, OPERATOR, Actor, encode
from chat.commands.cluster import SetAuth
from chat.commands.rooms import ChangeRoom, CreateRoom, DeleteRoom, SetPreferences
from chat.state import tables as state_tables
from chat.state.accounts import ADMIN, Acting
from chat.state.events import PreferencesChanged
from chat.state.machine import ChatState
from chat.state.name_pages import NamePageRequest
from chat.state.results import Refusal, Result, RoomChanged
from chat.state.room_details import Preferences
from chat.state.room_views import room_json
from chat.state.settings import INVITE, LOGIN, OPEN
from tests.chat.people import People, new_user
from tests.support.node import Node


class Preferring(People):
    def __init__(self) -> None:
        super().__init__()
        for room in ("general", "kitchen"):
            self.do(CreateRoom(Actor(OPERATOR), room, "public"))

    def prefer(self, name: str, room: str = "general", **wish: object) -> Result:
        return self.do(SetPreferences(self.by[name], room, **wish))  # type: ignore[arg-type]

    def of(self, name: str, room: str = "general") -> Preferences | None:
        return self.state.ask(lambda tables: tables.preferences.get(room, {}).get(name))


@pytest.fixture
def chat() -> Preferring:
    return Preferring()


def test_a_users_preferences_are_changed_one_by_one_and_told_once(chat: Preferring) -> None:
    result = chat.prefer("bob", favourite=True)
    assert isinstance(result, RoomChanged)
    assert room_json(result.room)["Favourite"] is True
    assert chat.told == [PreferencesChanged(chat.index, "bob", "general", True, "")]
    chat.prefer("bob", notify="none")
    assert chat.of("bob") == Preferences(True, "none")
    told = len(chat.told)
    chat.prefer("bob", favourite=True, notify="none")
    assert len(chat.told) == told
    assert chat.of("ann") is None
    chat.prefer("bob", favourite=False, notify="")
    assert chat.state.ask(lambda tables: tables.preferences) == {}


def test_preferences_need_a_user_who_sees_the_room(chat: Preferring) -> None:
    assert chat.prefer("bob", "nowhere", favourite=True) == Refusal("no_such_room", "RoomName: there is no such room")
    for actor, code in ((Actor(NOBODY), "login_needed"), (Actor(OPERATOR), "forbidden")):
        refused = chat.do(SetPreferences(actor, "general", favourite=True))
        assert isinstance(refused, Refusal)
        assert refused.code == code
    refused = chat.prefer("bob", notify="loud")
    assert isinstance(refused, Refusal)
    assert refused.detail.startswith("Notify")
    chat.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    refused = chat.prefer("bob", favourite=True)
    assert isinstance(refused, Refusal)
    assert refused.code == "open_mode"


def test_preferences_follow_a_room_that_is_renamed_and_go_with_it(chat: Preferring) -> None:
    chat.prefer("bob", favourite=True)
    chat.do(ChangeRoom(Actor(OPERATOR), "general", name="lobby", looks="lobby"))
    assert (chat.of("bob"), chat.of("bob", "lobby")) == (None, Preferences(True))
    chat.do(DeleteRoom(Actor(OPERATOR), "lobby"))
    assert chat.state.ask(lambda tables: tables.preferences) == {}


def test_so_many_have_preferences_about_a_room_and_no_more(chat: Preferring, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_tables, "PREFERENCES_MAX", 1)
    chat.prefer("bob", favourite=True)
    refused = chat.prefer("ann", favourite=True)
    assert isinstance(refused, Refusal)
    assert refused.code == "too_many_members"
    chat.prefer("bob", notify="all")
    assert chat.of("bob") == Preferences(True, "all")


def test_a_snapshot_keeps_preferences_and_no_room_that_is_gone_has_some(chat: Preferring) -> None:
    chat.prefer("bob", favourite=True)
    chat.prefer("ann", "kitchen", notify="mentions")
    lines = [*chat.state.document()]
    restored = ChatState()
    restored.restore(chat.index, lines)
    assert restored.digest() == chat.state.digest()
    rooms = restored.rooms(NamePageRequest(limit=9), Acting("ann", ADMIN)).rooms
    assert [room_json(room).get("Notify") for room in rooms] == [None, "mentions"]
    for wrong in (b'["nowhere","bob",true,""]', b'["general","bob",false,""]', b'["general","bob",true,"loud"]'):
        changed = [line.replace(b'["general","bob",true,""]', wrong) for line in lines]
        assert changed != lines
        with pytest.raises(Exception, match="not a document"):
            ChatState().restore(chat.index, changed)


def test_preferences_are_told_to_the_users_own_devices(node: Node) -> None:
    node.replica.commit(encode(SetAuth(Actor(OPERATOR), LOGIN, INVITE)))
    for name in ("ann", "bob"):
        node.replica.commit(encode(new_user(Actor(OPERATOR), name, "member")))
    node.replica.commit(encode(CreateRoom(Actor(OPERATOR), "general", "public")))
    phone, other = node.connect_as("bob"), node.connect_as("ann")
    for client in (phone, other):
        client.subscribe()
    node.post_as("ann", message="one")
    for client in (phone, other):
        assert client.hear()["Post"]["Message"] == "one"
    by = node.state.ask(lambda tables: tables.tokens_of["bob"][0])
    node.replica.commit(encode(SetPreferences(Actor(by, "bob"), "general", True, "none")))
    told = {"Type": "Preferences", "RoomName": "general", "Favourite": True, "Notify": "none"}
    assert phone.hear() == {"Event": told}
    other.say(Action="ping")
    assert other.hear() == {"Pong": {}}
