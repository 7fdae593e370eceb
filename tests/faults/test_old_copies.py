"""Some of the ways in which a node comes back on an older copy of its data; `old_copies.py` has them all."""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.faults.copy_scene import Seen
from tests.faults.old_copies import WAYS
from tests.faults.tools import POWER, need

NAMES = (
    "single, cp -a in place, a start between",
    "follower, volume back, a start between",
    "follower, --moved, older, a start between",
)
PLAYED = {way.name: way for way in WAYS if way.name in NAMES}


@pytest.fixture(scope="module")
def seen() -> Iterator[Mapping[str, Future[Seen]]]:
    """What comes of each way; they are played at the same time, for they wait most of it."""
    need((*POWER, "curl"))
    with ThreadPoolExecutor(len(PLAYED)) as pool:
        yield {name: pool.submit(way.play) for name, way in PLAYED.items()}


@pytest.mark.parametrize("name", NAMES)
def test_an_older_copy_is_refused_or_its_clients_start_over_and_nothing_is_wrong_or_lost(
    name: str, seen: Mapping[str, Future[Seen]]
) -> None:
    assert PLAYED[name].wrong(seen[name].result()) == []
