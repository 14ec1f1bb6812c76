"""Memory of a process and of all that it started, each page counted once: the proportional set size that Linux tells."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Memory:
    """In MB: all of it, and the part of Ray's own processes, which are neither the job nor a worker that runs its code."""

    total: float = 0.0
    of_ray: float = 0.0


def peak(job: subprocess.Popen[bytes], every: float = 0.1) -> Memory:
    """Waits until ``job`` has ended; its memory when it was largest, looked at every so many seconds."""
    largest = Memory()
    while job.poll() is None:
        now = _now(job.pid)
        largest = max(largest, now, key=lambda memory: memory.total)
        with suppress(subprocess.TimeoutExpired):
            job.wait(every)
    return largest


def own_memory(pid: int) -> int:
    """Bytes of one process that no file backs, shared pages by its share (``Pss_Anon``); ``ProcessLookupError`` where it has ended.

    Pages of libraries are left out: how many of those a process is charged with depends on who else on the machine has them mapped.
    """
    return _kilobytes("Pss_Anon", Path(f"/proc/{pid}/smaps_rollup").read_text(), pid) * 1024


def _now(pid: int) -> Memory:
    total = of_ray = 0.0
    for process in _family(pid):
        try:
            pages = (process / "smaps_rollup").read_text()
            title = (process / "cmdline").read_bytes()
            share = _kilobytes("Pss", pages, pid) / 1024
        except OSError:  # it has ended since
            continue
        total += share
        ours = process.name == str(pid) or (title.startswith(b"ray::") and b"Agent" not in title)
        of_ray += 0.0 if ours else share
    return Memory(total, of_ray)


def _kilobytes(name: str, pages: str, pid: int) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", pages, re.MULTILINE)
    if found is None:
        raise ProcessLookupError(pid)
    return int(found[1])


def _family(pid: int) -> Iterator[Path]:
    """The process and its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[1]
                children[int(parent)].append(int(process.name))
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        yield Path("/proc") / str(one)
        waiting += children[one]
