"""A room exported by curl from a real cluster, larger than what the server would hold of it."""

import json
from pathlib import Path

from tests.support.cluster import Cluster
from tests.support.curl import curl

POSTS = 450
TEXT = "x" * 4_000


def test_curl_gets_every_post_in_order_from_any_node(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        for number in range(1, POSTS + 1):
            assert cluster.post(1 + number % 3, "general", f"{number} {TEXT}").status == 201
        exports = [curl(f"{cluster.nodes[id].url}/rooms/general/export") for id in (1, 2, 3)]
        posts = [json.loads(line) for line in exports[0].splitlines()]
        assert [(post["Id"], post["Message"]) for post in posts] == [(n, f"{n} {TEXT}") for n in range(1, POSTS + 1)]
        assert exports[0] == exports[1] == exports[2]
