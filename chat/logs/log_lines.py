"""The formats of a log line: text from a peer or a client cannot leave its line.

A line may have fields beside its message: `log_fields.py`.  `text` shows the message
alone; `json` shows the fields too.
"""

import atexit
import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType

from chat.logs.log_fields import ATTRIBUTE
from chat.logs.stderr_log import StderrLog, log_of

FORMAT = "%(asctime)s %(levelname)s %(message)s"
FORMATS = ("text", "json")

logger = logging.getLogger(__name__)

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class LineFormatter(logging.Formatter):
    """Escape what is not printable in a message, and indent a traceback: only a real line begins with its time."""

    def __init__(self) -> None:
        super().__init__(FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """The line, and the traceback where there is one."""
        record.exc_text = None  # another handler's formatter may have left its own there
        return super().format(record)

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line, escaped."""
        record.message = escaped(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: _ExcInfo) -> str:
        """The traceback, each line indented and escaped."""
        return "\n".join("    " + escaped(line) for line in super().formatException(ei).split("\n"))


class JsonFormatter(logging.Formatter):
    """Format each line as a JSON object in ASCII, so that no reader finds a line's end within it.

    Members: `time` (RFC 3339, UTC, microseconds), `level`, `logger`, `thread`, `message`, the line's own fields, and
    `traceback` where there is one.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        line: dict[str, object] = {
            "time": rfc_3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        own = getattr(record, ATTRIBUTE, None)
        if isinstance(own, dict):
            line |= {name: value for name, value in own.items() if name not in line}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line, default=str)


def rfc_3339(seconds: float) -> str:
    """A time since 1970 as RFC 3339 has it, in UTC and with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def escaped(text: str) -> str:
    """The text with what is not printable as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def set_up(level: str, form: str) -> StderrLog:
    """Log to stderr in this format, and so what Python itself would print there: warnings, errors that end a thread."""
    handler = log_of(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(True)
    threading.excepthook = _log_end_of_thread
    atexit.register(handler.finish)  # before logging ends, which holds a lock that the writer needs
    return handler


def _log_end_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit:
        return
    name = arguments.thread.name if arguments.thread is not None else "?"
    error = arguments.exc_value or arguments.exc_type()
    logger.error("thread %s has ended by an error", name, exc_info=error)
