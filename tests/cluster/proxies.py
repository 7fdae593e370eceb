"""Real proxies in front of real nodes, with TLS: `python -m tests.cluster.proxies` prints what works.

Each proxy listens on the ports 443 and 444 of five addresses of the loopback range.  An address stands for what the
proxy makes of the header Host; at the fifth one the node behind it advertises the URL that browsers use.  Three paths
lead to three nodes: `/`, `/chat/` (passed on) and `/team/` (taken off).  Then the page is opened behind each proxy in
Chromium, and bodies that are too large are sent through it.
"""

import argparse
import json
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.page.conftest import CHROMIUM_FLAGS, chromium_path
from tests.support.cluster import Cluster, NodeProcess
from tests.support.waiting import wait_until

NAME = "chat.example"
PORTS = (443, 444)
DEADLINE_S = 15
AT_ONCE = 8  # cells that are looked at
TOO_LARGE = (200_000, 1_000_000)  # bytes: beyond what a node takes, within what nginx passes on as it comes
TOO_LARGE_TIMES = 100
PREFIXES = ("", "/chat", "/team")
AS_CAME, NO_PORT, WITH_PORT, OF_NODE, ADVERTISED = HOSTS = (
    "as it came", "without the port", "with the port always", "the node's own", "the node's own, advertised",
)  # fmt: skip
PROXIES = ("nginx", "haproxy", "caddy")
PASSED = {
    "nginx": {
        AS_CAME: "$http_host", NO_PORT: "$host", WITH_PORT: "$host:$server_port",
        OF_NODE: "$proxy_host", ADVERTISED: "$proxy_host",
    },
    "haproxy": {
        AS_CAME: "", NO_PORT: "%[req.hdr(host),field(1,:)]", WITH_PORT: "%[req.hdr(host),field(1,:)]:%[dst_port]",
        OF_NODE: "node.internal:12380", ADVERTISED: "node.internal:12380",
    },
    "caddy": {
        AS_CAME: "{http.request.hostport}", NO_PORT: "{http.request.host}",
        WITH_PORT: "{http.request.host}:{http.request.port}",
        OF_NODE: "{http.reverse_proxy.upstream.hostport}", ADVERTISED: "{http.reverse_proxy.upstream.hostport}",
    },
}  # fmt: skip


def address(proxy: str, host: str) -> str:
    """Where a proxy listens that treats Host so."""
    return f"127.0.{80 + PROXIES.index(proxy)}.{10 + HOSTS.index(host)}"


@dataclass(frozen=True, slots=True)
class Backends:
    """The nodes' client ports, by path and by whether they advertise."""

    ports: dict[tuple[str, str], int]

    def of(self, prefix: str, host: str) -> int:
        return self.ports[prefix, ADVERTISED if host == ADVERTISED else ""]


@contextmanager
def nodes(directory: Path) -> Iterator[Backends]:
    """Six single nodes: one for each path, with and without `--advertise`."""
    ports: dict[tuple[str, str], int] = {}
    with ExitStack() as stack:
        clusters = []
        for prefix in PREFIXES:
            for advertised in ("", ADVERTISED):
                place = directory / f"node{len(ports)}"
                place.mkdir()
                # The name that browsers use, where no URL has it, and what HAProxy here calls the node.
                flags = ["--allowed-host", NAME, "--allowed-host", "node.internal"]
                flags += ["--base-path", prefix] if prefix else []
                # One node advertises one URL, so the advertising one is asked on port 443 only.
                flags += ["--advertise", f"https://{NAME}"] if advertised else []
                cluster = stack.enter_context(Cluster(place, nodes=[NodeProcess(1, place)], flags=flags))
                cluster.start()
                clusters.append(cluster)
                ports[prefix, advertised] = cluster.nodes[1].port
        for cluster in clusters:
            cluster.wait_ready()
        yield Backends(ports)


def certificate(directory: Path) -> tuple[Path, Path]:
    """A self-signed certificate for NAME, and its key."""
    cert, key = directory / "cert.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


