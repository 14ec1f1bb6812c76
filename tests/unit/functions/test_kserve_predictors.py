"""Subclasses of ``kserve.Model`` run as they are: v1 dicts and v2 requests, coroutines, their own preprocessing."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headrace_functions.errors import FunctionFailed, InvalidInput
from headrace_functions.runtime.frameworks import find
from headrace_functions.runtime.loading import LoadedFunction, bind
from headrace_functions.runtime.trial import Trial, try_artifact
from headrace_functions.signature import Field, Signature, dtype

ROWS = {"a": [1.0, 2.0, 3.0], "b": [10.0, 20.0, 30.0]}
V1 = """
from kserve import Model
class Sums(Model):
    def load(self):
        self.ready = True
    def predict(self, payload, headers=None):
        return {"predictions": [sum(row) for row in payload["instances"]]}
"""
V2 = """
import numpy as np
from kserve import InferOutput, InferRequest, InferResponse, Model
class Sums(Model):
    async def preprocess(self, payload: InferRequest, headers: dict = None) -> InferRequest:
        self.seen = payload.model_name
        return payload
    async def predict(self, payload: InferRequest, headers: dict = None, response_headers: dict = None) -> InferResponse:
        total = sum(i.as_numpy() for i in payload.inputs)
        output = InferOutput("total", list(total.shape), "FP64")
        output.set_data_from_numpy(total, binary_data=False)
        return InferResponse("1", self.name, [output])
"""
RECORDS = """
from kserve import Model
class Sums(Model):
    def postprocess(self, result, headers=None, response_headers=None):
        return {"predictions": [{"sum": p, "big": p > 20} for p in result["predictions"]]}
    def predict(self, payload, headers=None, response_headers=None):
        return {"predictions": [row["a"] + row["b"] for row in payload["instances"]]}
"""


def tried(folder: Path, code: str, **options: Any) -> Signature:
    (folder / "model.py").write_text(code)
    return try_artifact(Trial("kserve", folder, options, True, None, None, ROWS))[0]


def served(folder: Path, code: str, signature: Signature, **options: Any) -> LoadedFunction:
    (folder / "model.py").write_text(code)
    framework = find("kserve")
    return bind(framework, framework.load(folder, options), options, signature, batch=True)


def columns() -> dict[str, Any]:
    return {name: np.array(column) for name, column in ROWS.items()}


def test_a_predictor_of_protocol_v1_gets_rows_as_lists(tmp_path: Path) -> None:
    signature = tried(tmp_path, V1)
    assert ["predictions"] == [f.name for f in signature.outputs]
    assert [11.0, 22.0, 33.0] == served(tmp_path, V1, signature)(columns())["predictions"].tolist()


def test_a_predictor_that_takes_infer_requests_gets_one_and_may_be_a_coroutine(tmp_path: Path) -> None:
    signature = tried(tmp_path, V2)
    assert ["total"] == [f.name for f in signature.outputs]
    function = served(tmp_path, V2, signature)
    for _ in range(2):
        assert [11.0, 22.0, 33.0] == function(columns())["total"].tolist()


def test_rows_as_records_in_and_out_become_outputs_by_key(tmp_path: Path) -> None:
    signature = tried(tmp_path, RECORDS, instances="records")
    assert [("sum", "float64"), ("big", "bool")] == [(f.name, f.dtype.name) for f in signature.outputs]
    found = served(tmp_path, RECORDS, signature, instances="records")(columns())
    assert [False, True, True] == found["big"].tolist()


@pytest.mark.parametrize(
    ("code", "options", "says"),
    [
        ("x = 1", {}, "no subclass of kserve.Model"),
        (V1 + "class Other(Model): ...\n", {}, "several subclasses"),
        (V1, {"class": "Missing"}, "called 'Missing'"),
        (V1, {"entry": "other.py"}, "there is no other.py"),
        (V1, {"entry": "../../etc/passwd"}, "there is no"),
        (V1, {"protocol": "v3"}, "protocol 'v3'"),
        (V1, {"arguments": 1}, "not a mapping"),
    ],
)
def test_what_cannot_be_a_predictor_is_said(tmp_path: Path, code: str, options: dict[str, Any], says: str) -> None:
    (tmp_path / "model.py").write_text(code)
    with pytest.raises(InvalidInput, match=says):
        find("kserve").load(tmp_path, options)


def test_an_answer_of_neither_protocol_fails_and_the_next_is_served(tmp_path: Path) -> None:
    code = V1.replace('{"predictions": [', '7 if payload["instances"][0][0] < 0 else {"predictions": [')
    numbers = tuple(Field(n, dtype("float64")) for n in ROWS)
    function = served(tmp_path, code, Signature(numbers, (Field("predictions", dtype("float64")),)))
    with pytest.raises(FunctionFailed):
        function({**columns(), "a": np.array([-1.0, 0.0, 0.0])})
    assert 3 == len(function(columns())["predictions"])


def test_a_predictor_answers_on_a_thread_whose_own_loop_runs(tmp_path: Path) -> None:
    """The server calls a fast function on its loop."""
    signature = tried(tmp_path, V2)
    function = served(tmp_path, V2, signature)

    async def on_a_loop() -> list[float]:
        found: list[float] = function(columns())["total"].tolist()
        return found

    assert [11.0, 22.0, 33.0] == asyncio.run(on_a_loop())
