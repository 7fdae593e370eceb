"""nginx and HAProxy in front of real nodes, on the ports 443 and 444, with and without a path, and the page behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import proxied_users
from tests.cluster.proxies import Backends, check, nodes, running, see_page, too_large
from tests.support.tools import absent, require

TOOLS = ("nginx", "haproxy", "caddy", "openssl", "chromium")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    require(absent(*TOOLS) + (["root, for port 443"] if os.geteuid() else []))
    return tmp_path_factory.mktemp("proxies")


@pytest.fixture(scope="module")
def backends(place: Path) -> Iterator[Backends]:
    with nodes(place) as backends:
        yield backends


@pytest.mark.parametrize("proxy", ["nginx", "haproxy"])
def test_a_page_behind_a_proxy_works_where_the_docs_say_so(proxy: str, place: Path, backends: Backends) -> None:
    with running(proxy, place, backends):
        assert check(proxy) == []
        works, refused = see_page(proxy)
        assert works[1] == "hello from behind"
        assert "--advertise" in refused[1]
        assert too_large(proxy, 20) == {"413": 20}


def test_users_whom_a_proxy_names_and_pages_of_other_sites(place: Path) -> None:
    """One node, one browser and all three proxies, as docs/proxies.md has them."""
    here = place / "users"
    here.mkdir()
    with (
        proxied_users.scene(here) as scene,
        proxied_users.proxies(here, scene.node.port),
        proxied_users.chromium() as browser,
    ):
        for proxy in proxied_users.PORTS:
            context, page = proxied_users.see_user(browser, proxy)
            if proxy == "nginx":
                proxied_users.see_next_user(context, page, proxy, scene)
            context.close()
        proxied_users.see_other_sites(browser, scene)
