"""Pieces that all kinds share: strict documents with kebab-case keys, durations, names, tensor fields."""

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import date
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from headrace_controller.definitions.validation_errors import shown
from headrace_functions import signature
from headrace_functions.errors import InvalidInput
from headrace_functions.names import check_field_name, check_name

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)(ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def refuse(message: str, *, key: str | tuple[str, ...] | None = None, **details: str | None) -> PydanticCustomError:
    """An error that pydantic gives a place; ``validation_errors`` turns it into ``InvalidInput`` with these details.

    ``key`` is the way from the place where pydantic stands to the wrong value.
    """
    known = {name: value for name, value in {"key": key, **details}.items() if value is not None}
    return PydanticCustomError("refused", "{message}", {"message": message, **known})


def located(check: Callable[[Any], Any], *key: str) -> Callable[[Any], Any]:
    """Let a domain check run as a pydantic validator: its ``InvalidInput`` gets the place in the document, ``key`` as in ``refuse``."""

    def checked(value: Any) -> Any:
        try:
            return check(value)
        except InvalidInput as error:
            raise refuse(error.message, key=key or None, expected=error.expected, hint=error.hint) from error

    return checked


def parse_duration(value: Any) -> float:
    """Seconds of ``60s``, ``500ms``, ``1h30m``, ``7d`` or a number of seconds. Must be more than 0."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif isinstance(value, str) and _DURATION.fullmatch(value.strip()):
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(value))
    else:
        raise InvalidInput(
            f"{value!r} is not a duration", expected="a number of seconds or e.g. 500ms, 60s, 5m, 1h30m, 7d"
        )
    if not 0 < seconds < float("inf"):
        raise InvalidInput(f"the duration {value!r} is not possible", expected="more than 0 seconds")
    return seconds


def show_duration(seconds: float) -> str:
    """The shortest whole form of a duration, e.g. ``90s`` is ``90s`` and ``3600.0`` is ``1h``."""
    for unit in ("d", "h", "m", "s"):
        if seconds >= _SECONDS[unit] and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{round(seconds * 1000)}ms"


Duration = Annotated[float, BeforeValidator(located(parse_duration))]


def _name(value: Any) -> str:
    """A name, with ``-`` for the ``_`` that names of Hydrosphere have: names here are parts of host names."""
    text = str(value) if isinstance(value, int) else value
    return check_name(text.replace("_", "-") if isinstance(text, str) else text)


Name = Annotated[str, BeforeValidator(located(_name))]
PROFILES: Mapping[str, str] = {
    **dict.fromkeys(("nominal", "ordinal"), "categorical"),
    **dict.fromkeys(("continuous", "interval", "ratio"), "numerical"),
    **dict.fromkeys(("video", "audio"), "none"),
}
"""Profiles of Hydrosphere that are called otherwise here; all may be written in capitals."""


def _profile(value: Any) -> Any:
    return PROFILES.get(value.lower(), value.lower()) if isinstance(value, str) else value


def _as_text(value: Any) -> Any:
    """YAML reads ``1.0``, ``true`` and ``2026-01-31`` as what they look like; metadata is text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, date):  # a datetime, too
        return value.isoformat()
    if value is None or isinstance(value, list | Mapping):
        raise refuse(f"{shown(value)} is not text", expected="text, a number, true or false")
    return str(value) if isinstance(value, int | float) else value


Text = Annotated[str, BeforeValidator(_as_text)]


def as_list(value: Any) -> Any:
    """One text stands for a list of one."""
    if not isinstance(value, str | list | tuple):
        raise refuse(f"{shown(value)} is neither text nor a list", expected="text, or a list such as [first, second]")
    return [value] if isinstance(value, str) else value


Strings = Annotated[list[str], BeforeValidator(as_list)]


