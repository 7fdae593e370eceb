"""Websockets of real nodes with a login: who they are on every node, and that they end with their tokens."""

import json
import threading
from contextlib import ExitStack
from pathlib import Path

from tests.cluster.people import FLAGS, QUICK_PASSWORDS, People, operator
from tests.support.cluster import Cluster
from tests.support.websocket_client import WebSocketClient

TICKETS = 20


def connected(sockets: ExitStack, cluster: Cluster, token: str = "") -> list[WebSocketClient]:
    """A websocket of each node."""
    ports = [node.port for node in cluster.nodes.values()]
    return [sockets.enter_context(WebSocketClient(port, token=token)) for port in ports]


def test_a_token_that_ends_ends_its_websockets_on_every_node_and_no_others(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster, ExitStack() as sockets:
        people = People(cluster.start_ready())
        other = people.log_in("bob")
        ended = connected(sockets, cluster, people.token["bob"])
        left = connected(sockets, cluster, other)
        for client in (*ended, *left):
            client.subscribe()
        assert people.request("bob", 1, "POST", "/logout").status == 204
        assert [client.hear_close() for client in ended] == [1008] * 3
        assert people.post("ann", 2, "after").status == 201
        assert [client.next_texts(1) for client in left] == [["after"]] * 3

        with operator(cluster.nodes[2]) as administrator:
            assert administrator.request("PATCH", "/users/bob", json.dumps({"Active": False})).status == 200
        assert [client.hear_close() for client in left] == [1008] * 3


def test_a_ticket_that_is_brought_to_three_nodes_at_once_lets_one_websocket_in(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster:
        people = People(cluster.start_ready())
        for _ in range(TICKETS):
            ticket = people.request("bob", 1, "POST", "/ws-ticket").json()["Ticket"]
            with ExitStack() as sockets:
                clients = connected(sockets, cluster)
                told: list[dict[str, object]] = []

                def bring(client: WebSocketClient, ticket: str = ticket, told: list[dict[str, object]] = told) -> None:
                    client.say(Action="subscribe", Rooms="*", Ticket=ticket)
                    told.append(client.hear())

                threads = [threading.Thread(target=bring, args=(client,)) for client in clients]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            assert sorted(name for frame in told for name in frame) == ["Error", "Error", "Hello"], told


def test_a_private_room_is_told_to_its_members_on_every_node_and_missed_by_those_alone(tmp_path: Path) -> None:
    with Cluster(tmp_path, flags=FLAGS, command=QUICK_PASSWORDS) as cluster, ExitStack() as sockets:
        people = People(cluster.start_ready())
        body = {"Name": "club", "Visibility": "private", "Members": ["gus"]}
        club = people.request("ann", 1, "POST", "/rooms", body).json()["Name"]
        clients = {name: connected(sockets, cluster, token) for name, token in people.token.items()}
        cursors = {name: [client.subscribe() for client in sockets_of] for name, sockets_of in clients.items()}
        for number, (room, text) in enumerate([(club, "one"), ("general", "two"), (club, "three")]):
            assert people.post("ann", number + 1, text, room).status == 201
        told = {"ann": ["one", "two", "three"], "bob": ["two"], "gus": ["one", "three"]}
        for name, texts in told.items():
            for client in clients[name]:
                assert client.next_texts(len(texts)) == texts
        # What was missed is told by who one is now: a ticket's owner, and a member no longer.
        assert people.request("ann", 2, "DELETE", f"/rooms/{club}/members/gus").status == 204
        assert people.request("ann", 2, "PUT", "/rooms/lobby", {}).status == 201
        assert people.request("ann", 2, "PUT", "/rooms/lobby/members/gus", {}).status == 204
        assert people.post("ann", 3, "end", "lobby").status == 201
        for name, texts in (told | {"gus": []}).items():
            ticket = people.request(name, 1, "POST", "/ws-ticket").json()["Ticket"]
            with WebSocketClient(cluster.nodes[3].port) as client:
                assert client.subscribe(cursor=cursors[name][0], ticket=ticket) == cursors[name][0]
                assert client.next_texts(len(texts) + 1) == [*texts, "end"]
