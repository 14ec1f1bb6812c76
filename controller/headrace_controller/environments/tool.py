"""uv as a child process: its output goes line by line to a build log, its failure becomes an error with uv's own words."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import uv

from headrace_functions.errors import DeadlineExceeded, InvalidInput

Log = Callable[[str], None]
_TAIL = 30  # lines of uv's output that an error repeats


def run(arguments: Sequence[str], log: Log, *, folder: Path, timeout: float, stdin: str = "") -> None:
    """Run ``uv ARGUMENTS`` in ``folder``. Raises ``InvalidInput`` with the end of its output where it fails.

    ``timeout`` is in seconds; past it uv is killed and ``DeadlineExceeded`` raised.
    """
    # Its output is a log: no colours, no progress bars. A VIRTUAL_ENV around the platform must not become the target.
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    environment |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1"}
    process = subprocess.Popen(
        [uv.find_uv_bin(), *arguments],
        cwd=folder,
        env=environment,
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
        tail = _follow(process, stdin, log)
    finally:
        timer.cancel()
        process.wait()
    what = f"uv {' '.join(arguments[:2])}"
    if late.is_set():
        raise DeadlineExceeded(
            f"{what} took more than {timeout:.0f} s", field="requirements", hint="is the package index reachable?"
        )
    if process.returncode:
        raise InvalidInput("\n".join(tail) or f"{what} ended with {process.returncode}", field="requirements")


def _follow(process: subprocess.Popen[str], stdin: str, log: Log) -> list[str]:
    assert process.stdin is not None
    assert process.stdout is not None
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # uv ended before it read the list; its output says why
    with process.stdout:
        for line in process.stdout:
            tail.append(line.rstrip())
            log(line.rstrip())
    return list(tail)
