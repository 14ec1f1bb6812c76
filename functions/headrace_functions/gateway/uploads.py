"""Calls whose body is a file or a form: ``image/*`` and the like, or ``multipart/form-data``. One row, asked as v1, answered as one object.

A body that is a file is the value of the model's only input, which must be text or bytes (``type: string``): the function gets the bytes as they came and decodes them.
A form has a part for each input: a file's bytes, or a field's text, which is read as JSON where the input is no text.
"""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from headrace_functions.errors import Malformed, SignatureMismatch, TooLarge
from headrace_functions.gateway import hydrosphere
from headrace_functions.gateway.calls import Call
from headrace_functions.gateway.upstream import Reply
from headrace_functions.protocol.jsontext import rewritten
from headrace_functions.protocol.v1 import plain
from headrace_functions.signature import Field, Signature

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # what a caller sends wrongly is the caller's business

FORM = b"multipart/form-data"
FILES = (b"image/", b"audio/", b"video/", b"application/pdf")
"""Media types of bodies that are one file."""


def is_upload(content_type: bytes) -> bool:
    kind = _kind(content_type)
    return kind == FORM or kind.startswith(FILES)


def from_upload(call: Call, signature: Signature, *, batch: bool) -> Call:
    """The call that functions understand; ``Malformed`` and ``SignatureMismatch`` name the part that does not fit."""
    if _kind(call.content_type) == FORM:
        values = _form(call.body, call.content_type, signature)
    else:
        values = {_only_input(signature).name: plain(call.body)}
    body = {"inputs": {name: [value] if batch else value for name, value in values.items()}}
    return replace(call, protocol="v1", body=rewritten(body), content_type=b"application/json", json_length=None)


def as_object(reply: Reply, signature: Signature) -> Reply:
    """The answer to such a call: the outputs of its row by name."""
    return Reply(reply.status, reply.headers, hydrosphere.answer(reply.body, signature, batch=False))


def _kind(content_type: bytes) -> bytes:
    return content_type.partition(b";")[0].strip().lower()


def _only_input(signature: Signature) -> Field:
    names = ", ".join(f.name for f in signature.inputs[:20])
    if len(signature.inputs) != 1:
        raise SignatureMismatch(
            "a file can be the value of one input, and this model has several",
            field="body",
            expected=f"multipart/form-data with a part for each of {names}",
            got="one file",
        )
    (field,) = signature.inputs
    if not (field.is_scalar and field.dtype.name == "string"):
        raise SignatureMismatch(
            f"the input {field.name!r} is no file",
            field=field.name,
            expected=f"{field.dtype.wire} {list(field.shape)}",
            got="a file",
            hint="declare the input as a scalar of type string, and decode the bytes in the function",
        )
    return field


def _form(body: bytes, content_type: bytes, signature: Signature) -> Mapping[str, Any]:
    fields = {f.name: f for f in signature.inputs}
    values: dict[str, Any] = {}
    for name, value, is_file in _parts(body, content_type, len(fields)):
        field = fields.get(name)
        if field is None:
            raise SignatureMismatch(
                f"the part {name!r} is no input", field=name, expected=", ".join(list(fields)[:20]), got=name
            )
        if name in values:
            raise Malformed(
                f"the part {name!r} appears twice", field=name, expected="each input once", got="two of them"
            )
        values[name] = _value(field, value, is_file=is_file)
    missing = [name for name in fields if name not in values]
    if missing:
        raise SignatureMismatch(
            f"the form lacks the input {missing[0]!r}",
            field=missing[0],
            expected=", ".join(list(fields)[:20]),
            got=", ".join(values) or "no part",
        )
    return values


def _value(field: Field, value: bytes, *, is_file: bool) -> Any:
    text = field.dtype.name == "string"
    if text and field.is_scalar:
        return plain(value)
    if is_file:
        raise SignatureMismatch(
            f"the input {field.name!r} is no file",
            field=field.name,
            expected=f"{field.dtype.wire} as JSON",
            got="a file",
        )
    try:
        return orjson.loads(value)
    except ValueError as error:
        raise Malformed(
            f"the part {field.name!r} is not JSON: {error}",
            field=field.name,
            expected=f"{field.dtype.wire} {list(field.shape)}",
            got=repr(value.decode("utf-8", "replace")[:40]),
        ) from error


def _parts(body: bytes, content_type: bytes, most: int) -> list[tuple[str, bytes, bool]]:
    """Name and content of each part, and whether it is a file. A form of more than ``most`` parts and one more is not read."""
    # Imported where it is needed: few gateways ever see a form.
    from python_multipart.exceptions import FormParserError  # noqa: PLC0415
    from python_multipart.multipart import Field as FormField  # noqa: PLC0415
    from python_multipart.multipart import File, FormParser, parse_options_header  # noqa: PLC0415

    found: list[tuple[str, bytes, bool]] = []

    def keep(name: bytes | None, value: bytes, *, is_file: bool) -> None:
        if len(found) > most:
            raise TooLarge("the form has too many parts", field="body", expected=f"at most {most}")
        found.append(((name or b"").decode("utf-8", "replace"), value, is_file))

    def field(one: FormField) -> None:
        keep(one.field_name, one.value or b"", is_file=False)

    def file(one: File) -> None:
        one.file_object.seek(0)
        keep(one.field_name, one.file_object.read(), is_file=True)

    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise Malformed("the form has no boundary", field="content-type", expected="multipart/form-data; boundary=…")
    in_memory = {"MAX_MEMORY_FILE_SIZE": len(body) + 1}  # it is there already
    try:
        parser = FormParser("multipart/form-data", field, file, boundary=boundary, config=in_memory)
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise Malformed(
            f"the form cannot be read: {error}", field="body", expected="parts between boundaries"
        ) from error
    if not body.rstrip().endswith(b"--" + boundary + b"--"):
        raise Malformed("the form is incomplete", field="body", expected="the closing boundary at its end")
    return found
