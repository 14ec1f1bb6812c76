"""What an artifact would import or do is told before anything of it is loaded, and what models usually do not is refused by name."""

import contextlib
import io
import json
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import uniform
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from framework_support import X, Y, mixed_pipeline
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.frameworks.pickles import UnreadablePickleError, imports
from headrace_functions.runtime.frameworks.safety import check, refused_types
from headrace_functions.runtime.frameworks.usual_imports import Name, unusual


class Calling:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def written(folder: Path, content: Any, name: str = "model.pkl", protocol: int = 4) -> Path:
    (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


def raw(folder: Path, *instructions: bytes) -> Path:
    (folder / "model.pkl").write_bytes(b"\x80\x04" + b"".join(instructions) + b".")
    return folder


def named(module: str, name: str) -> bytes:
    parts = b"".join(b"\x8c" + bytes([len(t)]) + t.encode() for t in (module, name))
    return parts + b"\x93"


@pytest.mark.parametrize(
    "model",
    [
        mixed_pipeline(),
        make_pipeline(SelectKBest(f_classif, k=2), LogisticRegression()).fit(X, Y),
        GridSearchCV(LogisticRegression(), {"C": [1.0, 2.0]}, cv=2).fit(X, Y),
        RandomizedSearchCV(LogisticRegression(), {"C": uniform(0.1, 1)}, n_iter=2, cv=2).fit(X, Y),
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()).fit(X, Y),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_what_estimators_are_made_of_is_usual(tmp_path: Path, model: Any, protocol: int) -> None:
    notes = check("sklearn", written(tmp_path, model, protocol=protocol), {}, [])
    assert ["model.pkl imports nothing unusual"] == notes


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_call_of_the_system_is_refused_by_name_in_every_protocol(tmp_path: Path, protocol: int) -> None:
    import os

    trap = {"model": LogisticRegression(), "more": Calling(os.system, "touch sprung")}
    with pytest.raises(InvalidInput) as caught:
        check("sklearn", written(tmp_path, trap, protocol=protocol), {}, [])
    assert "allow-unsafe" == caught.value.field
    assert "would import posix.system" in caught.value.message
    assert "allow-unsafe: [posix.system]" in str(caught.value.hint)


def test_what_is_allowed_is_said_and_a_module_allows_what_is_in_it(tmp_path: Path) -> None:
    import os

    folder = written(tmp_path, Calling(os.system, "true"))
    for allowed in ("posix.system", "posix", "*"):
        (note,) = check("sklearn", folder, {}, [allowed])
        assert "model.pkl imports what allow-unsafe lets it: posix.system" == note
    with pytest.raises(InvalidInput):
        check("sklearn", folder, {}, ["posix.sys", "os"])


class Doubling:
    """What a notebook defines: a method, a property, a member of the class and a constant from outside."""

    @property
    def factor(self) -> int:
        return 2

    @classmethod
    def made(cls) -> "Doubling":
        return cls()

    def transform(self, x: Any) -> Any:
        return np.multiply(x, self.factor)


@pytest.mark.parametrize("by_value", [Doubling(), FunctionTransformer(lambda x: x + 1)], ids=["class", "lambda"])
def test_code_by_value_is_allowed_by_the_one_name_that_the_refusal_gives(tmp_path: Path, by_value: Any) -> None:
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    (tmp_path / "model.pkl").write_bytes(cloudpickle.dumps(by_value))
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])

    with pytest.raises(InvalidInput, match=r"model\.pkl has code by value") as caught:
        check("sklearn", tmp_path, {}, [])
    assert "add cloudpickle to allow-unsafe" in (caught.value.hint or "")
    assert check("sklearn", tmp_path, {}, ["cloudpickle"])


def test_who_allows_code_by_value_allows_no_programs(tmp_path: Path) -> None:
    raw(tmp_path, named("cloudpickle.cloudpickle", "_make_function"), b"0", named("posix", "system"))
    with pytest.raises(InvalidInput, match=r"would import posix\.system"):
        check("sklearn", tmp_path, {}, ["cloudpickle"])


