"""The sub-commands: each is a module of chat/cli, which a node does not need.

Those of chat/cli/backups work on files of the engine, whose functions are handed to them.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from chat.cli.backups.tools import BackupTools
from chat.cli.option_table import OptionRefused

BACKUPS: Final = "backups"

# The module of each.
SUB_COMMANDS: Final = {
    **{name: name for name in ("user", "auth", "cert", "clock", "send", "tail", "status", "member", "lead")},
    **{name: f"{BACKUPS}.{name}" for name in ("backup", "verify", "restore", "doctor")},
    "bundle": "offline.bundle",
    "import": "importing.command",
}


def run(arguments: Sequence[str], blocked: Sequence[signal.Signals], tools: Callable[[], BackupTools]) -> int:
    """Run a sub-command; its exit code.  Raises OptionRefused, and BrokenPipeError.

    `blocked`: the signals that a node waits for, which end a sub-command.  `tools`: makes the engine's, for backups.
    """
    if sys.stdout is None:  # before anything is changed
        raise OptionRefused("stdout is closed. Redirect it to a file, or to /dev/null.")
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, blocked)  # Ctrl-C ends it
        name = SUB_COMMANDS[arguments[0]]
        main = import_module(f"chat.cli.{name}").main
        code = int(main(arguments[1:], os.environ, *((tools(),) if name.startswith(BACKUPS) else ())))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT  # as a shell tells of it
    except BrokenPipeError:
        raise
    except OSError as error:  # of stdout: what a command asks of files and nodes, it says itself
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left in the buffer is lost
        raise OptionRefused(f"the output cannot be written: {error.strerror}") from None
