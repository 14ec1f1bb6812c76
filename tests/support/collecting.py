"""A store with two versions, and records of them as functions spool them."""

from pathlib import Path

import numpy as np
from deltalake import DeltaTable

from headrace_functions.protocol.codec import encode_request, encode_response
from headrace_functions.protocol.messages import RequestInfo
from headrace_functions.record import Record, RecordHeader
from headrace_functions.recording.spool import Spool
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version
from support.versions import version

ONE, TWO = version("adder", 1), version("other", 1)


def store(url: str) -> ObjectStore:
    objects = ObjectStore(url)
    for it in (ONE, TWO):
        Documents(objects).create(layout.version_document(it.id), it.to_document())
    return objects


def record(it: Version, request_id: str, x: float = 1.0) -> Record:
    asked = encode_request({"x": np.array([x])}, it.signature, binary=False)
    answered = encode_response(
        {"y": np.array([x + 1])}, it.signature, RequestInfo(), model=it.id.model, version=it.id.number
    )
    header = RecordHeader(request_id, it.id.model, it.id.number, 1_700_000_000_000_000_000, 1.0, "ok", 200)
    return Record(header, asked.body, answered.body)


def logged(objects: ObjectStore, it: Version) -> list[str]:
    table = DeltaTable(objects.table_url(layout.log_table(it.id)), storage_options=objects.table_options())
    return sorted(table.to_pyarrow_table(columns=["request_id"])["request_id"].to_pylist())


def spooled(root: Path, *records: Record) -> None:
    spool = Spool(root / "gateway")
    assert all([spool.append(r) for r in records])
    spool.close()
