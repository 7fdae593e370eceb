"""Real proxies as docs/proxies.md has them, with TLS, a path and users of their own; and pages of other sites.

The cookie `sso` of a browser stands for the session that oauth2-proxy or Authelia would keep: the proxy makes the
header with the user's name of it.  All that is looked at is in Chromium.
"""

import http.server
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from tests.cluster.people import operator, wait_login
from tests.cluster.proxies import NAME, certificate, started
from tests.page.conftest import CHROMIUM_FLAGS, chromium_path
from tests.page.reader import DEADLINE_MS, SOON, expect_messages, say, wait_connected
from tests.support.cluster import ROOT, Cluster, NodeProcess
from tests.support.http_client import HttpClient

DOCS = (ROOT / "docs" / "proxies.md").read_text(encoding="utf-8")
# The same name on three ports, so that one browser finds all three.
PORTS = {"nginx": 443, "haproxy": 444, "caddy": 445}
ADDRESS = "127.0.80.30"
PREFIX = "/chat"
TRIES = 5
USER, ROLE = "X-Remote-User", "X-Remote-Role"
INTRANET, EVIL, REBOUND = "intranet.example", "evil.example", "rebound.example"


def documented(language: str) -> str:
    """The first block of this proxy on the page."""
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found[1]


def _at(text: str, port: int) -> str:
    """A documented configuration with the one node that there is here."""
    text = re.sub(r"\n *server node[23] .*", "", text)
    return text.replace(" 127.0.0.1:22380 127.0.0.1:32380", "").replace("127.0.0.1:12380", f"127.0.0.1:{port}")


def _within(text: str, after: str, lines: str) -> str:
    assert text.count(after) == 1, text
    return text.replace(after, f"{after}\n{lines}")


def configuration(proxy: str, place: Path, node: int) -> str:
    """The documented configuration, with a certificate and the header made of the cookie."""
    cert, key = certificate(place)
    block, port = _at(documented(proxy), node), PORTS[proxy]
    if proxy == "nginx":
        named = f"proxy_set_header {USER} $cookie_sso; proxy_set_header {ROLE} $cookie_role;"
        paths = "".join(
            f"{kind}_temp_path {place}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            f"user root; daemon off; error_log {place}/error.log; pid {place}/nginx.pid;\nevents {{}}\n"
            f"http {{ access_log off; {paths} ssl_certificate {cert}; ssl_certificate_key {key};\n"
            '  map $http_upgrade $connection_upgrade { default upgrade; "" ""; }\n'
            f"  server {{ listen {ADDRESS}:{port} ssl;\n{_within(block, 'location / {', named)}  }}\n}}\n"
        )
    if proxy == "haproxy":
        both = place / "both.pem"
        both.write_text(cert.read_text() + key.read_text())
        named = (
            f"    http-request set-header {USER} %[req.cook(sso)]\n    http-request set-header {ROLE} %[req.cook(role)]"
        )
        return (
            "defaults\n  mode http\n  timeout client 60s\n  timeout server 60s\n  timeout connect 5s\n"
            f"frontend tls\n  bind {ADDRESS}:{port} ssl crt {both}\n  default_backend chat\n"
            f"{_within(block, 'backend chat', named)}"
        )
    named = f"    header_up {USER} {{http.request.cookie.sso}}\n    header_up {ROLE} {{http.request.cookie.role}}"
    site = _within(block, "header_up -Forwarded", named).replace(
        f"{NAME} {{", f"https://{NAME}:{port} {{\n  bind {ADDRESS}\n  tls {cert} {key}", 1
    )
    return "{\n  admin off\n  auto_https off\n}\n" + site


