"""Decides when and where a function runs: batching while busy.

What arrives while a run is under way forms the next batch; no timer waits for company, so a lone request pays nothing.
Requests share a batch only if their rows have the same shapes. A batch that fails is run again request by request, so
that a bad one fails alone (user code may then see a row twice).

A function is first run in threads, ``concurrency`` of them, so that health answers meanwhile. One that stays below ``fast``
seconds for ``TRIES`` runs in a row moves onto the event loop, where a run costs no change of thread; a run there that
takes ten times as long sends it back, and it has to earn the loop again with twice as many runs. A run on the loop cannot be
timed out; a run in a thread that outlives its callers keeps its slot until it really ends.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from headrace_functions.errors import DeadlineExceeded, HeadraceError, Overloaded
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.signature import Tensors

TRIES = 20
_ROUNDS = 8  # rounds of the loop that a batch may grow in; a round without a new request ends it
_SLOW = 10.0  # times `fast` that a run on the loop may take

Outcome = Tensors | BaseException
Shapes = tuple[tuple[object, ...], ...]


class Waiting:
    """A request in the queue."""

    __slots__ = ("answer", "rows", "shapes", "tensors", "timer")

    def __init__(self, tensors: Tensors, rows: int, shapes: Shapes, answer: asyncio.Future[Tensors]) -> None:
        self.tensors = tensors
        self.rows = rows
        self.shapes = shapes
        self.answer = answer
        self.timer: asyncio.TimerHandle | None = None

    def settle(self, outcome: Outcome) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if self.answer.done():
            return
        if isinstance(outcome, BaseException):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class Batcher:
    """Runs one function for many requests. Made and used on one event loop.

    ``on_batch`` hears the number of requests and the seconds of each run.
    """

    def __init__(
        self,
        function: Callable[[Tensors], Tensors],
        *,
        batch: bool = True,
        concurrency: int = 1,
        queue: int = 1000,
        batch_rows: int = 4096,
        fast: float = 0.002,
        on_batch: Callable[[int, float], None] | None = None,
    ) -> None:
        self._function = function
        self._batch = batch
        self._concurrency = concurrency
        self._limit = queue
        self._batch_rows = batch_rows
        self._pace = Pace(fast)
        self._on_batch = on_batch
        self._waiting: deque[Waiting] = deque()
        self._running = 0
        self._scheduled = False
        self.loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="predict")

    @property
    def threads(self) -> ThreadPoolExecutor:
        """Those that predictions run in."""
        return self._threads

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return self._running

    @property
    def on_loop(self) -> bool:
        """True while the function is fast enough to run on the event loop."""
        return self._pace.fast

    async def submit(self, tensors: Tensors, seconds: float) -> Tensors:
        """The function's answer for one request.

        A call that is cancelled while it waits never runs; one that runs is left to end, and its answer is dropped.
        Raises ``Overloaded`` where the queue is full, ``DeadlineExceeded`` after ``seconds``, waiting included,
        and what the function raises.
        """
        if len(self._waiting) >= self._limit:
            raise Overloaded(
                f"{self._limit} requests are waiting", retry_after=1.0, hint="try again later, or allow more replicas"
            )
        rows, shapes = _measure(tensors) if self._batch else (1, ())
        waiting = Waiting(tensors, rows, shapes, self.loop.create_future())
        if seconds <= 0:
            raise DeadlineExceeded("no time was left when the request came")
        waiting.timer = self.loop.call_later(seconds, self._expire, waiting, seconds)
        self._waiting.append(waiting)
        self._schedule()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise

    def close(self) -> None:
        """Fail what waits and start nothing more; runs under way are left to end."""
        while self._waiting:
            self._waiting.popleft().settle(Overloaded("the server is shutting down"))
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _give_up(self, waiting: Waiting) -> None:
        """Nobody wants the answer any more: what did not begin will not."""
        if waiting.timer is not None:
            waiting.timer.cancel()
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _expire(self, waiting: Waiting, seconds: float) -> None:
        waiting.settle(DeadlineExceeded(f"no answer within {seconds:.3g} s"))
        if waiting in self._waiting:
            self._waiting.remove(waiting)

    def _schedule(self) -> None:
        """Run in the loop's next round: what other connections have sent by now joins the batch."""
        if not self._scheduled and self._waiting and self._running < self._concurrency:
            self._scheduled = True
            self.loop.call_soon(self._start, len(self._waiting), _ROUNDS)

    def _start(self, seen: int, rounds: int) -> None:
        """Start a batch, unless the last round of the loop brought company: then look once more, a few times at most."""
        if rounds and self._batch and len(self._waiting) > seen:
            self.loop.call_soon(self._start, len(self._waiting), rounds - 1)
            return
        self._scheduled = False
        if not self._waiting:
            return
        batch = self._next_batch()
        if self._pace.fast:
            started = time.perf_counter()
            outcomes = run(self._function, [w.tensors for w in batch])
            self._settle(batch, outcomes, time.perf_counter() - started, on_loop=True)
        else:
            self._running += 1
            future = self._threads.submit(_timed, self._function, [w.tensors for w in batch])
            future.add_done_callback(lambda done: self.loop.call_soon_threadsafe(self._finish, batch, done))
        self._schedule()

    def _finish(self, batch: list[Waiting], done: "Future[tuple[list[Outcome], float]]") -> None:
        self._running -= 1
        outcomes, seconds = done.result()
        self._settle(batch, outcomes, seconds, on_loop=False)
        self._schedule()

    def _settle(self, batch: list[Waiting], outcomes: list[Outcome], seconds: float, *, on_loop: bool) -> None:
        self._pace.note(seconds, on_loop=on_loop)
        if self._on_batch is not None:
            self._on_batch(len(batch), seconds)
        for waiting, outcome in zip(batch, outcomes, strict=True):
            waiting.settle(outcome)

    def _next_batch(self) -> list[Waiting]:
        """The oldest request and, in their order, all others that fit beside it."""
        first = self._waiting.popleft()
        batch, rows = [first], first.rows
        if not self._batch or not self._waiting:
            return batch
        others: deque[Waiting] = deque()
        for waiting in self._waiting:
            if waiting.shapes == first.shapes and rows + waiting.rows <= self._batch_rows:
                batch.append(waiting)
                rows += waiting.rows
            else:
                others.append(waiting)
        self._waiting = others
        return batch


