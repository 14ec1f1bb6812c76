"""Boosters of LightGBM and XGBoost as they are pickled: the same answers and Shapley values as their own, without those libraries."""

import sys
import types
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given as for_all
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fixtures_boosters import boosters
from fixtures_jobs import CHURN, SCORE, objects
from fixtures_trees import archived, brute_force, given_model, packed
from headrace_functions.attribution import xgboost
from headrace_functions.attribution.ensembles import NotDirectError
from headrace_functions.attribution.lightgbm import booster
from headrace_functions.attribution.trees import predict, tree_shap
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.ubjson import decode
from headrace_jobs.attribution.artifact import read_trees

__all__ = ["boosters", "objects"]

HEAD = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective={objective}
feature_names=Column_0 Column_1
feature_infos=[-3:3] [-3:3]
tree_sizes=300 300

"""
TREE = """Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
threshold=0.5 -1
decision_type={decision} 2
left_child=1 -1
right_child=-2 -3
leaf_value=1.5 -2 0.25
leaf_count=40 30 30
internal_count=100 70
is_linear={linear}
shrinkage=0.1

"""
LEAF = "Tree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nis_linear=0\nshrinkage=1\n\n\nend of trees\n"


def written(objective: str = "regression", decision: int = 10, linear: int = 0) -> str:
    """A booster of one split tree and one leaf: bit 2 sends what is missing left, bit 8 says that NaN is missing."""
    return HEAD.format(objective=objective) + TREE.format(decision=decision, linear=linear) + LEAF


def test_a_tree_of_three_leaves_answers_as_it_is_written() -> None:
    """-1 is the first leaf; NaN goes left where the split says so, and where it says nothing counts as 0."""
    x = np.array([[0.0, -2.0], [0.0, 3.0], [1.0, -2.0], [np.nan, 3.0], [0.5, np.nan]])
    found = booster(written(), None)
    values, base = tree_shap(found.trees, x)
    np.testing.assert_allclose(base + values.sum(axis=1), np.array([1.5, 0.25, -2.0, 0.25, 0.25]) + 0.5)
    assert base == pytest.approx(0.4 * 1.5 - 0.3 * 2 + 0.3 * 0.25 + 0.5)
    for row, own in zip(x, values, strict=True):
        np.testing.assert_allclose(own, brute_force(list(found.trees), row), atol=1e-12)


@pytest.mark.parametrize("name", ["binary", "dart", "regression", "unseen", "quantile", "poisson", "tweedie"])
def test_the_values_are_those_of_lightgbm_itself(boosters: Path, name: str) -> None:
    """To 1e-10 those of its own ``pred_contrib``, and they add up to its answers."""
    given = np.load(boosters / f"{name}.npz")
    found = booster((boosters / f"{name}.txt").read_text(), 1 if name in ("binary", "dart") else None)
    values, base = tree_shap(found.trees, given["x"])
    assert np.abs(values - given["contributions"][:, :-1]).max() < 1e-10
    assert np.abs(base - given["contributions"][:, -1]).max() < 1e-10
    assert np.abs(found.answer(base + values.sum(axis=1)) - given["answers"]).max() < 1e-10


def test_the_first_class_gets_the_opposite_of_the_second(boosters: Path) -> None:
    text = (boosters / "binary.txt").read_text()
    x = np.load(boosters / "binary.npz")["x"]
    first, second = (tree_shap(booster(text, place).trees, x) for place in (0, 1))
    np.testing.assert_array_equal(first[0], -second[0])


def test_only_the_rounds_that_count_are_read() -> None:
    """Early stopping keeps trees beyond the best round, and does not use them."""
    assert len(booster(written(), None).trees) == 2
    assert len(booster(written(), None, 1).trees) == 1


def test_a_steeper_sigmoid_scales_the_log_odds() -> None:
    plain, steep = (booster(written(f"binary sigmoid:{s}"), 1) for s in (1, 2))
    x = np.array([[0.0, -2.0]])
    np.testing.assert_allclose(tree_shap(steep.trees, x)[0], 2 * tree_shap(plain.trees, x)[0])


@pytest.mark.parametrize(
    ("text", "place", "reason"),
    [
        (written(decision=1), None, "categories"),
        (written(decision=6), None, "zeros"),
        (written(linear=1), None, "linear"),
        (written("regression sqrt"), None, "sqrt"),
        (written("multiclassova num_class:3"), None, "no sum of trees"),
        (written("regression"), 1, "two classes"),
        (written().replace("iteration=1", "iteration=3"), 1, "more than two classes"),
        (written().replace("leaf_count=40", "leaf_count=0"), None, "training rows"),
        (written().replace("threshold=", "thresholds="), None, "no threshold"),
        ("xgboost", None, "not known"),
    ],
)
def test_what_is_no_sum_of_trees_of_numbers_is_refused_with_the_reason(
    text: str, place: int | None, reason: str
) -> None:
    with pytest.raises(NotDirectError, match=reason):
        booster(text, place)


def test_leaves_that_are_linear_models_are_refused_as_lightgbm_writes_them(boosters: Path) -> None:
    with pytest.raises(NotDirectError, match="linear"):
        booster((boosters / "linear.txt").read_text(), None)


class _Booster:
    """As LightGBM pickles its own: a text among the members."""

    def __init__(self, text: str, best: int) -> None:
        self.__dict__.update({"_handle": text, "best_iteration": best})


@pytest.fixture
def pickled_booster(monkeypatch: pytest.MonkeyPatch) -> type[_Booster]:
    """A class that pickles under LightGBM's name and that nobody can load once the test looks at it."""
    module = types.ModuleType("lightgbm.basic")
    kind = type("Booster", (_Booster,), {"__module__": "lightgbm.basic"})
    module.Booster = kind  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightgbm", types.ModuleType("lightgbm"))
    monkeypatch.setitem(sys.modules, "lightgbm.basic", module)
    return kind


