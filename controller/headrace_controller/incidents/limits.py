"""Limits that a person has set for a rule of a model: they win over the defaults and over what is learnt. Pure."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headrace_controller.incidents.model import RANK
from headrace_functions.errors import InvalidInput

LOOKS, WANTED = 3, 2
MOST_LOOKS = 60
SHARES = ("moved", "checks", "errors", "metric")
"""Rules whose limits are shares of rows or requests, 0 to 1."""
UNITS: Mapping[str, str] = {
    **dict.fromkeys(SHARES, "a share, more than 0 and at most 1"),
    "latency": "milliseconds of the 95th percentile, more than 0",
    "silence": "minutes without a request, 1 to 150",
}
SWITCHES = ("drift", "performance", "quality", "build", "job", "service")
"""Rules that are only on or off."""
RULES = (*UNITS, *SWITCHES)
LEVELS = tuple(RANK)
MOST_MINUTES = 150


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one rule; of every field where ``field`` is empty."""

    rule: str
    field: str = ""
    levels: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """From where it is ``low``, ``medium``, ``severe``; a level that is left out is never reached."""
    wanted: int = WANTED
    looks: int = LOOKS
    """It is broken where ``wanted`` of the last ``looks`` looks are beyond a limit."""
    off: bool = False

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise InvalidInput(
                f"rule: there is no rule {self.rule!r}", field="rule", expected=f"one of {', '.join(RULES)}"
            )
        if not 1 <= self.wanted <= self.looks <= MOST_LOOKS:
            raise InvalidInput(
                f"wanted: {self.wanted} of {self.looks} looks is not allowed",
                field="wanted",
                expected=f"1 <= wanted <= looks <= {MOST_LOOKS}",
            )
        self._check_levels()

    def _check_levels(self) -> None:
        if self.off:
            return
        if self.rule in SWITCHES:
            raise InvalidInput(
                f"{self.rule} has no limits",
                field="off",
                expected="off: true, or remove the limits that were set for it",
            )
        if not self.levels:
            raise InvalidInput(
                f"{self.rule}: no limit is set", field="low", expected="at least one of low, medium and severe"
            )
        most = {"latency": math.inf, "silence": MOST_MINUTES}.get(self.rule, 1.0)
        before = 0.0
        for level in (name for name in LEVELS if name in self.levels):
            value = self.levels[level]
            if not (math.isfinite(value) and before < value <= most):
                more = f", and more than the level before it ({before:g})" if before else ""
                raise InvalidInput(
                    f"{level}: {value:g} is not allowed", field=level, expected=f"{UNITS[self.rule]}{more}"
                )
            before = value

    def to_document(self) -> dict[str, Any]:
        levels = {name: self.levels[name] for name in LEVELS if name in self.levels}
        more = {"levels": levels, "wanted": self.wanted, "looks": self.looks, "off": self.off}
        return {"rule": self.rule, "field": self.field, **more}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Limits":
        return cls(**document)


def chosen(own: Sequence[Limits], rule: str, name: str) -> Limits | None:
    """The limits of a rule for a field: the field's own, else those for every field, else None."""
    of_rule = {limits.field: limits for limits in own if limits.rule == rule}
    return of_rule.get(name) or of_rule.get("")