class Pace:
    """Whether a function is fast enough for the event loop, from the runs it was seen to take."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._needed = TRIES
        self._streak = 0
        self.fast = False

    def note(self, seconds: float, *, on_loop: bool) -> None:
        if on_loop:
            if seconds > self._limit * _SLOW:
                self.fast = False
                self._needed *= 2
                self._streak = 0
            return
        self._streak = self._streak + 1 if seconds < self._limit else 0
        self.fast = self._streak >= self._needed


def run(function: Callable[[Tensors], Tensors], requests: Sequence[Tensors]) -> list[Outcome]:
    """An answer or error for each request: together, and one by one where that fails."""
    if len(requests) > 1:
        try:
            return split(function(join(requests)), [len(next(iter(r.values()))) for r in requests])
        except HeadraceError:
            pass  # the requests that are to blame are found below
    outcomes: list[Outcome] = []
    for tensors in requests:
        try:
            outcomes.append(function(tensors))
        except Exception as error:  # noqa: BLE001 - it is the outcome of this request, raised where the caller waits
            outcomes.append(error)
    return outcomes


def _timed(function: Callable[[Tensors], Tensors], requests: Sequence[Tensors]) -> tuple[list[Outcome], float]:
    started = time.perf_counter()
    outcomes = run(function, requests)
    return outcomes, time.perf_counter() - started


def join(requests: Sequence[Tensors]) -> Tensors:
    """One batch of the rows of all requests; packed rows stay packed."""
    matrices = [r.matrix for r in requests if isinstance(r, PackedRows)]
    if len(matrices) == len(requests):
        return PackedRows(requests[0].keys(), np.concatenate(matrices))
    return {name: np.concatenate([r[name] for r in requests]) for name in requests[0]}


def split(outputs: Tensors, rows: Sequence[int]) -> list[Outcome]:
    """The rows of a batch's outputs by request."""
    parts: list[Outcome] = []
    at = 0
    for n in rows:
        if isinstance(outputs, PackedRows):
            parts.append(outputs.rows(at, at + n))
        else:
            parts.append({name: array[at : at + n] for name, array in outputs.items()})
        at += n
    return parts


def _measure(tensors: Tensors) -> tuple[int, Shapes]:
    """Rows of a request, and what its rows must share with others to be one batch."""
    if isinstance(tensors, PackedRows):
        return len(tensors.matrix), ((len(tensors), tensors.matrix.dtype),)
    first = next(iter(tensors.values()))
    return len(first), tuple((name, a.shape[1:], a.dtype) for name, a in tensors.items())
