"""The documents that describe a server and its models in the Open Inference Protocol (v2) and in v1."""

from collections.abc import Sequence
from typing import Any

from headrace_functions.signature import Field, Signature


def server_metadata(version: str) -> dict[str, Any]:
    """``GET /v2``. ``binary_tensor_data`` says that the binary extension is understood."""
    return {"name": "headrace", "version": version, "extensions": ["binary_tensor_data"]}


def model_metadata(
    name: str, versions: Sequence[str], platform: str, signature: Signature, *, batch: bool = True
) -> dict[str, Any]:
    """``GET /v2/models/<m>``. Shapes are those of the wire: -1 in front for the rows (with ``batch``), -1 for free sizes."""
    return {
        "name": name,
        "versions": list(versions),
        "platform": platform,
        "inputs": [_tensor(f, batch) for f in signature.inputs],
        "outputs": [_tensor(f, batch) for f in signature.outputs],
    }


def model_ready(name: str, ready: bool) -> dict[str, Any]:
    """``GET /v2/models/<m>/ready``."""
    return {"name": name, "ready": ready}


def v1_model(name: str, ready: bool) -> dict[str, Any]:
    """``GET /v1/models/<m>``."""
    return {"name": name, "ready": ready}


def _tensor(field: Field, batch: bool) -> dict[str, Any]:
    shape = [-1, *field.shape] if batch else list(field.shape)
    return {"name": field.name, "datatype": field.dtype.wire, "shape": shape}
