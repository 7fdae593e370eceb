"""A cluster's secret comes, and is replaced, on a running cluster under load; a node with another one stays outside."""

import signal
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.cluster.writers import Writer, acknowledged_by, check_every_node, count_posts, load, wait_for_posts
from tests.support.cluster import Cluster, NodeProcess
from tests.support.peer_certificates import make_certificates
from tests.support.secrets import OTHER, SECRET, secret_file
from tests.support.waiting import wait_until

WRITERS = 4
ROOMS = ("general",)
POSTS_BETWEEN = 20  # from one change to the next
FAILED_S = 10.0  # a client that tries again has its post acknowledged by then


def wait_for_more(writers: Sequence[Writer]) -> None:
    wait_for_posts(writers, count_posts(writers) + POSTS_BETWEEN)


def check_posts(cluster: Cluster, writers: Sequence[Writer]) -> None:
    """None failed, none is lost or doubled."""
    acknowledged = acknowledged_by(writers)
    check_every_node(cluster.ports(), ROOMS, acknowledged)
    assert max(post.at - post.began for post in acknowledged) <= FAILED_S


def test_a_running_cluster_gets_a_secret_and_no_post_fails(tmp_path: Path) -> None:
    path = str(secret_file(tmp_path))
    with Cluster(tmp_path) as cluster:
        cluster.start_ready()
        with load(cluster.ports(), writers=WRITERS, rooms=ROOMS) as writers:
            for more in (("--accept-unsigned-peers",), ()):
                for node in cluster.nodes.values():
                    wait_for_more(writers)
                    assert cluster.terminate(node.id) == 0
                    node.start(*node.flags(cluster.url_list, "--cluster-secret-file", path, *more))
                    cluster.wait_ready()
            wait_for_more(writers)
        check_posts(cluster, writers)
        log = cluster.nodes[1].log()
        assert log.count("--accept-unsigned-peers: whoever reaches the peer port") == 1, "each minute, and not now"
        assert "refused a peer" not in log


def test_nodes_with_certificates_and_a_secret_form_a_cluster_and_take_new_certificates(tmp_path: Path) -> None:
    secret = ("--cluster-secret-file", str(secret_file(tmp_path)))
    certificates = make_certificates(tmp_path / "certificates", *["127.0.0.1"] * 3)
    with Cluster(tmp_path) as cluster:
        for node, files in zip(cluster.nodes.values(), certificates, strict=True):
            node.start(*node.flags(cluster.url_list.replace("http://", "https://"), *files.flags(), *secret))
        cluster.wait_ready()
        assert cluster.post(1, "general", "over TLS").status == 201
        for files, new in zip(certificates, make_certificates(tmp_path / "new", *["127.0.0.1"] * 3), strict=True):
            for there, here in zip(new, files, strict=True):
                here.write_bytes(there.read_bytes())
        for node in cluster.nodes.values():
            node.signal(signal.SIGHUP)
            node.wait_says("the certificates of peers were read again")
        assert cluster.terminate(3) == 0
        third = cluster.nodes[3]
        third.start(*third.flags(cluster.url_list, *certificates[2].flags(), *secret))
        cluster.wait_ready()  # by the new authority only
        assert cluster.post(3, "general", "over TLS again").status == 201


def reload(node: NodeProcess, directory: Path, *keys: str) -> None:
    """Give a node its keys, and wait until it has them."""
    known = node.log().count("the cluster secret was read again")
    secret_file(directory, *keys)
    node.signal(signal.SIGHUP)
    wait_until(lambda: node.log().count("the cluster secret was read again") > known, 5, "the file is read again")


def test_a_secret_is_replaced_and_no_post_fails_and_whoever_has_the_old_one_stays_outside(tmp_path: Path) -> None:
    with Cluster(tmp_path) as cluster:
        places = {id: tmp_path / f"secret-{id}" for id in cluster.nodes}
        for id, place in places.items():
            place.mkdir()
            node, path = cluster.nodes[id], secret_file(place, SECRET)
            node.start(*node.flags(cluster.url_list, "--cluster-secret-file", str(path)))
        cluster.wait_ready()
        term = cluster.nodes[1].status()["Term"]
        with load(cluster.ports(), writers=WRITERS, rooms=ROOMS) as writers:
            for keys in ((OTHER, SECRET), (OTHER,)):
                for id, node in cluster.nodes.items():
                    wait_for_more(writers)
                    reload(node, places[id], *keys)
            wait_for_more(writers)
        check_posts(cluster, writers)
        assert cluster.nodes[1].status()["Term"] == term, "not a heartbeat was missed"
        assert all("refused a peer" not in node.log() for node in cluster.nodes.values())

        assert cluster.terminate(3) == 0
        stranger = cluster.nodes[3]
        stranger.start(*stranger.flags(cluster.url_list, "--cluster-secret-file", str(secret_file(places[3], SECRET))))
        stranger.wait_says("is not reachable: it refuses this node's cluster secret")
        others = cluster.nodes[1], cluster.nodes[2]  # whichever leads by then

        def said(words: str) -> bool:
            return any(words in node.log() for node in others)

        for words in ("refused a peer at 127.0.0.1: member 3 has another cluster secret", "member 3 at"):
            wait_until(partial(said, words), 5, f"the leader says {words!r}")
        assert cluster.post(1, "general", "without it").status == 201
