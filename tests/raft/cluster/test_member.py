"""Three whole members in one process: what any of them is asked is done once, on all, whoever comes and goes."""

import threading
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from queue import SimpleQueue

import pytest

from raft.core.configuration import AddMember, PlanPromotion, RemoveMember
from raft.core.node import Node, Settings
from raft.core.raft_messages import ProposalId
from raft.errors import ChangeRefused, DiskFull, OutcomeUnknown, RefusedPeer, StartRefused, Unavailable
from raft.rpc.calls import Propose, ProposeReply, Sender
from raft.storage.disk import RealDisk
from raft.storage.identity import IDENTITY_NAME, Founder, Identity, decode
from raft.storage.reserve import Reserve
from tests.raft.members import DEADLINE_S, Host, Members, founded
from tests.support.waiting import wait_until


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Members]:
    """Three members for one test."""
    with founded(tmp_path) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Members]:
    """Three members for all the tests that leave them as they are."""
    with founded(tmp_path_factory.mktemp("members")) as shared:
        yield shared


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients wait for less than a second, not for five."""
    monkeypatch.setattr("raft.engine.proposals.UNPROPOSED_TIMEOUT_S", 0.3)
    monkeypatch.setattr("raft.engine.proposals.HANDED_OVER_TIMEOUT_S", 0.4)
    monkeypatch.setattr("raft.engine.applier.READ_TIMEOUT_S", 0.3)


def commands(prefix: str, number: int) -> list[bytes]:
    return [f'"{prefix}-{n}"'.encode() for n in range(number)]


# Proposals and reads


def test_a_proposal_on_any_member_is_answered_with_that_members_own_result(shared: Members) -> None:
    told = commands("own", 3)
    results = [host.result_of(command) for host, command in zip(shared.running(), told, strict=True)]
    shared.wait_until_all_have(set(told))
    for host in shared.running():
        assert [host.memory.commands.index(command) + 1 for command in told] == results


def test_a_proposal_that_comes_before_there_is_a_leader_waits_for_one(cluster: Members) -> None:
    assert isinstance(cluster[2].result_of(b'"early"'), int)


def test_proposals_of_all_members_at_once_are_applied_once_and_in_the_same_order_on_all(shared: Members) -> None:
    told = {command: host.propose(command) for host in shared.running() for command in commands(f"from-{host.id}", 100)}
    results = {command: queue.get(timeout=DEADLINE_S) for command, queue in told.items()}
    shared.wait_until_all_have(set(results))
    one, other, third = (host.memory for host in shared.running())
    assert one.commands == other.commands == third.commands
    assert one.indexes == other.indexes == third.indexes == sorted(one.indexes)
    assert {command: one.commands.index(command) + 1 for command in results} == results
    assert len(set(one.commands)) == len(one.commands)


def test_proposals_of_one_thread_to_one_member_keep_their_order(shared: Members) -> None:
    follower = shared.followers()[0]
    told = [follower.propose(command) for command in commands("x", 200)]
    results = [queue.get(timeout=DEADLINE_S) for queue in told]
    first = follower.memory.commands.index(b'"x-0"') + 1
    assert results == list(range(first, first + 200))


def test_a_read_on_any_member_sees_what_was_answered_anywhere(shared: Members) -> None:
    for number, (writer, reader) in enumerate((w, r) for w in shared.running() for r in shared.running()):
        command = b'"read-%d"' % number
        writer.result_of(command)
        assert reader.read() is None
        assert command in reader.memory.commands


def test_entries_are_read_back_by_their_indexes(shared: Members) -> None:
    host = shared[1]
    for command in commands("entry", 5):
        host.result_of(command)
    first = host.memory.commands.index(b'"entry-0"')
    indexes = host.memory.indexes[first : first + 5]
    assert [entry.body for entry in host.member.commands(indexes)] == commands("entry", 5)
    assert [entry.index for entry in host.member.commands([indexes[1], indexes[4]])] == [indexes[1], indexes[4]]


def test_the_state_machine_is_told_how_far_it_is_after_each_batch(shared: Members) -> None:
    host = shared[1]
    host.result_of(b'"told"')
    last = host.memory.indexes[-1]
    assert host.member.wait_applied(last, DEADLINE_S)
    wait_until(lambda: last in host.memory.told, DEADLINE_S, "told")
    assert not host.member.wait_applied(last + 1_000, 0.01)


# Members that go and come back


def test_when_the_leader_goes_the_others_go_on(cluster: Members) -> None:
    cluster[1].result_of(b'"before"')
    cluster.leader().stop()
    for host in cluster.running():
        assert isinstance(host.result_of(b'"after-%d"' % host.id), int)
    cluster.wait_until_all_have({b'"before"'})


def test_every_answered_proposal_is_applied_once_though_leaders_come_and_go_meanwhile(cluster: Members) -> None:
    cluster.leader()
    ended = threading.Event()
    answered: list[bytes] = []
    refused: list[bytes] = []

    def write(host: Host) -> None:
        for number in count():
            if ended.is_set():
                return
            command = b'"%d-%d"' % (host.id, number)
            result = host.result_of(command)
            if isinstance(result, Unavailable):
                refused.append(command)
            elif not isinstance(result, OutcomeUnknown):
                answered.append(command)

    def wait_for_more() -> None:
        enough = len(answered) + 20
        wait_until(lambda: len(answered) >= enough, DEADLINE_S, "more answers")

    going = cluster.leader()
    writers = [threading.Thread(target=write, args=(host,), name=f"writer-{host.id}") for host in cluster.followers()]
    for writer in writers:
        writer.start()
    try:
        for _ in range(2):
            wait_for_more()
            going.stop()
            wait_for_more()
            going.start()
    finally:
        ended.set()
        for writer in writers:
            writer.join(DEADLINE_S)
    cluster.wait_until_all_have(set(answered))
    for host in cluster.running():
        assert len(set(host.memory.commands)) == len(host.memory.commands)
        assert not set(refused) & set(host.memory.commands)


def test_leadership_that_is_handed_over_is_elsewhere_before_the_leader_goes(cluster: Members) -> None:
    leader = cluster.leader()
    leader.result_of(b"1")
    leader.member.hand_over(DEADLINE_S)
    assert leader.member.status()["Leader"] not in (0, leader.id)
    assert isinstance(leader.result_of(b"2"), int)


def test_a_hand_over_that_is_refused_or_given_up_is_asked_for_again(
    cluster: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a busy machine, where a follower answers late, or cannot take over within an election timeout."""
    leader = cluster.leader()
    leader.result_of(b"1")
    asked: list[int] = []
    follower, transfer = cluster.followers()[0].id, Node.transfer_leadership

    def late(node: Node, target: int = 0) -> int:
        asked.append(node.id)
        if len(asked) == 1:
            raise ChangeRefused("not_in_contact", "the follower does not answer")
        return transfer(node, target) if len(asked) > 2 else follower

    monkeypatch.setattr(Node, "transfer_leadership", late)
    leader.member.hand_over(DEADLINE_S)
    assert leader.member.status()["Leader"] not in (0, leader.id)
    assert len(asked) >= 3


