"""wrk, the load generator: one request, again and again, over keep-alive connections; the figures as it saw them."""

import json
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

# `done` adds one line of JSON to wrk's own report; its "status" counts answers over 399 and everything else that is no
# answer is counted by kind.
_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%d,"microseconds":%d,"failed":%d,"p50":%d,"p99":%d}\\n',
    summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
# Every request is the same bytes, so that wrk spends its time on sending them.
_POST = """
wrk.method = "POST"
wrk.body = %s
wrk.headers["Content-Type"] = "application/json"
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of wrk, or several at once: then the rates are added up, and of the times the longest are told."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int  # answers over 399, and requests without one


def post(url: str, body: str, *, connections: int, seconds: int) -> Figures:
    """POST `body` to `url` for so long over so many connections, from one thread."""
    return run(url, posting(body), connections=connections, seconds=seconds)


def posting(body: str) -> str:
    """The script for it."""
    return _POST % json.dumps(body)  # a JSON string of ASCII is a Lua string too


def get(url: str, *, connections: int, seconds: int) -> Figures:
    return run(url, "", connections=connections, seconds=seconds)


def post_to_all(urls: Sequence[str], body: str, *, connections: int, seconds: int) -> Figures:
    """The connections shared out between the URLs, all at the same time: a wrk for each."""
    shares = [connections // len(urls) + (number < connections % len(urls)) for number in range(len(urls))]
    with ThreadPoolExecutor(len(urls), "wrk") as pool:
        started = [
            pool.submit(post, url, body, connections=share, seconds=seconds)
            for url, share in zip(urls, shares, strict=True)
        ]
        found = [one.result() for one in started]
    return Figures(
        per_second=sum(one.per_second for one in found),
        p50_ms=max(one.p50_ms for one in found),
        p99_ms=max(one.p99_ms for one in found),
        failed=sum(one.failed for one in found),
    )


def run(url: str, script: str, *, connections: int, seconds: int) -> Figures:
    """With a script of Lua that says what a request is; without one it is a GET of the URL."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script + _DONE)
        file.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", Path(file.name), url],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    # wrk itself says so where an answer was neither 2xx nor 3xx; nothing that is measured is redirected.
    found = json.loads(done.stdout.splitlines()[-1])
    return Figures(
        per_second=found["requests"] * 1e6 / found["microseconds"],
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        failed=found["failed"],
    )
