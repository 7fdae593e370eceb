"""Under a path prefix every answer stays under it, whether a proxy passes the prefix on or takes it off."""

from typing import Any

import pytest
from werkzeug.test import Client, TestResponse

from chat.server.base_path import checked, mounted, never_waits_under, without
from tests.chat.chat_client import ChatClient
from tests.support.wsgi import deferring

PREFIX = "/team/chat"


class MountedClient:
    """A chat under PREFIX."""

    def __init__(self) -> None:
        self.chat = ChatClient()
        self._client = Client(deferring(mounted(PREFIX, self.chat.app)))

    def open(self, method: str, target: str, body: bytes = b"") -> TestResponse:
        environ: dict[str, Any] = {"RAW_URI": target}
        return self._client.open(target.partition("?")[0], method=method, data=body, environ_overrides=environ)


@pytest.mark.parametrize("sent", [PREFIX, ""])
def test_location_and_link_stay_under_the_prefix(sent: str) -> None:
    chat = MountedClient()
    made = chat.open("POST", f"{sent}/rooms/general", b'{"User":"ann","Message":"hi"}')
    assert made.headers["Location"] == f"{PREFIX}/rooms/general/messages/1"
    for n in range(3):
        chat.open("POST", f"{sent}/rooms/general", b'{"User":"ann","Message":"%d"}' % n)
    page = chat.open("GET", f"{sent}/rooms/general?after=1&limit=1")
    assert page.status_code == 200
    links = page.headers["Link"].split(", ")
    assert len(links) == 2
    assert all(link.startswith(f"<{PREFIX}/rooms/general?") for link in links)
    assert chat.open("GET", f"{sent}/general").headers["Location"] == f"{PREFIX}/rooms/general"


def test_the_prefix_alone_leads_to_the_page() -> None:
    answer = MountedClient().open("GET", f"{PREFIX}?x=1")
    assert (answer.status_code, answer.headers["Location"]) == (308, f"{PREFIX}/?x=1")


def test_only_a_whole_segment_is_the_prefix() -> None:
    assert without("/chat", "/chat/rooms") == "/rooms"
    assert without("/chat", "/chatter") == "/chatter"
    assert without("/chat", "/rooms/chat/rooms") == "/rooms/chat/rooms"


def test_a_request_that_never_waits_is_known_under_the_prefix() -> None:
    never_waits = never_waits_under("/chat", lambda method, target: (method, target) == ("GET", "/rooms"))
    assert never_waits("GET", "/chat/rooms")
    assert not never_waits("GET", "/chat/other")


@pytest.mark.parametrize(
    ("text", "prefix"), [("", ""), ("/", ""), ("/chat/", "/chat"), ("/a/b-c.d_e~1", "/a/b-c.d_e~1")]
)
def test_a_prefix_loses_its_last_slash(text: str, prefix: str) -> None:
    assert checked(text) == prefix


@pytest.mark.parametrize("text", ["chat", "/a//b", "/a b", "/a%20b", "/..", "/a/./b", "/é", "/" + "x" * 128, "/a?b"])
def test_a_prefix_that_no_url_has_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must begin with /"):
        checked(text)
