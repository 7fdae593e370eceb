"""The process of one node, which is a Raft member and a chat server.

This file joins the two halves: options, logging, signals, and the order of start and end.  `raft_chat.py` reads the
options and imports it.  A removed node exits with 0, like one that was stopped.
"""

import gc
import logging
import os
import random
import signal
import ssl
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from chat.app import WsgiApp, create_app, never_waits, request_durations
from chat.auth.authenticator import Authenticator
from chat.auth.secrets import OPERATOR, SETUP, new_secret
from chat.auth.token_activity import TokenActivity
from chat.cli import operator_file
from chat.cli.operator_file import OperatorFile
from chat.cli.option_table import error_line
from chat.cli.options import Options
from chat.commands import LEVEL, Actor, frees_space
from chat.commands import OPERATOR as BY_OPERATOR
from chat.commands.cluster import SetAuth
from chat.logs import log_lines, request_log
from chat.logs.access_log import AccessLog
from chat.logs.stderr_log import StderrLog
from chat.metrics.node import NodeMetrics
from chat.process import descriptors
from chat.process.client_ports import ClientPorts, local_url
from chat.process.own_command import BACK_UP, REWRITE, own_command
from chat.process.peer_servers import PeerServers, proved_limits, stranger_limits
from chat.process.progress import PROGRESS_S, Progress
from chat.process.service_manager import ServiceManager
from chat.process.signals import SignalThreads
from chat.realtime.authentication import Realtime
from chat.realtime.handshake import open_websocket
from chat.realtime.hub import Hub, hub_limits
from chat.realtime.sse import EventStreams
from chat.server.limits import Limits
from chat.services.cursors import history
from chat.services.maintenance import Maintenance
from chat.services.proxy_sign_in import ProxySignIn
from chat.services.read_markers import PendingMarkers
from chat.services.startup_messages import StartupMessages
from chat.state.machine import ChatState
from chat.state.settings import LOGIN
from chat.version import program_version
from raft.cluster.bootstrap import Bootstrap
from raft.cluster.member import RunningMember, make_node
from raft.cluster.starting_member import StartingMember
from raft.cluster.stored_membership import own_url, refuse_lost_state, stored_membership
from raft.compaction.child_process import ChildRewriter, ChildRunner
from raft.core.configuration import Configuration
from raft.core.node import Settings
from raft.engine.damage import Damage
from raft.errors import DiskFailed, DiskFull, StartRefused
from raft.rpc.cluster_secret import ClusterSecret
from raft.rpc.endpoint import Endpoint
from raft.rpc.peer_certificates import PeerCertificates
from raft.rpc.peer_client import BODY_BYTES_MAX
from raft.rpc.peer_ports import PeerPorts
from raft.storage.disk import TEMPORARY_SUFFIX, RealDisk, create_durably
from raft.storage.identity import Identity, load_or_create, lock_directory, save, settle
from raft.storage.log_store import SEGMENT_BYTES, Storage
from raft.storage.reserve import Reserve

logger = logging.getLogger("raft_chat")

PEER_LIMITS = proved_limits(BODY_BYTES_MAX)
STRANGER_LIMITS = stranger_limits(PEER_LIMITS)
HAND_OVER_S = 1.5  # these add up to less than the ten seconds that an init system waits
DRAIN_S = 2.0
LISTEN_LOOK_S = 0.05
GARBAGE = (20_000, 50, 100)  # thresholds of the collector: hardly anything here is a cycle, and looking costs 8 %


class _Stopped(Exception):
    """A signal came while the log was being read: there is nothing to end yet."""


