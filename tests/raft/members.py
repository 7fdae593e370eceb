"""Whole members in one process: real ports, real disks, and a state machine that only remembers."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue

from raft.cluster.member import RunningMember, make_node
from raft.compaction.compactor import compact
from raft.compaction.policy import Rewrite
from raft.core.node import Settings
from raft.core.raft_messages import SnapshotMeta
from raft.errors import RaftError
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.endpoint import Endpoint
from raft.rpc.peer_loop import Lane
from raft.storage.disk import Closeable, RealDisk
from raft.storage.identity import Founder, Identity, load_or_create, lock_directory, save
from raft.storage.log_store import Storage
from tests.raft.memory import Memory
from tests.raft.peer_port import PeerPort
from tests.support.waiting import wait_until

DEADLINE_S = 20.0  # for anything that is expected to happen, on a busy machine
SETTINGS = Settings(heartbeat_ms=25, election_timeout_ms=120)  # an election where none was needed fails no test


class Host:
    """A member's directory and port; the member comes and goes."""

    def __init__(self, id: int, path: Path, settings: Settings = SETTINGS) -> None:
        self.id = id
        self.path = path
        self.settings = settings
        self.port = PeerPort(f"peers-{id}")
        self.memory = Memory()
        self.level = 1  # of its program
        self.secret_file: Path | None = None
        self.ended: SimpleQueue[tuple[str, int]] = SimpleQueue()  # what on_end was told
        self.on_notice: Callable[[int, bytes], None] = lambda member, body: None
        self.makes_snapshots = False  # in this process, of what it has applied
        self.rewrite: Rewrite | None = None  # None: it never compacts
        self._disk = RealDisk()
        self._lock: Closeable | None = None
        self._storage: Storage | None = None
        self._boots = 0  # as each start has its own seed, and a test the same ones each time
        self._member: RunningMember | None = None

    @property
    def member(self) -> RunningMember:
        assert self._member is not None
        return self._member

    @property
    def is_running(self) -> bool:
        return self._member is not None

    def incarnate(self) -> str:
        """Make the data directory; its incarnation."""
        self._boots += 1
        self._lock = lock_directory(self._disk, self.path)
        identity = load_or_create(self._disk, self.path, self.id)
        self._lock.close()
        return identity.incarnation

    def start(self, founders: dict[int, Founder] | None = None, cluster_id: str = "") -> None:
        """Start from the directory as it is, in a new boot; a new one is told its founders or its cluster."""
        self._boots += 1
        self._lock = lock_directory(self._disk, self.path)
        identity = load_or_create(self._disk, self.path, self.id)
        identity = replace(identity, founders=founders or identity.founders)
        identity = replace(identity, cluster_id=identity.cluster_id or cluster_id)
        self._storage = storage = Storage.open(self._disk, self.path, self._cluster_of_the_log(identity, cluster_id))
        self._save(identity)
        self.memory = Memory()
        secret = ClusterSecret(self.secret_file, lambda: endpoint.own_sender()) if self.secret_file else None
        member = RunningMember(
            make_node(identity, storage.recovered, self.settings, random.Random(f"{self.id} {self._boots}")),
            storage,
            self.memory,
            identity,
            advertise=f"http://chat-{self.id}",
            level=self.level,
            save_identity=self._save,
            on_end=lambda why, code: self.ended.put((why, code)),
            on_notice=lambda member, body: self.on_notice(member, body),
            secret=secret,
            rewrite=self.rewrite or (self._compact if self.makes_snapshots else None),
            mark=(self._disk, self.path),
        )
        endpoint = Endpoint(member.sender, member.hello, secret)
        committed = member.start()
        endpoint.engine = member
        self.port.open(endpoint)
        assert member.wait_applied(committed, 10.0)
        self._member = member

    def _compact(self, up_to: int, meanwhile: Callable[[], None]) -> SnapshotMeta:
        return compact(self._disk, self.path, up_to, Memory())

    @staticmethod
    def _cluster_of_the_log(identity: Identity, joined: str) -> str:
        return "" if identity.cluster_id == joined else identity.cluster_id  # a member that joins has no log yet

    def _save(self, identity: Identity) -> None:
        save(self._disk, self.path, identity)

    def stop(self) -> None:
        """Have the member go, as a process does on SIGTERM that nobody hands leadership over before."""
        member, self._member = self._member, None
        if member is None:
            return
        self.port.shut()
        member.stop()
        queues = [queue.queue if isinstance(queue, Lane) else queue for queue in member._peers._queues.values()]
        threads = [queue._thread for queue in queues]
        threads += [thread] if (thread := member._peers._urgent._thread) is not None else []
        threads += [queue._thread for queue in member._notices._queues.values()]
        for thread in (*member._threads, *threads):
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        assert self._lock is not None
        self._lock.close()

    def release(self) -> None:
        """After a start that was refused: what the process would have held."""
        assert self._lock is not None and self._storage is not None
        self._storage.close()
        self._lock.close()

    def close(self) -> None:
        self.stop()
        self.port.close()

    def propose(self, command: bytes) -> SimpleQueue[object]:
        """Where the result will be."""
        told: SimpleQueue[object] = SimpleQueue()
        self.member.propose(command, told.put)
        return told

    def result_of(self, command: bytes) -> object:
        """Propose, and wait."""
        return self.propose(command).get(timeout=DEADLINE_S)

    def read(self) -> RaftError | None:
        """Wait until the memory may be read."""
        told: SimpleQueue[RaftError | None] = SimpleQueue()
        self.member.read(told.put)
        return told.get(timeout=DEADLINE_S)


