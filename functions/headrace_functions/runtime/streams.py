"""One run of a function that yields, chunk by chunk, on the event loop: never two steps of it at once, and closed whatever happens.

A plain generator takes each step in the threads that predictions run in, an asynchronous one on the loop. Between two steps other
streams take theirs, so user code is never entered by more threads than ``concurrency``, but many streams may be open.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

from headrace_functions.errors import DeadlineExceeded, FunctionFailed, HeadraceError, Overloaded
from headrace_functions.protocol.checks import check_outputs
from headrace_functions.runtime.loading import LoadedFunction
from headrace_functions.signature import Tensors

log = logging.getLogger(__name__)

LONGEST = 3600.0
"""Seconds that a stream may take in all."""

_END = object()


class Runs:
    """The streams of one function; at most ``most`` at once."""

    def __init__(self, function: LoadedFunction, threads: Executor, most: int) -> None:
        self._function = function
        self._threads = threads
        self._most = most
        self._closing: set[asyncio.Task[None]] = set()
        self.open = 0

    @contextlib.asynccontextmanager
    async def run(self, tensors: Tensors, gap: float) -> AsyncIterator[AsyncIterator[Tensors]]:
        """The checked chunks of one run. Leaving the block closes the generator at its next ``yield``, without waiting for it.

        Raises ``Overloaded``; the chunks raise ``DeadlineExceeded`` where one takes more than ``gap`` seconds or all more than ``LONGEST``, and
        ``FunctionFailed`` for what user code raises or yields wrongly.
        """
        if self.open >= self._most:
            raise Overloaded(f"{self._most} streams are open", hint="try again later, or allow more replicas")
        self.open += 1
        chunks = self._function.chunks(tensors)
        step = _AsyncSteps(chunks) if isinstance(chunks, AsyncIterator) else _ThreadSteps(chunks, self._threads)
        rows = len(next(iter(tensors.values()))) if self._function.batch else None
        try:
            yield self._checked(step, gap, rows)
        finally:
            closing = asyncio.get_running_loop().create_task(self._close(step))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def _checked(
        self, step: "_AsyncSteps | _ThreadSteps", gap: float, rows: int | None
    ) -> AsyncIterator[Tensors]:
        loop = asyncio.get_running_loop()
        end = loop.time() + LONGEST
        while True:
            left = min(gap, end - loop.time())
            try:
                async with asyncio.timeout(left):
                    chunk = await step.next()
            except TimeoutError as error:
                raise DeadlineExceeded(f"no chunk within {left:.3g} s") from error
            if chunk is _END:
                return
            if not isinstance(chunk, Mapping):
                raise FunctionFailed(
                    "the function yielded something other than a dict",
                    expected="a dict of outputs",
                    got=type(chunk).__name__,
                )
            yield check_outputs(dict(chunk), self._function.signature, self._function.batch, rows)

    async def _close(self, step: "_AsyncSteps | _ThreadSteps") -> None:
        try:
            await step.close()
        except Exception:
            log.exception("a stream's generator did not close well")
        finally:
            self.open -= 1


class _AsyncSteps:
    def __init__(self, chunks: AsyncIterator[Mapping[str, Any]]) -> None:
        self._chunks = chunks

    async def next(self) -> Any:
        with _of_user_code():
            try:
                return await self._chunks.__anext__()
            except StopAsyncIteration:
                return _END

    async def close(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            with _of_user_code():
                await close()


class _ThreadSteps:
    def __init__(self, chunks: Iterator[Mapping[str, Any]], threads: Executor) -> None:
        self._chunks = chunks
        self._threads = threads
        self._step: asyncio.Future[Any] | None = None

    async def next(self) -> Any:
        self._step = asyncio.get_running_loop().run_in_executor(self._threads, _next, self._chunks)
        return await asyncio.shield(self._step)

    async def close(self) -> None:
        """Once the step under way has ended: a generator that runs cannot be closed."""
        if self._step is not None:
            await asyncio.wait([self._step])
            with contextlib.suppress(Exception):  # it was told to whoever waited for the step, or nobody does any more
                self._step.result()
        close: Callable[[], None] | None = getattr(self._chunks, "close", None)
        if close is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, _called, close)


def _next(chunks: Iterator[Mapping[str, Any]]) -> Any:
    with _of_user_code():
        return next(chunks, _END)


def _called(close: Callable[[], None]) -> None:
    with _of_user_code():
        close()


@contextlib.contextmanager
def _of_user_code() -> Iterator[None]:
    """``FunctionFailed`` for whatever user code raises in the block: a ``SystemExit`` would end the process, a ``TimeoutError`` pass for our own."""
    try:
        yield
    except HeadraceError:
        raise
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
            raise
        raise FunctionFailed(f"the function raised {type(error).__name__}") from error


def _is_cancelled() -> bool:
    """Whether the task that runs here was cancelled from outside; a thread runs none."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
