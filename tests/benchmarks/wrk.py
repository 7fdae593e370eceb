"""wrk, the load generator: one POST, again and again, over keep-alive connections; the figures as it saw them."""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# Every request is the same bytes, so that wrk spends its time on sending them.  `done` adds one line of JSON to wrk's
# own report; its "status" counts answers over 399 and everything else that is no answer is counted by kind.
_SCRIPT = """
wrk.method = "POST"
wrk.body = %s
wrk.headers["Content-Type"] = "application/json"
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%%d,"microseconds":%%d,"failed":%%d,"p50":%%d,"p99":%%d}\\n',
    summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of wrk."""

    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int  # answers over 399, and requests without one


def post(url: str, body: str, *, connections: int, seconds: int) -> Figures:
    """POST `body` to `url` for so long over so many connections, from one thread."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % json.dumps(body))  # a JSON string of ASCII is a Lua string too
        script.flush()
        done = subprocess.run(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", Path(script.name), url],
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + 60,
        )
    # wrk itself says so where an answer was neither 2xx nor 3xx; this API redirects no POST.
    found = json.loads(done.stdout.splitlines()[-1])
    return Figures(
        per_second=found["requests"] * 1e6 / found["microseconds"],
        p50_ms=found["p50"] / 1000,
        p99_ms=found["p99"] / 1000,
        failed=found["failed"],
    )
