"""The table of routes: which path is found by what, and what is made of the one tuple."""

import pytest

from chat.api.request import Request
from chat.api.response import Response
from chat.api.router import Access, Route, RouteTable, never_waiting
from chat.app import RESERVED, ROUTES, never_waits


def answer(request: Request, *names: str) -> Response:
    return Response(200)


def route(path: str, method: str = "GET", waits: bool = True) -> Route:
    return Route(method, path, answer, Access.ANYBODY, "", waits)


PATHS = (
    "/", "/rooms", "/rooms/{room}", "/rooms/{room}/messages/{id}", "/rooms/{room}/members/{user}",
    "/rooms/{room}/messages/{id}/reactions/{emoji}", "/tokens/{id}", "/tokens/current", "/static/{path*}", "/{room}",
)  # fmt: skip
TABLE = RouteTable(list(map(route, PATHS)), reserved={"metrics"})


@pytest.mark.parametrize(
    ("path", "found", "names"),
    [
        ("/", "/", []),
        ("/rooms", "/rooms", []),
        ("/rooms/general", "/rooms/{room}", ["general"]),
        ("/rooms/", "/rooms/{room}", [""]),
        ("/rooms/a/messages/7", "/rooms/{room}/messages/{id}", ["a", "7"]),
        ("/rooms/a/members/7", "/rooms/{room}/members/{user}", ["a", "7"]),
        ("/rooms/a/messages/7/reactions/+", "/rooms/{room}/messages/{id}/reactions/{emoji}", ["a", "7", "+"]),
        ("/tokens/7", "/tokens/{id}", ["7"]),
        ("/tokens/current", "/tokens/current", []),
        ("/static", "/static/{path*}", []),
        ("/static/js/app.js", "/static/{path*}", ["js", "app.js"]),
        ("/general", "/{room}", ["general"]),
    ],
)
def test_a_path_is_found_by_what_it_spells_out(path: str, found: str, names: list[str]) -> None:
    methods, given = TABLE.find(path.split("/")[1:]) or ({}, ())
    assert methods["GET"].path == found
    assert list(given) == names


@pytest.mark.parametrize("path", ["/tokens", "/metrics", "/rooms/a/nothing", "/a/b", "/rooms/a/messages", ""])
def test_no_other_path_is_found_nor_a_room_by_the_name_of_a_route(path: str) -> None:
    assert TABLE.find(path.split("/")[1:]) is None


def test_the_methods_of_a_path_keep_the_order_of_the_table() -> None:
    found = RouteTable([route("/a", "POST"), route("/b"), route("/a"), route("/a", "DELETE")]).find(["a"])
    assert found is not None
    assert list(found[0]) == ["POST", "GET", "DELETE"]


def test_only_what_does_not_wait_never_does_and_no_change_with_a_query() -> None:
    quick = [route("/a.b/{room}", waits=False), route("/a.b/{room}", "POST", waits=False)]
    waits = never_waiting([*quick, route("/slow"), route("/a.b/{room}/d"), route("/axb/{room}")])
    for target in ("/a.b/c", "/a.b/c?limit=1"):
        assert waits("GET", target)
    for target in ("/slow", "/a.b/c/d", "/axb/c", "/a.b/", "/a.b/c?consistency=stale"):
        assert not waits("GET", target)
    assert waits("POST", "/a.b/c")
    assert not waits("POST", "/a.b/c?min_index=1")
    assert not waits("DELETE", "/a.b/c")


def test_the_head_of_what_anybody_may_get_at_once_does_not_wait_either() -> None:
    waits = never_waiting([route("/check", waits=False), route("/slow"), route("/change", "POST", waits=False)])
    assert waits("HEAD", "/check") and waits("HEAD", "/check?verbose")
    assert not waits("HEAD", "/slow")
    own = Route("GET", "/own", answer, Access.USER, "", waits=False)
    assert not never_waiting([own])("HEAD", "/own")


def test_what_is_not_there_and_a_name_alone_are_answered_at_once() -> None:
    routes = [route("/slow"), route("/fast", waits=False), route("/change", "POST"), route("/{room}", waits=False)]
    waits = never_waiting(routes, ["taken"])
    for target in ("/a", "/a?b=c", "/a/b", "/taken", "/slow/a", "/change", ""):
        assert waits("GET", target)
        assert waits("HEAD", target)
        assert not waits("POST", target)
    for target in ("/slow", "/slow?a=b", "/%73low", "/a%2Fb"):
        assert not waits("GET", target)
    assert not never_waiting([route("/{room}")])("GET", "/a")


def test_every_route_is_found_by_its_own_path() -> None:
    table = RouteTable(ROUTES, RESERVED)
    for each in ROUTES:
        methods, _ = table.find(each.path.split("/")[1:]) or ({}, ())
        assert methods[each.method] is each, each.path


def test_no_two_routes_are_the_same_and_no_reserved_name_is_a_route_already() -> None:
    assert len({(each.method, each.path) for each in ROUTES}) == len(ROUTES)
    assert not RESERVED & {each.segments[0] for each in ROUTES}
    assert never_waits("GET", "/ws")
