"""What headers say, as far as it can be believed."""

from headrace_functions.errors import Malformed

JSON_LENGTH = b"inference-header-content-length"
MAX_DIGITS = 19
"""Digits of a number: what has more is none, for neither the log nor JSON would hold it."""


def number(value: bytes | None) -> int | None:
    """The natural number that a header says; None where it says none."""
    return int(value) if value is not None and value.isdigit() and len(value) <= MAX_DIGITS else None


def json_length(value: bytes | None) -> int | None:
    """The bytes of JSON before binary tensors, of a header that may be absent; ``Malformed`` for what is no number."""
    length = number(value)
    if value is not None and length is None:
        raise Malformed(
            "Inference-Header-Content-Length is not a number",
            field="Inference-Header-Content-Length",
            expected="bytes of JSON",
            got=repr(value.decode("latin-1")[:40]),
        )
    return length
