"""Comparing: every view of the window against its reference, by the engine and by the tests for defects."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from headrace_functions.views import Array, ViewName
from headrace_jobs.columns import Column
from headrace_jobs.detectors import defects
from headrace_jobs.detectors.base import CategoryPair, Detector, Finding, NumberPair, Rows, TestResult, WholeTest
from headrace_jobs.detectors.blocks import METHOD, Blocks, Grouped, views_of
from headrace_jobs.detectors.content import content
from headrace_jobs.detectors.contingency import Shares, new_categories
from headrace_jobs.detectors.methods import Methods
from headrace_jobs.detectors.ordered import Cells, moved
from headrace_jobs.scan import Part, Reference
from headrace_jobs.statistics.categories import CategoryPartial, CategoryReference
from headrace_jobs.statistics.numbers import NumberPartial, NumberReference
from headrace_jobs.statistics.repeats import distinct
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
    scale: tuple[float, float] = (1.0, 1.0)
    """Effective rows a row of both sides: below 1 where rows are repeated."""
    apart: Mapping[str, str] = field(default_factory=dict)
    """Why views are set apart, by key: only their missing values are compared."""
    contents: Mapping[str, Column] = field(default_factory=dict)
    """Fields that are looked at by content, by the key of that."""
    told_by: tuple[str, ...] = ()
    """Columns whose values together tell rows apart."""
    grouping: str | None = None
    """Key of the view whose values are groups of rows that depend on each other."""

    def lost(self) -> Mapping[str, int]:
        """Keys of views whose column some file of the window lacks, with the rows of these files."""
        missing = {key: self.window.lost.get(column.name, 0) for key, (column, _) in self.views.items()}
        return {key: rows for key, rows in missing.items() if rows}

    @property
    def effective(self) -> tuple[float, float]:
        """Rows of both sides that are independent."""
        return self.reference_rows * self.scale[0], self.window.rows * self.scale[1]

    def enough(self, policy: Policy) -> bool:
        return min(self.effective) >= policy.min_rows


_Key = TypeVar("_Key", bound=Hashable)

WHOLE = "*"
"""Key of the findings that are about all fields together."""


SPENT = 0.85
"""Of the error: the rest is kept for what is approximate about p-values of few rows."""
EACH = {"concept": 0.12}
OTHERS = 0.06
ALL = 0.3
"""Of the error: what each test of all fields together has, and all of them at most; views share the rest evenly."""
PORTIONS = {"missing": 0.15, "range": 0.1, "new-category": 0.1}
"""Of a view's part of the error; the test of its distribution has the rest."""


def compare(sides: Comparison, detector: Detector, policy: Policy) -> dict[str, list[Judged]]:
    """The judged findings of each view by key; views without enough rows on a side have none for their distribution.

    Those of the whole model are under ``WHOLE``, which is left out where it could not be tested.
    """
    found = findings(sides, detector, policy)
    return judged(found, policy, sides, shares(found))


def findings(sides: Comparison, detector: Detector, policy: Policy) -> dict[str, list[Finding]]:
    """The findings of each view by key, before they are judged."""
    found: dict[str, list[Finding]] = {key: [] for key in (*sides.views, *sides.contents)}
    if not sides.enough(policy):
        return found
    numbers: dict[str, NumberPair] = {}
    categories: dict[str, CategoryPair] = {}
    grouped = _grouped(sides) if not detector.sample else {}
    for key in sides.views:
        pair = _pair(key, sides, policy)
        found[key] += _defects(key, sides, pair, grouped.get(key))
        if isinstance(pair, NumberPair):
            numbers[key] = pair
        elif isinstance(pair, CategoryPair):
            categories[key] = pair
    for key, result in zip(numbers, detector.numbers(list(numbers.values())), strict=True):
        found[key].append(_moved_numbers(*_by_blocks(numbers[key], result, grouped.get(key))))
    for key, result in zip(categories, detector.categories(list(categories.values())), strict=True):
        found[key].append(_moved_categories(*_by_blocks(categories[key], result, grouped.get(key))))
    before, now = _independent(sides)
    for key in sides.contents:
        inside = content(before.contents[key], now.contents[key])
        found[key] += [inside] if inside is not None else []
    whole = [*(finding for finding in _together(sides, before, now) if finding is not None), *sides.more]
    return {**found, WHOLE: whole} if whole else found


def shares(found: Mapping[str, Sequence[Finding]]) -> dict[str, list[float]]:
    """Of the error, what each finding has. What a test would have had that could not find anything is left to nobody."""
    whole = [EACH.get(finding.test, OTHERS) for finding in found.get(WHOLE, ())]
    whole = [share * min(1.0, ALL / sum(whole)) for share in whole]
    of_view = (SPENT - sum(whole)) / max(len(found) - (WHOLE in found), 1)
    return {key: whole if key == WHOLE else _portions(some, of_view) for key, some in found.items()}


def _portions(some: Sequence[Finding], total: float) -> list[float]:
    names = [finding.test for finding in some]
    if names == ["missing"]:
        return [total]
    by_test = {**PORTIONS, "content": 1 - PORTIONS["missing"]}
    rest = 1 - PORTIONS["range"] - (PORTIONS["missing"] if "missing" in names else 0.0)
    return [total * by_test.get(name, rest) for name in names]


