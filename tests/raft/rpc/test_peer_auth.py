"""Who may speak: the members of this cluster, as the processes they were when it met them."""

from dataclasses import replace

import pytest

from raft.core.configuration import Configuration, Member
from raft.errors import OlderCopy, RefusedPeer, StartRefused
from raft.rpc.calls import Sender
from raft.rpc.peer_auth import check_level, check_sender, cluster_named_by

CLUSTER = "c1"
MET = Member(1, "http://127.0.0.1:12379", voting=True, incarnation="aa")
ADDED = Member(2, "http://127.0.0.1:22379", voting=False)  # its incarnation is not known yet
COMMITTED = Configuration({1: MET, 2: ADDED}, removed=frozenset({9}), cluster_id=CLUSTER)


def speaks(id: int, incarnation: str, cluster_id: str, own_cluster_id: str = CLUSTER) -> None:
    check_sender(Sender(id, incarnation, cluster_id, ""), own_cluster_id, COMMITTED, COMMITTED)


def refusal(id: int, incarnation: str, cluster_id: str, own_cluster_id: str = CLUSTER) -> str:
    with pytest.raises(RefusedPeer) as refused:
        speaks(id, incarnation, cluster_id, own_cluster_id)
    assert f"member {id}" in str(refused.value)
    return refused.value.code


@pytest.mark.parametrize("cluster_id", [CLUSTER, ""])
def test_a_member_that_was_met_may_speak_also_before_it_has_learnt_the_clusters_name(cluster_id: str) -> None:
    speaks(1, "aa", cluster_id)


def test_a_member_that_was_met_may_speak_before_this_one_has_learnt_the_clusters_name() -> None:
    speaks(1, "aa", "", own_cluster_id="")
    speaks(1, "aa", CLUSTER, own_cluster_id="")


def test_a_member_of_another_cluster_is_refused_whatever_its_id() -> None:
    assert refusal(1, "aa", "c2") == "other_cluster"
    assert refusal(9, "aa", "c2") == "other_cluster"  # it was not this cluster that removed it


@pytest.mark.parametrize("cluster_id", [CLUSTER, ""])
def test_a_wiped_disk_under_an_old_id_is_refused(cluster_id: str) -> None:
    assert refusal(1, "bb", cluster_id) == "other_incarnation"
    assert refusal(1, "", cluster_id) == "other_incarnation"


def test_a_wiped_founder_is_refused_before_the_cluster_has_a_name() -> None:
    assert refusal(1, "bb", "", own_cluster_id="") == "other_incarnation"


def test_a_removed_member_is_told_so() -> None:
    assert refusal(9, "zz", CLUSTER) == "removed"


def test_a_member_that_was_added_may_speak_once_it_names_the_cluster() -> None:
    speaks(2, "bb", CLUSTER)
    assert refusal(2, "bb", "") == "unknown_member"


def test_an_id_that_is_not_known_here_may_have_been_added_by_an_entry_on_its_way() -> None:
    speaks(4, "dd", CLUSTER)
    assert refusal(4, "dd", "") == "unknown_member"


def test_an_unknown_id_may_not_speak_while_neither_knows_the_clusters_name() -> None:
    """That both know none does not make it the same."""
    assert refusal(4, "dd", "", own_cluster_id="") == "unknown_member"


def test_a_cluster_without_a_name_here_gets_it_from_a_member_that_is_known_by_its_incarnation() -> None:
    def named(id: int, incarnation: str, own: str = "") -> str:
        return cluster_named_by(Sender(id, incarnation, CLUSTER, ""), own, COMMITTED)

    assert named(1, "aa") == CLUSTER
    assert named(1, "bb") == "", "another disk under that id"
    assert named(2, "") == "", "a member that was never met says nothing of itself"
    assert named(4, "dd") == "", "nobody here knows it"
    assert named(1, "aa", own="c2") == "c2", "a name is for good"


def test_a_program_below_the_clusters_level_is_refused_in_words() -> None:
    newer = Configuration(COMMITTED.members, cluster_id=CLUSTER, level=3)
    for level in (3, 4):
        check_sender(Sender(1, "aa", CLUSTER, "", level), CLUSTER, newer, newer)
    with pytest.raises(RefusedPeer, match="member 1 knows level 2, and this cluster uses level 3: start a newer") as no:
        check_sender(Sender(1, "aa", CLUSTER, "", 2), CLUSTER, newer, newer)
    assert no.value.code == "old_level"


def test_a_program_does_not_start_on_a_log_beyond_its_level() -> None:
    check_level(2, 2)
    with pytest.raises(StartRefused, match="knows level 1, and its cluster uses level 2: start a newer one"):
        check_level(2, 1)


RECORDED = Configuration({2: replace(ADDED, incarnation="bb", boot=12)}, cluster_id=CLUSTER, level=4)


def with_boots(*boots: int, newest: Configuration = RECORDED) -> None:
    check_sender(Sender(2, "bb", CLUSTER, "", 4, boots), CLUSTER, COMMITTED, newest)


def test_a_directory_that_lacks_the_recorded_start_is_an_older_copy() -> None:
    """By the newest record, committed or not."""
    with pytest.raises(
        OlderCopy, match=r"member 2 runs on an older copy .* lacks its start 12: .* remove member 2"
    ) as no:
        with_boots(10, 11, 15)
    assert (no.value.code, no.value.member, no.value.boot) == ("older_copy", 2, 12)


@pytest.mark.parametrize("boots", [(12,), (10, 12), (12, 15), (10, 12, 15), (13, 15), ()])
def test_a_member_that_goes_on_from_the_recorded_start_or_knows_of_a_later_one_may_speak(
    boots: tuple[int, ...],
) -> None:
    with_boots(*boots)


def test_a_member_without_a_record_may_speak_whatever_its_starts() -> None:
    with_boots(10, 15, newest=COMMITTED)
