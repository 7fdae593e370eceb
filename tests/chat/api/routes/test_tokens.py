"""What stands for a user: tokens for programs, and tickets for websockets."""

import json

import pytest

from chat.commands import decode
from chat.commands.accounts import CreateTicket
from chat.state.accounts import API_TOKENS_MAX
from tests.chat.chat_client import GENERAL, OPERATORS_SECRET, ChatClient, refused
from tests.chat.login_client import LoginClient, bearer, code, log_in, password
from tests.support.fake_replica import FIRST_TIME

HOUR = 3_600_000_000


def listed(chat: LoginClient, name: str, target: str = "/tokens") -> list[dict[str, object]]:
    answer = chat.ask(name, target=target)
    assert answer.status_code == 200
    assert isinstance(answer.json, list)
    return answer.json


def test_a_token_for_a_program_is_told_once_and_listed_without_its_secret() -> None:
    chat = LoginClient()
    answer = chat.ask("bob", "POST", "/tokens", {"Label": "deploy", "ExpiresIn": 60})
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    made = answer.json
    assert made is not None
    secret = made.pop("Token")
    assert made | {"CreatedAt": "", "UsedAt": ""} == {
        "Id": 5, "Kind": "api", "Label": "deploy", "CreatedAt": "", "ExpiresAt": "2026-11-23T10:01:00.123456Z",
        "UsedAt": "",
    }  # fmt: skip
    assert made["UsedAt"] == "2026-11-23T10:00:00.000000Z"
    assert [token["Id"] for token in listed(chat, "bob")] == [chat.number["bob"], 5]
    assert [token["Current"] for token in listed(chat, "bob")] == [True, False]
    assert secret not in chat.ask("bob", target="/tokens").get_data(as_text=True)
    assert chat.open("POST", GENERAL, b'{"Message":"hi"}', bearer(secret)).status_code == 201
    chat.clock.now += 60_000_000
    assert code(chat.get(GENERAL, **bearer(secret))) == (401, "bad_token")


def test_a_token_without_an_end_has_none() -> None:
    made = LoginClient().ask("bob", "POST", "/tokens", {"Label": "bot"}).json
    assert made is not None
    assert made["ExpiresAt"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "Label"), ({"Label": ""}, "Label"), ({"Label": "x" * 65}, "Label"),
        ({"Label": "x", "ExpiresIn": 59}, "ExpiresIn"),
        ({"Label": "x", "ExpiresIn": 315_360_001}, "ExpiresIn"), ({"Label": "x", "ExpiresIn": None}, "ExpiresIn"),
        ({"Label": "x", "Kind": "session"}, "body"),
    ],
)  # fmt: skip
def test_a_token_that_breaks_a_rule_is_a_400(body: dict[str, object], field: str) -> None:
    chat = LoginClient()
    assert refused(chat.ask("bob", "POST", "/tokens", body), 400, field)
    assert chat.replica.proposed == []


def test_a_user_has_so_many_tokens_of_programs_and_still_signs_in() -> None:
    chat = LoginClient()
    for _ in range(API_TOKENS_MAX):
        assert chat.ask("bob", "POST", "/tokens", {"Label": "bot"}).status_code == 201
    assert code(chat.ask("bob", "POST", "/tokens", {"Label": "bot"})) == (409, "too_many_tokens")
    assert log_in(chat, "bob", password("bob")).status_code == 200


def test_a_revoked_token_is_good_for_nothing() -> None:
    chat = LoginClient()
    made = chat.ask("bob", "POST", "/tokens", {"Label": "bot"}).json
    assert made is not None
    assert chat.ask("bob", "DELETE", f"/tokens/{made['Id']}").status_code == 204
    assert code(chat.get(GENERAL, **bearer(made["Token"]))) == (401, "bad_token")
    assert code(chat.ask("bob", "DELETE", f"/tokens/{made['Id']}")) == (404, "not_found")
    assert refused(chat.ask("bob", "DELETE", "/tokens/x"), 400, "Id")


def test_anothers_tokens_are_an_admins_to_see_and_revoke() -> None:
    chat = LoginClient()
    eves = chat.number["eve"]
    assert code(chat.ask("bob", target="/tokens?user=eve")) == (403, "forbidden")
    assert code(chat.ask("bob", target="/tokens?user=nobody")) == (403, "forbidden")
    assert code(chat.ask("bob", "DELETE", f"/tokens/{eves}")) == (404, "not_found")
    assert chat.ask("eve").status_code == 200
    assert [token["Id"] for token in listed(chat, "ann", "/tokens?user=eve")] == [eves]
    assert code(chat.ask("ann", target="/tokens?user=nobody")) == (404, "no_such_user")
    assert chat.ask("ann", "DELETE", f"/tokens/{eves}").status_code == 204
    assert code(chat.ask("eve")) == (401, "bad_token")
    operators = chat.get("/tokens?user=bob", **bearer(OPERATORS_SECRET)).json
    assert operators is not None
    assert [token["Id"] for token in operators] == [chat.number["bob"]]


def test_a_ticket_is_good_for_an_hour_and_the_token_that_asked_for_it() -> None:
    chat = LoginClient()
    answer = chat.ask("bob", "POST", "/ws-ticket")
    assert answer.status_code == 201
    assert answer.json is not None
    assert answer.json["Ticket"].startswith("rt_")
    assert answer.json["ExpiresAt"] == "2026-11-23T11:00:00.123456Z"
    command = decode(chat.replica.proposed[0])
    assert isinstance(command, CreateTicket)
    assert (command.actor.by, command.expires_at) == (chat.number["bob"], FIRST_TIME + HOUR)
    assert answer.json["Ticket"].encode() not in chat.replica.proposed[0]
    assert code(chat.get(GENERAL, **bearer(answer.json["Ticket"]))) == (401, "bad_token")


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/tokens", None), ("POST", "/tokens", {"Label": "x"}), ("DELETE", "/tokens/1", None),
        ("POST", "/ws-ticket", None),
    ],
)  # fmt: skip
def test_nobody_has_tokens_and_in_the_open_mode_there_are_none(method: str, target: str, body: object) -> None:
    data = b"" if body is None else json.dumps(body).encode()
    chat = LoginClient()
    assert code(chat.open(method, target, data)) == (401, "login_needed")
    assert chat.replica.proposed == []
    assert code(ChatClient().open(method, target, data)) == (409, "open_mode")
