"""Runs of jobs on this machine: a process group whose last line of output is its result and whose log is a file."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

from headrace_controller.analysis_runs import Outcome
from headrace_controller.environments.named import Engine, JobEnvironments

GRACE = 10.0  # seconds between the polite signal and the last one
NICE = 10
"""How much lower the priority of an analysis is than the platform's: while both want the processors, requests go first."""
_TAIL = 5  # lines of the log that a failure repeats
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")


class ProcessRunner:
    """Runs on this machine, in the environments of the home."""

    outlives = False

    def __init__(self, environments: JobEnvironments) -> None:
        self._environments = environments

    def start(self, job_id: str, engine: Engine, arguments: Sequence[str], timeout: float, log: Path) -> "JobProcess":
        del job_id, timeout
        return JobProcess(self._environments.python(engine, lambda line: _append(log, line)), arguments, log)


class JobProcess:
    def __init__(self, python: Path, arguments: Sequence[str], log: Path) -> None:
        self._log = log
        self._output = log.with_suffix(".out")
        # The run gets what reaches the store and nothing else of our environment: no VIRTUAL_ENV, no PYTHONPATH.
        environment = {k: v for k, v in os.environ.items() if k in _KEPT or k.startswith(("AWS_", "HEADRACE_", "SSL_"))}
        with log.open("ab") as sink, self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [str(python), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=sink,
                env=environment,
                start_new_session=True,
            )
        _give_way(self._process.pid)
        self._stopping = threading.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait(self, timeout: float) -> Outcome:
        """Follow the run to its end; after ``timeout`` seconds it is stopped."""
        late = False
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            late = True
            self.stop()
        self._signal(signal.SIGKILL)  # whatever the run left behind in its group
        result = self._result()
        self._output.unlink(missing_ok=True)
        if late:
            return Outcome(f"it took more than {timeout:.0f} s and was stopped", result)
        if self._process.returncode:
            return Outcome(self._failure(result), result)
        return Outcome("" if result else "it ended without a result; its log says more", result)

    def stop(self) -> None:
        """End the group: politely, and after ``GRACE`` seconds without asking."""
        self._stopping.set()
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return  # the whole group has ended

    def _result(self) -> dict[str, Any]:
        """The last line of standard output, if it is a JSON object."""
        lines = self._output.read_bytes().strip().splitlines()
        try:
            found = orjson.loads(lines[-1]) if lines else None
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}

    def _failure(self, result: Mapping[str, Any]) -> str:
        """The run's own words, or the end of its log."""
        error = result.get("error")
        if isinstance(error, Mapping) and (error.get("detail") or error.get("message")):
            return str(error.get("detail") or error["message"])
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-_TAIL:]) or f"it ended with exit code {self._process.returncode}"


def _give_way(group: int) -> None:
    """Lower the priority of a process group; those that it starts later inherit it."""
    with suppress(ProcessLookupError):  # it has ended already
        os.setpriority(os.PRIO_PGRP, group, os.getpriority(os.PRIO_PROCESS, 0) + NICE)


def _append(file: Path, line: str) -> None:
    with file.open("a") as sink:
        sink.write(line + "\n")
