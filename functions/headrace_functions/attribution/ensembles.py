"""Ensembles of trees as the arithmetic takes them, whichever library grew them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_functions.attribution.trees import Tree
from headrace_functions.views import Array

MAX_LEAVES = 60_000
"""Of all trees together: more take longer than asking the endpoint."""

SAME = 1e-6
"""What trees give may differ from the version's own answers by so much; else they are not taken for the model."""

Link = Literal["identity", "logit", "log"]
UNITS: dict[Link, str] = {"identity": "as the output", "logit": "log odds", "log": "logarithm of the output"}


class NotDirectError(Exception):
    """Why the trees cannot be read from the artifact, in words for the report."""


@dataclass(frozen=True, slots=True)
class Ensemble:
    """Trees whose sum plus ``offset`` is the answer (``identity``), its log odds (``logit``) or its logarithm (``log``)."""

    trees: tuple[Tree, ...]
    offset: float
    link: Link
    names: tuple[str, ...] | None
    """Of the features in the model's order, where it was fitted with names."""
    features: int
    single: bool = False
    """The library looks at features as numbers of 32 bits."""
    close: float = SAME
    """What its sum may differ by from the version's own answer, to the answer's size where that is above 1."""

    @classmethod
    def of(
        cls,
        trees: Sequence[Tree],
        offset: float,
        link: Link,
        *,
        names: Sequence[str] | None,
        features: int,
        single: bool = False,
        close: float = SAME,
    ) -> "Ensemble":
        """The ensemble; ``NotDirectError`` where it has more than ``MAX_LEAVES`` leaves."""
        leaves = sum(int((t.left < 0).sum()) for t in trees)
        if leaves > MAX_LEAVES:
            raise NotDirectError(f"its trees have {leaves:,} leaves, more than {MAX_LEAVES:,}")
        return cls(tuple(trees), offset, link, None if names is None else tuple(names), features, single, close)

    def answer(self, total: Array) -> Array:
        """What the model answers where its trees give ``total`` together."""
        raw = total + self.offset
        if self.link == "logit":
            return np.asarray(1 / (1 + np.exp(-raw)))
        return np.asarray(np.exp(raw)) if self.link == "log" else raw

    def seen(self, x: Array) -> Array:
        """Features ``(n, d)`` as the trees look at them."""
        return np.asarray(x.astype(np.float32), np.float64) if self.single else x
