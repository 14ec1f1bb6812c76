"""Data-quality rules of a version: what its traffic has to be like, whatever the training data were.

A rule of rows says which rows break it and what share of them may (``allow``); a rule of the window looks at it as a whole. A missing value breaks
``missing`` alone.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column, output_column
from headrace_functions.signature import Field, Signature

Kind = Literal["range", "set", "regex", "missing", "unique", "constant", "condition", "duplicates", "rows", "freshness"]
Severity = Literal["low", "medium", "severe"]
Value = str | int | float | bool

KEYS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "range": (frozenset({"field"}), frozenset({"min", "max", "allow"})),
    "set": (frozenset({"field", "values"}), frozenset({"allow"})),
    "regex": (frozenset({"field", "pattern"}), frozenset({"allow"})),
    "missing": (frozenset({"field"}), frozenset({"allow"})),
    "unique": (frozenset({"field"}), frozenset({"allow"})),
    "constant": (frozenset({"field"}), frozenset({"allow"})),
    "condition": (frozenset({"where"}), frozenset({"allow"})),
    "duplicates": (frozenset(), frozenset({"allow"})),
    "rows": (frozenset(), frozenset({"min", "max"})),
    "freshness": (frozenset({"within"}), frozenset()),
}
"""By rule the keys that it needs, and those that it may have, beside ``name`` and ``severity``."""
ANY_ROWS = ("rows", "freshness")
"""Rules that a window without rows can break."""
USUAL_ALLOW = {"constant": 0.99}
"""Share of rows that may break a rule where that is not said; of ``constant`` the share that one value may have."""
MAX_RULES = 500
MAX_VALUES = 10_000
MAX_PATTERN = 1000
_SPANS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([1-9]\d{0,6})([smhdw])")


@dataclass(frozen=True, slots=True)
class QualityRule:
    """One rule; which members it has depends on ``rule``, see ``KEYS``."""

    rule: Kind
    field: str = ""
    """An input or output: its name, or ``in.NAME`` and ``out.NAME`` where both sides have it."""
    min: float | None = None
    max: float | None = None
    """Both ends are allowed values."""
    values: tuple[Value, ...] = ()
    pattern: str = ""
    """A regular expression (RE2) that the whole text matches."""
    where: str = ""
    """A condition over the log's columns that rows satisfy."""
    within: str = ""
    """How old the newest row may be at the end of the window, e.g. ``2h``."""
    allow: float | None = None
    severity: Severity = "medium"
    name: str = ""
    """What people call it; made of the rule and the field where it is not given."""

    def __post_init__(self) -> None:
        if self.rule not in KEYS:
            raise _refused("rule", self.rule, f"one of {', '.join(KEYS)}", "is not a rule:")
        given = {k for k in ("field", "min", "max", "values", "pattern", "where", "within", "allow") if self._given(k)}
        needed, known = KEYS[self.rule]
        for key in sorted(needed - given):
            raise _refused(key, "", f"{self.rule} needs one", "is missing in")
        for key in sorted(given - needed - known):
            raise _refused(
                key, getattr(self, key), f"{self.rule} takes {', '.join(sorted(needed | known))}", "is not for"
            )
        if self.severity not in ("low", "medium", "severe"):
            raise _refused("severity", self.severity, "low, medium or severe")
        self._check_values()

    def _given(self, key: str) -> bool:
        return getattr(self, key) not in (None, "", ())

    def _check_values(self) -> None:
        if self.rule in ("range", "rows") and self.min is None and self.max is None:
            raise _refused("min", None, f"{self.rule} needs min, max or both")
        for key, end in (("min", self.min), ("max", self.max)):
            if end is not None and not math.isfinite(end):
                raise _refused(key, end, "a number")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise _refused("min", self.min, f"at most max, {self.max}")
        if self.allow is not None and not 0 <= self.allow < 1:
            raise _refused("allow", self.allow, "a share of rows, 0 to less than 1")
        if len(self.values) > MAX_VALUES:
            raise _refused("values", len(self.values), f"at most {MAX_VALUES} values")
        if len(self.pattern) > MAX_PATTERN:
            raise _refused("pattern", f"{len(self.pattern)} characters", f"at most {MAX_PATTERN} characters")
        if self.within and not _SPAN.fullmatch(self.within):
            raise _refused("within", self.within, "a duration, e.g. 30m, 2h or 7d")

    @property
    def title(self) -> str:
        return self.name or (f"{self.rule} of {self.field}" if self.field else self.rule)

    @property
    def allowed(self) -> float:
        return USUAL_ALLOW.get(self.rule, 0.0) if self.allow is None else self.allow

    @property
    def span(self) -> timedelta:
        match = _SPAN.fullmatch(self.within)
        assert match is not None, "only of freshness"
        return timedelta(seconds=int(match[1]) * _SPANS[match[2]])

    def column(self, signature: Signature) -> tuple[str, Field]:
        """Column of the log and field that it is about; ``InvalidInput`` where there is none, or the rule cannot be about it."""
        sides = {input_column(f): f for f in signature.inputs} | {output_column(f): f for f in signature.outputs}
        named = {c: f for c, f in sides.items() if self.field in (c, f.name)}
        if len(named) != 1:
            some = named or sides
            raise _refused(
                "field",
                self.field,
                f"one of {', '.join(list(some)[:20])}",
                "is on both sides:" if named else "there is no",
            )
        ((name, one),) = named.items()
        number = one.dtype.is_number
        if not one.is_scalar and self.rule != "missing":
            raise _refused("field", self.field, "a field with one value a row", f"{self.rule} cannot be about the list")
        if self.rule == "range" and not number:
            raise _refused("field", self.field, "a number", "range cannot be about the text")
        if self.rule == "regex" and one.dtype.name != "string":
            raise _refused("field", self.field, "text", "regex cannot be about the number")
        for value in self.values:
            kind = "number" if number else "bool" if one.dtype.name == "bool" else "text"
            known = {"number": (int, float), "bool": (bool,), "text": (str,)}[kind]
            if not isinstance(value, known) or (number and isinstance(value, bool)):
                raise _refused("values", value, f"{kind}, as the field {one.name} has", f"not a {kind}:")
        return name, one

    def to_document(self) -> dict[str, Any]:
        """What differs from the defaults."""
        found = {
            key: getattr(self, key) for key in ("name", "field", "min", "max", "pattern", "where", "within", "allow")
        }
        document: dict[str, Any] = {"rule": self.rule, **{k: v for k, v in found.items() if v not in (None, "")}}
        if self.values:
            document["values"] = list(self.values)
        return document if self.severity == "medium" else {**document, "severity": self.severity}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "QualityRule":
        known: dict[str, Any] = dict(document)
        if "values" in known:
            known["values"] = tuple(known["values"])
        return cls(**known)


def check(rules: Sequence[QualityRule], signature: Signature) -> None:
    """``InvalidInput`` for rules that speak of what the signature does not have, two of one name, or too many."""
    if len(rules) > MAX_RULES:
        raise _refused("rules", len(rules), f"at most {MAX_RULES}")
    titles = set[str]()
    for rule in rules:
        if rule.field:
            rule.column(signature)
        if rule.title in titles:
            raise _refused("name", rule.title, "a name of its own for each rule", "is there twice:")
        titles.add(rule.title)


def _refused(key: str, got: Any, expected: str, why: str = "") -> InvalidInput:
    name = f"monitoring.rules.{key}"
    shown = "" if got == "" and why.startswith("is missing") else repr(got)
    text = f"{name}: {why} {shown}".strip() if why else f"{name}: {shown}"
    return InvalidInput(text, field=name, expected=expected, got=repr(got))
