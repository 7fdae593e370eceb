"""The real curl: what it prints, and the server-sent events that it reads."""

import json
import subprocess
import threading
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

EVENT_S = 15


def curl(*arguments: str, timeout_s: float = 30) -> str:
    """What the real curl prints; it must succeed."""
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--fail-with-body", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, f"curl {' '.join(arguments)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


class CurlEvents:
    """`curl -N` of one node's events, while the block runs."""

    def __init__(self, url: str, query: str = "", last_event_id: str | None = None) -> None:
        resumes = [] if last_event_id is None else ["--header", f"Last-Event-ID: {last_event_id}"]
        self._process = subprocess.Popen(
            ["curl", "-N", "--silent", *resumes, f"{url}/events{query}"], stdout=subprocess.PIPE
        )
        self._events: SimpleQueue[dict[str, Any] | None] = SimpleQueue()  # None: there are no more
        self._reader = threading.Thread(target=self._read, name="curl")
        self.last_id = last_event_id  # of the last event that was taken

    def _read(self) -> None:
        assert self._process.stdout is not None
        event: dict[str, Any] = {}
        for line in self._process.stdout:
            field, _, value = line.decode().rstrip("\n").partition(": ")
            if field == "id":
                event["id"] = value
            elif field == "data":
                event["data"] = json.loads(value)
            elif not field and event:
                self._events.put(event)
                event = {}
        self._events.put(None)  # what is not whole is no event (WHATWG HTML §9.2.6)

    def next(self, deadline_s: float = EVENT_S) -> dict[str, Any] | None:
        """The next event's data, None where the stream has ended."""
        try:
            event = self._events.get(timeout=deadline_s)
        except Empty:
            raise AssertionError(f"no event within {deadline_s} s") from None
        if event is None:
            return None
        self.last_id = event.get("id", self.last_id)
        data = event["data"]
        assert isinstance(data, dict)
        return data

    def rest(self) -> list[dict[str, Any]]:
        """All that comes until the stream has ended."""
        found = []
        while (data := self.next()) is not None:
            found.append(data)
        return found

    def exit_code(self) -> int:
        return self._process.wait(EVENT_S)

    def __enter__(self) -> "CurlEvents":
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()
