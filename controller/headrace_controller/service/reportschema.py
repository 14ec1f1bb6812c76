"""Whether a report is what its kind's schema says, by the JSON Schema that is shipped beside this module.

The models are those of ``headrace_jobs``, whose libraries the platform does not have; ``report.schema.json`` is made from them.
Members that are not known are let be, for a newer release of the same schema may write more; members with a default may be left
out, for an older one may not have had them (the schema requires none of these).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import orjson
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

Schema = Mapping[str, Any]

MAX_SAID = 200
"""Characters of what is told of a member; it may be as large as the report."""


def kinds() -> frozenset[str]:
    """The kinds of reports that this release reads."""
    return frozenset(document()["discriminator"]["mapping"])


def problem(document: Mapping[str, Any]) -> str | None:
    """A member of a report of a known ``kind`` that is not as its schema says, and why; None where all are."""
    found = best_match(_validator(document["kind"]).iter_errors(document))
    if found is None:
        return None
    member = found.json_path.removeprefix("$").removeprefix(".") or "the document"
    return f"{member}: {found.message}"[:MAX_SAID]


@cache
def document() -> Schema:
    """The JSON Schema of all reports."""
    found: Schema = orjson.loads((files(__package__) / "report.schema.json").read_bytes())
    return found


@cache
def _validator(kind: str) -> Any:
    whole = document()
    own = {"$schema": whole["$schema"], "$defs": whole["$defs"], "$ref": whole["discriminator"]["mapping"][kind]}
    return _Reading(own)


def _others(validator: Any, others: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    if others is not False:
        yield from Draft202012Validator.VALIDATORS["additionalProperties"](validator, others, value, schema)


_Reading: Any = validators.extend(Draft202012Validator, {"additionalProperties": _others})