def test_a_member_that_comes_back_has_what_it_had_and_gets_what_it_missed(cluster: Members) -> None:
    away = cluster.followers()[0]
    cluster.leader().result_of(b'"before"')
    cluster.wait_until_all_have({b'"before"'})
    away.stop()
    cluster.leader().result_of(b'"meanwhile"')
    away.start()
    cluster.wait_until_all_have({b'"before"', b'"meanwhile"'})
    assert away.memory.commands == [b'"before"', b'"meanwhile"']


def test_after_a_restart_of_all_everything_is_there_once_and_proposals_go_on(cluster: Members) -> None:
    for boot in range(2):
        for host in cluster.running():
            assert isinstance(host.result_of(b'"%d in boot %d"' % (host.id, boot)), int)
        cluster_ids = {host.member.cluster_id for host in cluster.running()}
        for host in cluster.running():
            host.stop()
        for host in cluster.hosts.values():
            host.start()
        assert {host.member.cluster_id for host in cluster.running()} == cluster_ids
    expected = [b'"%d in boot %d"' % (id, boot) for boot in range(2) for id in (1, 2, 3)]
    cluster.wait_until_all_have(set(expected))
    assert [host.memory.commands for host in cluster.running()] == [expected] * 3


def test_a_member_that_starts_alone_shows_what_it_knew_to_be_committed(cluster: Members) -> None:
    cluster[1].result_of(b'"known"')
    cluster[1].stop()  # what it was told last is marked on its disk
    for host in cluster.running():
        host.stop()
    cluster[1].start()
    status = cluster[1].member.status()
    assert status["LastApplied"] == status["CommitIndex"]
    assert cluster[1].memory.indexes == [] or cluster[1].memory.commands == [b'"known"']


