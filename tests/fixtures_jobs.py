"""Doubles for analysis: versions with training data, logs as the collector writes them, and the jobs' own environments."""

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import WriterProperties, write_deltalake

from headrace_controller.environments.named import python_for
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import PARTITION, columns, input_column, output_column
from headrace_functions.names import VersionId
from headrace_functions.protocol.codec import decode_request, encode_response
from headrace_functions.protocol.messages import JSON_LENGTH_HEADER
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

ROOT = Path(__file__).parents[1]
CHURN = VersionId("churn", 1)
UNTIL = datetime(2026, 11, 22, 12, tzinfo=UTC)
Table = Mapping[str, Sequence[Any] | np.ndarray]

SCORE = Field("score", dtype("float64"), profile="numerical")


def number(name: str) -> Field:
    return Field(name, dtype("float64"), profile="numerical")


def category(name: str) -> Field:
    return Field(name, dtype("string"), profile="categorical")


def given_version(
    objects: ObjectStore,
    inputs: Sequence[Field],
    training: Table | None,
    outputs: Sequence[Field] = (SCORE,),
    answers: Table | None = None,
    version: VersionId = CHURN,
    target: Sequence[str] = (),
) -> Version:
    """A released version with its training data (columns by field name) and its answers on it (by field name)."""
    key = layout.training(version) if training is not None else None
    described = Version(
        version,
        "python",
        Signature(tuple(inputs), tuple(outputs)),
        "0" * 64,
        "env",
        "content",
        target=tuple(target),
        training=key,
        created="2026-11-01T00:00:00Z",
    )
    Documents(objects).create(layout.version_document(version), described.to_document())
    if training is not None:
        _put(objects, layout.training(version), pa.table(dict(training)))
    if answers is not None:
        named = {output_column(f): pa.array(answers[f.name]) for f in outputs if f.name in answers}
        _put(objects, layout.reference(version), pa.table(named))
    return described


def given_reference_data(objects: ObjectStore, version: Version, rows: Table) -> None:
    """Rows that the version has not learnt from: inputs, targets and outputs by field name."""
    outputs = {f.name: output_column(f) for f in version.signature.outputs}
    named = {outputs.get(name, name): pa.array(column) for name, column in rows.items()}
    _put(objects, layout.reference_data(version.id), pa.table(named))


def given_log(
    objects: ObjectStore,
    version: Version,
    rows: Table,
    *,
    outcome: str = "ok",
    until: datetime = UNTIL,
    span: timedelta = timedelta(hours=1),
    request: str = "req",
    same_request: bool = False,
    sequence: str = "",
    checks: Sequence[Sequence[str]] | None = None,
) -> None:
    """Append rows (columns by field name) to the version's log, spread evenly over ``span`` before ``until``.

    Each is a request of its own, ``req-0``, ``req-1``, …, or a row of the one request ``req``.
    """
    count = len(next(iter(rows.values())))
    received = [until - span + span * i / max(count, 1) for i in range(count)]
    types = columns(version.signature)
    data: dict[str, Any] = {
        "request_id": [request if same_request else f"{request}-{i}" for i in range(count)],
        "row": np.arange(count, dtype=np.int32) if same_request else np.zeros(count, np.int32),
        "received": received,
        PARTITION: [f"{r:%Y-%m-%d}" for r in received],
        "latency_ms": np.ones(count),
        "outcome": [outcome] * count,
        "status": np.full(count, 200, np.int32),
        "stage": np.full(count, -1, np.int32),
        "shadow": np.zeros(count, bool),
    }
    if checks is not None:
        data["checks"] = pa.array(checks, pa.list_(pa.string()))
    if sequence:
        data["sequence"] = [sequence] * count
    data |= {input_column(f): rows[f.name] for f in version.signature.inputs if f.name in rows}
    data |= {output_column(f): rows[f.name] for f in version.signature.outputs if f.name in rows}
    arrays = {name: _array(values, types[name]) for name, values in data.items()}
    write_deltalake(
        objects.table_url(layout.log_table(version.id)),
        pa.table(arrays),
        mode="append",
        partition_by=[PARTITION],
        schema_mode="merge",
        storage_options=objects.table_options(),
        writer_properties=WriterProperties(compression="ZSTD"),
    )


