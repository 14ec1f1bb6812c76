"""What two reports of one kind say differently, member by member."""

from collections.abc import Iterator, Mapping
from typing import Any

from headrace_functions.errors import InvalidInput

_TOP = ("model", "verdict", "severity", "judged", "engine", "output", "prediction", "base")
_LISTS = ("fields", "metrics", "contributions")
_OF_EACH = ("verdict", "severity", "score", "since", "estimated", "realised", "value", "shap")

Difference = dict[str, Any]
"""``name`` (empty for the report as a whole), ``member``, ``before``, ``after``; None for what one of them has not."""


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Differences in the order of the reports: the whole, its rows, then each field, metric or feature by name.

    Raises ``InvalidInput`` for reports of two kinds, which have nothing to compare.
    """
    if before.get("kind") != after.get("kind"):
        raise InvalidInput(
            f"report: a {before.get('kind')} and a {after.get('kind')} report have no fields in common",
            field="report",
            expected="two reports of one kind",
        )
    rows = {f"rows.{k}" for side in (before, after) for k in side.get("rows", {})}
    found = list(_members("", _flat(before), _flat(after), (*_TOP, *sorted(rows))))
    for name in _LISTS:
        old, new = ({item["name"]: item for item in side.get(name, ())} for side in (before, after))
        for item in {**new, **old}:
            found += _members(item, old.get(item, {}), new.get(item, {}), _OF_EACH)
    return found


def _flat(report: Mapping[str, Any]) -> dict[str, Any]:
    return {**report, **{f"rows.{k}": v for k, v in report.get("rows", {}).items()}}


def _members(
    name: str, old: Mapping[str, Any], new: Mapping[str, Any], members: tuple[str, ...]
) -> Iterator[Difference]:
    for member in members:
        before, after = old.get(member), new.get(member)
        if before != after:
            yield {"name": name, "member": member, "before": before, "after": after}
