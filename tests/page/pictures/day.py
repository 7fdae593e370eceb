"""One day of a team of six: who they are, their rooms, and what they write.

A room is imported, so that its messages keep these authors and times.  What comes while the page is open, such as a
mention, is posted then.
"""

from dataclasses import dataclass, field
from typing import Any

DATE = "2026-03-12"  # a Thursday
OFFSET = "+01:00"
TIME_ZONE = "Europe/Berlin"  # has this offset on that day
NOW = f"{DATE}T17:46:00{OFFSET}"  # what the browser's clock says

MAREN, CHLOE, OLENA, DEV, NOUR, MISAKI = "Maren", "Chloé", "Олена", "Dev", "نور", "美咲"
ROLES = {MAREN: "admin", CHLOE: "member", OLENA: "member", DEV: "member", NOUR: "member", MISAKI: "guest"}
FULL_NAMES = {
    MAREN: "Maren Holt",
    CHLOE: "Chloé Dubois",
    OLENA: "Олена Кравчук",
    DEV: "Dev Patel",
    NOUR: "نور حداد",
    MISAKI: "佐藤 美咲",
}
ONLINE = (CHLOE, OLENA, DEV, NOUR)


@dataclass(frozen=True, slots=True)
class Said:
    """One message, as a line of an export has it."""

    user: str
    time: str  # such as 09:05
    text: str
    reply_to: int = 0  # the number of a message of this room; 0 for none
    reactions: dict[str, tuple[str, ...]] = field(default_factory=dict)
    edited: str = ""  # its time
    is_deleted: bool = False
    is_pinned: bool = False

    def line(self, id: int) -> dict[str, Any]:
        line: dict[str, Any] = {"Id": id, "User": self.user, "Message": self.text, "PostedAt": at(self.time)}
        if self.reply_to:
            line["ReplyTo"] = self.reply_to
        if self.reactions:
            line["Reactions"] = {emoji: list(users) for emoji, users in self.reactions.items()}
        if self.edited:
            line["EditedAt"] = at(self.edited)
        if self.is_deleted:
            line |= {"Deleted": True, "Message": ""}
        if self.is_pinned:
            line["Pinned"] = True
        return line


@dataclass(frozen=True, slots=True)
class Room:
    name: str
    topic: str
    said: tuple[Said, ...]
    read: int  # Maren has read so many of its messages
    members: tuple[str, ...] = ()  # of a private room


def at(time: str) -> str:
    return f"{DATE}T{time}:00{OFFSET}"


CODE = """Found why the map was slow. The sort was inside of the loop:

```js
const near = stops.filter((stop) => stop.distance < 800);
near.sort((a, b) => a.distance - b.distance);
return near.slice(0, 5);
```"""

