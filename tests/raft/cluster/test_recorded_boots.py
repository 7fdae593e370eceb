"""The cluster records each start of a member, and refuses a directory that lacks one: whole members, real disks."""

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from raft.core.configuration import Configuration
from raft.errors import InvalidMessage, StartRefused
from raft.rpc.calls import RecordedBoot
from raft.storage.identity import Identity, decode
from tests.raft.members import DEADLINE_S, Host, Members
from tests.support.waiting import wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Members]:
    """Three members."""
    cluster = Members(tmp_path)
    cluster.found()
    try:
        yield cluster
    finally:
        cluster.close()


def identity_of(host: Host) -> Identity:
    return decode((host.path / "identity.json").read_bytes())


def configuration_of(host: Host) -> Configuration:
    return host.member._node_lock.read(lambda node: node.committed_configuration)


def wait_recorded(cluster: Members) -> None:
    """Until each member knows that its start is recorded, and no longer keeps those before."""

    def recorded(host: Host) -> bool:
        boot = identity_of(host).boot
        return configuration_of(host).members[host.id].boot == boot and identity_of(host).boots == (boot,)

    wait_until(lambda: all(map(recorded, cluster.running())), DEADLINE_S, "all starts are recorded")


def roll_back(host: Host, image: Path) -> None:
    """Put an earlier state of the whole directory in its place."""
    shutil.rmtree(host.path)
    shutil.copytree(image, host.path)


def image_before_a_recorded_start(cluster: Members, host: Host, to: Path) -> None:
    """The directory as it was when the member stopped; since then it has started and stopped once more."""
    host.stop()
    shutil.copytree(host.path, to)
    host.start()
    wait_recorded(cluster)
    assert cluster.leader().result_of(b'"since"') is not None
    host.stop()


def test_each_start_is_recorded_and_its_list_cut_once_that_is_committed(cluster: Members) -> None:
    wait_recorded(cluster)
    follower = cluster.followers()[0]
    first = identity_of(follower).boot
    follower.stop()
    follower.start()
    assert identity_of(follower).boots[0] == first
    wait_recorded(cluster)
    assert identity_of(follower).boot > first


def test_a_follower_on_an_older_copy_is_named_on_both_sides_and_never_starts_again(
    cluster: Members, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wait_recorded(cluster)
    follower = cluster.followers()[0]
    image_before_a_recorded_start(cluster, follower, tmp_path / "image")
    roll_back(follower, tmp_path / "image")
    with caplog.at_level(logging.ERROR):
        follower.start()
        why, code = follower.ended.get(timeout=DEADLINE_S)
    assert (code, "older copy" in why, f"member {follower.id} " in why) == (1, True, True)
    said = sum(f"member {follower.id} runs on an older copy" in record.getMessage() for record in caplog.records)
    assert 1 <= said <= len(cluster.running()) - 1, "each of the others says it once"
    assert "older copy" in identity_of(follower).refused
    follower.stop()
    for _ in range(2):
        with pytest.raises(StartRefused, match="is an older copy"):
            follower.start()
        follower._lock.close()  # type: ignore[union-attr]
    assert cluster.leader().result_of(b'"and on"') is not None


def test_a_majority_on_older_copies_is_stopped_by_the_member_that_knows(cluster: Members, tmp_path: Path) -> None:
    """The member that knows refuses both; whichever of them leads is told so, and stops."""
    wait_recorded(cluster)
    knows, *old = (cluster.leader(), *cluster.followers())
    for host in old:
        image_before_a_recorded_start(cluster, host, tmp_path / f"image-{host.id}")
        host.start()
        wait_recorded(cluster)
    knows.stop()
    for host in old:
        host.stop()
        roll_back(host, tmp_path / f"image-{host.id}")
    knows.start()
    for host in old:
        host.start()
    for host in old:
        why, code = host.ended.get(timeout=DEADLINE_S)
        assert (code, "older copy" in why) == (1, True)
    assert knows.ended.empty()


def test_five_starts_without_a_majority_are_no_older_copy(cluster: Members) -> None:
    wait_recorded(cluster)
    for host in list(cluster.hosts.values()):
        host.stop()
    for _ in range(5):
        cluster[1].start()
        cluster[1].stop()
    for host in cluster.hosts.values():
        host.start()
    assert len(identity_of(cluster[1]).boots) >= 2
    assert cluster.leader().result_of(b'"again"') is not None
    wait_recorded(cluster)
    assert all(host.ended.empty() for host in cluster.hosts.values())


def test_a_member_that_is_told_of_a_start_that_it_knows_goes_on(cluster: Members) -> None:
    """Such a message may be late: what was refused came from the start before."""
    wait_recorded(cluster)
    follower = cluster.followers()[0]
    boot = identity_of(follower).boot
    for known in (boot, boot - 1):
        with pytest.raises(InvalidMessage, match="is no start that this member lacks"):
            follower.member.serve(RecordedBoot(1, follower.id, known), lambda answer: None)
    assert follower.ended.empty()
