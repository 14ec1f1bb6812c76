"""Estimators get back the frame that they were fitted on, and a build says where data is not what they were fitted on."""

from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import MissingIndicator
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputRegressor, RegressorChain
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import sklearn
from headrace_functions.runtime.trial import Trial, _as_answered, try_artifact
from headrace_functions.signature import Field, Signature, dtype, dtype_of

Y = np.arange(40) % 2


def encoding(column: pd.Series) -> object:
    frame = pd.DataFrame({"a": column})
    encoder = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["a"]))
    return make_pipeline(encoder, LogisticRegression()).fit(frame, Y)


def signature(kind: str) -> Signature:
    return Signature((Field("a", dtype(kind)),), (Field("probabilities", dtype("float64"), (2,)),))


@pytest.mark.parametrize("missing", [None, np.nan])
def test_truth_values_with_gaps_are_answered_as_the_fitted_frame_is(missing: object) -> None:
    column = pd.Series([True, False, missing, True] * 10, dtype=object)
    model = encoding(column)
    function = sklearn.bind(model, {}, signature("bool"))
    want = model.predict_proba(pd.DataFrame({"a": column}))  # type: ignore[attr-defined]
    with_gaps = np.array([True, False, None, True] * 10, object)
    assert np.allclose(want, function({"a": with_gaps})["probabilities"])
    assert np.allclose(want[:2], function({"a": np.array([True, False])})["probabilities"])


@pytest.mark.parametrize("kind", ["boolean", "bool[pyarrow]"])
def test_truth_values_of_nullable_types_are_the_numbers_that_encoders_make_of_them(kind: str) -> None:
    column = pd.Series([True, False, None, True] * 10, dtype=kind)
    model = encoding(column)
    given = np.array([True, False, None, True] * 10, object)
    assert [] == sklearn.compare(model, signature("bool"), {"a": given})
    want = model.predict_proba(pd.DataFrame({"a": column}))  # type: ignore[attr-defined]
    function = sklearn.bind(model, {}, signature("bool"))
    assert np.allclose(want, function({"a": given})["probabilities"])
    assert np.allclose(want[:2], function({"a": np.array([True, False])})["probabilities"])


@pytest.mark.parametrize(
    ("categories", "given"),
    [
        ([10, 20, None], np.array([10.0, 20.0, np.nan])),  # as a file with gaps has whole numbers
        (np.array([10, 20, 10], "int8"), np.array([10, 20, 10])),
        (["Ålesund", "Oslo", "Ålesund"], np.array(["Ålesund", "Oslo", "Ålesund"], object)),
    ],
    ids=["whole numbers with gaps", "narrow whole numbers", "text"],
)
def test_columns_of_categories_reach_xgboost_as_they_were_fitted(categories: Any, given: np.ndarray[Any, Any]) -> None:
    frame = pd.DataFrame({"a": pd.Categorical(categories).repeat(20)})
    frame["b"] = np.arange(60.0)
    model = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True).fit(frame, np.arange(60) // 20 % 2)
    fields = (Field("a", dtype_of(given)), Field("b", dtype("float64")))
    said = Signature(fields, (Field("probabilities", dtype("float64"), (2,)),))
    rows = {"a": given.repeat(20), "b": np.arange(60.0)}
    assert [] == sklearn.compare(model, said, rows)
    assert np.allclose(model.predict_proba(frame), sklearn.bind(model, {}, said)(rows)["probabilities"])


def test_numbers_for_categories_of_text_are_refused_by_the_column_s_name() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["10", "20"] * 20), "b": Y * 1.0})
    model = xgboost.XGBClassifier(n_estimators=3, enable_categorical=True).fit(frame, Y)
    with pytest.raises(InvalidInput, match="'a': the model was not fitted on any of its values"):
        sklearn.compare(model, signature("int64"), {"a": np.array([10, 20])})


def test_ordered_categories_of_lightgbm_are_refused_for_what_they_are() -> None:
    frame = pd.DataFrame({"a": pd.Categorical(["low", "high"] * 20, ["low", "high"], ordered=True), "b": Y * 1.0})
    model = lightgbm.LGBMClassifier(n_estimators=2, min_child_samples=2, verbose=-1).fit(frame, Y)
    fields = (Field("a", dtype("string")), Field("b", dtype("float64")))
    with pytest.raises(InvalidInput, match="1 column of ordered categories") as caught:
        sklearn.bind(model, {}, Signature(fields, (Field("label", dtype("int64")),)))
    assert "as_unordered" in (caught.value.hint or "")


