"""Keeping a report: its JSON and its page under keys made from its content, created once."""

import hashlib

import orjson

from headrace_functions.errors import Conflict
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.report.models import Report
from headrace_jobs.report.reading import read


def encode(report: Report) -> bytes:
    """The report as JSON: the same report is the same bytes.

    They are read again before anybody else does: ``Malformed`` where they are not what the model of the kind takes.
    """
    document = report.model_dump(mode="json", by_alias=True)
    body = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    read(body)
    return body


def keep(objects: ObjectStore, version: VersionId, slug: str, report: Report, page: str) -> str:
    """Store the report as ``<slug>-<digest>.json`` with its page beside it, and return its key.

    The page is written first, so that whoever sees a report finds its page. The same report again is the same key.
    """
    body = encode(report)
    stem = f"{slug}-{hashlib.sha256(body).hexdigest()[:12]}"
    key = layout.report(version, report.kind, f"{stem}.json")
    _create(objects, layout.report(version, report.kind, f"{stem}.html"), page.encode())
    _create(objects, key, body)
    return key


def _create(objects: ObjectStore, key: str, data: bytes) -> None:
    try:
        objects.create(key, data)
    except Conflict:
        return  # the key is a digest of the content: what is there is what we would write
