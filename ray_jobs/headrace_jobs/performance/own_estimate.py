"""A metric of the user's own without labels: what its function gives of labels that are drawn from the calibration."""

import numpy as np

from headrace_functions.errors import FunctionFailed
from headrace_functions.views import Array
from headrace_jobs.performance.calibration import Calibration, Reference, held_out_shares
from headrace_jobs.performance.counting import answered_places
from headrace_jobs.performance.custom import Custom, judged_classes
from headrace_jobs.performance.estimate import Estimate, between
from headrace_jobs.performance.misfit import labels_of
from headrace_jobs.performance.multiclass import Answers

DRAWS = 60
"""Times that the function is asked about the window, ..."""
REFERENCE_DRAWS = 20
"""... and about the reference, to see what the calibration does not fit."""


def estimate(
    custom: Custom, names: tuple[str, ...], calibration: Calibration, reference: Reference, window: Answers
) -> Estimate | None:
    """The mean over the draws with its interval; None where the function fails on drawn labels or gives no number of them."""
    random = np.random.default_rng(0)
    design = calibration.design(window.probabilities, window.answered)
    try:
        draws = []
        for _ in range(DRAWS):
            shares = calibration.shares(design, calibration.another(random))
            draws.append(_value(custom, names, window.probabilities, window.answered, labels_of(shares, random)))
        spread = _misfit(custom, names, calibration, reference, random)
    except FunctionFailed:
        return None
    known = [d for d in draws if np.isfinite(d)]
    return between(float(np.mean(known)), known, spread) if known else None


def _misfit(
    custom: Custom, names: tuple[str, ...], calibration: Calibration, reference: Reference, random: np.random.Generator
) -> float:
    """As ``misfit.misfit``, of unweighted rows."""
    shares, sides = held_out_shares(calibration.family, reference), (reference.probabilities, reference.answered)
    met = _value(custom, names, *sides, reference.actual)
    drawn = np.array([_value(custom, names, *sides, labels_of(shares, random)) for _ in range(REFERENCE_DRAWS)])
    beyond = (np.nanmean(drawn) - met) ** 2 - np.nanvar(drawn)
    return float(max(beyond, 0.0) ** 0.5) if np.isfinite(beyond) else 0.0


def _value(custom: Custom, names: tuple[str, ...], probabilities: Array, answered: Array, actual: Array) -> float:
    return custom.value(judged_classes(names, actual, answered_places(answered), probabilities))
