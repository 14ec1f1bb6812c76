"""The alibi engine: Alibi Detect's detectors of drift, and the door to its others. The only module that imports ``alibi_detect``.

Alibi Detect answers p = NaN for a column with one NaN and refuses categories that its reference has not, so it is given
finite numbers, and categories numbered over both sides; its own multiple-testing correction is not used (``verdict`` has
one over all tests). Every field gets a detector of its own, because cleaned fields have different numbers of rows.
"""

import importlib.util
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_jobs.detectors import domain_classifier, uncertainty
from headrace_jobs.detectors.base import CategoryPair, Finding, NumberPair, Rows, TestResult, WholeTest
from headrace_jobs.detectors.native import WHOLE, whole_test
from headrace_jobs.detectors.rows import matrix, shared
from headrace_jobs.optional_engines import without_alibi

LICENCE = (
    "This report was made with Alibi Detect, which is under the Business Source License 1.1 since release 0.11.5: production "
    "use needs a licence from Seldon Technologies (non-profit educational institutions excepted); other use does not. "
    "The native engine has no such condition."
)
SAMPLE = 20_000
TOGETHER = 2000
"""Rows of a side that tests of all fields look at."""
OURS = ("joint", "relations")
"""Tests of all fields that are the native engine's: Alibi Detect has none of the kind."""
ALIBI = {"classifier": "ClassifierDrift", "tabular": "TabularDrift", "mmd": "MMDDrift", "lsdd": "LSDDDrift"}


class AlibiDetect:
    """A detector for each field, on samples of at most ``SAMPLE`` rows a side; tests of all fields by ``whole``."""

    name = "alibi"
    licence = LICENCE
    sample = SAMPLE

    def __init__(self) -> None:
        self._detectors = _import().cd

    def numbers(self, pairs: Sequence[NumberPair]) -> list[TestResult]:
        return [self._number(pair) for pair in pairs]

    def categories(self, pairs: Sequence[CategoryPair]) -> list[TestResult]:
        return [self._category(pair) for pair in pairs]

    def whole(self, name: str) -> WholeTest:
        if name in OURS:
            return WHOLE[name]
        runs = {n: WholeTest(n, TOGETHER, partial(_together, self._detectors, n)) for n in ALIBI}
        runs["uncertainty"] = WholeTest("uncertainty", SAMPLE, partial(_uncertainty, self._detectors))
        if name in ("mmd", "lsdd") and importlib.util.find_spec("torch") is None:
            message = f"detector: Alibi Detect's {name} needs torch, which this environment has not"
            raise InvalidInput(message, field="detector", got=name, hint="use --engine native --detector mmd")
        return whole_test(name, {**{ours: WHOLE[ours] for ours in OURS}, **runs}, self.name)

    def _number(self, pair: NumberPair) -> TestResult:
        name = "CVMDrift" if pair.method == "cvm" else "KSDrift"
        before, now = (_finite(side) for side in (pair.reference.sample, pair.sample))
        if name == "CVMDrift":
            before, now = _untied(before, now)
        if not len(before) or not len(now):
            return TestResult(name, 0.0, 1.0)
        answer = getattr(self._detectors, name)(before).predict(now, drift_type="feature")["data"]
        return _result(name, answer)

    def _category(self, pair: CategoryPair) -> TestResult:
        name = "FETDrift" if pair.method == "fisher" else "ChiSquareDrift"
        place = {value: i for i, value in enumerate(dict.fromkeys((*pair.reference.sample, *pair.sample)))}
        if pair.method == "g" or (pair.method == "fisher" and len(place) > 2):
            message = f"method: Alibi Detect cannot test {pair.name} by {pair.method}"
            expected = "chi2; fisher for two categories"
            raise InvalidInput(message, field="method", expected=expected, got=f"{pair.name}={pair.method}")
        if len(place) < 2:
            return TestResult(name, 0.0, 1.0)
        before, now = (np.array([[place[v]] for v in side]) for side in (pair.reference.sample, pair.sample))
        if not len(before) or not len(now):
            return TestResult(name, 0.0, 1.0)
        if name == "FETDrift":
            detector = self._detectors.FETDrift(before, alternative="two-sided")
        else:
            detector = self._detectors.ChiSquareDrift(before, categories_per_feature={0: list(range(len(place)))})
        return _result(name, detector.predict(now, drift_type="feature")["data"])