def _pair(key: str, sides: Comparison, policy: Policy) -> NumberPair | CategoryPair | None:
    """Both sides of a view; None where it is set apart, or has too few values on a side."""
    before, now = sides.references[key], sides.window.views.get(key)
    if key in sides.apart or now is None or min(before.count, now.count) < policy.min_rows:
        return None
    sample = sides.window.sample.columns.get(key, np.empty(0)) if sides.window.sample else np.empty(0)
    name = sides.views[key][0].field.name
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial):
        return NumberPair(before, now, sample, sides.methods.of(name, "number"), sides.scale)
    if isinstance(before, CategoryReference) and isinstance(now, CategoryPartial):
        known = tuple(v for v in sample.tolist() if v is not None)
        return CategoryPair(before, now, known, sides.methods.of(name, "category"), name, sides.scale)
    return None


def _independent(sides: Comparison) -> tuple[Rows, Rows]:
    """Rows of reference and window; where rows are repeated, or belong to groups, one of each."""
    inputs, outputs, contents = dict[str, Array](), dict[str, Array](), dict[str, Array]()
    columns = sides.window.sample.columns if sides.window.sample is not None else {}
    for key, values in columns.items():
        if key in sides.contents:
            contents[key] = values
        elif key in sides.views:
            (inputs if sides.views[key][0].side == "input" else outputs)[key] = values
    before, now = sides.rows, Rows(inputs, outputs, contents)
    return _apart(before, sides, sides.scale[0]), _apart(now, sides, sides.scale[1])


def _apart(rows: Rows, sides: Comparison, scale: float) -> Rows:
    """Rows without the views that are set apart, and one of each group where rows count for less than one."""
    group = rows.inputs.get(sides.grouping) if sides.grouping is not None else None
    told = [v for k, v in rows.inputs.items() if k in sides.views and sides.views[k][0].name in sides.told_by]
    columns = [group] if group is not None else told
    kept = {k: v for k, v in rows.inputs.items() if k in sides.views and k not in sides.apart}
    if scale < 1 and columns:
        rows = rows.some(distinct(columns, len(columns[0])))
        kept = {k: rows.inputs[k] for k in kept}
    return Rows(kept, rows.outputs, rows.contents)


def _together(sides: Comparison, before: Rows, now: Rows) -> Iterator[Finding | None]:
    if sides.window.sample is None or not sides.together:
        return
    for test in sides.together:
        yield test.run(before, now)


def judged(
    found: Mapping[_Key, Sequence[Finding]],
    policy: Policy,
    sides: Comparison,
    weights: Mapping[_Key, Sequence[float]],
    key_of: Callable[[_Key], str] = str,
) -> dict[_Key, list[Judged]]:
    """All findings of a run, judged together; ``key_of`` gives the key of a view whose field may have a limit of its own."""
    flat = [
        (finding, weight) for key, some in found.items() for finding, weight in zip(some, weights[key], strict=True)
    ]
    columns = {**{key: column for key, (column, _) in sides.views.items()}, **sides.contents}
    limits = [_limit(policy, columns.get(key_of(key))) for key, some in found.items() for _ in some]
    answers = iter(judge([finding for finding, _ in flat], policy, [weight for _, weight in flat], limits))
    return {key: [next(answers) for _ in some] for key, some in found.items()}


def _limit(policy: Policy, column: Column | None) -> float:
    return policy.effects.get(column.field.name, policy.effect) if column is not None else policy.effect


def _grouped(sides: Comparison) -> dict[str, Grouped]:
    """What blocks of groups say of each view, where rows have groups and there are enough of these."""
    groups, sample = sides.rows.groups, sides.window.sample
    own = sample.columns.get(sides.grouping) if sample is not None and sides.grouping is not None else None
    found: dict[str, Grouped] = {}
    for side, rows in (("input", sides.rows.inputs), ("output", sides.rows.outputs)):
        dealt = Blocks.of(groups[side], own) if side in groups and own is not None else None
        if dealt is not None and sample is not None:
            found |= views_of(dealt, {k: v for k, v in rows.items() if k in sides.views}, sample.columns)
    return {key: one for key, one in found.items() if key not in sides.apart}


_Pair = TypeVar("_Pair", NumberPair, CategoryPair)


def _by_blocks(pair: _Pair, result: TestResult, grouped: Grouped | None) -> tuple[_Pair, TestResult]:
    """The pair and its result, by blocks where rows have groups; a test that was chosen stays."""
    if grouped is None or pair.method:
        return pair, result
    return replace(pair, scale=grouped.scale), TestResult(METHOD, grouped.statistic, grouped.p)


def _defects(
    key: str, sides: Comparison, pair: NumberPair | CategoryPair | None, grouped: Grouped | None
) -> list[Finding]:
    """Rows of files that lack the column count as missing: they hold no value, whatever the reason."""
    before, now = sides.references[key], sides.window.views.get(key)
    lost = sides.window.lost.get(sides.views[key][0].name, 0)
    missing_now, rows_now = (now.missing, now.rows) if now is not None else (0, 0)
    found = [defects.missing(before.missing, before.rows, missing_now + lost, rows_now + lost, sides.scale)]
    if grouped is not None and found[0] is not None and not lost:
        found = [replace(found[0], method=METHOD, p=grouped.missing)]
    if isinstance(before, NumberReference) and isinstance(now, NumberPartial) and key not in sides.apart:
        found.append(defects.out_of_range(before, now, sides.scale))
    elif isinstance(pair, CategoryPair):
        found.append(new_categories(pair))
    return [finding for finding in found if finding is not None]


def _moved_numbers(pair: NumberPair, result: TestResult) -> Finding:
    distance, low = moved(Cells.of(pair.reference, pair.window, pair.scale))
    return Finding("distribution", result.method, result.statistic, result.p, distance, low, "moved")


def _moved_categories(pair: CategoryPair, result: TestResult) -> Finding:
    distance, low = Shares.of(pair).moved()
    return Finding("distribution", result.method, result.statistic, result.p, distance, low, "moved")
