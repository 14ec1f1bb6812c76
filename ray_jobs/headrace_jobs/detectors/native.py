"""The native engine: tests on the exact counts of every row, without a sample."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput
from headrace_functions.views import Array
from headrace_jobs.detectors import domain_classifier, mmd, reconstruction, uncertainty
from headrace_jobs.detectors.base import CategoryPair, NumberPair, TestResult, WholeTest
from headrace_jobs.detectors.cramer_von_mises import cramer_von_mises
from headrace_jobs.detectors.distances import kolmogorov_smirnov

MIN_EXPECTED = 5.0  # Cochran's rule: below it the chi-square approximation of a cell is poor, so rare cells are pooled


class Native:
    """Cramér-von Mises (or Kolmogorov-Smirnov) for numbers; chi-square (or G) for categories, Fisher's exact test of two."""

    name = "native"
    licence = None
    sample = 0

    def __init__(self) -> None:
        _stats()  # a second that shall not be spent between counting and answering

    def numbers(self, pairs: Sequence[NumberPair]) -> list[TestResult]:
        return [_kolmogorov_smirnov(pair) if pair.method == "ks" else _cramer_von_mises(pair) for pair in pairs]

    def categories(self, pairs: Sequence[CategoryPair]) -> list[TestResult]:
        return [_contingency(pair) for pair in pairs]

    def whole(self, name: str) -> WholeTest:
        return whole_test(name, WHOLE, self.name)


WHOLE = {
    "joint": WholeTest(
        "joint", domain_classifier.ROWS, lambda before, now: domain_classifier.joint(before.inputs, now.inputs)
    ),
    "mmd": WholeTest("mmd", mmd.ROWS, mmd.mmd),
    "reconstruction": WholeTest("reconstruction", reconstruction.ROWS, reconstruction.reconstruction),
    "uncertainty": WholeTest("uncertainty", reconstruction.ROWS, uncertainty.uncertainty),
}


def whole_test(name: str, known: Mapping[str, WholeTest], engine: str) -> WholeTest:
    """The test by its name; ``InvalidInput`` where the engine has none of it."""
    if name not in known:
        message = f"detector: the {engine} engine has no {name!r}"
        raise InvalidInput(message, field="detector", expected=f"some of {', '.join(known)}, or none", got=name)
    return known[name]


def _kolmogorov_smirnov(pair: NumberPair) -> TestResult:
    distance, _, _ = kolmogorov_smirnov(pair.reference, pair.window)
    n, m = pair.reference.count, pair.window.count
    p = float(_stats().kstwo.sf(distance, round(n * m / (n + m)))) if distance > 0 else 1.0
    return TestResult("Kolmogorov-Smirnov", distance, min(max(p, 0.0), 1.0))


def _cramer_von_mises(pair: NumberPair) -> TestResult:
    return TestResult("Cramér-von Mises", *cramer_von_mises(pair.reference, pair.window))


def _contingency(pair: CategoryPair) -> TestResult:
    table = pair.table()
    if pair.method == "fisher" and table.shape[1] > 2:
        message = f"method: {pair.name} has {table.shape[1]} categories, and Fisher's exact test takes two"
        raise InvalidInput(message, field="method", got=f"{pair.name}=fisher", hint="choose chi2 or g")
    pooled = pool(table)
    if pooled.shape[1] < 2:
        return TestResult("chi-square", 0.0, 1.0)
    if pooled.shape[1] == 2:
        _, p = _stats().fisher_exact(pooled.astype(np.int64))
        shares = pooled[:, 0] / pooled.sum(axis=1)
        return TestResult("Fisher", float(abs(shares[0] - shares[1])), float(min(p, 1.0)))
    family, name = ("log-likelihood", "G") if pair.method == "g" else ("pearson", "chi-square")
    statistic, p, _, _ = _stats().chi2_contingency(pooled, correction=False, lambda_=family)
    return TestResult(name, float(statistic), float(p))


def pool(table: Array) -> Array:
    """Join the columns of a ``(2, k)`` table, rarest first, until each expects ``MIN_EXPECTED`` rows on both sides."""
    columns = table[:, np.argsort(table.sum(axis=0), kind="stable")]
    share = columns.sum(axis=1).min() / max(columns.sum(), 1)
    while columns.shape[1] > 2 and columns[:, 0].sum() * share < MIN_EXPECTED:
        joined = columns[:, :1] + columns[:, 1:2]
        columns = np.concatenate((joined, columns[:, 2:]), axis=1)
        columns = columns[:, np.argsort(columns.sum(axis=0), kind="stable")]
    return np.asarray(columns)


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
