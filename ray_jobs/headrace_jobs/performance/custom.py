"""A metric of the user's own: a Python function of labels and answers, sent with the request and run in a confined process beside the job.

The function takes some of ``actual``, ``answer`` ``(n,)`` and ``probabilities`` ``(n, k)`` by these names and gives one number. Of classes
``actual`` and ``answer`` are names, and ``probabilities`` are in the order of the report's ``classes``; of numbers they are float64 and
there are no probabilities. Its file may say ``BETTER = "lower"``. What it may reach is in ``metric_process``.
"""

import contextlib
import hashlib
import json
import os
import pickle
import select
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from headrace_functions.errors import FunctionFailed, HeadraceError, InvalidInput, NotFound
from headrace_functions.runtime import confinement, threads
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs.performance.metric_process import LENGTH
from headrace_jobs.performance.metrics import CLASSIFICATION, REGRESSION, Metric

FIELD = "metric-file"
PATIENCE = 60.0
"""Seconds that a metric has to load, and for each of its values."""
_LARGEST_ANSWER = 64 * 1024
_MODULE = "headrace_jobs.performance.metric_process"
_PASSED = ("PATH", "LANG", "LC_ALL", "TZ", *threads.VARIABLES)


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows whose label is known, as the function gets them."""

    actual: Array
    answer: Array
    probabilities: Array | None = None

    def at(self, chosen: Array) -> "Judged":
        of = None if self.probabilities is None else self.probabilities[chosen]
        return Judged(self.actual[chosen], self.answer[chosen], of)


class MetricProcess:
    """One process with one metric; ``ask`` gets a frame's answer. What its code does is told as ``FunctionFailed`` or ``InvalidInput``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = Path(tempfile.mkdtemp(prefix="headrace-metric-"))
        environment = {k: v for k, v in os.environ.items() if k in _PASSED}
        environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONDONTWRITEBYTECODE": "1"}
        with contextlib.suppress(OSError):  # where the kernel has no Landlock, the job's environment is still its own
            confinement.hide()
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE, str(self._folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            cwd=self._folder,
            bufsize=0,
        )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        data = pickle.dumps(question, protocol=5)
        end = time.monotonic() + PATIENCE
        try:
            _send(self._process.stdin, LENGTH.pack(len(data)) + data, end)
            length = LENGTH.unpack(self._receive(LENGTH.size, end))[0]
            if length > _LARGEST_ANSWER:
                raise FunctionFailed(f"the metric {self.name} returns too much output")
            found: dict[str, Any] = json.loads(self._receive(length, end))
        except TimeoutError:
            self._process.kill()
            raise FunctionFailed(f"the metric {self.name} took longer than {PATIENCE:.0f} s") from None
        except (EOFError, OSError, ValueError):
            code = self._process.wait(5)
            why = f"ended by itself with {code}" if code >= 0 else f"was ended by signal {-code}"
            raise FunctionFailed(
                f"the metric {self.name} failed: its process {why}",
                hint="its limits are 2 GiB of memory and 600 s of processor time",
            ) from None
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _receive(self, size: int, end: float) -> bytes:
        stream, parts = self._process.stdout, []
        assert stream is not None
        while size:
            if not select.select([stream], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError
            part = stream.read(size)
            if not part:
                raise EOFError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _send(stream: IO[bytes] | None, data: bytes, end: float) -> None:
    """Write it all; a metric that does not read is as late as one that does not answer."""
    assert stream is not None
    os.set_blocking(stream.fileno(), False)
    left = memoryview(data)
    while left:
        if not select.select([], [stream], [], max(0.0, end - time.monotonic()))[1]:
            raise TimeoutError
        with contextlib.suppress(BlockingIOError):
            left = left[os.write(stream.fileno(), left) :]


@dataclass(frozen=True, slots=True)
class Custom:
    """A metric that was loaded, in its process; a context manager that ends it."""

    metric: Metric
    wants: tuple[str, ...]
    process: MetricProcess

    def value(self, rows: Judged) -> float:
        """What it gives of some rows, NaN of none; ``FunctionFailed`` with its own words where it fails or gives no number."""
        if not len(rows.actual):
            return np.nan
        given = {name: getattr(rows, name) for name in self.wants}
        if any(value is None for value in given.values()):
            raise InvalidInput(
                f"{self.metric.name}: numbers have no probabilities", field=FIELD, expected="actual, answer"
            )
        answer = self.process.ask(given)
        if "value" not in answer:
            raise FunctionFailed(f"the metric {self.metric.name} failed: {answer.get('failed')}")
        return float(answer["value"])

    def __enter__(self) -> "Custom":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.process.close()


def read(objects: ObjectStore, place: str) -> Custom:
    """The metric at ``DIGEST:NAME``. Raises ``InvalidInput`` naming what is wrong with the file."""
    digest, _, name = place.partition(":")
    try:
        source = objects.get(layout.metric_function(digest))
    except NotFound as error:
        raise InvalidInput(f"{FIELD}: there is no file {digest}", field=FIELD, hint="send it again") from error
    if hashlib.sha256(source).hexdigest() != digest:
        raise InvalidInput(f"{FIELD}: the file differs from what was sent", field=FIELD, hint="send it again")
    return load(source, name)


def load(source: bytes, name: str) -> Custom:
    """The function ``name`` of a file, in a process of its own."""
    if any(name == metric.name for metric in (*CLASSIFICATION, *REGRESSION)):
        raise InvalidInput(f"{FIELD}: {name} is already a metric", field=FIELD, hint="give the function another name")
    process = MetricProcess(name)
    try:
        told = process.ask({"source": source, "name": name})
        if "invalid" in told:
            raise InvalidInput(f"{FIELD}: {told['invalid']}", field=FIELD, expected=told["expected"])
    except HeadraceError:
        process.close()
        raise
    return Custom(Metric(name, told["better"], -np.inf, np.inf), tuple(told["wants"]), process)


def judged_classes(names: tuple[str, ...], actual: Array, answer: Array, probabilities: Array) -> Judged:
    """Rows of classes: ``actual`` and ``answer`` ``(n,)`` are places among ``names``, -1 for none; ``probabilities`` ``(n, k)``, k is 1 for two."""
    words = np.array([*names, ""], object)
    whole = np.hstack((1 - probabilities, probabilities)) if probabilities.shape[1] == 1 else probabilities
    return Judged(words[actual], words[answer], whole)
