"""Counting health beside the log, and reading it as a page does: rows a second of 20 fields, and a heat map of 50."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace_controller.health.aggregate import of_log
from headrace_controller.health.frame import Frame
from headrace_controller.health.plan import Plan, plan_of
from headrace_controller.health.reader import HealthReader
from headrace_controller.health.table import LOG, HealthTables
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

NOON = datetime(2026, 11, 26, tzinfo=UTC)
SCORE = Field("score", dtype("float64"), profile="numerical")
ROWS, DAY = 50_000, 1440


def fields(numbers: int, words: int) -> list[Field]:
    found = [Field(f"n{i}", dtype("float64"), profile="numerical") for i in range(numbers)]
    return found + [Field(f"c{i}", dtype("string"), profile="categorical") for i in range(words)]


def drawn(random: np.random.Generator, wanted: list[Field], n: int) -> dict[str, np.ndarray]:
    letters = np.array(list("abcdefg"), object)
    return {f.name: random.normal(size=n) if f.name[0] == "n" else random.choice(letters, n) for f in wanted}


def planned(wanted: list[Field]) -> tuple[Version, Plan]:
    version = Version(VersionId("m", 1), "python", Signature(tuple(wanted), (SCORE,)), "0", "e", "c")
    return version, plan_of(version, Profile.of_columns(drawn(np.random.default_rng(1), wanted, 5000), wanted), None)


def test_counting_rows_of_twenty_fields() -> None:
    wanted, random = fields(15, 5), np.random.default_rng(2)
    version, plan = planned(wanted)
    received = [NOON + timedelta(milliseconds=20 * i) for i in range(ROWS)]
    table = pa.table(
        {
            "received": pa.array(received, pa.timestamp("us", tz="UTC")),
            "row": pa.array(np.zeros(ROWS, np.int32)),
            "outcome": ["ok"] * ROWS,
            "latency_ms": random.exponential(5, ROWS),
            "out.score": random.normal(size=ROWS),
            **{f"in.{name}": pa.array(values) for name, values in drawn(random, wanted, ROWS).items()},
        }
    )
    seconds = min(timed(lambda: of_log(plan, version.signature, table)) for _ in range(5))
    print(
        f"\n{ROWS / seconds:,.0f} rows a second of 20 fields on one core, {ROWS:,} rows over {ROWS / 3000:.0f} minutes"
    )


def test_a_heat_map_of_fifty_fields_and_two_hundred_buckets(tmp_path: Path) -> None:
    wanted, random = fields(50, 0), np.random.default_rng(3)
    version, plan = planned(wanted)
    tables = HealthTables(ObjectStore(str(tmp_path)))
    number, first = tables.begin(version.id, plan), int(NOON.timestamp())
    day = Frame.empty(plan.width, len(plan.series), range(first, first + DAY * 60, 60))
    day.counts[:], day.rows[:] = random.integers(0, 9, day.counts.shape), 5
    tables.append(version.id, number, day, {LOG: 0})
    reader, until = HealthReader(ObjectStore(str(tmp_path))), NOON + timedelta(minutes=200)
    print("\n| 200 minutes × 50 fields | p50 ms | p95 ms |\n|---|---|---|")
    shown(
        "first look of a process",
        [
            1000 * timed(lambda: HealthReader(ObjectStore(str(tmp_path))).series(version.id, NOON, until))
            for _ in range(5)
        ],
    )
    reader.series(version.id, NOON, until)
    shown("nothing new", [1000 * timed(lambda: reader.series(version.id, NOON, until)) for _ in range(100)])
    grown = []
    for commit in range(1, 41):
        tables.append(version.id, number, Frame.empty(plan.width, len(plan.series), [first + 6000]), {LOG: commit})
        grown.append(1000 * timed(lambda: reader.series(version.id, NOON, until)))
    shown("after each commit", grown)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def shown(name: str, milliseconds: list[float]) -> None:
    ordered = sorted(milliseconds)
    print(f"| {name} | {ordered[len(ordered) // 2]:.1f} | {ordered[int(len(ordered) * 0.95)]:.1f} |")
