"""Starting a Ray on this machine: a busy one is given more time, anything else is not hidden."""

from typing import Any

import pytest

from headrace_functions.errors import NotReady
from headrace_jobs.execution import STARTS, start_here

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