class NodeProcess:
    """The process of a node, from its start to its end."""

    def __init__(self, options: Options, signals: Sequence[signal.Signals], log: StderrLog) -> None:
        self.options = options
        self._log = log
        self.exit_code = 0
        self._ended = threading.Event()
        self._requests = request_durations()
        self._client_ports = ClientPorts(
            options, self._call_app,
            never_waits=never_waits, advertised=self._advertised, finish_batch=self._flush, requests=self._requests,
        )  # fmt: skip
        self._service_manager = ServiceManager()
        self._read_progress = Progress("reading the log, bytes", self._service_manager.starting)
        self._signals = SignalThreads(signals, self._ended, self._service_manager)
        self._signals.start()
        self._access_log = _start_access_log(options.log_format) if options.access_log else None
        descriptors.raise_limit()  # before the servers, whose bounds follow from it
        self._why_starting = "starting"
        self._member: RunningMember | None = None
        self._disk = RealDisk()
        self._lock = lock_directory(self._disk, options.data_dir)
        self._reserve = Reserve(self._disk, options.data_dir)
        self._reserve.prepare_start()
        self._identity = load_or_create(self._disk, options.data_dir, options.id)
        self._storage = self._open_storage()
        self._damage = Damage(self._disk, options.data_dir)
        self._damage.recheck()
        stored = self._stored_membership()
        refuse_lost_state(options.id, stored, self._storage)
        for report in self._storage.recovered.reports:
            logger.warning("%s", report)
        alone = stored.voters == (options.id,)
        self._identity = settle(self._disk, options.data_dir, self._identity, alone=alone, moved=options.moved)
        self._secret, self._certificates = self._cluster_secret(), self._peer_certificates()
        self._bootstrap = self._make_bootstrap()
        self._endpoint = Endpoint(
            self._bootstrap.sender, self._bootstrap.hello, self._secret, self._certificates,
            on_proved=lambda environ: environ["raft_chat.set_limits"](PEER_LIMITS),
        )  # fmt: skip
        self._operator, self._setup = new_secret(OPERATOR), new_secret(SETUP)
        # A node without a log that joins no cluster belongs to a new one, where nobody has an account.
        self._is_new = not self._bootstrap.is_done and not options.join
        self._app = self._starting_app()
        self._peer_servers = PeerServers(self._endpoint, self._stranger_limits(), self._peer_context)
        self._peer_ports = PeerPorts(
            self._peer_servers.listen, options.members[options.id], host=options.peer_host, port=options.peer_port,
            is_guarded=options.has_guarded_peers,
        )  # fmt: skip
        self._peer_ports.open(own_url(options.id, options.members, stored))
        self._client_ports.open()
        self._signals.reload += self._client_ports.reloads
        self._write_operator_file()
        self._rewriter = ChildRewriter([*own_command(), REWRITE], options.data_dir)
        self._backup_runner = ChildRunner([*own_command(), BACK_UP], options.data_dir, "backup")

        self._hub: Hub | None = None
        self._realtime: Realtime | None = None
        self._keeping_ends = threading.Event()

    def run(self) -> int:
        """Serve until told to stop; the exit code."""
        self._peer_ports.start()
        self._client_ports.start()
        logger.info(
            "member %d serves clients at %s", self.options.id, self.options.advertise or local_url(self.options)
        )
        if not self.options.advertise:
            logger.warning(
                "--host %s is every address of this machine, so this node names no URL of its own to clients. "
                "Pass --advertise with the URL that clients use.",
                self.options.host,
            )
        # Not once it takes part: a majority may be started by hand, one node after the other.
        self._service_manager.ready()
        self._service_manager.follow(self._status_line, self._ended)
        if self._bootstrap.is_done or (self._peer_ports.wait_open(self._ended) and self._bootstrap.run(self._ended)):
            self._take_part(self._bootstrap.identity)
            self._ended.wait()
        self._stop()
        return self.exit_code

    def _reading(self, done: int, total: int) -> None:
        """Log how far the log has been read.  Raises _Stopped if a signal came meanwhile."""
        if self._ended.is_set():
            raise _Stopped
        self._read_progress(done, total)

    # Starting

    def _open_storage(self) -> Storage:
        """Read the log, and report damage at its end."""
        options = self.options
        return Storage.open(
            self._disk,
            options.data_dir,
            self._identity.cluster_id,
            must_exist=bool(self._identity.founders),
            segment_bytes=min((options.compact_mib << 20) // 4, SEGMENT_BYTES),  # a compaction frees whole ones only
            progress=self._reading,
        )

    def _make_bootstrap(self) -> Bootstrap:
        options = self.options
        return Bootstrap(
            self._identity,
            options.members,
            join=options.join,
            advertise=options.advertise,
            level=LEVEL,
            save=self._save_identity,
            secret=self._secret,
            certificates=self._certificates,
        )

    def _cluster_secret(self) -> ClusterSecret | None:
        """Read the secret of --cluster-secret-file.  Raises StartRefused."""
        path = self.options.cluster_secret_file
        if path is None:
            return None
        accepts_unsigned = self.options.accept_unsigned_peers
        secret = ClusterSecret(path, lambda: self._endpoint.own_sender(), accepts_unsigned=accepts_unsigned)
        if accepts_unsigned:
            warn = secret.warn_of_unsigned
            threading.Thread(target=warn, args=(self._ended,), name="unsigned-peers", daemon=True).start()
        self._signals.reload.append(secret.reload)
        return secret

    def _peer_certificates(self) -> PeerCertificates | None:
        """Read the files of --peer-cert, --peer-key and --peer-ca.  Raises StartRefused."""
        files = self.options.peer_certificate
        if files is None:
            return None
        certificates = PeerCertificates(*files, self._peer_url_of)
        self._signals.reload += [certificates.reload, lambda: self._peer_servers.renew_contexts()]
        return certificates

    def _peer_context(self) -> ssl.SSLContext | None:
        return None if self._certificates is None else self._certificates.server_context

    def _peer_url_of(self, id: int) -> str:
        """Return the URL of a member: the membership's, or that of --cluster."""
        known = "" if self._member is None else self._member.url_of(id)
        return known or self.options.members.get(id, "")

    def _starting_app(self) -> WsgiApp:
        """Make the application that answers until this node takes part in its cluster."""
        options = self.options
        starting = StartingMember(options.id, dict(options.members), self._waiting_for, self._stage)
        nothing = ChatState()
        authenticator = Authenticator(
            starting, nothing, operator=self._operator, scraper=options.metrics_token,
            needs_login=options.auth == LOGIN, knows_mode=self._is_new,
        )  # fmt: skip
        return create_app(
            starting, nothing, authenticator=authenticator, is_draining=self._ended.is_set,
            metrics=NodeMetrics(program_version(), self._requests, lost_lines=self._lost_lines),
        )  # fmt: skip

    def _advertised(self) -> list[str]:
        return [self.options.advertise] if self._member is None else self._member.nodes()

    def _stranger_limits(self) -> Limits:
        """Return the limits of a connection that has proved nothing yet."""
        if self._secret is not None and not self._secret.accepts_unsigned:
            return STRANGER_LIMITS
        if self._certificates is not None:  # its bodies come from a holder of a certificate
            return replace(STRANGER_LIMITS, body_bytes=PEER_LIMITS.body_bytes, idle_s=PEER_LIMITS.idle_s)
        return PEER_LIMITS

    def _stored_membership(self) -> Configuration:
        """Return the members according to the log.  Raises StartRefused if this program cannot read the log."""
        recovered = self._storage.recovered
        return stored_membership(
            self.options.data_dir, LEVEL, self._identity, recovered.snapshot, recovered.configurations
        )

    def _write_operator_file(self) -> None:
        """Write the operator's file, after the ports were bound.  Raises DiskFailed."""
        path = self.options.data_dir / operator_file.NAME
        try:
            with suppress(FileNotFoundError):  # a creation that a crash cut short
                self._disk.remove(path.with_name(path.name + TEMPORARY_SUFFIX))
            certificate = self.options.certificate
            file = OperatorFile(
                local_url(self.options), self._operator, str(certificate.absolute()) if certificate else ""
            )
            content = operator_file.encode(file)
            create_durably(self._disk, path, content).close()
        except OSError as error:
            raise DiskFailed(f"{path}: {error.strerror}") from error

    def _take_part(self, identity: Identity) -> None:
        options = self.options
        settings = Settings(heartbeat_ms=options.heartbeat_ms, election_timeout_ms=options.election_timeout_ms)
        node = make_node(identity, self._storage.recovered, settings, random.Random())
        state = ChatState()
        member = RunningMember(
            node, self._storage, state, identity,
            advertise=options.advertise, level=LEVEL, save_identity=self._save_identity, on_end=self._end,
            rewrite=self._rewriter, backups=self._backup_runner, compact_bytes=options.compact_mib << 20,
            scrub_bytes_per_s=options.scrub_mb_per_s * 1_000_000, listed=options.members,
            reserve=self._reserve, frees=frees_space, damage=self._damage, on_notice=self._noticed,
            version=program_version(),
            secret=self._secret, certificates=self._certificates, is_guarded=options.has_guarded_peers,
            mark=(self._disk, options.data_dir),
            on_set_aside=self._close_sockets,
        )  # fmt: skip
        hub = Hub(lambda: history(member), limits=hub_limits())
        hub.start()
        self._member, self._hub = member, hub
        committed = member.start()
        self._peer_ports.peer_urls = member.peer_urls
        self._endpoint.engine = member  # it votes and stores while it still reads its log
        if self._catch_up(member, committed):
            self._serve(member, hub, state)

    def _catch_up(self, member: RunningMember, committed: int) -> bool:
        """Wait until the log is applied and the others know this node.  False: it is to stop."""
        self._why_starting = "this member reads its log"
        progress = Progress("applying the log, entries")
        while not member.wait_applied(committed, PROGRESS_S):
            progress(member.last_applied, committed)
            if self._ended.is_set():
                return False
        self._why_starting = "this member runs on a copy and listens whether others know it"
        while member.listens:
            if self._ended.wait(LISTEN_LOOK_S):
                return False
        return True

    def _serve(self, member: RunningMember, hub: Hub, state: ChatState) -> None:
        """Replace the starting application by that of a running node."""
        options = self.options
        pending_markers, token_activity = PendingMarkers(), TokenActivity()
        authenticator = Authenticator(
            member, state, operator=self._operator, setup=self._setup, scraper=options.metrics_token,
            token_activity=token_activity, needs_login=options.auth == LOGIN, knows_mode=self._is_new,
            sign_in=ProxySignIn(member, state),
        )  # fmt: skip
        authenticator.hides_from_strangers()  # asks for the mode
        realtime = Realtime(hub, member, state, authenticator, member.nodes, pending_markers=pending_markers)
        self._realtime = realtime
        state.listen(hub.publish, realtime.on_account_events, hub.skip_to)
        hub.begin_at(member.last_applied)
        self._app = create_app(
            member, state, authenticator=authenticator, pending_markers=pending_markers, rendered=realtime.rendered,
            websocket=partial(open_websocket, realtime), streams=EventStreams(realtime),
            is_draining=self._ended.is_set,
            metrics=NodeMetrics(
                program_version(), self._requests, hub.sockets, lambda: state.posts, self._lost_lines,
            ),
        )  # fmt: skip
        self._start_maintenance(member, state, pending_markers, token_activity)

    def _start_maintenance(
        self, member: RunningMember, state: ChatState, pending_markers: PendingMarkers, token_activity: TokenActivity
    ) -> None:
        options = self.options
        startup_messages = StartupMessages(
            state, url=options.advertise or local_url(options), host=options.host, auth=options.auth, setup=self._setup
        )  # fmt: skip
        wish = SetAuth(Actor(BY_OPERATOR), LOGIN, options.signup) if options.auth == LOGIN else None
        maintenance = Maintenance(
            member,
            state,
            pending_markers=pending_markers,
            token_activity=token_activity,
            auth=wish,
            look=startup_messages.look,
        )
        # A daemon: the outcome that it waits for may be long in coming.
        threading.Thread(target=maintenance.run, args=(self._keeping_ends,), name="maintenance", daemon=True).start()

    def _call_app(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self._app(environ, start_response)

    def _noticed(self, member: int, body: bytes) -> None:
        if self._realtime is not None:
            self._realtime.presence.heard(member, body)

    def _lost_lines(self) -> dict[str, int]:
        """Return how many lines of each stream were lost."""
        access = self._access_log
        return {"stderr": self._log.lost} | ({} if access is None else {"stdout": access.lost})

    def _close_sockets(self, index: int) -> None:
        """Have clients go on at another node: this one's state differs from the others' at log index `index`."""
        if self._hub is not None:
            self._hub.skip_to(index)

    def _flush(self) -> None:
        if self._member is not None:
            self._member.flush()

    def _save_identity(self, identity: Identity) -> None:
        try:
            save(self._disk, self.options.data_dir, identity)
        except DiskFull as error:
            if not self._reserve.give_up(str(error)):
                raise
            save(self._disk, self.options.data_dir, identity)

    def _waiting_for(self) -> str:
        if self._bootstrap.is_done:
            return self._why_starting
        return self._peer_ports.waiting_for or self._bootstrap.waiting_for

    def _status_line(self) -> str:
        """Describe this node in one line, for the service manager."""
        if self._member is None or self._realtime is None:
            return f"Node {self.options.id} serves no messages yet: {self._waiting_for()}"
        status = self._member.status()
        leader, term = status["Leader"], status["Term"]
        if not leader:
            return f"Node {self.options.id} hears no leader in term {term}"
        verb = "leads" if leader == self.options.id else f"follows node {leader}"
        return f"Node {self.options.id} {verb} in term {term}"

    def _stage(self) -> str:
        """Return what this node waits for, for anybody: without a URL."""
        return self._why_starting if self._bootstrap.is_done else "this node waits for its cluster"

    # Ending

    def _end(self, why: str, code: int) -> None:
        """End this process, for the engine; called by one of its threads."""
        self._service_manager.status(f"Node {self.options.id} ends: {why}")
        if code:
            logger.error("member %d ends: %s", self.options.id, why)
            self._log.finish()
            os._exit(code)  # nothing more may be written, answered or waited for
        logger.info("member %d ends: %s", self.options.id, why)
        self._ended.set()

    def _stop(self) -> None:
        """Hand over leadership, finish the clients' requests, close the log."""
        member, hub = self._member, self._hub
        self._service_manager.stopping()
        self._rewriter.stop()
        self._backup_runner.stop()
        self._keeping_ends.set()
        if member is not None and hub is not None:
            member.hand_over(HAND_OVER_S)
            hub.drain(DRAIN_S)
            giving_up = threading.Timer(DRAIN_S / 2, member.give_up)  # or what waits for a majority would be cut
            giving_up.daemon = True  # nobody waits for it where all was answered sooner
            giving_up.start()
        self._client_ports.drain(DRAIN_S)
        self._endpoint.engine = None  # peers are told at once, instead of an answer that would never come
        if member is not None:
            member.give_up()  # a start that applies a long log, too
            member.stop()
        else:
            self._storage.close()
        self._peer_ports.close(DRAIN_S / 4)
        self._lock.close()
        if self._access_log is not None:
            self._access_log.close()
        logger.info("member %d has stopped", self.options.id)


def _start_access_log(form: str) -> AccessLog:
    """Have the answers of this process noted on stdout.  Raises StartRefused if that is closed."""
    if sys.stdout is None:
        raise StartRefused("--access-log prints on stdout, and stdout is closed. Redirect it to a file or a program.")
    # Without a buffer: one that a reader has left behind would be flushed, and fail, at the end of the process.
    started = AccessLog(open(sys.stdout.fileno(), "wb", buffering=0, closefd=False), form)  # noqa: SIM115
    started.start()
    request_log.log.add_access_log(started)
    return started


def run(options: Options, signals: Sequence[signal.Signals]) -> int:
    """Run a node, which waits for these signals; its exit code.

    A refused start is told by the queue of the log, behind the lines before it.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the first thread: all inherit it
    log = log_lines.set_up(options.log_level, options.log_format)
    gc.freeze()
    gc.set_threshold(*GARBAGE)
    try:
        return NodeProcess(options, signals, log).run()
    except _Stopped:
        logger.info("member %d has stopped while it read its log", options.id)
        return 0
    except (StartRefused, DiskFailed, DiskFull) as error:
        if options.log_format == "text":
            log.put(error_line(error, as_json=False))
        else:
            logger.error("this node does not start: %s", error)  # for who reads only JSON
        return 1
    finally:
        log.finish()
