"""The connection of `tail` and `send` to a node."""

from chat.cli.node_socket import NodeSocket
from tests.support.node import Node


def test_a_wait_for_frames_ends_by_itself_so_that_an_early_ctrl_c_is_seen(node: Node) -> None:
    socket = NodeSocket([f"http://127.0.0.1:{node.port}"], "")
    socket.connect()
    while socket.receive() is not None:  # Hello, and whatever else a newcomer is told
        pass
    socket.close()


def test_a_client_over_tls_takes_its_token_to_no_node_without_tls() -> None:
    named = ["http://127.0.0.1:2", "https://127.0.0.1:3"]
    secure = NodeSocket(["https://127.0.0.1:1"], "token")
    secure.add_nodes(named)
    assert secure._urls == ["https://127.0.0.1:3", "https://127.0.0.1:1"]
    plain = NodeSocket(["http://127.0.0.1:1"], "token")
    plain.add_nodes(named)
    assert plain._urls == [*named, "http://127.0.0.1:1"]