def test_classes_of_python_files_in_the_payload_are_let_and_said(tmp_path: Path) -> None:
    folder = raw(tmp_path, named("features", "Ratio"), b")\x81")
    with pytest.raises(InvalidInput, match=r"features\.Ratio"):
        check("sklearn", folder, {}, [])
    (folder / "features.py").write_text("class Ratio: ...")
    assert ["model.pkl imports from Python files of the payload: features.Ratio"] == check("sklearn", folder, {}, [])


HIDDEN = {
    "a module's own module": named("joblib", "os") + b"0N",
    "a dotted way": named("numpy", "os.system") + b"0N",
    "a member of Python": named("sklearn.base", "BaseEstimator.__init__") + b"0N",
    "a class of another library": named("subprocess", "Popen") + b"0N",
    "code that is made": named("types", "CodeType") + b"0N",
    "an evaluator": named("pandas", "eval") + b"0N",
    "a loader of pickles": named("torch.storage", "_load_from_bytes") + b"0N",
    "what is thrown away at once": named("posix", "system") + b"\x8c\x04true\x85R0N",
    "getattr of a member of Python": named("builtins", "getattr")
    + named("sklearn.base", "clone")
    + b"\x8c\x0b__globals__\x86R0N",
    "getattr handed on": named("functools", "partial") + named("builtins", "getattr") + b"\x85R0N",
    "code by value": named("cloudpickle.cloudpickle", "_builtin_type") + b"\x8c\x08CodeType\x85R0N",
}


@pytest.mark.parametrize("instructions", HIDDEN.values(), ids=HIDDEN.keys())
def test_ways_around_the_names_are_refused(tmp_path: Path, instructions: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        check("sklearn", raw(tmp_path, instructions), {}, [])
    assert "allow-unsafe" == caught.value.field


def test_instructions_behind_what_joblib_would_skip_as_an_array_are_read_where_joblib_does_not_load(
    tmp_path: Path,
) -> None:
    """A pickle that names joblib's wrapper hides nothing from a loader that knows no wrapper."""
    from joblib.numpy_pickle import NumpyArrayWrapper

    wrapper = NumpyArrayWrapper(np.ndarray, (4,), "C", np.dtype("S100"))
    file = written(tmp_path, wrapper) / "model.pkl"
    hidden = file.read_bytes()[:-1] + b"0" + named("posix", "system") + b"."
    file.write_bytes(hidden)
    assert Name("posix", "system") in imports(file, "pickle")
    with pytest.raises(UnreadablePickleError):
        imports(file, "joblib")


def test_what_cannot_be_read_to_its_end_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"no pickle", pickle.dumps(LogisticRegression().fit(X, Y))[:-20]):
        (tmp_path / "model.pkl").write_bytes(content)
        with pytest.raises(InvalidInput, match="its imports cannot be determined") as caught:
            check("sklearn", tmp_path, {}, [])
        assert "payload" == caught.value.field


def test_a_pointer_of_version_control_is_named_as_one(tmp_path: Path) -> None:
    (tmp_path / "model.joblib").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n")
    with pytest.raises(InvalidInput, match="is a pointer, not the model"):
        check("sklearn", tmp_path, {}, [])


