"""Starting a Ray on this machine: a busy one is given more time, anything else is not hidden."""

from typing import Any

import pytest

from headrace_functions.errors import NotReady
from headrace_jobs.execution import SMALL, STARTS, AsNeeded, Done, Graph, size_of, start_here
from headrace_jobs.inputs import LogFile

LATE = "The current node timed out during startup. This could happen because the GCS has become overloaded."


class Slow:
    """A Ray whose first starts end with ``error``."""

    def __init__(self, failures: int, error: str = LATE) -> None:
        self.failures = failures
        self.error = error
        self.started = self.stopped = 0

    def init(self, **_options: Any) -> None:
        self.started += 1
        if self.started <= self.failures:
            raise Exception(self.error)  # as Ray does

    def shutdown(self) -> None:
        self.stopped += 1


def test_a_ray_that_is_late_is_started_again() -> None:
    ray = Slow(failures=STARTS - 1)
    start_here(ray, "folder")
    assert (ray.started, ray.stopped) == (STARTS, STARTS - 1)


def test_a_ray_that_never_comes_is_told_and_nothing_is_left() -> None:
    ray = Slow(failures=STARTS)
    with pytest.raises(NotReady, match=f"did not start on this machine, {STARTS} times in 30 s"):
        start_here(ray, "folder")
    assert (ray.started, ray.stopped) == (STARTS, STARTS)


def test_another_failure_is_not_repeated() -> None:
    ray = Slow(failures=1, error="no space left on device")
    with pytest.raises(Exception, match="no space left"):
        start_here(ray, "folder")
    assert ray.started == 1


class Recording:
    """An executor that notes the sizes of what it ran."""

    def __init__(self) -> None:
        self.ran: list[int] = []

    def run(self, graph: Graph, _key: str, _done: Done) -> Any:
        self.ran.append(size_of(graph))


def reading(*sizes: int) -> Graph:
    leaves = {f"file-{i}": (len, LogFile("store", str(i), size), "task") for i, size in enumerate(sizes)}
    return {**leaves, "whole": (max, *leaves)}


def test_small_files_are_read_in_one_process_and_ray_starts_once_for_large_ones() -> None:
    here, started = Recording(), list[Recording]()

    def start() -> Recording:
        started.append(Recording())
        return started[-1]

    chosen = AsNeeded(start, here)
    for sizes in ((SMALL // 2, SMALL // 2), (SMALL, 1), (1,)):
        chosen.run(reading(*sizes), "whole", lambda _: None)

    assert [SMALL] == here.ran
    assert [[SMALL + 1, 1]] == [ray.ran for ray in started], "a Ray that runs is used"


def test_the_size_of_a_plan_is_that_of_its_files() -> None:
    assert size_of(reading(3, 4)) == 7
    assert size_of({"file-0": (len, "text"), "whole": (sum,)}) == 0
