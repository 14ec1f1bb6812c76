"""Asking a function in its own environment during a build: its signature, and its answers to training rows.

User code runs here for the first time, so each question is a process of its own with a time limit, and what it prints goes
to the build log. The platform's own process never loads an artifact.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson

from headrace_controller import childprocess
from headrace_controller.childprocess import Log
from headrace_controller.training.tables import Columns
from headrace_functions.errors import DeadlineExceeded, InvalidInput
from headrace_functions.runtime.answers import AnswersRequest
from headrace_functions.runtime.probe import ProbeRequest, ProbeResult
from headrace_functions.signature import Field, Signature

PROBE_TIMEOUT = 300.0  # seconds to load an artifact and answer some rows
ANSWERS_TIMEOUT = 600.0  # seconds to answer the reference rows

Fields = tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """Whom to ask. Empty ``inputs`` or ``outputs`` are to be found out."""

    framework: str
    artifact: Path
    options: Mapping[str, Any]
    inputs: Fields
    outputs: Fields
    batch: bool


class Probe(Protocol):
    """Asks an artifact. ``folder`` is for files of the exchange; ``InvalidInput`` says what is wrong with the artifact."""

    def signature(
        self, python: Path, question: Question, sample: Columns, folder: Path, log: Log
    ) -> tuple[Fields, Fields]:
        """Inputs and outputs: the declared ones confirmed by answers to the sample, the others found."""
        ...

    def answers(self, python: Path, question: Question, rows: Columns, folder: Path, log: Log) -> Columns:
        """Answers to rows, by the names of the question's outputs."""
        ...


class RuntimeProbe:
    """The probe that runs ``headrace_functions.runtime.probe`` and ``.answers`` with the environment's Python."""

    def signature(
        self, python: Path, question: Question, sample: Columns, folder: Path, log: Log
    ) -> tuple[Fields, Fields]:
        request = ProbeRequest(
            framework=question.framework,
            artifact=question.artifact,
            result=folder / "probe-result.json",
            options=question.options,
            batch=question.batch,
            inputs=[f.to_document() for f in question.inputs] or None,
            outputs=[f.to_document() for f in question.outputs] or None,
            sample=_lists(sample) or None,
        )
        said = _ask(python, "headrace_functions.runtime.probe", request.to_document(), folder, PROBE_TIMEOUT, log)
        result = ProbeResult.from_document(orjson.loads(_result(request.result, said)))
        if not result.ok or result.signature is None:
            raise _refused(result.error or {})
        signature = Signature.from_document(result.signature)
        return signature.inputs, signature.outputs

    def answers(self, python: Path, question: Question, rows: Columns, folder: Path, log: Log) -> Columns:
        signature = Signature(question.inputs, question.outputs)
        request = AnswersRequest(
            framework=question.framework,
            artifact=question.artifact,
            result=folder / "answers.json",
            signature=signature.to_document(),
            columns=_lists(rows),
            options=question.options,
            batch=question.batch,
        )
        said = _ask(python, "headrace_functions.runtime.answers", request.to_document(), folder, ANSWERS_TIMEOUT, log)
        found = orjson.loads(_result(request.result, said))
        return {f.name: _column(f, found[f.name]) for f in question.outputs}


def _ask(python: Path, module: str, request: dict[str, Any], folder: Path, timeout: float, log: Log) -> str:
    """Run a module of the runtime on a request file; the end of what it printed."""
    file = folder / f"{module.rsplit('.', 1)[-1]}-request.json"
    file.write_bytes(orjson.dumps(request, option=orjson.OPT_SERIALIZE_NUMPY))
    # Isolated from the platform's environment: user code sees its own packages and no credentials of the store.
    environment = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ")}
    command = [str(python), "-m", module, str(file)]
    ended = childprocess.follow(command, log, folder=folder, environment=environment, timeout=timeout)
    if ended.late:
        raise DeadlineExceeded(
            f"payload: the function took more than {timeout:.0f} s to load and answer", field="payload"
        )
    return "\n".join(ended.tail[-5:])


def _result(file: Path, said: str) -> bytes:
    """What the process wrote; a process that died without (a crash in native code, out of memory) is the artifact's fault."""
    if not file.is_file():
        raise InvalidInput(
            f"payload: the process that tried the function ended without an answer: {said}", field="payload"
        )
    return file.read_bytes()


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
