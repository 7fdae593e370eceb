"""The JSON that readers see of a post, cut from the bytes of its command.

A reader's JSON is never decoded and encoded again: the command has one form of bytes (chat/commands), so each part is
found by the bytes before it.
"""

import json
from datetime import UTC, datetime
from functools import lru_cache

from chat.commands import CLIENT_ID_OPENS, POST_OPENS
from chat.state.post_revisions import Reactions
from chat.state.room import Page
from raft.core.raft_messages import Command

_TYPE_OPENS, _DELETE_OPENS, _IMPORT_OPENS = b'{"Type":', b'{"Type":"delete"', b'{"Type":"import"'
TIMES = range(253_402_300_800_000_000)  # microseconds since 1970 that can be shown: up to the year 9999
# Members that may follow the ClientId.  No string can hold these bytes.
_EDITED_AT_OPENS, _IMPORTED_AT_OPENS = b',"EditedAt":', b',"ImportedAt":'


def render_post(command: Command, id: int) -> bytes:
    """The post that a committed post, edit or deletion of one shows, as readers see it, JSON without a newline."""
    if command.body.startswith(_TYPE_OPENS):
        return _render_version(command.body, id, command.time)
    return render(command.body, id, command.time)


def is_import(body: bytes) -> bool:
    """Return whether these are the bytes of an imported message."""
    return body.startswith(_IMPORT_OPENS)


def _render_version(body: bytes, id: int, time: int) -> bytes:
    """The Post is the last member of an edit, a deletion and an import, and when it was posted the one before."""
    end = body.index(POST_OPENS)
    posted_at = timestamp(int(body[body.rindex(b":", 0, end) + 1 : end])).encode()
    said, _, rest = body[end + len(POST_OPENS) : -2].rpartition(CLIENT_ID_OPENS)
    if body.startswith(_IMPORT_OPENS):
        what, imported_at = b"", time
        rest, is_edited, edited_at = rest.partition(_EDITED_AT_OPENS)
        if is_edited:
            what = b',"EditedAt":"%b"' % timestamp(int(edited_at)).encode()
    else:
        rest, _, at = rest.partition(_IMPORTED_AT_OPENS)
        imported_at = int(at or b"0")
        if body.startswith(_DELETE_OPENS):
            said, what = said + b',"Message":""', b',"Deleted":true'
        else:
            what = b',"EditedAt":"%b"' % timestamp(time).encode()
    if imported_at:
        what += b',"Imported":{"At":"%b"}' % timestamp(imported_at).encode()
    return b'{"Id":%d,%b,"PostedAt":"%b"%b%b%b}' % (id, said, posted_at, CLIENT_ID_OPENS, rest, what)


def spliced(page: Page, posts: list[bytes]) -> list[bytes]:
    """The page's posts, rendered from their entries, with what these do not say."""
    if not page.extras:
        return posts
    extras = map(page.extras.get, page.positions)
    return [with_reactions(post, extra) if extra else post for post, extra in zip(posts, extras, strict=True)]


def with_reactions(post: bytes, reactions: Reactions) -> bytes:
    """A post's JSON with what its entry does not say."""
    return b'%b,"Reactions":%b}' % (post[:-1], reactions_json(reactions)) if reactions else post


def reactions_json(reactions: Reactions) -> bytes:
    """`{"👍":["ann","bob"]}`, in their order."""
    return json.dumps(dict(reactions), ensure_ascii=False, separators=(",", ":")).encode()


def render(body: bytes, id: int, time: int) -> bytes:
    """`render_post` by its parts; `body` is what `commands.encode` made of a Post, `time` is in microseconds."""
    opens = body.index(POST_OPENS) + len(POST_OPENS)
    cut = body.rindex(CLIENT_ID_OPENS)
    return b'{"Id":%d,%b,"PostedAt":"%b"%b' % (id, body[opens:cut], timestamp(time).encode(), body[cut:-1])


def timestamp(time: int) -> str:
    """Microseconds since 1970 in ISO 8601, UTC."""
    seconds, microseconds = divmod(time, 1_000_000)
    return f"{_second(seconds)}.{microseconds:06}Z"


_SECOND_DIGITS = len("2026-11-23T10:00:00")


@lru_cache(maxsize=1024)  # posts come many a second, pages span few
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:_SECOND_DIGITS]
