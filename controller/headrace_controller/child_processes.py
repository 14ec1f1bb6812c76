"""Child processes whose output is a log: followed line by line, ended when their time is over."""

import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Log = Callable[[str], None]
TAIL_LINES = 30  # of the output, kept for an error message


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended; ``late`` where it was killed because its time was over."""

    code: int
    tail: tuple[str, ...]
    late: bool


def follow(
    command: Sequence[str], log: Log, *, folder: Path, environment: Mapping[str, str], timeout: float, stdin: str = ""
) -> Ended:
    """Run a command in ``folder`` in a session of its own, each line of its output to ``log``; kill it after ``timeout`` seconds."""
    process = subprocess.Popen(
        list(command),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    late = threading.Event()

    def give_up() -> None:
        late.set()
        process.kill()

    timer = threading.Timer(timeout, give_up)
    timer.start()
    try:
        tail = _lines(process, stdin, log)
        process.wait()
    finally:
        timer.cancel()
    return Ended(process.returncode, tail, late.is_set())


def _lines(process: subprocess.Popen[str], stdin: str, log: Log) -> tuple[str, ...]:
    assert process.stdin is not None
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # it ended before it read everything; its output says why
    with process.stdout:
        for line in process.stdout:
            tail.append(line.rstrip())
            log(line.rstrip())
    return tuple(tail)
