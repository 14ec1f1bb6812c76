"""How long explanations and outlier scores take: Shapley values of many rows from trees, rules, a million scored rows."""

import subprocess
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from fixtures_boosters import boosters_python
from function_support import Home, client, scalars, serving, signature
from headrace_functions.attribution.estimators import ensemble
from headrace_functions.attribution.lightgbm import booster
from headrace_functions.attribution.trees import Tree, predict, tree_shap
from headrace_functions.signature import Field, dtype
from headrace_jobs.explain.anchors import Background, anchor
from headrace_jobs.outliers.candidates import CANDIDATES
from headrace_jobs.outliers.scorer import CHUNK, METHODS

pytestmark = pytest.mark.timeout(600)
KNOWN, EXPLAINED = 400, 60
SCORED = 1_000_000


def measured(name: str, trees: Sequence[Tree], x: np.ndarray) -> float:
    """Seconds for the values of all rows, which must add up."""
    started, spent = time.perf_counter(), time.process_time()
    values, base = tree_shap(trees, x)
    taken, spent = time.perf_counter() - started, time.process_time() - spent
    residual = np.abs(base + values.sum(axis=1) - predict(trees, x)).max()
    print(f"\nSHAP of 10,000 rows, {name}: {taken:.2f} s, {spent:.2f} of processor, residual {residual:.1e}")
    assert residual < 1e-10
    return taken


def test_shapley_values_of_ten_thousand_rows_of_a_hundred_trees() -> None:
    """Boosted trees of 31 leaves over 30 inputs, the shape that LightGBM has by default."""
    x, y = rows_of_a_regression()
    model = GradientBoostingRegressor(n_estimators=100, max_depth=None, max_leaf_nodes=31, random_state=0).fit(x, y)
    measured("100 trees of 31 leaves", ensemble(model, None).trees, x)


def test_shapley_values_of_ten_thousand_rows_of_lightgbm(tmp_path: Path) -> None:
    """A booster of 100 trees as LightGBM grows it, from its text, beside LightGBM's own contributions on one thread."""
    x, y = rows_of_a_regression()
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    done = subprocess.run(
        [str(boosters_python()), "-c", GROW_ONE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    found = booster((tmp_path / "model.txt").read_text(), None)
    ours = measured("a LightGBM booster of 100 trees", found.trees, x)
    values, _ = tree_shap(found.trees, x[:500])
    assert np.abs(values - np.load(tmp_path / "own.npy")[:500, :-1]).max() < 1e-10
    print(f"LightGBM's own: {float(done.stdout):.2f} s, {float(done.stdout) / ours:.1f} times as long")


def rows_of_a_regression() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(10_000, 30)).astype(np.float32).astype(np.float64)
    return x, x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + x[:, 3:10].sum(axis=1) + random.normal(size=len(x))


GROW_ONE = """
import sys, time
from pathlib import Path
import lightgbm, numpy as np
folder = Path(sys.argv[1])
given = np.load(folder / "rows.npz")
model = lightgbm.LGBMRegressor(n_estimators=100, n_jobs=1, verbose=-1).fit(given["x"], given["y"]).booster_
(folder / "model.txt").write_text(model.model_to_string())
started = time.perf_counter()
own = model.predict(given["x"], pred_contrib=True, num_threads=1)
print(time.perf_counter() - started)
np.save(folder / "own.npy", own)
"""


def test_rules_of_a_forest() -> None:
    """60 anchors of a forest of 100 trees over 30 inputs in this process, and how much of the time is the forest's own."""
    x, y = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(100, random_state=0).fit(x[:KNOWN], y[:KNOWN])
    known, asking = model.predict(x[:KNOWN]), 0.0

    def explained(row: np.ndarray) -> tuple[float, float]:
        own = model.predict(row[None])[0]

        def same(rows: np.ndarray) -> np.ndarray:
            nonlocal asking
            began = time.perf_counter()
            answers = model.predict(rows.astype(np.float64)) == own
            asking += time.perf_counter() - began
            return np.asarray(answers)

        began, spent = time.perf_counter(), time.process_time()
        anchor(same, row.astype(object), Background(x[:KNOWN].astype(object), known == own))
        return time.perf_counter() - began, time.process_time() - spent

    explained(x[KNOWN])
    asking = 0.0
    taken = np.array([explained(row) for row in x[KNOWN : KNOWN + EXPLAINED]])
    (p50, own50), (p95, own95) = np.quantile(taken, (0.5, 0.95), axis=0) * 1000
    share = asking / taken[:, 0].sum()
    print(f"\nanchors: p50 {p50:.0f} ms, p95 {p95:.0f} ms, {share:.0%} of it the forest's predict")
    print(f"of processor: p50 {own50:.0f} ms, p95 {own95:.0f} ms")


def test_outlier_scores_of_a_million_rows() -> None:
    random = np.random.default_rng(0)
    training, rows = random.normal(size=(20_000, 31)), random.normal(size=(SCORED, 31))
    print("\n| detector | s | s of processor |\n|---|---|---|")
    for name, fit in CANDIDATES.items():
        state, method = fit(training), METHODS[name]
        parts = [rows[i : i + CHUNK] for i in range(0, SCORED, CHUNK)]
        started, spent = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(2) as threads:
            found = list(threads.map(method, parts, [state] * len(parts)))
        assert len(found) == len(parts)
        print(f"| {name} | {time.perf_counter() - started:.1f} | {time.process_time() - spent:.1f} |")


def test_an_explanation_with_the_answer_of_a_hundred_trees(tmp_path: Path) -> None:
    """Requests one after the other to a function server: the answer alone, and with why."""
    x, y = rows_of_a_regression()
    model = GradientBoostingRegressor(n_estimators=100, max_depth=None, max_leaf_nodes=31, random_state=0).fit(x, y)
    names = [f"x{i}" for i in range(x.shape[1])]
    outputs = (Field("value", dtype("float64")),)
    deployed = Home(tmp_path).version(signature(scalars(*names), outputs), framework="sklearn", model=model)
    body = {"inputs": [{"name": "rows", "shape": [1, x.shape[1]], "datatype": "FP64", "data": x[0].tolist()}]}
    with serving(deployed), client(deployed) as ask:
        for path in (deployed.infer_path, "/v2/models/m/explain"):
            taken = []
            for _ in range(220):
                started = time.perf_counter()
                assert ask.post(path, json=body).status_code == 200
                taken.append(1000 * (time.perf_counter() - started))
            first, rest = taken[0], np.array(taken[20:])
            print(f"\n{path}: first {first:.0f} ms, p50 {np.median(rest):.1f}, p95 {np.quantile(rest, 0.95):.1f} ms")
