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


def pss(pid: int) -> int:
    """Bytes of one process; ``ProcessLookupError`` where it has ended."""
    found = re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
    if found is None:
        raise ProcessLookupError(pid)
    return 1024 * int(found[1])


def _now(pid: int) -> Memory:
    total = of_ray = 0.0
    for process in _family(pid):
        try:
            pages = (process / "smaps_rollup").read_text()
            title = (process / "cmdline").read_bytes()
        except OSError:  # it has ended since
            continue
        found = re.search(r"^Pss:\s+(\d+)", pages, re.MULTILINE)
        share = int(found[1]) / 1024 if found else 0.0
        total += share
        ours = process.name == str(pid) or (title.startswith(b"ray::") and b"Agent" not in title)
        of_ray += 0.0 if ours else share
    return Memory(total, of_ray)


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
