"""What frameworks make of artifacts: contents read without running, outputs by kind of estimator, errors that say what to do."""

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    RandomForestClassifier,
)

from headrace_functions.runtime.frameworks import FRAMEWORKS, find
from headrace_functions.signature import Field, Signature, dtype


def test_every_framework_has_its_verbs() -> None:
    for name in FRAMEWORKS:
        framework = find(name)
        assert all(callable(getattr(framework, verb)) for verb in ("preload", "load", "describe", "bind"))
        assert isinstance(framework.ROWS, bool)


@pytest.mark.parametrize("library", ["lightgbm", "xgboost"])
def test_boosters_take_a_matrix_in_the_order_of_their_features_without_pandas(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their estimators note the names of a data frame they were fitted on, but look at columns by place."""
    model = RandomForestClassifier(5, random_state=0).fit(
        pd.DataFrame({"b": [0.0, 0.0, 1.0, 1.0], "a": [0.0, 1.0, 0.0, 1.0]}), [0, 0, 1, 1]
    )
    monkeypatch.setattr(type(model), "__module__", f"{library}.sklearn")
    sklearn = find("sklearn")
    monkeypatch.setattr("importlib.import_module", lambda name: pytest.fail(f"{name} is imported"))
    described = sklearn.describe(model, {})
    assert described.inputs is not None
    assert [f.name for f in described.inputs] == ["b", "a"]
    assert described.outputs is not None
    function = sklearn.bind(model, {}, Signature(described.inputs[::-1], described.outputs))
    answers = function({"a": np.array([1.0, 0.0]), "b": np.array([0.0, 1.0])})
    assert answers["label"].tolist() == [0, 1]


def test_one_vector_of_another_name_is_all_columns_of_a_transformer() -> None:
    sklearn = find("sklearn")
    model = PCA(2).fit([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    inputs = sklearn.describe(model, {}).inputs or ()
    vector = Field("embedding", dtype("float64"), (2,), "embedding")
    found = sklearn.bind(model, {}, Signature(inputs, (vector,)))(
        {"x0": np.array([0.5, 1.0]), "x1": np.array([0.0, 2.0])}
    )
    np.testing.assert_allclose(model.transform([[0.5, 0.0], [1.0, 2.0]]), found["embedding"])
