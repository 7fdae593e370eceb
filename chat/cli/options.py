"""The options of a node: flags win over RAFT_CHAT_* in the environment, which win over the file of --config.

Every option has one name in three spellings: --data-dir, RAFT_CHAT_DATA_DIR, and `data-dir = "…"` in the file (TOML).
An unknown option or a wrong value is refused in one line that names it.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from chat.auth import guest_pages, hosts, proxies, proxy_users
from chat.auth.origins import Origin, origin_of
from chat.auth.proxies import TrustedProxies
from chat.auth.proxy_users import AuthHeaders
from chat.cli.option_table import LOG_LEVELS, OPTIONS, OptionRefused, node_parser
from chat.errors import Problem
from chat.logs import log_lines
from chat.server import base_path
from chat.services import validation
from raft.core.configuration import MEMBERS_MAX
from raft.core.urls import is_loopback

PREFIX = "RAFT_CHAT_"
OF_SUB_COMMANDS = ("FROM", "TOKEN", "CA")  # in the environment for `send` and `tail`, and nothing to a node
EVERY_ADDRESS = ("0.0.0.0", "::")
TIMER_MS_MAX = 60_000
PEER_CERTIFICATE = ("peer-cert", "peer-key", "peer-ca")
COMPACT_MIB_MAX = 1 << 30
SCRUB_MB_MAX = 10_000  # a second; no disk is quicker
_T = TypeVar("_T")
TOKEN_BYTES = (16, 512)  # of the metrics token: too long to be guessed, and short enough for a header
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff]")  # a file from another system ends lines in CR


@dataclass(frozen=True, slots=True)
class Options:
    """A node's options, checked."""

    id: int
    members: Mapping[int, str]  # id -> peer URL
    port: int
    host: str
    peer_host: str  # the address to listen on for peers; "": the host of the peer URL
    peer_port: int  # the port, likewise; 0: the peer URL's
    join: bool
    advertise: str  # "" if --host is every address: then the URL that clients use is not known
    certificate: Path | None  # the certificate of the clients' port, which then speaks TLS
    certificate_key: Path | None  # its key; both or neither
    http_port: int  # for plain HTTP, sent on to TLS; 0: none
    base_path: str  # "" or like "/chat"
    trusted_proxies: TrustedProxies
    allowed_hosts: tuple[str, ...]  # names
    allowed_origins: frozenset[Origin]
    auth_headers: AuthHeaders | None
    data_dir: Path
    moved: bool
    auth: str | None  # "open" or "login"; None: as the cluster has it, which is open when it is new
    signup: str  # "open" or "invite"
    heartbeat_ms: int
    election_timeout_ms: int
    compact_mib: int
    scrub_mb_per_s: int  # 0: this node does not look for damage by itself
    metrics_token: str  # "": there is none
    log_level: str
    log_format: str  # "text" or "json"
    cluster_secret_file: Path | None
    accept_unsigned_peers: bool
    has_guarded_peers: bool  # by a secret or certificates, or --insecure-peers takes their place
    access_log: bool
    peer_certificate: tuple[Path, Path, Path] | None  # of --peer-cert, --peer-key and --peer-ca


_NAMES = tuple(option.name for option in OPTIONS if option.name != "config")


def read_options(arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """The options of this start.  Raises OptionRefused."""
    flags = {
        name.replace("_", "-"): ",".join(value) if isinstance(value, list) else value
        for name, value in vars(node_parser().parse_args(arguments)).items()
    }
    from_environment = _from_environment(environment)
    config = flags.pop("config", from_environment.pop("config", None))
    in_file = {} if config is None else _from_file(refuse_control_characters("config", config))
    given = {**in_file, **from_environment, **flags}
    return _checked(given)


def _from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    known = {PREFIX + name.upper().replace("-", "_"): name for name in (*_NAMES, "config")}
    others = {PREFIX + name for name in OF_SUB_COMMANDS}
    given = {name: value for name, value in environment.items() if name.startswith(PREFIX) and name not in others}
    _refuse_unknown(given, known, "the environment")
    return {known[name]: value for name, value in given.items()}


def _from_file(path: str) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as unreadable:
        raise OptionRefused(f"--config: {path!r} cannot be read: {unreadable.strerror}") from None
    except (ValueError, RecursionError) as not_toml:
        raise OptionRefused(f"--config: {path!r} is not TOML: {not_toml}") from None
    _refuse_unknown(table, _NAMES, f"--config {path}")
    for name, value in table.items():
        if not isinstance(value, str | int):
            raise OptionRefused(f"--config {path}: {name} is neither a text nor a number")
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in table.items()}