def test_a_pickled_booster_is_read_without_lightgbm(
    objects: ObjectStore, pickled_booster: type[_Booster], monkeypatch: pytest.MonkeyPatch
) -> None:
    version, _ = given_model(objects, LinearRegression(), (SCORE,))
    archive = packed(pickled_booster(written(), 1))
    monkeypatch.delitem(sys.modules, "lightgbm.basic")
    objects.put(layout.artifact(CHURN), archive)
    assert len(read_trees(objects, version, None).trees) == 1


def test_a_booster_behind_other_steps_is_asked_through_the_endpoint(
    objects: ObjectStore, pickled_booster: type[_Booster]
) -> None:
    """What the scaler does to the features is not in the trees."""
    version, _ = given_model(objects, LinearRegression(), (SCORE,))
    objects.put(layout.artifact(CHURN), packed(make_pipeline(StandardScaler(), pickled_booster(written(), 0))))
    with pytest.raises(NotDirectError, match="a part of"):
        read_trees(objects, version, None)


def test_a_classifier_as_lightgbm_dumps_it_is_read(objects: ObjectStore, boosters: Path) -> None:
    """The estimator with its label encoder, fitted with names in another order than the signature's."""
    version, _ = given_model(objects, LinearRegression(), (SCORE,))
    objects.put(layout.artifact(CHURN), archived((boosters / "model.joblib").read_bytes()))
    found = read_trees(objects, version, 1)
    assert (found.names, found.link, len(found.trees)) == (("b", "a", "d", "c"), "logit", 30)


FLOAT32 = 1e-4
"""XGBoost adds up in numbers of 32 bits."""


@pytest.mark.parametrize("name", ["xgb-binary", "xgb-regression", "xgb-poisson", "xgb-stopped"])
def test_the_values_are_those_of_xgboost_itself(boosters: Path, name: str) -> None:
    """To 32 bits those of its own ``pred_contribs``, early stopping included; they add up to its answers, and without rounding to our own."""
    given = np.load(boosters / f"{name}.npz")
    found = xgboost.booster((boosters / f"{name}.ubj").read_bytes(), 1 if name == "xgb-binary" else None)
    x = found.seen(given["x"])
    values, base = tree_shap(found.trees, x)
    assert np.abs(values - given["contributions"][:, :-1]).max() < FLOAT32
    assert np.abs(base + found.offset - given["contributions"][:, -1]).max() < FLOAT32
    whole = base + values.sum(axis=1)
    assert np.abs(found.answer(whole) - given["answers"]).max() < FLOAT32 * max(1, np.abs(given["answers"]).max())
    assert np.abs(whole - predict(found.trees, x)).max() < 1e-10


def test_an_estimator_as_xgboost_dumps_it_is_read_without_xgboost(objects: ObjectStore, boosters: Path) -> None:
    version, _ = given_model(objects, LinearRegression(), (SCORE,))
    objects.put(layout.artifact(CHURN), archived((boosters / "xgb-binary.joblib").read_bytes()))
    found = read_trees(objects, version, 1)
    assert (found.link, len(found.trees), found.single) == ("logit", 30, True)


def test_a_linear_booster_of_xgboost_is_no_tree(boosters: Path) -> None:
    with pytest.raises(NotDirectError, match="gblinear"):
        xgboost.booster((boosters / "xgb-linear.ubj").read_bytes(), None)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[$d#L", b"{U\x05learnerZ}", b"{" * 500, b"SL\xff\xff\xff\xff\xff\xff\xff\xffa"]
)
def test_bytes_that_are_no_booster_are_refused(data: bytes) -> None:
    with pytest.raises(NotDirectError, match="not known here"):
        xgboost.booster(data, None)


@for_all(st.binary(max_size=200))
def test_no_bytes_are_worse_than_refused(data: bytes) -> None:
    with suppress(ValueError):
        decode(data)


def test_values_of_ubjson_are_read() -> None:
    data = b"{U\x01a[$U#U\x03\x01\x02\x03U\x01b[i\xffTFZSU\x02hi]U\x01c{}U\x01dD\x3f\xf8\x00\x00\x00\x00\x00\x00}"
    found = decode(data)
    assert found.pop("a").tolist() == [1, 2, 3]
    assert found == {"b": [-1, True, False, None, "hi"], "c": {}, "d": 1.5}
