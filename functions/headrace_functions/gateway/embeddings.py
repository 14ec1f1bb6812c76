"""``POST /v1/embeddings``: texts to vectors as clients of OpenAI's API ask for them. Pure: the request and the answer as v2 has them.

A name can be asked so where its signature has one text as input and one vector of numbers as output. ``usage`` counts no tokens, for a model does not tell any: both numbers are 0.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from headrace_functions.errors import InvalidInput, Malformed, TooLarge
from headrace_functions.protocol import jsontext
from headrace_functions.signature import Field, Signature

PATH = "/v1/embeddings"
MAX_TEXTS = 2048
"""Texts of one request, as OpenAI has it."""
_KNOWN = ("model", "input", "encoding_format", "user", "dimensions")


@dataclass(frozen=True, slots=True)
class Request:
    model: str
    texts: list[str]
    as_base64: bool
    dimensions: int | None


def read(body: bytes) -> Request:
    """The request in a body. ``InvalidInput`` names the member that is wrong."""
    document = jsontext.parse(body)
    model, given = document.get("model"), document.get("input")
    if not isinstance(model, str) or not model:
        raise InvalidInput("model: it is required", field="model", expected="the name of a model, e.g. sentences")
    unknown = next((k for k in document if k not in _KNOWN), None)
    if unknown is not None:
        raise InvalidInput(
            f"{unknown}: it is not supported here", field=unknown, expected=", ".join(_KNOWN), got=unknown
        )
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise InvalidInput(
            "input: texts are required",
            field="input",
            expected="a text, or a list of texts",
            got="lists of tokens" if isinstance(texts, list) and texts else type(given).__name__,
        )
    if len(texts) > MAX_TEXTS:
        raise TooLarge(f"input: at most {MAX_TEXTS} texts per request", field="input", got=str(len(texts)))
    form = document.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise InvalidInput(
            "encoding_format: it is not supported",
            field="encoding_format",
            expected="float or base64",
            got=jsontext.shown(form),
        )
    wanted = document.get("dimensions")
    if wanted is not None and (not isinstance(wanted, int) or isinstance(wanted, bool) or wanted < 1):
        raise InvalidInput(
            "dimensions: a whole number of at least 1 is required", field="dimensions", got=jsontext.shown(wanted)
        )
    return Request(model, texts, form == "base64", wanted)


def fields_of(name: str, signature: Signature, *, batch: bool) -> tuple[Field, Field]:
    """The text and the vector of a signature; ``InvalidInput`` where it is not of that form."""
    inputs, outputs = signature.inputs, signature.outputs
    fits = (
        len(inputs) == 1
        and inputs[0].is_scalar
        and inputs[0].dtype.name == "string"
        and len(outputs) == 1
        and len(outputs[0].shape) == 1
        and outputs[0].dtype.is_number
    )
    if not fits or not batch:
        raise InvalidInput(
            f"{name} does not return embeddings",
            field="model",
            expected="a model with one text input and one vector of numbers as output",
            got=", ".join(f.name for f in inputs) + " → " + ", ".join(f.name for f in outputs),
            hint="call it at /v2/models/NAME/infer",
        )
    return inputs[0], outputs[0]


def question(request: Request, text: Field, vector: Field) -> bytes:
    """The request of the Open Inference Protocol. ``InvalidInput`` for dimensions that the vector does not have."""
    if request.dimensions is not None and request.dimensions != vector.shape[0]:
        raise InvalidInput(
            f"dimensions: the vectors of {request.model} have {vector.shape[0]}",
            field="dimensions",
            expected=str(vector.shape[0]),
            got=str(request.dimensions),
        )
    tensor = {"name": text.name, "shape": [len(request.texts)], "datatype": "BYTES", "data": request.texts}
    return orjson.dumps({"inputs": [tensor]})


def answer(request: Request, body: bytes) -> bytes:
    """The vectors in an answer of the Open Inference Protocol, as OpenAI's clients read them."""
    try:
        (output,) = orjson.loads(body)["outputs"]
        vectors = np.asarray(output["data"], np.float64).reshape(output["shape"])
    except (orjson.JSONDecodeError, KeyError, ValueError, TypeError) as error:
        raise Malformed(f"the model did not return vectors: {error}") from error
    data: list[Mapping[str, Any]] = [
        {"object": "embedding", "index": i, "embedding": _written(v, as_base64=request.as_base64)}
        for i, v in enumerate(vectors)
    ]
    usage = {"prompt_tokens": 0, "total_tokens": 0}
    return orjson.dumps({"object": "list", "data": data, "model": request.model, "usage": usage})


def refusal(body: bytes) -> bytes:
    """A problem with its ``error`` as OpenAI's clients read it: an object with ``message``, ``type``, ``param`` and ``code``."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(told, dict) or "detail" not in told:
        return body
    error = {"message": told["detail"], "type": told.get("code"), "param": told.get("field"), "code": told.get("code")}
    return orjson.dumps({**told, "error": error})


def _written(vector: np.ndarray[Any, Any], *, as_base64: bool) -> Any:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode() if as_base64 else vector.tolist()
