"""A leaf of the plan: the rows of one file that break each data-quality rule; and how two of them add up."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_functions.classes import text_of
from headrace_functions.errors import InvalidInput
from headrace_functions.quality_rules import QualityRule
from headrace_functions.signature import Field, Signature
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.views import Array
from headrace_jobs import inputs
from headrace_jobs.columns import Column, columns_of, series
from headrace_jobs.conditions import satisfied
from headrace_jobs.inputs import LogFile
from headrace_jobs.scan import row_hashes
from headrace_jobs.statistics.repeats import RowCounts
from headrace_jobs.window import Window

EXAMPLES = 5
"""Rows that a report shows of a rule, the first ones."""
KEPT = 1_000_000
"""Different values that are counted exactly; of more a sample of so many, chosen by content, stands for all."""
_SHOWN = 80
"""Characters of a value in an example."""


@dataclass(frozen=True, slots=True)
class Task:
    """What every leaf needs besides its file."""

    window: Window
    signature: Signature
    rules: tuple[QualityRule, ...]


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """A row that breaks a rule; ``received`` is microseconds since the epoch."""

    received: int
    request_id: str
    row: int
    value: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Of one rule: rows that it looked at, those that break it, and some of these; ``values`` where values have to be counted."""

    rows: int = 0
    broken: int = 0
    examples: tuple[Example, ...] = ()
    values: RowCounts | None = None
    unread: int = 0
    """Rows of files that lack the column, or whose column cannot be read."""

    def merge(self, other: "Broken") -> "Broken":
        both = (v for v in (self.values, other.values) if v is not None)
        first = next(both, None)
        second = next(both, None)
        return Broken(
            self.rows + other.rows,
            self.broken + other.broken,
            tuple(sorted((*self.examples, *other.examples))[:EXAMPLES]),
            first if second is None or first is None else first.merge(second, KEPT),
            self.unread + other.unread,
        )


@dataclass(frozen=True, slots=True)
class Counted:
    """Answered rows of the window, exchanges that failed, the newest row (microseconds, 0 for none), and each rule by its place."""

    rows: int = 0
    failed: int = 0
    newest: int = 0
    rules: Mapping[int, Broken] = field(default_factory=dict)

    def merge(self, other: "Counted") -> "Counted":
        places = sorted({*self.rules, *other.rules})
        return Counted(
            self.rows + other.rows,
            self.failed + other.failed,
            max(self.newest, other.newest),
            {p: self.rules.get(p, Broken()).merge(other.rules.get(p, Broken())) for p in places},
        )


def merge_all(*parts: Counted) -> Counted:
    """The sum of some parts, from left to right."""
    total = parts[0] if parts else Counted()
    for part in parts[1:]:
        total = total.merge(part)
    return total


def count_file(file: LogFile, task: Task) -> Counted:
    """Count the answered rows of one file that are in the window."""
    answered = inputs.answered(inputs.open_parquet(ObjectStore(file.storage), file.key), task.window)
    if not answered.rows:
        return Counted(failed=answered.failed)
    found = {}
    for place, rule in enumerate(task.rules):
        look = _LOOKS.get(rule.rule)
        if look is not None:
            found[place] = look(rule, answered, task.signature)
    return Counted(answered.rows, answered.failed, int(answered.times().max()), found)


def _of_rows(
    breaks: Callable[[QualityRule, Any, Field], Any],
) -> Callable[[QualityRule, inputs.Answered, Signature], Broken]:
    """A rule that each row with a value keeps or breaks, by a mask of the column."""

    def look(rule: QualityRule, answered: inputs.Answered, signature: Signature) -> Broken:
        name, one = rule.column(signature)
        column = _column(answered, name)
        if column is None:
            return Broken(unread=answered.rows)
        mask = pc.fill_null(breaks(rule, column, one), False)
        known = answered.rows if rule.rule == "missing" else answered.rows - column.null_count
        return Broken(known, int(pc.sum(mask).as_py() or 0), _examples(answered, mask, column))

    return look


def _outside(rule: QualityRule, column: Any, one: Field) -> Any:
    del one
    masks = []
    if rule.min is not None:
        masks.append(pc.less(column, rule.min))
    if rule.max is not None:
        masks.append(pc.greater(column, rule.max))
    return masks[0] if len(masks) == 1 else pc.or_(*masks)


