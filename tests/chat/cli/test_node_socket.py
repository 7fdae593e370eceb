"""The connection of `tail` and `send` to a node."""

from chat.cli.node_socket import NodeSocket
from tests.support.node import Node


def test_a_wait_for_frames_ends_by_itself_so_that_an_early_ctrl_c_is_seen(node: Node) -> None:
    socket = NodeSocket([f"http://127.0.0.1:{node.port}"], "")
    socket.connect()
    while socket.receive() is not None:  # Hello, and whatever else a newcomer is told
        pass
    socket.close()
