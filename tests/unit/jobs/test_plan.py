"""The shape of a plan: a leaf a file, and no task that merges more than a few parts."""

import pytest

from headrace_jobs.inputs import LogFile
from headrace_jobs.plan import FAN_IN, ROOT, is_leaf, plan
from headrace_jobs.scan import Part, Task
from headrace_jobs.window import Window

TASK = Task(Window.parse("1h", "2026-11-22T12:00:00Z"), (), {})


@pytest.mark.parametrize("files", [0, 1, 8, 9, 64, 65, 1000])
def test_every_file_is_counted_once_and_merged_by_small_steps(files: int) -> None:
    graph = plan([LogFile("store", f"file {i}") for i in range(files)], TASK)

    def leaves(key: str) -> list[str]:
        parts = [a for a in graph[key][1:] if isinstance(a, str)]
        assert len(parts) <= FAN_IN
        return [key] if is_leaf(key) else [leaf for part in parts for leaf in leaves(part)]

    assert leaves(ROOT) == [f"file-{i}" for i in range(files)]


def test_a_plan_without_files_is_an_empty_part() -> None:
    function, *arguments = plan([], TASK)[ROOT]

    assert function(*arguments) == Part()
