"""Texts that take their readers longest."""

from itertools import count

_numbers = count(1)

MARKED = "a" + "\u0316\u0301" * 15  # 30 marks, each pair in the wrong order: as many as are let through


def serial() -> str:
    """A word that was not used before."""
    return f"s{next(_numbers)}"


def marked(points: int) -> str:
    """So many code points that NFC has to sort."""
    return (MARKED * (points // len(MARKED) + 1))[:points]


def jamo(points: int) -> str:
    """So many code points that NFC puts together by three."""
    return ("\u1112\u1161\u11ab" * (points // 3 + 1))[:points]


def growing(points: int) -> str:
    """So many code points that are twice as many in NFC: half of them for a text of that length."""
    return "\u0958" * (points // 2)


def ats(points: int) -> str:
    """So many code points that look like mentions of users with long names."""
    return ("@a " * (points // 3 + 1))[:points]


def long_ats(points: int) -> str:
    """Mentions whose ends are many."""
    return ("@" + ". " * 60)[: points % 121] + ("@" + ". " * 60) * (points // 121)


TEXTS = {
    "marks": marked,
    "jamo": jamo,
    "growing": growing,
    "ats": ats,
    "long ats": long_ats,
    "invisible": lambda points: "\u200d" * (points - 1) + "x",
    "quotes": lambda points: '"' * points,
    "astral": lambda points: "\U0001f600" * points,
}
