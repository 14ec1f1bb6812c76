"""Whether a report is what its kind's schema says, by the JSON Schema that is shipped beside this module.

The models are those of ``headrace_jobs``, whose libraries the platform does not have; ``report.schema.json`` is made from them. This
understands what pydantic writes into such a schema and nothing else: a keyword that it does not know is an error in a test, not a
report that passes. Members that are not known are let be, for a newer release of the same schema may write more; members
with a default may be left out, for an older one may not have had them (the schema requires none of these).
"""

from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

Schema = Mapping[str, Any]

SAID = {"object": "an object", "array": "a list", "string": "text", "integer": "a whole number", "number": "a number"}
SAID |= {"boolean": "true or false", "null": "null"}
WORDS = ("$ref", "anyOf", "type", "const", "enum")
OF_OBJECTS = ("properties", "required", "additionalProperties")
OF_LISTS = ("items", "prefixItems", "minItems", "maxItems")
IGNORED = ("title", "description", "default")
KNOWN = frozenset((*WORDS, *OF_OBJECTS, *OF_LISTS, *IGNORED))
"""All that a schema may say of a report."""


def kinds() -> frozenset[str]:
    """The kinds of reports that this release reads."""
    return frozenset(_by_kind())


def problem(document: Mapping[str, Any]) -> str | None:
    """The first member of a report of a known ``kind`` that is not as its schema says, and why; None where all are."""
    return next(_problems(document, _by_kind()[document["kind"]], ""), None)


@cache
def document() -> Schema:
    """The JSON Schema of all reports."""
    found: Schema = orjson.loads((files(__package__) / "report.schema.json").read_bytes())
    return found


@cache
def _by_kind() -> Mapping[str, Schema]:
    mapping: Mapping[str, str] = document()["discriminator"]["mapping"]
    return {kind: _resolved({"$ref": reference}) for kind, reference in mapping.items()}


def _resolved(schema: Schema) -> Schema:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Schema = document()["$defs"][reference.rsplit("/", 1)[-1]]
    return found


def _problems(value: Any, given: Schema, at: str) -> Iterator[str]:
    schema = _resolved(given)
    choices = schema.get("anyOf")
    if choices is not None:
        found = [next(_problems(value, choice, at), None) for choice in choices]
        if None not in found:
            yield max((f for f in found if f is not None), key=lambda f: _deep(f, at))
        return
    if "type" in schema and not _is(value, schema["type"]):
        yield _said(at, f"is {SAID[schema['type']]}", value)
    elif "const" in schema and value != schema["const"]:
        yield _said(at, f"is {schema['const']!r}", value)
    elif "enum" in schema and value not in schema["enum"]:
        yield _said(at, f"is one of {', '.join(map(str, schema['enum']))}", value)
    elif isinstance(value, dict):
        yield from _members(value, schema, at)
    elif isinstance(value, list):
        yield from _items(value, schema, at)


def _members(value: Mapping[str, Any], schema: Schema, at: str) -> Iterator[str]:
    known: Mapping[str, Schema] = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{_path(at, name)} is missing"
    others = schema.get("additionalProperties")
    for name, member in value.items():
        of = known.get(name, others if isinstance(others, dict) else None)
        if of is not None:
            yield from _problems(member, of, _path(at, name))


def _items(value: list[Any], schema: Schema, at: str) -> Iterator[str]:
    first = schema.get("prefixItems", ())
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield _said(at, f"has {schema.get('minItems')} to {schema.get('maxItems')} items", f"{len(value)} of them")
    for place, item in enumerate(value):
        of = first[place] if place < len(first) else schema.get("items")
        if of is not None:
            yield from _problems(item, of, f"{at}[{place}]")


def _is(value: Any, kind: str) -> bool:
    if kind == "null":
        return value is None
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, {"object": dict, "array": list, "string": str}[kind])


def _deep(text: str, at: str) -> bool:
    """Whether what is said is of a member within, which tells more than that none of the choices is met."""
    return not text.startswith(f"{at} ")


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _said(at: str, expected: str, got: Any) -> str:
    return f"{at or 'the report'} {expected}, not {got!r:.60}"
