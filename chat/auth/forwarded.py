"""Read the header `Forwarded` (RFC 7239): what each proxy on the way says of the request as it received it.

Rules
- A header that breaks the grammar says nothing: the part that a client wrote may have opened a quoted string, in which
  the part of the last proxy would be lost.
- An unquoted value may have the characters of an address with a port, as most proxies write it.
"""

import re
from typing import Final

_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
# Possessive throughout, so nothing is tried twice and the time is linear.
_PAIR: Final = re.compile(rf'({_TOKEN})=(?:([^\x00-\x20",;\\\x7f]++)|"((?:[^"\\]|\\.)*+)")')
_SEPARATOR: Final = re.compile(r"[ \t]*+([;,])[ \t]*+")
_ESCAPED: Final = re.compile(r"\\(.)")

Element = dict[str, str]  # names in lower case: "for", "proto", "host", "by" and any others


def parse(text: str) -> list[Element] | None:
    """The elements, the one of the last proxy last; None if the header is malformed.  Never raises."""
    text = text.strip(" \t")
    elements: list[Element] = [{}]
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is not None:
            name = pair[1].lower()
            if name in elements[-1]:  # §4: each parameter at most once
                return None
            elements[-1][name] = pair[2] if pair[3] is None else _ESCAPED.sub(r"\1", pair[3])
            at = pair.end()
            if at == len(text):
                break
        separator = _SEPARATOR.match(text, at)
        if separator is None:
            return None
        at = separator.end()
        if separator[1] == ",":
            elements.append({})
    return [element for element in elements if element]  # a list may have empty elements (RFC 9110 §5.6.1)
