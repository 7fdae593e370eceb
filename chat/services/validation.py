"""The rules for everything that clients send: names, texts, numbers, URLs and the JSON around them.

All of it is checked here, at the edge, before anything is proposed: what the log holds is trusted.  Text is brought
into NFC here too, because versions of Unicode differ from Python to Python and `apply` must not depend on them.
Each check returns the value to use or raises a Problem (400) whose detail begins with the field's name.
"""

import codecs
import json
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn
from urllib.parse import urlsplit

from chat.errors import Problem, invalid

NAME_POINTS_MAX = 64
TOPIC_POINTS_MAX = 250
MESSAGE_POINTS_MAX = 8_000
PASSWORD_POINTS = range(8, 257)
CLIENT_ID_POINTS_MAX = 128  # opaque to us: room for a UUID and a client's own prefix
EMOJI_POINTS_MAX = 32  # a family of four with skin tones has eleven
URL_POINTS_MAX = 255
FOLLOWED_ROOMS_MAX = 1_000  # of one subscription; a client that wants more asks for all
INTEGER_MAX = 2**53 - 1  # what a JavaScript client can count to
MAX_MESSAGES_MAX = 1_000_000_000  # of a room's retention: ten times what a log can be expected to hold
AGE_S_MAX = 315_360_000  # of retention: ten years
MEMBERS_MAX = 256  # of one JSON object: no request of ours has more than a dozen
MARKS_MAX = 30  # of a starter, as UAX #15 "Stream-Safe"; sorting n of them costs n squared, 60,000 took 5.6 s

# Control characters (C0, DEL, C1), the bidi controls, lone surrogates.
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt]\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:[Zz]|[+-]\d\d:\d\d))?", re.ASCII)
_NOT_IN_PASSWORDS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_VARIATION = re.compile(r"[\ufe00-\ufe0f\U000e0100-\U000e01ef]")
# A code point that a reader sees by itself: none that is white space, a control character, or of Unicode 15's
# Default_Ignorable_Code_Point, and no blank that is no space (Braille blank, Hangul fillers).
_SHOWN = re.compile(
    r"[^\s\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    r"\U000e0000-\U000e0fff]"
)
# Invisible characters in a name, except those that emoji and some scripts need inside a word.
_HIDDEN = re.compile(
    r"[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u206f\u2800\u3164\ufeff\uffa0\ufff0-\ufff8]"
)
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_INTEGER = re.compile(r"[0-9]{1,16}")  # int() would also take "+5", "5_0" and other scripts' digits


def name(field: str, value: object) -> str:
    """A room's or user's name: 1 to 64 code points, NFC, no space at its ends, not a path's dots.

    Nothing in it hides or reorders text, and nothing is invisible, so two names that look the same are mostly equal.
    """
    return _name(field, _text(field, value, NAME_POINTS_MAX))


@lru_cache(maxsize=4096)  # the same few rooms and users, post after post
def _name(field: str, text: str) -> str:
    text = _normalised(field, text, NAME_POINTS_MAX)
    if _NOT_IN_NAMES.search(text):
        raise invalid(field, "must not have control characters, bidi controls or surrogates")
    _check_is_seen(field, text)
    if text in (".", ".."):
        raise invalid(field, 'must not be "." or ".."')
    return text


def _check_is_seen(field: str, text: str) -> None:
    """Raise Problem (400) if a name has invisible characters, or white space at its ends."""
    if _HIDDEN.search(text) or not shows_something(text):
        raise invalid(field, "must not have invisible characters")
    if text[0].isspace() or text[-1].isspace():
        raise invalid(field, "must not begin or end with a space")


def user_name(field: str, value: object) -> str:
    """The name of a user who signs up: a name that `@name` in a message can only mean as that user."""
    found = name(field, value)
    if found == "room" or found.startswith("@"):
        raise invalid(field, 'must not be "room" nor begin with "@"')
    return found


def label(field: str, value: object, points_min: int = 0) -> str:
    """A short text for people, up to 64 code points: NFC, nothing that hides or reorders text."""
    return _line(field, value, points_min, NAME_POINTS_MAX)


def display_name(field: str, value: object) -> str:
    """A display name: 1 to 64 code points, NFC, with nothing invisible and no space at its ends."""
    text = label(field, value, 1)
    _check_is_seen(field, text)
    return text


def topic(field: str, value: object) -> str:
    """A room's topic: up to 250 code points, NFC, nothing that hides or reorders text."""
    return _line(field, value, 0, TOPIC_POINTS_MAX)


