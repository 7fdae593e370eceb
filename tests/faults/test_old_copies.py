"""Some of the ways in which a node comes back on an older copy of its data; `old_copies.py` has them all."""

import pytest

from tests.faults.old_copies import WAYS
from tests.faults.tools import POWER, need


@pytest.mark.parametrize(
    "name",
    [
        "single, cp -a in place, a start between",
        "follower, volume back, a start between",
        "follower, --moved, older, a start between",
    ],
)
def test_an_older_copy_is_refused_or_its_clients_start_over_and_nothing_is_wrong_or_lost(name: str) -> None:
    need((*POWER, "curl"))
    (way,) = (way for way in WAYS if way.name == name)
    assert way.wrong(way.play()) == []
