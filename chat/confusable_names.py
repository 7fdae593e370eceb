"""Confusable names: names with the same skeleton look alike.

This follows UTS #39 §4 ("confusable detection"), with a small table of our own instead of Unicode's six thousand lines.
It is stricter: case, accents and the characters between words do not tell two users apart either.

Rules.  A skeleton is computed at the edge, and carried by the command that makes a user or a room.  Unicode's tables
differ from Python to Python, so a check may miss, but two nodes never differ.  A skeleton is compared, and never shown.
"""

# ruff: noqa: RUF001  (letters that look alike are what this is about)

import re
import unicodedata

# By what it looks like: the letter of ASCII that stands for all of a class.  `i l 1 |` are one, `0 o` another.
_LOOKS = {
    "0": "o", "1": "l", "3": "e", "5": "s", "i": "l", "|": "l", "$": "s",
    # Latin that NFKD leaves whole.
    "ı": "l", "ɩ": "l", "ɪ": "l", "ł": "l", "ȷ": "j", "ɑ": "a", "ɡ": "g", "ø": "o", "đ": "d", "ð": "d", "ɖ": "d",
    "ħ": "h", "ŧ": "t", "ƀ": "b", "ɓ": "b", "ɛ": "e", "ǝ": "e", "ə": "e", "ʒ": "e", "þ": "p", "ŋ": "n", "ɴ": "n",
    "ʏ": "y", "ʋ": "u", "ʀ": "r", "ᴀ": "a", "ᴄ": "c", "ᴅ": "d", "ᴇ": "e", "ᴊ": "j", "ᴋ": "k", "ᴍ": "m", "ᴏ": "o",
    "ᴘ": "p", "ᴛ": "t", "ᴜ": "u", "ᴠ": "v", "ᴡ": "w", "ᴢ": "z", "ƒ": "f", "æ": "ae", "œ": "oe",
    # Cyrillic, whose small letters are mostly its capitals.
    "а": "a", "ә": "e", "в": "b", "ь": "b", "ъ": "b", "с": "c", "ԁ": "d", "е": "e", "є": "e", "з": "e", "һ": "h",
    "н": "h", "і": "l", "ӏ": "l", "ј": "j", "к": "k", "м": "m", "п": "n", "и": "n", "о": "o", "ө": "o", "р": "p",
    "ԛ": "q", "г": "r", "ѕ": "s", "т": "t", "ц": "u", "ѵ": "v", "ԝ": "w", "ш": "w", "щ": "w", "х": "x", "у": "y",
    "ү": "y", "ұ": "y", "ғ": "f", "ԍ": "g", "ԗ": "r",
    # Greek, by its capitals: so two cases of one Greek name are the same.
    "α": "a", "β": "b", "γ": "y", "ε": "e", "ζ": "z", "η": "h", "ι": "l", "κ": "k", "μ": "m", "ν": "n", "ο": "o",
    "ρ": "p", "σ": "o", "τ": "t", "υ": "y", "χ": "x", "ω": "w", "ϲ": "c", "ϳ": "j",
    # Armenian, Hebrew.
    "օ": "o", "ս": "u", "հ": "h", "ո": "n", "ց": "g", "զ": "q", "ք": "p", "յ": "j", "լ": "l", "ա": "w",
    "ס": "o", "ו": "l", "ן": "l",
    # Cherokee, whose letters are ours.
    "Ꭺ": "a", "Ᏼ": "b", "Ꮯ": "c", "Ꭰ": "d", "Ꭼ": "e", "Ꮐ": "g", "Ꮋ": "h", "Ꭵ": "l", "Ꭻ": "j", "Ꮶ": "k", "Ꮮ": "l",
    "Ꮇ": "m", "Ꮲ": "p", "Ꭱ": "r", "Ꮪ": "s", "Ꭲ": "t", "Ꮩ": "v", "Ꮃ": "w", "Ꮓ": "z",
}  # fmt: skip
# In a name that has letters of ASCII too, these small ones are there for what they look like themselves.
_SMALL_AMONG_ASCII = {"η": "n", "μ": "u", "ν": "v", "υ": "u"}

_looks = str.maketrans(_LOOKS)
_small_among_ascii = str.maketrans(_SMALL_AMONG_ASCII)
_PAIRS = (("rn", "m"), ("vv", "w"))

# Not seen: marks, formats, and the letters that Unicode has for "nothing".  Or not told apart: spaces and dashes.
_DROPPED = {"Mn", "Me", "Cf", "Zs", "Pd", "Pc"}
_SEPARATORS = {"Zs", "Pd", "Pc"}
_BLANKS = ".·\u115f\u1160\u3164\uffa0\u2800"
_ASCII_LETTER = re.compile("[a-z]", re.IGNORECASE)


def skeleton(name: str) -> str:
    """The skeleton of the name, which all names that look like it share; "" if nothing of it is visible."""
    shown = _seen(name)
    if _ASCII_LETTER.search(shown):
        shown = shown.translate(_small_among_ascii)
    # Twice: folding the case of a few letters gives others that fall apart again.
    looks = _seen(shown.casefold()).translate(_looks)
    for pair, look in _PAIRS:
        looks = looks.replace(pair, look)
    return looks


def room_skeleton(name: str) -> tuple[str, str]:
    """The skeleton of a room's name, in which words stay apart and digits count.

    `1.10` differs from `11.0`, and `team 5` from `team s`; but 0 and 1 count as the letters they look like.
    """
    points = unicodedata.normalize("NFKD", name)
    words = "".join(" " if c in ".·" or unicodedata.category(c) in _SEPARATORS else c for c in points).split()
    digits = "".join(c for c in points if c.isdecimal() and c not in "01")
    return " ".join(filter(None, map(skeleton, words))), digits


def room_looks(name: str) -> str:
    """Return `room_skeleton` as one text, which a command can carry; "" if nothing of the name would be seen."""
    words, digits = room_skeleton(name)
    return f"{digits}/{words}" if words else ""


def _seen(text: str) -> str:
    points = unicodedata.normalize("NFKD", text)
    return "".join(c for c in points if c not in _BLANKS and unicodedata.category(c) not in _DROPPED)
