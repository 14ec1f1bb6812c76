"""What frameworks make of artifacts: contents read without running, outputs by kind of estimator, errors that say what to do."""

import bz2
import gzip
import logging
import lzma
import pickle
import zlib
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
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

from function_support import scalars
from headrace_functions.errors import FunctionFailed, InvalidInput
from headrace_functions.protocol.rows import PackedRows
from headrace_functions.runtime.frameworks import FRAMEWORKS, find
from headrace_functions.runtime.frameworks.estimators import label_follows
from headrace_functions.runtime.frameworks.needs import requirements
from headrace_functions.runtime.frameworks.pickles import UnreadablePickleError, contents
from headrace_functions.runtime.loading import LoadedFunction, bind, load_function, load_model
from headrace_functions.runtime.probe import ProbeRequest, ProbeResult, probe
from headrace_functions.signature import Field, Signature, dtype

X, Y = load_breast_cancer(return_X_y=True, as_frame=True)
X = X.iloc[:, :3]
ROWS = X.to_numpy()
NAMES = tuple(X.columns)
MIXED = X.assign(plan=["a", "b"] * 284 + ["a"])


def mixed_pipeline() -> Any:
    columns = make_column_transformer(
        (StandardScaler(), list(NAMES)), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )
    return make_pipeline(columns, LogisticRegression()).fit(MIXED, Y)


def loaded(
    model: Any, outputs: tuple[Field, ...] | None = None, inputs: tuple[Field, ...] | None = None, batch: bool = True
) -> LoadedFunction:
    framework = find("sklearn")
    said = framework.describe(model, {})
    signature = Signature(inputs or said.inputs or (), outputs or said.outputs or ())
    return bind(framework, model, {}, signature, batch=batch)


def columns(frame: Any) -> dict[str, Any]:
    return {str(n): frame[n].to_numpy() for n in frame.columns}


def test_every_framework_has_its_verbs() -> None:
    for name in FRAMEWORKS:
        framework = find(name)
        assert all(callable(getattr(framework, verb)) for verb in ("preload", "load", "describe", "bind"))
        assert isinstance(framework.ROWS, bool)


