"""``python -m headrace_functions.runtime.probe REQUEST.json``: try an artifact in its environment during a build.

Loads it, completes the signature where the definition left it out, and holds real answers against the declared outputs.
Reads a ``ProbeRequest`` and writes a ``ProbeResult`` to the path that the request names. Exit code 0 if the result was
written, whatever it says; the build log is what this process prints.
"""

import io
import logging
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from headrace_functions.runtime import confinement, threads

threads.cap()  # before numpy is imported below: its libraries read the variables when they load

import orjson  # noqa: E402

from headrace_functions.errors import HeadraceError  # noqa: E402
from headrace_functions.runtime.trial import Trial, try_artifact  # noqa: E402

_TAIL = 8000  # characters of the log in the result

log = logging.getLogger("headrace.probe")


@dataclass(frozen=True, slots=True)
class ProbeRequest:
    """What to try. ``inputs`` and ``outputs`` are field documents (``Field.to_document``) or None to be inferred."""

    framework: str
    artifact: Path
    """Folder with the unpacked artifact."""
    result: Path
    """File for the ``ProbeResult``."""
    options: Mapping[str, Any] = field(default_factory=dict)
    batch: bool = True
    inputs: list[dict[str, Any]] | None = None
    outputs: list[dict[str, Any]] | None = None
    sample: dict[str, list[Any]] | None = None
    """Rows to predict, as columns by input name; further columns (targets) are left out. None: a made-up row is tried."""

    def to_document(self) -> dict[str, Any]:
        document = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**document, "artifact": str(self.artifact), "result": str(self.result)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ProbeRequest":
        return cls(**{**document, "artifact": Path(document["artifact"]), "result": Path(document["result"])})


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """How it went. With ``ok`` there is a ``signature`` (``Signature.to_document``), else an ``error``."""

    ok: bool
    signature: dict[str, Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    """``load_seconds``, ``predict_ms`` a row batch, ``rows`` tried, ``inferred`` sides, ``warnings``."""
    error: dict[str, str] | None = None
    """``code``, ``message`` and where known ``field``, ``expected``, ``got``, ``hint``."""
    log: str = ""
    """The end of what loading and trying printed as errors, traceback included."""

    def to_document(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ProbeResult":
        return cls(**document)


class _BuildLog(logging.Formatter):
    """Levels are named from warnings on: the other lines of a build log have none."""

    def format(self, record: logging.LogRecord) -> str:
        return super().format(record) if record.levelno > logging.INFO else record.getMessage()


def probe(request: ProbeRequest) -> ProbeResult:
    """Try the artifact. User errors are in the result; anything else is a bug and raised."""
    heard = io.StringIO()
    handlers: list[logging.Handler] = [logging.StreamHandler(heard), logging.StreamHandler(sys.stderr)]
    for handler in handlers:
        handler.setFormatter(_BuildLog("%(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    started = time.perf_counter()
    trial = Trial(
        request.framework,
        request.artifact,
        request.options,
        request.batch,
        request.inputs,
        request.outputs,
        request.sample,
    )
    try:
        signature, details = try_artifact(trial)
    except HeadraceError as error:
        cause = error.__cause__ if error.__cause__ is not None else error
        log.error("".join(traceback.format_exception(cause)).rstrip())
        told = {"code": error.code, "message": error.message, **error.details()}
        return ProbeResult(False, error=told, log=heard.getvalue()[-_TAIL:])
    log.info("tried in %.1f s%s", time.perf_counter() - started, _told(details))
    return ProbeResult(True, signature.to_document(), details, log=heard.getvalue()[-_TAIL:])


def _told(details: Mapping[str, Any]) -> str:
    """How long loading took, and predicting the rows where that was tried, for the build log."""
    told = f": loaded in {details['load_seconds']:.1f} s"
    if "predict_ms" not in details:
        return told
    rows = details["rows"]
    what = "a made-up row" if rows == 0 else f"{rows} row{'s' * (rows != 1)}"
    return f"{told}, {what} predicted in {details['predict_ms']:.1f} ms"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m headrace_functions.runtime.probe REQUEST.json")
    request = ProbeRequest.from_document(orjson.loads(Path(sys.argv[1]).read_bytes()))
    confinement.confine_as_told(request.artifact)
    result = probe(request)
    request.result.write_bytes(orjson.dumps(result.to_document()))


if __name__ == "__main__":
    main()
