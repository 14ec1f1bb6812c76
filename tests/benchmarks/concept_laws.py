"""Made-up predictions and labels with and without a change of what predictions mean. ``calibration.py`` studies concept drift on them."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from headrace_functions.logtable import output_column
from headrace_functions.signature import Field, dtype
from headrace_functions.views import Array
from headrace_jobs.drift import concept
from headrace_jobs.performance.problem import Classes, Number, Problem

SCORE = Field("score", dtype("float64"), profile="numerical")
Rows = tuple[Array, Array]
"""Predictions (probabilities or numbers) and labels (classes by place, or numbers)."""
Draw = Callable[[int, float, np.random.Generator], Rows]
"""Rows, and how far what a prediction means has changed; 0 for not at all."""


def rare(share: float, width: float) -> Draw:
    """Two classes; the second has about ``share`` of the rows, and its log odds spread by ``width``. A change adds to the log odds."""

    def draw(n: int, change: float, r: np.random.Generator) -> Rows:
        odds = np.log(share / (1 - share)) - width**2 / 2 + r.normal(0, width, n)
        score = 1 / (1 + np.exp(-odds))
        return score, (r.random(n) < 1 / (1 + np.exp(-odds - change))) * 1

    return draw


def saturated(n: int, change: float, r: np.random.Generator) -> Rows:
    """Scores of which nine in ten are one of five values, three of them next to 0."""
    score = np.where(r.random(n) < 0.9, r.choice([1e-4, 1e-3, 0.01, 0.2, 0.97], n), r.random(n))
    odds = np.log(score / (1 - score))
    return score, (r.random(n) < 1 / (1 + np.exp(-odds - change))) * 1


def classes(shares: Sequence[float], width: float) -> Draw:
    """Several classes with the ``shares``. A change turns so many labels of the most frequent into the last."""

    def draw(n: int, change: float, r: np.random.Generator) -> Rows:
        logits = np.log(shares) + r.normal(0, width, (n, len(shares)))
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        label = (p.cumsum(axis=1) < r.random((n, 1))).sum(axis=1).clip(max=len(shares) - 1)
        return p, np.where((label == 0) & (r.random(n) < change), len(shares) - 1, label)

    return draw


def numbers(noise: Callable[[int, np.random.Generator], Array], uneven: bool = False) -> Draw:
    """Predictions of a number with errors of a law, ``uneven`` for errors that grow with the prediction. A change is added to labels."""

    def draw(n: int, change: float, r: np.random.Generator) -> Rows:
        answer = r.gamma(2, 10, n)
        return answer, answer + noise(n, r) * (answer / 20 if uneven else 1) + change

    return draw


LAWS: Mapping[str, tuple[Draw, float]] = {
    "1 % of labels": (rare(0.01, 1.5), 1.5),
    "2 % of labels, weak score": (rare(0.02, 0.5), 1.2),
    "3 % of labels": (rare(0.03, 1.0), 1.0),
    "3 %, strong score": (rare(0.03, 3.0), 1.0),
    "half of labels": (rare(0.5, 2.0), 0.6),
    "saturated scores": (saturated, 1.0),
    "five classes, one of 1 %": (classes((0.55, 0.25, 0.14, 0.05, 0.01), 1.0), 0.06),
    "twelve classes, some rare": (classes([0.5**k for k in range(1, 12)] + [0.5**11], 1.0), 0.06),
    "errors by Student's t, 2 df": (numbers(lambda n, r: r.standard_t(2, n)), 0.4),
    "errors by Cauchy's law": (numbers(lambda n, r: r.standard_cauchy(n), uneven=True), 0.5),
    "lognormal errors": (numbers(lambda n, r: r.lognormal(0, 2, n), uneven=True), 0.3),
    "errors mostly 0": (numbers(lambda n, r: np.where(r.random(n) < 0.6, 0.0, r.pareto(1.5, n))), 0.1),
}
"""Laws with the change whose detection is studied. They were drawn up before the test that they are to judge."""
SIZES = ((50, 50), (300, 300), (3000, 3000), (20_000, 200), (200, 20_000))


def problem(predictions: Array, labels: Array) -> Problem:
    if labels.dtype.kind == "f":
        return Number("label", SCORE)
    k = predictions.shape[1] if predictions.ndim > 1 else 2
    names = tuple(str(i) for i in range(k))
    field = SCORE if k == 2 else Field("score", dtype("float64"), (k,), columns=names)
    return Classes("label", field, names, None)


def finding(law: str, rows: tuple[int, int], changed: bool, random: np.random.Generator) -> concept.Finding | None:
    """What the test of concept drift finds between training rows and a window whose predictions mean the same, or not."""
    draw, change = LAWS[law]
    tables: list[Array] = []
    cut: concept.Cut | None = None
    for n, by in zip(rows, (0.0, change if changed else 0.0), strict=True):
        predictions, labels = draw(n, by, random)
        columns = {output_column(SCORE): pa.array(predictions if predictions.ndim == 1 else predictions.tolist())}
        actual = pa.array(labels if labels.dtype.kind == "f" else labels.astype(str))
        cut = cut or concept.cut_of(problem(predictions, labels), columns, actual)
        tables.append(cut.table(columns, actual))
    return concept.compare(*tables)