class Boosting(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """What a model of CatBoost says of itself once it has been loaded from a file."""

    n_features_in_ = 0
    classes_ = np.array([0, 1])

    def __init__(self, names: list[str]) -> None:
        self.names = names

    @property
    def feature_names_(self) -> list[str]:
        return self.names

    def fit(self) -> None:
        """Is there for whoever looks whether it is a step."""

    def get_cat_feature_indices(self) -> list[int]:
        return [0]

    def predict(self, frame: Any) -> Any:
        return np.array([[int(v == "x")] for v in (frame["a"] if hasattr(frame, "columns") else frame[:, 0])])


def test_a_model_that_counts_no_features_takes_those_it_names() -> None:
    fields = (Field("b", dtype("float64")), Field("a", dtype("string")))
    function = sklearn.bind(Boosting(["a", "b"]), {}, Signature(fields, (Field("label", dtype("int64")),)))
    assert [1, 0] == function({"b": np.zeros(2), "a": np.array(["x", "y"], object)})["label"].tolist()
    assert None is sklearn.describe(Boosting(["a", "b"]), {}).inputs
    assert ["x0", "x1"] == [f.name for f in sklearn.describe(Boosting(["0", "1"]), {}).inputs or ()]


def test_data_of_which_the_model_knows_no_value_is_refused_and_of_which_some_is_noted() -> None:
    model = encoding(pd.Series(["01067", "10115"] * 20))
    with pytest.raises(InvalidInput, match="'a': the model was not fitted on any of its values") as caught:
        sklearn.compare(model, signature("string"), {"a": np.array(["1067", "501"], object)})
    assert "01067" in (caught.value.expected or "")
    (note,) = sklearn.compare(model, signature("string"), {"a": np.array(["01067", "501"], object)})
    assert "'501' (1 of 2" in note
    assert [] == sklearn.compare(model, signature("string"), {"a": np.array(["01067", None], object)})


def test_a_column_that_the_model_was_not_fitted_on_is_named() -> None:
    model = Ridge().fit(pd.DataFrame({"a": Y * 1.0}), Y)
    fields = (Field("a", dtype("float64")), Field("label", dtype("int64")))
    with pytest.raises(InvalidInput, match="not fitted on the column 'label'") as caught:
        sklearn.bind(model, {}, Signature(fields, (Field("value", dtype("float64")),)))
    assert "target" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "model",
    [
        ClassifierChain(LogisticRegression()),
        MLPClassifier((3,), max_iter=5, random_state=0),
        OneVsRestClassifier(LogisticRegression()),
        xgboost.XGBClassifier(n_estimators=2),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_several_labels_a_row_are_answered_as_the_model_predicts_them(model: Any, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 2))
    fitted = model.fit(rows, (rows > 0).astype(int))
    joblib.dump(fitted, tmp_path / "model.joblib")
    sample = {"x0": rows[:, 0].tolist(), "x1": rows[:, 1].tolist()}

    found, _ = try_artifact(Trial("sklearn", tmp_path, {}, True, None, None, sample))

    label = next(f for f in found.outputs if f.name == "label")
    assert ("int64", (2,)) == (label.dtype.name, label.shape)
    assert not any(f.columns for f in found.outputs)  # a probability is a label's, not a class's
    answer = sklearn.bind(fitted, {}, found)({f"x{i}": rows[:, i] for i in range(2)})
    assert fitted.predict(rows).astype(int).tolist() == answer["label"].tolist()


def test_truth_values_of_a_transformer_are_numbers() -> None:
    model = MissingIndicator(features="all").fit([[1.0], [np.nan]])
    said = Signature((Field("a", dtype("float64")),), (Field("values", dtype("float64"), (1,)),))
    assert [[0.0], [1.0]] == sklearn.bind(model, {}, said)({"a": np.array([1.0, np.nan])})["values"].tolist()


@pytest.mark.parametrize("model", [MultiOutputRegressor(Ridge()), RegressorChain(Ridge()), LinearRegression()])
def test_outputs_have_the_shape_that_was_answered(model: object) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    fitted = model.fit(x, x[:, :2])  # type: ignore[attr-defined]
    given = Signature((Field("a", dtype("float64")),), (Field("value", dtype("float64")),))
    (output,) = _as_answered(given, {"value": fitted.predict(x)}, batch=True).outputs
    assert (2,) == output.shape
