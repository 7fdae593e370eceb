"""Posts that are edited, deleted and reacted to in a real cluster: the same everywhere, live, resumed and restarted."""

import json
from pathlib import Path

from tests.cluster.test_levels import at_level
from tests.support.cluster import READY_S, Cluster
from tests.support.curl import curl
from tests.support.http_client import Answer
from tests.support.waiting import wait_until

POST = "/rooms/general/messages"
SECRET = "what was said in haste"


def told(cluster: Cluster, id: int) -> list[tuple[int, bytes]]:
    """All that a node says of the room, byte for byte."""
    targets = ["/rooms/general", "/rooms/general/export"]
    targets += [f"{POST}/{number}{end}" for number in (1, 2, 3) for end in ("", "/history")]
    answers = [cluster.request(id, "GET", target) for target in targets]
    return [(answer.status, answer.body) for answer in answers]


def change(cluster: Cluster, id: int, method: str, target: str, **members: str) -> Answer:
    """The answer, once the cluster knows that every member knows such a change, which is soon after the first start."""

    def asked() -> Answer | None:
        answer = cluster.request(id, method, target, json.dumps(members) if members else None)
        return None if answer.status == 409 else answer

    return wait_until(asked, READY_S, f"{method} of a post is known to every member")


def test_what_was_changed_is_so_on_every_node_live_by_a_cursor_and_over_a_restart(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for number, text in enumerate(("one", SECRET, "three"), 1):
            assert cluster.post(number, "general", text, ClientId=f"c{number}").status == 201
        with cluster.subscribed(3) as (live, cursor):
            edited = change(cluster, 2, "PATCH", f"{POST}/1", User="ann", Message="one, again")
            assert edited.status == 200
            url = cluster.nodes[1].url
            body = '{"User": "ann", "Message": "one at last"}'
            again = json.loads(curl("-X", "PATCH", "-d", body, f"{url}{POST}/1"))
            assert (again["Message"], "EditedAt" in again) == ("one at last", True)
            assert curl("-X", "PUT", f"{url}{POST}/3/reactions/%F0%9F%91%8D?user=bob") == ""
            assert curl("-X", "DELETE", f"{url}{POST}/2?user=ann") == ""
            frames = [live.hear_any() for _ in range(4)]
            types = [frame["Event"]["Type"] for frame in frames]
            assert types == ["PostChanged", "PostChanged", "Reacted", "PostChanged"]
            assert frames[1]["Event"]["Post"] == again
            assert frames[2]["Event"]["Emoji"] == "\U0001f44d"
        with cluster.subscribed(2, cursor) as (resumed, _):
            told_again = [resumed.hear_any() for _ in range(3)]
        all_of_them = {"Type": "Reacted", "RoomName": "general", "Id": 3, "Reactions": {"\U0001f44d": ["bob"]}}
        assert told_again[1].pop("Event") == all_of_them
        frames[2].pop("Event")
        assert told_again == frames[1:]
        assert cluster.request(3, "PATCH", f"{POST}/3", '{"User": "bob", "Message": "mine"}').status == 403

        first = told(cluster, 1)
        page = json.loads(first[0][1])
        assert [(post["Message"], post.get("Deleted"), post.get("Reactions")) for post in page] == [
            ("one at last", None, None), ("", True, None), ("three", None, {"\U0001f44d": ["bob"]}),
        ]  # fmt: skip
        history = json.loads(first[3][1])
        assert [post["Message"] for post in history] == ["one", "one, again", "one at last"]
        assert SECRET.encode() not in b"".join(body for _, body in first)
        for id in (2, 3):
            assert told(cluster, id) == first
        cluster.kill()
        cluster.restart()
        for id in cluster.nodes:
            assert told(cluster, id) == first
        repeat = cluster.post(3, "general", "one", ClientId="c1")
        assert (repeat.status, repeat.json()) == (200, page[0])
        assert cluster.post(3, "general", SECRET, ClientId="c2").status == 410


def test_a_cluster_with_an_older_member_takes_no_edit_and_goes_on(tmp_path: Path) -> None:
    new = at_level(2, "edit", "delete", "react")
    with Cluster(tmp_path, command=at_level(1)) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        for id in (1, 2):
            assert cluster.terminate(id) == 0
            cluster.nodes[id].program = new
            cluster.restart(id)
        for method, target, body in (
            ("PATCH", f"{POST}/1", '{"User": "ann", "Message": "two"}'),
            ("DELETE", f"{POST}/1?user=ann", None),
            ("PUT", f"{POST}/1/reactions/+?user=ann", None),
        ):
            answer = cluster.request(1, method, target, body)
            assert (answer.status, answer.json()["code"]) == (409, "level_too_low")
        assert cluster.terminate(3) == 0
        cluster.nodes[3].program = new
        cluster.restart(3)
        assert change(cluster, 3, "DELETE", f"{POST}/1?user=ann").status == 204
