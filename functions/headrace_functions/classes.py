"""Classes by name: which class a value means, however the system that exported it spells numbers and truth values."""

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

_WHOLE = re.compile(r"([+-]?(?:0|[1-9][0-9]*))(?:\.0+)?")
_TRUTH = {"true": True, "false": False}


def text_of(value: Any) -> str:
    """A value of a category as definitions and requests write it: a truth value is ``true`` or ``false``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def spellings(value: Any) -> list[str]:
    """Texts that mean the same class as ``value``, its own first: 1, 1.0, true, "1", "1.0" and "True" are one class."""
    if isinstance(value, str):
        plain = value.strip()
        whole = _WHOLE.fullmatch(plain)
        meant = int(whole[1]) if whole else _TRUTH.get(plain.lower())
        return [value, plain] if meant is None else [value, *spellings(meant)]
    if isinstance(value, bool):
        return [str(value), str(int(value)), str(value).lower(), str(float(value))]
    if isinstance(value, Decimal):
        return [str(value), *spellings(int(value) if value == value.to_integral_value() else float(value))]
    if isinstance(value, int | float) and (isinstance(value, int) or value.is_integer()):
        plain_number = [str(value), str(int(value)), f"{int(value)}.0"]
        return [*plain_number, str(bool(value)), str(bool(value)).lower()] if value in (0, 1) else plain_number
    return [str(value)]


def class_of(value: Any, names: Sequence[str]) -> int:
    """The place among ``names`` of the class that ``value`` means, -1 for none."""
    return next((names.index(text) for text in spellings(value) if text in names), -1)
