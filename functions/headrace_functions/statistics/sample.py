"""A bounded sample of rows that does not depend on the order in which parts are merged.

Every row has a pseudo-random priority: a logged row by its time and its number in the request, so that the same log in other
files (after a compaction, in another store) gives the same sample; a row of training data by its place. The sample is the rows of lowest priority
(bottom-k sampling, Cohen and Kaplan 2007), so two parts merge by keeping the lowest of both.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from headrace_functions.views import Array


def priorities(name: str, rows: int) -> Array:
    """Priorities of the rows of a file, uint64 ``(rows,)``: SplitMix64 (Steele, Lea and Flood 2014) seeded by its name."""
    seed = np.uint64(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big"))
    return mixed(seed, np.arange(1, rows + 1, dtype=np.uint64))


def logged_priorities(received: Array, row: Array) -> Array:
    """Priorities of logged rows, uint64 ``(n,)``, from microseconds since the epoch and numbers in the request, both int64."""
    with np.errstate(over="ignore"):
        return mixed(np.uint64(0), received.astype(np.uint64) * np.uint64(1 << 20) + row.astype(np.uint64))


def mixed(seed: np.uint64, counter: Array) -> Array:
    """SplitMix64 of counters, uint64 ``(n,)``."""
    with np.errstate(over="ignore"):
        z = seed + counter * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(z ^ (z >> np.uint64(31)))


def lowest(priority: Array, size: int) -> Array:
    """Places of the ``size`` lowest priorities, in the order of the priorities."""
    if size < len(priority):
        chosen = np.argpartition(priority, size - 1)[:size] if size else np.empty(0, np.int64)
    else:
        chosen = np.arange(len(priority))
    return np.asarray(chosen[np.argsort(priority[chosen], kind="stable")])


@dataclass(frozen=True, slots=True)
class RowSample:
    """At most ``size`` rows: their priorities ``(n,)`` and the values of each column ``(n,)``."""

    size: int
    priority: Array
    columns: Mapping[str, Array]

    def merge(self, other: "RowSample") -> "RowSample":
        priority = np.concatenate((self.priority, other.priority))
        kept = lowest(priority, self.size)
        columns = {
            k: np.concatenate((v, other.columns[k]))[kept] for k, v in self.columns.items() if k in other.columns
        }
        return RowSample(self.size, priority[kept], columns)
