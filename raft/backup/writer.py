"""The making of a backup: the state at an applied index and the live entries, copied beside the process that appends.

It reads as a compaction does (compactor.py), and changes nothing of the log.  Each record's checksum is verified as it
is copied, so damage raises CorruptLog and is never copied.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from raft.backup.backup_file import encode_header
from raft.backup.report import BackupHeader
from raft.compaction.child_process import NICENESS, SPARE_BYTES, pauses
from raft.compaction.compactor import LogPrefix
from raft.core.configuration import decode_configuration
from raft.engine.state_machine import StateMachine
from raft.errors import CorruptLog, RaftError
from raft.storage.disk import Disk, RealDisk
from raft.storage.file_names import snapshot_name
from raft.storage.snapshot_file import file_steps


def write_backup(
    disk: Disk,
    data_dir: Path,
    path: Path,
    index: int,
    machine: StateMachine,
    *,
    program: str,
    made_at: str,
    generation: str = "",
    pause: Callable[[], None] = lambda: None,
) -> BackupHeader:
    """Write a backup of the log in `data_dir` up to `index`, which is applied, to `path`.

    `generation`: the one that the log does not name yet.  `pause` is called between small steps.  The file is whole and
    durable, or not there.  Raises what LogPrefix does.
    """
    prefix = LogPrefix(disk, data_dir, index, machine, pause)
    meta = prefix.meta
    generation = generation or decode_configuration(meta.configuration).generation
    header = BackupHeader(program, made_at, prefix.cluster_id, generation, meta.index, meta.term, meta.time)
    live = machine.live()
    steps = file_steps(
        disk, data_dir, snapshot_name(meta.index), prefix.cluster_id, meta, prefix.document(),
        (len(live), prefix.records(live)), maker=str(os.getpid()), path=path, preface=encode_header(header),
    )  # fmt: skip
    with closing(steps):
        for _ in steps:
            pause()
    return header


def main(arguments: Sequence[str], new_machine: Callable[[], StateMachine], program: str) -> int:
    """Run the child: `DATA_DIR INDEX GENERATION NAME`.  Print {} if the file is there, or where the log is damaged."""
    data_dir, index, generation, name = Path(arguments[0]), int(arguments[1]), arguments[2], arguments[3]
    os.nice(NICENESS)
    made_at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        write_backup(
            RealDisk(), data_dir, data_dir / name, index, new_machine(),
            program=program, made_at=made_at, generation=generation, pause=pauses(data_dir, SPARE_BYTES),
        )  # fmt: skip
    except CorruptLog as damage:
        said = {"file": damage.file, "offset": damage.offset, "indexes": list(damage.indexes)}
        sys.stdout.write(json.dumps(said))
        return 0
    except (RaftError, OSError, LookupError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("{}")
    return 0
