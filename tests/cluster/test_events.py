"""`GET /events` from a cluster, with the real `curl -N`, and resumed on another node."""

import json
import subprocess
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from tests.cluster.clients import acknowledged_by, load, wait_for_posts
from tests.cluster.harness import Cluster

EVENT_S = 15


class Curl:
    """`curl -N` of one node's events, while the block runs."""

    def __init__(self, url: str, query: str = "", last_event_id: str | None = None) -> None:
        resumes = [] if last_event_id is None else ["--header", f"Last-Event-ID: {last_event_id}"]
        self._process = subprocess.Popen(
            ["curl", "-N", "--silent", *resumes, f"{url}/events{query}"], stdout=subprocess.PIPE
        )
        self._events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()  # None: there are no more
        self._reader = threading.Thread(target=self._read, name="curl")
        self.last_id = last_event_id  # of the last event that was taken

    def _read(self) -> None:
        assert self._process.stdout is not None
        event: dict[str, Any] = {}
        for line in self._process.stdout:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                event["id"] = value
            elif field == "data":
                event["data"] = json.loads(value)
            elif not field and event:
                self._events.put(event)
                event = {}
        self._events.put(None)  # what is not whole is no event (WHATWG HTML §9.2.6)

    def next(self, deadline_s: float = EVENT_S) -> dict[str, Any] | None:
        """The next event's data, None where the stream has ended."""
        try:
            event = self._events.get(timeout=deadline_s)
        except Empty:
            raise AssertionError(f"no event within {deadline_s} s") from None
        if event is None:
            return None
        self.last_id = event.get("id", self.last_id)
        data = event["data"]
        assert isinstance(data, dict)
        return data

    def rest(self) -> list[dict[str, Any]]:
        """All that comes until the stream has ended."""
        found = []
        while (data := self.next()) is not None:
            found.append(data)
        return found

    def exit_code(self) -> int:
        return self._process.wait(EVENT_S)

    def __enter__(self) -> "Curl":
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def test_curl_is_told_what_happens_on_any_node_and_only_of_the_rooms_it_asks_for(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with Curl(cluster.nodes[2].url) as all_rooms, Curl(cluster.nodes[3].url, "?rooms=general,news") as some:
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


def curl_post(curl: Curl) -> tuple[str, int]:
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
            Curl(cluster.nodes[doomed].url, "?rooms=general") as curl,
        ):
            assert "Hello" in (curl.next() or {})
            wait_for_posts(writers, 100)
            cluster.kill(doomed)
            heard = [frame["Post"]["Id"] for frame in curl.rest()]
            assert curl.exit_code() == 18  # a transfer that broke off
            seen = len(acknowledged_by(writers))
            wait_for_posts(writers, seen + 100)
            with Curl(cluster.nodes[other].url, "?rooms=general", curl.last_id) as resumed:
                assert "Hello" in (resumed.next() or {})
                while len(heard) < 50 or heard[-1] < seen + 100:
                    frame = resumed.next()
                    assert frame is not None
                    heard.append(frame["Post"]["Id"])
        assert heard == list(range(heard[0], heard[-1] + 1))


def test_a_node_that_stops_ends_its_streams_whole(tmp_path: Path) -> None:
    with Cluster(tmp_path, size=1) as cluster:
        cluster.start_ready()
        with Curl(cluster.nodes[1].url) as curl:
            assert "Hello" in (curl.next() or {})
            assert cluster.post(1, "general", "the last").status == 201
            assert curl_post(curl) == ("general", 1)
            assert cluster.terminate(1) == 0
            assert curl.rest() == []
            assert curl.exit_code() == 0  # the chunked answer was ended, not cut off
