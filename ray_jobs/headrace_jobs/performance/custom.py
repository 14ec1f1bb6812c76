"""A metric of the user's own: a Python function of labels and answers, sent with the request and run in the job.

The function takes some of ``actual``, ``answer`` ``(n,)`` and ``probabilities`` ``(n, k)`` by these names and gives one number. Of classes
``actual`` and ``answer`` are names, and ``probabilities`` are in the order of the report's ``classes``; of numbers they are float64 and
there are no probabilities. Its file may say ``BETTER = "lower"``. It runs as a version's own code does, with the rights of the job.
"""

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed, InvalidInput, NotFound
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs.performance.metrics import CLASSIFICATION, REGRESSION, Metric

FIELD = "metric-file"
KNOWN = ("actual", "answer", "probabilities")


@dataclass(frozen=True, slots=True)
class Judged:
    """Rows whose label is known, as the function gets them."""

    actual: Array
    answer: Array
    probabilities: Array | None = None

    def at(self, chosen: Array) -> "Judged":
        of = None if self.probabilities is None else self.probabilities[chosen]
        return Judged(self.actual[chosen], self.answer[chosen], of)


@dataclass(frozen=True, slots=True)
class Custom:
    """A function that was loaded, as a metric."""

    metric: Metric
    function: Callable[..., Any]
    wants: tuple[str, ...]

    def value(self, rows: Judged) -> float:
        """What it gives of some rows, NaN of none; ``FunctionFailed`` with its own words where it fails or gives no number."""
        if not len(rows.actual):
            return np.nan
        given = {name: getattr(rows, name) for name in self.wants}
        if any(value is None for value in given.values()):
            raise InvalidInput(
                f"{self.metric.name}: there are no probabilities of numbers", field=FIELD, expected="actual, answer"
            )
        try:
            return float(self.function(**given))
        except Exception as error:
            raise FunctionFailed(f"the metric {self.metric.name} failed: {type(error).__name__}: {error}") from error


def read(objects: ObjectStore, place: str) -> Custom:
    """The metric at ``DIGEST:NAME``. Raises ``InvalidInput`` naming what is wrong with the file."""
    digest, _, name = place.partition(":")
    try:
        source = objects.get(layout.metric_function(digest))
    except NotFound as error:
        raise InvalidInput(f"{FIELD}: there is no file {digest}", field=FIELD, hint="send it again") from error
    if hashlib.sha256(source).hexdigest() != digest:
        raise InvalidInput(f"{FIELD}: the file is not what was sent", field=FIELD, hint="send it again")
    return load(source, name)


def load(source: bytes, name: str) -> Custom:
    """The function ``name`` of a file."""
    if any(name == metric.name for metric in (*CLASSIFICATION, *REGRESSION)):
        raise InvalidInput(f"{FIELD}: {name} is a metric already", field=FIELD, hint="give the function another name")
    space: dict[str, Any] = {"__name__": "metric"}
    try:
        exec(compile(source, f"{name}.py", "exec"), space)  # noqa: S102 -- it was sent to be run, see above
    except Exception as error:
        raise InvalidInput(f"{FIELD}: it does not load: {type(error).__name__}: {error}", field=FIELD) from error
    function = space.get(name)
    if not callable(function):
        raise InvalidInput(f"{FIELD}: it has no function {name!r}", field=FIELD, expected="FILE.py:FUNCTION")
    wants = tuple(inspect.signature(function).parameters)
    if not wants or not set(wants) <= set(KNOWN):
        raise InvalidInput(f"{FIELD}: {name}({', '.join(wants)})", field=FIELD, expected=f"some of {', '.join(KNOWN)}")
    better = space.get("BETTER", "higher")
    if better not in ("higher", "lower"):
        raise InvalidInput(f"{FIELD}: BETTER is {better!r}", field=FIELD, expected="higher or lower")
    return Custom(Metric(name, better, -np.inf, np.inf), function, wants)


def judged_classes(names: tuple[str, ...], actual: Array, answer: Array, probabilities: Array) -> Judged:
    """Rows of classes: ``actual`` and ``answer`` ``(n,)`` are places among ``names``, -1 for none; ``probabilities`` ``(n, k)``, k is 1 for two."""
    words = np.array([*names, ""], object)
    whole = np.hstack((1 - probabilities, probabilities)) if probabilities.shape[1] == 1 else probabilities
    return Judged(words[actual], words[answer], whole)