@dataclass(frozen=True, slots=True)
class Scene:
    """A node with sign-in by the proxy, and the port of other sites' pages."""

    node: NodeProcess
    pages: int

    def token(self, user: str) -> str:
        """A token for a program of this user's, by a request as the proxy sends it."""
        with HttpClient(self.node.port) as client:
            client._headers = {USER: user, "Forwarded": f'for=192.0.2.7;proto=https;host="{NAME}"'}
            answer = client.request("POST", f"{PREFIX}/tokens", '{"Label": "intranet"}')
            assert answer.status == 201, answer
            token: str = answer.json()["Token"]
            return token


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b"<!doctype html><title>a page</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def scene(place: Path) -> Iterator[Scene]:
    """A node, and a web server whose pages are other sites'."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    flags = [
        "--base-path", PREFIX, "--advertise", f"https://{NAME}", "--trust-proxy", "127.0.0.1", "--auth", "login",
        "--auth-header", USER, "--auth-role-header", ROLE, "--allow-origin", f"http://{INTRANET}:{server.server_port}",
    ]  # fmt: skip
    try:
        with Cluster(place, nodes=[NodeProcess(1, place)], flags=flags) as cluster:
            cluster.start()
            wait_login(cluster)
            yield Scene(cluster.nodes[1], server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def proxies(place: Path, node: int) -> Iterator[None]:
    """All three proxies in front of the node."""
    with ExitStack() as stack:
        for proxy, port in PORTS.items():
            (place / proxy).mkdir()
            text = configuration(proxy, place / proxy, node)
            stack.enter_context(started(proxy, place / proxy, text, (ADDRESS, port)))
        yield


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser that finds the proxies by their name, and everybody else's name on this machine."""
    rules = [f"MAP {NAME} {ADDRESS}", *(f"MAP {name} 127.0.0.1" for name in (INTRANET, EVIL, REBOUND))]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium_path(), args=[*CHROMIUM_FLAGS, f"--host-resolver-rules={','.join(rules)}"]
        )
        yield browser
        browser.close()


def go_to(page: Page, url: str) -> None:
    """Open a page; once more where another test has just made a network interface, at which Chromium gives up."""
    for _ in range(TRIES):
        try:
            page.goto(url)
        except Error as error:
            if "ERR_NETWORK_CHANGED" not in str(error):
                raise
        else:
            return
    raise AssertionError(f"the network of this machine kept changing while {url} was opened")


def sign_in(context: BrowserContext, user: str, role: str) -> None:
    """Have the proxies take this browser's user for that one."""
    context.add_cookies([{"name": name, "value": value, "domain": NAME, "path": "/", "secure": True}
                         for name, value in (("sso", user), ("role", role))])  # fmt: skip


def see_user(browser: Browser, proxy: str) -> tuple[BrowserContext, Page]:
    """Look at the page of a user whom the proxy names, and at their role and cookie; the page, still open."""
    context = browser.new_context(ignore_https_errors=True)
    context.set_default_timeout(DEADLINE_MS)
    context.add_init_script(SOON)
    page = context.new_page()
    sign_in(context, f"ann of {proxy}", "admin")
    go_to(page, f"https://{NAME}:{PORTS[proxy]}{PREFIX}/#/rooms/{proxy}")
    wait_connected(page)
    say(page, "hello from behind")
    expect_messages(page, "hello from behind")
    expect(page.locator("#me")).to_contain_text(f"ann of {proxy}")
    assert ask(page, "me")["body"] | {"DisplayName": ""} == {
        "Auth": "login", "User": f"ann of {proxy}", "DisplayName": "", "Role": "admin", "Proxy": True,
    }  # fmt: skip
    posted = ask(page, f"rooms/{proxy}-2", "POST", {"Message": "m"})
    assert posted["status"] == 201
    assert posted["headers"]["location"] == f"{PREFIX}/rooms/{proxy}-2/messages/1"
    (cookie,) = [each for each in context.cookies() if each["name"].startswith("raft-chat-")]
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    return context, page


def see_next_user(context: BrowserContext, page: Page, proxy: str, scene: Scene) -> None:
    """Look at what becomes of that page when another user signs in at the proxy, and when they are deactivated."""
    second = context.new_page()
    sign_in(context, f"bob of {proxy}", "member")
    go_to(second, f"https://{NAME}:{PORTS[proxy]}{PREFIX}/#/rooms/{proxy}")
    wait_connected(second)
    expect(second.locator("#me")).to_contain_text(f"bob of {proxy}")
    expect(page.locator("#me")).to_contain_text(f"bob of {proxy}")  # the first one's session ended, and it saw that
    assert ask(second, "me")["body"]["Role"] == "member"

    with operator(scene.node) as client:
        changed = client.request("PATCH", f"{PREFIX}/users/bob%20of%20{proxy}", '{"Active": false}')
        assert changed.status == 200, changed
    expect(second.locator("#connection-text")).to_have_text("Refused")
    expect(second.locator("#notice-text")).to_contain_text("deactivated")


