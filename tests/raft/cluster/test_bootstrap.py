"""How members come to a cluster: several of them in one process, talking over real sockets on free ports."""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from chat.server.server import Server
from raft.cluster.bootstrap import Bootstrap
from raft.errors import DiskFull, RefusedPeer, StartRefused
from raft.rpc.calls import HelloReply, Sender
from raft.rpc.codec import Answer, Call
from raft.rpc.endpoint import Endpoint
from raft.storage.identity import Founder, Identity
from tests.raft.scripted_peer import ScriptedPeer, answer, answering
from tests.support.waiting import wait_until

DEADLINE_S = 10.0
INCARNATIONS = {1: "aa", 2: "bb", 3: "cc", 4: "dd"}
LEVEL = 2  # of everybody's program


class Host:
    """A place for a member: a port that is known before anybody lives there."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.bootstrap: Bootstrap | None = None
        self.engine: FormedEngine | None = None
        self.saved: list[Identity] = []
        self.refused: StartRefused | None = None
        self._endpoint: Endpoint | None = None
        self._server = Server(self._call, "127.0.0.1", 0, name=f"peers-{id}")
        self._server.start()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self.url = f"http://127.0.0.1:{self._server.port}"

    def _call(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        endpoint = self._endpoint
        if endpoint is None:  # nobody is in
            start_response("502 Bad Gateway", [("Content-Length", "0")])
            return []
        return endpoint(environ, start_response)

    def start(self, listed: Mapping[int, str], *, join: bool = False, identity: Identity | None = None) -> None:
        """Begin to ask around, in a thread."""
        self.bootstrap = Bootstrap(
            identity or Identity(self.id, INCARNATIONS[self.id], boot=1),
            listed,
            join=join,
            advertise=f"http://chat-{self.id}",
            level=LEVEL,
            save=self.saved.append,
        )
        self._endpoint = Endpoint(self.bootstrap.sender, self.bootstrap.hello)
        self._endpoint.engine = self.engine
        self._thread = threading.Thread(target=self._run, args=(self.bootstrap,), name=f"formation-{self.id}")
        self._thread.start()

    def _run(self, bootstrap: Bootstrap) -> None:
        try:
            if bootstrap.run(self._stopped):
                self.settle(bootstrap.identity)
        except StartRefused as error:
            self.refused = error

    def settle(
        self,
        identity: Identity,
        members: Mapping[int, str] | None = None,
        removed: tuple[int, ...] = (),
        cluster_level: int = 1,
    ) -> None:
        """Have an engine, as a member that has found its cluster does."""
        self.engine = FormedEngine(identity, f"http://chat-{self.id}", members, removed, cluster_level)
        endpoint = self._endpoint or Endpoint(self.engine.sender, self.engine.hello)
        endpoint.engine = self.engine
        self._endpoint = endpoint

    def formed(self) -> Identity:
        """The identity that it came to."""
        assert self._thread is not None and self.bootstrap is not None
        self._thread.join(DEADLINE_S)
        assert self.bootstrap.is_done, self.refused or self.bootstrap.waiting_for
        return self.bootstrap.identity

    def refusal(self) -> str:
        """Why it must not start."""
        assert self._thread is not None
        self._thread.join(DEADLINE_S)
        assert self.refused is not None
        return str(self.refused)

    def waits_for(self, words: str) -> str:
        """What it says it waits for, once that has `words`."""
        bootstrap = self.bootstrap
        assert bootstrap is not None
        return wait_until(
            lambda: bootstrap.waiting_for if words in bootstrap.waiting_for else None,
            DEADLINE_S,
            f"waiting for {words}",
        )

    def leave(self) -> None:
        """Stop asking, and answer nobody; what was saved stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(DEADLINE_S)
            assert not self._thread.is_alive()
        self._endpoint = self.engine = None
        self._stopped = threading.Event()

    def close(self) -> None:
        self.leave()
        self._server.drain(0.0)


class FormedEngine:
    """A member with a cluster, as far as Hello goes."""

    def __init__(
        self,
        identity: Identity,
        advertise: str,
        members: Mapping[int, str] | None,
        removed: tuple[int, ...],
        cluster_level: int,
    ) -> None:
        self._sender = Sender(identity.id, identity.incarnation, identity.cluster_id, advertise, LEVEL)
        self._cluster_level = cluster_level
        self._listed = {id: founder.url for id, founder in identity.founders.items()}
        founders = {id: founder.incarnation for id, founder in identity.founders.items()}
        self._members = dict(members) if members is not None else founders
        self._removed = removed

    def sender(self) -> Sender:
        return self._sender

    def hello(self) -> HelloReply:
        return HelloReply(self._listed, self._members, self._removed, self._cluster_level)

    def admit(self, sender: Sender, target: int) -> None:
        raise RefusedPeer("not_ready", "there is no more to this engine than Hello")

    def serve(self, call: Call, done: Callable[[Answer], None]) -> None:
        raise AssertionError("nobody is admitted")

    def connection_ended(self, member: int) -> None:
        raise AssertionError("nobody is admitted")


