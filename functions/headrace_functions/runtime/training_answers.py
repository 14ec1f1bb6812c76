"""``python -m headrace_functions.runtime.training_answers REQUEST.json``: what a version answers to many rows, during a build.

The answers on training rows are the reference of drift in what a model says. Reads an ``AnswersRequest`` and writes a JSON
object of columns by output name (numbers that are not finite as null) to the path that the request names.
Exit code 0 if it was written; else the end of standard error says why.
"""

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from headrace_functions.runtime import confinement, threads

threads.cap()  # before numpy is imported below: its libraries read the variables when they load

import numpy as np  # noqa: E402
import orjson  # noqa: E402

from headrace_functions.protocol.checks import as_array, check_inputs  # noqa: E402
from headrace_functions.protocol.values import from_json  # noqa: E402
from headrace_functions.runtime.frameworks import find  # noqa: E402
from headrace_functions.runtime.loading import LoadedFunction, bind, load_model  # noqa: E402
from headrace_functions.signature import Signature, Tensors  # noqa: E402

BATCH_ROWS = 1000  # rows of one call of the function


@dataclass(frozen=True, slots=True)
class AnswersRequest:
    """Whom to ask, and what. ``signature`` is ``Signature.to_document``, ``columns`` the rows by input name."""

    framework: str
    artifact: Path
    """Folder with the unpacked artifact."""
    result: Path
    """File for the columns of the answer."""
    signature: Mapping[str, Any]
    columns: Mapping[str, list[Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = True

    def to_document(self) -> dict[str, Any]:
        document = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**document, "artifact": str(self.artifact), "result": str(self.result)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "AnswersRequest":
        return cls(**{**document, "artifact": Path(document["artifact"]), "result": Path(document["result"])})


def answers(request: AnswersRequest) -> dict[str, list[Any]]:
    """Columns of the answers by output name, in the order of the rows. A ``HeadraceError`` where a row cannot be answered."""
    framework = find(request.framework)
    model = load_model(framework, request.artifact, request.options)
    signature = Signature.from_document(request.signature)
    function = bind(framework, model, request.options, signature, batch=request.batch)
    rows = {
        f.name: from_json(request.columns[f.name], f.dtype, f.name)
        if f.is_scalar
        else as_array(request.columns[f.name], f)
        for f in signature.inputs
    }
    found: dict[str, list[Any]] = {f.name: [] for f in signature.outputs}
    for part in _parts(function, rows):
        for name, values in part.items():
            found[name].extend(values.tolist())
    return found


def _parts(function: LoadedFunction, rows: Tensors) -> "list[Tensors]":
    count = len(next(iter(rows.values())))
    if function.batch:
        starts = range(0, count, BATCH_ROWS)
        return [_ask(function, {name: column[at : at + BATCH_ROWS] for name, column in rows.items()}) for at in starts]
    single = (_ask(function, {name: column[at, ...] for name, column in rows.items()}) for at in range(count))
    return [{name: np.asarray(value)[np.newaxis] for name, value in answer.items()} for answer in single]


def _ask(function: LoadedFunction, rows: Tensors) -> Tensors:
    return function(check_inputs(rows, function.signature, function.batch))


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m headrace_functions.runtime.training_answers REQUEST.json")
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    request = AnswersRequest.from_document(orjson.loads(Path(sys.argv[1]).read_bytes()))
    confinement.confine_as_told(request.artifact)
    request.result.write_bytes(orjson.dumps(answers(request)))


if __name__ == "__main__":
    main()
