"""Linearizable reads on a follower: the newest 50 posts of a room, beside a range of as many keys of etcd.

The values that etcd holds are our posts' JSON, so that both read as much.  A range of etcd's is linearizable where it
does not say otherwise, and so is a GET of ours.
"""

import json

from tests.benchmarks import etcd, ours, wrk
from tests.benchmarks.framework import Benchmark, Figure, Round, Setting, times_at_least
from tests.benchmarks.posts import CONNECTIONS, P50_TOLD, P99_TOLD, WARM_UP_S
from tests.support.http_client import HttpClient, request

POSTS = 200
PAGE = 50


def _told(figures: wrk.Figures) -> Round:
    assert figures.failed == 0, f"{figures.failed} requests failed"
    return Round({"pages/s": figures.per_second, "p50": figures.p50_ms, "p99": figures.p99_ms})


def our_follower(setting: Setting) -> Round:
    with ours.running(setting.directory) as running:
        follower = running.followers[0]
        with HttpClient(follower.port) as client:
            for _ in range(POSTS):
                assert client.post(ours.ROOM, ours.MESSAGE).status == 201
            page = client.request("GET", f"/rooms/{ours.ROOM}?limit={PAGE}").json()
        assert [post["Id"] for post in page] == list(range(POSTS - PAGE + 1, POSTS + 1))
        url = f"{ours.room_url(follower)}?limit={PAGE}"
        if not setting.quick:
            wrk.get(url, connections=CONNECTIONS, seconds=WARM_UP_S)
        return _told(wrk.get(url, connections=CONNECTIONS, seconds=setting.seconds))


def etcds_follower(setting: Setting) -> Round:
    post = {
        "Id": POSTS,
        "User": "ann",
        "Message": ours.MESSAGE,
        "PostedAt": "2026-11-23T10:00:00.123456Z",
        "ClientId": "1FhSVlI7UdrkUje4",
    }
    value = json.dumps(post, separators=(",", ":"))
    with etcd.running(setting.directory) as running:
        with HttpClient(running.leader) as client:
            for number in range(1, POSTS + 1):
                put = etcd.put_body(f"{ours.ROOM}/{number:06}", value)
                assert client.request("POST", "/v3/kv/put", put).status == 200
        first, end = (etcd.encoded(f"{ours.ROOM}/{key}") for key in (f"{POSTS - PAGE + 1:06}", "~"))
        body = json.dumps({"key": first, "range_end": end, "limit": PAGE})
        follower = running.followers[0]
        found = request(follower, "POST", "/v3/kv/range", body).json()
        assert len(found["kvs"]) == PAGE
        url = etcd.range_url(follower)
        if not setting.quick:
            wrk.post(url, body, connections=CONNECTIONS, seconds=WARM_UP_S)
        return _told(wrk.post(url, body, connections=CONNECTIONS, seconds=setting.seconds))


BENCHMARKS = (
    Benchmark(
        "reads",
        f"linearizable reads of {PAGE} posts, {CONNECTIONS} connections on a follower; etcd: a range of as many keys",
        (Figure("pages/s", "/s", times_at_least(2)), P50_TOLD, P99_TOLD),
        our_follower,
        etcds_follower,
        peer="etcd",
        needs=("wrk", "etcd"),
    ),
)