class Members:
    """Hosts 1 to 4."""

    def __init__(self) -> None:
        self.hosts = {id: Host(id) for id in INCARNATIONS}

    def __getitem__(self, id: int) -> Host:
        return self.hosts[id]

    def listed(self, *ids: int) -> dict[int, str]:
        """A --cluster of these."""
        return {id: self.hosts[id].url for id in ids}


@pytest.fixture
def cluster() -> Iterator[Members]:
    cluster = Members()
    yield cluster
    for host in cluster.hosts.values():
        host.close()


@pytest.fixture(autouse=True)
def _ask_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft.cluster.bootstrap.ASK_EVERY_S", 0.01)


def founders(cluster: Members, *ids: int) -> dict[int, Founder]:
    return {id: Founder(cluster[id].url, INCARNATIONS[id], f"http://chat-{id}", LEVEL) for id in ids}


# Creating


def test_a_single_member_founds_a_cluster_of_its_own_at_once(cluster: Members) -> None:
    cluster[1].start(cluster.listed(1))
    assert cluster[1].formed().founders == founders(cluster, 1)
    assert cluster[1].saved == [cluster[1].formed()]


class _FullAtFirst(list[Identity]):
    """What was saved; the first try found no room."""

    def __init__(self) -> None:
        self.tries = 0

    def append(self, identity: Identity) -> None:
        self.tries += 1
        if self.tries == 1:
            raise DiskFull("no room")
        super().append(identity)


def test_a_founder_whose_disk_is_full_tries_again(cluster: Members) -> None:
    cluster[1].saved = full = _FullAtFirst()
    cluster[1].start(cluster.listed(1))
    assert cluster[1].formed().founders == founders(cluster, 1)
    assert (full.tries, full) == (2, [cluster[1].formed()])


def test_three_blank_members_with_the_same_list_found_a_cluster_and_write_down_the_same_founders(
    cluster: Members,
) -> None:
    for id in (1, 2, 3):
        cluster[id].start(cluster.listed(1, 2, 3))
    identities = [cluster[id].formed() for id in (1, 2, 3)]
    urls_and_incarnations = [
        {id: (founder.url, founder.incarnation) for id, founder in identity.founders.items()} for identity in identities
    ]
    assert urls_and_incarnations == [{id: (cluster[id].url, INCARNATIONS[id]) for id in (1, 2, 3)}] * 3
    for id, founders in zip((1, 2, 3), (identity.founders for identity in identities), strict=True):
        assert founders[id].level == LEVEL
        assert {founder.level for founder in founders.values()} <= {0, LEVEL}  # 0: it was starting when it was asked
    for id, identity in zip((1, 2, 3), identities, strict=True):
        assert (identity.id, identity.incarnation, identity.cluster_id) == (id, INCARNATIONS[id], "")
        assert cluster[id].saved == [identity]


def test_the_order_in_which_members_start_does_not_matter(cluster: Members) -> None:
    for id in (3, 1):
        cluster[id].start(cluster.listed(3, 2, 1))
        cluster[id].waits_for("member 2")
    cluster[2].start(cluster.listed(1, 2, 3))
    assert len({tuple(cluster[id].formed().founders) for id in (1, 2, 3)}) == 1


def test_nothing_is_founded_while_a_member_is_missing_and_it_is_said_which(cluster: Members) -> None:
    for id in (1, 2):
        cluster[id].start(cluster.listed(1, 2, 3))
    assert cluster[1].waits_for("for member 3") == "waiting for member 3 to create the cluster"
    assert cluster[2].waits_for("for member 3") == "waiting for member 3 to create the cluster"
    assert (cluster[1].saved, cluster[2].saved) == ([], [])


def test_all_that_are_missing_are_named(cluster: Members) -> None:
    cluster[1].start(cluster.listed(1, 2, 3))
    assert cluster[1].waits_for("member 3") == "waiting for member 2 and member 3 to create the cluster"


def test_members_with_differing_lists_found_nothing_and_each_says_why(cluster: Members) -> None:
    cluster[1].start(cluster.listed(1, 2))
    cluster[2].start(cluster.listed(1, 2, 3))
    for id, other in ((1, 2), (2, 1)):
        said = cluster[id].waits_for("another --cluster")
        assert said.startswith(f"member {other} was started with another --cluster (")
        assert f"1={cluster[1].url},2={cluster[2].url}" in said
    assert (cluster[1].saved, cluster[2].saved) == ([], [])


