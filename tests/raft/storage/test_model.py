"""Random lives of a log against a plain list."""

import tempfile
from itertools import groupby
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from raft.core.entries import configuration_entry, noop_entry
from raft.core.raft_messages import Entry, HardState
from raft.storage.log_store import Storage
from tests.raft.disks import UnsyncedDisk, content, entry, written
from tests.support.slicing import examples

Batch = list[tuple[int, int, int]]  # (how far to rewind, how many entries, bytes of text)

batches = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.sampled_from([1, 50, 5000])), max_size=3)
steps = st.lists(st.one_of(batches, st.sampled_from(["kill", "close"])), max_size=25)


class Model:
    """What the log must be: a list, and the hard state that a start finds."""

    def __init__(self) -> None:
        self.log: list[Entry] = []
        self.term = 0
        self.hard_state = HardState()  # as given
        self.found = HardState()  # as a killed log has it: its commit index stays below what the last batch replaced

    def batch(self, rewinds: Batch) -> list[Entry]:
        """New entries, noted as written."""
        records: list[Entry] = []
        for back, count, size in rewinds:
            self.term += 1
            log = written(self.log, records)
            first = max(1, len(log) + 1 - back)
            records += [self._entry(index, size) for index in range(first, first + count)]
        lowest = min((record.index for record in records), default=len(self.log) + 1)
        self.log = written(self.log, records)
        self.hard_state = HardState(self.term, self.term % 3, len(self.log) // 2)
        self.found = HardState(self.term, self.term % 3, min(len(self.log) // 2, lowest - 1))
        return records

    def _entry(self, index: int, size: int) -> Entry:
        if index % 5 == 0:
            return configuration_entry(index, self.term, index, b'{"Members":[%d]}' % self.term)
        return noop_entry(index, self.term, index) if index % 7 == 0 else entry(index, self.term, "x" * size)


@settings(max_examples=examples(80), deadline=None)
@given(steps, st.sampled_from([500, 3000, 1 << 20]))
def test_a_log_is_a_list_whatever_is_done_to_it(life: list[Batch | str], segment_bytes: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        model = Model()
        storage = _open(directory, segment_bytes)
        for step in life:
            if isinstance(step, str):
                if step == "close":
                    storage.close()
                    model.found = model.hard_state
                storage = _open(directory, segment_bytes)
                model.hard_state = model.found
                _check_recovered(storage, model)
            else:
                _append(storage, model, step)
            _check_reads(storage, model)
        storage.close()


def _append(storage: Storage, model: Model, step: Batch) -> None:
    records = model.batch(step)
    storage.append(model.hard_state, records)


def _open(directory: str, segment_bytes: int) -> Storage:
    return Storage.open(UnsyncedDisk(), Path(directory), segment_bytes=segment_bytes)


def _check_recovered(storage: Storage, model: Model) -> None:
    found = storage.recovered
    assert found.hard_state == model.found
    assert found.last_index == len(model.log)
    assert found.last_time == (model.log[-1].time if model.log else 0)
    runs = [next(run) for _, run in groupby(model.log, key=lambda one: one.term)]
    assert found.term_runs == tuple((one.index, one.term) for one in runs)
    assert found.configurations == tuple(one for one in model.log if one.record.find(b'"configuration"') > 0)
    assert found.reports == ()


def _check_reads(storage: Storage, model: Model) -> None:
    assert storage.last_index == len(model.log)
    assert content(storage) == model.log
    scattered = range(1, len(model.log) + 1, 3)
    assert storage.reader.read_many(scattered) == [model.log[index - 1].record for index in scattered]
    if model.log:
        some = storage.reader.read(1, len(model.log), 3000)
        assert some == [one.record for one in model.log[: len(some)]]
