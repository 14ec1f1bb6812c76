"""What Triton's own clients get from a platform, as JSON: ``python triton.py HTTP GRPC``.

In a process of its own, because its generated modules and KServe's register the same names.
"""

import json
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException


def asked(library, client, name, tensors, outputs=None):
    inputs = []
    for key, (datatype, array) in tensors.items():
        inputs.append(library.InferInput(key, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array)
    wanted = [library.InferRequestedOutput(o) for o in outputs] if outputs else None
    try:
        result = client.infer(name, inputs, outputs=wanted)
    except InferenceServerException as error:
        return {"error": error.message(), "status": str(error.status())}
    names = outputs or [o["name"] if isinstance(o, dict) else o.name for o in _outputs(result)]
    found = {}
    for key in names:
        array = result.as_numpy(key)
        found[key] = [e.decode() if isinstance(e, bytes) else e for e in array.ravel().tolist()]
    return found


def _outputs(result):
    response = result.get_response()
    return response["outputs"] if isinstance(response, dict) else response.outputs


def main(http, grpc):
    told = {}
    for library, address in ((over_http, http), (over_grpc, grpc)):
        client = library.InferenceServerClient(address)
        rows = {
            "a": ("FP64", np.array([1.0, 2.0])),
            "half": ("FP16", np.array([[0.5, 1.0], [2.0, 4.0]], dtype=np.float16)),
            "wide": ("FP32", np.array([1.5, -2.0], dtype=np.float32)),
            "word": ("BYTES", np.array(["grün", ""], dtype=object)),
        }
        brain = {**rows, "wide": ("BF16", np.array([1.5, -2.0], dtype=ml_dtypes.bfloat16))}
        none = {name: (kind, array[:0]) for name, (kind, array) in rows.items()}
        told[library.__name__] = {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model": client.is_model_ready("everything"),
            "version": client.is_model_ready("everything", "1"),
            "unknown": client.is_model_ready("nobody"),
            "rows": asked(library, client, "everything", rows),
            "one output": asked(library, client, "everything", rows, ["word"]),
            "bf16": asked(library, client, "everything", brain),
            "no rows": asked(library, client, "everything", none),
            "missing input": asked(library, client, "everything", {"a": rows["a"]}),
            "no such model": asked(library, client, "nobody", rows),
        }
    client = over_grpc.InferenceServerClient(grpc)
    told["index"] = [[m.name, m.version, m.state] for m in client.get_model_repository_index().models]
    client.load_model("everything")
    client.unload_model("everything")
    print(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
