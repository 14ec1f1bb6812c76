"""uv as a child process: its output goes line by line to a build log, its failure becomes an error with uv's own words."""

import os
from collections.abc import Sequence
from pathlib import Path

import uv

from headrace_controller import child_processes
from headrace_controller.child_processes import Log
from headrace_controller.environments import pytorch
from headrace_functions.errors import DeadlineExceeded, InvalidInput


def environment() -> dict[str, str]:
    """What uv sees: its output is a log, so no colours, no progress bars; a VIRTUAL_ENV around the platform is not its target."""
    kept = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    return {**kept, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"}


def run(arguments: Sequence[str], log: Log, *, folder: Path, timeout: float, stdin: str = "") -> None:
    """Run ``uv ARGUMENTS`` in ``folder``. Raises ``InvalidInput`` with the end of its output where it fails.

    ``timeout`` is in seconds; past it uv is killed and ``DeadlineExceeded`` raised.
    """
    command = [uv.find_uv_bin(), *arguments]
    seen = environment()
    if arguments[:2] == ["pip", "install"]:
        seen.pop(pytorch.VARIABLE, None)  # a lock says itself which build it was made with
    ended = child_processes.follow(command, log, folder=folder, environment=seen, timeout=timeout, stdin=stdin)
    what = f"uv {' '.join(arguments[:2])}"
    if ended.late:
        raise DeadlineExceeded(
            f"{what} took more than {timeout:.0f} s", field="requirements", hint="is the package index reachable?"
        )
    if ended.code:
        raise InvalidInput("\n".join(ended.tail) or f"{what} ended with {ended.code}", field="requirements")
