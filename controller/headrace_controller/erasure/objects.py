"""Everything of the store that is no log: labels, reports, requests that are answered later, and documents that say the value."""

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace_controller.erasure.subject import Requests, Subject
from headrace_controller.erasure.waiting import Bodies
from headrace_functions.errors import NotFound
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

REPLACED = "[erased]"
_DELETED = (layout.REPORTS, layout.EXPLANATIONS, layout.REPLAYS)
"""Results that can be made again: one that shows the value or one of its requests goes as a whole."""
_WORDED = (layout.INCIDENTS, layout.NOTIFICATIONS, layout.JOBS, layout.SCHEDULE_RUNS)
"""Documents of what happened: the value alone is taken out of their words."""
_ELSEWHERE = (
    layout.LOGS, layout.METRICS, layout.HEALTH, layout.INBOX, layout.REFUSED, layout.DEFERRED, layout.LABELS,
    layout.ERASURES, *_DELETED, *_WORDED,
)  # fmt: skip
_FEW = 2000
"""Requests up to which each is looked for in texts, not only among the strings of a document."""


def labels(objects: ObjectStore, requests: Requests, *, apply: bool) -> int:
    """Take the labels of the requests out of the files that were pushed; how many."""
    found = 0
    for info in objects.walk(layout.LABELS) if len(requests) else ():
        with contextlib.suppress(NotFound):
            table = pq.ParquetFile(io.BytesIO(objects.get(info.key))).read()
            gone = requests.rows(table)
            count = int(pc.sum(gone).as_py() or 0)
            found += count
            if count and apply:
                sink = io.BytesIO()
                pq.write_table(table.filter(pc.invert(gone)), sink)
                objects.put(info.key, sink.getvalue())
    return found


def results(objects: ObjectStore, subject: Subject, requests: Requests, *, apply: bool) -> int:
    """Delete reports, explanations and replays that show the value or one of the requests; how many objects."""
    found = 0
    for folder in _DELETED:
        for info in objects.walk(folder):
            if subject.model and folder != layout.REPLAYS and not info.key.startswith(f"{folder}{subject.model}/"):
                continue
            with contextlib.suppress(NotFound):
                if _shows(objects.get(info.key), subject, requests):
                    found += 1
                    if apply:
                        objects.delete(info.key)
    return found


def words(objects: ObjectStore, subject: Subject, *, apply: bool) -> int:
    """Put ``REPLACED`` in the place of the value in documents of what happened; how many documents."""
    if subject.in_text is None:
        return 0
    found = 0
    for folder in _WORDED:
        for info in objects.walk(folder):
            with contextlib.suppress(NotFound):
                body = objects.get(info.key)
                if not subject.said_in(body):
                    continue
                found += 1
                if apply:
                    objects.put(info.key, subject.replaced_in(body, REPLACED.encode()))
    return found


def deferred(objects: ObjectStore, bodies: Bodies, requests: Requests, *, apply: bool) -> tuple[int, int]:
    """Delete requests that are answered later, with their results; how many, and how many wait for their answer first."""
    gone = waiting = 0
    for request_id in objects.folders(layout.DEFERRED):
        if request_id[:20].isdigit() and not bodies.subject.came_in_time(int(request_id[:20])):
            continue
        with contextlib.suppress(NotFound):
            head, holds = _deferred(objects, request_id, bodies)
            if not holds and head.get("request_id") not in requests.ids:
                continue
            if not objects.exists(layout.deferred_result(request_id)):
                waiting += 1
                continue
            gone += 1
            if apply:
                # The request comes last: by it a run that was cut short finds the rest.
                for key in (layout.deferred_told, layout.deferred_result, layout.deferred_request):
                    objects.delete(key(request_id))
    return gone, waiting


def _deferred(objects: ObjectStore, request_id: str, bodies: Bodies) -> tuple[dict[str, Any], bool]:
    text, _, body = objects.get(layout.deferred_request(request_id)).partition(b"\n")
    try:
        head = dict(orjson.loads(text))
        model = re.split("[:@]", str(head["name"]))[0]
        length = head.get("json_length")
        kind = str(head.get("content_type") or "application/json")
        found = bodies.request_holds(model, body, kind, int(length) if length else None, str(head["protocol"]))
    except (ValueError, KeyError, TypeError):
        return {}, bodies.subject.said_in(body)
    return head, found


def kept(objects: ObjectStore, subject: Subject) -> Iterator[str]:
    """Keys of what says the value and is not touched: what models were made of, definitions, the audit."""
    for info in objects.walk(""):
        if info.key.startswith(_ELSEWHERE):
            continue
        if subject.model and info.key.startswith(layout.MODELS) and info.key.split("/")[1] != subject.model:
            continue
        with contextlib.suppress(NotFound):
            body = objects.get(info.key)
            said = subject.said_in(body)
            if not said and info.key.endswith(".parquet"):
                said = subject.said_in(orjson.dumps(pq.read_table(io.BytesIO(body)).to_pylist(), default=str))
            if said:
                yield info.key


def process_logs(folder: Path, subject: Subject, *, apply: bool) -> int:
    """Blank the value in the logs of processes where it lies, so that whoever writes to them goes on; how many files said it."""
    if subject.in_text is None:
        return 0
    found = 0
    for file in sorted(folder.rglob("*.log*")) if folder.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            places = subject.places_in(file.read_bytes())
            found += bool(places)
            if places and apply:
                with file.open("r+b") as text:
                    for start, end in places:
                        text.seek(start)
                        text.write(b"*" * (end - start))
    return found


def _shows(body: bytes, subject: Subject, requests: Requests) -> bool:
    if subject.said_in(body):
        return True
    if len(requests.ids) <= _FEW:
        return any(request.encode() in body for request in requests.ids)
    try:
        return not requests.ids.isdisjoint(_strings(orjson.loads(body)))
    except orjson.JSONDecodeError:
        return not requests.ids.isdisjoint(re.findall(r"[^\s<>\"']+", body.decode("utf-8", "replace")))


def _strings(document: Any) -> Iterator[str]:
    if isinstance(document, str):
        yield document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from _strings(value)
    elif isinstance(document, list):
        for value in document:
            yield from _strings(value)