def nginx_configuration(directory: Path, backends: Backends, cert: Path, key: Path) -> str:
    servers = []
    for host in HOSTS:
        listens = "".join(f"    listen {address('nginx', host)}:{port} ssl;\n" for port in PORTS)
        places = ""
        for prefix in PREFIXES:
            taken_off = "/" if prefix == "/team" else ""
            places += (
                f"    location {prefix}/ {{ proxy_pass http://127.0.0.1:{backends.of(prefix, host)}{taken_off}; "
                f"proxy_set_header Host {PASSED['nginx'][host]}; }}\n"
            )
        servers.append(f"  server {{\n{listens}{places}  }}\n")
    return (
        # Its workers keep a body that is too long for their memory in a file, in a directory of ours.
        f"user root; daemon off; error_log {directory}/error.log; pid {directory}/nginx.pid; worker_processes 1;\n"
        "events { worker_connections 256; }\nhttp {\n  access_log off;\n"
        + "".join(
            f"  {kind}_temp_path {directory}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"  ssl_certificate {cert}; ssl_certificate_key {key};\n"
        '  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }\n'
        "  proxy_http_version 1.1; proxy_buffering off;\n"
        "  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;\n"
        # A location that sets one header inherits none.
        + "".join(servers).replace(
            "proxy_set_header Host",
            "proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; "
            "proxy_set_header Host",
        )
        + "}\n"
    )


def haproxy_configuration(directory: Path, backends: Backends, cert: Path, key: Path) -> str:
    both = directory / "both.pem"
    both.write_text(cert.read_text() + key.read_text())
    parts = ["defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n"]
    for host in HOSTS:
        name = f"h{HOSTS.index(host)}"
        binds = "".join(f"  bind {address('haproxy', host)}:{port} ssl crt {both}\n" for port in PORTS)
        uses = "".join(f"  use_backend {name}_{prefix[1:]} if {{ path_beg {prefix}/ }}\n" for prefix in PREFIXES[1:])
        parts.append(f"frontend {name}\n{binds}{uses}  default_backend {name}_\n")
        for prefix in PREFIXES:
            text = f"backend {name}_{prefix[1:]}\n  option httpchk GET /readyz\n"
            if passed := PASSED["haproxy"][host]:
                text += f"  http-request set-header Host {passed}\n"
            if prefix == "/team":
                text += "  http-request replace-path /team/(.*) /\\1\n"
            text += f"  server node 127.0.0.1:{backends.of(prefix, host)} check inter 500\n"
            parts.append(text)
    return "".join(parts)


def caddy_configuration(directory: Path, backends: Backends, cert: Path, key: Path) -> str:
    parts = ["{\n  admin off\n  auto_https off\n}\n"]
    for host in HOSTS:
        for port in PORTS:
            passed = PASSED["caddy"][host]
            text = f"https://{NAME}:{port} {{\n  bind {address('caddy', host)}\n  tls {cert} {key}\n"
            for prefix in (*PREFIXES[1:], ""):
                kind = "handle_path" if prefix == "/team" else "handle"
                text += (
                    f"  {kind} {prefix}/* {{\n    reverse_proxy 127.0.0.1:{backends.of(prefix, host)} {{\n"
                    f"      header_up Host {passed}\n    }}\n  }}\n"
                )
            parts.append(text + "}\n")
    return "".join(parts)


@contextmanager
def running(proxy: str, directory: Path, backends: Backends) -> Iterator[None]:
    """The proxy in front of the nodes, for as long as the block runs."""
    place = directory / proxy
    place.mkdir()
    cert, key = certificate(place)
    make = {"nginx": nginx_configuration, "haproxy": haproxy_configuration, "caddy": caddy_configuration}[proxy]
    with started(proxy, place, make(place, backends, cert, key), (address(proxy, HOSTS[-1]), PORTS[-1])):
        yield


@contextmanager
def started(proxy: str, place: Path, configuration: str, listens: tuple[str, int]) -> Iterator[None]:
    """A proxy with this configuration, which has it listen there."""
    file = place / "configuration"
    file.write_text(configuration)
    command = {
        "nginx": ["nginx", "-p", str(place), "-e", str(place / "error.log"), "-c", str(file)],
        "haproxy": ["haproxy", "-db", "-f", str(file)],
        "caddy": ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)],
    }[proxy]
    with (place / "output").open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        wait_until(lambda: _listens(listens) or process.poll() is not None, DEADLINE_S, f"{proxy} listens")
        assert process.poll() is None, (place / "output").read_text()
        yield
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _listens(address: tuple[str, int]) -> bool:
    with suppress(OSError), socket.create_connection(address, 1):
        return True
    return False


