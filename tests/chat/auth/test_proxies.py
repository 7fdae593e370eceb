"""The client's own address counts behind a proxy that is trusted, and nobody is believed who is not."""

from typing import Any

import pytest

from chat.auth.proxies import TrustedProxies, behind, parse


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "client"),
    [
        ("10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.1", "6.6.6.6, 192.0.2.7, 10.0.0.9", "192.0.2.7"),  # the left-most one is the client's own word
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.9", "10.0.0.9"),
        ("10.0.0.1", "unknown", "10.0.0.1"),
        ("10.0.0.1", "192.0.2.7, _hidden", "10.0.0.1"),
        ("10.0.0.1", "[2001:db8::7]:4711", "2001:db8::7"),
        ("10.0.0.1", "192.0.2.7:4711", "192.0.2.7"),
        ("::1", "2001:db8::7", "2001:db8::7"),
        ("::ffff:10.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("192.0.2.1", "6.6.6.6", "192.0.2.1"),
        ("10.0.0.1", ",".join(["6.6.6.6"] + ["10.0.0.2"] * 2000), "10.0.0.2"),
    ],
)
def test_the_right_most_address_that_is_not_trusted_is_the_clients(peer: str, forwarded_for: str, client: str) -> None:
    assert parse("10.0.0.0/8, ::1").client_address(peer, forwarded_for) == client


def test_nobody_is_trusted_unless_it_is_said() -> None:
    assert not TrustedProxies()
    assert TrustedProxies().client_address("127.0.0.1", "6.6.6.6") == "127.0.0.1"


def test_the_application_sees_the_clients_address() -> None:
    seen: list[str] = []

    def app(environ: dict[str, Any], start_response: object) -> list[bytes]:
        seen.append(environ["REMOTE_ADDR"])
        return []

    behind(parse("127.0.0.1"), app)({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, print)
    behind(parse("127.0.0.1"), app)({"REMOTE_ADDR": "127.0.0.2", "HTTP_X_FORWARDED_FOR": "192.0.2.7"}, print)
    assert seen == ["192.0.2.7", "127.0.0.2"]


def test_a_list_of_networks_has_a_bound() -> None:
    with pytest.raises(ValueError, match="at most 64"):
        parse(",".join(f"10.0.0.{n}" for n in range(65)))
