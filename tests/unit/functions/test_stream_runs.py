"""Functions that yield: whatever they raise is theirs, and neither ends the process nor passes for something else."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from function_support import scalars
from headrace_functions.errors import DeadlineExceeded, FunctionFailed
from headrace_functions.runtime.frameworks.streaming import Streaming
from headrace_functions.runtime.loading import LoadedFunction
from headrace_functions.runtime.streams import Runs
from headrace_functions.signature import Signature

SIGNATURE = Signature(scalars("x"), scalars("y"))
TENSORS = {"x": np.array(1.0)}
Begin = Callable[[Any], Any]
RAISED: list[type[BaseException]] = [
    ValueError, SystemExit, KeyboardInterrupt, GeneratorExit, BaseException, asyncio.CancelledError, TimeoutError,
]  # fmt: skip


def plain(raised: type[BaseException], *, in_end: bool = False) -> Begin:
    def begin(_tensors: Any) -> Iterator[dict[str, float]]:
        try:
            yield {"y": 1.0}
            if not in_end:
                raise raised
            yield {"y": 2.0}
        finally:
            if in_end:
                raise raised

    return begin


def asynchronous(raised: type[BaseException], *, in_end: bool = False) -> Begin:
    async def begin(_tensors: Any) -> AsyncIterator[dict[str, float]]:
        try:
            yield {"y": 1.0}
            await asyncio.sleep(0)
            if not in_end:
                raise raised
            yield {"y": 2.0}
        finally:
            if in_end:
                raise raised

    return begin


async def read(begin: Begin, most: int = 10, gap: float = 10.0) -> list[float]:
    """The first chunks of a run that is left then, once its generator is closed."""
    found: list[float] = []
    with ThreadPoolExecutor(1) as threads:
        runs = Runs(LoadedFunction(SIGNATURE, False, Streaming(begin)), threads, 1)
        try:
            async with runs.run(TENSORS, gap) as chunks:
                async for chunk in chunks:
                    found.append(float(chunk["y"]))
                    if len(found) == most:
                        break
        finally:
            while runs.open:
                await asyncio.sleep(0)
    return found


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("kind", [plain, asynchronous])
def test_whatever_a_generator_raises_fails_its_request_alone(
    kind: Callable[..., Begin], raised: type[BaseException]
) -> None:
    with pytest.raises(FunctionFailed, match=f"raised {raised.__name__}"):
        asyncio.run(read(kind(raised)))


@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("kind", [plain, asynchronous])
def test_whatever_a_generator_raises_while_it_is_closed_ends_nothing(
    kind: Callable[..., Begin], raised: type[BaseException]
) -> None:
    assert [1.0] == asyncio.run(read(kind(raised, in_end=True), most=1))


def test_a_chunk_that_does_not_come_in_time_is_a_deadline_and_a_call_that_is_cancelled_stays_one() -> None:
    async def waits(_tensors: Any) -> AsyncIterator[dict[str, float]]:
        await asyncio.Event().wait()
        yield {"y": 1.0}

    async def cancelled() -> None:
        task = asyncio.create_task(read(waits))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await task

    with pytest.raises(DeadlineExceeded):
        asyncio.run(read(waits, gap=0.01))
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