def _line(field: str, value: object, points_min: int, points_max: int) -> str:
    text = _normalised(field, _text(field, value, points_max, points_min), points_max)
    if _NOT_IN_NAMES.search(text):
        raise invalid(field, "must not have control characters, bidi controls or surrogates")
    return _shown(field, text) if text else text


def password(field: str, value: object) -> str:
    """A password: 8 to 256 code points, every space an ASCII one, in NFC (RFC 8265 §4.2.2, OpaqueString).

    It is not the same text as was typed, but the same for whatever keyboard it was typed on.
    """
    text = _text(field, value, PASSWORD_POINTS[-1], PASSWORD_POINTS[0])
    if _NOT_IN_PASSWORDS.search(text):
        raise invalid(field, "must not have control characters or surrogates")
    spaced = "".join(" " if unicodedata.category(point) == "Zs" else point for point in text)
    return _normalised(field, spaced, PASSWORD_POINTS[-1])


def message(field: str, value: object) -> str:
    """A post's text: 1 to 8,000 code points, NFC, of which a reader sees one at least."""
    text = _shown(field, _text(field, value, MESSAGE_POINTS_MAX))
    if text.isascii():
        return text
    if _SURROGATE.search(text):
        raise invalid(field, "must not have lone surrogates")
    return _normalised(field, text, MESSAGE_POINTS_MAX)


def client_id(field: str, value: object) -> str:
    """A client's name for its request, by which a retry is recognised: compared as it is, never normalised."""
    text = _text(field, value, CLIENT_ID_POINTS_MAX)
    if _NOT_IN_NAMES.search(text):
        raise invalid(field, "must not have control characters, bidi controls or surrogates")
    return text


def emoji(field: str, value: object) -> str:
    """A reaction: 1 to 32 code points, NFC, no white space and nothing that hides or reorders text.

    Variation selectors are taken off: 👍 is one reaction, whether a keyboard adds U+FE0F to it or not.
    """
    text = _normalised(field, _text(field, value, EMOJI_POINTS_MAX), EMOJI_POINTS_MAX)
    if _NOT_IN_NAMES.search(text) or any(map(str.isspace, text)):
        raise invalid(field, "must not have white space, control characters, bidi controls or surrogates")
    return _VARIATION.sub("", _shown(field, text))


def shows_something(text: str) -> bool:
    """Return whether a reader sees anything of the text."""
    return _SHOWN.search(text) is not None


def _shown(field: str, text: str) -> str:
    if not "!" <= text[:1] <= "~" and _SHOWN.search(text) is None:
        raise invalid(field, "must show something: these characters are all invisible or white space")
    return text


def post_id(field: str, value: object) -> int:
    """A post's Id in JSON: an integer from 1."""
    return number(field, value, 1, INTEGER_MAX)


def number(field: str, value: object, low: int, high: int) -> int:
    """An integer in JSON."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise invalid(field, f"must be an integer from {low} to {high}")
    return value


def integer(field: str, text: str, low: int = 0, high: int = INTEGER_MAX) -> int:
    """A decimal number in a path or a query: ASCII digits and nothing else."""
    if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
        raise invalid(field, f"must be an integer from {low} to {high}")
    return int(text)


def moment(field: str, text: str) -> datetime:
    """A date, which begins at midnight UTC, or a time with its offset from UTC (RFC 3339 §5.6)."""
    if not _MOMENT.fullmatch(text):
        raise invalid(field, "must be a date like 2026-11-23, or a time like 2026-11-23T10:00:00Z")
    try:
        found = datetime.fromisoformat(text.upper())
        return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except ValueError:
        raise invalid(field, "is not in the calendar") from None


def peer_url(field: str, body: bytes) -> str:
    """A node's URL for its peers: `http://host:port`; white space around it and a trailing slash are ignored."""
    text = body.decode("ascii", "replace").strip()
    if len(text) > URL_POINTS_MAX:
        raise invalid(field, f"must have {URL_POINTS_MAX} characters at most")
    # urlsplit drops tabs and newlines in silence, so they are looked for before it.
    if not text.isascii() or not text.isprintable() or any(c in text for c in ' "<>\\^`{|}'):
        raise invalid(field, "must be a URL like http://127.0.0.1:12379")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise invalid(field, "must be a URL like http://127.0.0.1:12379") from None
    if parts.scheme != "http" or not parts.hostname or not port or "@" in parts.netloc:
        raise invalid(field, "must be a URL with a host and a port, like http://127.0.0.1:12379")
    if parts.path not in ("", "/") or "?" in text or "#" in text:
        raise invalid(field, "must be a URL without path, query or fragment, like http://127.0.0.1:12379")
    return f"http://{parts.netloc}"


