"""What the tests of the server share: each of them runs in both of its ways to take a request.

An example that hypothesis draws may take as long as a busy machine needs for it: how fast something is, is not for it
to say.
"""

import pytest
from hypothesis import settings

from tests.chat.wire import mode

settings.register_profile("raft-chat", deadline=None)
settings.load_profile("raft-chat")


@pytest.fixture(params=["threads", "watched"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with a thread for each connection, once from the watch, which leaves what is under /wait to threads."""
    if request.param == "watched":
        monkeypatch.setattr(mode, "never_waits", lambda method, target: not target.startswith("/wait"))