class Members:
    """Hosts 1 to `count`, and the cluster that their members found."""

    def __init__(self, path: Path, count: int = 3, settings: Settings = SETTINGS) -> None:
        self._path = path
        self._settings = settings
        self.hosts = {id: Host(id, path / str(id), settings) for id in range(1, count + 1)}

    def __getitem__(self, id: int) -> Host:
        return self.hosts[id]

    def found(self) -> None:
        """Start all; they have agreed on each other as founders already."""
        founders = {
            id: Founder(host.port.url, host.incarnate(), f"http://chat-{id}") for id, host in self.hosts.items()
        }
        for host in self.hosts.values():
            host.start(founders)

    def add(self, id: int) -> Host:
        """Add a host that runs no member yet."""
        host = self.hosts[id] = Host(id, self._path / str(id), self._settings)
        return host

    def close(self) -> None:
        """Have all go; none leaves a thread."""
        for host in self.hosts.values():
            host.close()

    def running(self) -> list[Host]:
        return [host for host in self.hosts.values() if host.is_running]

    def leader(self) -> Host:
        """Who leads, once one of those present does and all of them say so."""

        def agreed() -> Host | None:
            leaders = {host.member.status()["Leader"] for host in self.running()}
            [leader] = leaders if len(leaders) == 1 else [0]
            assert isinstance(leader, int)
            return self.hosts[leader] if leader and self.hosts[leader].is_running else None

        return wait_until(agreed, DEADLINE_S, "one leader of all")

    def followers(self) -> list[Host]:
        leader = self.leader()
        return [host for host in self.running() if host is not leader]

    def wait_until_all_have(self, commands: set[bytes]) -> None:
        """Until every member present has applied at least these."""
        wait_until(
            lambda: all(commands <= set(host.memory.commands) for host in self.running()),
            DEADLINE_S,
            f"{len(commands)} commands on every member",
        )


@contextmanager
def founded(path: Path, settings: Settings = SETTINGS) -> Iterator[Members]:
    """The members of one cluster, for as long as it takes."""
    cluster = Members(path, settings=settings)
    cluster.found()
    try:
        yield cluster
    finally:
        cluster.close()
