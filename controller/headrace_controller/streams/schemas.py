"""Messages in Avro, by the schemas of a registry that speaks Confluent's protocol. The one module that imports fastavro.

Such a message is a zero byte, the schema's id (four bytes, big-endian) and the record without its schema; ``GET /schemas/ids/ID`` gives the schema with
which it was written. Source: Confluent's *Wire format* and the Avro specification.
"""

import base64
import io
import struct
from collections import OrderedDict
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

import httpx
import orjson
from fastavro import parse_schema, schemaless_reader
from fastavro.schema import SchemaParseException

from headrace_functions.errors import Malformed, Unreachable

MAGIC = b"\0"
HEAD = 5
"""Bytes in front of the record."""
KEPT = 1000
"""Schemas that are remembered."""
_SECONDS = 10.0


class SchemaRegistry:
    """Schemas by their ids, each asked for once. Not for several threads at once."""

    def __init__(self, url: str, auth: str = "") -> None:
        """``auth`` is ``user:password``, empty for none."""
        user, _, password = auth.partition(":")
        self._client = httpx.Client(base_url=url, timeout=_SECONDS, auth=(user, password) if auth else None)
        self._known: OrderedDict[int, Any] = OrderedDict()

    def decode(self, value: bytes) -> Any:
        """The record of a message as JSON has it.

        Raises ``Malformed`` for what is no such message, or is of a schema that the registry does not have, and ``Unreachable`` where it does not answer.
        """
        if value[:1] != MAGIC or len(value) < HEAD:
            raise Malformed(
                "the message is not Avro with a schema id",
                field="value",
                expected="a zero byte, a four-byte id, and the record",
                got=f"{len(value)} bytes",
            )
        (number,) = struct.unpack(">I", value[1:HEAD])
        schema = self._schema(number)
        rest = io.BytesIO(value[HEAD:])
        try:
            found = plain(schemaless_reader(rest, schema, None))
        except Exception as error:  # fastavro raises whatever its reading of foreign bytes ends in
            raise Malformed(
                f"the message is not a record of schema {number}: {type(error).__name__}: {error}",
                field="value",
                got=f"{len(value)} bytes",
            ) from error
        if rest.read(1):
            raise Malformed(
                f"the message is longer than a record of schema {number}", field="value", got=f"{len(value)} bytes"
            )
        return found

    def _schema(self, number: int) -> Any:
        if number not in self._known:
            self._known[number] = self._asked(number)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        return self._known[number]

    def _asked(self, number: int) -> Any:
        try:
            reply = self._client.get(f"schemas/ids/{number}")
        except httpx.HTTPError as error:
            raise Unreachable(f"the schema registry does not answer: {error}", field="registry") from error
        if reply.status_code == httpx.codes.NOT_FOUND:
            raise Malformed(f"the registry has no schema {number}", field="value", got=str(number))
        if reply.status_code != httpx.codes.OK:
            raise Unreachable(f"the schema registry answered {reply.status_code}", field="registry")
        try:
            document = reply.json()
            if document.get("schemaType", "AVRO") != "AVRO":
                raise Malformed(
                    f"schema {number} is {document['schemaType']}",
                    field="value",
                    expected="AVRO",
                    got=str(document["schemaType"]),
                )
            return parse_schema(orjson.loads(document["schema"]))
        except (ValueError, KeyError, TypeError, SchemaParseException) as error:
            raise Malformed(f"schema {number} cannot be read: {error}", field="value") from error

    def close(self) -> None:
        self._client.close()


def plain(value: Any) -> Any:
    """A value of Avro as JSON has it: times as RFC 3339, decimals as numbers, bytes as ``{"b64": …}``."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    return str(value) if isinstance(value, UUID) else value
