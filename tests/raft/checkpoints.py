"""Checkpoints as a member makes them of its state, without the member."""

from collections.abc import Iterable

from raft.core.raft_messages import SnapshotMeta
from raft.engine.state_machine import Replicated, StateMachine
from raft.storage.log_store import Storage
from raft.storage.snapshot_file import Document


def document_at(storage: Storage, index: int, machine: StateMachine) -> Document:
    """The state at `index`, in this machine, which was empty."""
    state = Replicated(machine)
    if found := storage.documents(index):
        state.restore(found.meta, found.lines)
    for entry in storage.reader.replay(state.meta.index + 1, index):
        state.apply(entry)
    return Document(state.meta, state.document())


def written_checkpoint(storage: Storage, index: int, machine: StateMachine) -> SnapshotMeta:
    """A checkpoint at `index`, all at once."""
    document = document_at(storage, index, machine)
    take(storage.write_checkpoint(document))
    return document.meta


def take(steps: Iterable[None]) -> None:
    """All the steps of what is done in steps."""
    for _ in steps:
        pass
