"""One record that is damaged on every node: a clear problem for whoever asks for it, and all else is served."""

from dataclasses import dataclass, field

from tests.support.cluster import Cluster, NodeProcess
from tests.support.waiting import wait_until

ROOM = "general"
LOST, COUNT = 7, 20  # the message whose record is damaged, of so many
GIVEN_UP_S = 20.0


@dataclass(slots=True)
class Outcome:
    """What was seen, by node."""

    lost: dict[int, tuple[int, str]] = field(default_factory=dict)  # status and code for the damaged message
    served: dict[int, set[int]] = field(default_factory=dict)  # the other messages that were read
    posted: dict[int, int] = field(default_factory=dict)  # the status of a new message
    is_log_ready: dict[int, bool] = field(default_factory=dict)
    log_lines: dict[int, int] = field(default_factory=dict)  # that say that nobody has the record
    down: list[int] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"asked for the damaged message: {self.lost}; other messages served: "
            f"{ {id: len(served) for id, served in self.served.items()} } of {COUNT - 1}; new messages: {self.posted}; "
            f"readyz says of the log: {self.is_log_ready}; lines in the logs: {self.log_lines}; down: {self.down}"
        )

    @property
    def is_right(self) -> bool:
        """Whether every node answered with the problem, served all else, and said once what is lost."""
        others = set(range(1, COUNT + 1)) - {LOST}
        return (
            not self.down
            and set(self.lost.values()) == {(500, "damaged_record")}
            and all(served == others for served in self.served.values())
            and set(self.posted.values()) == {201}
            and not any(self.is_log_ready.values())
            and set(self.log_lines.values()) == {1}
        )


def run(cluster: Cluster) -> Outcome:
    """Damage one record in all files of all nodes of a cluster that has just been started, and ask for it."""
    for number in range(1, COUNT + 1):
        assert cluster.post(1, ROOM, f"this is number {number:02}").status == 201
    cluster.kill()
    cluster.restart(1, 2, 3)  # nothing is in a cache, and the segments so far are sealed
    cluster.wait_ready()
    for node in cluster.nodes.values():
        wait_until(lambda node=node: node.status()["LastApplied"] > COUNT, 10, "all is applied")  # type: ignore[misc]
        damage(node, f"this is number {LOST:02}".encode())
    found = Outcome()
    for id, node in cluster.nodes.items():
        answer = node.request("GET", f"/rooms/{ROOM}/messages/{LOST}")
        found.lost[id] = answer.status, str(answer.json().get("code"))
    for id, node in cluster.nodes.items():
        numbers = [number for number in range(1, COUNT + 1) if number != LOST]
        answers = {number: node.request("GET", f"/rooms/{ROOM}/messages/{number}") for number in numbers}
        found.served[id] = {
            number for number, answer in answers.items()
            if answer.status == 200 and answer.json()["Message"] == f"this is number {number:02}"
        }  # fmt: skip
        found.posted[id] = cluster.post(id, ROOM, f"said at node {id}").status
        wait_until(lambda node=node: said(node) > 0, GIVEN_UP_S, "the log says so")  # type: ignore[misc]
        found.is_log_ready[id] = b"[-]log failed" not in node.request("GET", "/readyz").body
        found.log_lines[id] = said(node)
    found.down = [id for id, node in cluster.nodes.items() if not node.running]
    return found


def damage(node: NodeProcess, text: bytes) -> None:
    """Change a bit of this text wherever the node's files have it."""
    for path in node.data_dir.glob("*.jsonl"):
        content = path.read_bytes()
        place = content.find(text)
        if place >= 0:
            with path.open("r+b") as file:
                file.seek(place)
                file.write(bytes([content[place] ^ 1]))


def said(node: NodeProcess) -> int:
    """The lines of the log that say that no node has an entry."""
    return node.log().count("and no other member has them")
