"""The grammar of `Forwarded` (RFC 7239), with whatever a client may have written before the first proxy added to it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.auth.forwarded import parse


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("", []),
        ("for=192.0.2.43", [{"for": "192.0.2.43"}]),
        ('For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
        (
            "for=192.0.2.60;proto=http;by=203.0.113.43",
            [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}],
        ),
        ("for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ("for=_hidden, for=_SEVKISEK,for=unknown", [{"for": "_hidden"}, {"for": "_SEVKISEK"}, {"for": "unknown"}]),
        (r'for="\"a\\b, c;d"; host="x:1"', [{"for": r'"a\b, c;d', "host": "x:1"}]),
        ("for=192.0.2.1:4711;host=chat.example:444", [{"for": "192.0.2.1:4711", "host": "chat.example:444"}]),
        (" for=a\t;\tproto=b , ,, for=c ", [{"for": "a", "proto": "b"}, {"for": "c"}]),
        (";for=a;;proto=b;", [{"for": "a", "proto": "b"}]),
        ("FOR=a;pRoTo=HTTPS", [{"for": "a", "proto": "HTTPS"}]),
    ],
)
def test_elements_are_read(text: str, elements: list[dict[str, str]]) -> None:
    assert parse(text) == elements


@pytest.mark.parametrize(
    "text",
    [
        "for", "for=", "=a", "for =a", "for= a", "for=a b", 'for="a', 'for="a\\"', 'for="a"b', "for=a;for=b",
        'for="evil, for=192.0.2.1', 'for="evil, for="[2001:db8::1]"', "for=a\x00", 'for=a"b"', "for=a\\b", "é=a",
    ],
)  # fmt: skip
def test_a_malformed_header_says_nothing(text: str) -> None:
    assert parse(text) is None


@given(st.text(st.sampled_from('for=;,"\\ \tab1.:[]_é'), max_size=60))
def test_no_text_raises_and_names_are_in_lower_case(text: str) -> None:
    for element in parse(text) or ():
        assert element
        assert all(name == name.lower() for name in element)


VALUES = st.text(st.characters(codec="latin-1"))


@given(st.lists(st.dictionaries(st.sampled_from(["for", "proto", "host", "x"]), VALUES, min_size=1), min_size=1))
def test_what_is_quoted_is_read_as_it_was(elements: list[dict[str, str]]) -> None:
    def quoted(value: str) -> str:
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    text = ",".join(";".join(f"{name}={quoted(value)}" for name, value in each.items()) for each in elements)
    assert parse(text) == elements
