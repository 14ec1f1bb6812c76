"""Waiting for a job, with its progress on standard error."""

import time
from collections.abc import Callable

import orjson

from headrace_controller.api.schemas import JobView
from headrace_controller.cli import interrupts
from headrace_controller.cli.output import progress
from headrace_controller.client import POLL, Client
from headrace_functions.errors import FunctionFailed


def wait_for(client: Client, job: JobView, *, verbose: bool = True) -> JobView:
    """The job when it is done; raises ``FunctionFailed`` with its reason where it failed."""
    with interrupts.goes_on(f"{job.id} goes on; cancel it with: headrace analyze cancel {job.id}"):
        return _waited_for(client, job, verbose=verbose)


def _waited_for(client: Client, job: JobView, *, verbose: bool) -> JobView:
    shown = 0
    state = ""
    while True:
        job = client.job(job.id)
        if verbose and job.state != state:
            progress(f"{job.id}: {job.state}")
            state = job.state
        if verbose:
            shown = _tell(client.job_log(job.id), shown, progress)
        if job.state == "failed":
            raise FunctionFailed(
                f"{job.kind} of {job.version} failed: {job.reason}", hint=f"its log: headrace analyze log {job.id}"
            )
        if job.state == "done":
            return job
        time.sleep(POLL)


def _tell(log: str, shown: int, write: Callable[[str], None]) -> int:
    """Pass on the whole lines after character ``shown``; JSON lines of progress as a sentence."""
    end = log.rfind("\n") + 1
    for line in log[shown:end].splitlines():
        write(_readable(line))
    return max(shown, end)


def _readable(line: str) -> str:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line
    if isinstance(found, dict) and {"done", "total"} <= found.keys():
        return f"  {found['done']}/{found['total']} {found.get('what', '')}"
    return str(found.get("message", line)) if isinstance(found, dict) else line
