"""Estimators of scikit-learn as functions: frames, answers, and what is refused."""

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from framework_support import MIXED, NAMES, ROWS, X, Y, columns, loaded, mixed_pipeline
from function_support import scalars
from headrace_functions.errors import InvalidInput
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.frameworks.estimators import label_follows
from headrace_functions.signature import Field, dtype


class TestEstimators:
    """What each kind answers by default."""

    def test_a_classifier_answers_label_and_probabilities(self) -> None:
        model = LogisticRegression(max_iter=5000).fit(ROWS, np.where(Y == 1, "good", "bad"))
        function = loaded(model)

        answer = function({f.name: ROWS[:5, i] for i, f in enumerate(function.signature.inputs)})

        assert ("x0", "x1", "x2") == tuple(f.name for f in function.signature.inputs)
        assert ("bad", "good") == function.signature.outputs[1].columns == function.signature.outputs[0].categories
        assert model.predict(ROWS[:5]).tolist() == answer["label"].tolist()
        assert np.allclose(model.predict_proba(ROWS[:5]), answer["probabilities"], rtol=1e-12)

    @pytest.mark.parametrize(
        "model",
        [
            LogisticRegression(max_iter=300),
            RandomForestClassifier(4, max_depth=3, random_state=0),
            ExtraTreesClassifier(4, max_depth=3, random_state=0),
            DecisionTreeClassifier(max_depth=2),
            GaussianNB(),
            MultinomialNB(),
            GradientBoostingClassifier(n_estimators=5),
            HistGradientBoostingClassifier(max_iter=5),
            MLPClassifier((4,), max_iter=200, random_state=0),
            make_pipeline(StandardScaler(), LogisticRegression()),
        ],
        ids=lambda m: type(m).__name__,
    )
    @pytest.mark.parametrize("classes", [2, 3])
    @pytest.mark.filterwarnings("ignore")
    def test_labels_are_what_predict_says(self, model: Any, classes: int) -> None:
        """Where labels come from the probabilities, they are those of ``predict`` on every row, ties included."""
        random = np.random.default_rng(7)
        x = random.integers(0, 4, (400, 3)).astype(float)
        y = (x.sum(axis=1) + random.integers(0, 2, 400)).astype(int) % classes
        fitted = clone(model).fit(x, y)
        rows = np.vstack([x, np.zeros((1, 3)), np.full((1, 3), 1e6)])

        answer = loaded(fitted)(PackedRows(["x0", "x1", "x2"], rows))

        assert label_follows(fitted)
        assert fitted.predict(rows).tolist() == answer["label"].tolist()

    def test_labels_of_rows_that_tie_are_left_to_predict(self) -> None:
        model = LogisticRegression().fit(ROWS, Y)
        model.coef_[:] = 0
        model.intercept_[:] = 1e-18

        answer = loaded(model)(PackedRows(["x0", "x1", "x2"], ROWS[:3]))

        assert [[0.5, 0.5]] * 3 == answer["probabilities"].tolist()
        assert model.predict(ROWS[:3]).tolist() == answer["label"].tolist() == [1, 1, 1]

    def test_packed_rows_and_named_columns_are_answered_alike(self) -> None:
        function = loaded(LogisticRegression(max_iter=5000).fit(X, Y))

        packed = function(PackedRows(NAMES, ROWS[:7]))
        named = function(columns(X[:7]))

        assert np.allclose(packed["probabilities"], named["probabilities"], rtol=1e-12)

    def test_columns_are_fed_in_the_models_order(self) -> None:
        model = LogisticRegression(max_iter=5000).fit(X, Y)
        turned = tuple(reversed(scalars(*NAMES)))
        function = loaded(model, inputs=turned)

        answer = function(PackedRows([f.name for f in turned], ROWS[:5, ::-1]))

        assert np.allclose(model.predict_proba(X[:5]), answer["probabilities"], rtol=1e-12)

    def test_a_classifier_without_probabilities_answers_its_score(self) -> None:
        model = LinearSVC(dual="auto").fit(ROWS, Y)

        assert ["label", "score"] == [f.name for f in loaded(model).signature.outputs]

    def test_a_contract_may_ask_for_the_probability_of_the_second_class(self) -> None:
        model = LogisticRegression(max_iter=5000).fit(X, Y)
        wanted = model.predict_proba(X[:5])[:, 1]

        for name in ("probability", "risk"):
            answer = loaded(model, outputs=(Field(name, dtype("float32")),))(columns(X[:5]))
            assert np.float32 == answer[name].dtype
            assert np.allclose(wanted, answer[name])

    def test_a_contract_that_names_what_there_is_not_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="nope") as refused:
            loaded(Ridge().fit(X, Y), outputs=scalars("value", "nope"))

        assert "value" in str(refused.value.expected)

    def test_a_regressor_answers_value(self) -> None:
        one, two = Ridge().fit(X, Y), Ridge().fit(X, np.c_[Y, Y])

        assert () == loaded(one).signature.outputs[0].shape
        assert (2,) == loaded(two).signature.outputs[0].shape
        assert np.allclose(one.predict(X[:4]), loaded(one)(columns(X[:4]))["value"])

    def test_a_transformer_answers_its_columns(self) -> None:
        model = StandardScaler().fit(X)
        answer = loaded(model)(columns(X[:4]))

        assert list(NAMES) == list(answer)
        assert np.allclose(model.transform(X[:4]), np.column_stack(list(answer.values())))
        assert isinstance(answer, PackedRows), "its columns stay together"

    @pytest.mark.parametrize("picked", [(0,), (0, 1), (1, 0), (2,), (1, 2)])
    @pytest.mark.parametrize("kind", ["float64", "float32"])
    def test_a_contract_may_pick_and_turn_a_transformers_columns(self, picked: tuple[int, ...], kind: str) -> None:
        model = StandardScaler().fit(X)
        names = [NAMES[i] for i in picked]

        answer = loaded(model, outputs=scalars(*names, kind=kind))(columns(X[:4]))

        wanted = model.transform(X[:4])[:, picked]
        assert names == list(answer)
        assert np.allclose(wanted, np.column_stack(list(answer.values())), rtol=1e-6)
        assert {np.dtype(kind)} == {column.dtype for column in answer.values()}

    def test_a_contract_may_give_a_transformers_columns_different_types(self) -> None:
        model = StandardScaler().fit(X)
        outputs = (Field(NAMES[0], dtype("float32")), Field(NAMES[1], dtype("float64")))

        answer = loaded(model, outputs=outputs)(columns(X[:4]))

        assert [np.float32, np.float64] == [column.dtype for column in answer.values()]

    def test_a_sparse_transformer_answers_its_columns(self) -> None:
        model = OneHotEncoder().fit(MIXED[["plan"]])

        answer = loaded(model, inputs=scalars("plan", kind="string"))(columns(MIXED[["plan"]][:3]))

        assert {"plan_a": [1, 0, 1], "plan_b": [0, 1, 0]} == {name: column.tolist() for name, column in answer.items()}

    def test_a_clusterer_answers_a_label(self) -> None:
        assert {"label"} == loaded(KMeans(3, n_init=1, random_state=0).fit(X))(columns(X[:4])).keys()

    def test_an_outlier_detector_answers_larger_values_for_odder_rows(self) -> None:
        function = loaded(IsolationForest(random_state=0).fit(ROWS))

        answer = function(PackedRows(["x0", "x1", "x2"], np.vstack([np.median(ROWS, axis=0), ROWS.max(axis=0) * 10])))

        assert answer["value"][1] > answer["value"][0]
        assert [False, True] == answer["outlier"].tolist()

    def test_columns_of_mixed_types_are_fed_by_name(self) -> None:
        model = mixed_pipeline()
        inputs = (*scalars(*NAMES), Field("plan", dtype("string")))
        function = loaded(model, inputs=inputs)

        answer = function({**columns(MIXED[:6]), "plan": np.array(MIXED["plan"][:6], dtype=object)})

        assert find("sklearn").describe(model, {}).inputs is None
        assert np.allclose(model.predict_proba(MIXED[:6]), answer["probabilities"])

    def test_a_text_pipeline_takes_text(self) -> None:
        function = loaded(make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(["good day", "bad night"], [1, 0]))

        assert ["text"] == [f.name for f in function.signature.inputs]
        assert [1, 0] == function({"text": np.array(["good", "bad"], dtype=object)})["label"].tolist()

    def test_without_batch_one_row_goes_in_and_out(self) -> None:
        model = LogisticRegression(max_iter=5000).fit(ROWS, Y)
        function = loaded(model, inputs=(Field("x", dtype("float64"), (3,)),), batch=False)

        answer = function({"x": ROWS[0]})

        assert () == answer["label"].shape
        assert (2,) == answer["probabilities"].shape

    def test_features_that_do_not_add_up_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="does not match"):
            loaded(Ridge().fit(X, Y), inputs=scalars("a", "b"))
        with pytest.raises(InvalidInput, match="has no field"):
            loaded(Ridge().fit(X, Y), inputs=scalars(*NAMES[:2], "other"))
