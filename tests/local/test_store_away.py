"""Gateways that start while the store is away: real processes, a real bucket behind a cable that is cut."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from fixtures_platform import ADDER, RunningPlatform, until
from support.stores import Cable

SECOND = 1.0
Start = Callable[..., RunningPlatform]


def _answered(reply: httpx.Response) -> httpx.Response | None:
    return reply if reply.status_code == 200 else None


def test_a_gateway_that_starts_while_the_bucket_is_away_serves_what_the_home_remembers(
    cable: Cable, new_platform: Start, s3_prefix: str, tmp_path: Path
) -> None:
    platform = new_platform("--storage", s3_prefix)
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    assert platform.infer("adder", 1.0).status_code == 200
    (before,) = platform.pids("adder-v1")

    cable.cut()
    try:
        platform.kill("gateway")
        started = time.monotonic()
        awake = platform.infer("adder", 2.0)
        seconds = time.monotonic() - started
        named = platform.infer("adder:1", 3.0)
        os.kill(before, 9)
        woken = until(lambda: _answered(platform.infer("adder", 4.0)), "it is started from the disk")
    finally:
        cable.mend()

    assert ([3.0], "last-known") == (awake.json()["outputs"][0]["data"], awake.headers["x-headrace-definitions"])
    assert ([4.0], [5.0]) == tuple(r.json()["outputs"][0]["data"] for r in (named, woken))
    assert seconds < 5 * SECOND, "the process itself starts in less"
    until(lambda: "x-headrace-definitions" not in platform.infer("adder", 5.0).headers, "the store says it again")
