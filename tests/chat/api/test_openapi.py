"""What /openapi.json tells of the routes; that it is true is held against a real node in tests/contract."""

import json
import re
from typing import Any

import pytest

from chat.api.openapi import describe, problems_of, status_of
from chat.api.router import Access, Route
from chat.app import ROUTES
from chat.errors import STATUS_OF
from tests.chat.chat_client import ChatClient
from tests.chat.login_client import LoginClient
from tests.support.cluster import ROOT

OPEN: Any = describe(ROUTES, login=False)
LOGIN: Any = describe(ROUTES, login=True)


def operation(document: Any, route: Route) -> Any:
    return document["paths"][route.path.replace("*}", "}")][route.method.lower()]


def test_it_is_served_as_it_is_made() -> None:
    answer = ChatClient().get("/openapi.json")
    assert answer.json == json.loads(json.dumps(describe(ROUTES, login=False)))
    assert answer.content_type == "application/json"


def test_strangers_do_not_learn_from_it_whose_cluster_this_is() -> None:
    chat = LoginClient()
    text = chat.get("/openapi.json").get_data(as_text=True)
    assert '"cookie"' in text
    assert chat.replica.cluster_id not in text


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_is_told_with_its_names_bodies_and_answers(route: Route) -> None:
    told = operation(OPEN, route)
    assert told["summary"] == route.summary
    named = [parameter["name"] for parameter in told["parameters"] if parameter["in"] == "path"]
    assert [f"{{{name}}}" in route.path.replace("*}", "}") for name in named] == [True] * route.path.count("{")
    assert ("requestBody" in told) == (route.body is not None)
    assert {str(status) for status in route.answers} < set(told["responses"])
    assert {"400", "503"} <= set(told["responses"])


def test_every_operation_has_a_name_of_its_own() -> None:
    names = [operation(OPEN, route)["operationId"] for route in ROUTES]
    assert len(set(names)) == len(ROUTES)


def test_what_is_referred_to_is_there() -> None:
    text = json.dumps(LOGIN)
    for name in OPEN["components"]["schemas"]:
        text = text.replace(f'"#/components/schemas/{name}"', "")
    assert "#/components" not in text


def test_only_under_a_login_does_anybody_prove_who_he_is() -> None:
    assert "security" not in json.dumps(OPEN)
    assert LOGIN["components"]["securitySchemes"]["cookie"]["name"] == "raft-chat-{id}"
    for route in ROUTES:
        assert ("security" in operation(LOGIN, route)) == (route.access is not Access.ANYBODY)


def test_who_asks_is_said_only_where_nobody_logs_in() -> None:
    post = next(route for route in ROUTES if (route.method, route.path) == ("POST", "/rooms/{room}"))
    schemas = [
        operation(document, post)["requestBody"]["content"]["application/json"]["schema"] for document in (OPEN, LOGIN)
    ]
    assert [schema["required"] for schema in schemas] == [["Message", "User"], ["Message"]]
    deletion = next(route for route in ROUTES if "user" in route.query)
    needed = [
        parameter["required"]
        for document in (OPEN, LOGIN)
        for parameter in operation(document, deletion)["parameters"]
        if parameter["name"] == "user"
    ]
    assert needed == [True, False]


def test_what_only_a_login_knows_is_a_conflict_in_open_mode() -> None:
    route = Route("GET", "/me", lambda request: request, Access.USER, "", login=True)
    assert "open_mode" in problems_of(route, login=False)
    assert "open_mode" not in problems_of(route, login=True)


SAYS_A_CODE = re.compile(r"""\b(?:Problem\(\s*HTTPStatus\.\w+,|problem\(|too_many\(|ChangeRefused\()\s*"(\w+)\"""")
OF_NO_ROUTE = {
    "internal_error", "method_not_allowed",  # of none, and of no path that is one
    "unknown_action",  # said over a websocket
    "starting",  # of any route, before the cluster has the mode that its nodes were started with
}  # fmt: skip


def test_whatever_code_the_program_says_is_told_of_some_route_with_its_status() -> None:
    files = [*(ROOT / "chat").rglob("*.py"), *(ROOT / "raft").rglob("*.py")]
    said = {code for file in files for code in SAYS_A_CODE.findall(file.read_text(encoding="utf-8"))}
    told = {code for route in ROUTES for login in (False, True) for code in problems_of(route, login=login)}
    assert len(said) > 15
    assert said - told - OF_NO_ROUTE == set()
    assert {code: status_of(code) for code in told & set(STATUS_OF)} == {
        code: STATUS_OF[code] for code in told & set(STATUS_OF)
    }


def test_what_the_state_refuses_with_is_told_of_some_route() -> None:
    told = {code for route in ROUTES for code in problems_of(route, login=True)}
    assert set(STATUS_OF) - told - OF_NO_ROUTE - {"bad_ticket", "open_mode"} == set()  # a ticket is for the websocket
