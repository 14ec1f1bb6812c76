"""How often a run without drift cries wolf, and how often it hears a real one. Seeded, so the figures repeat."""

import numpy as np
import pytest
from scipy import stats

from fixtures_jobs import category, number
from headrace_functions.signature import Field
from headrace_functions.views import names
from headrace_jobs.columns import Coded, Column, Numbers
from headrace_jobs.detectors.native import Native
from headrace_jobs.drift.compare import Comparison, compare
from headrace_jobs.scan import Part, reference, summary
from headrace_jobs.verdict import DEFAULT

KINDS = ("normal", "ties", "missing", "rare")
RUNS = 200


def values(kind: str, rows: int, random: np.random.Generator, move: float = 0.0) -> Numbers | Coded:
    """A field without (or with) drift: smooth, with ties, with 5 % missing, or categories of which most are rare."""
    if kind == "rare":
        weights = 0.5 ** np.arange(1, 13)
        return Coded(random.choice(12, rows, p=weights / weights.sum()), tuple(f"c{i}" for i in range(12)))
    found = random.normal(move, 1, rows)
    if kind == "ties":
        found = found.round()
    if kind == "missing":
        found[random.random(rows) < 0.05] = np.nan
    return Numbers(found)


def alarms(fields: int, rows: int, seed: int, move: float = 0.0) -> dict[str, str]:
    """Severities of a run over ``fields`` fields of every kind in turn; the first one is normal and may move."""
    random = np.random.default_rng(seed)
    views, references, counted = {}, {}, {}
    for i in range(fields):
        kind = KINDS[i % len(KINDS)]
        field: Field = category(f"f{i}") if kind == "rare" else number(f"f{i}")
        column = Column(field, "input", f"in.f{i}")
        (view,) = names(field)
        key = column.key(view)
        views[key] = (column, view)
        references[key] = reference(values(kind, 2000, random), key, 0)
        counted[key] = summary(values(kind, rows, random, move if i == 0 else 0.0), references[key], rows)
    sides = Comparison(2000, references, views, Part(rows=rows, views=counted), 1)
    judged = compare(sides, Native(), DEFAULT)
    return {
        key: max((j.severity for j in found), key=["none", "low", "medium", "severe"].index)
        for key, found in judged.items()
    }


@pytest.mark.parametrize(("fields", "rows"), [(1, 100), (10, 100), (10, 500), (10, 2000), (40, 500)])
def test_a_run_without_drift_raises_an_alarm_in_at_most_one_of_twenty(fields: int, rows: int) -> None:
    """At most what chance allows of a rate of 5 % (99.9 % quantile)."""
    raised = sum(any(s != "none" for s in alarms(fields, rows, seed).values()) for seed in range(RUNS))

    assert raised <= stats.binom.ppf(0.999, RUNS, 0.05)


def test_a_shift_of_a_third_of_a_standard_deviation_in_one_field_of_ten_is_found() -> None:
    """n = 500, +0.3 sd: at least 90 % of the runs, and the other nine fields stay quiet in most."""
    runs = [alarms(10, 500, seed, move=0.3) for seed in range(100)]

    assert sum(run["in.f0|"] != "none" for run in runs) >= 90
    assert sum(any(s != "none" for k, s in run.items() if k != "in.f0|") for run in runs) <= 12
