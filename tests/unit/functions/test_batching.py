"""Batching while busy: what arrives during a run forms the next batch, and nobody pays for a neighbour."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace_functions.errors import DeadlineExceeded, FunctionFailed, Overloaded
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.runtime.batching import TRIES, Batcher, Pace, join, run, split
from headrace_functions.signature import Tensors

WAIT = 10.0


def rows(*values: float) -> Tensors:
    return {"x": np.array(values, dtype=np.float64)}


def double(tensors: Tensors) -> Tensors:
    if np.isnan(tensors["x"]).any():
        raise FunctionFailed("the function raised ValueError")
    return {"y": tensors["x"] * 2}


class Gate:
    """A function that waits for permission and remembers the rows of each run."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.leave = threading.Semaphore(0)
        self.sizes: list[int] = []
        self.active = 0
        self.most_active = 0
        self._lock = threading.Lock()

    def __call__(self, tensors: Tensors) -> Tensors:
        with self._lock:
            self.sizes.append(len(tensors["x"]) if tensors["x"].ndim else 1)
            self.active += 1
            self.most_active = max(self.active, self.most_active)
        self.entered.release()
        assert self.leave.acquire(timeout=WAIT)
        with self._lock:
            self.active -= 1
        return {"y": tensors["x"] * 2}


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.acquire, True, WAIT)


def on_loop(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 3 * WAIT))  # type: ignore[arg-type]


async def until_waiting(batcher: Batcher, count: int) -> None:
    async with asyncio.timeout(WAIT):
        while batcher.waiting != count:
            await asyncio.sleep(0)


def test_requests_that_come_during_a_run_share_the_next() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate)
        first = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await entered(gate)
        others = [asyncio.create_task(batcher.submit(rows(i, i), WAIT)) for i in range(2, 5)]
        await until_waiting(batcher, 3)
        gate.leave.release()
        gate.leave.release()

        assert [2.0] == (await first)["y"].tolist()
        assert [[4, 4], [6, 6], [8, 8]] == [(await o)["y"].tolist() for o in others]
        assert [1, 6] == gate.sizes
        batcher.close()

    on_loop(test)


def test_rows_of_other_shapes_run_apart() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate)
        first = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await entered(gate)
        wide = {"x": np.ones((2, 3))}
        others = [asyncio.create_task(batcher.submit(t, WAIT)) for t in (rows(1), wide, rows(1, 1))]
        await until_waiting(batcher, 3)
        for _ in range(3):
            gate.leave.release()
        await asyncio.gather(first, *others)

        assert [1, 3, 2] == gate.sizes
        batcher.close()

    on_loop(test)


def test_a_batch_has_a_limit_of_rows() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, batch_rows=4)
        first = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await entered(gate)
        others = [asyncio.create_task(batcher.submit(rows(*range(n)), WAIT)) for n in (3, 9, 1)]
        await until_waiting(batcher, 3)
        for _ in range(3):
            gate.leave.release()
        await asyncio.gather(first, *others)

        assert [1, 4, 9] == gate.sizes
        batcher.close()

    on_loop(test)


def test_without_batch_requests_run_one_at_a_time() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, batch=False)
        tasks = [asyncio.create_task(batcher.submit({"x": np.array(float(i))}, WAIT)) for i in range(4)]
        for _ in tasks:
            gate.leave.release()

        assert [0, 2, 4, 6] == [(await t)["y"].item() for t in tasks]
        assert ([1] * 4, 1) == (gate.sizes, gate.most_active)
        batcher.close()

    on_loop(test)


def test_concurrency_is_the_number_of_runs_at_once() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, batch=False, concurrency=2)
        tasks = [asyncio.create_task(batcher.submit({"x": np.array(float(i))}, WAIT)) for i in range(5)]
        await entered(gate)
        await entered(gate)
        gate.leave.release()
        await entered(gate)
        for _ in range(20):
            await asyncio.sleep(0)
        seen = (batcher.running, batcher.waiting)
        for _ in tasks:
            gate.leave.release()
        await asyncio.gather(*tasks)

        assert (2, 2) == seen, "one of five is done, two run, two wait"
        assert 2 == gate.most_active
        batcher.close()

    on_loop(test)


def test_one_bad_request_does_not_fail_its_neighbours() -> None:
    outcomes = run(double, [rows(1), rows(float("nan")), rows(3, 4)])

    assert [2.0] == outcomes[0]["y"].tolist()  # type: ignore[index]
    assert isinstance(outcomes[1], FunctionFailed)
    assert [6.0, 8.0] == outcomes[2]["y"].tolist()  # type: ignore[index]


def test_a_full_queue_refuses_and_tells_when_to_come_back() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate, queue=2)
        first = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await entered(gate)
        waiting = [asyncio.create_task(batcher.submit(rows(1), WAIT)) for _ in range(2)]
        await until_waiting(batcher, 2)

        with pytest.raises(Overloaded) as refused:
            await batcher.submit(rows(1), WAIT)

        assert refused.value.retry_after > 0
        gate.leave.release()
        gate.leave.release()
        await asyncio.gather(first, *waiting)
        batcher.close()

    on_loop(test)


