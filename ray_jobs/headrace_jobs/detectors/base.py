"""The port: what an engine is given and what it answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from headrace_functions.views import Array
from headrace_jobs.statistics.categories import Category, CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference

Scale = Literal["moved", "defect"]
"""What an effect is a share of: rows that *moved* elsewhere in their distribution, or rows with a *defect*
(missing, unseen, out of range)."""

Z = 1.6448536269514722  # one-sided 95 % quantile of the standard normal distribution


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer of one test. Effects are shares of rows, 0 to 1."""

    test: str
    """``distribution``, ``missing``, ``range``, ``new-category``, or the name of a test of all fields together."""
    method: str
    statistic: float
    p: float
    effect: float
    effect_low: float
    """One-sided 95 % lower confidence bound of the effect."""
    scale: Scale
    about: tuple[str, ...] = ()
    """Keys of the views that a finding about all fields is about most."""


@dataclass(frozen=True, slots=True)
class TestResult:
    """A statistic and its p-value, as an engine answers them."""

    __test__ = False  # not a test case, whatever its name

    method: str
    statistic: float
    p: float


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one side by key of the view, the same row at the same place: float64, or objects with None where missing.

    Rows of ``outputs`` need not be those of ``inputs``: the answers kept from training are of some training rows.
    """

    inputs: Mapping[str, Array] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    contents: Mapping[str, Array] = field(default_factory=dict)
    """Texts and vectors as ``(n, k)`` numbers each, by their own keys; those of inputs are of the rows of ``inputs``."""
    groups: Mapping[str, Array] = field(default_factory=dict)
    """The group of each row of ``inputs`` and of ``outputs``, by ``input`` and ``output``, where rows have groups."""

    def some(self, rows: Array) -> "Rows":
        """Only the ``rows`` of inputs and of what goes with them; ``outputs`` stay where they have not as many."""
        inputs = {k: v[rows] for k, v in self.inputs.items()}
        count = len(next(iter(self.inputs.values()))) if self.inputs else 0
        outputs, contents = (
            {k: v[rows] if len(v) == count else v for k, v in side.items()} for side in (self.outputs, self.contents)
        )
        return Rows(inputs, outputs, contents)


@dataclass(frozen=True, slots=True)
class NumberPair:
    """A numerical view: reference, window, and the finite values of the window's sample (empty if none was asked for)."""

    reference: NumberReference
    window: NumberPartial
    sample: Array
    method: str = ""
    """One of ``methods.NUMBER``, or empty for the engine's own choice."""
    scale: tuple[float, float] = (1.0, 1.0)
    """Effective rows a row of either side: below 1 where rows are repeated."""


@dataclass(frozen=True, slots=True)
class CategoryPair:
    """A categorical view; ``sample`` are the window's sampled categories without missing ones."""

    reference: CategoryReference
    window: CategoryPartial
    sample: tuple[Category, ...]
    method: str = ""
    """One of ``methods.CATEGORY``, or empty for the engine's own choice."""
    name: str = ""
    """Of the field, for messages."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Effective rows a row of either side."""

    def table(self) -> Array:
        """Counts ``(2, k)`` of reference and window: each known category, and all others in the last column."""
        kept = list(self.reference.counts)
        above = [*(self.reference.counts[c] for c in kept), self.reference.other]
        below = [*(self.window.counts.get(c, 0) for c in kept), self.window.unknown]
        table = np.array([above, below], np.float64)
        return np.asarray(table[:, table.sum(axis=0) > 0])


class Detector(Protocol):
    """An engine: tests whether reference and window have one distribution.

    Both sides of a pair have at least one value that is not missing. A p-value is a number in [0, 1], never NaN.
    """

    @property
    def name(self) -> str: ...

    @property
    def licence(self) -> str | None:
        """A notice that every report made by this engine must bear."""

    @property
    def sample(self) -> int:
        """Raw rows that it wants of the reference and of the window; 0 for none."""

    def numbers(self, pairs: Sequence[NumberPair]) -> list[TestResult]: ...

    def categories(self, pairs: Sequence[CategoryPair]) -> list[TestResult]: ...

    def whole(self, name: str) -> "WholeTest":
        """A test of all fields together; ``InvalidInput`` for one that this engine does not have."""


@dataclass(frozen=True, slots=True)
class WholeTest:
    """A test of rows of both sides; ``rows`` of a side are wanted at most."""

    name: str
    rows: int
    run: Callable[[Rows, Rows], Finding | None]
