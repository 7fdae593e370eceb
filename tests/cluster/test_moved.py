"""A copied data directory is not the member that it was copied from, unless the operator says so."""

import shutil
from pathlib import Path
from time import monotonic

from chat.realtime.subscription import CURSOR_WAIT_S
from tests.cluster.older_copy import take_copy
from tests.cluster.writers import read_room
from tests.support.cluster import READY_S, Cluster, refused_start
from tests.support.curl import CurlEvents
from tests.support.waiting import wait_until
from tests.support.websocket_client import WebSocketClient


def copy_of(data_dir: Path) -> Path:
    copy = data_dir.with_name(data_dir.name + "-copy")
    shutil.copytree(data_dir, copy)
    return copy


def test_a_copied_member_of_three_is_refused_until_it_is_said_to_have_moved(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        assert cluster.terminate(3) == 0
        node = cluster.nodes[3]
        node.data_dir = copy_of(node.data_dir)
        for _ in range(2):
            line = refused_start(node, *node.flags(cluster.url_list))
            assert str(node.data_dir) in line
            assert "--moved" in line
        node.start(*node.flags(cluster.url_list, "--moved"))
        cluster.wait_ready()
        assert cluster.post(3, "general", "two").status == 201

        cluster.kill(3)
        cluster.restart(3)  # it lives there now
        assert [post["Message"] for post in read_room(node.port, "general")] == ["one", "two"]


def test_a_renamed_directory_starts_as_itself(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        cluster.kill(3)
        node = cluster.nodes[3]
        node.data_dir = node.data_dir.rename(tmp_path / "renamed")
        node.data_dir.chmod(0o755)
        cluster.restart(3)


def test_a_copy_of_a_member_that_waits_for_its_cluster_is_refused_too(tmp_path: Path) -> None:
    """The original may have voted since."""
    with Cluster(tmp_path) as cluster:
        cluster.start(1, 2)
        wait_until(lambda: cluster.nodes[1].status()["Role"] == "starting", READY_S, "node 1 waits for node 3")
        cluster.kill(1)
        node = cluster.nodes[1]
        node.data_dir = copy_of(node.data_dir)
        assert "--moved" in refused_start(node, *node.flags(cluster.url_list))


def test_a_copied_single_node_runs(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        assert cluster.post(1, "general", "one").status == 201
        assert cluster.terminate(1) == 0
        node = cluster.nodes[1]
        node.data_dir = copy_of(node.data_dir)
        cluster.restart(1)
        assert [post["Message"] for post in read_room(node.port, "general")] == ["one"]


def test_clients_of_a_history_that_an_older_copy_has_lost_start_over_at_once(tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        cluster.post(1, "general", "one")
        put_back = take_copy(cluster)
        for message in ("lost", "lost too", "lost as well", "the last that is lost"):
            lost_index = cluster.post(1, "general", message).headers["X-Raft-Index"]
        with WebSocketClient(cluster.nodes[1].port) as socket:
            cursor = socket.subscribe()
        put_back()
        cluster.wait_settled()  # or a websocket hears of "one", which is committed anew, before it has subscribed

        began = monotonic()
        with (
            WebSocketClient(cluster.nodes[1].port) as socket,
            CurlEvents(cluster.nodes[1].url, last_event_id=cursor) as curl,
        ):
            socket.say(Action="subscribe", Rooms="*", Cursor=cursor)
            assert socket.hear()["Error"]["code"] == "start_over"
            fresh = socket.subscribe()
            assert (curl.next() or {})["Error"]["code"] == "start_over"
            assert (curl.next() or {})["Hello"]["Cursor"] == fresh
            for consistency in ("stale", "linearizable"):
                answer = cluster.request(1, "GET", f"/rooms/general?min_index={lost_index}&consistency={consistency}")
                assert (answer.status, answer.json()["code"]) == (410, "start_over")
            assert monotonic() - began < CURSOR_WAIT_S

            for number in range(6):  # past the lost index
                posted = cluster.post(1, "general", f"new {number}")
            new = [f"new {number}" for number in range(6)]
            assert socket.next_texts(6) == new
            assert [(curl.next() or {})["Post"]["Message"] for _ in range(6)] == new
        with WebSocketClient(cluster.nodes[1].port) as again:
            again.say(Action="subscribe", Rooms="*", Cursor=cursor)  # whose index the new history has by now
            assert again.hear()["Error"]["code"] == "start_over"
            assert again.subscribe(cursor=fresh) == fresh
            assert again.next_texts(6) == new
        assert cluster.request(1, "GET", f"/rooms/general?min_index={lost_index}").status == 410
        index = posted.headers["X-Raft-Index"]
        assert cluster.request(1, "GET", f"/rooms/general?min_index={index}").status == 200
        assert [post["Message"] for post in read_room(cluster.nodes[1].port, "general")] == ["one", *new]

        cluster.kill(1)
        cluster.restart(1)
        with WebSocketClient(cluster.nodes[1].port) as after_a_restart:
            assert after_a_restart.subscribe(cursor=fresh) == fresh
            assert after_a_restart.next_texts(6) == new
