"""RISE: which parts of an image an answer needs, by asking about randomly masked copies (Petsiuk, Das and Saenko 2018)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array

CELLS = 7
"""Cells of the coarse grid, each way; a mask is the grid enlarged smoothly and shifted at random."""
SHOWN = 0.5
"""Probability that a cell is shown."""

Model = Callable[[Array], Array]
"""Answers ``(n,)`` for images ``(n, *shape)``."""


@dataclass(frozen=True, slots=True)
class Saliency:
    """``values`` is ``(height, width)``: the mean answer where the pixel is shown less the mean answer of all masks."""

    values: Array
    prediction: float
    asked: int


def rise(model: Model, image: Array, hidden: Array, budget: int, seed: int = 0) -> Saliency:
    """Saliency of ``image`` ``(height, width[, channels])``; masked pixels fade to ``hidden``, an image of the same shape."""
    random = np.random.default_rng(seed)
    count = max(budget - 1, 1)
    masks = masks_of(image.shape[0], image.shape[1], count, random)
    spread = masks.reshape(*masks.shape, *([1] * (image.ndim - 2)))
    answers = model(np.concatenate((hidden + spread * (image - hidden), image[None])))
    scores, prediction = answers[:-1], float(answers[-1])
    weight = np.maximum(masks.sum(axis=0), 1e-12)
    values = np.tensordot(scores, masks, axes=1) / weight - scores.mean()
    return Saliency(values, prediction, count + 1)


def masks_of(height: int, width: int, count: int, random: np.random.Generator) -> Array:
    """Masks ``(count, height, width)`` of values 0 to 1."""
    rows, columns = min(CELLS, height), min(CELLS, width)
    grid = (random.random((count, rows + 1, columns + 1)) < SHOWN).astype(np.float64)
    shift_y, shift_x = random.random((count, 1)), random.random((count, 1))
    y = np.arange(height) / height * rows + shift_y * 1.0
    x = np.arange(width) / width * columns + shift_x * 1.0
    return _bilinear(grid, np.minimum(y, rows - 1e-9), np.minimum(x, columns - 1e-9))


def _bilinear(grid: Array, y: Array, x: Array) -> Array:
    """Values of each grid ``(n, r, c)`` at its own rows ``y`` ``(n, h)`` and columns ``x`` ``(n, w)``."""
    own = np.arange(len(grid))[:, None, None]
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    down, right = (y - top)[:, :, None], (x - left)[:, None, :]
    t, e = top[:, :, None], left[:, None, :]
    upper = grid[own, t, e] * (1 - right) + grid[own, t, e + 1] * right
    lower = grid[own, t + 1, e] * (1 - right) + grid[own, t + 1, e + 1] * right
    return np.asarray(upper * (1 - down) + lower * down)
