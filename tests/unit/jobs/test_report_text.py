"""Sentences of reports."""

import pytest

from headrace_jobs import report_text
from headrace_jobs.report.models.drift import FieldDrift, Side


@pytest.mark.parametrize(
    ("mean", "std", "said"),
    [
        (4.17e-16, 1.0, "mean 0 → 0.4"),
        (-3.2e-11, 0.5, "mean 0 → 0.4"),
        (-0.0135, 1.0, "mean −0.0135 → 0.4"),
        (4.17e-16, 1e-15, "mean 4.17e−16 → 0.4"),
        (1e-12, None, "mean 1e−12 → 0.4"),
    ],
)
def test_a_mean_that_only_rounding_keeps_from_zero_is_zero(mean: float, std: float | None, said: str) -> None:
    before, now = Side(rows=100, missing=0, mean=mean, std=std), Side(rows=100, missing=0, mean=0.4, std=std)
    field = FieldDrift.model_construct(name="x", kind="number", reference=before, window=now, bars=())
    assert said == report_text._moved(field)
