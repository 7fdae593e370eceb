"""The drawing of docs/architecture.md: the way of one message, as steps between nodes.

    python -m tests.architecture     writes docs/message.svg anew

STEPS is the data, and everything else places it: a column for each party, a row for each step, time downwards.
`tests/test_architecture.py` fails where a file of a step is gone, or where the drawing is not what STEPS says.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parent.parent
DRAWING = ROOT / "docs" / "message.svg"

PARTIES = ("client", "node 2, a follower", "node 1, the leader", "node 3, a follower")
CLIENT, ASKED, LEADER, OTHER = range(4)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that one party does, or sends to another one."""

    source: int  # a place in PARTIES
    target: int  # the same one for a step within a node
    text: str
    file: str = ""  # where it is done


STEPS = (
    Step(CLIENT, ASKED, "POST /rooms/general"),
    Step(ASKED, ASKED, "read the request, parse its head", "chat/server/http_connection.py"),
    Step(ASKED, ASKED, "find the route, and the user by the token", "chat/auth/authenticator.py"),
    Step(ASKED, ASKED, "check the message, make a Post command", "chat/services/posts.py"),
    Step(ASKED, LEADER, "a batch of commands", "raft/engine/forwarding.py"),
    Step(LEADER, LEADER, "append the batch to the log, sync it", "raft/engine/group_commit.py"),
    Step(LEADER, ASKED, "AppendEntries", "raft/engine/replication.py"),
    Step(LEADER, OTHER, "AppendEntries", "raft/engine/replication.py"),
    Step(OTHER, OTHER, "append, sync", "raft/storage/log_store.py"),
    Step(OTHER, LEADER, "success: a majority has it"),
    Step(LEADER, LEADER, "move the commit index", "raft/core/node.py"),
    Step(LEADER, LEADER, "apply: give the message its Id", "chat/state/machine.py"),
    Step(LEADER, ASKED, "the outcome, and the commit index"),
    Step(ASKED, ASKED, "apply the same entry", "raft/engine/applier.py"),
    Step(ASKED, CLIENT, "201, and one frame to every subscriber", "chat/realtime/hub.py"),
)

LEFT, COLUMN, RIGHT, TOP, ROW, HEAD = 60, 290, 200, 34, 40, 26  # pixels
FONT = 'font-family="system-ui, sans-serif"'
INK, FAINT, PAPER, ACCENT = "#1f2933", "#9aa5b1", "#ffffff", "#1769aa"


def drawn(steps: Sequence[Step]) -> str:
    """The steps as an SVG picture, with its own white background."""
    width, height = LEFT + RIGHT + COLUMN * (len(PARTIES) - 1), TOP + HEAD + ROW * len(steps) + 10
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" {FONT} font-size="13">',
        "<title>The way of one message from a client over three nodes</title>",
        '<defs><marker id="head" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">'
        f'<path d="M0 0 L9 4 L0 8 z" fill="{ACCENT}"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="{PAPER}"/>',
    ]
    for place, party in enumerate(PARTIES):
        x = _x(place)
        lines.append(f'<text x="{x}" y="{TOP}" text-anchor="middle" font-weight="600" fill="{INK}">{party}</text>')
        lines.append(f'<path d="M{x} {TOP + 10} V{height - 8}" stroke="{FAINT}" stroke-dasharray="2 4"/>')
    for row, step in enumerate(steps):
        lines += _step(step, TOP + HEAD + ROW * row + ROW // 2)
    return "\n".join([*lines, "</svg>", ""])


def _step(step: Step, y: int) -> Iterator[str]:
    x, to = _x(step.source), _x(step.target)
    if step.source == step.target:
        yield f'<circle cx="{x}" cy="{y}" r="4" fill="{INK}"/>'
        yield _words(x + 10, y - 1, step.text, INK, "start")
        yield _words(x + 10, y + 13, step.file, FAINT, "start", size=11)
        return
    gap = 6 if to > x else -6
    yield f'<path d="M{x + gap} {y} H{to - gap}" stroke="{ACCENT}" stroke-width="1.5" marker-end="url(#head)"/>'
    middle = (min(x, to) + min(x, to) + COLUMN) // 2  # of its first column: a longer arrow crosses another line of life
    yield _words(middle, y - 5, step.text, ACCENT, "middle")
    if step.file:
        yield _words(middle, y + 14, step.file, FAINT, "middle", size=11)


def _words(x: int, y: int, text: str, colour: str, anchor: str, size: int = 13) -> str:
    halo = f'stroke="{PAPER}" stroke-width="4" paint-order="stroke"'  # a line behind them does not cross them
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{colour}" {halo}>{escape(text)}</text>'
    )


def _x(place: int) -> int:
    return LEFT + COLUMN * place


if __name__ == "__main__":
    DRAWING.write_text(drawn(STEPS), encoding="utf-8")
