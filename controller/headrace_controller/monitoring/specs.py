"""Metrics: another model or a formula gives each answered row a value, and a row is healthy iff ``value OPERATOR threshold``."""

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
FORMULA_KEYS = ("expression", "threshold", "operator")
RATE = "rate"
"""Of an automatic outlier metric: the wanted share of false alarms."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric of a version: ``model`` is the version that scores, or ``expression`` the formula.

    A formula that is true or false has no threshold: rows for which it is true are unhealthy.
    """

    name: str
    model: VersionId | None
    operator: str
    threshold: float | None
    expression: str = ""

    def __post_init__(self) -> None:
        check_name(self.name)
        self._check_source()
        if self.operator not in COMPARISONS:
            raise InvalidInput(
                f"operator: {self.operator!r} is not a valid operator",
                field="operator",
                expected=f"one of {' '.join(COMPARISONS)}",
            )
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InvalidInput("threshold: not a finite number", field="threshold", got=str(self.threshold))

    def _check_source(self) -> None:
        if (self.model is None) == (not self.expression.strip()):
            raise InvalidInput(
                f"{self.name}: a metric is either a model or an expression",
                field="expression" if self.model else "model",
                expected="one of 'model' (MODEL:NUMBER of the version that scores) and 'expression' (a formula over inputs and outputs)",
            )
        if self.model is not None and self.threshold is None:
            raise InvalidInput(f"{self.name}: threshold is missing", field="threshold", expected="a number")

    def check_kind(self, boolean: bool) -> None:
        """Raises ``InvalidInput`` unless the threshold fits a formula that is true or false, or one that gives numbers."""
        if boolean and self.threshold is not None:
            raise InvalidInput(
                f"{self.name}: {self.expression!r} is true or false, so it has no threshold",
                field="threshold",
                expected="no threshold: rows for which the expression is true are unhealthy",
            )
        if not boolean and self.threshold is None:
            raise InvalidInput(
                f"{self.name}: {self.expression!r} gives numbers, so it needs a threshold",
                field="threshold",
                expected="a number; a row is healthy if and only if value OPERATOR threshold",
            )

    def healthy(self, value: float) -> bool:
        """NaN is never healthy."""
        if self.threshold is None:
            return value == 0
        return not math.isnan(value) and COMPARISONS[self.operator](value, self.threshold)

    @property
    def condition(self) -> str:
        """What a healthy row satisfies, for people."""
        if self.threshold is None:
            return f"not ({self.expression})"
        return f"{self.expression or VALUE} {self.operator} {self.threshold:g}"

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "name": self.name,
            "model": str(self.model) if self.model else None,
            "operator": self.operator,
            "threshold": self.threshold,
            **({"expression": self.expression} if self.expression else {}),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "MetricSpec":
        return cls(
            document["name"],
            VersionId.parse(document["model"], field="model") if document["model"] else None,
            document["operator"],
            None if document["threshold"] is None else float(document["threshold"]),
            document.get("expression", ""),
        )

    @classmethod
    def of_config(cls, name: str, config: Mapping[str, Any]) -> "MetricSpec | None":
        """A metric as a definition's ``monitoring`` has it; None for the outliers that the platform is to learn by itself.

        ``operator`` is ``<=`` where it is left out. Raises ``InvalidInput`` naming the key.
        """
        automatic = name == OUTLIERS and "monitoring-model" not in config and "expression" not in config
        formula = "expression" in config
        if formula and "monitoring-model" in config:
            raise InvalidInput(
                f"{name}: a metric is either a model or an expression",
                field="expression",
                expected="one of monitoring-model and expression",
            )
        known = (RATE,) if automatic else FORMULA_KEYS if formula else KEYS
        unknown = [key for key in config if key not in known]
        if unknown:
            raise InvalidInput(
                f"{name}: unknown key {unknown[0]!r}", field=unknown[0], expected=f"some of {', '.join(known)}"
            )
        if automatic:
            rate_of(config)
            return None
        operator = str(config.get("operator", "<="))
        if formula:
            threshold = _number(config["threshold"], "threshold") if "threshold" in config else None
            return cls(name, None, operator, threshold, str(config["expression"]))
        for key in ("monitoring-model", "threshold"):
            if key not in config:
                raise InvalidInput(f"{name}: {key} is missing", field=key, expected=f"{', '.join(KEYS)}")
        model = VersionId.parse(str(config["monitoring-model"]).replace("_", "-"), field="monitoring-model")
        return cls(name, model, operator, _number(config["threshold"], "threshold"))


def wants_outliers(monitoring: tuple[Mapping[str, Any], ...]) -> float | None:
    """The rate of false alarms that a version wants its outliers with, None where it does not ask for them."""
    for entry in monitoring:
        config = entry.get("config", {})
        if entry["name"] == OUTLIERS and "monitoring-model" not in config and "expression" not in config:
            return rate_of(config)
    return None


def rate_of(config: Mapping[str, Any]) -> float:
    rate = _number(config.get(RATE, 0.01), RATE)
    if not 0 < rate <= 0.5:
        raise InvalidInput(
            f"{RATE}: {rate} is not a valid false-alarm rate", field=RATE, expected="more than 0, at most 0.5"
        )
    return rate


def _number(value: Any, field: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"{field}: {value!r} is not a number", field=field, got=repr(value)) from error
