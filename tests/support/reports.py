"""The least that a report of a kind can say, made from the published schema: for tests of who reads reports."""

from typing import Any

from headrace_jobs.report.schema import schema

_SCHEMA = schema()
_LEAST = {"string": "", "integer": 0, "number": 0.0, "boolean": False, "null": None}


def least(kind: str, model: str = "a:1", **more: Any) -> dict[str, Any]:
    """A report of which every member has a value that its schema allows; ``more`` are members to have instead."""
    return {**_least({"$ref": _SCHEMA["discriminator"]["mapping"][kind]}), "model": model, **more}


def part(of: str, /, **more: Any) -> dict[str, Any]:
    """The least of a part, such as ``MetricPerformance``."""
    return {**_least({"$ref": f"#/$defs/{of}"}), **more}


def kinds() -> list[str]:
    return sorted(_SCHEMA["discriminator"]["mapping"])


def whole(kind: str) -> dict[str, Any]:
    """A report of the kind with an item in each list and a value for each member that may be null."""
    found: dict[str, Any] = _whole({"$ref": _SCHEMA["discriminator"]["mapping"][kind]})
    return {**found, "model": "a:1"}


def _resolved(schema: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _SCHEMA["$defs"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    return found


def _whole(given: dict[str, Any]) -> Any:
    schema = _resolved(given)
    if "anyOf" in schema:
        return _whole(next(s for s in schema["anyOf"] if s != {"type": "null"}))
    if schema.get("type") == "object" and "const" not in schema:
        named = {name: _whole(member) for name, member in schema.get("properties", {}).items()}
        more = schema.get("additionalProperties")
        return {**named, "one": _whole(more)} if isinstance(more, dict) else named
    if schema.get("type") == "array":
        return [_whole(item) for item in schema.get("prefixItems", [schema["items"]] if "items" in schema else [])]
    return _least(schema)


def _least(given: dict[str, Any]) -> Any:
    for key in ("const", "default"):
        if key in given:
            return given[key]
    schema = _resolved(given)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return None if {"type": "null"} in schema["anyOf"] else _least(schema["anyOf"][0])
    if schema["type"] == "object":
        members = schema.get("properties", {})
        constant = [name for name, member in members.items() if "const" in member]
        return {name: _least(members[name]) for name in [*constant, *schema.get("required", ())]}
    if schema["type"] == "array":
        return [_least(item) for item in schema.get("prefixItems", ())]
    return _LEAST[schema["type"]]
