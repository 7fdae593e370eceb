"""What one prefers about a room: a favourite, and what to be notified about."""

import pytest

from tests.chat.chat_client import GENERAL, refused
from tests.chat.login_client import LoginClient

PREFERENCES = f"{GENERAL}/preferences"


@pytest.fixture
def chat() -> LoginClient:
    chat = LoginClient()
    assert chat.say("ann").status_code == 201
    return chat


def test_the_list_of_rooms_shows_what_the_user_prefers_and_only_to_them(chat: LoginClient) -> None:
    answer = chat.ask("bob", "PATCH", PREFERENCES, {"Favourite": True, "Notify": "none"})
    assert answer.status_code == 200
    assert answer.json is not None
    assert (answer.json["Favourite"], answer.json["Notify"]) == (True, "none")
    for name, told in (("bob", (True, "none")), ("ann", (None, None))):
        rooms = chat.ask(name, target="/rooms?details=true").json
        assert rooms is not None
        assert (rooms[0].get("Favourite"), rooms[0].get("Notify")) == told
    answer = chat.ask("bob", "PATCH", PREFERENCES, {"Notify": None})
    assert answer.json is not None
    assert (answer.json["Favourite"], answer.json.get("Notify")) == (True, None)


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "body"), ({"Favourite": 1}, "Favourite"), ({"Notify": ""}, "Notify"), ({"Notify": "loud"}, "Notify"),
     ({"Notify": ["all"]}, "Notify"), ({"Colour": 1}, "body")],
)  # fmt: skip
def test_a_wrong_preference_is_refused_with_its_name(chat: LoginClient, body: dict[str, object], field: str) -> None:
    assert refused(chat.ask("bob", "PATCH", PREFERENCES, body), 400, field)
    assert chat.ask("bob", "PATCH", "/rooms/nowhere/preferences", {"Favourite": True}).status_code == 404
    assert chat.open("PATCH", PREFERENCES, b'{"Favourite": true}').status_code == 401
