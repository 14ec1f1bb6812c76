"""A platform under light load for an hour, without faults: what its processes take at the end is what they took after the first sixth.

``make soak MINUTES=60`` runs it and says the figures. Memory is what no file backs of each part's proportional set size, taken once a minute; compared are
the medians of the second and of the last sixth of the time.
"""

import contextlib
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fixtures_platform import ADDER, RunningPlatform, body
from support.memory import own_memory

MINUTES = float(os.environ.get("HEADRACE_SOAK_MINUTES") or 1)
RATE = 20.0
"""Requests a second."""
MOST = 1.05
"""Of what a part took before, and ``SLACK`` megabytes more: an allocator keeps some pages more or less."""
SLACK = 3.0


@pytest.mark.timeout(120 + MINUTES * 70)
def test_memory_is_flat(new_platform: Callable[..., RunningPlatform], tmp_path: Path) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    every = MINUTES  # seconds: sixty samples, whatever the time
    taken: dict[str, list[float]] = defaultdict(list)
    answered, end, sample = 0, time.monotonic() + MINUTES * 60, time.monotonic() + every
    with httpx.Client(base_url=platform.url, timeout=30) as client:
        while time.monotonic() < end:
            began = time.monotonic()
            assert client.post("/v2/models/adder/infer", json=body(float(answered % 1000))).status_code == 200
            answered += 1
            if time.monotonic() >= sample:
                sample += every
                for part, pids in parts(platform).items():
                    taken[part].append(sum(map(own_memory, pids)) / 1e6)
            time.sleep(max(0.0, 1 / RATE - (time.monotonic() - began)))
    figures = {part: (early(values), late(values)) for part, values in taken.items() if len(values) >= 12}
    said = ", ".join(f"{part} {before:.0f} → {after:.0f} MB" for part, (before, after) in sorted(figures.items()))
    sys.stderr.write(f"\n{MINUTES:.0f} min, {answered:,} requests: {said}\n")
    assert {"controller", "gateway", "collector", "function and zygote"} <= figures.keys()
    assert {} == {p: f for p, f in figures.items() if f[1] > MOST * f[0] + SLACK}


def parts(platform: RunningPlatform) -> dict[str, list[int]]:
    assert platform._process is not None
    found = {
        "gateway": platform.pids("gateway"),
        "collector": platform.pids("collector"),
        # Pages that a function shares with its zygote are counted by halves, and as the function's own once the idle zygote has ended.
        "function and zygote": [*platform.pids("adder-v1"), *zygotes(platform)],
    }
    return {part: pids for part, pids in found.items() if pids} | {"controller": [platform._process.pid]}


def zygotes(platform: RunningPlatform) -> list[int]:
    gateways, found = set(platform.pids("gateway")), []
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and b"runtime.zygote" in (process / "cmdline").read_bytes():
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                found += [int(process.name)] if parent in gateways else []
    return found


def early(values: list[float]) -> float:
    sixth = len(values) // 6
    return statistics.median(values[sixth : 2 * sixth])


def late(values: list[float]) -> float:
    return statistics.median(values[-(len(values) // 6) :])
