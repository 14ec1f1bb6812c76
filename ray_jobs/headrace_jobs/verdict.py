"""The verdict: what the findings of all tests mean for people.

A finding counts when its p-value, adjusted over all tests of the run (Benjamini and Hochberg 1995), is at most ``alpha``
*and* the lower confidence bound of its effect clears a threshold: a test of a million rows finds differences that nobody
needs to know of, and a test of fifty rows big ones by chance. Effects are shares of rows, so that a threshold can be
discussed: "at least one row in ten lies elsewhere".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from headrace_jobs.detectors.base import Finding, Scale

Severity = Literal["none", "low", "medium", "severe"]
Verdict = Literal["drift", "no-drift", "not-enough-data"]
SEVERITIES: tuple[Severity, ...] = ("none", "low", "medium", "severe")


@dataclass(frozen=True, slots=True)
class Policy:
    """When a difference is drift."""

    alpha: float = 0.05
    """Share of false discoveries that is accepted among the discoveries."""
    min_rows: int = 30
    """Rows that window and reference must have; with fewer the verdict is *not enough data*."""
    moved: tuple[float, float, float] = (0.02, 0.10, 0.25)
    """Share of rows that moved, from which a finding is low, medium, severe."""
    defect: tuple[float, float, float] = (0.01, 0.05, 0.20)
    """Share of rows with a defect (missing, unseen, out of range), from which a finding is low, medium, severe."""

    def thresholds(self, scale: Scale) -> tuple[float, float, float]:
        return self.moved if scale == "moved" else self.defect


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with its adjusted p-value and what it means."""

    finding: Finding
    p_adjusted: float
    severity: Severity


def judge(findings: Sequence[Finding], policy: Policy) -> list[Judged]:
    """Judge all findings of a run together, in their order."""
    adjusted = adjust([f.p for f in findings])
    return [Judged(f, p, _severity(f, p, policy)) for f, p in zip(findings, adjusted, strict=True)]


def adjust(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values by Benjamini and Hochberg (1995), in the order given."""
    p = np.asarray(p_values, np.float64)
    if np.isnan(p).any():
        raise ValueError("a p-value is NaN: the test that made it must clean its input")
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    stepped = np.minimum.accumulate(p[order] * len(p) / ranks)
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(x) for x in adjusted]


def worst(severities: Sequence[Severity]) -> Severity:
    return max(severities, key=SEVERITIES.index, default="none")


def _severity(finding: Finding, p_adjusted: float, policy: Policy) -> Severity:
    if p_adjusted > policy.alpha:
        return "none"
    return SEVERITIES[sum(finding.effect_low >= threshold for threshold in policy.thresholds(finding.scale))]
