"""The alibi engine: Alibi Detect's univariate detectors. The only module that imports ``alibi_detect``.

Alibi Detect answers p = NaN for a column with one NaN and refuses categories that its reference has not, so it is given
finite numbers, and categories numbered over both sides; its own multiple-testing correction is not used (``verdict`` has
one over all tests). Every field gets a detector of its own, because cleaned fields have different numbers of rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_jobs.detectors.base import CategoryPair, NumberPair, TestResult

LICENCE = (
    "This report was made with Alibi Detect, which is under the Business Source License 1.1 since release 0.11.5: production "
    "use needs a licence from Seldon Technologies (non-profit educational institutions excepted); other use does not. "
    "The native engine has no such condition."
)
SAMPLE = 20_000


class AlibiDetect:
    """``KSDrift`` for numbers and ``ChiSquareDrift`` for categories, on samples of at most ``SAMPLE`` rows a side."""

    name = "alibi"
    licence = LICENCE
    sample = SAMPLE

    def __init__(self) -> None:
        self._detectors = _import()

    def numbers(self, pairs: Sequence[NumberPair]) -> list[TestResult]:
        return [self._number(pair) for pair in pairs]

    def categories(self, pairs: Sequence[CategoryPair]) -> list[TestResult]:
        return [self._category(pair) for pair in pairs]

    def _number(self, pair: NumberPair) -> TestResult:
        before, now = (_finite(side) for side in (pair.reference.sample, pair.sample))
        if not len(before) or not len(now):
            return TestResult("KSDrift", 0.0, 1.0)
        answer = self._detectors.KSDrift(before).predict(now, drift_type="feature")["data"]
        return _result("KSDrift", answer)

    def _category(self, pair: CategoryPair) -> TestResult:
        place = {value: i for i, value in enumerate(dict.fromkeys((*pair.reference.sample, *pair.sample)))}
        if len(place) < 2:
            return TestResult("ChiSquareDrift", 0.0, 1.0)
        before, now = (np.array([[place[v]] for v in side]) for side in (pair.reference.sample, pair.sample))
        if not len(before) or not len(now):
            return TestResult("ChiSquareDrift", 0.0, 1.0)
        detector = self._detectors.ChiSquareDrift(before, categories_per_feature={0: list(range(len(place)))})
        return _result("ChiSquareDrift", detector.predict(now, drift_type="feature")["data"])


def _finite(values: Any) -> Any:
    """Finite numbers as one column; infinities become the float64 next to them, so that they keep their rank."""
    present = values[~np.isnan(values)]
    return np.nan_to_num(present).reshape(-1, 1)


def _result(method: str, answer: Any) -> TestResult:
    statistic, p = float(answer["distance"][0]), float(answer["p_val"][0])
    return TestResult(method, statistic if np.isfinite(statistic) else 0.0, p if np.isfinite(p) else 1.0)


def _import() -> Any:
    """Five seconds and 300 MB: only where this engine was asked for."""
    try:
        from alibi_detect import cd
    except ImportError as error:
        raise InvalidInput(
            "engine: alibi is not installed in this environment",
            field="engine",
            expected="an environment made from requirements/jobs-alibi.txt",
            hint="use --engine native, or the jobs-alibi environment (see docs/licences.md)",
        ) from error
    return cd
