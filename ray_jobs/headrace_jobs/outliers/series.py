"""Times that stand out of a series: the spectral residual (Ren, Xu, Wang et al. 2019, "Time-series anomaly detection service at Microsoft").

What is regular in a series is in the smooth part of its log amplitude spectrum; what is left without that part, back in time, is the
saliency. A value stands out as far as its saliency is above the mean of those near it.
"""

import numpy as np

from headrace_functions.views import Array

POINTS = 240
"""Equal pieces of a window whose rows are counted for its series."""
WIDE, LOCAL = 3, 21
"""Frequencies that the spectrum is smoothed over, and values that a saliency is compared with."""
AHEAD, FITTED = 5, 5
"""Values that a series is continued by along its last slopes, so that its end is no edge."""
STANDS_OUT = 6.5
"""Of windows whose rows come at random, at any rate, one in a hundred has such a time; beyond 3, as Ren et al. have it, every second one has."""
ENOUGH = 5.0
"""Mean number of rows of a piece: with fewer, a row more or less stands out."""
LEAST = 1e-8


def spectral_residual(values: Array) -> Array:
    """How far each value ``(t,)`` stands out, in means of the saliency near it; 0 is as its neighbours."""
    series = np.append(values, np.full(AHEAD, _continued(values)))
    spectrum = np.fft.fft(series)
    amplitude = np.abs(spectrum)
    logarithm = np.log(np.maximum(amplitude, LEAST))
    residual = np.exp(logarithm - _mean(logarithm, WIDE))
    saliency = np.abs(np.fft.ifft(residual * spectrum / np.maximum(amplitude, LEAST)))[: len(values)]
    near = _mean(saliency, LOCAL)
    return np.asarray((saliency - near) / np.maximum(near, LEAST))


def _continued(values: Array) -> float:
    """The next value along the mean slope from the values before the last one to it."""
    count = min(FITTED, len(values) - 1)
    if count < 1:
        return float(values[-1])
    slopes = (values[-1] - values[-1 - count : -1]) / np.arange(count, 0, -1)
    return float(values[-count] + slopes.mean() * count)


def _mean(values: Array, width: int) -> Array:
    """Moving mean, the ends repeated."""
    padded = np.pad(values, (width // 2, width - 1 - width // 2), mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def outstanding(scores: Array, counts: Array) -> list[int]:
    """Places that stand out, the most first; none in a series without variance, or of few rows."""
    if not len(counts) or counts.mean() < ENOUGH or float(counts.std()) == 0:
        return []
    return [int(i) for i in np.argsort(-scores, kind="stable") if scores[i] > STANDS_OUT]
