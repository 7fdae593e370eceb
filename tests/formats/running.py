"""A data directory in use by a member in this process, with the chat over it and without a network."""

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from chat.app import WsgiApp, create_app
from chat.auth.authenticator import Authenticator
from chat.commands import LEVEL
from chat.state.machine import ChatState
from raft.cluster.member import RunningMember, make_node
from raft.compaction.compactor import compact
from raft.compaction.policy import LogMaintenance
from raft.core.node import Settings
from raft.core.raft_messages import SnapshotMeta
from raft.storage.disk import RealDisk
from raft.storage.identity import Founder, load_or_create, lock_directory, save, settle
from raft.storage.log_store import Storage
from tests.support.waiting import wait_until

URL = "http://127.0.0.1:12379"
SEGMENT_BYTES = 8_000
DEADLINE_S = 30
ID = 1


@dataclass(frozen=True, slots=True)
class Running:
    """A member that leads, its state machine, and the application over both."""

    member: RunningMember
    state: ChatState
    app: WsgiApp
    maintenance: LogMaintenance
    storage: Storage


@contextmanager
def running(data_dir: Path, level: int = LEVEL, segment_bytes: int = SEGMENT_BYTES) -> Iterator[Running]:
    """Start on a directory, which is made if it is missing, as a sole voter of this level; and stop."""
    disk = RealDisk()
    lock = lock_directory(disk, data_dir)
    identity = load_or_create(disk, data_dir, ID)
    if not identity.founders:
        identity = replace(identity, founders={ID: Founder(URL, identity.incarnation, "", level)})
        save(disk, data_dir, identity)
    storage = Storage.open(disk, data_dir, identity.cluster_id, must_exist=False, segment_bytes=segment_bytes)
    # As one of several it does not wait for those that may know of later starts of its directory.
    identity = settle(disk, data_dir, identity, alone=False, moved=True)
    state, failures = ChatState(), list[str]()

    def rewrite(up_to: int, meanwhile: Callable[[], None] = lambda: None) -> SnapshotMeta:
        return compact(disk, data_dir, up_to, ChatState())

    member = RunningMember(
        make_node(identity, storage.recovered, Settings(heartbeat_ms=20, election_timeout_ms=40), random.Random()),
        storage, state, identity, advertise="", level=level,
        save_identity=lambda changed: save(disk, data_dir, changed),
        on_end=lambda why, code: failures.append(why), rewrite=rewrite,
    )  # fmt: skip
    app = create_app(member, state, authenticator=Authenticator(member, state))
    committed = member.start()
    try:
        assert member.wait_applied(committed, DEADLINE_S)
        wait_until(lambda: member.leads and member.cluster_id, DEADLINE_S, "it leads")
        maintenance = member._log_maintenance
        assert maintenance is not None
        maintenance._stopping = threading.Event()
        yield Running(member, state, app, maintenance, storage)
    finally:
        member.give_up()
        member.stop()
        lock.close()
    assert failures == []
