"""What pydantic finds wrong with a document or a request, as one ``InvalidInput`` in our words: path, value, what is allowed."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from headrace_functions.errors import InvalidInput
from headrace_functions.suggestions import did_you_mean

_OWN_TYPES = ("function-", "list[", "tuple[", "literal[")  # what pydantic puts into places for its own types
_OTHERS = 5  # further places that an error names
_SHOWN = 60  # characters of a value in a message
_LONGEST, _END = 400, 150  # characters of a message, and of its end, where the value that it cites is long
_QUOTED = re.compile(r"'([^']*)'")

Path = tuple[str | int, ...]


def explain(error: ValidationError, place: Callable[[Path], str] | None = None) -> InvalidInput:
    """The first error of pydantic as one of ours; the places of the others are in the message.

    Args:
        error: What ``model_validate`` raised.
        place: What the message starts with for a path in the document, e.g. ``churn.yaml, document 2, line 7: ``.
    """
    errors = error.errors(include_url=False)
    first = errors[0]
    path = _path(first)
    others = list(dict.fromkeys(".".join(map(str, _path(e))) for e in errors[1:] if e["loc"] != first["loc"]))
    more = f"; also check {', '.join(others[:_OTHERS])}" + ("…" if len(others) > _OTHERS else "") if others else ""
    field = ".".join(map(str, path))
    said = _sentence(first)
    # A domain check says the name of its field itself; the path says it with the way there.
    message = str(said["message"]).removeprefix(f"{path[-1]}: ") if path else str(said["message"])
    if len(message) > _LONGEST:
        message = f"{message[: _LONGEST - _END]}…{message[-_END:]}"
    return InvalidInput(
        f"{place(path) if place else ''}{field + ': ' if field else ''}{message}{more}",
        field=field or None,
        expected=said.get("expected"),
        got=said.get("got"),
        hint=said.get("hint"),
    )


def shown(value: Any) -> str:
    """A value as a message cites it: text in quotes, null as such, what is long cut."""
    if value is None:
        return "null"
    try:
        text = repr(value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    except (ValueError, RecursionError):
        text = "a list" if isinstance(value, list) else "a mapping"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _path(error: ErrorDetails) -> Path:
    at = tuple(part for part in error["loc"] if not (isinstance(part, str) and part.startswith(_OWN_TYPES)))
    further = error.get("ctx", {}).get("key", ())
    return (*at, *((further,) if isinstance(further, str) else further))


def _sentence(error: ErrorDetails) -> Mapping[str, str | None]:
    """``message``, ``expected``, ``got`` and ``hint`` for one error of pydantic or of ``fields.refuse``."""
    said = _SENTENCES.get(error["type"])
    if said is None:
        return {"message": error["msg"], "got": shown(error["input"])}
    return said(error["input"], error.get("ctx", {}))


_Said = Callable[[Any, Mapping[str, Any]], Mapping[str, str | None]]


def _not_one_of(value: Any, context: Mapping[str, Any]) -> Mapping[str, str | None]:
    allowed = str(context["expected"])
    return {
        "message": f"{shown(value)} is not allowed",
        "expected": allowed,
        "hint": did_you_mean(str(value), _QUOTED.findall(allowed), "") or None,
    }


def _not(what: str, expected: str | None = None) -> _Said:
    return lambda value, _: {"message": f"{shown(value)} is not {what}", "expected": expected}


def _not_text(value: Any, _: Mapping[str, Any]) -> Mapping[str, str | None]:
    quoted = isinstance(value, int | float)
    return {
        "message": f"{shown(value)} is not text",
        "hint": f'write it in quotes: "{shown(value)}"' if quoted else None,
    }


def _outside(word: str, limit: str, key: str) -> _Said:
    return lambda value, context: {"message": f"{shown(value)} is {word}", "expected": f"{limit} {context[key]}"}


def _too_many(value: Any, context: Mapping[str, Any]) -> Mapping[str, str | None]:
    count = context["actual_length"]
    return {
        "message": f"it has {len(value) if count is None else count} entries",
        "expected": f"at most {context['max_length']}",
    }


def _too_few(_: Any, context: Mapping[str, Any]) -> Mapping[str, str | None]:
    count, least = context["actual_length"], context["min_length"]
    held = "is empty" if count == 0 else f"has {count} entr{'y' if count == 1 else 'ies'}"
    return {"message": f"it {held}", "expected": f"at least {least} entr{'y' if least == 1 else 'ies'}"}


def _length(limit: str, key: str) -> _Said:
    return lambda value, context: {
        "message": f"it has {len(str(value))} characters",
        "expected": f"{limit} {context[key]}",
    }


_whole = _not("a whole number")
_number = _not("a number")
_truth = _not("true or false")
_list = _not("a list", "a list, e.g. [first, second]")
_mapping = _not("a mapping", "a mapping, e.g. {key: value}")
_SENTENCES: Mapping[str, _Said] = {
    "refused": lambda _, context: context,  # by ``fields.refuse``, which says it all
    "missing": lambda _, __: {"message": "it is required"},
    "literal_error": _not_one_of,
    "string_type": _not_text,
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _whole),
    **dict.fromkeys(("float_type", "float_parsing"), _number),
    **dict.fromkeys(("bool_type", "bool_parsing"), _truth),
    **dict.fromkeys(("list_type", "tuple_type"), _list),
    **dict.fromkeys(("dict_type", "mapping_type", "model_type", "model_attributes_type"), _mapping),
    "finite_number": _not("a finite number"),
    "greater_than_equal": _outside("too small", "at least", "ge"),
    "greater_than": _outside("too small", "more than", "gt"),
    "less_than_equal": _outside("too large", "at most", "le"),
    "less_than": _outside("too large", "less than", "lt"),
    "too_long": _too_many,
    "too_short": _too_few,
    "string_too_long": _length("at most", "max_length"),
    "string_too_short": _length("at least", "min_length"),
    "string_pattern_mismatch": lambda value, context: {
        "message": f"{shown(value)} is not in the right form",
        "expected": f"text that matches {context['pattern']}",
    },
}
