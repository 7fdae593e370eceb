"""`GET /events` from a cluster, with the real `curl -N`, and resumed on another node."""

from pathlib import Path

from tests.cluster.writers import acknowledged_by, load, wait_for_posts
from tests.support.cluster import Cluster
from tests.support.curl import CurlEvents


def test_curl_is_told_what_happens_on_any_node_and_only_of_the_rooms_it_asks_for(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with (
            CurlEvents(cluster.nodes[2].url) as all_rooms,
            CurlEvents(cluster.nodes[3].url, "?rooms=general,news") as some,
        ):
            for curl in (all_rooms, some):
                hello = curl.next()
                assert hello is not None
                assert set(hello["Hello"]["Nodes"]) == {node.url for node in cluster.nodes.values()}
            for room in ("general", "random", "news"):
                assert cluster.post(1, room, f"to {room}").status == 201
            assert [curl_post(all_rooms) for _ in range(3)] == [("general", 1), ("random", 1), ("news", 1)]
            assert [curl_post(some) for _ in range(2)] == [("general", 1), ("news", 1)]
            assert cluster.request(1, "DELETE", "/rooms/general").status == 204
            for curl in (all_rooms, some):
                assert curl.next() == {
                    "Event": {"Type": "RoomDeleted", "RoomName": "general"},
                    "Cursor": curl.last_id,
                }


def curl_post(curl: CurlEvents) -> tuple[str, int]:
    data = curl.next()
    assert data is not None
    assert data["Cursor"] == curl.last_id
    return data["RoomName"], data["Post"]["Id"]


def test_a_stream_whose_node_is_killed_goes_on_at_another_without_a_hole_or_a_repeat(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        doomed = cluster.start_ready().wait_leader()
        other, third = (id for id in cluster.nodes if id != doomed)
        with (
            load(cluster.ports([other, third]), writers=2) as writers,
            CurlEvents(cluster.nodes[doomed].url, "?rooms=general") as curl,
        ):
            assert "Hello" in (curl.next() or {})
            wait_for_posts(writers, 100)
            cluster.kill(doomed)
            heard = [frame["Post"]["Id"] for frame in curl.rest()]
            assert curl.exit_code() == 18  # a transfer that broke off
            seen = len(acknowledged_by(writers))
            wait_for_posts(writers, seen + 100)
            with CurlEvents(cluster.nodes[other].url, "?rooms=general", curl.last_id) as resumed:
                assert "Hello" in (resumed.next() or {})
                while len(heard) < 50 or heard[-1] < seen + 100:
                    frame = resumed.next()
                    assert frame is not None
                    heard.append(frame["Post"]["Id"])
        assert heard == list(range(heard[0], heard[-1] + 1))


def test_a_node_that_stops_ends_its_streams_whole(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster:
        cluster.start_ready()
        with CurlEvents(cluster.nodes[1].url) as curl:
            assert "Hello" in (curl.next() or {})
            assert cluster.post(1, "general", "the last").status == 201
            assert curl_post(curl) == ("general", 1)
            assert cluster.terminate(1) == 0
            assert curl.rest() == []
            assert curl.exit_code() == 0  # the chunked answer was ended, not cut off
