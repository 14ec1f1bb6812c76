"""Finding out a signature by asking."""

import re
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from framework_support import NAMES, X, Y
from headrace_functions.runtime.probe import ProbeRequest, ProbeResult, probe


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

    def test_the_log_says_in_words_how_long_the_trial_took(self, tmp_path: Path) -> None:
        self.code(tmp_path, "def predict(model, a): return {'s': a}")

        log = self.probe(tmp_path, "python", sample={"a": [1, 2]}).log

        assert re.fullmatch(r"tried in \d+\.\d s: loaded in \d+\.\d s, 2 rows predicted in \d+\.\d ms\n", log)

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
