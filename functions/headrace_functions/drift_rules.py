"""What a version's definition says of its analyses: when a difference counts, what is not compared, which rows belong together and when they happened."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column, output_column
from headrace_functions.signature import Field, Signature

PREFIX = "monitoring."
KEYS = ("alpha", "effect", "exclude", "fields", "grouping", "time", "window")
TIMES = ("received", "caller_time")
"""Columns of every log that say when a row happened."""
_WINDOW = re.compile(r"[1-9]\d{0,8}(rows|[smhdw])")


@dataclass(frozen=True, slots=True)
class DriftRules:
    """The defaults are those of a version that says nothing."""

    alpha: float = 0.05
    """Largest adjusted p-value of a difference that counts, more than 0, at most 0.5."""
    effect: float = 0.0
    """Share of rows from which on a difference counts, 0 to 1, where that is more than the limits that hold anyway."""
    exclude: tuple[str, ...] = ()
    """Fields that are not compared."""
    fields: Mapping[str, float] = field(default_factory=dict)
    """As ``effect``, of single fields."""
    grouping: str | None = None
    """An input whose value rows share that depend on each other, such as that of one customer."""
    time: str = "received"
    """When a row happened: ``received``, ``caller_time``, or an input or output with a time, a number since the epoch or text in RFC 3339."""
    window: str = "24h"
    """What is analysed where nobody says: a duration back from now, or a number of rows such as ``10000rows``."""

    def __post_init__(self) -> None:
        if not 0 < self.alpha <= 0.5:
            raise _refused("alpha", self.alpha, "more than 0, at most 0.5")
        for name, effect in (("effect", self.effect), *((f"fields.{n}", e) for n, e in self.fields.items())):
            if not 0 <= effect <= 1:
                raise _refused(name, effect, "a share of rows, 0 to 1")
        if self.grouping is not None and self.grouping in self.exclude:
            raise _refused("grouping", self.grouping, "a field that is not under exclude")
        if not _WINDOW.fullmatch(self.window):
            raise _refused("window", self.window, "a duration such as 24h, or a number of rows such as 10000rows")

    def check(self, signature: Signature) -> None:
        """``InvalidInput`` for a field that the signature has not, or one that cannot group rows."""
        inputs, outputs = ({f.name: f for f in side} for side in (signature.inputs, signature.outputs))
        for place, names in (("exclude", self.exclude), ("fields", tuple(self.fields))):
            for name in names:
                if name not in inputs and name not in outputs:
                    raise _refused(place, name, f"one of {', '.join((*inputs, *outputs))}", "there is no field")
        self.time_column(signature)
        if self.grouping is None:
            return
        if self.grouping not in inputs:
            raise _refused("grouping", self.grouping, f"one of {', '.join(inputs)}", "there is no input")
        if not _groups(inputs[self.grouping]):
            raise _refused("grouping", self.grouping, "a number or a category", "rows cannot be grouped by")

    def time_column(self, signature: Signature) -> str:
        """The column of the log that says when a row happened; ``InvalidInput`` for a field that cannot or is not there."""
        if self.time in TIMES:
            return self.time
        fields = {f.name: (input_column(f), f) for f in signature.inputs}
        fields = {**{f.name: (output_column(f), f) for f in signature.outputs}, **fields}
        known = {**fields, **{column: (column, f) for column, f in fields.values()}}
        if self.time not in known:
            raise _refused("time", self.time, f"{', '.join(TIMES)}, or one of {', '.join(fields)}", "there is no field")
        column, one = known[self.time]
        if not one.is_scalar or one.dtype.name == "bool":
            raise _refused("time", self.time, "a number since the epoch, or text in RFC 3339", "it says no time:")
        return column

    def with_settings(self, settings: Iterable[str]) -> "DriftRules":
        """These with some of them as one run wants them: ``monitoring.alpha=0.01``, ``monitoring.fields.age=0.2``, ``monitoring.exclude=a,b``."""
        found = self
        for setting in settings:
            found = found._set(*_split(setting))
        return found

    def _set(self, key: str, value: str) -> "DriftRules":
        first, _, name = key.partition(".")
        if key == "alpha":
            return replace(self, alpha=_number(key, value))
        if key == "effect":
            return replace(self, effect=_number(key, value))
        if first == "fields" and name:
            return replace(self, fields={**self.fields, name: _number(key, value)})
        if key == "exclude":
            return replace(self, exclude=tuple(part.strip() for part in value.split(",") if part.strip()))
        if key == "grouping":
            return replace(self, grouping=value or None)
        if key == "time":
            return replace(self, time=value)
        if key == "window":
            return replace(self, window=value)
        raise _refused(
            "set", PREFIX + key, ", ".join(PREFIX + k for k in KEYS).replace("fields", "fields.NAME"), "no such key"
        )

    def to_document(self) -> dict[str, Any]:
        """What differs from the defaults."""
        document = {
            "alpha": self.alpha,
            "effect": self.effect,
            "exclude": list(self.exclude),
            "fields": dict(self.fields),
            "grouping": self.grouping,
            "time": self.time,
            "window": self.window,
        }
        usual: tuple[Any, ...] = (0.05, 0.0, [], {}, None, "received", "24h")
        return {key: value for (key, value), default in zip(document.items(), usual, strict=True) if value != default}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "DriftRules":
        known: dict[str, Any] = {key: value for key, value in document.items() if key in KEYS}
        if "exclude" in known:
            known["exclude"] = tuple(known["exclude"])
        return cls(**known)


def _groups(one: Field) -> bool:
    return one.is_scalar and one.profile != "text"


def _split(setting: str) -> Sequence[str]:
    key, equals, value = setting.partition("=")
    if not equals or not key.strip().startswith(PREFIX):
        raise _refused("set", setting, f"{PREFIX}KEY=VALUE, e.g. monitoring.alpha=0.01", "not a setting")
    return key.strip().removeprefix(PREFIX), value.strip()


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise _refused(key, value, "a number") from None


def _refused(key: str, got: Any, expected: str, why: str = "") -> InvalidInput:
    name = key if key == "set" else PREFIX + key
    return InvalidInput(f"{name}: {f'{why} ' if why else ''}{got!r}", field=name, expected=expected, got=repr(got))


USUAL = DriftRules()
