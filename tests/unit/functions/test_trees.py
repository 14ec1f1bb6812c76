"""Shapley values from trees: equal to brute force, adding up, in time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_trees import brute_force, worth
from headrace_functions.attribution.ensembles import Ensemble
from headrace_functions.attribution.single import LeafTable
from headrace_functions.attribution.trees import Tree, predict, tree_shap


def grown(random: np.random.Generator, features: int, depth: int, missing: bool = False) -> Tree:
    """A random tree with random covers."""
    left, right, feature, threshold, value, cover = [-1], [-1], [0], [0.0], [0.0], [1000.0]

    def split(node: int, deep: int) -> None:
        if deep == depth or (deep and random.random() < 0.2):
            value[node] = float(random.normal())
            return
        share = random.uniform(0.1, 0.9)
        feature[node], threshold[node] = int(random.integers(features)), float(random.normal())
        for side, part in ((left, share), (right, 1 - share)):
            side[node] = len(left)
            for column, start in ((left, -1), (right, -1), (feature, 0), (threshold, 0.0), (value, 0.0)):
                column.append(start)  # type: ignore[arg-type]
            cover.append(cover[node] * part)
            split(side[node], deep + 1)

    split(0, 0)
    goes = random.random(len(left)) < 0.5 if missing else np.zeros(len(left), bool)
    return Tree(*(np.array(c) for c in (left, right, feature, threshold, value, cover)), goes)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 6), st.booleans())
def test_the_values_are_those_of_all_coalitions(seed: int, features: int, depth: int, missing: bool) -> None:
    random = np.random.default_rng(seed)
    trees = [grown(random, features, depth, missing) for _ in range(2)]
    x = random.normal(size=(6, features))
    if missing:
        x[random.random(x.shape) < 0.3] = np.nan
    values, base = tree_shap(trees, x)
    assert base == pytest.approx(sum(worth(t, x[0], frozenset()) for t in trees), abs=1e-12)
    for row, found in zip(x, values, strict=True):
        np.testing.assert_allclose(found, brute_force(trees, row), atol=1e-12)


@pytest.mark.parametrize("depth", [3, 8, 16])
def test_the_values_add_up_to_the_answer(depth: int) -> None:
    """Many features on a path, few rows and many: each way of working them out."""
    random = np.random.default_rng(depth)
    trees = [grown(random, 30, depth) for _ in range(3)]
    for rows in (3, 300):
        x = random.normal(size=(rows, 30))
        values, base = tree_shap(trees, x)
        assert np.abs(base + values.sum(axis=1) - predict(trees, x)).max() < 1e-10


def test_a_feature_that_no_tree_looks_at_gets_nothing() -> None:
    random = np.random.default_rng(1)
    values, _ = tree_shap([grown(random, 3, 4)], random.normal(size=(20, 5)))
    assert (values[:, 3:] == 0).all()


def test_a_constant_tree_moves_the_base_alone() -> None:
    leaf = Tree(*(np.array([v]) for v in (-1, -1, 0, 0.0, 2.5, 10.0, False)))
    values, base = tree_shap([leaf], np.zeros((4, 2)))
    assert base == 2.5
    assert (values == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 8), st.integers(0, 9), st.booleans())
def test_one_row_alone_has_the_values_that_it_has_among_many(
    seed: int, features: int, depth: int, missing: bool
) -> None:
    random = np.random.default_rng(seed)
    trees = [grown(random, features, depth, missing) for _ in range(3)]
    x = random.normal(size=(4, features))
    if missing:
        x[random.random(x.shape) < 0.3] = np.nan
    expected, base = tree_shap(trees, x)
    table = LeafTable(Ensemble.of(trees, 0.0, "identity", names=None, features=features))
    assert base == pytest.approx(table.base, abs=1e-12)
    for row, values in zip(x, expected, strict=True):
        np.testing.assert_allclose(table.values(row), values, atol=1e-11)
