"""Load for benchmarks: ``wrk`` with one request body, and its report as numbers."""

import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

JSON_BODY = {"Content-Type": "application/json"}
WRK = shutil.which("wrk")
_SCRIPT = """
wrk.method = "POST"
{headers}
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
done = function(summary, latency, requests)
  io.write(string.format("RESULT %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(95), latency:percentile(99)))
end
"""
_RESULT = re.compile(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)")


@dataclass(frozen=True)
class Load:
    """What one run measured. Latencies are milliseconds."""

    per_second: float
    errors: int
    p50: float
    p95: float
    p99: float


def wrk(
    url: str, body: bytes, folder: Path, *, connections: int, seconds: int, headers: Mapping[str, str] = JSON_BODY
) -> Load:
    """Post ``body`` to ``url`` over ``connections`` from one thread."""
    (folder / "body").write_bytes(body)
    script = folder / "post.lua"
    script.write_text(
        _SCRIPT.format(
            body=folder / "body", headers="\n".join(f'wrk.headers["{k}"] = "{v}"' for k, v in headers.items())
        )
    )
    command = [str(WRK), "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    output = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    found = _RESULT.search(output)
    assert found is not None, output
    count, micros, errors, p50, p95, p99 = map(int, found.groups())
    return Load(count / (micros / 1e6), errors, p50 / 1000, p95 / 1000, p99 / 1000)


def wait_for(url: str, *, seconds: float, alive: Callable[[], bool]) -> None:
    """Return when ``url`` answers 200; fail when the server's process is gone or after ``seconds``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert alive(), f"the server of {url} ended"
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise AssertionError(f"{url} did not answer within {seconds} s")
