"""raft-chat: the command line.

Rules
- Only what runs is imported: a sub-command imports no node, and what a node starts as a child imports the log and the
  state.  A node takes three times as long to import as `raft-chat status`.
- A refused option or start is one line on stderr and exit code 1.
"""

import signal
import sys

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # a node waits for them
if __name__ == "__main__" or sys.argv[0].rpartition("/")[2].startswith("raft-chat"):
    # Before the other imports, which take a third of a second: PID 1 loses a signal that it neither blocks nor handles.
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)

# ruff: noqa: E402
import io
import os
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from chat.cli.backups.tools import BackupTools, Content
from chat.cli.option_table import OptionRefused, error_line
from chat.cli.options import read_options
from chat.process import descriptors, sub_commands
from chat.process.own_command import BACK_UP, REWRITE
from raft.backup.report import Restored
from raft.errors import DiskFailed, DiskFull, StartRefused

NODE = "raft_chat_node"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `raft-chat`.  What stdout cannot encode is printed as an escape."""
    descriptors.open_standard()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return _run(sys.argv[1:] if arguments is None else arguments)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except BrokenPipeError:  # the reader of the output has seen enough, as `head` does
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the interpreter flushes it once more at its end
        return 1


def _run(arguments: Sequence[str]) -> int:
    command = arguments[0] if arguments else ""
    if command in (REWRITE, BACK_UP, "version"):
        return _run_without_options(command, arguments[1:])
    try:
        if command in sub_commands.SUB_COMMANDS:
            return sub_commands.run(arguments, SIGNALS, _backup_tools)
        options = read_options(arguments, os.environ)
        return int(import_module(NODE).run(options, SIGNALS))
    except (OptionRefused, StartRefused, DiskFailed, DiskFull) as error:
        is_command = command in sub_commands.SUB_COMMANDS
        print(error_line(error, as_json=is_command and "--json" in arguments), file=sys.stderr)
        return 1


def _run_without_options(command: str, arguments: Sequence[str]) -> int:
    """Run a child of a node, or print the version; the exit code."""
    if command == REWRITE:
        from chat.state.machine import ChatState
        from raft.compaction.child_process import main as rewrite

        return rewrite(arguments, ChatState)
    from chat.version import program_version

    if command == BACK_UP:
        from chat.state.machine import ChatState
        from raft.backup.writer import main as back_up

        return back_up(arguments, ChatState, program_version())
    print(f"raft-chat {program_version()}")
    return 0


def _backup_tools() -> BackupTools:
    """Return the engine's part of the backup commands, with this program's state."""
    from raft.backup.backup_file import BackupCheck, header_of

    def verify(path: Path) -> Content:
        from chat.state.machine import ChatState
        from raft.backup.restore import loaded

        checked, machine = loaded(path, ChatState)
        assert isinstance(machine, ChatState)
        return Content(checked.finish(), *machine.counts())

    def restore(source: Path, data_dir: Path, id: int, url: str) -> Restored:
        from chat.commands import LEVEL
        from chat.state.machine import ChatState
        from raft.backup.restore import restore_backup, restore_directory

        make = restore_directory if source.is_dir() else restore_backup
        return make(source, data_dir, id, url, LEVEL, ChatState)

    def doctor(data_dir: Path) -> dict[str, object]:
        from chat.commands import LEVEL
        from chat.state.machine import ChatState
        from raft.cluster.examination import examine

        facts, machine = examine(data_dir, LEVEL, ChatState)
        if "Applied" in facts:
            assert isinstance(machine, ChatState)
            facts |= dict(zip(("Messages", "Rooms", "Users"), machine.counts(), strict=True))
        return facts

    return BackupTools(new_check=BackupCheck, header_of=header_of, verify=verify, examine=doctor, restore=restore)


if __name__ == "__main__":
    sys.exit(main())