def test_a_run_that_outlives_its_caller_keeps_its_slot() -> None:
    """The caller gets ``DeadlineExceeded``; the next run starts only when the thread has really ended."""

    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate)
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(1), 0.05)
        late = asyncio.create_task(batcher.submit(rows(2), 0.05))
        with pytest.raises(DeadlineExceeded):
            await late
        after_timeouts = (batcher.running, batcher.waiting, list(gate.sizes))
        last = asyncio.create_task(batcher.submit(rows(3), WAIT))
        gate.leave.release()
        gate.leave.release()

        assert [6.0] == (await last)["y"].tolist()
        assert (1, 0, [1]) == after_timeouts
        assert [1, 1] == gate.sizes, "the request that timed out in the queue was not run"
        batcher.close()

    on_loop(test)


def test_no_time_left_is_a_deadline() -> None:
    async def test() -> None:
        batcher = Batcher(double)
        with pytest.raises(DeadlineExceeded):
            await batcher.submit(rows(1), 0)
        batcher.close()

    on_loop(test)


def test_a_fast_function_moves_to_the_loop_and_a_slow_run_sends_it_back() -> None:
    async def test() -> None:
        threads: list[str] = []

        def function(tensors: Tensors) -> Tensors:
            threads.append(threading.current_thread().name)
            time.sleep(tensors["x"][0])
            return {"y": tensors["x"]}

        batcher = Batcher(function, fast=0.05)
        for _ in range(TRIES):
            await batcher.submit(rows(0), WAIT)
        earned = batcher.on_loop
        await batcher.submit(rows(0), WAIT)
        await batcher.submit(rows(0.6), WAIT)

        assert earned
        assert {"MainThread"} == set(threads[TRIES:])
        assert "MainThread" not in threads[:TRIES]
        assert not batcher.on_loop
        batcher.close()

    on_loop(test)


def test_the_loop_is_harder_to_earn_again() -> None:
    pace = Pace(0.002)
    for _ in range(TRIES):
        pace.note(0.001, on_loop=False)
    pace.note(0.021, on_loop=True)
    for _ in range(2 * TRIES - 1):
        pace.note(0.001, on_loop=False)
    almost = pace.fast
    pace.note(0.001, on_loop=False)

    assert not almost
    assert pace.fast


def test_zero_keeps_the_function_off_the_loop() -> None:
    pace = Pace(0)
    for _ in range(10 * TRIES):
        pace.note(0.0001, on_loop=False)

    assert not pace.fast


def test_closing_fails_what_waits() -> None:
    async def test() -> None:
        gate = Gate()
        batcher = Batcher(gate)
        first = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await entered(gate)
        second = asyncio.create_task(batcher.submit(rows(1), WAIT))
        await until_waiting(batcher, 1)
        batcher.close()

        with pytest.raises(Overloaded):
            await second
        gate.leave.release()
        await first

    on_loop(test)


@settings(deadline=None, max_examples=40)
@given(
    requests=st.lists(
        st.lists(st.sampled_from([0.0, 1.0, 2.5, float("nan")]), min_size=1, max_size=3), min_size=1, max_size=12
    ),
    fast=st.sampled_from([0.0, 1.0]),
    limit=st.integers(1, 5),
)
def test_every_request_gets_its_own_answer(requests: list[list[float]], fast: float, limit: int) -> None:
    """Whatever shares a batch, an answer holds the request's own rows, and only requests with a bad row fail."""

    async def test() -> None:
        batcher = Batcher(double, fast=fast, batch_rows=limit)
        answers = await asyncio.gather(*(batcher.submit(rows(*r), WAIT) for r in requests), return_exceptions=True)
        batcher.close()
        for request, answer in zip(requests, answers, strict=True):
            if any(np.isnan(request)):
                assert isinstance(answer, FunctionFailed)
            else:
                assert not isinstance(answer, BaseException)
                assert [2 * v for v in request] == answer["y"].tolist()

    on_loop(test)


def test_packed_rows_stay_packed_in_a_batch() -> None:
    requests: list[Any] = [
        PackedRows(["a", "b"], np.array([[1.0, 2.0]])),
        PackedRows(["a", "b"], np.array([[3.0, 4.0], [5.0, 6.0]])),
    ]

    joined = join(requests)

    assert isinstance(joined, PackedRows)
    assert [[1, 2], [3, 4], [5, 6]] == joined.matrix.tolist()
    parts = split(joined, [1, 2])
    assert [[[1, 2]], [[3, 4], [5, 6]]] == [p.matrix.tolist() for p in parts if isinstance(p, PackedRows)]
    assert [[1.0], [3.0, 5.0]] == [p["a"].tolist() for p in parts]  # type: ignore[index]


def test_a_call_that_is_taken_back_while_it_waits_never_runs() -> None:
    seen: list[float] = []
    gate = threading.Event()

    def function(tensors: Tensors) -> Tensors:
        seen.extend(tensors["x"].tolist())
        gate.wait(10)
        return {"y": tensors["x"]}

    async def calls() -> Tensors:
        batcher = Batcher(function)
        first = asyncio.create_task(batcher.submit({"x": np.array([1.0])}, 10))
        while not batcher.running:
            await asyncio.sleep(0)
        gone = asyncio.create_task(batcher.submit({"x": np.array([2.0])}, 10))
        while not batcher.waiting:
            await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        assert 0 == batcher.waiting
        gate.set()
        answer = await first
        batcher.close()
        return answer

    assert [1.0] == asyncio.run(calls())["y"].tolist()
    assert [1.0] == seen
