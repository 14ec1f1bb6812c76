"""Children of a build Job: they run what users wrote, so they see their own libraries and no credentials of the store."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import orjson

from headrace_functions.building import job_contract
from headrace_functions.errors import HeadraceError

_PASSED = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "TZ",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONUNBUFFERED",
)


def run(command: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> int:
    """Run a command whose output goes to the Job's own, and so to the build log; its exit code.

    Ends the Job with ``LATE`` past ``timeout`` seconds and with ``KILLED`` where the child got signal 9.
    """
    sys.stdout.flush()
    process = subprocess.Popen(list(command), env=dict(environment), stderr=subprocess.STDOUT, start_new_session=True)
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        sys.exit(job_contract.LATE)
    if code == -signal.SIGKILL:
        sys.exit(job_contract.KILLED)
    return code


def plain(environment: Mapping[str, str], *prefixes: str) -> dict[str, str]:
    """The variables a child may see: the usual ones, and those with one of the prefixes."""
    return {k: v for k, v in environment.items() if k in _PASSED or k.startswith(prefixes)}


def main(work: Callable[[Mapping[str, str]], None]) -> None:
    """Do the work of a Job; an error of ours becomes the last line of the log, for the controller."""
    try:
        work(os.environ)
    except HeadraceError as error:
        told = {"message": error.message, **error.details()}
        sys.stdout.write(orjson.dumps(told).decode() + "\n")
        sys.stdout.flush()
        sys.exit(job_contract.REFUSED)