GENERAL = Room(
    "general",
    "The ferry timetable, version 4: live since Thursday noon",
    (
        Said(MAREN, "08:52", "Good morning! The new timetable goes live **at noon**. What is left is on the list: "
             "https://ferry.example/checklist", is_pinned=True),
        Said(OLENA, "08:55", "Доброго ранку! The import ran over night: 1,284 departures and no warning."),
        Said(OLENA, "08:56", "The two piers that were missing yesterday are in it too."),
        Said(DEV, "09:04", "👋"),
        Said(CHLOE, "09:10", "One last question about a heading, then I am done:\n\n"
             "- Departures within the next hour\n- *Leaving soon*"),
        Said(NOUR, "09:12", "صباح الخير! «Leaving soon»، it fits on a small phone.", 5, {"👍": (CHLOE, MAREN, DEV)}),
        Said(DEV, "10:26", CODE),
        Said(MISAKI, "10:29", "すごい! From 900 ms to 40 on my old phone.", 7,
             {"🎉": (MAREN, DEV, CHLOE, OLENA), "🚀": (NOUR, MAREN)}),
        Said(DEV, "10:31", "Somebody else's laptop, sorry.", is_deleted=True),
        Said(MAREN, "11:57", "Three minutes. @Олена, it is all yours."),
        Said(OLENA, "12:00", "And it is live. 🚢",
             reactions={"❤️": (MAREN, CHLOE, DEV, NOUR, MISAKI), "🚢": (DEV, MAREN)}),
        Said(CHLOE, "12:01", "🎉🎉🎉"),
        Said(NOUR, "14:20", "The harbour office says thank you. They printed the page, and hung it up on *all* piers.",
             edited="14:22"),
        Said(MAREN, "15:40", "In case you wondered at 15:31: I pulled the plug of node 2 while you were writing."),
        Said(MAREN, "15:40", "Nothing was lost, and `raft-chat status` shows three nodes again."),
        Said(DEV, "15:42", "I thought that the office lights were the test.", 14, {"😂": (MAREN, CHLOE, OLENA)}),
        Said(CHLOE, "17:31", "Before I leave: the posters are at the printer's. They need a yes by tomorrow at ten."),
        Said(CHLOE, "17:32", "@Maren could you look at page 2? The night boats are new there."),
        Said(OLENA, "17:41", "I looked at the night boats: the 23:55 runs on Fridays only. The rest is right.", 18,
             {"🙏": (CHLOE,)}),
    ),
    read=16,
)  # fmt: skip

ON_CALL = Room(
    "on-call",
    "Who is on call: Dev until Sunday",
    (
        Said(DEV, "07:02", "Quiet night. One warning about the disk of node 3 at 04:10, gone by itself."),
        Said(OLENA, "07:30", "That was the backup. I move it to 02:00, when nobody asks for a timetable."),
        Said(MAREN, "15:31", "Pulling the plug of node 2. This is a drill."),
        Said(DEV, "15:31", "```\n15:31:04 node 1: no heartbeat of node 2 for 0.3 s\n"
             "15:31:04 node 3: elected, term 12, 2 of 3 votes\n15:31:05 node 1: follows node 3\n```"),
        Said(OLENA, "15:33", "I posted through all of it. Longest wait for an answer: **0.4 s**.",
             reactions={"💪": (MAREN, DEV)}),
        Said(DEV, "15:38", "Node 2 is back, with all 212 messages that it missed.",
             reactions={"✅": (MAREN, OLENA, NOUR)}),
    ),
    read=6,
)  # fmt: skip

RELEASES = Room(
    "releases",
    "One message for each version",
    (
        Said(OLENA, "11:48", "**4.0.0** is tagged. Changes:\n\n1. night boats\n2. piers by distance\n3. large print",
             is_pinned=True),
        Said(DEV, "12:09", "`4.0.0` is on all six screens at the piers."),
    ),
    read=2,
)  # fmt: skip

DESIGN = Room(
    "design",
    "",
    (
        Said(CHLOE, "09:40", "New blue for the night boats: `#24407a`. On white that is 9.8 : 1."),
        Said(MISAKI, "09:52", "読みやすい! Easy to read, in the sun too."),
        Said(CHLOE, "16:20", "Page 2 of the poster is in the folder."),
        Said(NOUR, "16:31", "I like the waves."),
    ),
    read=1,
)  # fmt: skip

LUNCH = Room(
    "lunch",
    "Twelve thirty, by the stairs",
    (
        Said(NOUR, "11:15", "Soup or falafel?"),
        Said(DEV, "11:16", "Yes."),
        Said(MISAKI, "11:20", "Falafel! 🧆", reactions={"🧆": (NOUR, CHLOE, MAREN, DEV)}),
    ),
    read=3,
)  # fmt: skip

ROOMS = (GENERAL, ON_CALL, RELEASES, DESIGN, LUNCH)
PRIVATE = Room("budget", "", (), 0, members=(OLENA,))
DIRECTS = (CHLOE, DEV, NOUR)
# Posted while the page is open: to whom they are sent is unread there.
LIVE = ((DEV, "releases", "@Maren, 4.0.1 tomorrow?"),)
