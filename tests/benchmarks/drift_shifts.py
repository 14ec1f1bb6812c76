"""Shifts that are planted into made-up rows: what changes, in which field, and how. ``calibration.py`` studies which are found."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from drift_laws import DIRECTIONS, VECTOR, named, text, vectors, zipf

from headrace_functions.views import Array

Random = np.random.Generator
Table = dict[str, Any]
BASE = {
    "level": "number", "partner": "number", "price": "number", "amount": "number", "counts": "number", "gaps": "number",
    "plan": "category", "city": "category", "flag": "category", "note": "text", "embedding": "embedding", "mixed": "number",
}  # fmt: skip
"""Fields of every run, and their kinds; partner depends on level, note and embedding on nothing."""


def base(n: int, r: Random) -> Table:
    level = r.normal(size=n)
    return {
        "level": level,
        "partner": 0.5 * level + np.sqrt(0.75) * r.normal(size=n),
        "price": r.lognormal(3, 0.7, n).round(2),
        "amount": np.where(r.random(n) < 0.7, 0.0, r.lognormal(2, 0.8, n)),
        "counts": r.poisson(3, n) * 1.0,
        "gaps": np.where(r.random(n) < 0.3, np.nan, r.normal(size=n)),
        "plan": named(zipf(6, n, r)),
        "city": named(zipf(200, n, r)),
        "flag": named(r.random(n) < 0.02),
        "note": text(n, r),
        "embedding": vectors(n, r),
        "mixed": r.normal(size=n) + 5 * (r.random(n) < 0.3),
    }


@dataclass(frozen=True)
class Shift:
    name: str
    guilty: tuple[str, ...]
    """Fields that changed; of a relation both."""
    change: Callable[[Table, Random], Any]
    """The new values of the (last) guilty field, from the rows and a source of randomness."""


def some(share: float, one: Any, other: Any, r: Random) -> Any:
    """``one`` in a share of the rows, else ``other``."""
    rows = len(one)
    chosen = r.random(rows) < share
    if isinstance(one, np.ndarray) and one.ndim == 2:
        return np.where(chosen[:, None], one, other)
    if isinstance(one, np.ndarray) and one.dtype.kind == "f":
        return np.where(chosen, one, other)
    return [a if c else b for a, b, c in zip(one, other, chosen, strict=True)]


def like_square(t: Table, r: Random, strength: float = 0.7) -> Array:
    """The values of ``mixed`` in an order that follows the square of ``level``: the same law, another dependence."""
    wanted = strength * np.argsort(np.argsort(t["level"] ** 2)) / len(t["level"]) + (1 - strength) * r.random(
        len(t["level"])
    )
    return np.sort(t["mixed"])[np.argsort(np.argsort(wanted))]


def correlated(t: Table, name: str, strength: float, r: Random) -> Array:
    wanted = strength * t["level"] + np.sqrt(1 - strength**2) * r.normal(size=len(t["level"]))
    return np.sort(t[name])[np.argsort(np.argsort(wanted))]


def by_level(t: Table, r: Random) -> list[str]:
    """The plans in an order that follows ``level``."""
    wanted = 0.5 * t["level"] + r.normal(size=len(t["level"]))
    return np.array(sorted(t["plan"]), object)[np.argsort(np.argsort(wanted))].tolist()


def far(n: int, r: Random, step: float, share: float) -> Array:
    moved = np.zeros((n, VECTOR))
    moved[r.random(n) < share] = step * DIRECTIONS[:, 1]
    return moved.astype(np.float32)


def typing(t: Table, r: Random) -> list[str]:
    return [
        p + "x" * int(k) if c else p
        for p, k, c in zip(t["plan"], r.integers(1, 40, len(t["plan"])), r.random(len(t["plan"])) < 0.05, strict=True)
    ]


def full(n: int, value: float) -> Array:
    return np.full(n, value)


def n_of(t: Table) -> int:
    return len(t["level"])


SHIFTS = (
    Shift("mean +0.3 sd", ("level",), lambda t, r: t["level"] + 0.3),
    Shift("mean +1 sd in 30 % of rows", ("mixed",), lambda t, r: some(0.3, t["mixed"] + 2.5, t["mixed"], r)),
    Shift("spread x 1.3", ("level",), lambda t, r: t["level"] * 1.3),
    Shift("spread x 0.75", ("level",), lambda t, r: t["level"] * 0.75),
    Shift("a third mode of 8 %", ("mixed",), lambda t, r: some(0.08, r.normal(10, 0.5, n_of(t)), t["mixed"], r)),
    Shift(
        "a narrow mode of 8 % within", ("level",), lambda t, r: some(0.08, r.normal(0.6, 0.03, n_of(t)), t["level"], r)
    ),
    Shift("clipped at the 90 % quantile", ("level",), lambda t, r: np.minimum(t["level"], 1.28)),
    Shift("price capped at 60", ("price",), lambda t, r: np.minimum(t["price"], 60.0)),
    Shift("stuck at one value in 10 %", ("level",), lambda t, r: some(0.1, full(n_of(t), 0.37), t["level"], r)),
    Shift("stuck at a usual value in 10 %", ("counts",), lambda t, r: some(0.1, full(n_of(t), 3.0), t["counts"], r)),
    Shift("zeros 70 -> 80 %", ("amount",), lambda t, r: some(1 / 3, full(n_of(t), 0.0), t["amount"], r)),
    Shift("non-zero part x 1.5", ("amount",), lambda t, r: t["amount"] * 1.5),
    Shift("heavy tails", ("level",), lambda t, r: r.standard_t(2.5, n_of(t)) * 0.8),
    Shift("skewed", ("level",), lambda t, r: r.exponential(1, n_of(t)) - 1),
    Shift("5 % of rows x 100", ("price",), lambda t, r: some(0.05, t["price"] * 100, t["price"], r)),
    Shift("2 % of rows far away", ("level",), lambda t, r: some(0.02, r.normal(20, 1, n_of(t)), t["level"], r)),
    Shift("sign lost", ("level",), lambda t, r: np.abs(t["level"])),
    Shift("10 % of rows negative", ("price",), lambda t, r: some(0.1, -t["price"], t["price"], r)),
    Shift("rounded to integers", ("level",), lambda t, r: t["level"].round()),
    Shift("another unit", ("price",), lambda t, r: t["price"] * 1000),
    Shift("prices + 15 %", ("price",), lambda t, r: (t["price"] * 1.15).round(2)),
    Shift("counts of 3 -> 3.6", ("counts",), lambda t, r: r.poisson(3.6, n_of(t)) * 1.0),
    Shift("counts capped at 4", ("counts",), lambda t, r: np.minimum(t["counts"], 4.0)),
    Shift("missing 30 -> 40 %", ("gaps",), lambda t, r: some(1 / 7, full(n_of(t), np.nan), t["gaps"], r)),
    Shift("missing 0 -> 3 %", ("price",), lambda t, r: some(0.03, full(n_of(t), np.nan), t["price"], r)),
    Shift("missing becomes 0", ("gaps",), lambda t, r: np.nan_to_num(t["gaps"])),
    Shift("-1 for 5 %", ("price",), lambda t, r: some(0.05, full(n_of(t), -1.0), t["price"], r)),
    Shift("weights of two modes", ("mixed",), lambda t, r: r.normal(size=n_of(t)) + 5 * (r.random(n_of(t)) < 0.42)),
    Shift("more noise", ("partner",), lambda t, r: t["partner"] + r.normal(0, 0.7, n_of(t))),
    Shift("12 points from one category to another", ("plan",), lambda t, r: some(0.3, ["c1"] * n_of(t), t["plan"], r)),
    Shift("a new category of 5 %", ("plan",), lambda t, r: some(0.05, ["new"] * n_of(t), t["plan"], r)),
    Shift("a category is gone", ("plan",), lambda t, r: ["c0" if p == "c3" else p for p in t["plan"]]),
    Shift("5 % of rows are misspelled", ("plan",), typing),
    Shift("written in capitals", ("plan",), lambda t, r: [p.upper() for p in t["plan"]]),
    Shift("two categories exchanged", ("plan",), lambda t, r: [{"c1": "c4", "c4": "c1"}.get(p, p) for p in t["plan"]]),
    Shift("categories missing in 5 %", ("plan",), lambda t, r: some(0.05, [None] * n_of(t), t["plan"], r)),
    Shift("Zipf's exponent 1 -> 1.3", ("city",), lambda t, r: named(zipf(200, n_of(t), r, 1.3))),
    Shift("one city in 200 gains 6 points", ("city",), lambda t, r: some(0.06, ["c20"] * n_of(t), t["city"], r)),
    Shift("a flag of 2 -> 6 %", ("flag",), lambda t, r: named(r.random(n_of(t)) < 0.06)),
    Shift("10 % spam", ("note",), lambda t, r: some(0.1, text(n_of(t), r, "spam"), t["note"], r)),
    Shift("another language of equal length", ("note",), lambda t, r: text(n_of(t), r, "de", 8.7)),
    Shift("20 % another language", ("note",), lambda t, r: some(0.2, text(n_of(t), r, "de", 8.7), t["note"], r)),
    Shift("texts 30 % longer", ("note",), lambda t, r: text(n_of(t), r, "en", 12.0)),
    Shift("embedding moves", ("embedding",), lambda t, r: t["embedding"] + (0.5 * DIRECTIONS[:, 0]).astype(np.float32)),
    Shift("10 % of embeddings in a new place", ("embedding",), lambda t, r: t["embedding"] + far(n_of(t), r, 4.0, 0.1)),
    Shift("correlation 0.5 -> 0", ("level", "partner"), lambda t, r: r.normal(size=n_of(t))),
    Shift("correlation 0 -> 0.4", ("level", "price"), lambda t, r: correlated(t, "price", 0.4, r)),
    Shift("dependence of a square", ("level", "mixed"), like_square),
    Shift("plan depends on level", ("level", "plan"), by_level),
)
