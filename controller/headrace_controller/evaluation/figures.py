"""Figures of answers whose labels are known, named and defined as scikit-learn's functions of these names.

Classes: ``precision``, ``recall`` and ``f1`` are of the second class where there are two, else the mean over classes (macro);
``roc_auc`` is there where two classes have probabilities. Numbers: ``mae``, ``rmse``, ``r2``. ``answered`` is the share of rows that
the version answered; the others are of answered rows. A figure that is not defined on the rows (one class alone, say) is left out.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

ANSWERED = "answered"
OF_CLASSES = ("accuracy", "balanced_accuracy", "precision", "recall", "f1", "roc_auc")
OF_NUMBERS = ("mae", "rmse", "r2")
FIGURES = (ANSWERED, *OF_CLASSES, *OF_NUMBERS)


def of_classes(
    labels: Sequence[int], answers: Sequence[int], classes: int, scores: Sequence[float] | None = None
) -> Mapping[str, float]:
    """``labels`` and ``answers`` are places of classes ``(n,)``, an answer of none of them is -1; ``scores`` of the second of two classes."""
    if not labels:
        return {}
    known, given = np.asarray(labels, np.int64), np.asarray(answers, np.int64)
    hit = np.bincount(known[known == given], minlength=classes).astype(np.float64)
    actual = np.bincount(known, minlength=classes).astype(np.float64)
    answered = np.bincount(given[given >= 0], minlength=classes).astype(np.float64)
    met = actual > 0
    recall = _shares(hit, actual)
    found = {"accuracy": float((known == given).mean()), "balanced_accuracy": float(recall[met].mean())}
    f1 = _shares(2 * hit, actual + answered)
    each = {"precision": _shares(hit, answered), "recall": recall, "f1": f1}
    # Over the classes that labels or answers have, as scikit-learn averages; of two the second is what is looked for.
    seen = (actual + answered) > 0
    found |= {name: float(values[1] if classes == 2 else values[seen].mean()) for name, values in each.items()}
    if classes == 2 and scores is not None and met.all():
        found["roc_auc"] = _area(known == 1, np.asarray(scores, np.float64))
    return found


def of_numbers(labels: Sequence[float], answers: Sequence[float]) -> Mapping[str, float]:
    """Errors of numbers ``(n,)``; rows whose answer is not finite are an error of infinity."""
    if not labels:
        return {}
    known, given = np.asarray(labels, np.float64), np.asarray(answers, np.float64)
    off = np.where(np.isfinite(given), np.abs(given - known), np.inf)
    found = {"mae": float(off.mean()), "rmse": float(np.sqrt((off**2).mean()))}
    spread = float(((known - known.mean()) ** 2).sum())
    if spread > 0:
        found["r2"] = 1 - float((off**2).sum()) / spread  # -inf beside labels that hardly differ
    return found


def _shares(part: Array, whole: Array) -> Array:
    """0 where there is no whole, as scikit-learn has it."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _area(positive: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], scores: Array) -> float:
    """The area under the ROC curve by mean ranks, ties counted half."""
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    positives = int(positive.sum())
    negatives = len(scores) - positives
    return float((ranks[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
