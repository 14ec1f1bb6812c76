"""A server in a container of the same pod: an image of the user's that speaks the Open Inference Protocol.

The function server is the one that is asked: it checks, batches and logs as for any function, and passes requests on over the pod's own loopback. Options: those
of ``external``, ``readiness``, the path that answers 200 once requests can be sent, and ``start-timeout`` in seconds. The artifact is empty.
"""

import http.client
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from headrace_functions.errors import InvalidInput, SignatureMismatch
from headrace_functions.runtime.frameworks import external
from headrace_functions.runtime.frameworks.port import Description, Function, Options
from headrace_functions.signature import DTYPES, Field, Signature

ROWS = False
PAUSE = 0.05
"""Seconds between two looks at a container that is not ready."""
_MAX_METADATA = 4 * 1024 * 1024
_WIRE = {d.wire for d in DTYPES}

External = external.External


def preload() -> None:
    """Nothing beyond the standard library."""


def load(artifact: Path, options: Options) -> External:
    """Where the server answers, once it is ready. ``InvalidInput`` where it is not within ``start-timeout``, with what it said last."""
    del artifact
    model = external.of_open_inference(options)
    readiness, seconds = str(options.get("readiness", "")), float(options.get("start-timeout", 60.0))
    end, said = time.monotonic() + seconds, "nobody listens"
    while time.monotonic() < end:
        said = _look(model.host, readiness)
        if not said:
            return model
        time.sleep(PAUSE)
    raise InvalidInput(
        f"container: it is not ready after {seconds:g} s: {said}",
        field="container.readiness",
        expected=f"200 at http://{model.host}{readiness}",
        got=said,
        hint="see the container's own log: kubectl logs POD -c model-server; a server that starts slowly needs a longer limits.start-timeout",
    )


def describe(model: External, options: Options, inputs: tuple[Field, ...] | None = None) -> Description:
    """The signature is declared."""
    del model, options, inputs
    return Description()


def bind(model: External, options: Options, signature: Signature) -> Function:
    """As ``external``. ``SignatureMismatch`` where the server says of itself that it takes or gives something else; one that says nothing is believed."""
    found = _metadata(model)
    if found is not None:
        _check("inputs", signature.inputs, found.get("inputs"), all_of=True)
        _check("outputs", signature.outputs, found.get("outputs"), all_of=False)
    return external.bind(replace(model), options, signature)


def compare(model: External, signature: Signature, tensors: Any) -> list[str]:
    """Nothing is known of what it was made from."""
    return external.compare(model, signature, tensors)


def _look(host: str, path: str) -> str:
    """Empty where it is ready, else what is in the way."""
    status, _ = _get(host, path)
    return "" if status == http.client.OK else status if isinstance(status, str) else f"it answered {status}"


def _get(host: str, path: str) -> tuple[int | str, bytes]:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", path)
        reply = connection.getresponse()
        return reply.status, reply.read(_MAX_METADATA)
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__, b""
    finally:
        connection.close()


def _metadata(model: External) -> dict[str, Any] | None:
    status, body = _get(model.host, urlsplit(model.path).path.removesuffix("/infer"))
    if status != http.client.OK:
        return None
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _check(side: str, fields: tuple[Field, ...], told: Any, *, all_of: bool) -> None:
    """Each field by name and datatype. Inputs that the server has beyond them would be missing in every request, too."""
    if (
        not isinstance(told, list)
        or not all(isinstance(t, dict) and t.get("datatype") in _WIRE for t in told)
        or not told
    ):
        return
    types = {str(t.get("name")): t["datatype"] for t in told}
    for field in fields:
        if field.name not in types:
            raise _mismatch(side, f"{field.name!r} is not one of the container's {side}", field.name, list(types))
        if types[field.name] != field.dtype.wire:
            said = f"{field.name!r} is {field.dtype.wire} here and {types[field.name]} in the container"
            raise _mismatch(side, said, field.name, list(types))
    more = [name for name in types if name not in {f.name for f in fields}]
    if all_of and more:
        raise _mismatch(side, f"the container also takes {more[0]!r}", more[0], list(types))


def _mismatch(side: str, said: str, name: str, known: list[str]) -> SignatureMismatch:
    return SignatureMismatch(f"contract.{side}: {said}", field=name, expected=", ".join(known))
