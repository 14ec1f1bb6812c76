"""What a version must reach: ``accuracy>=0.9``, or held against another version: ``accuracy>=baseline-0.01``."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headrace_controller.evaluation.figures import FIGURES
from headrace_functions.errors import InvalidInput

BASELINE = "baseline"
MAX_REQUIREMENTS = 50
_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_TEXT = re.compile(
    rf"\s*([a-z0-9_]+)\s*(>=|<=|>|<)\s*(?:(-?{_NUMBER})|({BASELINE})(?:\s*([+*-])\s*({_NUMBER}))?)\s*", re.ASCII
)
_EXPECTED = (
    "FIGURE>=NUMBER (or <=, >, <), where NUMBER may be baseline, baseline-0.01 or baseline*1.05, e.g. accuracy>=0.9"
)


@dataclass(frozen=True, slots=True)
class Requirement:
    text: str
    figure: str
    operator: str
    number: float | None
    """None: the limit is the figure of the baseline, changed by ``change``."""
    change: tuple[str, float] = ("+", 0.0)

    @property
    def relative(self) -> bool:
        return self.number is None

    @classmethod
    def several(cls, texts: Iterable[str]) -> list["Requirement"]:
        """Those of texts that each hold some, separated by commas."""
        return [cls.parse(part) for text in texts for part in text.split(",")]

    @classmethod
    def parse(cls, text: str) -> "Requirement":
        """Raises ``InvalidInput`` naming the text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise InvalidInput(
                f"require: {text[:100]!r} is not a requirement", field="require", expected=_EXPECTED, got=text[:100]
            )
        figure, operator, number, _, sign, by = found.groups()
        if figure not in FIGURES:
            raise InvalidInput(
                f"require: there is no figure {figure[:100]!r}",
                field="require",
                expected=f"one of {', '.join(FIGURES)}",
            )
        change = (sign, float(by)) if sign else ("+", 0.0)
        return cls("".join(text.split()), figure, operator, None if number is None else float(number), change)

    def limit(self, baseline: Mapping[str, float]) -> float | None:
        """The number that the figure is held against; None where the baseline lacks it."""
        if self.number is not None:
            return self.number
        if self.figure not in baseline:
            return None
        sign, by = self.change
        known = baseline[self.figure]
        return known * by if sign == "*" else known + by if sign == "+" else known - by


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement held against what was found. ``note`` says why there is no value or no limit."""

    requirement: str
    value: float | None
    limit: float | None
    held: bool
    note: str = ""

    @property
    def sentence(self) -> str:
        if self.note:
            return f"{self.requirement}: {self.note}"
        beside = "" if f"{self.limit:g}" in self.requirement else f" (the limit is {self.limit:.6g})"
        return f"{self.requirement}: it is {self.value:.6g}{beside}"


def judge(requirement: Requirement, figures: Mapping[str, float], baseline: Mapping[str, float] | None) -> Finding:
    """``baseline`` None: there is none yet, and what is held against one is met."""
    value = figures.get(requirement.figure)
    if value is None:
        known = ", ".join(figures) or "none"
        return Finding(
            requirement.text, None, None, held=False, note=f"the file gives no {requirement.figure}; it gives {known}"
        )
    if requirement.relative and baseline is None:
        return Finding(requirement.text, value, None, held=True, note="there is no baseline yet")
    limit = requirement.limit(baseline or {})
    if limit is None:
        return Finding(requirement.text, value, None, held=False, note=f"the baseline has no {requirement.figure}")
    return Finding(requirement.text, value, limit, held=_holds(value, requirement.operator, limit))


def _holds(value: float, operator: str, limit: float) -> bool:
    """Differences in the last digits, which sums of decimal fractions have, decide nothing."""
    slack = 1e-12 * max(abs(value), abs(limit), 1.0)
    close = abs(value - limit) <= slack
    if operator in (">=", "<="):
        return close or (value > limit) is (operator == ">=")
    return not close and (value > limit) is (operator == ">")
