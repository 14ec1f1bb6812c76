"""How long explanations and outlier scores take: Shapley values of many rows from trees, rules, a million scored rows."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier

from headrace_jobs.attribution.artifact import ensemble
from headrace_jobs.attribution.trees import predict, tree_shap
from headrace_jobs.explain.anchors import Background, anchor
from headrace_jobs.outliers.candidates import CANDIDATES
from headrace_jobs.outliers.scorer import CHUNK, METHODS

pytestmark = pytest.mark.timeout(600)
KNOWN, EXPLAINED = 400, 60
SCORED = 1_000_000


def test_shapley_values_of_ten_thousand_rows_of_a_hundred_trees() -> None:
    """Boosted trees of 31 leaves over 30 inputs, the shape that LightGBM has by default."""
    random = np.random.default_rng(0)
    x = random.normal(size=(10_000, 30)).astype(np.float32).astype(np.float64)
    y = x[:, 0] * x[:, 1] + np.sin(x[:, 2]) + x[:, 3:10].sum(axis=1) + random.normal(size=len(x))
    model = GradientBoostingRegressor(n_estimators=100, max_depth=None, max_leaf_nodes=31, random_state=0).fit(x, y)
    found = ensemble(model, None)
    started, spent = time.perf_counter(), time.process_time()
    values, base = tree_shap(found.trees, x)
    taken, spent = time.perf_counter() - started, time.process_time() - spent
    residual = np.abs(base + values.sum(axis=1) - predict(found.trees, x)).max()
    print(
        f"\nSHAP of 10,000 rows, 100 trees of 31 leaves: {taken:.2f} s, {spent:.2f} of processor, residual {residual:.1e}"
    )
    assert residual < 1e-10


def test_rules_of_a_forest() -> None:
    """60 anchors of a forest of 100 trees over 30 inputs in this process, and how much of the time is the forest's own."""
    x, y = load_breast_cancer(return_X_y=True)
    model = RandomForestClassifier(100, random_state=0).fit(x[:KNOWN], y[:KNOWN])
    known, asking = model.predict(x[:KNOWN]), 0.0

    def explained(row: np.ndarray) -> float:
        own = model.predict(row[None])[0]

        def same(rows: np.ndarray) -> np.ndarray:
            nonlocal asking
            began = time.perf_counter()
            answers = model.predict(rows.astype(np.float64)) == own
            asking += time.perf_counter() - began
            return np.asarray(answers)

        began = time.perf_counter()
        anchor(same, row.astype(object), Background(x[:KNOWN].astype(object), known == own))
        return time.perf_counter() - began

    explained(x[KNOWN])
    asking = 0.0
    taken = np.array([explained(row) for row in x[KNOWN : KNOWN + EXPLAINED]])
    p50, p95 = np.quantile(taken, (0.5, 0.95)) * 1000
    share = asking / taken.sum()
    print(f"\nanchors: p50 {p50:.0f} ms, p95 {p95:.0f} ms, {share:.0%} of it the forest's predict")


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
