"""Functions that yield: each ``yield`` is a dict of outputs as ``predict`` would return it, and goes to the caller at once.

Where one answer is asked for, what was yielded is put together: text is joined, element by element, and of any other output the last
value counts.
"""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed
from headrace_functions.signature import Tensors

Chunks = Iterator[Mapping[str, Any]] | AsyncIterator[Mapping[str, Any]]


class Streaming:
    """A user's generator function. ``open`` begins one run of it; calling it runs it to its end."""

    def __init__(self, begin: Callable[[Tensors], Chunks]) -> None:
        self._begin = begin

    def open(self, tensors: Tensors) -> Chunks:
        """The chunks of one run; an asynchronous iterator where the function is an asynchronous generator. Runs nothing yet."""
        return self._begin(tensors)

    def __call__(self, tensors: Tensors) -> Mapping[str, Any]:
        """What one whole run comes to. Not for a thread with a running event loop."""
        chunks = self.open(tensors)
        found: dict[str, Any] = {}
        if isinstance(chunks, AsyncIterator):
            for chunk in asyncio.run(_all(chunks)):
                found = merged(found, chunk)
        else:
            for chunk in chunks:
                found = merged(found, chunk)
        if not found:
            raise FunctionFailed("the function yielded nothing", expected="at least one dict of outputs")
        return found


def yields(function: Callable[..., Any]) -> bool:
    """Whether calling it gives a generator, asynchronous or not."""
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


def merged(earlier: Mapping[str, Any], chunk: Any) -> dict[str, Any]:
    """What was yielded so far and the next chunk as one answer. ``FunctionFailed`` for a chunk that is no dict."""
    if not isinstance(chunk, Mapping):
        raise FunctionFailed(
            "the function yielded something other than a dict", expected="a dict of outputs", got=type(chunk).__name__
        )
    found = dict(earlier)
    for name, value in chunk.items():
        before = found.get(name)
        found[name] = value if before is None else _joined(before, value)
    return found


def _joined(before: Any, value: Any) -> Any:
    first, second = np.asarray(before), np.asarray(value)
    if first.dtype.kind not in "OSU" or second.dtype.kind not in "OSU" or first.shape != second.shape:
        return value
    pairs = zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)
    joined = np.empty(first.size, dtype=object)
    joined[:] = [b if a is None else a if b is None else a + b if type(a) is type(b) else b for a, b in pairs]
    return joined.reshape(first.shape)


async def _all(chunks: AsyncIterator[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [chunk async for chunk in chunks]