class TestPickles:
    """Reading a pickle without running it."""

    MODEL = RandomForestClassifier(3, random_state=0).fit(X, Y)

    @pytest.mark.parametrize("compress", [0, 3, ("zlib", 1), ("gzip", 1), ("bz2", 1), ("xz", 1), ("lzma", 1)])
    def test_joblib_files_of_every_compression_tell_their_version(self, tmp_path: Path, compress: Any) -> None:
        joblib.dump(self.MODEL, tmp_path / "m.joblib", compress=compress)

        wanted = requirements("sklearn", tmp_path, {})

        assert any(w.startswith("scikit-learn==") for w in wanted)
        assert "joblib" in wanted
        assert not any(w.startswith("pandas") for w in wanted), "a forest needs no data frame to predict"

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    def test_plain_pickles_of_every_protocol_tell_their_version(self, tmp_path: Path, protocol: int) -> None:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(self.MODEL, protocol=protocol))

        assert any(w.startswith("scikit-learn==") for w in requirements("sklearn", tmp_path, {}))

    def test_columns_picked_by_name_ask_for_pandas(self, tmp_path: Path) -> None:
        joblib.dump(mixed_pipeline(), tmp_path / "m.joblib")

        assert "pandas" in requirements("sklearn", tmp_path, {})

    def test_nothing_of_the_pickle_is_run(self, tmp_path: Path) -> None:
        class Trap:
            def __reduce__(self) -> Any:
                return (Path.touch, (tmp_path / "sprung",))

        (tmp_path / "m.pkl").write_bytes(pickle.dumps(Trap()))
        contents(tmp_path / "m.pkl")

        assert not (tmp_path / "sprung").exists()

    @pytest.mark.parametrize("pack", [bytes, zlib.compress, gzip.compress, bz2.compress, lzma.compress])
    def test_what_is_cut_short_is_unreadable_and_asks_for_what_loads_it(self, tmp_path: Path, pack: Any) -> None:
        whole = pack(pickle.dumps(self.MODEL))
        (tmp_path / "m.pkl").write_bytes(whole[: len(whole) // 2])

        with pytest.raises(UnreadablePickleError):
            contents(tmp_path / "m.pkl")
        assert {"joblib", "scikit-learn"} == {r.partition("=")[0] for r in requirements("sklearn", tmp_path, {})} - {
            "numpy>"
        }

    def test_code_that_is_pickled_by_value_asks_for_the_modules_that_it_imports(self, tmp_path: Path) -> None:
        by_value = b"\x80\x04\x8c\x17cloudpickle.cloudpickle\x8c\x09subimport\x93\x8c\x06pandas\x85R."
        (tmp_path / "m.pkl").write_bytes(by_value)
        assert ["cloudpickle", "joblib", "pandas", "scikit-learn"] == requirements("sklearn", tmp_path, {})

    def test_modules_beside_the_file_ask_for_what_they_import(self, tmp_path: Path) -> None:
        (tmp_path / "m.pkl").write_bytes(pickle.dumps(1))
        (tmp_path / "own.py").write_text("import numpy, pandas as pd\nfrom lightgbm.sklearn import LGBMModel\n")
        assert ["joblib", "lightgbm", "pandas", "scikit-learn"] == requirements("sklearn", tmp_path, {})

    @pytest.mark.parametrize(
        ("version", "cap"), [("1.2.2", True), ("1.4.1", True), ("1.4.2", False), ("1.10.0", False)]
    )
    def test_versions_that_know_nothing_of_numpy_2_get_an_older_one(
        self, tmp_path: Path, version: str, cap: bool
    ) -> None:
        model = Ridge().fit(X, Y)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sklearn.base.__version__", version)
            (tmp_path / "m.pkl").write_bytes(pickle.dumps(model))
        found = requirements("sklearn", tmp_path, {})
        assert f"scikit-learn=={version}" in found
        assert cap == ("numpy<2" in found)

    def test_a_pointer_of_version_control_is_named_with_the_command_that_fetches_the_file(self, tmp_path: Path) -> None:
        (tmp_path / "m.joblib").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
        with pytest.raises(InvalidInput, match="a pointer and not the model") as caught:
            requirements("sklearn", tmp_path, {})
        assert "git lfs pull" in (caught.value.hint or "")

    def test_a_boosters_own_file_is_told_to_be_dumped_as_an_estimator(self, tmp_path: Path) -> None:
        (tmp_path / "model.ubj").write_bytes(b"{}")
        with pytest.raises(InvalidInput, match="no model file") as caught:
            requirements("sklearn", tmp_path, {})
        assert "joblib.dump" in (caught.value.hint or "")

    def test_object_arrays_of_joblib_are_read(self, tmp_path: Path) -> None:
        joblib.dump({"a": np.array(["x", None], dtype=object), "b": np.ones(3)}, tmp_path / "m.joblib")

        assert contents(tmp_path / "m.joblib")


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
        with pytest.raises(InvalidInput, match="does not fit"):
            loaded(Ridge().fit(X, Y), inputs=scalars("a", "b"))
        with pytest.raises(InvalidInput, match="lacks"):
            loaded(Ridge().fit(X, Y), inputs=scalars(*NAMES[:2], "other"))


class TestLoading:
    """Artifacts that cannot be versions."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "cut short"),
            (pickle.dumps(Ridge().fit(X, Y))[:-50], "cut short"),
            (pickle.dumps({"a": 1}), "no estimator"),
            (pickle.dumps(Ridge()), "not fitted"),
            (b"no pickle at all", "loading the artifact failed|cut short"),
            (b"cno_such_module\nThing\n.", "no_such_module"),
            (b"cbuiltins\nexit\n(I3\ntR.", "SystemExit"),
        ],
    )
    def test_files_that_hold_no_model_say_so(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "m.pkl").write_bytes(content)

        with pytest.raises(InvalidInput, match=said):
            load_model(find("sklearn"), tmp_path, {})

    def test_several_files_need_a_choice(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            joblib.dump(Ridge().fit(X, Y), tmp_path / f"{name}.joblib")

        with pytest.raises(InvalidInput, match="2 model files, one is needed"):
            load_model(find("sklearn"), tmp_path, {})
        assert load_model(find("sklearn"), tmp_path, {"file": "b.joblib"}) is not None
        with pytest.raises(InvalidInput):
            load_model(find("sklearn"), tmp_path, {"file": "../b.joblib"})

    def test_a_model_of_another_library_version_is_told_in_the_log(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        model = Ridge().fit(X, Y)
        data = pickle.dumps(model)
        version = model.__getstate__()["_sklearn_version"].encode()
        (tmp_path / "m.pkl").write_bytes(data.replace(version, b"0" + version[1:]))

        with caplog.at_level(logging.WARNING):
            load_model(find("sklearn"), tmp_path, {})

        assert "InconsistentVersionWarning" in caplog.text

    @pytest.mark.parametrize(
        ("code", "said"),
        [
            ("x = 1", "no function 'predict'"),
            ("async def predict(model, a): return {}", "no function 'predict'"),
            ("def predict(model, b): return {}", "does not take"),
            ("def predict(:", "SyntaxError"),
            ("import no_such_module", "no_such_module"),
            ("def load(path): raise ValueError('bad weights')\ndef predict(model, a): return {}", "bad weights"),
        ],
    )
    def test_functions_that_cannot_work_say_why(self, tmp_path: Path, code: str, said: str) -> None:
        (tmp_path / "function.py").write_text(code)

        with pytest.raises(InvalidInput, match=said):
            load_function("python", tmp_path, {}, Signature(scalars("a"), scalars("y")))

    def test_a_function_has_its_folder_and_its_neighbours(self, tmp_path: Path) -> None:
        (tmp_path / "weights.txt").write_text("3")
        (tmp_path / "neighbour_of_entry.py").write_text("def times(a, b): return a * b")
        (tmp_path / "main.py").write_text(
            "from pathlib import Path\nfrom neighbour_of_entry import times\n"
            "def load(path): return float((Path(path) / 'weights.txt').read_text())\n"
            "def predict(model, **inputs): return {'y': times(inputs['a'], model)}"
        )

        function = load_function("python", tmp_path, {"entry": "main.py"}, Signature(scalars("a"), scalars("y")))

        assert [6.0] == function({"a": np.array([2.0])})["y"].tolist()

    def test_what_user_code_raises_is_its_failure(self, tmp_path: Path) -> None:
        (tmp_path / "function.py").write_text("import sys\ndef predict(model, a):\n    sys.exit(3) if a[0] else 1 / 0")
        function = load_function("python", tmp_path, {}, Signature(scalars("a"), scalars("y")))

        with pytest.raises(FunctionFailed, match="SystemExit"):
            function({"a": np.ones(1)})
        with pytest.raises(FunctionFailed, match="ZeroDivisionError"):
            function({"a": np.zeros(1)})


class TestProbe:
    """Trying an artifact during a build."""

    def probe(self, folder: Path, framework: str, **members: Any) -> ProbeResult:
        result = probe(ProbeRequest(framework, folder, folder / "result.json", **members))
        return ProbeResult.from_document(result.to_document())

    def code(self, folder: Path, text: str) -> Path:
        (folder / "function.py").write_text(text)
        return folder

    def test_a_model_completes_its_own_signature(self, tmp_path: Path) -> None:
        joblib.dump(LogisticRegression(max_iter=5000).fit(X, Y), tmp_path / "m.joblib")

        result = self.probe(tmp_path, "sklearn", sample={**X[:10].to_dict("list"), "target": [0] * 10})

        assert result.ok
        assert result.signature is not None
        assert list(NAMES) == [f["name"] for f in result.signature["inputs"]]
        assert ["label", "probabilities"] == [f["name"] for f in result.signature["outputs"]]
        assert 10 == result.details["rows"]

    def test_a_function_is_known_by_its_answers(self, tmp_path: Path) -> None:
        self.code(
            tmp_path, "def predict(model, a, b): return {'s': a + b, 'v': [[1.0, 2.0]] * len(a), 'w': ['x'] * len(a)}"
        )

        result = self.probe(tmp_path, "python", sample={"a": [1, 2], "b": [0.5, 0.5]})

        assert result.signature is not None
        assert [("a", "int64"), ("b", "float64")] == [(f["name"], f["type"]) for f in result.signature["inputs"]]
        outputs = [(f["name"], f["type"], f["shape"]) for f in result.signature["outputs"]]
        assert [("s", "float64", []), ("v", "float64", [2]), ("w", "string", [])] == outputs

    @pytest.mark.parametrize(
        ("answer", "field"),
        [
            ("{'z': a}", "z"),
            ("{'y': a[:1]}", "y"),
            ("{'y': ['x'] * len(a)}", "y"),
            ("{'y': [[1.0]] * len(a) + [[2.0]]}", "y"),
            ("[1]", None),
        ],
    )
    def test_answers_that_break_the_contract_fail_the_build(
        self, tmp_path: Path, answer: str, field: str | None
    ) -> None:
        """Wrong names, too few rows, wrong types and shapes."""
        self.code(tmp_path, f"def predict(model, a): return {answer}")

        result = self.probe(
            tmp_path, "python", inputs=[{"name": "a", "type": "double"}], outputs=[{"name": "y", "type": "double"}]
        )

        assert not result.ok
        assert result.error is not None
        assert field == result.error.get("field")

    def test_a_failure_on_real_rows_fails_the_build_with_the_traceback(self, tmp_path: Path) -> None:
        self.code(tmp_path, "def predict(model, a): raise ValueError('no such plan')")
        declared: Any = {"inputs": [{"name": "a", "type": "double"}], "outputs": [{"name": "y", "type": "double"}]}

        real = self.probe(tmp_path, "python", sample={"a": [1.0]}, **declared)
        made_up = self.probe(tmp_path, "python", **declared)

        assert not real.ok
        assert real.error is not None
        assert "no such plan" in real.error["message"]
        assert "Traceback" in real.log
        assert made_up.ok
        assert "no such plan" in made_up.details["warnings"][0]

    @pytest.mark.parametrize(
        ("members", "field"),
        [({}, "contract"), ({"inputs": [{"name": "a", "type": "double"}], "sample": {"b": [1]}}, "a")],
    )
    def test_what_is_not_known_is_asked_for(self, tmp_path: Path, members: dict[str, Any], field: str) -> None:
        self.code(tmp_path, "def predict(model, a): return {'y': a}")

        result = self.probe(tmp_path, "python", **members)

        assert result.error is not None
        assert field == result.error["field"]

    def test_a_data_frames_numbers_may_have_gaps(self, tmp_path: Path) -> None:
        self.code(tmp_path, "def predict(model, a): return {'y': a}")

        result = self.probe(tmp_path, "python", sample={"a": pd.Series([1.0, None]).replace({np.nan: None}).tolist()})

        assert result.ok


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
