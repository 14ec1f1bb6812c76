"""The plan of a run: a leaf for each file of the log, merged by a tree of small fan-in into one part."""

from collections.abc import Callable, Sequence
from typing import Any

from headrace_jobs.execution import Graph
from headrace_jobs.inputs import LogFile
from headrace_jobs.scan import Task, merge_all, scan

FAN_IN = 8
"""Parts that one task merges: bounds the memory of a merge, and the depth of the tree to log8 of the files."""
ROOT = "whole"


def plan(files: Sequence[LogFile], task: Task) -> Graph:
    """The plan of a drift run. It depends on the order of ``files`` alone."""
    return tree([(scan, file, task) for file in files], merge_all)


def tree(leaves: Sequence[tuple[Any, ...]], merge: Callable[..., Any]) -> Graph:
    """A Dask graph whose key ``ROOT`` is all ``leaves`` merged; ``merge`` takes parts in order, or none at all."""
    graph: dict[str, tuple[Any, ...]] = {f"file-{i}": leaf for i, leaf in enumerate(leaves)}
    level = list(graph)
    depth = 0
    while len(level) > FAN_IN:
        depth += 1
        groups = [level[i : i + FAN_IN] for i in range(0, len(level), FAN_IN)]
        level = [f"merge-{depth}-{i}" for i in range(len(groups))]
        graph.update({name: (merge, *group) for name, group in zip(level, groups, strict=True)})
    graph[ROOT] = (merge, *level)
    return graph


def is_leaf(key: str) -> bool:
    return key.startswith("file-")


def by_leaf(total: int, progress: Callable[[int, int, str], None], what: str = "files") -> Callable[[str], None]:
    """What an executor is to call with each key that is done: it tells how many of ``total`` leaves are."""
    finished = 0

    def done(key: str) -> None:
        nonlocal finished
        if is_leaf(key):
            finished += 1
            progress(finished, total, what)

    return done
