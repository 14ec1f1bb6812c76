"""Estimators get back the frame that they were fitted on, and a build says where data is not what they were fitted on."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.multioutput import MultiOutputRegressor, RegressorChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks import sklearn
from headrace_functions.runtime.trial import _as_answered
from headrace_functions.signature import Field, Signature, dtype

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


def test_data_of_which_the_model_knows_no_value_is_refused_and_of_which_some_is_noted() -> None:
    model = encoding(pd.Series(["01067", "10115"] * 20))
    with pytest.raises(InvalidInput, match="'a': the model was fitted on none of its values") as caught:
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


@pytest.mark.parametrize("model", [MultiOutputRegressor(Ridge()), RegressorChain(Ridge()), LinearRegression()])
def test_outputs_have_the_shape_that_was_answered(model: object) -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    fitted = model.fit(x, x[:, :2])  # type: ignore[attr-defined]
    given = Signature((Field("a", dtype("float64")),), (Field("value", dtype("float64")),))
    (output,) = _as_answered(given, {"value": fitted.predict(x)}, batch=True).outputs
    assert (2,) == output.shape