# Without a majority


def test_without_a_majority_a_proposal_is_told_that_it_was_not_made_or_is_not_known_and_a_read_is_refused(
    tmp_path: Path, impatient: None
) -> None:
    patient = Settings(heartbeat_ms=25, election_timeout_ms=800)  # it is to lead still when it is asked first
    with founded(tmp_path, patient) as cluster:
        leader = cluster.leader()
        for host in cluster.followers():
            host.stop()
        first = leader.result_of(b'"in the log of one"')  # this may come about yet
        assert isinstance(first, OutcomeUnknown)
        wait_until(lambda: leader.member.status()["Leader"] == 0, DEADLINE_S, "it steps down")
        assert isinstance(leader.result_of(b'"nowhere"'), Unavailable)
        assert isinstance(leader.read(), Unavailable)
        assert leader.memory.commands == []


def test_a_leader_that_waits_for_a_majority_takes_in_no_more_than_its_bound(tmp_path: Path, impatient: None) -> None:
    """It does not know yet that the majority is gone, but only slow."""
    patient = Settings(heartbeat_ms=25, election_timeout_ms=3_000, uncommitted_bytes_max=100)
    with founded(tmp_path, patient) as cluster:
        leader = cluster.leader()
        follower, other = cluster.followers()
        assert isinstance(leader.result_of(b'"before"'), int)
        for host in (follower, other):
            host.stop()
        last = leader.member.status()["LastIndex"]
        first = leader.propose(b'"%b"' % (b"x" * 100))
        wait_until(lambda: leader.member.status()["LastIndex"] != last, DEADLINE_S, "it is in the leader's log")
        assert isinstance(leader.result_of(b'"over the bound"'), Unavailable)
        assert isinstance(first.get(timeout=DEADLINE_S), OutcomeUnknown)
        told: list[object] = []
        forwarded = Propose(follower.id, leader.id, ((ProposalId(follower.id, 9, 1, 0), b'"forwarded"'),))
        leader.member.serve(forwarded, told.append)
        assert told == [ProposeReply(False, leader.id)]
        assert leader.member.status()["Leader"] == leader.id
        follower.start()
        wait_until(lambda: isinstance(leader.result_of(b'"room again"'), int), DEADLINE_S, "room again")
        assert b'"over the bound"' not in leader.memory.commands


def test_what_was_told_to_be_unknown_comes_about_once_when_the_majority_is_back(
    tmp_path: Path, impatient: None
) -> None:
    patient = Settings(heartbeat_ms=25, election_timeout_ms=3_000)  # the leader leads on while they are away
    with founded(tmp_path, patient) as cluster:
        leader = cluster.leader()
        away = cluster.followers()
        for host in away:
            host.stop()
        assert isinstance(leader.result_of(b'"in the log of one"'), OutcomeUnknown)
        for host in away:
            host.start()
        cluster.leader()
        wait_until(lambda: isinstance(leader.result_of(b'"after"'), int), DEADLINE_S, "an answer")
        assert leader.memory.commands.count(b'"in the log of one"') <= 1


# Membership