def test_what_is_waited_for_is_logged_once_not_at_every_question(
    cluster: Members, caplog: pytest.LogCaptureFixture
) -> None:
    cluster[1].start(cluster.listed(1, 2))
    cluster[1].waits_for("member 2")
    cluster[2].start(cluster.listed(1, 2, 3))
    cluster[1].waits_for("another --cluster")
    cluster[2].leave()
    cluster[1].waits_for("waiting for member 2")
    assert [
        record.getMessage().split(" (")[0] for record in caplog.records if record.name == "raft.cluster.bootstrap"
    ].count("waiting for member 2 to create the cluster") == 2  # once before and once after member 2 was there


def test_a_stranger_at_a_members_url_is_not_that_member(
    cluster: Members, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody started with the wrong --id, or a URL that leads elsewhere."""
    crossed = {1: cluster[1].url, 2: cluster[3].url}
    cluster[3].start(cluster.listed(1, 3))
    cluster[1].start(crossed)
    assert cluster[1].waits_for("waiting for member 2") == "waiting for member 2 to create the cluster"
    asked: list[int] = []
    bootstrap = cluster[1].bootstrap
    assert bootstrap is not None
    ask = bootstrap._ask

    def noted(id: int) -> object:
        asked.append(id)
        return ask(id)

    monkeypatch.setattr(bootstrap, "_ask", noted)
    wait_until(lambda: len(asked) > 3, DEADLINE_S, "asked again and again")
    warnings = [text for text in map(logging.LogRecord.getMessage, caplog.records) if "gives to member 2" in text]
    assert len(warnings) == 1, "it is not logged at every question"


def test_garbage_at_a_members_url_is_not_that_member(cluster: Members) -> None:
    with ScriptedPeer(answering(answer(b"<html>")), answering(b"SSH-2.0\r\n\r\n")) as garbage:
        cluster[1].start({1: cluster[1].url, 2: garbage.url})
        wait_until(lambda: garbage.connections == 2, DEADLINE_S, "both were asked")
        assert cluster[1].waits_for("member 2") == "waiting for member 2 to create the cluster"
        cluster[1].leave()


def test_a_member_that_is_told_to_stop_stops_asking(cluster: Members) -> None:
    cluster[1].start(cluster.listed(1, 2))
    cluster[1].waits_for("member 2")
    cluster[1].leave()
    assert (cluster[1].saved, cluster[1].refused) == ([], None)


def test_a_member_that_has_just_been_formed_answers_nobody_before_it_has_an_engine(cluster: Members) -> None:
    bootstrap = Bootstrap(
        Identity(1, "aa", 1, founders=founders(cluster, 1)), cluster.listed(1), join=False, advertise="", level=1,
        save=print,
    )  # fmt: skip
    assert bootstrap.is_done
    with pytest.raises(RefusedPeer, match="is starting"):
        bootstrap.hello()


# Founders that are ahead of each other


def test_a_founder_takes_over_what_another_one_that_was_quicker_has_written_down(cluster: Members) -> None:
    quicker = Identity(1, INCARNATIONS[1], 1, founders=founders(cluster, 1, 2, 3))
    cluster[1].settle(quicker)
    cluster[2].start(cluster.listed(1, 2, 3))  # and member 3 is away
    assert {id: f.incarnation for id, f in cluster[2].formed().founders.items()} == {1: "aa", 2: "bb", 3: "cc"}
    assert {id: f.url for id, f in cluster[2].formed().founders.items()} == cluster.listed(1, 2, 3)
    assert {id: f.level for id, f in cluster[2].formed().founders.items()} == {1: LEVEL, 2: LEVEL, 3: 0}  # not met


def test_a_founder_whose_disk_was_wiped_is_refused_in_words(cluster: Members) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 1, founders=founders(cluster, 1, 2, 3)))
    cluster[2].start(cluster.listed(1, 2, 3), identity=Identity(2, "wiped", 1))
    assert "this data directory is new" in cluster[2].refusal()
    assert "member 2" in cluster[2].refusal()
    assert "use that one" in cluster[2].refusal()
    assert cluster[2].saved == []


def test_two_wiped_founders_do_not_make_a_new_cluster_beside_the_third(cluster: Members) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 9, cluster_id="c1", founders=founders(cluster, 1, 2, 3)))
    for id in (2, 3):
        cluster[id].start(cluster.listed(1, 2, 3), identity=Identity(id, f"wiped-{id}", 1))
    for id in (2, 3):
        assert "cluster c1 knows member" in cluster[id].refusal()


def test_two_wiped_founders_wait_for_the_third_while_it_is_away(cluster: Members) -> None:
    for id in (2, 3):
        cluster[id].start(cluster.listed(1, 2, 3), identity=Identity(id, f"wiped-{id}", 1))
        cluster[id].waits_for("member 1")
    assert (cluster[2].saved, cluster[3].saved) == ([], [])


def test_a_founder_that_was_seen_but_saved_nothing_goes_on_in_the_cluster_that_went_on_without_it(
    cluster: Members,
) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 1, cluster_id="c1", founders=founders(cluster, 1, 2, 3)))
    cluster[2].start(cluster.listed(1, 2, 3))
    identity = cluster[2].formed()
    assert (identity.cluster_id, identity.founders, identity.joining) == ("c1", {}, False)


def test_a_founder_that_comes_back_with_another_list_is_refused(cluster: Members) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 1, founders=founders(cluster, 1, 2, 3)))
    cluster[2].start(cluster.listed(1, 2))
    assert "created the cluster with another --cluster" in cluster[2].refusal()


# A cluster that exists


def test_a_blank_stranger_is_told_how_to_be_added(cluster: Members) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 1, cluster_id="c1", founders=founders(cluster, 1, 2, 3)))
    cluster[4].start(cluster.listed(1, 4))
    assert "member 1 belongs to a cluster already (cluster c1)" in cluster[4].refusal()
    assert "/raft/4" in cluster[4].refusal()
    assert "--join" in cluster[4].refusal()


@pytest.mark.parametrize("join", [True, False])
def test_a_removed_member_with_a_blank_disk_is_told_to_take_a_new_id(cluster: Members, join: bool) -> None:
    identity = Identity(1, INCARNATIONS[1], 1, cluster_id="c1", founders=founders(cluster, 1, 2))
    cluster[1].settle(identity, removed=(3,))
    cluster[3].start(cluster.listed(1, 3), join=join)
    assert "member 3 was removed from cluster c1" in cluster[3].refusal()


# Joining


def test_a_joining_member_waits_until_the_cluster_knows_it_and_says_how(cluster: Members) -> None:
    identity = Identity(1, INCARNATIONS[1], 1, cluster_id="c1", founders=founders(cluster, 1, 2))
    cluster[1].settle(identity)
    cluster[4].start(cluster.listed(1, 2, 4), join=True)
    assert cluster[4].waits_for("POST") == (
        f"waiting to be added: POST this member's URL, {cluster[4].url}, to /raft/4 of a member"
    )
    cluster[1].settle(identity, members={1: "aa", 2: "bb", 4: ""})
    joined = cluster[4].formed()
    assert (joined.cluster_id, joined.joining, joined.founders) == ("c1", True, {})
    assert cluster[4].saved == [joined]


def test_a_joining_member_that_is_known_as_itself_joins(cluster: Members) -> None:
    cluster[1].settle(
        Identity(1, INCARNATIONS[1], 1, cluster_id="c1"), members={1: "aa", 4: INCARNATIONS[4]}
    )  # it was met, and was killed before it saved that
    cluster[4].start(cluster.listed(1, 4), join=True)
    assert cluster[4].formed().cluster_id == "c1"


def test_a_joining_member_whose_program_is_below_the_clusters_level_is_refused_in_words(cluster: Members) -> None:
    identity = Identity(1, INCARNATIONS[1], 1, cluster_id="c1")
    cluster[1].settle(identity, members={1: "aa", 4: ""}, cluster_level=LEVEL + 1)
    cluster[4].start(cluster.listed(1, 4), join=True)
    assert cluster[4].refusal() == "this raft-chat knows level 2, and its cluster uses level 3: start a newer one"
    assert cluster[4].saved == []


def test_a_joining_member_under_the_id_of_another_is_refused(cluster: Members) -> None:
    cluster[1].settle(Identity(1, INCARNATIONS[1], 1, cluster_id="c1"), members={1: "aa", 4: "somebody else"})
    cluster[4].start(cluster.listed(1, 4), join=True)
    assert "knows member 4 with another data directory" in cluster[4].refusal()


def test_a_joining_member_creates_nothing_where_nobody_has_a_cluster(cluster: Members) -> None:
    for id in (1, 2):
        cluster[id].start(cluster.listed(1, 2), join=True)
        cluster[id].waits_for("a member of the cluster to join")
    assert (cluster[1].saved, cluster[2].saved) == ([], [])


def test_a_joining_member_waits_while_the_cluster_is_still_being_created(cluster: Members) -> None:
    identity = Identity(1, INCARNATIONS[1], 1, founders=founders(cluster, 1, 2))
    cluster[1].settle(identity)
    cluster[4].start(cluster.listed(1, 4), join=True)
    cluster[4].waits_for("a member of the cluster to join")
    cluster[1].settle(replace(identity, cluster_id="c1"), members={1: "aa", 2: "bb", 4: ""})
    assert cluster[4].formed().cluster_id == "c1"
