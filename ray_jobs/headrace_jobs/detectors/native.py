"""The native engine: tests on the exact counts of every row, without a sample."""

from collections.abc import Mapping, Sequence
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_jobs.detectors import domain_classifier, mmd, reconstruction, relations, uncertainty
from headrace_jobs.detectors.base import CategoryPair, NumberPair, TestResult, WholeTest
from headrace_jobs.detectors.contingency import contingency
from headrace_jobs.detectors.cramer_von_mises import statistic_of
from headrace_jobs.detectors.distances import kolmogorov_smirnov
from headrace_jobs.detectors.ordered import METHOD, Cells, ordered


class Native:
    """Shifts, spreads and intervals of numbers; all categories together and each by itself; or the test that was chosen."""

    name = "native"
    licence = None
    sample = 0

    def __init__(self) -> None:
        _stats()  # a second that shall not be spent between counting and answering

    def numbers(self, pairs: Sequence[NumberPair]) -> list[TestResult]:
        return [_number(pair) for pair in pairs]

    def categories(self, pairs: Sequence[CategoryPair]) -> list[TestResult]:
        return [contingency(pair) for pair in pairs]

    def whole(self, name: str) -> WholeTest:
        return whole_test(name, WHOLE, self.name)


WHOLE = {
    "joint": WholeTest(
        "joint", domain_classifier.ROWS, lambda before, now: domain_classifier.joint(before.inputs, now.inputs)
    ),
    "relations": WholeTest("relations", relations.ROWS, relations.relations),
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


def _number(pair: NumberPair) -> TestResult:
    if pair.method == "ks":
        return _kolmogorov_smirnov(pair)
    cells = Cells.of(pair.reference, pair.window, pair.scale)
    if pair.method == "cvm":
        return TestResult("Cramér-von Mises", *statistic_of(cells.before, cells.now, cells.at, cells.scale))
    return TestResult(METHOD, *ordered(cells))


def _kolmogorov_smirnov(pair: NumberPair) -> TestResult:
    distance, _, _ = kolmogorov_smirnov(pair.reference, pair.window)
    n, m = pair.reference.count * pair.scale[0], pair.window.count * pair.scale[1]
    p = float(_stats().kstwo.sf(distance, max(round(n * m / (n + m)), 1))) if distance > 0 else 1.0
    return TestResult("Kolmogorov-Smirnov", distance, min(max(p, 0.0), 1.0))


def _stats() -> Any:
    from scipy import stats  # takes a second to import; an explanation does without

    return stats
