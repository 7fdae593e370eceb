"""The mode: by whom it is set, and what it makes of what there is."""

import pytest

from chat.commands import NOBODY, OPERATOR, Actor, Post
from chat.commands.cluster import SetAuth
from chat.commands.rooms import CreateRoom
from chat.state.events import AuthChanged
from chat.state.results import Posted, RoomMade, SettingsChanged
from chat.state.room_details import PRIVATE
from chat.state.settings import INVITE, LOGIN, OPEN, Settings
from tests.chat.people import Chat, People

SECRET = "secret~abcdefgh22"


def test_the_mode_is_the_operators_to_say_and_everybody_is_told() -> None:
    chat = Chat()
    assert chat.refusal(SetAuth(Actor(NOBODY, "ann"), LOGIN, INVITE)) == "forbidden"
    assert chat.made(SetAuth(Actor(OPERATOR), LOGIN, OPEN), SettingsChanged).settings == Settings(LOGIN, OPEN)
    chat.made(SetAuth(Actor(OPERATOR), LOGIN, INVITE), SettingsChanged)
    assert chat.told == [AuthChanged(chat.index - 1)]
    assert chat.refusal(Post("general", "ann", "hi", "c")) == "login_needed"
    people = People()
    assert people.refusal(SetAuth(people.by["ann"], OPEN, OPEN)) == "forbidden"


@pytest.mark.parametrize(("auth", "signup"), [("closed", OPEN), (OPEN, "closed"), ("", ""), (INVITE, LOGIN)])
def test_there_are_two_modes_and_two_ways_to_sign_up(auth: str, signup: str) -> None:
    assert Chat().refusal(SetAuth(Actor(OPERATOR), auth, signup)) == "invalid_field"


def test_back_in_the_open_mode_names_are_taken_on_trust_and_private_rooms_stay_closed() -> None:
    people = People()
    people.made(CreateRoom(people.by["bob"], SECRET, PRIVATE), RoomMade)
    people.made(Post(SECRET, "bob", "hi", "c", by=2), Posted)
    people.made(SetAuth(Actor(OPERATOR), OPEN, INVITE), SettingsChanged)
    people.made(Post("general", "bob", "hi", "c2"), Posted)
    assert people.refusal(Post(SECRET, "bob", "hi", "c3")) == "no_such_room"
