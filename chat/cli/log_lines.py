"""The format of a log line: text from a peer or a client cannot leave its line."""

import logging
from types import TracebackType

FORMAT = "%(asctime)s %(levelname)s %(message)s"


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

    def formatException(
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """The traceback, each line indented and escaped."""
        return "\n".join("    " + escaped(line) for line in super().formatException(ei).split("\n"))


def escaped(text: str) -> str:
    """The text with what is not printable as its escape."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
