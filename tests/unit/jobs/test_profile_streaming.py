"""The profile of training data that is bigger than the memory it takes."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fixtures_jobs import category, given_version, number, objects
from headrace_functions.profile import Profile
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_functions.views import Array
from headrace_jobs.profiles import training
from headrace_jobs.profiles.profiling import make_profile, profile_of

__all__ = ["objects"]

FIELDS = [*(number(f"n{i}") for i in range(8)), category("plan")]
PLANS = np.array(["free", "plus", "pro", None], object)


def rows(count: int, seed: int) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    found: dict[str, Array] = {f"n{i}": random.normal(i, 1 + i, count) for i in range(8)}
    found["n3"][::7] = np.nan
    return {**found, "plan": PLANS[random.integers(0, 4, count)], "score": random.random(count)}


def given(objects: ObjectStore, count: int) -> tuple[Version, dict[str, Array]]:
    data = rows(count, 0)
    version = given_version(objects, FIELDS, data)
    if objects.exists(layout.profile(version.id)):
        objects.delete(layout.profile(version.id))
    return version, data


def test_a_streamed_profile_of_few_rows_is_the_one_that_the_build_makes(objects: ObjectStore) -> None:
    version, data = given(objects, 5000)
    expected = Profile.of_columns(data, version.signature.inputs)

    found = profile_of(training.profile_training(objects, version, ("input",)), version.signature.inputs)

    assert found.rows == expected.rows
    for field in FIELDS:
        (one,), (other,) = found.fields[field.name], expected.fields[field.name]
        assert (one.count, one.missing, one.categories) == (other.count, other.missing, other.categories)
        if one.numbers is not None and other.numbers is not None:
            assert one.numbers.histogram == other.numbers.histogram
            assert one.numbers.quantiles == other.numbers.quantiles
            assert one.numbers.mean == pytest.approx(other.numbers.mean, rel=1e-12)


def test_a_streamed_profile_of_many_rows_counts_every_row_and_samples_quantiles(
    objects: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, data = given(objects, 120_000)
    monkeypatch.setattr(training, "BATCH", 10_000)
    expected = Profile.of_columns(data, version.signature.inputs)

    key = make_profile(objects, version.id)
    found = Profile.from_document(Documents(objects).find(key) or {})

    for field in FIELDS[:8]:
        one, other = found.fields[field.name][0].numbers, expected.fields[field.name][0].numbers
        assert one is not None
        assert other is not None
        assert (one.min, one.max) == (other.min, other.max)
        assert one.std == pytest.approx(other.std, rel=1e-9)
        assert one.kurtosis == pytest.approx(other.kurtosis, rel=1e-6, abs=1e-6)
        assert sum(one.histogram) == sum(other.histogram)
        assert one.distinct == pytest.approx(other.distinct, rel=0.08)
        assert one.quantiles is not None
        assert other.quantiles is not None
        assert one.quantiles["0.5"] == pytest.approx(other.quantiles["0.5"], abs=0.05 * (one.std or 0))
    assert found.fields["plan"] == expected.fields["plan"]


def test_a_profile_that_is_there_is_not_made_again(objects: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    version, _ = given(objects, 200)
    key = make_profile(objects, version.id)
    monkeypatch.setattr("headrace_jobs.profiles.profiling.profile_training", None)

    assert make_profile(objects, version.id) == key


class Bucket(ObjectStore):
    """A store that is no directory, and whose objects are too big to be had at once."""

    directory = None

    def get(self, key: str) -> bytes:
        assert not key.endswith(".parquet"), "read whole"
        return super().get(key)


def test_training_data_of_a_bucket_is_read_from_a_disk_and_leaves_nothing_there(
    objects: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, data = given(objects, 5000)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bucket = Bucket(objects.url)

    found = training.profile_training(bucket, version, ("input",))

    assert profile_of(found, version.signature.inputs) == profile_of(
        training.profile_training(objects, version, ("input",)), version.signature.inputs
    )
    assert len(data["n0"]) == found.rows
    assert list(tmp_path.glob("training-*")) == []


def test_the_profile_of_a_file_takes_a_fraction_of_its_memory(objects: ObjectStore, tmp_path: Path) -> None:
    """A quarter of it, of all that numpy and Arrow allocate; it would be the same for a file of any length."""
    version, _ = given(objects, 1000)
    target = objects.directory / layout.training(version.id) if objects.directory is not None else tmp_path
    block = pa.table(rows(100_000, 1))
    with pq.ParquetWriter(target, block.schema) as writer:
        for _ in range(35):
            writer.write_table(block)
    whole = 35 * block.nbytes
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)

    tracemalloc.start()
    try:
        found = training.profile_training(objects, version, ("input",))
        taken = tracemalloc.get_traced_memory()[1] + (pool.max_memory() or 0)
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(before)

    assert found.rows == 3_500_000
    assert taken < whole / 4
