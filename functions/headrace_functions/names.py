"""Names and references: what a model, version, alias, sequence or field may be called.

Models and sequences share one name space, because both are public endpoints.
"""

import os
import re
from dataclasses import dataclass

from headrace_functions.errors import InvalidInput

MAX_NAME = 40  # an InferenceService name is "<model>-v<n>" and Knative appends to it within 63 characters
MAX_FIELD = 120
MAX_REQUEST_ID = 128

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
_FIELD = re.compile(r"[^\W\d][^\x00-\x1f\x7f\"`]*|[^\x00-\x1f\x7f\"`\s][^\x00-\x1f\x7f\"`]*")
MAX_DIGITS = 18
"""Digits of a number that callers name something by; every one of them has 64 bits."""
_REQUEST_ID = re.compile(r"[!-~]{1,128}")


def check_name(name: str, *, field: str = "name") -> str:
    """Return ``name`` if it may name a model, alias or sequence, else raise ``InvalidInput``."""
    if not isinstance(name, str) or len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{field}: {name!r} is not a valid name",
            field=field,
            expected=f"1 to {MAX_NAME} lower-case letters, digits and '-', starting and ending with a letter or digit",
            got=repr(name),
            hint=_suggestion(name),
        )
    return name


def _suggestion(name: object) -> str | None:
    """The usable name that is nearest to one with other characters."""
    near = re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")
    return f"did you mean {near!r}?" if near and len(near) <= MAX_NAME and near != name else None


def check_field_name(name: str, *, field: str = "name") -> str:
    """Return ``name`` if it may name an input or output: printable text without quotes, at most 120 characters."""
    usable = isinstance(name, str) and 0 < len(name) <= MAX_FIELD and name == name.strip() and _FIELD.fullmatch(name)
    if not usable:
        raise InvalidInput(
            f"{field}: {name!r} is not a valid field name",
            field=field,
            expected=f"1 to {MAX_FIELD} printable characters without quotes or surrounding blanks",
            got=repr(name),
        )
    return name


def new_request_id() -> str:
    return os.urandom(16).hex()  # as unique as a UUID and three times as quick to make


def usable_request_id(value: str | None) -> str:
    """The caller's id if it is 1 to 128 visible ASCII characters, else a new one."""
    return value if value and _REQUEST_ID.fullmatch(value) else new_request_id()


def check_request_id(value: str) -> str:
    """Return ``value`` if it may be the id of a request, else raise ``InvalidInput``: a platform would log it under an id of its own."""
    if not isinstance(value, str) or not _REQUEST_ID.fullmatch(value):
        raise InvalidInput(
            "request_id: this cannot be the id of a request",
            field="request_id",
            expected=f"1 to {MAX_REQUEST_ID} visible ASCII characters without blanks",
            got=repr(value),
        )
    return value


def natural(text: str) -> int | None:
    """The natural number that a text says in ASCII; None where it says none, or one of more digits than any number of ours has."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else None


@dataclass(frozen=True, slots=True, order=True)
class VersionId:
    """One version of a model, written ``churn:3``."""

    model: str
    number: int

    def __str__(self) -> str:
        return f"{self.model}:{self.number}"

    @property
    def service(self) -> str:
        """The name of the service that runs it, e.g. ``churn-v3``."""
        return f"{self.model}-v{self.number}"

    @classmethod
    def of_service(cls, service: str) -> "VersionId":
        """The version that a service's name stands for; ``InvalidInput`` for what is no service name."""
        model, _, number = service.rpartition("-v")
        return cls.parse(f"{model}:{number}", field="service")

    @classmethod
    def parse(cls, text: str, *, field: str = "version") -> "VersionId":
        model, _, number = text.partition(":")
        found = natural(number)
        if not found:
            raise InvalidInput(
                f"{field}: {text!r} is not a version",
                field=field,
                expected="MODEL:NUMBER, e.g. churn:3",
                got=repr(text),
            )
        return cls(check_name(model, field=field), found)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a caller may write for a model or sequence: ``churn``, ``churn:3`` or ``churn@prod``."""

    name: str
    number: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.name}:{self.number}"
        return f"{self.name}@{self.alias}" if self.alias else self.name

    @classmethod
    def parse(cls, text: str, *, field: str = "model") -> "Reference":
        if ":" in text:
            version = VersionId.parse(text, field=field)
            return cls(version.model, number=version.number)
        name, at, alias = text.partition("@")
        check_name(name, field=field)
        return cls(name, alias=check_name(alias, field=field) if at else None)


def clean(text: str) -> str:
    """The text with ``?`` for what has no UTF-8 form, such as the surrogates that stand for bytes in the names of files."""
    return text.encode("utf-8", "replace").decode()
