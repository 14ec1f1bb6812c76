"""Loading artifacts and user code."""

import logging
import pickle
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from framework_support import X, Y
from function_support import scalars
from headrace_functions.errors import FunctionFailed, InvalidInput
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.loading import load_function, load_model
from headrace_functions.signature import Signature


class TestLoading:
    """Artifacts that cannot be versions."""

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "truncated"),
            (pickle.dumps(Ridge().fit(X, Y))[:-50], "truncated"),
            (pickle.dumps({"a": 1}), "does not contain an estimator"),
            (pickle.dumps(Ridge()), "not fitted"),
            (b"no pickle at all", "loading the artifact failed|truncated"),
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

        with pytest.raises(InvalidInput, match="2 model files, but one is required"):
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
            ("def predict(model, b): return {}", "does not accept"),
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
