"""``headrace batch`` beside bare ``predict`` on the same rows: two million rows of 30 features in Parquet, with and without the log."""

import time
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier

from fixtures_platform import RunningPlatform, headrace

ROWS = 2_000_000

pytestmark = [pytest.mark.timeout(1200), pytest.mark.filterwarnings("default")]


def test_a_batch_beside_bare_predict(new_platform: object, tmp_path: Path) -> None:
    x, y = load_breast_cancer(return_X_y=True)
    names = [f"f{i}" for i in range(30)]
    model = RandomForestClassifier(30, random_state=0).fit(x, y)
    many = x[np.random.default_rng(0).integers(0, len(x), ROWS)]
    platform: RunningPlatform = new_platform()  # type: ignore[operator]
    folder = tmp_path / "model"
    folder.mkdir()
    joblib.dump(model, folder / "model.joblib")
    fields = ", ".join(f"{n}: {{shape: scalar, type: double}}" for n in names)
    (folder / "headrace.yaml").write_text(
        f"kind: Model\nname: forest\nframework: sklearn\npayload: [model.joblib]\ncontract: {{inputs: {{{fields}}}}}\n"
    )
    platform.apply(folder)
    source = tmp_path / "rows.parquet"
    pq.write_table(pa.table({n: many[:, i] for i, n in enumerate(names)}), source)

    started = time.perf_counter()
    read = np.column_stack([c.to_numpy() for c in pq.read_table(source).columns])
    for at in range(0, ROWS, 5000):
        model.predict(read[at : at + 5000])
        model.predict_proba(read[at : at + 5000])
    bare = ROWS / (time.perf_counter() - started)
    print(f"\nbare predict and predict_proba {bare:.0f} rows/s")
    for more in ((), ("--no-log",)):
        started = time.perf_counter()
        out = str(tmp_path / "".join(("out", *more)))
        arguments = (
            "batch",
            "forest",
            "--in",
            str(source),
            "--out",
            out,
            "--rows",
            "5000",
            "--url",
            platform.url,
            *more,
        )
        done = headrace(*arguments, seconds=900)
        assert done.returncode == 0, done.stderr
        ours = ROWS / (time.perf_counter() - started)
        print(f"headrace batch {' '.join(more)} {ours:.0f} rows/s, {ours / bare:.0%} (target 80 %)")