def _refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise OptionRefused(f"{where}: {name} is not an option; these are: {', '.join(known)}")


def refuse_control_characters(name: str, value: str) -> str:
    """Return the value of an option.  Raises OptionRefused where it holds a control character or a byte order mark."""
    if _CONTROL.search(value):
        raise OptionRefused(
            f"--{name} {value!r} holds a control character. Remove it where the option is set: in the command, in "
            f"{PREFIX}{name.upper().replace('-', '_')} or in the file of --config."
        )
    return value


def _checked(given: Mapping[str, str]) -> Options:
    for name, value in given.items():
        refuse_control_characters(name, value)
    members = read_members(given.get("cluster", "http://127.0.0.1:12379"), is_tls="peer-cert" in given)
    id = _number(given, "id", 1, 1, 1 << 31)
    if id not in members:
        raise OptionRefused(f"--id {id} is not a place in --cluster, which has {', '.join(map(str, sorted(members)))}")
    host, port = _host("host", given.get("host", "127.0.0.1")), _number(given, "port", 12380, 1, 65535)
    peer_host, peer_port = _peer_host(given.get("peer-host", ""))
    heartbeat_ms, election_timeout_ms = _timers(given)
    certificate, key, http_port = _client_tls(given, port)
    join = _choice(given, "join", "false", ("true", "false")) == "true"
    prefix = _base_path(given.get("base-path", ""))
    auth = _choice(given, "auth", "open", ("open", "login")) if "auth" in given else None
    if "signup" in given and auth != "login":
        raise OptionRefused("--signup needs --auth login: in the open mode nobody signs up")
    trusted = _value_of(given, "trust-proxy", proxies.parse)
    return Options(
        id=id,
        members=members,
        port=port,
        host=host,
        peer_host=peer_host,
        peer_port=peer_port,
        join=join,
        advertise=_advertised(
            given.get("advertise", ""),
            host,
            port,
            prefix,
            scheme="https" if certificate else "http",
            shared=join or len(members) > 1,
        ),
        certificate=certificate,
        certificate_key=key,
        http_port=http_port,
        base_path=prefix,
        trusted_proxies=trusted,
        allowed_hosts=_value_of(given, "allowed-host", hosts.parse),
        allowed_origins=_value_of(given, "allow-origin", guest_pages.parse),
        auth_headers=_auth_headers(given, trusted, auth),
        data_dir=_path("data-dir", given.get("data-dir", f"raft-chat-{id}")),
        moved=_choice(given, "moved", "false", ("true", "false")) == "true",
        auth=auth,
        signup=_choice(given, "signup", "invite", ("open", "invite")),
        heartbeat_ms=heartbeat_ms,
        election_timeout_ms=election_timeout_ms,
        compact_mib=_number(given, "compact-mib", 64, 1, COMPACT_MIB_MAX),
        scrub_mb_per_s=_number(given, "scrub-mb-per-s", 8, 0, SCRUB_MB_MAX),
        metrics_token=_metrics_token(given),
        log_level=_choice(given, "log-level", "info", LOG_LEVELS),
        log_format=_choice(given, "log-format", "text", log_lines.FORMATS),
        cluster_secret_file=_secret_file(given, members, peer_host),
        peer_certificate=_peer_certificate(given),
        accept_unsigned_peers=_is_set(given, "accept-unsigned-peers"),
        has_guarded_peers=_has_guarded_peers(given),
        access_log=_is_set(given, "access-log"),
    )


def _is_set(given: Mapping[str, str], name: str) -> bool:
    return _choice(given, name, "false", ("true", "false")) == "true"


def _peer_certificate(given: Mapping[str, str]) -> tuple[Path, Path, Path] | None:
    named = [name for name in PEER_CERTIFICATE if name in given]
    if named and len(named) < len(PEER_CERTIFICATE):
        missing = ", ".join(f"--{name}" for name in PEER_CERTIFICATE if name not in given)
        raise OptionRefused(f"--{named[0]} needs {missing} too")
    certificate, key, authority = (_path(name, given[name]) if named else None for name in PEER_CERTIFICATE)
    return (certificate, key, authority) if certificate and key and authority else None


def _has_guarded_peers(given: Mapping[str, str]) -> bool:
    return "cluster-secret-file" in given or "peer-cert" in given or _is_set(given, "insecure-peers")


