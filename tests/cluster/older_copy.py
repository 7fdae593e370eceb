"""A single node whose data is put back to an older copy, in place, as a backup program does it."""

import shutil
from collections.abc import Callable

from tests.support.cluster import Cluster


def take_copy(cluster: Cluster) -> Callable[[], None]:
    """Copy node 1's data while it is stopped; call what is returned to put the copy in the place of what came since."""
    node = cluster.nodes[1]
    copy = node.data_dir.with_name("older-copy")
    assert cluster.terminate(1) == 0
    shutil.copytree(node.data_dir, copy)
    cluster.restart(1)

    def put_back() -> None:
        cluster.kill(1)
        shutil.rmtree(node.data_dir)
        shutil.copytree(copy, node.data_dir)
        node.data_dir.chmod(0o700)
        cluster.restart(1)

    return put_back