def given_labels(objects: ObjectStore, version: Version, number: int, rows: Table) -> None:
    """Labels as a push writes them: ``request_id``, ``row`` and the target columns."""
    columns = {name: pa.array(values) for name, values in rows.items()}
    columns.setdefault("row", pa.array(np.zeros(len(columns["request_id"]), np.int32)))
    _put(objects, layout.label_file(version.id, number), pa.table(columns))


def _array(values: Any, name: str) -> pa.Array:
    kinds = {"timestamp": pa.timestamp("us", "UTC"), "bool": pa.bool_()}
    element = name.removeprefix("list<").removesuffix(">")
    kind = kinds.get(element) or pa.type_for_alias(element)
    plain = values.tolist() if isinstance(values, np.ndarray) and name.startswith("list") else values
    return pa.array(plain, pa.list_(kind) if name.startswith("list") else kind)


def _put(objects: ObjectStore, key: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    objects.put(key, sink.getvalue().to_pybytes())


class InProcess:
    """An executor of plain graphs without Dask, which the test environment has not."""

    def run(self, graph: Mapping[str, tuple[Any, ...]], key: str, done: Callable[[str], None]) -> Any:
        function, *arguments = graph[key]
        values = [self.run(graph, a, done) if isinstance(a, str) and a in graph else a for a in arguments]
        result = function(*values)
        done(key)
        return result


@pytest.fixture
def objects(tmp_path: Path) -> ObjectStore:
    return ObjectStore(str(tmp_path / "store"))


def environment(name: str, interpreter: str = sys.executable) -> Path:
    """The python of the environment that ``requirements/<name>.txt`` describes, built once per lock into the checkout's cache."""
    lock = ROOT / "requirements" / f"{name}.txt"
    folder = ROOT / ".cache" / "environments" / name
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two test runs in one checkout build it once
        ready = folder / ".ready"
        if not ready.exists() or ready.read_text() != digest:
            _build(folder, lock, interpreter)
            ready.write_text(digest)
    return folder / "bin" / "python"


def _build(folder: Path, lock: Path, interpreter: str) -> None:
    uv = Path(sys.executable).with_name("uv")
    python = str(folder / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", interpreter, folder],
        [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock],
    ):
        built = subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, check=False, timeout=900
        )
        if built.returncode:
            pytest.fail(f"the environment of {lock.name} cannot be built: {built.stderr}")
    site = next((folder / "lib").glob("python3.*/site-packages"))
    for package in (ROOT / "functions" / "headrace_functions", ROOT / "ray_jobs" / "headrace_jobs"):
        (site / package.name).symlink_to(package)


@pytest.fixture(scope="session")
def jobs_python() -> Path:
    return environment("jobs")


@pytest.fixture(scope="session")
def alibi_python() -> Path:
    try:
        return environment("jobs-alibi", python_for("alibi"))
    except InvalidInput as lacking:
        pytest.skip(lacking.message)


def run_job(python: Path, *arguments: str, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m headrace_jobs`` as the controller does: as a process with a clean environment."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "HOME", "TMPDIR", "LANG"}}
    command = [str(python), "-m", "headrace_jobs", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, env={**kept, **variables}
    )


class Answering:
    """A version's endpoint on the loopback device: answers v2 requests by ``predict`` and remembers what it was asked."""

    def __init__(self, version: Version, predict: Callable[..., dict[str, np.ndarray]]) -> None:
        self.rows = 0
        self.purposes: list[str | None] = []
        self.paths: set[str] = set()
        self.request_ids: set[str | None] = set()
        self.failure: bytes | None = None
        self.away = 0
        """Requests that come while the service is not there."""
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                double.purposes.append(self.headers["x-headrace-purpose"])
                double.paths.add(self.path)
                double.request_ids.add(self.headers["x-request-id"])
                length = self.headers[JSON_LENGTH_HEADER]
                tensors, info = decode_request(
                    body,
                    self.headers["content-type"],
                    int(length) if length else None,
                    version.signature,
                    batch=version.batch,
                )
                double.rows += len(next(iter(tensors.values()))) if version.batch else 1
                answer = encode_response(
                    predict(**tensors),
                    version.signature,
                    info,
                    model=version.id.model,
                    version=version.id.number,
                    batch=version.batch,
                )
                if double.away:
                    double.away -= 1
                    self.send_error(503, "the service closed the connection")
                    return
                self.send_response(500 if double.failure else 200)
                text = double.failure or answer.body
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(text)))
                if answer.json_length is not None and not double.failure:
                    self.send_header(JSON_LENGTH_HEADER, str(answer.json_length))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
