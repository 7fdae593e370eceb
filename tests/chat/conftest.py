"""What the tests of the server share: each of them runs in both of its ways to take a request."""

import pytest

from tests.chat.wire import mode


@pytest.fixture(params=["threads", "watched"])
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with a thread for each connection, once from the watch, which leaves what is under /wait to threads."""
    if request.param == "watched":
        monkeypatch.setattr(mode, "never_waits", lambda method, target: not target.startswith("/wait"))