@given(st.integers(0, 2**32))
def test_bytes_at_random_are_an_error_or_are_read(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    """No damage makes the reader raise anything else, or end the process."""
    content = bytearray(pickle.dumps(make_pipeline(FunctionTransformer(np.log1p), LogisticRegression())))
    chance = random.Random(seed)
    for _ in range(chance.randint(1, 5)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file = tmp_path_factory.getbasetemp() / "damaged.pkl"
    file.write_bytes(content)
    with contextlib.suppress(UnreadablePickleError):
        imports(file)


def test_learners_of_fastai_may_be_asked_for_their_methods(tmp_path: Path) -> None:
    """They keep bound methods: as getattr with a class of fastai's and a name."""
    inner = (
        b"\x80\x02c__builtin__\ngetattr\ncfastai.data.core\nFilteredBase\nX\x0b\x00\x00\x00dataloaders\x86R"
        b"ccloudpickle.cloudpickle\n_builtin_type\nX\x0a\x00\x00\x00MethodType\x85R\x86."
    )
    with zipfile.ZipFile(tmp_path / "export.pkl", "w") as archive:
        archive.writestr("export/data.pkl", inner)
    assert ["export.pkl imports nothing unusual"] == check("fastai", tmp_path, {}, [])
    names = imports(tmp_path / "export.pkl", "torch")
    assert Name("types", "MethodType") in names
    assert Name("fastai.data.core", "FilteredBase.dataloaders") in names


def test_every_pickle_of_an_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.pkl", "w") as archive:
        archive.writestr("export/data.pkl", pickle.dumps(1))
        archive.writestr("export/more.pkl", b"cposix\nsystem\n.")
    with pytest.raises(InvalidInput, match=r"posix\.system"):
        check("fastai", tmp_path, {}, [])


def skops_file(folder: Path, *types: tuple[str, str]) -> Path:
    content = [{"__module__": m, "__class__": c, "__loader__": "ObjectNode", "content": {}} for m, c in types]
    with zipfile.ZipFile(folder / "model.skops", "w") as archive:
        archive.writestr("schema.json", json.dumps({"__module__": "builtins", "__class__": "list", "content": content}))
    return folder


def test_types_of_a_skops_file_are_held_to_the_same_rule(tmp_path: Path) -> None:
    check("sklearn", skops_file(tmp_path, ("sklearn.pipeline", "Pipeline")), {}, [])
    folder = skops_file(tmp_path, ("sklearn.pipeline", "Pipeline"), ("mine", "Ratio"))
    with pytest.raises(InvalidInput, match=r"would import mine\.Ratio"):
        check("sklearn", folder, {}, [])
    assert ["mine.Ratio"] == refused_types(folder / "model.skops", {})
    assert [] == refused_types(folder / "model.skops", {"allow-unsafe": ["mine"]})


def test_code_in_a_keras_file_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.keras", "w") as archive:
        archive.writestr("config.json", '{"config": {"layers": [{"class_name": "Lambda"}]}}')
    with pytest.raises(InvalidInput, match=r"keras\.layers\.Lambda"):
        check("keras", tmp_path, {}, [])
    assert check("keras", tmp_path, {}, ["keras.layers.Lambda"])


def test_a_graph_that_writes_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\x04node\x12\x09WriteFile\x1a\x01x")
    with pytest.raises(InvalidInput, match=r"tensorflow\.WriteFile"):
        check("tensorflow", tmp_path, {}, [])
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\x09WriteFile\x12\x06MatMul\x1a\x01x")  # a node of that name
    assert [] == check("tensorflow", tmp_path, {}, [])


def test_partial_functions_are_as_usual_as_what_they_call(tmp_path: Path) -> None:
    import os

    check("sklearn", written(tmp_path, partial(np.log1p)), {}, [])
    with pytest.raises(InvalidInput, match=r"posix\.system"):
        check("sklearn", written(tmp_path, partial(os.system, "true")), {}, [])


def test_arrays_of_objects_in_joblib_files_are_read_too(tmp_path: Path) -> None:
    import os

    held = np.array([{"a": Calling(os.system, "true")}], dtype=object)
    file = io.BytesIO()
    joblib.dump(held, file)
    (tmp_path / "model.joblib").write_bytes(file.getvalue())
    with pytest.raises(InvalidInput, match=r"posix\.system"):
        check("sklearn", tmp_path, {}, [])


def test_names_of_the_library_s_tests_loaders_and_evaluators_are_unusual() -> None:
    for text in (
        "numpy.testing._private.utils runstring", "sklearn.utils._testing assert_run_python_script_without_output", "joblib load", "torch load",
        "torch.hub load", "pandas read_pickle", "pandas.core.frame DataFrame.eval", "operator attrgetter", "importlib import_module",
        "xgboost.core ctypes.CDLL", "fastai.basics run", "fastai.callback.core FunctionType", "sklearn.callback._transport Client", "numpy load",
    ):  # fmt: skip
        name = Name(*text.split())
        assert [name] == unusual([name])