def _not_among(rule: QualityRule, column: Any, one: Field) -> Any:
    kind = pa.string() if one.dtype.name == "string" else pa.bool_() if one.dtype.name == "bool" else pa.float64()
    text = column.cast(pa.string()) if kind == pa.string() else column.cast(kind)
    return pc.and_(pc.invert(pc.is_in(text, value_set=pa.array(list(rule.values), kind))), pc.is_valid(column))


def _not_matching(rule: QualityRule, column: Any, one: Field) -> Any:
    del one
    try:
        return pc.invert(pc.match_substring_regex(column.cast(pa.string()), f"^(?:{rule.pattern})$"))
    except pa.ArrowInvalid as error:
        raise InvalidInput(
            f"monitoring.rules.pattern: {rule.pattern!r} is not a regular expression: {error}",
            field="rules",
            expected="a regular expression in RE2's syntax",
        ) from error


def _missing(rule: QualityRule, column: Any, one: Field) -> Any:
    del rule, one
    return pc.is_null(column)


def _unmet(rule: QualityRule, answered: inputs.Answered, signature: Signature) -> Broken:
    del signature
    kept = satisfied(answered.file, rule.where)
    mask = pc.invert(kept if answered.keep is None else kept.filter(answered.keep))
    return Broken(answered.rows, int(pc.sum(mask).as_py() or 0), _examples(answered, mask, None))


def _values(rule: QualityRule, answered: inputs.Answered, signature: Signature) -> Broken:
    """The values of a field, those that are there."""
    name, one = rule.column(signature)
    column = _column(answered, name)
    if column is None:
        return Broken(unread=answered.rows)
    known = column.drop_null()
    try:
        hashes = row_hashes(np.zeros(len(known), np.uint64), Column(one, "input", name), known, series(one, known))
    except InvalidInput:
        return Broken(unread=answered.rows)
    return Broken(len(known), values=RowCounts.of(hashes, KEPT))


def _whole_rows(rule: QualityRule, answered: inputs.Answered, signature: Signature) -> Broken:
    """All inputs of a row as one value."""
    del rule
    hashes: Array = np.zeros(answered.rows, np.uint64)
    for one in columns_of(signature):
        column = answered.column(one.name) if one.side == "input" else None
        if column is None:
            continue
        try:
            hashes = row_hashes(hashes, one, column, series(one.field, column))
        except InvalidInput:
            return Broken(unread=answered.rows)
    return Broken(answered.rows, values=RowCounts.of(hashes, KEPT))


def _column(answered: inputs.Answered, name: str) -> Any | None:
    """A column in which what is missing is null, NaN too; None where the file has no such column."""
    column = answered.column(name)
    if column is None or not pa.types.is_floating(column.type):
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _examples(answered: inputs.Answered, mask: Any, column: Any | None) -> tuple[Example, ...]:
    places = np.flatnonzero(np.asarray(_plain(mask).to_numpy(zero_copy_only=False), bool))
    times, numbers = answered.times(), answered.numbers()
    first = places[np.lexsort((numbers[places], times[places]))][:EXAMPLES]
    ids = answered.column("request_id")
    chosen = pa.array(first)
    named = ids.take(chosen).to_pylist() if ids is not None else [""] * len(first)
    values = column.take(chosen).to_pylist() if column is not None else [""] * len(first)
    return tuple(
        Example(int(times[place]), str(request), int(numbers[place]), "" if value is None else text_of(value)[:_SHOWN])
        for place, request, value in zip(first.tolist(), named, values, strict=True)
    )


def _plain(mask: Any) -> Any:
    return mask.combine_chunks() if isinstance(mask, pa.ChunkedArray) else mask


_LOOKS: Mapping[str, Callable[[QualityRule, inputs.Answered, Signature], Broken]] = {
    "range": _of_rows(_outside),
    "set": _of_rows(_not_among),
    "regex": _of_rows(_not_matching),
    "missing": _of_rows(_missing),
    "condition": _unmet,
    "unique": _values,
    "constant": _values,
    "duplicates": _whole_rows,
}
