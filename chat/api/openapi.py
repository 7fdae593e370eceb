"""`/openapi.json`: the table of routes as OpenAPI 3.1, for tools that make clients or try every request.

It describes this node: with sign-in the ways to authenticate, in open mode none.  Members of bodies have the case in
which they are written; any case is read.  Errors that every route can have are added here, so a route's `problems` are
only its own.
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any

from chat.api.router import JSON, Access, Answer, Body, Route
from chat.api.schemas import COMPONENTS, PATH_NAMES, RAFT_INDEX, TEXT, Schema, integer, ref, word
from chat.auth import cookies
from chat.auth.hosts import HEALTH_CHECKS
from chat.errors import STATUS_OF
from chat.server.problem_json import PROBLEM_JSON
from chat.services.cursors import START_OVER
from chat.version import program_version

_RETRIED = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_X_RAFT_INDEX = {"X-Raft-Index": {"description": "The index of the log that the answer reflects", "schema": RAFT_INDEX}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds", "schema": integer(1)}}
_CLUSTER_ID = "{id}"  # in the name of the cookie: strangers are not told whose cluster this is
_NEEDED = ("source",)  # in a query
_SAYS_WHO = ("User", "user")  # in a body, in a query: needed only without sign-in


def describe(routes: Iterable[Route], *, login: bool) -> dict[str, object]:
    """The whole document, which anybody may read.  Of this cluster it tells only whether sign-in is on."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(_path(route), {})[route.method.lower()] = _operation(route, login)
    components: dict[str, object] = {"schemas": COMPONENTS}
    if login:
        components["securitySchemes"] = {
            "token": {"type": "http", "scheme": "bearer"},
            "cookie": {"type": "apiKey", "in": "cookie", "name": cookies.name(_CLUSTER_ID)},
        }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "raft-chat",
            "version": program_version(),
            "description": "Any node answers any request.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": paths,
        "components": components,
    }


def status_of(code: str) -> HTTPStatus:
    """The status of the answers with this code."""
    return STATUS_OF.get(code, HTTPStatus.UNPROCESSABLE_ENTITY)


def problems_of(route: Route, *, login: bool) -> list[str]:
    """Return the error codes of this route."""
    changes = route.method != "GET"
    own = ["not_found" if code == "no_such_room" else code for code in route.problems]  # as chat/errors.py has it
    codes = [*own, "invalid_field", "bad_token", "unavailable", "damaged_record", "bad_forwarded"]
    codes += [] if route.path in HEALTH_CHECKS else ["wrong_host"]
    if changes:
        codes += ["foreign_origin", "outcome_unknown", "disk_full", "level_too_low"]
        codes += [] if "too_many_posts" in own or route.access is Access.ANYBODY else ["too_many_changes"]
    if "min_index" in route.query:
        codes.append(START_OVER)
    if changes and (route.body is not None):
        codes += ["body_too_large", "unsupported_coding"]
    if login and route.access is not Access.ANYBODY:
        codes += ["login_needed", "forbidden", "too_many_attempts", "bad_proxy_user"]
        if changes:
            codes += ["not_your_name", "archived"]
    if not login and route.access in (Access.ADMIN, Access.SCRAPER):
        codes += ["login_needed", "forbidden"]  # if there has been an account
    if login and "consistency" in route.query:
        codes.append("no_recent_leader")
    if not login:
        codes += ["starting", "open_mode"] if route.login else ["starting"]
    return list(dict.fromkeys(codes))


def _path(route: Route) -> str:
    return route.path.replace("*}", "}")


def _operation(route: Route, login: bool) -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}.{route.handler.__name__}",
        "summary": route.summary,
        "description": f"Access: {route.access}." if login else "Access: anybody.",
        "parameters": list(_parameters(route, login)),
        "responses": _responses(route, login),
    }
    if route.body is not None:
        operation["requestBody"] = _body(route.body, login)
    if login and route.access is not Access.ANYBODY:
        operation["security"] = [{"token": []}, {"cookie": []}]
    return operation


def _parameters(route: Route, login: bool) -> Iterator[dict[str, object]]:
    for name in re.findall(r"\{(\w+)\*?\}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": PATH_NAMES[name]}
    for name, schema in route.query.items():
        required = name in _NEEDED or (name in _SAYS_WHO and not login and not route.login)
        yield {"name": name, "in": "query", "required": required, "schema": schema, "explode": False}
    for name, schema in route.headers.items():
        yield {"name": name, "in": "header", "required": False, "schema": schema}


def _body(body: Body, login: bool) -> dict[str, object]:
    schema = dict(body.schema)
    needed = schema.get("required")
    if login and isinstance(needed, list):
        schema["required"] = [name for name in needed if name not in _SAYS_WHO]
    return {"required": body.required, "content": {body.content_type: {"schema": schema}}}


def _responses(route: Route, login: bool) -> dict[str, Any]:
    """The answers and the problems.  A status may have both: then they differ in their content type."""
    responses = _problems(problems_of(route, login=login))
    for status, answer in _answers(route).items():
        problem = responses.get(status)
        if problem is not None:
            answer = {**answer, "content": {**problem["content"], **answer["content"]}}
        responses[status] = answer
    return responses


def _answers(route: Route) -> dict[str, Any]:
    return {str(status): _answer(answer) for status, answer in route.answers.items()}


def _answer(answer: Answer) -> dict[str, object]:
    told: dict[str, object] = {"description": answer.what, "headers": _X_RAFT_INDEX}
    if answer.schema is not None:
        told["content"] = {answer.content_type: {"schema": answer.schema}}
    elif answer.content_type != JSON:
        told["content"] = {answer.content_type: {"schema": TEXT}}
    return told


def _problems(codes: Iterable[str]) -> dict[str, Any]:
    by_status: dict[HTTPStatus, list[str]] = {}
    for code in codes:
        by_status.setdefault(status_of(code), []).append(code)
    return {str(int(status)): _problem(status, by_status[status]) for status in sorted(by_status)}


def _problem(status: HTTPStatus, codes: list[str]) -> dict[str, object]:
    schema: Schema = {"allOf": [ref("Problem"), {"properties": {"status": word(int(status)), "code": word(*codes)}}]}
    return {
        "description": ", ".join(codes),
        "headers": {**_X_RAFT_INDEX, **(_RETRY_AFTER if status in _RETRIED else {})},
        "content": {PROBLEM_JSON: {"schema": schema}},
    }