def exchange(proxy: str, host: str, port: int, request: str) -> str:
    """The head and the first bytes of the answer to one request through the proxy, as a browser at NAME sends it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection((address(proxy, host), port), DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as tls,
    ):
        with suppress(OSError):  # a proxy may answer and close before it has read everything
            tls.sendall(request.encode())
        data = b""
        while b"\r\n\r\n" not in data and (more := tls.recv(4096)):
            data += more
        return data.decode(errors="replace")  # a frame may have come with the head


def page_works(proxy: str, host: str, port: int, prefix: str) -> tuple[bool, bool]:
    """Whether a page at that address may post, and open a websocket."""
    shown = NAME if port == 443 else f"{NAME}:{port}"
    head = f"Host: {shown}\r\nOrigin: https://{shown}\r\n"
    body = json.dumps({"Message": "hi", "User": "ann"})
    posted = exchange(
        proxy, host, port,
        f"POST {prefix}/rooms/general HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}",
    )  # fmt: skip
    if posted.startswith("HTTP/1.1 201"):
        location = next(line for line in posted.split("\r\n") if line.lower().startswith("location: "))
        assert location.split(": ")[1].startswith(f"{prefix}/rooms/general/messages/"), location
    upgraded = exchange(
        proxy, host, port,
        f"GET {prefix}/ws HTTP/1.1\r\n{head}Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
    )  # fmt: skip
    assert posted.split()[1] in ("201", "403"), posted
    assert upgraded.split()[1] in ("101", "403"), upgraded
    return posted.split()[1] == "201", upgraded.split()[1] == "101"


def too_large(proxy: str, times: int) -> Counter[str]:
    """How often which status answers a body that a node does not take; "" where the connection just ends."""
    dice, statuses = Random(0), Counter[str]()
    for _ in range(times):
        size = dice.randint(*TOO_LARGE)
        head = f"POST /rooms/general HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        statuses["".join(exchange(proxy, AS_CAME, PORTS[0], head + "x" * size).split()[1:2])] += 1
    return statuses


@contextmanager
def browser_behind(proxy: str) -> Iterator[Browser]:
    """A browser that finds NAME at the proxy: port 444 where Host comes as it came, and 443 where it is the node's."""
    at = {444: address(proxy, AS_CAME), 443: address(proxy, OF_NODE)}
    rules = ",".join(f"MAP {NAME}:{port} {host}:{port}" for port, host in at.items())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, f"--host-resolver-rules={rules}"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, url: str) -> Iterator[Page]:
    """A page in a browser that was never here."""
    context = browser.new_context(ignore_https_errors=True)
    context.add_init_script("localStorage.setItem('raft-chat.user', 'ann')")
    page = context.new_page()
    page.goto(url)
    yield page
    context.close()


def see_page(proxy: str) -> Iterator[tuple[str, str]]:
    """A URL and what the page there says: where it is to work what it posted, where its node refuses it why."""
    with browser_behind(proxy) as browser:
        yield from _pages(browser, proxy)


def _pages(browser: Browser, proxy: str) -> Iterator[tuple[str, str]]:
    url = f"https://{NAME}:444/team/#/rooms/{proxy}"
    with opened(browser, url) as page:
        page.fill("#message", "hello from behind")
        page.click(".send")
        expect(page.locator(".post-text")).to_have_text("hello from behind")
        expect(page.locator(".post-pending")).to_have_count(0)
        yield url, page.inner_text("#posts .post-text")
    url = f"https://{NAME}/chat/"
    with opened(browser, url) as page:
        expect(page.locator("#connection-text")).to_have_text("Refused")
        expect(page.locator("#notice-text")).to_contain_text("--advertise")
        yield url, page.inner_text("#notice-text")


def expected(host: str, port: int) -> bool:
    """What docs/proxies.md says of the cell."""
    return host in (AS_CAME, WITH_PORT) or (port == 443 and host != OF_NODE)


def cells() -> Iterator[tuple[str, int, str]]:
    """Host, port and path of each row of the table."""
    for host in HOSTS:
        for port in PORTS:
            if host != ADVERTISED or port == 443:
                yield from ((host, port, prefix) for prefix in PREFIXES)


def check(proxy: str) -> list[str]:
    """Every cell that is not as docs/proxies.md has it."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        seen = {cell: pool.submit(page_works, proxy, *cell) for cell in cells()}
    wrong = []
    for (host, port, prefix), found in seen.items():
        posts, listens = found.result()
        if not posts == listens == expected(host, port):
            wrong.append(f"{proxy} {host} {port} {prefix or '/'}: posts {posts}, websocket {listens}")
    return wrong


def tell_more(proxy: str) -> int:
    """Print what the page says behind a proxy and what becomes of bodies that are too large; how many are not 413."""
    for url, says in see_page(proxy):
        print(f"{proxy:8} {url} says: {says}")
    statuses = too_large(proxy, TOO_LARGE_TIMES)
    low, high = TOO_LARGE
    print(f"{proxy:8} {TOO_LARGE_TIMES} bodies of {low:,} to {high:,} bytes, by status: {dict(statuses)}")
    return TOO_LARGE_TIMES - statuses["413"]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.proxies", description=__doc__)
    parser.add_argument("--proxies", nargs="*", choices=PROXIES, default=PROXIES)
    options = parser.parse_args(arguments)
    wrong = 0
    with tempfile.TemporaryDirectory() as place, nodes(Path(place)) as backends:
        print(f"{'proxy':8} {'Host':28} {'port':4} {'path':6} posts websocket as documented")
        for proxy in options.proxies:
            assert shutil.which(proxy), f"{proxy} is not installed"
            with running(proxy, Path(place), backends):
                for host, port, prefix in cells():
                    posts, listens = page_works(proxy, host, port, prefix)
                    holds = posts == listens == expected(host, port)
                    wrong += not holds
                    print(f"{proxy:8} {host:28} {port:<4} {prefix or '/':6} {posts!s:5} {listens!s:9} {holds}")
                wrong += tell_more(proxy)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
