"""What goes by its age, on real nodes whose day is short: on all of them alike, and for good."""

from pathlib import Path
from time import monotonic

from tests.cluster.compacting import AT_ONCE
from tests.support.cluster import READY_S, Cluster, Forked
from tests.support.waiting import wait_until

KEPT_S = 4
SHORT_DAY = Forked(f"""
from chat.services import maintenance
from chat.state.apply import expiry
expiry.CLIENT_IDS_KEPT_S = {KEPT_S}
maintenance.FORGET_EVERY_S = 0.2
""")


def test_a_client_id_is_known_for_a_day_and_then_forgotten_by_all(tmp_path: Path) -> None:
    with Cluster(tmp_path, command=SHORT_DAY) as cluster:
        cluster.start_ready()

        def post(id: int) -> int:
            return cluster.post(id, "general", "hello", ClientId="c1").status

        # Nothing is forgotten before the cluster has begun to look at what is how old, which it does when all know how.
        began_s = monotonic()
        assert post(1) == 201
        assert post(2) == 200
        wait_until(lambda: post(3) == 201, READY_S, "the ClientId is forgotten")
        assert monotonic() - began_s >= KEPT_S
        assert post(1) == 200
        pages = [cluster.request(id, "GET", "/rooms/general").body for id in cluster.nodes]
        assert pages == pages[:1] * 3
        cluster.kill()
        cluster.restart()
        assert [cluster.request(id, "GET", "/rooms/general").body for id in cluster.nodes] == pages


def test_limit_persistence_of_rooms_and_messages(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        retention = '{"Retention": {"MaxAgeSeconds": 2}}'
        for room in ("general", "kept"):
            for number in range(1, 6):
                assert cluster.post(number % 3 + 1, room, f"m{number}").status == 201
        wait_until(
            lambda: cluster.request(2, "PATCH", "/rooms/general", retention).status == 200, READY_S, "all know ages"
        )
        for id in cluster.nodes:
            wait_until(lambda id=id: cluster.request(id, "GET", "/rooms/general").json() == [], READY_S, "gone")  # type: ignore[misc]
        assert cluster.request(1, "GET", "/rooms/general/messages/5").status == 410
        assert cluster.request(3, "GET", "/rooms").json() == ["general", "kept"]
        cluster.kill()
        cluster.restart()
        for id in cluster.nodes:
            assert cluster.request(id, "GET", "/rooms/general").json() == []
            assert len(cluster.request(id, "GET", "/rooms/kept").json()) == 5
            details = cluster.request(id, "GET", "/rooms?details=true").json()
            assert [room["Retention"] for room in details] == [{"MaxAgeSeconds": 2}, None]
        assert cluster.post(3, "general", "later").json()["Id"] == 6


def test_truncate_empty_rooms(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for room in ("emptied", "kept"):
            assert cluster.post(1, room, "hello").status == 201
        with cluster.subscribed(3) as (listener, _):
            for target, body in (
                ("/settings", '{"EmptyRoomSeconds": 1, "MaxRooms": 2}'),
                ("/rooms/emptied", '{"Retention": {"MaxAgeSeconds": 1}}'),
            ):
                wait_until(
                    lambda target=target, body=body: cluster.request(2, "PATCH", target, body).status == 200,  # type: ignore[misc]
                    READY_S, "all know such a change",
                )  # fmt: skip
            assert cluster.post(1, "third", "hello").status == 409
            frame = listener.hear_any()
            # A post where this node was behind when it was subscribed to, and that the room keeps its posts for a time.
            while "Post" in frame or frame["Event"]["Type"] == "RoomChanged":
                frame = listener.hear_any()
            assert frame["Event"] == {"Type": "RoomDeleted", "RoomName": "emptied"}
        for id in cluster.nodes:
            assert cluster.request(id, "GET", "/rooms").json() == ["kept"]
            assert cluster.request(id, "GET", "/settings").json()["EmptyRoomSeconds"] == 1
        cluster.kill()
        cluster.restart()
        assert [cluster.request(id, "GET", "/rooms").json() for id in cluster.nodes] == [["kept"]] * 3
        assert cluster.post(2, "third", "hello").json()["Id"] == 1
        assert cluster.post(3, "emptied", "again").status == 409, "there are two rooms again"


ERASING = Forked(f"""{AT_ONCE}
from raft.compaction import policy
from raft.storage import file_set
policy.KEEP_S, policy.ERASED_NOTE_S, file_set.LINGER_S = 1.0, 0.2, 0.5
policy.MARK_ENTRIES = 1  # the test posts without a pause
""")


def test_a_text_that_was_taken_back_leaves_every_disk_after_a_day(tmp_path: Path) -> None:
    secret, other = "my password is hunter2", "nothing of note"
    with Cluster(tmp_path, command=ERASING) as cluster:
        cluster.start_ready()

        def holding(text: str) -> list[Path]:
            files = [file for node in cluster.nodes.values() for file in node.data_dir.iterdir()]
            return [file for file in files if text.encode() in file.read_bytes()]

        for text in (secret, other):
            assert cluster.post(1, "general", text).status == 201
        wait_until(lambda: len(holding(secret)) >= 3, READY_S, "it is everywhere")
        wait_until(
            lambda: cluster.request(2, "DELETE", "/rooms/general/messages/1?user=ann").status == 204, READY_S, "gone"
        )
        # A segment of the log ends with what is written next, and goes.
        wait_until(
            lambda: cluster.post(3, "general", other).status == 201 and holding(secret) == [], READY_S, "it is nowhere"
        )
        assert len(holding(other)) >= 3
