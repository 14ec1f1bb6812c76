"""``python -m headrace_jobs.report.schema``: the JSON Schema of all reports, made from the models.

It is shipped with the controller (``service/report.schema.json``), which holds reports against it when they are read.
"""

import sys
from typing import Any

import orjson

from headrace_jobs.report.models import SCHEMA
from headrace_jobs.report.reading import REPORTS

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema that a report of any kind is valid under; ``kind`` tells which one it is."""
    found = REPORTS.json_schema(by_alias=True, mode="serialization")
    return {"$schema": DIALECT, "title": f"Headrace report, schema {SCHEMA}", **found}


def text() -> str:
    """The schema as it is published: the same models are the same text."""
    return orjson.dumps(schema(), option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
