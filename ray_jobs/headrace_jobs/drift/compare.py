"""Comparing: every view of the window against its reference, by the engine and by the tests for defects."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from headrace_functions.views import ViewName
from headrace_jobs.columns import Column
from headrace_jobs.detectors import defects
from headrace_jobs.detectors.base import CategoryPair, Detector, Finding, NumberPair, Rows, TestResult, WholeTest
from headrace_jobs.detectors.distances import kolmogorov_smirnov, share_bound, total_variation
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.scan import Part, Reference, Summary
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference
from headrace_jobs.verdict import Judged, Policy, judge


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides, ready to be tested. ``views`` says which view a key is."""

    reference_rows: int
    references: Mapping[str, Reference]
    views: Mapping[str, tuple[Column, ViewName]]
    window: Part
    files: int
    rows: Rows = field(default_factory=Rows)
    """Rows of the reference, for tests of all fields together."""
    methods: Methods = field(default_factory=Methods)
    together: Sequence[WholeTest] = ()
    more: tuple[Finding, ...] = ()
    """Findings about all fields that were made elsewhere."""
    importance: Mapping[str, float] = field(default_factory=dict)

    def lost(self) -> Mapping[str, int]:
        """Keys of views whose column some file of the window lacks, with the rows of these files."""
        missing = {key: self.window.lost.get(column.name, 0) for key, (column, _) in self.views.items()}
        return {key: rows for key, rows in missing.items() if rows}


_Key = TypeVar("_Key", bound=Hashable)

WHOLE = "*"
"""Key of the findings that are about all fields together."""


def compare(sides: Comparison, detector: Detector, policy: Policy) -> dict[str, list[Judged]]:
    """The judged findings of each view by key; views without enough rows on a side have none for their distribution.

    Those of the whole model are under ``WHOLE``, which is left out where it could not be tested.
    """
    return judged(findings(sides, detector, policy), policy)


def findings(sides: Comparison, detector: Detector, policy: Policy) -> dict[str, list[Finding]]:
    """The findings of each view by key, before they are judged."""
    found: dict[str, list[Finding]] = {key: [] for key in sides.views}
    if min(sides.window.rows, sides.reference_rows) < policy.min_rows:
        return {key: [] for key in found}
    numbers: dict[str, NumberPair] = {}
    categories: dict[str, CategoryPair] = {}
    for key, before in sides.references.items():
        now = sides.window.views.get(key)
        lost = sides.window.lost.get(sides.views[key][0].name, 0)
        found[key] += _defects(before, now, lost)
        if now is None or min(before.count, now.count) < policy.min_rows:
            continue
        sample = sides.window.sample.columns.get(key, np.empty(0)) if sides.window.sample else np.empty(0)
        name = sides.views[key][0].field.name
        if isinstance(before, NumberReference) and isinstance(now, NumberPartial):
            numbers[key] = NumberPair(before, now, sample, sides.methods.of(name, "number"))
        elif isinstance(before, CategoryReference) and isinstance(now, CategoryPartial):
            known = tuple(v for v in sample.tolist() if v is not None)
            categories[key] = CategoryPair(before, now, known, sides.methods.of(name, "category"), name)
    for key, result in zip(numbers, detector.numbers(list(numbers.values())), strict=True):
        found[key].append(_moved_numbers(numbers[key], result))
    for key, result in zip(categories, detector.categories(list(categories.values())), strict=True):
        found[key].append(_moved_categories(categories[key], result))
    whole = [*(finding for finding in _together(sides) if finding is not None), *sides.more]
    return {**found, WHOLE: whole} if whole else found


def _together(sides: Comparison) -> Iterator[Finding | None]:
    if sides.window.sample is None or not sides.together:
        return
    columns = sides.window.sample.columns
    of = {side: {k for k, (column, _) in sides.views.items() if column.side == side} for side in ("input", "output")}
    inputs, outputs = ({k: v for k, v in columns.items() if k in of[side]} for side in ("input", "output"))
    for test in sides.together:
        yield test.run(sides.rows, Rows(inputs, outputs))


def judged(found: Mapping[_Key, Sequence[Finding]], policy: Policy) -> dict[_Key, list[Judged]]:
    """All findings of a run, judged together."""
    answers = iter(judge([finding for some in found.values() for finding in some], policy))
    return {key: [next(answers) for _ in some] for key, some in found.items()}


def _defects(before: Reference, now: Summary | None, lost: int) -> list[Finding]:
    """Rows of files that lack the column count as missing: they hold no value, whatever the reason."""
    missing_now, rows_now = (now.missing, now.rows) if now is not None else (0, 0)
    found = [defects.missing(before.missing, before.rows, missing_now + lost, rows_now + lost)]
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial):
        found.append(defects.out_of_range(before, now))
    elif isinstance(before, CategoryReference) and isinstance(now, CategoryPartial):
        found.append(defects.new_categories(before, now))
    return [finding for finding in found if finding is not None]


def _moved_numbers(pair: NumberPair, result: TestResult) -> Finding:
    distance, f, g = kolmogorov_smirnov(pair.reference, pair.window)
    low = share_bound(distance, f, g, pair.reference.count, pair.window.count)
    return Finding("distribution", result.method, result.statistic, result.p, distance, low, "moved")


def _moved_categories(pair: CategoryPair, result: TestResult) -> Finding:
    distance, low = total_variation(pair)
    return Finding("distribution", result.method, result.statistic, result.p, distance, low, "moved")