def see_other_sites(browser: Browser, scene: Scene) -> None:
    """Look at what a page of another site may do: one that is allowed, one that is not, and one that was led here."""
    node = f"http://127.0.0.1:{scene.node.port}{PREFIX}/"
    token, context = scene.token("intranet"), browser.new_context()
    page = context.new_page()
    go_to(page, f"http://{INTRANET}:{scene.pages}/")
    bearer = {"Authorization": f"Bearer {token}"}
    posted = ask(page, f"{node}rooms/pages", "POST", {"Message": "from the intranet"}, bearer)
    assert posted["status"] == 201
    assert {"location", "x-raft-index"} <= posted["headers"].keys()
    ticket = ask(page, f"{node}ws-ticket", "POST", None, bearer)["body"]["Ticket"]
    assert "Hello" in listen(page, f"{node}ws".replace("http:", "ws:"), ticket)
    without = ask(page, f"{node}me")
    assert (without["status"], without["body"]["code"]) == (401, "login_needed")

    go_to(page, f"http://{EVIL}:{scene.pages}/")
    for method, headers in (("POST", bearer), ("POST", {}), ("GET", {}), ("DELETE", bearer)):
        assert "failed" in ask(page, f"{node}rooms/pages", method, {"Message": "evil"}, headers)
    assert listen(page, f"{node}ws".replace("http:", "ws:"), ticket) == "refused"
    assert f"a page of the origin 'http://{EVIL}:{scene.pages}' was refused" in scene.node.log()

    led = f"http://{REBOUND}:{scene.node.port}"
    go_to(page, f"{led}{PREFIX}/livez")  # a document of that origin: an attacker's own would have come from elsewhere
    for method, path in (("GET", "rooms/pages"), ("POST", "rooms/pages"), ("GET", "raft"), ("GET", "me")):
        found = ask(page, f"{led}{PREFIX}/{path}", method, {"Message": "evil"}, bearer)
        assert (found["status"], found["body"]["code"]) == (421, "wrong_host")
    assert ask(page, f"{led}{PREFIX}/livez")["status"] == 200
    assert listen(page, f"{led}{PREFIX}/ws".replace("http:", "ws:"), ticket) == "refused"
    go_to(page, f"{led}{PREFIX}/")
    expect(page.locator("body")).to_contain_text(f"--allowed-host {REBOUND}")
    assert f"a request for the host '{REBOUND}' was refused" in scene.node.log()
    with operator(scene.node) as client:
        posts = client.request("GET", f"{PREFIX}/rooms/pages").json()
    assert [post["Message"] for post in posts] == ["from the intranet"]
    context.close()


_ASK = """async ([url, method, body, headers]) => {
  try {
    const request = { method, headers, body: method === "GET" || body === null ? undefined : JSON.stringify(body) };
    const response = await fetch(url, request);
    const text = await response.text();
    let found = null;
    try { found = JSON.parse(text); } catch { found = text; }
    return { status: response.status, headers: Object.fromEntries(response.headers), body: found };
  } catch (error) {
    return { failed: String(error) };
  }
}"""
_LISTEN = """([url, ticket]) => new Promise((done) => {
  const socket = new WebSocket(url);
  socket.onopen = () => socket.send(JSON.stringify({ Action: "subscribe", Rooms: ["pages"], Ticket: ticket }));
  socket.onmessage = (event) => { done(event.data); socket.close(); };
  socket.onerror = () => done("refused");
})"""


def ask(
    page: Page, url: str, method: str = "GET", body: object = None, headers: dict[str, str] | None = None
) -> dict[str, Any]:
    """What a script of this page gets for a request; {"failed": …} where the browser keeps it from the script."""
    found: dict[str, Any] = page.evaluate(_ASK, [url, method, body, headers or {}])
    return found


def listen(page: Page, url: str, ticket: str) -> str:
    """The first message that a websocket of this page's gets; "refused" where it does not open."""
    found: str = page.evaluate(_LISTEN, [url, ticket])
    return found
