"""The cluster records each start of a member, and refuses a directory that lacks one: whole members, real disks."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft.core.configuration import BOOTS_LEVEL, Configuration
from raft.core.raft_messages import RecordedBoot
from raft.errors import InvalidMessage, StartRefused
from raft.storage.identity import Identity, decode
from tests.cluster.waiting import wait_until
from tests.raft.members import DEADLINE_S, House, Street


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    """Three members whose programs all record starts."""
    street = Street(tmp_path)
    for house in street.houses.values():
        house.level = BOOTS_LEVEL
    street.found()
    try:
        yield street
    finally:
        street.close()


def identity_of(house: House) -> Identity:
    return decode((house.path / "identity.json").read_bytes())


def configuration_of(house: House) -> Configuration:
    return house.member._door.look(lambda node: node.committed_configuration)


def wait_recorded(street: Street) -> None:
    """Until each member knows that its start is recorded, and no longer keeps those before."""

    def recorded(house: House) -> bool:
        boot = identity_of(house).boot
        return configuration_of(house).members[house.id].boot == boot and identity_of(house).boots == (boot,)

    wait_until(lambda: all(map(recorded, street.present())), DEADLINE_S, "all starts are recorded")


def roll_back(house: House, image: Path) -> None:
    """Put an earlier state of the whole directory in its place."""
    shutil.rmtree(house.path)
    shutil.copytree(image, house.path)


def image_before_a_recorded_start(street: Street, house: House, to: Path) -> None:
    """The directory as it was when the member stopped; since then it has started and stopped once more."""
    house.stop()
    shutil.copytree(house.path, to)
    house.start()
    wait_recorded(street)
    assert street.leader().result_of(b'"since"') is not None
    house.stop()


def test_each_start_is_recorded_and_its_list_cut_once_that_is_committed(street: Street) -> None:
    wait_recorded(street)
    follower = street.followers()[0]
    first = identity_of(follower).boot
    follower.stop()
    follower.start()
    assert identity_of(follower).boots[0] == first
    wait_recorded(street)
    assert identity_of(follower).boot > first


def test_a_follower_on_an_older_copy_is_named_on_both_sides_and_never_starts_again(
    street: Street, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wait_recorded(street)
    follower = street.followers()[0]
    image_before_a_recorded_start(street, follower, tmp_path / "image")
    roll_back(follower, tmp_path / "image")
    with caplog.at_level(logging.ERROR):
        follower.start()
        why, code = follower.ended.get(timeout=DEADLINE_S)
    assert (code, "older copy" in why, f"member {follower.id} " in why) == (1, True, True)
    said = sum(f"member {follower.id} runs on an older copy" in record.getMessage() for record in caplog.records)
    assert 1 <= said <= len(street.present()) - 1, "each of the others says it once"
    assert "older copy" in identity_of(follower).refused
    follower.stop()
    for _ in range(2):
        with pytest.raises(StartRefused, match="is an older copy"):
            follower.start()
        follower._lock.close()  # type: ignore[union-attr]
    assert street.leader().result_of(b'"and on"') is not None


def test_a_majority_on_older_copies_is_stopped_by_the_member_that_knows(street: Street, tmp_path: Path) -> None:
    """The member that knows refuses both; whichever of them leads is told so, and stops."""
    wait_recorded(street)
    knows, *old = (street.leader(), *street.followers())
    for house in old:
        image_before_a_recorded_start(street, house, tmp_path / f"image-{house.id}")
        house.start()
        wait_recorded(street)
    knows.stop()
    for house in old:
        house.stop()
        roll_back(house, tmp_path / f"image-{house.id}")
    knows.start()
    for house in old:
        house.start()
    for house in old:
        why, code = house.ended.get(timeout=DEADLINE_S)
        assert (code, "older copy" in why) == (1, True)
    assert knows.ended.empty()


def test_five_starts_without_a_majority_are_no_older_copy(street: Street) -> None:
    wait_recorded(street)
    for house in list(street.houses.values()):
        house.stop()
    for _ in range(5):
        street[1].start()
        street[1].stop()
    for house in street.houses.values():
        house.start()
    assert len(identity_of(street[1]).boots) >= 2
    assert street.leader().result_of(b'"again"') is not None
    wait_recorded(street)
    assert all(house.ended.empty() for house in street.houses.values())


def test_a_cluster_with_an_older_program_records_no_start(tmp_path: Path) -> None:
    street = Street(tmp_path)
    for house in street.houses.values():
        house.level = BOOTS_LEVEL if house.id == 1 else BOOTS_LEVEL - 1
    street.found()
    try:
        wait_until(
            lambda: configuration_of(street.leader()).level == BOOTS_LEVEL - 1, DEADLINE_S, "the cluster has a level"
        )
        assert street.leader().result_of(b'"one"') is not None
        assert {member.boot for member in configuration_of(street.leader()).members.values()} == {0}
    finally:
        street.close()


def test_a_member_that_is_told_of_a_start_that_it_knows_goes_on(street: Street) -> None:
    """Such a message may be late: what was refused came from the start before."""
    wait_recorded(street)
    follower = street.followers()[0]
    boot = identity_of(follower).boot
    for known in (boot, boot - 1):
        with pytest.raises(InvalidMessage, match="is no start that this member lacks"):
            follower.member.serve(RecordedBoot(1, follower.id, known), lambda answer: None)
    assert follower.ended.empty()
