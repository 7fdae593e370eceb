"""A whole node on a data directory that an earlier version wrote (tests/formats)."""

import json
import shutil
from pathlib import Path

import pytest

from chat.auth.secrets import TOKEN
from tests.formats.held import held
from tests.formats.make import ADMIN
from tests.formats.scene import PASSWORD, secret
from tests.formats.test_formats import FIXTURES, expected
from tests.support.cluster import Cluster
from tests.support.http_client import HttpClient


@pytest.mark.parametrize("fixture", FIXTURES, ids=lambda fixture: fixture.name)
def test_a_node_starts_on_a_fixture_serves_what_was_in_it_and_goes_on(fixture: Path, tmp_path: Path) -> None:
    with Cluster(tmp_path, 1) as cluster:
        node = cluster.nodes[1]
        shutil.copytree(fixture, node.data_dir)
        node.data_dir.chmod(0o700)
        # The members know it at a port that is not this test's.
        node.start(*node.flags(cluster.url_list, "--moved", "--peer-host", f"127.0.0.1:{node.peer_port}"))
        cluster.wait_ready()
        with HttpClient(node.port, token=secret(TOKEN, ADMIN)) as client:
            assert held(lambda path: client.request("GET", path).json()) == expected(fixture)["Held"]
            room = next(room["Name"] for room in expected(fixture)["Held"]["Rooms"] if room["Visibility"] == "public")
            assert client.post(room, "goes on", ADMIN).status == 201
        login = node.request("POST", "/login", json.dumps({"Name": ADMIN, "Password": PASSWORD}))
        assert login.status == 200, login
        assert cluster.terminate(1) == 0
