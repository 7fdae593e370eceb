"""Text that tries to run as code, in names, rooms, topics, messages and links.

Nothing runs, and the policy reports nothing.
"""

import json
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Page, expect

from tests.page.reader import Reader, new_context
from tests.support.cluster import Cluster

RUN = "document.title='hacked';window.hacked=1"
TAGS = [
    f"<script>{RUN}</script>", f'<img src=x onerror="{RUN}">', f"<svg onload={RUN}>", f"<body onload={RUN}>",
    f'<iframe src="javascript:{RUN}"></iframe>', f"<details open ontoggle={RUN}>", f"<input autofocus onfocus={RUN}>",
    f'<a href="javascript:{RUN}">x</a>', f"<math><mi xlink:href='javascript:{RUN}'>", "<style>@import 'x'</style>",
    f"<video><source onerror={RUN}>", f"<object data='javascript:{RUN}'>", f"<form action='javascript:{RUN}'><button>",
    f"<base href='javascript:{RUN}//'>", f"<meta http-equiv=refresh content='0;javascript:{RUN}'>",
    f"<template><script>{RUN}</script></template>", f"\"><script>{RUN}</script>", f"'><img src=x onerror={RUN}>",
    f"--><script>{RUN}</script>", f"</textarea><script>{RUN}</script>", f"<scr<script>ipt>{RUN}</script>",
    f"<img src=`x` onerror={RUN}>", f"<svg><animate onbegin={RUN} attributeName=x>", f"<marquee onstart={RUN}>",
]  # fmt: skip
ADDRESSES = [
    f"javascript:{RUN}", f"JaVaScRiPt:{RUN}", f"java\tscript:{RUN}", f" javascript:{RUN}", f"javascript&#58;{RUN}",
    f"javascript://x/%0a{RUN}", f"data:text/html,<script>{RUN}</script>", "data:text/html;base64,PHNjcmlwdD4=",
    "vbscript:msgbox(1)", "file:///etc/passwd", "blob:null/1", "about:blank", "view-source:http://x", "//evil.test/x",
    "\\\\evil.test", "#/invite/x", "jar:http://x!/", "\u0001javascript:alert(1)",
]  # fmt: skip
MARKDOWN = [
    *(f"[x]({address})" for address in ADDRESSES), *(f"[x](<{address}>)" for address in ADDRESSES),
    *(f"<{address}>" for address in ADDRESSES),
    f'[x](http://a.test/"onmouseover="{RUN})', f'[x](http://a.test "t\\" onclick={RUN}")', f"http://a.test/'onclick={RUN}",
    f'http://a.test/"><script>{RUN}</script>', f"![x](javascript:{RUN})", f"[<img src=x onerror={RUN}>](http://a.test)",
    f'```"><script>{RUN}</script>\ncode\n```', f"`<img src=x onerror={RUN}>`", f"> <script>{RUN}</script>",
    f"- <svg onload={RUN}>", f":<script>{RUN}</script>:", f"@<script>{RUN}</script>", f"**<b onclick={RUN}>x</b>**",
]  # fmt: skip
NAMES = [f"<img src=x onerror={RUN}>", f'"onload="{RUN}', f"'-{RUN}-'", "<script>1</script>", "{{constructor}}"]


def open_links(page: Page) -> list[str]:
    found = page.eval_on_selector_all("#posts a[href]", "links => links.map(link => link.href)")
    assert isinstance(found, list)
    return found


def test_no_hostile_text_runs(tmp_path: Path, browser: Browser) -> None:
    payloads = [*TAGS, *MARKDOWN]
    assert len(payloads) + len(NAMES) >= 80
    room = NAMES[0]
    with Cluster(tmp_path, 1) as cluster:
        cluster.start_ready()
        path = f"/rooms/{quote(room, safe='')}"
        for at, payload in enumerate(payloads):
            cluster.post(1, quote(room, safe=""), payload, user=NAMES[at % len(NAMES)])
        topic = json.dumps({"Topic": TAGS[1]})
        assert cluster.request(1, "PATCH", path, topic).status == 200
        emoji = quote("<b/onclick=x>", safe="")
        assert cluster.request(1, "PUT", f"{path}/messages/1/reactions/{emoji}?user={quote(NAMES[1])}").status == 204
        assert cluster.request(1, "PUT", f"{path}/messages/1/pin").status == 204
        reader = Reader(new_context(browser, user=NAMES[0]), cluster.nodes[1].url)
        page = reader.open(f"/#{path}")
        expect(page.locator("#posts article")).to_have_count(len(payloads))
        for row in page.locator("#posts article").all()[:30]:
            row.hover()
        page.get_by_role("button", name="Pinned messages").click()
        expect(page.locator(".pin")).to_have_count(1)
        page.keyboard.press("Escape")
        page.goto(f"{cluster.nodes[1].url}/#/rooms/{quote('<svg onload=x>', safe='')}/1%3Cscript%3E")
        page.goto(f"{cluster.nodes[1].url}/#{path}/5")
        expect(page.locator('article[data-id="5"]')).to_be_in_viewport()
        schemes = {link.partition(":")[0] for link in open_links(page)}
        assert schemes <= {"http", "https", "mailto"}, schemes
        assert page.locator("#posts script, #posts img, #posts iframe, #posts [onclick], #posts [onerror]").count() == 0
        assert page.evaluate("window.hacked") is None
        assert "hacked" not in page.title().replace(room, "")
        assert reader.complaints == []
        reader.context.close()
