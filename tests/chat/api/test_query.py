"""The query of a request: percent-encoding."""

import pytest

from chat.api.query import percent_decoded
from chat.errors import Problem


def test_percent_encoding_is_undone_strictly() -> None:
    assert percent_decoded("f", "a%2Fb%C3%A9%25\xc3\xa9") == "a/bé%é"
    for wrong in ("%", "%4", "%G1", "%%41", "%FF", "\xff", "\u20ac", "%C3"):
        with pytest.raises(Problem, match=r"^f: "):
            percent_decoded("f", wrong)
