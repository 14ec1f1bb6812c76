"""What viewers of a live page cost: processor and memory of gateway and controller with none, one and two hundred of them, under light traffic."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from fixtures_platform import ADDER, RunningPlatform
from headrace_controller.embedded.home import holder_of

SECONDS = 20.0
PAGE = {"page": "/", "parts": "rows,calls"}


def processor(pid: int) -> float:
    """Seconds of processor that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def megabytes(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def watch(url: str, viewers: int, pids: list[int]) -> tuple[list[float], list[float]]:
    """Shares of a core and megabytes of each process while so many viewers look."""
    async with httpx.AsyncClient(
        base_url=url, timeout=None, limits=httpx.Limits(max_connections=viewers + 1)
    ) as client:

        async def view() -> None:
            async with client.stream("GET", "/events", params=PAGE) as reply:
                async for _ in reply.aiter_bytes():
                    pass

        tasks = [asyncio.create_task(view()) for _ in range(viewers)]
        await asyncio.sleep(3)
        before, began = [processor(p) for p in pids], time.monotonic()
        await asyncio.sleep(SECONDS)
        taken = time.monotonic() - began
        shares = [(processor(p) - b) / taken for p, b in zip(pids, before, strict=True)]
        memory = [megabytes(p) for p in pids]
        for task in tasks:
            task.cancel()
        return shares, memory


@pytest.mark.timeout(300)
def test_two_hundred_viewers_of_a_page_cost_about_what_one_costs(
    new_platform: Callable[..., RunningPlatform], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    platform = new_platform()
    platform.apply_python("adder", ADDER, tmp_path / "adder")
    holder = holder_of(platform.settings)
    assert holder is not None
    pids = [platform.pids("gateway")[0], holder.identity.pid]
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.2):
            platform.infer("adder", 1.0)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        with capsys.disabled():
            for viewers in (0, 1, 200):
                shares, memory = asyncio.run(watch(platform.url, viewers, pids))
                print(
                    f"\n{viewers} viewers: gateway {shares[0]:.1%} of a core, {memory[0]:.0f} MB; controller {shares[1]:.1%}, {memory[1]:.0f} MB"
                )
    finally:
        stop.set()
        asking.join()
