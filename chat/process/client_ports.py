"""The ports of a node's clients: the one that serves the chat, and one for plain HTTP that sends clients on to TLS.

What is around the application is put there, outermost first: the base path, the check of the host, the proxies, the
check of the host that a proxy forwards, and the mark on requests of other sites' pages.
"""

import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from chat.auth import guest_pages, proxies
from chat.auth.hosts import AllowedHosts, normal
from chat.cli.options import Options
from chat.metrics.requests import RequestDurations
from chat.server import base_path
from chat.server.limits import Limits
from chat.server.networks import OPERATOR_SPARE
from chat.server.server import Server
from chat.server.tls.certificate import CertificateRefused, server_context
from chat.server.tls.plain_text import redirecting_app
from raft.errors import StartRefused

logger = logging.getLogger(__name__)

AT_WORK_MAX: Final = 2  # requests that use the processor at once: more would only make heartbeats late
# The port that sends plain HTTP to TLS: a client asks once, and has no body that is read.
REDIRECT_LIMITS: Final = Limits(connections=256, body_bytes=16 * 1024, idle_s=5.0, head_deadline_s=5.0)


class ClientPorts:
    """The servers for clients.  `open`, `start` and `drain` are for the main thread."""

    def __init__(
        self,
        options: Options,
        app: Any,
        *,
        never_waits: Callable[[str, str], bool],
        advertised: Callable[[], list[str]],
        finish_batch: Callable[[], None],
        requests: RequestDurations,
    ) -> None:
        """`app` serves the requests; `never_waits(method, target)`: without waiting for anything.

        `advertised` gives the URLs of the members.  Raises StartRefused.
        """
        self._options = options
        self._app = app
        self._never_waits = never_waits
        self._advertised = advertised
        self._finish_batch = finish_batch
        self._requests = requests
        self._hosts = self._allowed_hosts()
        self._tls = _tls(options)
        self._servers: list[Server] = []  # that of the chat first

    @property
    def reloads(self) -> list[Callable[[], None]]:
        """The functions to call at SIGHUP."""
        return [] if self._tls is None else [self._reload_certificate]

    def open(self) -> None:
        """Bind the ports.  Raises StartRefused."""
        self._servers.append(self._listen_for_clients())
        if self._options.http_port:
            self._servers.append(self._listen_for_plain_http())

    def start(self) -> None:
        """Serve from now on."""
        for server in self._servers:
            server.start()

    def drain(self, deadline_s: float) -> None:
        """Finish the requests under way, and close the ports."""
        for redirecting in self._servers[1:]:
            redirecting.drain(0.0)
        self._servers[0].drain(deadline_s)

    def _listen_for_clients(self) -> Server:
        """Bind the port of the clients, behind the proxies and under the base path."""
        options = self._options
        call: Any = self._app
        waits_never = self._never_waits
        hosts = self._hosts
        if options.allowed_origins:
            call = guest_pages.marking(options.allowed_origins, self._advertised, call)
        call = hosts.guarding(call)
        if options.trusted_proxies:
            call = hosts.guarding(proxies.behind(options.trusted_proxies, call, options.auth_headers))
        if options.base_path:
            call = base_path.mounted(options.base_path, call)
            waits_never = base_path.never_waits_under(options.base_path, waits_never)
        return _listen(
            call, options.host, options.port, "clients",
            cpu_slots=AT_WORK_MAX, limits=Limits(operator_spare=OPERATOR_SPARE),
            never_waits=waits_never, finish_batch=self._finish_batch,
            is_shared=options.trusted_proxies.trusts, ssl_context=self._tls,
            durations=self._requests.refused, on_sweep=self._requests.settle, host_refusal=self._hosts.refusal,
        )  # fmt: skip

    def _allowed_hosts(self) -> AllowedHosts:
        """Return the names that requests may ask for: of this machine, of the members and of --allowed-host."""
        options = self._options
        own = (socket.gethostname(), options.host, urlsplit(options.members[options.id]).hostname or "")
        return AllowedHosts(map(normal, (*own, *options.allowed_hosts)), self._advertised)

    def _listen_for_plain_http(self) -> Server:
        """Bind the port that sends clients to the one with TLS."""
        options = self._options
        app = self._hosts.guarding(redirecting_app(options.port), exempt=())
        return _listen(
            app, options.host, options.http_port, "http",
            limits=REDIRECT_LIMITS, never_waits=lambda method, target: True, is_shared=options.trusted_proxies.trusts,
        )  # fmt: skip

    def _reload_certificate(self) -> None:
        """Use the certificate that is in the files now, for the connections that come from now on."""
        try:
            self._servers[0].ssl_context = _tls(self._options)
        except StartRefused as refused:
            logger.error("the certificate for clients stays as it was: %s", refused)
        else:
            logger.info("the certificate for clients was read again from %s", self._options.certificate)


def local_url(options: Options) -> str:
    """The URL of the clients' port for programs on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(options.host, options.host)
    scheme = "https" if options.certificate else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{options.port}"


def _listen(app: Any, host: str, port: int, name: str, **settings: Any) -> Server:
    try:
        return Server(app, host, port, name=name, **settings)
    except OSError as error:
        raise StartRefused(f"port {port} on {host} for {name} cannot be used: {error.strerror}") from None


def _tls(options: Options) -> ssl.SSLContext | None:
    """Read the certificate of the clients' port; None where it speaks plain HTTP.  Raises StartRefused."""
    if options.certificate is None or options.certificate_key is None:
        return None
    try:
        return server_context(options.certificate, options.certificate_key)
    except CertificateRefused as refused:
        raise StartRefused(f"--cert: {refused}") from None
