"""The ports on which this node listens for its peers: the addresses of its command line and of the membership.

A node learns twice that it moves, in either order: at a start from its own --cluster, and from `PUT /raft/{id}`, which
the leader carries out at once.  As long as the two differ, the node listens at both.

Rules.
- A start is refused if no address can be used, unless a name does not resolve yet.
- A name that does not resolve yet is retried, and so is an address of the membership that cannot be used here.
- An address that is not named any more is closed once a peer has called at another one: until then the peers may not
  reach the new one.
- Without a secret or certificates nothing is bound that other machines reach, whoever names it.
- With --peer-host the node listens there, whatever host the URLs name: they may be a router's or a floating one.
"""

import errno
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import ip_address
from typing import Protocol

from raft.errors import StartRefused
from raft.rpc.peer_client import parse_peer_url

logger = logging.getLogger(__name__)

POLL_S = 1.0  # between two looks for changed URLs: the earlier one is listened at meanwhile
RESOLVE_S = 5.0  # between two looks for changed addresses of the same URLs: each may ask a name server
DRAIN_S = 0.5  # for calls under way at an address that is given up
UNGUARDED = "other machines reach it; pass --cluster-secret-file or --peer-cert, or --insecure-peers"
WILDCARD_V4, WILDCARD_V6 = "0.0.0.0", "::"  # a listener there accepts calls to every address of this machine


class Listener(Protocol):
    """A server that is bound to its port."""

    def start(self) -> None: ...
    def drain(self, deadline_s: float) -> None: ...


Address = tuple[str, int]  # numeric host, port
# Bind a server; it calls the function at each call of a peer.  Raises OSError.
Listen = Callable[[str, int, Callable[[], None]], Listener]


class _Port:
    """A listener, and whether a peer has called there."""

    def __init__(self, listen: Listen, address: Address) -> None:
        self.called = False
        self.listener = listen(*address, self._note_call)

    def _note_call(self) -> None:
        self.called = True