class Document(BaseModel):
    """A mapping with known kebab-case keys; an unknown key is refused with the nearest known one, an empty one is left out."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=lambda name: name.replace("_", "-"),
        validate_by_name=False,
        validate_by_alias=True,
    )
    also_known: ClassVar[Mapping[str, str]] = {}
    """Keys of other dialects and the key they mean here."""

    @model_validator(mode="before")
    @classmethod
    def _know_every_key(cls, data: Any) -> Any:
        if isinstance(data, cls):
            return data
        known = [f.alias or name for name, f in cls.model_fields.items()]
        if not isinstance(data, Mapping):
            raise refuse(
                f"{shown(data)} is not a mapping", expected=f"a mapping with some of the keys {', '.join(known)}"
            )
        renamed = {cls.also_known.get(str(key), str(key)): value for key, value in data.items()}
        for key in renamed:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
                raise refuse(f"unknown key {key!r}", key=key, hint=hint)
        return {key: value for key, value in renamed.items() if value is not None}

    def to_document(self) -> dict[str, Any]:
        """What the user gave, defaults left out but for ``kind``, in a form that validates to an equal definition."""
        document = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        kind = getattr(self, "kind", None)
        return document if kind is None else {"kind": kind, **document}


def _is_number(value: Any, kinds: type | UnionType = int | float) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _scalar(value: Any) -> Any:
    if not isinstance(value, str | int | float | bool):
        raise refuse(f"{shown(value)} is not one value", expected="text, a number, true or false")
    return value


Scalar = Annotated[str | int | float | bool, BeforeValidator(_scalar)]


def _shape(value: Any) -> Any:
    if value != "scalar" and not (isinstance(value, list) and all(_is_number(size, int) for size in value)):
        raise refuse(
            f"{shown(value)} is not a shape", expected="scalar, or the sizes of a row such as [28, 28]; -1 is any size"
        )
    return value


def _range(value: Any) -> Any:
    if not (isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))):
        raise refuse(f"{shown(value)} is not a range", expected="a list of the smallest and the largest number")
    return value


class FieldDefinition(Document):
    """One tensor of a contract: ``{shape: scalar, type: int64, profile: numerical}``."""

    shape: Annotated[Literal["scalar"] | list[int], BeforeValidator(_shape)] = "scalar"
    type: str
    profile: Annotated[str | None, BeforeValidator(_profile)] = None
    columns: list[str] | None = None
    categories: list[Scalar] | None = None
    range: Annotated[tuple[float, float] | None, BeforeValidator(_range)] = None
    strict: bool = False
    sensitive: Literal["drop", "hash", "mask"] | None = None

    def to_field(self, name: str) -> signature.Field:
        document = {"name": name, **self.model_dump(exclude_none=True)}
        return signature.Field.from_document(document)


def _check_fields(value: Any) -> Any:
    """Names and types of a side of a contract, so that errors point at the field."""
    for name, definition in value.items() if isinstance(value, Mapping) else ():
        check_field_name(str(name), field=str(name))
        if definition is None:
            raise InvalidInput(f"{name}: nothing is said of it", expected="e.g. {type: double, shape: scalar}")
    return value


Fields = Annotated[dict[str, FieldDefinition], BeforeValidator(located(_check_fields))]


class Contract(Document):
    """Inputs and outputs of one row; what is left out is inferred from training data and the artifact."""

    name: str = "predict"
    inputs: Fields = Field(default_factory=dict)
    outputs: Fields = Field(default_factory=dict)
    metadata: dict[str, Any] = Field(default_factory=dict)
    """Hydrosphere's; kept with the definition and not read."""

    @model_validator(mode="after")
    def _fields_are_possible(self) -> "Contract":
        for side, fields in (("inputs", self.inputs), ("outputs", self.outputs)):
            for name, definition in fields.items():
                located(definition.to_field, side, name)(name)
        return self

    def input_fields(self) -> tuple[signature.Field, ...]:
        return tuple(definition.to_field(name) for name, definition in self.inputs.items())

    def output_fields(self) -> tuple[signature.Field, ...]:
        return tuple(definition.to_field(name) for name, definition in self.outputs.items())
