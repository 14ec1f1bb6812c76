"""Forty planted faults in traffic are found with the right field first, and a month without any opens nothing."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headrace_controller.health.aggregate import of_log
from headrace_controller.health.buckets import Bucket, buckets_of
from headrace_controller.health.plan import Plan, plan_of
from headrace_controller.health.shift import moved
from headrace_controller.incidents.evaluation import evaluate
from headrace_controller.incidents.rules import LOOKS, MOVED, WANTED, findings
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.version import Version

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
NUMBERS = ("age", "income", "charges", "tenure")
WORDS = ("plan", "region")
SIGNATURE = Signature(
    tuple(Field(n, dtype("float64"), profile="numerical") for n in NUMBERS)
    + tuple(Field(n, dtype("string"), profile="categorical") for n in WORDS),
    (Field("score", dtype("float64"), profile="numerical"),),
)
MINUTES, ROWS, FAULTY = 30, 40, 3
Columns = dict[str, np.ndarray]


def rows(random: np.random.Generator, n: int) -> Columns:
    return {
        "age": random.normal(45, 12, n),
        "income": random.lognormal(8, 0.6, n),
        "charges": random.uniform(20, 110, n),
        "tenure": random.integers(0, 72, n).astype(float),
        "plan": random.choice(np.array(["a", "b", "c"], object), n, p=[0.6, 0.3, 0.1]),
        "region": random.choice(np.array(["north", "south", "east", "west"], object), n),
    }


def score(columns: Columns) -> np.ndarray:
    known = np.nan_to_num(columns["charges"]) / 110 + np.nan_to_num(columns["age"]) / 100
    return 1 / (1 + np.exp(-known))


def trained() -> Plan:
    columns = rows(np.random.default_rng(1), 4000)
    answers = Profile.of_columns({"score": score(columns)}, SIGNATURE.outputs)
    version = Version(VersionId("churn", 3), "python", SIGNATURE, "0", "e", "c")
    return plan_of(version, Profile.of_columns(columns, SIGNATURE.inputs), answers)


PLAN = trained()


def traffic(seed: int, field: str, fault: Callable[[np.ndarray], np.ndarray]) -> list[Bucket]:
    """Half an hour, the last minutes of it with the fault."""
    random = np.random.default_rng(seed)
    n = MINUTES * ROWS
    columns = rows(random, n)
    bad = np.arange(n) >= n - FAULTY * ROWS
    columns[field] = np.where(bad, fault(columns[field]), columns[field])
    received = [NOON + timedelta(seconds=60 / ROWS * i) for i in range(n)]
    table = {"received": pa.array(received, pa.timestamp("us", tz="UTC")), "row": pa.array([0] * n, pa.int32())}
    table |= {"outcome": pa.array(["ok"] * n), "latency_ms": pa.array(random.gamma(4, 2, n))}
    table |= {f"in.{name}": pa.array(values, from_pandas=True) for name, values in columns.items()}
    frame = of_log(PLAN, SIGNATURE, pa.table({**table, "out.score": pa.array(score(columns))}))
    starts = range(int(NOON.timestamp()), int(NOON.timestamp()) + MINUTES * 60, 60)
    return list(buckets_of(PLAN, frame, list(starts), 60).values())


FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "× 100": lambda v: v * 100,
    "÷ 1000": lambda v: v / 1000,
    "null": lambda v: np.full(len(v), np.nan),
    "constant": lambda v: np.full(len(v), v[0]),
    "sign": lambda v: -v - 1,
    "doubled": lambda v: v * 2 + 40,
    "half are null": lambda v: np.where(np.arange(len(v)) % 2, np.nan, v),
    "half are × 100": lambda v: np.where(np.arange(len(v)) % 2, v * 100, v),
}
WORD_FAULTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "new": lambda v: np.full(len(v), "zzz", object),
    "one": lambda v: np.full(len(v), v[0], object),
    "null": lambda v: np.full(len(v), None, object),
    "cased": lambda v: np.array([str(x).upper() for x in v], object),
}
PLANTED: list[Any] = [(f, w, FAULTS[w]) for f in NUMBERS for w in FAULTS]
PLANTED += [(f, w, WORD_FAULTS[w]) for f in WORDS for w in WORD_FAULTS]


def test_of_forty_planted_faults_all_but_two_are_one_incident_with_the_right_field_first() -> None:
    now = NOON + timedelta(minutes=MINUTES)
    found = []
    for seed, (field, what, fault) in enumerate(PLANTED):
        steps, _ = evaluate([], findings("churn:3", traffic(seed, field, fault), now), {}, lambda _a, _b: False, now)
        first = [s.chain[0].field for s in steps]
        found.append((field, what, first == [field]))
    assert 40 == len(found)
    assert 38 <= sum(right for _, _, right in found), [f for f in found if not f[2]]


def test_half_an_hour_without_a_fault_has_no_finding() -> None:
    now = NOON + timedelta(minutes=MINUTES)
    for seed in range(20):
        assert [] == findings("churn:3", traffic(100 + seed, "age", lambda v: v), now)


@pytest.mark.parametrize("rows", [30, 100])
def test_a_month_of_minutes_like_training_opens_nothing(rows: int) -> None:
    """Six fields, rare categories among them, which a normal approximation is worst at."""
    random, minutes = np.random.default_rng(3), 43_200
    for shares in ([0.5, 0.3, 0.1, 0.05, 0.02, 0.01, 0.01, 0.005, 0.005], [0.05] * 20):
        series = next(s for s in PLAN.series if s.name == "age")
        like = type(series)(
            **{
                **vars(series),
                "edges": tuple(float(i) for i in range(len(shares) + 1)),
                "expected": (0.0, 0.0, *shares, 0.0),
                "trained": 4000,
            }
        )
        for _ in range(3):
            counts = np.zeros((minutes, like.width), np.int64)
            counts[:, 0] = rows
            counts[:, 4:-1] = random.multinomial(rows, shares, size=minutes)
            bad = np.array([share >= MOVED["low"] for share in moved(like, counts) if share is not None])
            looked_at = np.convolve(bad, np.ones(LOOKS, int), "valid")
            assert not (looked_at >= WANTED).any()
