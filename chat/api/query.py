"""The query of a request, and percent-encoding (RFC 3986 §2.1)."""

from datetime import datetime
from urllib.parse import quote, unquote_to_bytes

from chat.errors import invalid
from chat.services import validation
from chat.services.cursors import Place, parse_index


class Query:
    """The query's parameters.  Unknown ones are ignored; the others are checked when they are asked for."""

    def __init__(self, raw: str) -> None:
        self._values: dict[str, list[str]] = {}
        for pair in raw.split("&") if raw else ():
            name, _, value = pair.partition("=")
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str | None:
        """The value, decoded; None if the parameter is absent."""
        value = self._raw(name)
        return None if value is None else _decoded(name, value)

    def texts(self, name: str) -> list[str] | None:
        """The value as a list separated by commas; an encoded comma belongs to its text."""
        value = self._raw(name)
        return None if value is None else [_decoded(name, text) for text in value.split(",")]

    def _raw(self, name: str) -> str | None:
        values = self._values.get(name)
        if values is not None and len(values) > 1:
            raise invalid(name, "this parameter is given twice")
        return None if values is None else values[0]

    def integer(self, name: str, low: int = 0, high: int = validation.INTEGER_MAX) -> int | None:
        """A decimal number within bounds."""
        text = self.text(name)
        return None if text is None else validation.integer(name, text, low, high)

    def moment(self, name: str) -> datetime | None:
        """A date, which begins at midnight UTC, or a time with its offset from UTC (RFC 3339)."""
        text = self.text(name)
        return None if text is None else validation.moment(name, text)

    def place(self, name: str) -> Place | None:
        """A place in the log that an answer named as X-Raft-Index."""
        text = self.text(name)
        return None if text is None else parse_index(name, text)

    def choice(self, name: str, *choices: str) -> str | None:
        """A word out of a few."""
        text = self.text(name)
        if text is not None and text not in choices:
            raise invalid(name, f"must be {' or '.join(choices)}")
        return text


def percent_decoded(field: str, text: str) -> str:
    """Percent-encoded UTF-8, strictly: nothing is replaced, and a lone % is no text."""
    if "%" not in text and text.isascii():
        return text
    try:
        raw = text.encode("latin-1")  # WSGI's way to put bytes into a str
        decoded = unquote_to_bytes(raw)
        # unquote leaves a bad escape as it is.
        if raw.count(b"%") * 2 != len(raw) - len(decoded):
            raise invalid(field, "has a % without two hexadecimal digits")
        return decoded.decode()
    except UnicodeError:
        raise invalid(field, "is not UTF-8, percent-encoded") from None


def _decoded(name: str, value: str) -> str:
    return percent_decoded(name, value.replace("+", "%20"))


def percent_encoded(text: str) -> str:
    """Any text as one segment of a path or one value of a query."""
    return quote(text, safe="")
