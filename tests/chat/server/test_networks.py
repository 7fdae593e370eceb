"""What an address counts as, and which network gives way when all of something is taken."""

import pytest

from chat.server.networks import is_this_machine, network, network_to_evict


@pytest.mark.parametrize(
    ("address", "counted_as"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("no address", "no address"),
    ],
)
def test_an_ipv6_address_counts_by_its_64(address: str, counted_as: str) -> None:
    assert network(address) == counted_as


@pytest.mark.parametrize(
    ("held", "newcomer", "loser"),
    [
        ({"crowd": 10}, "other", "crowd"),
        ({"crowd": 10, "other": 8}, "other", "crowd"),
        ({"crowd": 10, "other": 9}, "other", None),  # or they would take it from each other again and again
        ({"crowd": 10}, "crowd", None),
        ({"a": 1, "b": 1}, "c", None),
        ({}, "a", None),
    ],
)
def test_who_holds_most_gives_way_as_long_as_that_leaves_them_more(
    held: dict[str, int], newcomer: str, loser: str | None
) -> None:
    assert network_to_evict(held, newcomer) == loser


@pytest.mark.parametrize(
    ("address", "here"), [("127.0.0.1", True), ("::1", True), ("127.0.0.2", False), ("192.0.2.1", False)]
)
def test_a_connection_of_this_machine_to_itself_is_known_by_its_address(address: str, here: bool) -> None:
    assert is_this_machine(address) is here