def _together(detectors: Any, name: str, reference: Rows, window: Rows) -> Finding | None:
    """Alibi Detect's p-value with the effect of ``domain_classifier``: its own detectors have none that is a share of rows."""
    share = domain_classifier.joint(reference.inputs, window.inputs)
    keys, n, m = shared(reference.inputs, window.inputs)
    if share is None:
        return None
    x = matrix(reference.inputs, window.inputs, keys, min(n, TOGETHER), min(m, TOGETHER))
    before, now = x[: min(n, TOGETHER)], x[min(n, TOGETHER) :]
    answer = _predict(detectors, name, before, now)
    p, distance = (np.asarray(answer[k], np.float64) for k in ("p_val", "distance"))
    least = min(float(np.nanmin(p)) * p.size, 1.0)  # TabularDrift has one for each column: Bonferroni
    return Finding(name, ALIBI[name], float(np.nanmax(distance)), least, share.effect, share.effect_low, "moved")


def _predict(detectors: Any, name: str, before: Any, now: Any) -> Any:
    if name == "tabular":
        return detectors.TabularDrift(before).predict(now, drift_type="feature")["data"]
    if name == "classifier":
        from sklearn.linear_model import LogisticRegression  # only this detector needs it

        model = LogisticRegression(max_iter=1000)
        detector = detectors.ClassifierDrift(before, model, backend="sklearn", preds_type="probs", n_folds=3, seed=0)
        return detector.predict(now)["data"]
    return getattr(detectors, ALIBI[name])(before, backend="pytorch").predict(now)["data"]


def _uncertainty(detectors: Any, reference: Rows, window: Rows) -> Finding | None:
    share = uncertainty.uncertainty(reference, window)
    if share is None:
        return None
    sides = [uncertainty.probabilities(side.outputs) for side in (reference, window)]
    name = next(n for n in sides[0] if n in sides[1])
    detector = detectors.ClassifierUncertaintyDrift(
        sides[0][name], model=_same, backend=None, preds_type="probs", uncertainty_type="entropy"
    )
    answer = detector.predict(sides[1][name])["data"]
    p, distance = (float(np.ravel(answer[k])[0]) for k in ("p_val", "distance"))
    method = "ClassifierUncertaintyDrift"
    return Finding("uncertainty", method, distance, p, share.effect, share.effect_low, "moved")


def _same(probabilities: Any) -> Any:
    return probabilities


def _finite(values: Any) -> Any:
    """Finite numbers as one column; infinities become the float64 next to them, so that they keep their rank."""
    present = values[~np.isnan(values)]
    return np.nan_to_num(present).reshape(-1, 1)


def _untied(before: Any, now: Any) -> tuple[Any, Any]:
    """Ranks with ties broken at random, always alike: the test's statistic is wrong for ties in sides of different sizes."""
    both = np.concatenate((before, now)).reshape(-1)
    order = np.lexsort((np.random.default_rng(0).random(len(both)), both))
    ranks = np.empty(len(both))
    ranks[order] = np.arange(len(both))
    return ranks[: len(before), None], ranks[len(before) :, None]


def _result(method: str, answer: Any) -> TestResult:
    statistic, p = float(answer["distance"][0]), float(answer["p_val"][0])
    return TestResult(method, statistic if np.isfinite(statistic) else 0.0, p if np.isfinite(p) else 1.0)


def outlier_detectors() -> Any:
    """The module of Alibi Detect's outlier detectors; ``InvalidInput`` where it is not installed."""
    return _import().od


def _import() -> Any:
    """Five seconds and 300 MB: only where this engine was asked for."""
    try:
        import alibi_detect
    except ImportError as error:
        raise without_alibi() from error
    return alibi_detect
