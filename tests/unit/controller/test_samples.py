"""Samples: rows as training has them, the same for the same seed, bounded, and an error where there are none."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from controller_support import FakeServices, make_platform, release
from headrace_controller.service.platform import Platform
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from support.versions import number, version

FIELDS = (number("x"), number("z"))
ROWS = [{"x": float(n), "z": float(-n)} for n in range(50)]


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    found = make_platform(tmp_path / "home", FakeServices())
    catalog = found.catalog
    of = catalog.claim_version("m", {"definition": {}, "content": "c", "artifact": "a", "created": "2026"})
    made = version("m", of.number, inputs=FIELDS, training=layout.training(of))
    table = pa.Table.from_pylist([{**row, "label": 1} for row in ROWS])
    file = tmp_path / "training.parquet"
    pq.write_table(table, file)
    catalog.documents.objects.put(layout.training(of), file)
    catalog.write_version(made)
    catalog.add_status(of, "released")
    release(catalog, "bare")
    return found


def test_rows_are_those_of_training_without_its_labels(platform: Platform) -> None:
    found = platform.samples.rows(VersionId("m", 1), 200, seed=1)
    assert 200 == len(found)
    assert all(row in ROWS for row in found)
    assert len({row["x"] for row in found}) > 30


def test_the_same_seed_gives_the_same_rows_and_another_seed_others(platform: Platform) -> None:
    first, again, other = (platform.samples.rows(VersionId("m", 1), 20, seed=s) for s in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("count", [0, -1, 10_001])
def test_a_count_out_of_bounds_is_refused(platform: Platform, count: int) -> None:
    with pytest.raises(InvalidInput, match="rows"):
        platform.samples.rows(VersionId("m", 1), count)


def test_a_version_without_training_data_has_no_sample(platform: Platform) -> None:
    with pytest.raises(NotFound, match="no training data"):
        platform.samples.rows(VersionId("bare", 1), 1)
