"""Streams: what the first piece costs beside one answer, and what a thousand open streams weigh."""

import asyncio
import statistics
import time
from pathlib import Path

import httpx
import pytest

from fixtures_platform import RunningPlatform

TEXT = {"shape": "scalar", "type": "string"}
PLAIN = "def predict(model, prompt):\n    return {'text': str(prompt)}\n"
YIELDS = "def predict(model, prompt):\n    for i in range(3):\n        yield {'text': str(prompt)}\n"
WAITS = """
import asyncio

async def predict(model, prompt):
    yield {"text": "first"}
    if str(prompt) == "wait":
        await asyncio.sleep(60)
        yield {"text": "last"}
"""
STREAMS = 1000

pytestmark = pytest.mark.timeout(600)


def resident(pid: int) -> float:
    """Megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def first_pieces(url: str, path: str, count: int = 300) -> list[float]:
    """Milliseconds from the request to the first bytes of its answer."""
    found = []
    with httpx.Client(base_url=url, timeout=30) as client:
        for _ in range(count):
            started = time.perf_counter()
            with client.stream("POST", path, json={"prompt": "a"}) as reply:
                pieces = reply.iter_raw()
                next(pieces)
                found.append((time.perf_counter() - started) * 1000)
                list(pieces)
    return found[50:]


async def many(url: str) -> None:
    """Open the streams, read the first piece of each, and hold them until cancelled."""
    limits = httpx.Limits(max_connections=STREAMS + 10)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        opened = asyncio.Semaphore(0)
        stop = asyncio.Event()

        async def one() -> None:
            async with client.stream("POST", "/v2/models/waits/generate_stream", json={"prompt": "wait"}) as reply:
                async for _ in reply.aiter_raw():
                    opened.release()
                    await stop.wait()
                    return

        tasks = [asyncio.create_task(one()) for _ in range(STREAMS)]
        for _ in range(STREAMS):
            await opened.acquire()
        many.held()  # type: ignore[attr-defined]
        stop.set()
        await asyncio.gather(*tasks)


def test_streams(platform: RunningPlatform) -> None:
    for name, code in (("plain", PLAIN), ("yields", YIELDS), ("waits", WAITS)):
        contract = {"inputs": {"prompt": TEXT}, "outputs": {"text": TEXT}}
        platform.apply_python(name, code, platform.home / name, contract=contract, batch=False)
    one = first_pieces(platform.url, "/v2/models/plain/generate")
    first = first_pieces(platform.url, "/v2/models/yields/generate_stream")
    print(
        f"\none answer p50 {statistics.median(one):.2f} ms; first piece p50 {statistics.median(first):.2f} ms, +{statistics.median(first) - statistics.median(one):.2f} ms (target 2)"
    )

    httpx.post(f"{platform.url}/v2/models/waits/generate", json={"prompt": "a"}, timeout=30)
    pids = [*platform.pids("gateway"), *platform.pids("waits-v1")]
    before = sum(map(resident, pids))
    held: list[float] = []
    many.held = lambda: held.append(sum(map(resident, pids)))  # type: ignore[attr-defined]
    asyncio.run(many(platform.url))
    print(
        f"{STREAMS} open streams: gateway and function {before:.0f} MB before, {held[0]:.0f} MB with them, {held[0] - before:.0f} MB more (target 300)"
    )
