"""Pages at scale: models with thirty days of health of fifty fields each. ``HEADRACE_BENCH_MODELS`` says how many (200)."""

import os
import shutil
import time
from datetime import UTC, datetime

import numpy as np
import pytest
from flask.testing import FlaskClient

from controller_support import FakeServices, make_platform
from headrace_controller.api.application import create_app
from headrace_controller.health.frame import Frame, joined
from headrace_controller.health.plan import plan_of
from headrace_controller.health.table import LOG, HealthTables
from headrace_controller.pages import blueprint
from headrace_controller.service.platform import Platform
from headrace_functions.names import VersionId
from headrace_functions.profile import Profile
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.version import Version

MODELS = int(os.environ.get("HEADRACE_BENCH_MODELS", "200"))
FIELDS, DAYS, REPEATS = 50, 30, 20
INPUTS = tuple(Field(f"n{i}", dtype("float64"), profile="numerical") for i in range(FIELDS))
SCORE = Field("score", dtype("float64"), profile="numerical")


def described(version: VersionId) -> Version:
    return Version(version, "python", Signature(INPUTS, (SCORE,)), "0" * 64, "environment", "content")


def frame_of(now: int, first: int, last: int, step: int) -> Frame:
    """A hundred requests a minute of quiet traffic."""
    random = np.random.default_rng(first)
    starts = list(range(first - first % step, last, step))
    found = Frame.empty(PLAN.width, len(PLAN.series), starts, step)
    rows = 100 * step // 60
    found.rows[:] = rows
    for place, series in enumerate(PLAN.series):
        begin = PLAN.offsets[place]
        found.counts[:, begin], found.counts[:, begin + 1] = rows, rows
        shares = np.asarray(series.expected[1:])
        found.counts[:, begin + 3 : begin + series.width] = random.multinomial(rows, shares / shares.sum(), len(starts))
        found.sums[:, place], found.lows[:, place], found.highs[:, place] = 0.0, -3.0, 3.0
    found.latency[:, 20] = rows
    tallies = tuple({"outcomes": {"ok": rows}} for _ in starts)
    del now
    return Frame(**{**vars(found), "tallies": tallies})


PROFILE = Profile.of_columns({f.name: np.random.default_rng(1).normal(size=5000) for f in INPUTS}, INPUTS)
ANSWERS = Profile.of_columns({"score": np.random.default_rng(2).normal(size=5000)}, (SCORE,))
PLAN = plan_of(described(VersionId("m0", 1)), PROFILE, ANSWERS)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    found = make_platform(tmp_path_factory.mktemp("home") / "home", FakeServices([]))
    objects = found.catalog.documents.objects
    now = int(datetime.now(UTC).timestamp())
    recent, begun = now - 2 * 86_400, now - DAYS * 86_400
    tables = HealthTables(objects)
    first = VersionId("m0", 1)
    for i in range(MODELS):
        version = VersionId(f"m{i}", 1)
        found.catalog.claim_name(version.model, "model")
        given = {"definition": {"kind": "Model", "name": version.model, "metadata": {}}, "content": str(i)}
        found.catalog.claim_version(version.model, {**given, "artifact": "0" * 64, "training": None, "created": ""})
        found.catalog.write_version(described(version))
        found.catalog.add_status(version, "released")
        tables.begin(version, PLAN)
        if i == 0:
            parts = [frame_of(now, begun, recent, 3600), frame_of(now, recent, now, 60)]
            tables.append(first, 1, joined(parts, Frame.empty(PLAN.width, len(PLAN.series))), {LOG: 1})
        elif objects.directory is not None:
            source, target = (objects.directory / layout.health_table(v, 1) for v in (first, version))
            shutil.copytree(source, target, dirs_exist_ok=True)
    return found


def asked(client: FlaskClient, path: str) -> float:
    started = time.perf_counter()
    assert client.get(path).status_code == 200, path
    return 1000 * (time.perf_counter() - started)


def test_server_time_of_pages(platform: Platform) -> None:
    client = create_app(platform, blueprint(platform)).test_client()
    print(f"\n| page, {MODELS} models, {DAYS} days, {FIELDS} fields | first ms | p50 ms | p95 ms |\n|---|---|---|---|")
    for path in (
        "/",
        "/?range=24h",
        "/models/m1",
        "/models/m1?range=7d",
        "/models/m1?range=30d",
        "/incidents",
        "/rules",
        "/settings",
    ):
        first = asked(client, path)
        times = sorted(asked(client, path) for _ in range(REPEATS))
        print(f"| {path} | {first:.0f} | {times[len(times) // 2]:.0f} | {times[int(0.95 * len(times))]:.0f} |")


def test_watching_all_of_them(platform: Platform) -> None:
    started = time.perf_counter()
    platform.watch.step()
    first = time.perf_counter() - started
    started = time.perf_counter()
    platform.watch.step()
    print(
        f"\nwatching {MODELS} versions: {first:.1f} s at first, {time.perf_counter() - started:.2f} s where nothing is new"
    )
