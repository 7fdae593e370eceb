"""A request that names a host which somebody else may have led here is refused, whoever else may be asked so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.auth import hosts, proxies
from chat.auth.hosts import PASSED_MAX, AllowedHosts

MEMBERS = ["https://chat.example.org/team", "http://node2.internal:12380", "http://[::1]:80", "nonsense", ""]


def names(members: list[str] | None = None) -> AllowedHosts:
    return AllowedHosts(["node1", "chat.lan"], lambda: MEMBERS if members is None else members)


class Asked:
    """An application behind the check, and what became of a request."""

    def __init__(self, allowed: AllowedHosts | None = None) -> None:
        self.allowed = allowed or names()
        self.reached: list[str | None] = []
        self.guarded = self.allowed.guarding(self._app)
        self.status = ""

    def _app(self, environ: dict[str, Any], start_response: object) -> list[bytes]:
        self.reached.append(environ.get("HTTP_HOST"))
        return []

    def __call__(self, host: str | None, target: str = "/", **more: str) -> dict[str, Any]:
        """The problem; {} where the application was reached."""
        environ = {"RAW_URI": target, "REMOTE_ADDR": "10.0.0.1", "wsgi.url_scheme": "http", **more}
        if host is not None:
            environ["HTTP_HOST"] = host
        before = len(self.reached)
        body = b"".join(self.guarded(environ, lambda status, headers: setattr(self, "status", status)))
        assert len(self.reached) == before + (not body)
        found: dict[str, Any] = json.loads(body) if body else {}
        return found


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "10.0.0.1:12380", "[::1]", "[2001:db8::7]:443", "[::ffff:10.0.0.1]:", "127.1:80", "2130706433",
        "localhost", "LOCALHOST:12380", "a.localhost", "localhost.:80", "node1", "Node1:8080", "chat.lan.",
        "chat.example.org", "CHAT.example.org:443", "chat.example.org:99", "node2.internal",
    ],
)  # fmt: skip
def test_addresses_and_own_names_pass_with_any_port(host: str) -> None:
    asked = Asked()
    for _ in range(2):  # the second time it is remembered
        assert asked(host) == {}
    assert asked.reached == [host, host]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "chat.example.org.evil.example",
        "xchat.example.org", "example.org", "evillocalhost", "chat", "node2", "[::1].evil.example", "127.0.0.1@evil",
        "chat.lan;x", "1.2.3.4x", "[", "a:b:c", "chat.lan,evil.example", "nonsense", "",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(host: str) -> None:
    asked = Asked()
    for _ in range(2):
        problem = asked(host)
        assert (problem["status"], problem["code"]) == (421, "wrong_host")
    assert asked.status == "421 Misdirected Request"
    assert "--allowed-host" in problem["detail"]


def test_the_refusal_names_the_host_only_where_it_is_a_name() -> None:
    assert "--allowed-host evil.example, " in Asked()("Evil.example:80")["detail"]
    assert "--allowed-host NAME" in Asked()("a;<b>")["detail"]
    assert "--allowed-host NAME" in Asked()("a" * 254)["detail"]


@pytest.mark.parametrize("target", ["/livez", "/readyz", "/readyz?verbose"])
def test_a_health_check_may_name_anything(target: str) -> None:
    assert Asked()("anything", target) == {}


@pytest.mark.parametrize("target", ["/livez/", "/", "/rooms/livez", "/livezx", "/x?/livez", "//livez"])
def test_nothing_else_may(target: str) -> None:
    asked = Asked()
    asked("anything", "/livez")
    assert asked("anything", target)["code"] == "wrong_host"


def test_a_request_without_a_host_is_no_browsers() -> None:
    assert Asked()(None) == {}


def test_a_member_that_joins_is_known_at_once() -> None:
    members = ["http://a.internal:1"]
    asked = Asked(names(members))
    assert asked("b.internal:1")["code"] == "wrong_host"
    members.append("http://b.internal:1")
    assert asked("b.internal:1") == {}


def test_what_is_remembered_has_a_bound() -> None:
    asked = Asked()
    for number in range(3 * PASSED_MAX):
        assert asked(f"10.0.0.1:{number}") == {}
        assert len(asked.allowed._passed) <= PASSED_MAX
    assert asked("evil.example")["code"] == "wrong_host"


def test_a_refused_name_is_logged_once_with_the_flag_that_allows_it(caplog: pytest.LogCaptureFixture) -> None:
    asked = Asked()
    for host in ("evil.example:1", "EVIL.example:2", "evil.example."):
        asked(host)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert "'evil.example'" in lines[0]
    assert "--allowed-host" in lines[0]
    for number in range(1000):
        asked(f"a{number}.evil.example")
    assert len(caplog.records) == hosts.LOGGED_MAX


def behind_proxy() -> Asked:
    """An application behind the checks as a node has them with --trust-proxy."""
    asked = Asked()
    asked.guarded = asked.allowed.guarding(proxies.behind(proxies.parse("10.0.0.1"), asked.guarded))
    return asked


def test_both_hosts_count_behind_a_proxy() -> None:
    """A page that was led here may set X-Forwarded-Host, and many a proxy passes that on; Host it may not."""
    assert behind_proxy()("node1", HTTP_X_FORWARDED_HOST="chat.example.org") == {}
    assert behind_proxy()("evil.example", HTTP_X_FORWARDED_HOST="chat.example.org")["code"] == "wrong_host"
    assert behind_proxy()("node1", HTTP_X_FORWARDED_HOST="evil.example")["code"] == "wrong_host"
    assert behind_proxy()("node1", HTTP_X_FORWARDED_HOST="evil.example", REMOTE_ADDR="192.0.2.1") == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        ("Chat.Example.org, b,,b.", ("chat.example.org", "b")),
        ("münchen.example", ("xn--mnchen-3ya.example",)),
        ("chat_nodes", ("chat_nodes",)),
    ],
)
def test_names_of_the_option(text: str, found: tuple[str, ...]) -> None:
    assert hosts.parse(text) == found


@pytest.mark.parametrize("text", ["http://chat.lan", "chat.lan:80", "*", "*.lan", "a b", ".", "a..b", "x" * 64, "a/b"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a host"):
        hosts.parse(text)


def test_there_is_a_bound_on_names() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        hosts.parse(",".join(f"h{n}" for n in range(65)))


@given(st.text(st.characters(codec="latin-1"), max_size=40))
def test_no_host_raises(host: str) -> None:
    names().permits(host)


def test_a_server_that_exempts_no_path_refuses_health_checks_too() -> None:
    asked = Asked()
    strict = asked.allowed.guarding(asked._app, exempt=())
    asked.guarded = strict
    assert asked("evil.example", "/livez")["code"] == "wrong_host"
    assert asked("node1", "/livez") == {}


def test_the_reason_against_a_host_is_in_words() -> None:
    assert names().refusal("node1:80") == ""
    assert "does not go by the name evil.example" in names().refusal("evil.example:80")
