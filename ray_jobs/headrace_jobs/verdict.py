"""The verdict: what the findings of all tests mean for people.

A finding counts when its p-value, adjusted over all tests of the run (Benjamini and Hochberg 1995, with weights by Genovese, Roeder
and Wasserman 2006), is at most ``alpha`` *and* the lower confidence bound of its effect clears a threshold: a test of a million rows finds differences that nobody
needs to know of, and a test of fifty rows big ones by chance. Effects are shares of rows, so that a threshold can be
discussed: "at least one row in ten lies elsewhere".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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

    effect: float = 0.0
    """Share of rows from which on a finding counts at all, where that is more than these."""
    effects: Mapping[str, float] = field(default_factory=dict)
    """The same of single fields, by name."""

    def thresholds(self, scale: Scale, least: float = 0.0) -> tuple[float, float, float]:
        """From which share on a finding is low, medium, severe; none is below ``least``."""
        low, medium, severe = self.moved if scale == "moved" else self.defect
        return max(low, least), max(medium, least), max(severe, least)


DEFAULT = Policy()


@dataclass(frozen=True, slots=True)
class Judged:
    """A finding with its adjusted p-value and what it means."""

    finding: Finding
    p_adjusted: float
    severity: Severity
    alone: bool = True
    """Whether its p-value would do if nothing else had been found (Bonferroni's correction)."""


def judge(
    findings: Sequence[Finding], policy: Policy, weights: Sequence[float] = (), least: Sequence[float] = ()
) -> list[Judged]:
    """Judge all findings of a run together, in their order; ``weights`` as those of ``adjust``, ``least`` effects that count."""
    if not findings:
        return []
    adjusted = adjust([f.p for f in findings], weights)
    limits = least or [0.0] * len(findings)
    shares = weights or [1 / len(findings)] * len(findings)
    return [
        Judged(f, p, _severity(f, p, policy, limit), f.p <= policy.alpha * share)
        for f, p, limit, share in zip(findings, adjusted, limits, shares, strict=True)
    ]


def adjust(p_values: Sequence[float], weights: Sequence[float] = ()) -> list[float]:
    """Adjusted p-values by Benjamini and Hochberg (1995), in the order given.

    ``weights`` are shares of the error and sum to at most 1: what is left belongs to tests that could not have found anything, and
    that must count all the same. Without weights all p-values have the same.
    """
    p = np.asarray(p_values, np.float64)
    if np.isnan(p).any():
        raise ValueError("a p-value is NaN: the test that made it must clean its input")
    share = np.asarray(weights, np.float64) if len(weights) else np.full(len(p), 1 / max(len(p), 1))
    if share.sum() > 1 + 1e-9:
        raise ValueError("weights of tests sum to more than 1")
    weighed = p / share
    order = np.argsort(-weighed, kind="stable")
    stepped = np.minimum.accumulate(weighed[order] / np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return [float(x) for x in adjusted]


def worst(severities: Sequence[Severity]) -> Severity:
    return max(severities, key=SEVERITIES.index, default="none")


def _severity(finding: Finding, p_adjusted: float, policy: Policy, least: float) -> Severity:
    if p_adjusted > policy.alpha:
        return "none"
    limits = policy.thresholds(finding.scale, least)
    return SEVERITIES[sum(finding.effect_low >= limit for limit in limits)]
