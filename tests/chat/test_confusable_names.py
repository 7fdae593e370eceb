"""Names that look alike have the same skeleton, and others do not."""

# ruff: noqa: RUF001  (letters that look alike are what this is about)

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.confusable_names import skeleton


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann", "ANN"),
        ("ann", "аnn"),  # Cyrillic a
        ("ann", "Ann "),
        ("ann", "ánn"),
        ("ann", "a\u0300nn"),
        ("ann", "ａｎｎ"),
        ("ann", "𝐚𝓷𝕟"),
        ("ann", "a\u200bn\u00adn"),
        ("ann", "an\u3164n"),
        ("ann", "a.n-n_"),
        ("ann", "ΑΝΝ"),  # Greek capitals
        ("Νίκος", "νίκος"),
        ("eva", "eνa"),  # Greek nu
        ("bob", "b0b"),
        ("bob", "ЬОЬ"),
        ("paypal", "раураl"),
        ("paypal", "PayPaI"),
        ("bill", "b1ll"),
        ("Ian", "lan"),
        ("mark", "rnark"),
        ("mark", "r-nark"),
        ("will", "vvill"),
        ("jose", "j\u00f8se"),
        ("strasse", "stra\u00dfe"),
        ("steve", "ѕtеvе"),
        ("istanbul", "İstanbul"),
        ("istanbul", "\u0131stanbul"),
        ("kate", "Ꮶate"),  # Cherokee
        ("ø5", "os"),
    ],
)
def test_these_look_alike(one: str, other: str) -> None:
    assert skeleton(unicodedata.normalize("NFC", other)) == skeleton(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ann", "anna"),
        ("ann", "anne"),
        ("bob", "rob"),
        ("eva", "ena"),
        ("user2", "user4"),
        ("анна", "иван"),
        ("日本", "日木"),
    ],
)
def test_these_do_not(one: str, other: str) -> None:
    assert skeleton(one) != skeleton(other)


@given(st.text())
def test_a_skeleton_is_its_own_and_the_same_in_every_normal_form(name: str) -> None:
    found = skeleton(name)
    assert skeleton(found) == found
    assert skeleton(unicodedata.normalize("NFC", name)) == found
