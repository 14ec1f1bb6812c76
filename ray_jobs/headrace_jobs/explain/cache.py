"""Answers that were given before: a document per question, created once, that names the report."""

import hashlib

import orjson

from headrace_functions.errors import Conflict
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_jobs.explain.job import ExplainRun


def key_of(objects: ObjectStore, run: ExplainRun, method: str) -> str:
    """Where the answer is kept: by everything that it depends on but the endpoint, which serves one immutable version, or a revision of a sequence."""
    asked = [method, run.request_id, run.row, run.budget, run.output]
    if run.sequence:
        asked += [run.sequence, Documents(objects).last_number(layout.revisions(run.sequence))]
    if run.engine != "native":
        asked.append(run.engine)
    return layout.explanation(run.version, hashlib.sha256(orjson.dumps(asked)).hexdigest()[:32])


def find(objects: ObjectStore, run: ExplainRun, method: str) -> str | None:
    """Key of the report that answers this already, as long as it is there."""
    document = Documents(objects).find(key_of(objects, run, method))
    return document["report"] if document is not None and objects.exists(document["report"]) else None


def remember(objects: ObjectStore, run: ExplainRun, method: str, report: str) -> None:
    """Keep the answer. Of two that were made at once the first is kept; they differ in nothing."""
    try:
        Documents(objects).create(key_of(objects, run, method), {"schema": 1, "report": report})
    except Conflict:
        return