class PeerPorts:
    """The listeners of one node.  `open` and `close` are for the main thread; another one follows the membership."""

    def __init__(
        self, listen: Listen, given_url: str, *, host: str = "", port: int = 0, is_guarded: bool = True
    ) -> None:
        """`given_url`: this node's own of --cluster.  `host`, `port`: of --peer-host; "", 0: those of the URLs.

        `is_guarded`: the node may listen where other machines reach it.
        """
        self._listen = listen
        self._given_url = given_url
        self._host = host
        self._port = port
        self._is_guarded = is_guarded
        self._ports: dict[Address, _Port] = {}
        self._lock = threading.Lock()  # around the ports
        self._warned: dict[str, str] = {}  # by URL: the last warning about it
        self._stopping = threading.Event()
        self._is_open = threading.Event()
        self._followed: list[str] = []  # the URLs of the last look, if all of them are listened at and no others,
        self._resolve_s = 0.0  # and when their hosts are resolved again
        self.peer_urls: Callable[[], Iterable[str]] = lambda: ()  # the membership's; set once there is a member

    @property
    def waiting_for(self) -> str:
        """The text that says which address is missing while the node listens nowhere; otherwise ""."""
        return "" if self._is_open.is_set() else self._warned.get(self._given_url, "")

    def open(self, stored_url: str) -> None:
        """Bind; `stored_url` is the membership's, "" if there is none.  Raises StartRefused."""
        refusals: dict[str, str] = {}
        for url in dict.fromkeys((self._given_url, stored_url or self._given_url)):
            try:
                self._bind(url)
            except socket.gaierror as unresolved:
                self._warn_once(
                    url, f"waiting for the host of this node's own URL, {url}, to resolve: {unresolved.strerror}"
                )
            except OSError as error:
                refusals[url] = _refusal(error, *self._place(url))
        if not self._ports and refusals:
            raise StartRefused(next(iter(refusals.values())))
        for url, refusal in refusals.items():
            self._warn_once(url, refusal)

    def start(self) -> None:
        """Serve, and follow the membership from now on."""
        with self._lock:
            for port in self._ports.values():
                port.listener.start()
        # A daemon: a resolver may take its time.
        threading.Thread(target=self._run, name="peer-ports", daemon=True).start()

    def wait_open(self, stopped: threading.Event) -> bool:
        """Wait until the node listens somewhere; return False if `stopped` came first."""
        while not self._is_open.wait(POLL_S):
            if stopped.is_set():
                return False
        return True

    def close(self, deadline_s: float) -> None:
        """Drain all listeners."""
        self._stopping.set()
        with self._lock:
            ports, self._ports = list(self._ports.values()), {}
        for port in ports:
            port.listener.drain(deadline_s)

    # The thread

    def _run(self) -> None:
        while not self._stopping.wait(POLL_S):
            try:
                if self._named() != self._followed or time.monotonic() >= self._resolve_s:
                    self.follow()
            except Exception:
                logger.exception("following the membership's URLs failed, and is tried again")

    def follow(self) -> None:
        """Listen at all addresses that are named now, and close those that are not named any more."""
        urls = self._named()
        found = [self._follow(url) for url in urls]
        wanted = {address for address in found if address is not None}
        with self._lock:
            called = any(port.called for address, port in self._ports.items() if address in wanted)
            left = [address for address in self._ports if called and address not in wanted]
            given_up = [self._ports.pop(address) for address in left]
            self._followed = urls if None not in found and wanted == set(self._ports) else []
        self._resolve_s = time.monotonic() + RESOLVE_S
        for address in left:
            logger.info("peers are no longer served at %s port %d: this node has moved", *address)
        for port in given_up:
            port.listener.drain(DRAIN_S)

    def _named(self) -> list[str]:
        """Return the URLs at which this node is to be reached, each once."""
        return list(dict.fromkeys((self._given_url, *self.peer_urls())))

    def _follow(self, url: str) -> Address | None:
        """Listen at a URL, if necessary; return the address, None if that is impossible now."""
        try:
            return self._bind(url, start=True)
        except socket.gaierror as unresolved:
            self._warn_once(url, f"this node's own URL, {url}, does not resolve: {unresolved.strerror}")
        except OSError as error:
            self._warn_once(url, f"the cluster reaches this node at {url}; {_refusal(error, *self._place(url))}")
        except ValueError as invalid:
            self._warn_once(url, f"the cluster reaches this node at a URL that cannot be used: {invalid}")
        return None

    # Binding

    def _place(self, url: str) -> Address:
        """Return the host and port to listen at, the host still as a name."""
        host, port = parse_peer_url(url)
        return self._host or host, self._port or port

    def _bind(self, url: str, *, start: bool = False) -> Address:
        """Listen at a URL, if necessary; return the address.  Raises OSError, gaierror, ValueError."""
        address = _resolved(*self._place(url))
        if not self._is_guarded and not ip_address(address[0].partition("%")[0]).is_loopback:
            raise OSError(errno.EPERM, UNGUARDED)
        with self._lock:
            wildcard = (WILDCARD_V6 if ":" in address[0] else WILDCARD_V4), address[1]
            if wildcard in self._ports:
                address = wildcard
            if address not in self._ports and not self._stopping.is_set():
                port = self._ports[address] = _Port(self._listen, address)
                if start:
                    port.listener.start()
                    logger.info("peers are served at %s port %d too", *address)
        self._warned.pop(url, None)
        self._is_open.set()
        return address

    def _warn_once(self, url: str, text: str) -> None:
        if self._warned.get(url) != text:
            self._warned[url] = text
            logger.warning("%s", text)


def _resolved(host: str, port: int) -> Address:
    """Return the numeric address, IPv4 if there is one.  Raises gaierror."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except UnicodeError:
        raise socket.gaierror(socket.EAI_NONAME, "no such name") from None
    addresses = [(str(address[0]), port) for *_, address in found]
    return next((address for address in addresses if ":" not in address[0]), addresses[0])


def _refusal(error: OSError, host: str, port: int) -> str:
    text = f"port {port} on {host} for peers cannot be used: {error.strerror}"
    if error.errno == errno.EADDRNOTAVAIL:
        text += "; pass --peer-host if peers reach this machine by an address that is not its own"
    return text
