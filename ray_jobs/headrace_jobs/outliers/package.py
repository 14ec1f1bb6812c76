"""The detector as a function to serve: what the build of a version takes, kept beside the version it watches."""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import orjson

from headrace_functions.errors import Conflict
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from headrace_jobs.outliers import scorer
from headrace_jobs.outliers.scorer import STATE, Detector

ENTRY = "function.py"
SUFFIX = "-outliers"
MONITORS = "monitors"
"""Member of the metadata that says which version a metric model watches."""


def keep_function(
    objects: ObjectStore, version: Version, detector: Detector, rate: float, licence: str | None = None
) -> str:
    """Write ``function.py``, ``detector.npz`` and ``definition.json``; returns the key of their folder.

    The folder is named by what is in it, so the same detector is written once and what is there never changes.
    """
    with tempfile.TemporaryDirectory(prefix="outliers-") as folder:
        file = Path(folder) / STATE
        detector.save(file)
        state = file.read_bytes()
    code = Path(scorer.__file__).read_bytes()
    document = orjson.dumps(definition(version, detector, rate, licence), option=orjson.OPT_INDENT_2)
    digest = hashlib.sha256(b"\0".join((code, state, document))).hexdigest()[:16]
    key = layout.detector(version.id, digest)
    for name, content in ((ENTRY, code), (STATE, state), ("definition.json", document)):
        try:
            objects.create(key + name, content)
        except Conflict:
            continue  # the folder is named by a digest: what is there is what we would write
    return key


def definition(version: Version, detector: Detector, rate: float, licence: str | None = None) -> dict[str, Any]:
    """A ``kind: Model`` of the inputs that the detector looks at; ``threshold`` is for the metric that it becomes.

    ``licence`` is a notice of who learnt it, which goes with the model.
    """
    looked = {code.name for code in detector.encoding.fields}
    inputs = {f.name: _declared(f.to_document()) for f in version.signature.inputs if f.name in looked}
    outputs = {name: {"shape": "scalar", "type": "float64", "profile": "numerical"} for name in ("value", "score")}
    return {
        "kind": "Model",
        "name": version.id.model + SUFFIX,
        "framework": "python",
        "payload": [ENTRY, STATE],
        "requirements": ["numpy"],
        "contract": {"inputs": inputs, "outputs": outputs},
        "metadata": {
            MONITORS: str(version.id),
            "method": detector.method,
            "threshold": f"{1 - rate:g}",
            "operator": "<=",
            **({"licence": licence} if licence else {}),
        },
    }


def _declared(document: dict[str, Any]) -> dict[str, Any]:
    """A field as a definition has it. Unusual values are what the detector is for, so none is refused."""
    kept = {k: v for k, v in document.items() if k in ("type", "shape", "profile", "columns")}
    return {**kept, "shape": kept["shape"] or "scalar"}