def test_a_member_is_added_and_promoted_when_it_has_caught_up(cluster: Members) -> None:
    cluster[1].result_of(b'"before"')
    fourth = cluster.add(4)
    cluster.followers()[0].member.change(AddMember(4, fourth.port.url))
    fourth.start(cluster_id=cluster[1].member.cluster_id)
    cluster.wait_until_all_have({b'"before"'})

    def votes() -> bool:
        members = fourth.member.status()["Members"]
        assert isinstance(members, list)
        return any(member["Id"] == 4 and member["Voting"] for member in members)

    wait_until(votes, DEADLINE_S, "member 4 votes")
    assert isinstance(fourth.result_of(b'"from four"'), int)
    assert set(fourth.member.nodes()) == {f"http://chat-{id}" for id in (1, 2, 3, 4)}


def test_asking_twice_for_the_same_change_is_no_error(cluster: Members) -> None:
    url = cluster.add(4).port.url
    for host in cluster.followers():
        host.member.change(AddMember(4, url, voting=False))


def test_a_change_that_makes_no_sense_is_refused_wherever_it_was_asked_for(shared: Members) -> None:
    shared.leader()
    for host in shared.running():
        with pytest.raises(ChangeRefused) as refused:
            host.member.change(PlanPromotion(9))
        assert refused.value.code == "unknown_member"


def test_a_learner_for_good_votes_once_it_is_asked_to_and_has_caught_up(cluster: Members) -> None:
    fourth = cluster.add(4)
    cluster.leader().member.change(AddMember(4, fourth.port.url, voting=False))
    fourth.start(cluster_id=cluster[1].member.cluster_id)
    cluster.followers()[0].member.change(PlanPromotion(4))
    assert votes(cluster.leader(), 4)
    cluster.followers()[0].member.change(PlanPromotion(4))  # it is so already


