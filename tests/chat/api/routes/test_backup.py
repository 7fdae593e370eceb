"""`GET /backup`: who gets it, whole and in parts, and what is said when there is none yet."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest

from chat.api.routes.backup import CONTENT_TYPE, _Pieces
from chat.commands import OPERATOR, Actor
from chat.commands.cluster import SetAuth
from chat.replica import STALE_S_MAX
from chat.state.accounts import ADMIN
from chat.state.settings import INVITE, OPEN
from tests.chat.api.routes.test_metrics import LOCAL
from tests.chat.chat_client import OPERATORS_SECRET, ChatClient
from tests.chat.login_client import LoginClient, bearer, code
from tests.chat.people import ROLES
from tests.support.fake_replica import FIRST_INDEX

CONTENT = bytes(range(256)) * 3000


@dataclass
class Made:
    """A backup in memory."""

    index: int
    tag: str = "9-aa"
    content: bytes = CONTENT
    closed: int = 0

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, offset: int, count: int) -> bytes:
        return self.content[offset : offset + count]

    def close(self) -> None:
        self.closed += 1


def client_with(*made: Made) -> ChatClient:
    client = ChatClient()
    client.replica.backups += made
    return client


def test_a_program_on_this_machine_gets_it_where_there_are_no_accounts(caplog: pytest.LogCaptureFixture) -> None:
    made = Made(FIRST_INDEX)
    client = client_with(made)
    with caplog.at_level(logging.INFO):
        answer = client.get("/backup", **LOCAL)
        assert answer.data == CONTENT
        answer.close()
    assert (answer.status_code, answer.data, made.closed) == (200, CONTENT, 1)
    assert answer.content_type == CONTENT_TYPE
    assert answer.headers["ETag"] == '"9-aa"'
    assert answer.headers["X-Backup-State"] == f'W/"c0ffee-{FIRST_INDEX}"'
    assert answer.headers["Content-Length"] == str(len(CONTENT))
    assert f"a program on this machine took a backup of index {FIRST_INDEX}, {len(CONTENT)} bytes" in caplog.text


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"raft_chat.from_this_machine": False},
        {"HTTP_X_FORWARDED_FOR": "127.0.0.1"},
        {"HTTP_VIA": "1.1 proxy"},
        {"HTTP_HOST": "evil.example"},
        {"HTTP_ORIGIN": "http://evil.example"},
        {"HTTP_SEC_FETCH_SITE": "cross-site"},
    ],
    ids=str,
)
def test_where_there_are_no_accounts_nobody_gets_it_through_a_proxy_or_a_page(elsewhere: dict[str, Any]) -> None:
    client = client_with(Made(FIRST_INDEX))
    assert code(client.get("/backup", **(LOCAL | elsewhere))) == (403, "forbidden")


def test_only_admins_and_the_operator_get_it_where_there_are_accounts(caplog: pytest.LogCaptureFixture) -> None:
    client = LoginClient()
    client.replica.backups.append(Made(client.replica.last_applied))
    assert code(client.get("/backup", **LOCAL)) == (401, "login_needed")
    for name, role in ROLES.items():
        answer = client.ask(name, "GET", "/backup")
        assert answer.status_code == (200 if role == ADMIN else 403), name
    with caplog.at_level(logging.INFO):
        answer = client.get("/backup", **bearer(OPERATORS_SECRET))
        assert answer.data == CONTENT
        answer.close()
    assert "the operator took a backup" in caplog.text


def test_a_user_of_the_open_mode_has_to_be_an_admin_once_there_are_accounts() -> None:
    client = LoginClient()
    client.do(SetAuth(Actor(OPERATOR), OPEN, INVITE))
    client.replica.backups.append(Made(client.replica.last_applied))
    assert code(client.get("/backup", **LOCAL)) == (401, "login_needed")
    admin = next(name for name, role in ROLES.items() if role == ADMIN)
    assert client.ask(admin, "GET", "/backup").status_code == 200


def test_a_transfer_goes_on_where_it_broke_as_long_as_the_file_is_there() -> None:
    client = client_with(Made(FIRST_INDEX), Made(FIRST_INDEX + 5, "14-bb", CONTENT[::-1]))
    part = {"HTTP_RANGE": "bytes=1000-", "HTTP_IF_RANGE": '"9-aa"'}
    answer = client.get("/backup", **LOCAL, **part)
    assert (answer.status_code, answer.data) == (206, CONTENT[1000:])
    assert answer.headers["Content-Range"] == f"bytes 1000-{len(CONTENT) - 1}/{len(CONTENT)}"
    for other in ('"5-cc"', "", 'W/"9-aa"'):
        answer = client.get("/backup", **LOCAL, **(part | {"HTTP_IF_RANGE": other}))
        assert (answer.status_code, answer.data) == (200, CONTENT[::-1])
    whole = {"HTTP_RANGE": f"bytes={len(CONTENT)}-"}
    assert client.get("/backup", **LOCAL, **(part | whole)).status_code == 200


def test_a_transfer_that_breaks_is_logged_and_closes_the_file(caplog: pytest.LogCaptureFixture) -> None:
    made = Made(FIRST_INDEX)
    answer = client_with(made).open("GET", "/backup", environ=LOCAL)
    answer.close()
    assert made.closed == 1
    pieces = _Pieces(made, 0, "ann")
    next(pieces)
    pieces.close()
    assert "ann took a part of a backup" in caplog.text


def test_the_head_alone_makes_no_backup() -> None:
    client = client_with()
    assert client.open("HEAD", "/backup", environ=LOCAL).status_code == 200


def test_nothing_is_sent_again_while_nothing_has_changed() -> None:
    client = client_with()
    client.replica.backups.append(Made(client.replica.last_applied))
    state = client.get("/backup", **LOCAL).headers["X-Backup-State"]
    known = client.get("/backup", **LOCAL, HTTP_IF_NONE_MATCH=state)
    assert (known.status_code, known.data) == (304, b"")
    client.post()
    client.replica.backups.append(Made(client.replica.last_applied, "x"))
    assert client.get("/backup", **LOCAL, HTTP_IF_NONE_MATCH=state).status_code == 200


def test_a_backup_that_is_not_made_yet_is_asked_for_again_by_its_index() -> None:
    client = client_with()
    answer = client.get("/backup?wait=0", **LOCAL)
    assert code(answer) == (503, "backup_in_progress")
    assert answer.json is not None
    assert answer.json["Index"] == client.replica.last_applied
    assert answer.headers["Retry-After"] == "1"
    client.replica.backups.append(Made(client.replica.last_applied))
    client.post()
    assert code(client.get("/backup?wait=0", **LOCAL)) == (503, "backup_in_progress")
    assert client.get(f"/backup?wait=0&index={answer.json['Index']}", **LOCAL).status_code == 200


def test_a_node_without_a_majority_gives_its_own_state_only_where_that_is_asked_for() -> None:
    client = client_with(Made(FIRST_INDEX))
    client.replica.unavailable = True
    assert code(client.get("/backup", **LOCAL)) == (503, "unavailable")
    assert client.get("/backup?consistency=stale", **LOCAL).status_code == 200
    client.replica.is_set_aside = True  # its state differs
    assert code(client.get("/backup?consistency=stale", **LOCAL)) == (503, "unavailable")


def test_a_node_that_hears_no_leader_gives_a_stale_backup_to_the_operator_only() -> None:
    client = LoginClient()
    client.replica.backups.append(Made(client.replica.last_applied))
    admin = next(name for name, role in ROLES.items() if role == ADMIN)
    stale = "/backup?consistency=stale"
    for contact_s, status in ((0.0, 200), (STALE_S_MAX + 1, 503)):
        client.replica.contact_s = contact_s
        assert client.ask(admin, "GET", stale).status_code == status
        assert client.get(stale, **bearer(OPERATORS_SECRET)).status_code == 200
    assert code(client.ask(admin, "GET", stale)) == (503, "no_recent_leader")


@pytest.mark.parametrize("query", ["wait=x", "wait=-1", "index=0", "consistency=new", "wait=1&wait=2"])
def test_a_malformed_query_is_refused(query: str) -> None:
    assert code(client_with().get(f"/backup?{query}", **LOCAL)) == (400, "invalid_field")
