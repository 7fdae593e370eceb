"""How late a leader's heartbeats are, seen from outside: their packets, with the times that the kernel stamped them.

A packet socket on the loopback device sees what members say to each other, and costs the nodes nothing; so there is
nothing for it in the product.  First the connections are found that heartbeats go over, which is one to each follower
and for nothing but them and votes; from then on a filter in the kernel lets only these through, and the few packets of
a minute wait in the socket's buffer.  It takes the right to open packet sockets (root).
"""

import ctypes
import socket
import struct
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from types import TracebackType
from typing import Final

ETH_P_IP: Final = 0x0800
SO_TIMESTAMPNS: Final = 35
SO_ATTACH_FILTER: Final = 26
SO_RCVBUFFORCE: Final = 33
LOAD_HALF, IF_EQUAL, RETURN = 0x28, 0x15, 0x06  # of classic BPF
BUFFER_BYTES: Final = 8 << 20
PACKET_BYTES: Final = 4096
FIND_S: Final = 5.0
SENT, ANSWERED = "sent", "answered"

_HEARTBEAT = b'"heartbeat":true'
_CALL = b'"rpc":"AppendEntries"'
_ANSWER = b'"rpc":"AppendEntriesReply"'

Way = tuple[int, int]  # of a connection: the port that called, and the one that was called


@dataclass(frozen=True, slots=True)
class Packet:
    """One TCP segment with something in it."""

    way: Way
    at_s: float
    data: bytes


def may_listen() -> bool:
    """Whether this process has the right to."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0).close()
    except (AttributeError, OSError):
        return False
    return True


class Heartbeats:
    """Listens from `__enter__` on; `take_late_ms` tells what there was."""

    def __init__(self, follower_ports: Collection[int]) -> None:
        self._ports = set(follower_ports)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self._times: dict[tuple[str, Way], list[float]] = defaultdict(list)

    def __enter__(self) -> "Heartbeats":
        self._socket.bind(("lo", ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        ways: dict[int, Way] = {}  # by follower
        self._socket.settimeout(FIND_S)
        until = monotonic() + FIND_S
        while len(ways) < len(self._ports):
            assert monotonic() < until, f"heartbeats were seen to {sorted(ways)} only, not to {sorted(self._ports)}"
            packet = self._receive()
            if packet and packet.way[1] in self._ports and _CALL in packet.data and _HEARTBEAT in packet.data:
                ways[packet.way[1]] = packet.way
        self._filter([calling for calling, _ in ways.values()])
        self._socket.setblocking(False)
        self._take_in()  # what came before the filter
        self._times.clear()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def _filter(self, ports: Sequence[int]) -> None:
        """Let through what comes from or goes to one of these ports (classic BPF; IPv4 without options, as here)."""
        code: list[tuple[int, int, int, int]] = []  # (what, jump if so, jump if not, operand)
        last = 2 * (1 + len(ports)) + 1
        for offset in (20, 22):
            code.append((LOAD_HALF, 0, 0, offset))
            code += [(IF_EQUAL, last - number - 1, 0, port) for number, port in enumerate(ports, len(code))]
        code += [(RETURN, 0, 0, 0), (RETURN, 0, 0, PACKET_BYTES)]  # how much of the packet to keep
        program = b"".join(struct.pack("HBBI", *instruction) for instruction in code)
        held = ctypes.create_string_buffer(program)
        self._socket.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", len(code), ctypes.addressof(held))
        )

    def _receive(self) -> Packet | None:
        """The next packet, where it is a segment with something in it.  Raises BlockingIOError."""
        data, ancillary, _, address = self._socket.recvmsg(PACKET_BYTES, 64)
        seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
        if address[2] == socket.PACKET_OUTGOING or data[9] != socket.IPPROTO_TCP:  # each is seen twice on this device
            return None
        tcp = (data[0] & 15) * 4
        calling, called = struct.unpack_from("!HH", data, tcp)
        text = data[tcp + (data[tcp + 12] >> 4) * 4 :]
        return Packet((calling, called), seconds + nanoseconds / 1e9, text) if text else None

    def _take_in(self) -> None:
        while True:
            try:
                packet = self._receive()
            except BlockingIOError:
                return
            if packet is None or _HEARTBEAT not in packet.data:
                continue
            if _CALL in packet.data:
                self._times[SENT, packet.way].append(packet.at_s)
            elif _ANSWER in packet.data:
                self._times[ANSWERED, packet.way].append(packet.at_s)

    def take_late_ms(self, interval_ms: float) -> dict[str, list[float]]:
        """By how much each since the last call was later behind the one before it than the interval: sent, answered.

        Ascending.  A tick is a quarter of an interval, so that much is usual.
        """
        self._take_in()
        found: dict[str, list[float]] = {SENT: [], ANSWERED: []}
        for (kind, _), times in self._times.items():
            gaps = [1000 * (later - earlier) for earlier, later in pairwise(times)]
            found[kind] += [max(0.0, gap - interval_ms) for gap in gaps]
            del times[:-1]
        return {kind: sorted(late) for kind, late in found.items()}
