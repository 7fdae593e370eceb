"""Fields of a log line beside its message, for formats that show them (`--log-format json`)."""

from typing import Final

ATTRIBUTE: Final = "fields"  # of the log record


def fields(**values: object) -> dict[str, dict[str, object]]:
    """The `extra` of a call of a logger: `logger.info("…", extra=fields(status=200))`."""
    return {ATTRIBUTE: values}
