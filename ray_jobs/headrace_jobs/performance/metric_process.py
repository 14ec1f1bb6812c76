"""The process that runs a metric of a user's own: who may start an analysis must not get the rights of one.

``python -m headrace_jobs.performance.metric_process FOLDER`` reads frames from standard input (eight bytes of length, then a pickle) and writes
frames of JSON to standard output; what the metric prints goes to standard error. The first frame is ``{"source", "name"}``, answered by
``{"wants", "better"}`` or ``{"invalid", "expected"}``; each one after it has the arguments, answered by ``{"value"}`` or ``{"failed"}``.

Before the file is run the process is confined as functions are (``runtime.confinement``): it reads the system and its libraries, writes below
``FOLDER`` alone, has no TCP, no environment of the job and a bound of memory and processor time, and it ends with the job.
"""

import ctypes
import inspect
import json
import os
import pickle
import resource
import signal
import struct
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from headrace_functions.runtime import confinement

LENGTH = struct.Struct("!Q")
MEMORY = 2 << 30
"""Bytes that a metric may allocate."""
SECONDS = 600
"""Of processor time, in all."""
KNOWN = ("actual", "answer", "probabilities")
_WITH_PARENT = 1


def main(folder: Path) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    _end_with_parent()
    lacks = confinement.confine([], [], folder, network=False, memory=MEMORY)
    if lacks:
        sys.stderr.write(f"the metric is not confined: {lacks}\n")
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    asked: Mapping[str, Any] = _read(sys.stdin.buffer)
    try:
        function, told = load(asked["source"], asked["name"])
    except Refused as error:
        _write(answers, {"invalid": error.message, "expected": error.expected})
        return
    _write(answers, told)
    while True:
        try:
            given = _read(sys.stdin.buffer)
        except EOFError:
            return
        answer: dict[str, Any]
        try:
            answer = {"value": float(function(**given))}
        except Exception as error:  # noqa: BLE001 -- whatever a user's code raises is told in its own words
            answer = {"failed": f"{type(error).__name__}: {error}"}
        _write(answers, answer)


class Refused(Exception):
    """A file that holds no metric."""

    def __init__(self, message: str, expected: str = "") -> None:
        super().__init__(message)
        self.message, self.expected = message, expected


def load(source: bytes, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function ``name`` of a file, and what it wants and which values are better. Raises ``Refused``."""
    space: dict[str, Any] = {"__name__": "metric"}
    try:
        exec(compile(source, f"{name}.py", "exec"), space)  # noqa: S102 -- it was sent to be run, in this process alone
    except Exception as error:
        raise Refused(f"it cannot be imported: {type(error).__name__}: {error}") from error
    function = space.get(name)
    if not callable(function):
        raise Refused(f"it has no function {name!r}", "FILE.py:FUNCTION")
    wants = tuple(inspect.signature(function).parameters)
    if not wants or not set(wants) <= set(KNOWN):
        raise Refused(f"{name}({', '.join(wants)})", f"some of {', '.join(KNOWN)}")
    better = space.get("BETTER", "higher")
    if better not in ("higher", "lower"):
        raise Refused(f"BETTER is {better!r}", "higher or lower")
    return function, {"wants": wants, "better": better}


def _read(stream: BinaryIO) -> Any:
    """The next frame; ``EOFError`` where the job has closed its end. The job is trusted by this process, not the other way round."""
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    return pickle.loads(stream.read(LENGTH.unpack(head)[0]))  # noqa: S301 -- see above


def _write(stream: BinaryIO, document: Mapping[str, Any]) -> None:
    data = json.dumps(document).encode()
    stream.write(LENGTH.pack(len(data)) + data)
    stream.flush()


def _end_with_parent() -> None:
    """Whatever the metric does, it does not outlive a job that is killed."""
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended meanwhile
        os._exit(1)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
