"""Metrics: another model scores each answered row, and a row is healthy iff ``value OPERATOR threshold``."""

import math
import operator as operators
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.errors import InvalidInput
from headrace_functions.names import VersionId, check_name

VALUE = "value"
"""The output of a metric model that counts: one number a row."""
OUTLIERS = "outliers"
"""The metric that the platform makes by itself where it has no ``monitoring-model``: see ``wants_outliers``."""
COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operators.le,
    "<": operators.lt,
    ">=": operators.ge,
    ">": operators.gt,
    "==": operators.eq,
    "!=": operators.ne,
}
KEYS = ("monitoring-model", "threshold", "operator")
RATE = "rate"
"""Of an automatic outlier metric: the wanted share of false alarms."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of a version. ``model`` is the version that scores."""

    name: str
    model: VersionId
    operator: str
    threshold: float

    def __post_init__(self) -> None:
        check_name(self.name)
        if self.operator not in COMPARISONS:
            raise InvalidInput(
                f"operator: {self.operator!r} is none", field="operator", expected=f"one of {' '.join(COMPARISONS)}"
            )
        if not math.isfinite(self.threshold):
            raise InvalidInput("threshold: not a finite number", field="threshold", got=str(self.threshold))

    def healthy(self, value: float) -> bool:
        """NaN is never healthy."""
        return not math.isnan(value) and COMPARISONS[self.operator](value, self.threshold)

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.name,
            "model": str(self.model),
            "operator": self.operator,
            "threshold": self.threshold,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "MetricSpec":
        return cls(
            document["name"],
            VersionId.parse(document["model"], field="model"),
            document["operator"],
            float(document["threshold"]),
        )

    @classmethod
    def of_config(cls, name: str, config: Mapping[str, Any]) -> "MetricSpec | None":
        """A metric as a definition's ``monitoring`` has it; None for the outliers that the platform is to learn by itself.

        ``operator`` is ``<=`` where it is left out. Raises ``InvalidInput`` naming the key.
        """
        automatic = name == OUTLIERS and "monitoring-model" not in config
        known = (RATE,) if automatic else KEYS
        unknown = [key for key in config if key not in known]
        if unknown:
            raise InvalidInput(
                f"{name}: unknown key {unknown[0]!r}", field=unknown[0], expected=f"some of {', '.join(known)}"
            )
        if automatic:
            rate_of(config)
            return None
        for key in ("monitoring-model", "threshold"):
            if key not in config:
                raise InvalidInput(f"{name}: {key} is missing", field=key, expected=f"{', '.join(KEYS)}")
        model = VersionId.parse(str(config["monitoring-model"]), field="monitoring-model")
        return cls(name, model, str(config.get("operator", "<=")), _number(config["threshold"], "threshold"))


def wants_outliers(monitoring: tuple[Mapping[str, Any], ...]) -> float | None:
    """The rate of false alarms that a version wants its outliers with, None where it does not ask for them."""
    for entry in monitoring:
        config = entry.get("config", {})
        if entry["name"] == OUTLIERS and "monitoring-model" not in config:
            return rate_of(config)
    return None


def rate_of(config: Mapping[str, Any]) -> float:
    rate = _number(config.get(RATE, 0.01), RATE)
    if not 0 < rate <= 0.5:
        raise InvalidInput(
            f"{RATE}: {rate} is no rate of false alarms", field=RATE, expected="more than 0, at most 0.5"
        )
    return rate


def _number(value: Any, field: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{field}: {value!r} is not a number", field=field, got=repr(value)) from error
