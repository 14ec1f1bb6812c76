"""How a function is asked and answers: questions as the requests of the runtime, its results as fields and columns."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from headrace_controller.building.room import Fields, Question
from headrace_controller.training.tables import Columns
from headrace_functions.errors import InvalidInput
from headrace_functions.runtime.probe import ProbeRequest, ProbeResult
from headrace_functions.runtime.training_answers import AnswersRequest
from headrace_functions.signature import Field, Signature


def probe_request(question: Question, sample: Columns, artifact: Path, result: Path) -> dict[str, Any]:
    """The document for ``headrace_functions.runtime.probe``; the two paths are those of the machine that runs it."""
    return ProbeRequest(
        framework=question.framework,
        artifact=artifact,
        result=result,
        options=question.options,
        batch=question.batch,
        inputs=[f.to_document() for f in question.inputs] or None,
        outputs=[f.to_document() for f in question.outputs] or None,
        sample=_lists(sample) or None,
    ).to_document()


def found_signature(result: bytes) -> tuple[Fields, Fields]:
    """Inputs and outputs as the probe found them; ``InvalidInput`` with its words where the artifact is at fault."""
    found = ProbeResult.from_document(orjson.loads(result))
    if not found.ok or found.signature is None:
        raise _refused(found.error or {})
    signature = Signature.from_document(found.signature)
    return signature.inputs, signature.outputs


def answers_request(question: Question, rows: Columns, artifact: Path, result: Path) -> dict[str, Any]:
    """The document for ``headrace_functions.runtime.training_answers``."""
    return AnswersRequest(
        framework=question.framework,
        artifact=artifact,
        result=result,
        signature=Signature(question.inputs, question.outputs).to_document(),
        columns=_lists(rows),
        options=question.options,
        batch=question.batch,
    ).to_document()


def answered(question: Question, result: bytes) -> Columns:
    """The answers' columns by output name."""
    found = orjson.loads(result)
    return {f.name: _column(f, found[f.name]) for f in question.outputs}


def _refused(error: Mapping[str, str]) -> InvalidInput:
    return InvalidInput(
        error.get("message", "the function could not be tried"),
        field=error.get("field"),
        expected=error.get("expected"),
        got=error.get("got"),
        hint=error.get("hint"),
    )


def _lists(columns: Columns) -> dict[str, list[Any]]:
    return {
        name: [v.tolist() if isinstance(v, np.ndarray) else v for v in column]
        if column.dtype == object
        else column.tolist()
        for name, column in columns.items()
    }


def _column(field: Field, values: list[Any]) -> np.ndarray[Any, Any]:
    if field.dtype.name == "string":
        return np.array(values, object)
    if field.size is None:
        rows = np.empty(len(values), object)
        rows[:] = [np.asarray(v, field.dtype.numpy) for v in values]
        return rows
    kind = field.dtype.numpy if field.dtype.numpy.kind != "f" else np.dtype(np.float64)
    return np.array(values, kind)
