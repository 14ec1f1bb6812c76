"""``headrace batch --submit`` as RayJobs: each row of a file in a bucket is answered once, in its order, also after a pod of the run is killed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace_functions.storage.objects import ObjectStore

from .installed import Installed, until

pytestmark = pytest.mark.timeout(900)
# Slow enough that the pod is killed in the middle.
FUNCTION = "import time\n\n\ndef predict(model, x):\n    if (x < 0).any():\n        raise ValueError\n    time.sleep(0.01)\n    return {'y': x + 1}\n"
NUMBER = {"shape": "scalar", "type": "double"}


@pytest.fixture(scope="module")
def model(platform: Installed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    contract = {"inputs": {"x": NUMBER}, "outputs": {"y": NUMBER}}
    platform.apply_python(tmp_path_factory.mktemp("plus"), "plus", FUNCTION, contract, scaling={"idle-timeout": "60s"})
    yield "plus"
    platform.headrace("model", "delete", "plus", "--yes")


class Lake:
    """The place in the bucket that batches of the platform may use."""

    def __init__(self, storage: str, folder: Path) -> None:
        self.url = f"{storage}/lake"
        self._objects = ObjectStore(self.url)
        self._folder = folder

    def put(self, name: str, rows: int, *bad: int) -> str:
        """A file whose ``x`` counts the rows, but for the bad ones."""
        x = np.arange(rows, dtype=np.float64)
        x[list(bad)] = -1
        pq.write_table(pa.table({"key": [f"k{i}" for i in range(rows)], "x": x}), self._folder / name)
        self._objects.put(name, self._folder / name)
        return f"{self.url}/{name}"

    def answers(self, name: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(pa.BufferReader(self._objects.get(name))).to_pylist()
        return found

    def parts(self, out: str) -> int:
        return sum("/.many.parquet.parts/" in f"/{item.key}" for item in self._objects.walk(out))


@pytest.fixture
def lake(storage: str, tmp_path: Path) -> Lake:
    return Lake(storage, tmp_path)


def test_each_row_is_answered_in_its_order_and_logged(platform: Installed, model: str, lake: Lake) -> None:
    source = lake.put("rows.parquet", 500, 17)
    place = ("--in", source, "--out", f"{lake.url}/out", "--rows", "100")
    totals = platform.headrace("batch", model, *place, "--submit", "--json")
    written = lake.answers("out/rows.parquet")

    assert (500, 1, ["plus:1"]) == (totals["rows"], totals["refused"], totals["versions"])
    assert [f"k{i}" for i in range(500) if i != 17] == [r["key"] for r in written]
    assert [i + 1.0 for i in range(500) if i != 17] == [r["out.y"] for r in written]
    listed = ("log", "query", "plus:1", "--where", "outcome = 'ok'", "--limit", "1000", "--json")
    until(lambda: {r["in.x"] for r in platform.headrace(*listed)} >= {r["x"] for r in written}, "every row is logged")


def test_a_run_whose_pods_are_killed_is_completed_by_submitting_it_again(
    platform: Installed, model: str, lake: Lake
) -> None:
    source = lake.put("many.parquet", 3000)
    place = ("--in", source, "--out", f"{lake.url}/killed", "--rows", "20", "--parallel", "2")
    job_id = platform.headrace("batch", model, *place, "--submit", "--no-wait").strip()
    until(lambda: lake.parts("killed") > 10, "some parts are answered", 300)
    platform.kubectl(
        "delete", "pods", "-l", f"headrace.dev/job={job_id}", "--grace-period=0", "--force", "--wait=false"
    )
    until(lambda: state(platform, job_id) in ("failed", "done"), "the run has ended", 300)
    platform.headrace("batch", model, *place, "--submit", "--json")

    assert [f"k{i}" for i in range(3000)] == [r["key"] for r in lake.answers("killed/many.parquet")]


def state(platform: Installed, job_id: str) -> str:
    found: str = platform.headrace("analyze", "show", job_id, "--json")["state"]
    return found