def _secret_file(given: Mapping[str, str], members: Mapping[int, str], peer_host: str) -> Path | None:
    """Return the file of the cluster's secret; without one other machines must not reach the peer port."""
    if "cluster-secret-file" in given:
        return _path("cluster-secret-file", given["cluster-secret-file"])
    if _is_set(given, "accept-unsigned-peers"):
        raise OptionRefused("--accept-unsigned-peers needs --cluster-secret-file: without it no node proves anything")
    hosts = [*(urlsplit(url).hostname or "" for url in members.values()), *([peer_host] if peer_host else [])]
    outside = next((host for host in hosts if not is_loopback(host)), None)
    if outside is not None and not _has_guarded_peers(given):
        raise OptionRefused(
            f"nodes talk to each other at {outside}, which other machines may reach, and whoever reaches a peer port "
            "owns the cluster. Pass --cluster-secret-file or --peer-cert, or --insecure-peers where the network is all "
            "yours."
        )
    return None


def _timers(given: Mapping[str, str]) -> tuple[int, int]:
    """The heartbeat interval and the election timeout, in milliseconds."""
    heartbeat_ms = _number(given, "heartbeat-ms", 60, 1, TIMER_MS_MAX)
    election_timeout_ms = _number(given, "election-timeout-ms", 300, 1, TIMER_MS_MAX)
    if election_timeout_ms < 2 * heartbeat_ms:
        raise OptionRefused(
            f"--heartbeat-ms {heartbeat_ms} is more than half of --election-timeout-ms {election_timeout_ms}: "
            "one late heartbeat would start an election"
        )
    return heartbeat_ms, election_timeout_ms


