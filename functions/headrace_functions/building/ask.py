"""``python -m headrace_functions.building.ask``: ask a function in the image and with the layer that it will be served in.

The question names a module of the runtime (``probe`` or ``answers``), its request, and the artifact by key and digest.
"""

import hashlib
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from headrace_functions import startup
from headrace_functions.building import command, job_contract
from headrace_functions.errors import InvalidInput, Malformed
from headrace_functions.runtime import layers
from headrace_functions.runtime.fetch import checked_archive
from headrace_functions.runtime.prefetch import open_store
from headrace_functions.storage import unpacking

MODULES = ("probe", "training_answers")


def ask(environment: Mapping[str, str]) -> None:
    """Fetch, ask in a child process, and put the child's result into the store."""
    check_image(environment)
    store = open_store(environment)
    question: dict[str, Any] = orjson.loads(store.get(environment[job_contract.QUESTION]))
    if question["module"] not in MODULES:
        raise Malformed(f"{question['module']!r} is not a build module", field="module", expected=", ".join(MODULES))
    request = question["request"]
    layer = layers.fetched(environment)
    unpacking.unpack(checked_archive(store, question["artifact"], question["digest"]), Path(request["artifact"]))
    result = Path(request["result"])
    code = _child(question, environment, layer)
    if not result.is_file():
        if code < 0:
            print(f"the process was killed by {signal.Signals(-code).name}", flush=True)  # noqa: T201 -- the build log
        sys.exit(job_contract.ENDED)
    store.put(environment[job_contract.RESULT], result)


def check_image(environment: Mapping[str, str]) -> None:
    """Refuse an image that was made from another lock than the platform's list says."""
    wanted = environment.get(job_contract.IMAGE_LOCK, "")
    if not wanted:
        return
    lock = Path(sys.prefix) / "lock.txt"
    found = hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else "no lock"
    if found != wanted:
        raise InvalidInput(
            "the runtime image was built from a different lock than the platform's list of images states",
            field="HEADRACE_RUNTIME_IMAGES",
            expected=wanted,
            got=found,
            hint="create the list and the image from the same files; see docs/cluster-builds.md",
        )


def _child(question: Mapping[str, Any], environment: Mapping[str, str], layer: Path | None) -> int:
    work = Path(environment[startup.WORK])
    file = work / "request.json"
    file.write_bytes(orjson.dumps(question["request"]))
    seen = command.plain(environment) | {"HOME": str(work), "TMPDIR": str(work)}
    if layer is not None:
        seen["PYTHONPATH"] = layers.search_path(layer, seen)
    module = f"headrace_functions.runtime.{question['module']}"
    return command.run([sys.executable, "-m", module, str(file)], seen, timeout=question["timeout"])


if __name__ == "__main__":
    command.main(ask)