def json_object(body: bytes) -> dict[str, object]:
    """The JSON object of a body, strictly: UTF-8, no NaN, no member twice, at most MEMBERS_MAX members an object.

    A byte order mark before it is ignored (RFC 8259 §8.1 allows that): some editors put one before all they save.
    """
    try:
        value = _DECODER.decode(body.removeprefix(codecs.BOM_UTF8).decode())
    except UnicodeDecodeError as not_utf8:
        raise invalid("body", f"not UTF-8 at byte {not_utf8.start}") from None
    except json.JSONDecodeError as not_json:
        raise invalid("body", f"not JSON at character {not_json.pos}: {not_json.msg}") from None
    except ValueError:  # int() of thousands of digits
        raise invalid("body", "not JSON: a number is too long") from None
    except RecursionError:
        raise invalid("body", "JSON nested too deeply") from None
    if not isinstance(value, dict):
        raise invalid("body", "must be a JSON object")
    return value


def members(fields: Mapping[str, object]) -> dict[str, object]:
    """The members by their names in lower case: `message` and `Message` are the same one, so not both may be there."""
    folded = {name.lower(): value for name, value in fields.items()}
    if len(folded) != len(fields):
        raise _twice([name.lower() for name in fields])
    return folded


def only(fields: Mapping[str, object], *known: str) -> dict[str, object]:
    """`members` of an object that may have these members only; Problem (400) names them."""
    found = members(fields)
    if found.keys() - {name.lower() for name in known}:
        raise invalid("body", f"has an unknown field; {_known(known)}")
    return found


def some(fields: Mapping[str, object], *known: str) -> dict[str, object]:
    """`only`, of an object that must have one of these members at least."""
    found = only(fields, *known)
    if not found:
        raise invalid("body", f"has no field; {_known(known)}")
    return found


def _known(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]} can be given" if len(names) > 1 else f"only {names[0]} can be given"


def retention(value: object, none: int) -> tuple[int | None, int | None]:
    """The bounds of `{"MaxMessages": 100, "MaxAgeSeconds": 86400}`, each None if it is not named and `none` for null.

    null for the whole object stands for null for both.
    """
    if value is None:
        return none, none
    if not isinstance(value, dict):
        raise invalid("Retention", 'must be an object like {"MaxMessages":100}, or null')
    bounds = members(value)
    if not bounds or bounds.keys() - {"maxmessages", "maxageseconds"}:
        raise invalid("Retention", "must have MaxMessages or MaxAgeSeconds, or both, and no other field")
    return (
        bound("MaxMessages", bounds, MAX_MESSAGES_MAX, none),
        bound("MaxAgeSeconds", bounds, AGE_S_MAX, none),
    )


def bound(name: str, bounds: Mapping[str, object], most: int, none: int) -> int | None:
    """The bound of this name, from 1 to `most`: None if it is not named, `none` for null."""
    if name.lower() not in bounds:
        return None
    found = bounds[name.lower()]
    return none if found is None else number(name, found, 1, most)


def _text(field: str, value: object, points_max: int, points_min: int = 1) -> str:
    if not isinstance(value, str):
        raise invalid(field, "must be a string")
    if not points_min <= len(value) <= points_max:
        raise invalid(field, f"must have {points_min} to {points_max:,} code points, has {len(value):,}")
    return value


def _normalised(field: str, text: str, points_max: int) -> str:
    """Return the text in NFC, which can be longer than what was sent."""
    if text.isascii() or unicodedata.is_normalized("NFC", text):
        return text
    marks = 0
    for point in text:
        marks = marks + 1 if unicodedata.combining(point) else 0
        if marks > MARKS_MAX:
            raise invalid(field, f"must not have more than {MARKS_MAX} combining marks in a row")
    text = unicodedata.normalize("NFC", text)
    if len(text) > points_max:
        raise invalid(field, f"must have {points_max:,} code points at most in NFC, has {len(text):,}")
    return text


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(pairs) > MEMBERS_MAX:
        raise invalid("body", f"an object has {len(pairs):,} members, at most {MEMBERS_MAX} are allowed")
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _twice([name for name, _ in pairs])
    return members


def _twice(names: list[str]) -> Problem:
    seen: set[str] = set()
    twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
    known = ("Message", "User", "ClientId", "ReplyTo", "Retention", "MaxMessages")
    field = next((name for name in known if name.lower() == twice.lower()), "body")
    return invalid(field, "is given twice")


def _constant(_: str) -> NoReturn:
    raise invalid("body", "not JSON: NaN and Infinity are not numbers")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