def test_a_promotion_that_takes_long_is_told_to_come_later(cluster: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.cluster.admin.CHANGE_TIMEOUT_S", 0.5)
    fourth = cluster.add(4)
    asked = cluster.followers()[0]
    asked.member.change(AddMember(4, fourth.port.url, voting=False))
    with pytest.raises(OutcomeUnknown, match="member 4 has not caught up yet; it will vote once it has caught up"):
        asked.member.change(PlanPromotion(4))
    fourth.start(cluster_id=cluster[1].member.cluster_id)
    wait_until(lambda: votes(asked, 4), DEADLINE_S, "member 4 votes")


def test_a_promotion_of_a_member_that_is_removed_meanwhile_is_told_so(cluster: Members) -> None:
    fourth = cluster.add(4)
    asked, other = cluster.running()[:2]
    asked.member.change(AddMember(4, fourth.port.url, voting=False))
    refused: SimpleQueue[object] = SimpleQueue()

    def promote() -> None:
        try:
            asked.member.change(PlanPromotion(4))
        except ChangeRefused as error:
            refused.put(error.code)

    thread = threading.Thread(target=promote, name="promote")
    thread.start()
    node_lock = asked.member._node_lock
    wait_until(
        lambda: node_lock.read(lambda node: node.committed_configuration.members[4].promote), DEADLINE_S, "planned"
    )
    other.member.change(RemoveMember(4))
    assert refused.get(timeout=DEADLINE_S) == "unknown_member"
    thread.join(DEADLINE_S)


def votes(asked: Host, id: int) -> bool:
    members = asked.member.status()["Members"]
    assert isinstance(members, list)
    return any(member["Id"] == id and member["Voting"] for member in members)


def test_leadership_goes_where_it_is_asked_to_go_whoever_is_asked(cluster: Members) -> None:
    for target in (1, 2, 3):
        for asked in cluster.running():
            asked.member.transfer(target)
            assert asked.member.status()["Leader"] == target
        assert isinstance(cluster[target].result_of(b'"%d"' % target), int)


def test_a_transfer_that_cannot_be_is_refused_and_the_leader_stays(tmp_path: Path) -> None:
    # No election where none was needed, on a busy machine either.
    with founded(tmp_path, Settings(heartbeat_ms=25, election_timeout_ms=500)) as cluster:
        learner = cluster.add(4)
        leader = cluster.leader()
        leader.member.change(AddMember(4, learner.port.url, voting=False))
        gone, asked = cluster.followers()
        gone.stop()
        wait_until(lambda: last_contact_ms(leader, gone.id) > 1_000, DEADLINE_S, "it is missed")
        for target, code in ((gone.id, "not_in_contact"), (4, "not_a_voter"), (9, "not_a_voter")):
            for host in (leader, asked):
                with pytest.raises(ChangeRefused) as refused:
                    host.member.transfer(target)
                assert refused.value.code == code
        assert cluster.leader() is leader


def last_contact_ms(leader: Host, id: int) -> int:
    members = leader.member.status()["Members"]
    assert isinstance(members, list)
    (shown,) = (member["LastContactMs"] for member in members if member["Id"] == id)
    assert isinstance(shown, int)
    return shown


def test_a_member_that_does_not_take_over_in_time_is_told_of(cluster: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    leader, target = cluster.leader(), cluster.followers()[0]
    monkeypatch.setattr("raft.core.node.Node._may_campaign", lambda node: False)
    words = f"member {target.id} did not take over in time; member {leader.id} leads"
    with pytest.raises(ChangeRefused, match=words) as refused:
        leader.member.transfer(target.id)
    assert refused.value.code == "not_taken_over"


def test_without_a_leader_a_transfer_is_told_to_try_again(cluster: Members, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.cluster.admin.CHANGE_TIMEOUT_S", 0.5)
    alone, *others = cluster.running()
    for host in others:
        host.stop()
    wait_until(lambda: not alone.member.status()["Leader"], DEADLINE_S, "nobody leads")
    with pytest.raises(Unavailable, match="nothing was changed"):
        alone.member.transfer(others[0].id)


@pytest.mark.parametrize("leads", [True, False])
def test_a_removed_member_ends_with_0_and_the_others_go_on(cluster: Members, leads: bool) -> None:
    removed = cluster.leader() if leads else cluster.followers()[0]
    removed.member.change(RemoveMember(removed.id))
    why, code = removed.ended.get(timeout=DEADLINE_S)
    assert ("removed" in why, code) == (True, 0)
    removed.stop()
    for host in cluster.running():
        assert isinstance(host.result_of(b'"after-%d"' % host.id), int)
        assert host.ended.empty()


def test_a_member_that_was_removed_while_it_was_away_learns_of_it_and_ends(cluster: Members) -> None:
    away = cluster.followers()[0]
    away.stop()
    cluster.leader().member.change(RemoveMember(away.id))
    away.start()
    why, code = away.ended.get(timeout=DEADLINE_S)
    assert ("removed" in why, code) == (True, 0)


def test_a_learner_that_was_away_while_a_leader_that_is_none_any_more_removed_it_learns_of_it_and_ends(
    cluster: Members,
) -> None:
    """Nobody says a word to it, and it never campaigns."""
    learner = cluster.add(4)
    leader, other = cluster.leader(), cluster.followers()[0]
    leader.member.change(AddMember(4, learner.port.url, voting=False))
    learner.start(cluster_id=leader.member.cluster_id)
    leader.result_of(b"1")
    cluster.wait_until_all_have({b"1"})
    learner.stop()
    leader.member.change(RemoveMember(4))
    other.member.transfer(other.id)
    term = other.member.status()["Term"]
    learner.start()
    why, code = learner.ended.get(timeout=DEADLINE_S)
    assert ("removed" in why, code) == (True, 0)
    assert (cluster[other.id].member.status()["Leader"], other.member.status()["Term"]) == (other.id, term)


# Levels


def test_the_level_rises_once_every_member_has_come_back_with_a_newer_program(cluster: Members) -> None:
    cluster[1].result_of(b"1")
    for host in list(cluster.hosts.values()):
        wait_until(lambda: levels(cluster) == [1, 1, 1], DEADLINE_S, "a new program alone raises nothing")
        host.stop()
        host.level = 2
        host.start()
        wait_until(lambda host=host: level_of(cluster, host.id) == 2, DEADLINE_S, "its level is noted")  # type: ignore[misc]
    wait_until(lambda: levels(cluster) == [2, 2, 2], DEADLINE_S, "all are at level 2")


def levels(cluster: Members) -> list[int]:
    """The cluster's, as each member knows it; 0 where it does not yet."""
    known = []
    for host in cluster.running():
        try:
            known.append(host.member.level)
        except Unavailable:
            known.append(0)
    return known


def test_the_level_is_not_known_before_the_cluster_has_its_name(tmp_path: Path) -> None:
    cluster = Members(tmp_path)
    founders = {id: Founder(host.port.url, host.incarnate(), "", 1) for id, host in cluster.hosts.items()}
    try:
        cluster[1].start(founders)
        with pytest.raises(Unavailable, match="not known here yet"):
            _ = cluster[1].member.level
        for id in (2, 3):
            cluster[id].start(founders)
        wait_until(lambda: all(host.member.cluster_id for host in cluster.running()), DEADLINE_S, "it has its name")
        wait_until(lambda: levels(cluster) == [1, 1, 1], DEADLINE_S, "all know it")
    finally:
        cluster.close()


def test_a_member_that_comes_back_with_an_older_program_is_refused_by_its_own_log(cluster: Members) -> None:
    for host in list(cluster.hosts.values()):
        host.stop()
    for host in cluster.hosts.values():
        host.level = 2
        host.start()
    wait_until(lambda: levels(cluster) == [2, 2, 2], DEADLINE_S, "all are at level 2")
    older = cluster.followers()[0]
    older.stop()
    older.level = 1
    with pytest.raises(StartRefused, match="knows level 1, and its cluster uses level 2"):
        older.start()
    older.release()


def test_a_member_that_meets_a_level_beyond_its_own_ends_and_says_why(cluster: Members) -> None:
    """Its log lacked that when it came back with an older program."""
    behind = cluster.followers()[0]
    behind.level = 2
    behind.stop()
    behind.start()
    wait_until(lambda: level_of(cluster, behind.id) == 2, DEADLINE_S, "its level is noted")
    behind.stop()
    for host in cluster.running():
        host.stop()
        host.level = 2
        host.start()
    wait_until(lambda: levels(cluster) == [2, 2], DEADLINE_S, "the others are at level 2")
    behind.level = 1
    behind.start()
    why, code = behind.ended.get(timeout=DEADLINE_S)
    assert (why, code) == ("this raft-chat knows level 1, and its cluster uses level 2: start a newer one", 1)


def level_of(cluster: Members, id: int) -> object:
    """As everybody has it, or None."""
    levels: set[object] = set()
    for host in cluster.running():
        members = host.member.status()["Members"]
        assert isinstance(members, list)
        levels.update(member["Level"] for member in members if member["Id"] == id)
    return levels.pop() if len(levels) == 1 else None


# What it says


def test_its_status_shows_every_member_and_to_the_leader_how_far_each_is(shared: Members) -> None:
    shared[1].result_of(b'"status"')

    def leading() -> dict[str, object] | None:
        status = shared.leader().member.status()
        return status if status["Role"] == "leader" and status["ClusterId"] else None

    status = wait_until(leading, DEADLINE_S, "a leader's status")
    assert status["Id"] == status["Leader"]
    members = status["Members"]
    assert isinstance(members, list)
    assert [member["Id"] for member in members] == [1, 2, 3]
    assert [member["Url"] for member in members] == [shared[id].port.url for id in (1, 2, 3)]
    assert all(member["MatchIndex"] > 0 and member["LastContactMs"] >= 0 for member in members)
    assert shared[1].member.nodes() == ["http://chat-1", "http://chat-2", "http://chat-3"]


def test_it_admits_the_members_of_its_cluster_when_they_mean_it(shared: Members) -> None:
    shared[1].result_of(b"1")
    member, peer = shared[1].member, shared[2].member.sender()
    member.admit(peer, 1)
    with pytest.raises(RefusedPeer) as refused:
        member.admit(peer, 3)
    assert refused.value.code == "unknown_member"
    with pytest.raises(RefusedPeer) as refused:
        member.admit(Sender(2, "wiped", peer.cluster_id, ""), 1)
    assert refused.value.code == "other_incarnation"


# Ending


def test_a_member_that_stops_under_load_stops_cleanly_and_its_log_is_sound(cluster: Members) -> None:
    """Connections' threads write too: none may write while the log is being closed."""
    going = cluster.followers()[0]
    leader = cluster.leader()
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            leader.result_of(b'"load"')

    writers = [threading.Thread(target=write, name=f"writer-{n}") for n in range(4)]
    for writer in writers:
        writer.start()
    try:
        going.member.stop()  # before its port is shut, as the process does
        assert going.ended.empty()
        going.stop()
        going.start()
        going.result_of(b'"back"')
    finally:
        ended.set()
        for writer in writers:
            writer.join(DEADLINE_S)


# A full disk


class _NoReserve(Reserve):
    """A reserve that was given up, on a disk that takes nothing more."""

    def room_bytes(self) -> int | None:
        return 0 if self.why_full else None


def _fill(host: Host) -> _NoReserve:
    """Have the disk of a member be full, as its engine sees it."""
    reserve = _NoReserve(RealDisk(), host.path)
    reserve.why_full = "the disk is full"
    host.member._driver.group_commit._reserve = reserve
    host.member._reserve_tried()
    return reserve


def test_a_full_follower_counts_as_out_of_contact_once_it_lacks_something_and_catches_up_when_it_has_room(
    cluster: Members,
) -> None:
    full, other = cluster.followers()
    reserve = _fill(full)
    assert isinstance(other.result_of(b'"beyond"'), int)
    wait_until(lambda: full.member.contact_age_s() > 0.5, DEADLINE_S, "it counts as out of contact")
    assert isinstance(full.result_of(b'"here"'), Unavailable)
    assert isinstance(full.read(), Unavailable)
    assert b'"beyond"' not in full.memory.commands
    reserve.why_full = ""
    full.member._reserve_tried()
    cluster.wait_until_all_have({b'"beyond"'})
    wait_until(lambda: full.member.contact_age_s() < 0.5, DEADLINE_S, "it is in contact")
    assert isinstance(full.result_of(b'"again"'), int)


def test_where_no_majority_has_room_every_member_says_so_and_takes_what_frees_space(cluster: Members) -> None:
    leader, (one, other) = cluster.leader(), cluster.followers()
    for host in (one, other):
        host.member._driver.group_commit._reserve = reserve = _NoReserve(RealDisk(), host.path)
        reserve.why_full = "the disk is full"
        reserve.room_bytes = lambda: 10_000  # type: ignore[method-assign]
        host.member._reserve_tried()
    for host in (leader, one, other):
        host.member._forwarder._frees = host.member._driver._frees = lambda command: command == b'"delete"'
        host.member._driver.group_commit._frees = host.member._driver._frees
    wait_until(lambda: isinstance(leader.result_of(b'"post"'), DiskFull), DEADLINE_S, "the leader has heard of it")
    assert isinstance(one.result_of(b'"post"'), DiskFull)
    for host in (leader, one):
        assert isinstance(host.result_of(b'"delete"'), int)


def test_an_identity_that_cannot_be_saved_on_a_full_disk_is_saved_once_there_is_room(cluster: Members) -> None:
    member, before = cluster[1].member, (cluster[1].path / IDENTITY_NAME).read_bytes()

    def fail(identity: Identity) -> None:
        raise DiskFull("no room")

    save, member._own._save = member._own._save, fail
    member._own.change(generation="ab")
    assert member._own._identity.generation == "ab"
    assert (cluster[1].path / IDENTITY_NAME).read_bytes() == before
    member._own._save = save
    member._reserve_tried()
    assert decode((cluster[1].path / IDENTITY_NAME).read_bytes()).generation == "ab"
