"""Write static/data/emoji.json, the page's emoji and their names: `python -m tests.page.emoji_data`.

The source is Debian's package unicode-data, which has Unicode's emoji-test.txt.  The names that people type are
Unicode's own, with underscores; the short ones below come first.
"""

import json
import re
import sys
from pathlib import Path

from tests.support.cluster import ROOT

SOURCE = Path("/usr/share/unicode/emoji/emoji-test.txt")
TARGET = ROOT / "static" / "data" / "emoji.json"
TONE = re.compile("[\U0001f3fb-\U0001f3ff]")
LINE = re.compile(r"^[0-9A-F ]+; fully-qualified +# (\S+) E\S+ (.+)$")

SHORT = {
    "😀": "grinning", "😃": "smiley", "😄": "smile", "😁": "grin", "😆": "laughing", "😅": "sweat_smile", "😂": "joy",
    "🤣": "rofl", "🙂": "slight_smile", "😉": "wink", "😊": "blush", "😍": "heart_eyes", "😘": "kiss", "😋": "yum",
    "😎": "cool sunglasses", "🤔": "thinking", "😐": "neutral", "🙄": "eye_roll", "😏": "smirk", "😴": "sleeping",
    "😕": "confused", "😢": "cry", "😭": "sob", "😡": "rage", "😱": "scream", "😮": "open_mouth", "🤯": "mind_blown",
    "🥳": "party", "😇": "innocent", "🤷": "shrug", "🤦": "facepalm", "👍": "+1 thumbsup", "👎": "-1 thumbsdown",
    "👌": "ok", "👏": "clap", "🙏": "pray thanks", "💪": "muscle", "👀": "eyes", "👋": "wave", "🙌": "raised_hands",
    "🤝": "handshake", "❤️": "heart", "💔": "broken_heart", "💯": "100", "🔥": "fire", "✨": "sparkles", "⭐": "star",
    "🎉": "tada", "🚀": "rocket", "✅": "check white_check_mark", "✔️": "tick", "❌": "x", "❗": "exclamation",
    "❓": "question", "⚠️": "warning", "🐛": "bug", "☕": "coffee", "🍺": "beer", "🍕": "pizza",
    "🎂": "cake", "🌈": "rainbow",
    "☀️": "sunny", "🌙": "moon", "⏰": "clock alarm", "🔒": "lock", "🔑": "key", "📌": "pin",
    "📎": "paperclip", "💡": "bulb",
    "💩": "poop", "👻": "ghost", "🤖": "robot", "🎯": "target", "🙈": "see_no_evil", "💀": "skull", "🚢": "ship shipit",
}  # fmt: skip


def groups(text: str) -> list[tuple[str, list[tuple[str, str, str, int]]]]:
    """The emoji by group: sign, name, short names, and 1 where it may have a skin tone."""
    found: dict[str, dict[str, tuple[str, str, str, int]]] = {}
    toned = set()
    group = ""
    for line in text.splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        elif match := LINE.match(line):
            sign, name = match.groups()
            if TONE.search(sign):
                toned.add(TONE.sub("", sign))
            else:
                found.setdefault(group, {})[sign] = (sign, name, SHORT.get(sign, ""), 0)
    return [
        (
            name,
            [(*entry[:3], int(entry[0].replace("\ufe0f", "") in toned or entry[0] in toned)) for entry in of.values()],
        )
        for name, of in found.items()
    ]


def main() -> int:
    TARGET.parent.mkdir(exist_ok=True)
    packed = groups(SOURCE.read_text(encoding="utf-8"))
    TARGET.write_text(json.dumps(packed, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