def _number(given: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    value = given.get(name, str(default))
    if not (value.isascii() and value.isdecimal() and len(value) < 12 and low <= int(value) <= high):
        raise OptionRefused(f"--{name} {value!r} is not a number from {low} to {high}")
    return int(value)


def _choice(given: Mapping[str, str], name: str, default: str, choices: Sequence[str]) -> str:
    value = given.get(name, default)
    if value not in choices:
        raise OptionRefused(f"--{name} {value!r} is none of {', '.join(choices)}")
    return value


def read_members(text: str, *, is_tls: bool) -> dict[int, str]:
    """`URL,URL` numbers them from 1; `1=URL,3=URL` names the ids."""
    members: dict[int, str] = {}
    for place, item in enumerate(text.split(","), start=1):
        name, equals, url = item.strip().partition("=")
        if not equals:
            name, url = str(place), item.strip()
        if not (name.isascii() and name.isdecimal() and 0 < len(name) < 10 and int(name)):
            raise OptionRefused(f"--cluster: {item!r} does not begin with an id and =")
        if int(name) in members:
            raise OptionRefused(f"--cluster: id {name} is there twice")
        if url.startswith("https://") and not is_tls:
            raise OptionRefused(f"--cluster: {url!r} needs --peer-cert, --peer-key and --peer-ca")
        members[int(name)] = _peer_url(url.replace("https://", "http://", 1))  # whether it is TLS, the flags say
    if len({url.lower() for url in members.values()}) < len(members):
        raise OptionRefused("--cluster: a URL is there twice")
    if len(members) > MEMBERS_MAX:
        raise OptionRefused(f"--cluster: a cluster has at most {MEMBERS_MAX} members, not {len(members)}")
    return members


def _peer_url(url: str) -> str:
    try:
        checked = validation.peer_url("cluster", url.encode(errors="surrogateescape"))
    except Problem as problem:
        raise OptionRefused(f"--{problem.detail}") from None
    _host("cluster", urlsplit(checked).hostname or "")
    return checked


def _host(name: str, host: str) -> str:
    """An address or a name, as the resolver takes it; which one is there is only known when it is used."""
    try:
        possible = host.encode("idna") and host.isprintable() and not set(host) & set(" /[]@")
    except UnicodeError:
        possible = False
    if not possible:
        raise OptionRefused(f"--{name}: {host!r} is neither a host's name nor its address")
    return host


def _peer_host(text: str) -> tuple[str, int]:
    """Host and port of `host`, `host:port`, `[v6]:port` or a plain IPv6 address; 0 where no port is said."""
    host, colon, port = text.rpartition(":")
    if text.startswith("[") and text.endswith("]"):
        host, colon, port = text, "", ""
    elif not colon or (":" in host and not host.endswith("]")):
        return (_host("peer-host", text) if text else ""), 0
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    return _host("peer-host", bare), _number({"peer-host": port}, "peer-host", 0, 1, 65535) if colon else 0


def _path(name: str, path: str) -> Path:
    if not path or "\0" in path:
        raise OptionRefused(f"--{name} {path!r} is not a path")
    return Path(path)


def _metrics_token(given: Mapping[str, str]) -> str:
    """The one line of --metrics-token-file; "" without that option."""
    if "metrics-token-file" not in given:
        return ""
    path = _path("metrics-token-file", given["metrics-token-file"])
    low, high = TOKEN_BYTES
    try:
        with path.open("rb") as file:
            token = file.read(high + 2).strip()
    except OSError as unreadable:
        raise OptionRefused(f"--metrics-token-file: {str(path)!r} cannot be read: {unreadable.strerror}") from None
    if not re.fullmatch(rb"[!-~]{%d,%d}" % (low, high), token):
        raise OptionRefused(
            f"--metrics-token-file: {str(path)!r} has to hold one line of {low} to {high} visible ASCII characters. "
            "Make one: openssl rand -hex 32"
        )
    return token.decode("ascii")


def _value_of(given: Mapping[str, str], name: str, parse: Callable[[str], _T]) -> _T:
    """The value of an option by its own parser, which raises ValueError in words; "" where it is not given."""
    try:
        return parse(given.get(name, ""))
    except ValueError as error:
        raise OptionRefused(f"--{name}: {error}") from None


def _auth_headers(given: Mapping[str, str], trusted: TrustedProxies, auth: str | None) -> AuthHeaders | None:
    """The headers by which a proxy names users: only where it is known who the proxies are."""
    user, role = given.get("auth-header", ""), given.get("auth-role-header", "")
    if role and not user:
        raise OptionRefused("--auth-role-header needs --auth-header: a role is nothing without a user")
    if not user:
        return None
    if not trusted:
        raise OptionRefused("--auth-header needs --trust-proxy: from anybody else the header would let them be anybody")
    if any(not network.prefixlen for network in trusted.networks):
        raise OptionRefused("--auth-header needs a --trust-proxy that is not everybody: name the proxies' addresses")
    if auth != "login":
        raise OptionRefused("--auth-header needs --auth login: in the open mode there are no users")
    try:
        return proxy_users.parse(user, role)
    except ValueError as error:
        raise OptionRefused(f"--auth-header, --auth-role-header: {error}") from None


def _base_path(text: str) -> str:
    try:
        return base_path.checked(text)
    except ValueError as error:
        raise OptionRefused(f"--base-path: {text!r} {error}") from None


def _client_tls(given: Mapping[str, str], port: int) -> tuple[Path | None, Path | None, int]:
    """The certificate and the key of the clients' port, and the port for plain HTTP beside it."""
    for name, needed in (("cert", "key"), ("key", "cert"), ("http-port", "cert")):
        if name in given and needed not in given:
            raise OptionRefused(f"--{name} needs --{needed}")
    if "cert" not in given:
        return None, None, 0
    http_port = _number(given, "http-port", 0, 1, 65535) if "http-port" in given else 0
    if http_port == port:
        raise OptionRefused(f"--http-port {http_port} is --port too; choose another one")
    return _path("cert", given["cert"]), _path("key", given["key"]), http_port


def _advertised(url: str, host: str, port: int, prefix: str, *, scheme: str, shared: bool) -> str:
    """The URL that clients reach this node under; `shared`: other nodes tell it to their clients.

    A proxy in front may speak TLS, so the URL may be https; its scheme's default port may be left out.
    """
    if url:
        return _advertised_url(url, prefix)
    if host in EVERY_ADDRESS:
        if shared:
            raise OptionRefused(
                f"--host {host} is every address of this machine, so the other nodes cannot tell clients where this "
                f"one is. Pass --advertise with the URL that clients use, like {scheme}://chat1.example:{port}"
            )
        return ""
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{prefix}"


def _advertised_url(url: str, prefix: str) -> str:
    parts = urlsplit(url)
    if origin_of(url) is None or "?" in url or "#" in url or len(url) > validation.URL_POINTS_MAX:
        raise OptionRefused(f"--advertise: {url!r} is not a URL like https://chat.example or http://10.0.0.1:12380")
    path = parts.path.rstrip("/")
    if path not in ("", prefix):
        raise OptionRefused(f"--advertise: the path {path!r} is not that of --base-path, which is {prefix or '/'!r}")
    _host("advertise", parts.hostname or "")
    return f"{parts.scheme}://{parts.netloc}{prefix}"
