"""Exchanges that happened elsewhere: what an external model was asked and answered, on its way into the log of its version.

Each line is one row of one request with its ``request_id``. What fits the signature becomes records in the inbox, as a function's own do;
what does not is refused by itself. The collector logs an id once, however often it is sent (``collector.external``).
"""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_functions.errors import HeadraceError, InvalidInput, NotReady
from headrace_functions.names import VersionId, usable_request_id
from headrace_functions.protection import is_sensitive
from headrace_functions.protocol.codec import decode_request, decode_response
from headrace_functions.protocol.protected import protected_record
from headrace_functions.record import EXTERNAL_SPOOL, Outcome, Record, RecordHeader, encode
from headrace_functions.signature import Field
from headrace_functions.storage import layout
from headrace_functions.version import EXTERNAL, Version

MAX_ROWS = 100_000
"""Exchanges of one call."""
REGISTERED = 5.0
"""Seconds that is kept which InferenceServices are registered."""
SHOWN = 100
"""Refused exchanges that an answer names."""
OUTCOMES: tuple[Outcome, ...] = ("ok", "failed", "refused", "timeout", "unreachable")
_MEMBERS = ("request_id", "inputs", "outputs", "received", "latency_ms", "outcome", "error")


@dataclass(frozen=True, slots=True)
class RefusedExchange:
    row: int
    """Its place in what was sent, from 1."""
    field: str
    reason: str


@dataclass(frozen=True, slots=True)
class Taken:
    accepted: int
    refused: int
    first_refused: Sequence[RefusedExchange] = field(default_factory=tuple)


class Exchanges:
    def __init__(
        self,
        catalog: Catalog,
        clock_: Callable[[], float] = time.monotonic,
        hash_key: Callable[[], str] = lambda: "",
    ) -> None:
        self._hash_key = hash_key
        self._catalog = catalog
        self._arrived: Callable[[], None] = lambda: None
        self._clock = clock_
        self._services: Mapping[str, Version] = {}
        self._until = 0.0

    def on_arrival(self, arrived: Callable[[], None]) -> None:
        """Call ``arrived`` when there is something in the inbox to collect. It must return at once."""
        self._arrived = arrived

    def take(self, version_id: VersionId, exchanges: Sequence[Any]) -> Taken:
        """Send exchanges to the log of a version; the rows that do not fit are refused and the rest kept.

        Raises ``NotReady`` for a version that is not released, ``InvalidInput`` for one that is no external model or for too many rows.
        """
        version = self._external(version_id)
        if len(exchanges) > MAX_ROWS:
            raise InvalidInput(
                f"body: {len(exchanges)} exchanges", field="body", expected=f"at most {MAX_ROWS} in one call"
            )
        records: list[Record] = []
        refused: list[RefusedExchange] = []
        now = datetime.now(UTC)
        for row, exchange in enumerate(exchanges, 1):
            try:
                records.append(self._kept(version, record_of(version, exchange, now)))
            except HeadraceError as error:
                refused.append(RefusedExchange(row, error.field or "", error.message))
        self._keep(version_id, records)
        return Taken(len(records), len(refused), refused[:SHOWN])

    def registered(self, service: str) -> Version | None:
        """The newest external version whose definition names an InferenceService (``NAMESPACE/NAME``); looked for anew at most every few seconds."""
        if self._clock() >= self._until:
            found: dict[str, Version] = {}
            for version in self._catalog.versions():
                external = version.given["definition"].get("external") or {}
                named = external.get("inference-service") if isinstance(external, Mapping) else None
                if named and version.released and version.version is not None:
                    found.setdefault(str(named), version.version)
            self._services, self._until = found, self._clock() + REGISTERED
        return self._services.get(service)

    def _kept(self, version: Version, record: Record) -> Record:
        sensitive = is_sensitive(version.signature)
        return protected_record(version, record, bytes.fromhex(self._hash_key())) if sensitive else record

    def _keep(self, version: VersionId, records: Sequence[Record]) -> None:
        if not records:
            return
        segment = b"".join(map(encode, records))
        # The same content is the same segment: sent again at once it is not even collected twice.
        spool = f"{EXTERNAL_SPOOL}{hashlib.sha256(segment).hexdigest()[:24]}"
        self._catalog.documents.objects.put(layout.inbox_segment(version.service, spool, 0), segment)
        self._arrived()

    def _external(self, version_id: VersionId) -> Version:
        found = self._catalog.get(version_id)
        if found.version is None:
            raise NotReady(f"{version_id} is {found.state}, so it does not accept exchanges")
        if found.version.framework != EXTERNAL:
            raise InvalidInput(
                f"{version_id} is served here and logs its own exchanges",
                field="version",
                expected="a version whose definition has 'external'",
            )
        return found.version


def record_of(version: Version, exchange: Any, now: datetime) -> Record:
    """One exchange as a record; ``InvalidInput`` names what does not fit."""
    if not isinstance(exchange, Mapping):
        raise InvalidInput("it is not an object", field="", expected=f"an object with {', '.join(_MEMBERS)}")
    unknown = [name for name in exchange if name not in _MEMBERS]
    if unknown:
        raise InvalidInput(
            f"unknown member {str(unknown[0])!r}", field=str(unknown[0]), expected=f"some of {', '.join(_MEMBERS)}"
        )
    request_id = exchange.get("request_id")
    if not isinstance(request_id, str) or usable_request_id(request_id) != request_id:
        raise InvalidInput(
            f"request_id: {request_id!r} is not usable",
            field="request_id",
            expected="1 to 128 visible ASCII characters",
        )
    outcome = exchange.get("outcome", "ok")
    if outcome not in OUTCOMES:
        raise InvalidInput(
            f"outcome: {outcome!r} is not known", field="outcome", expected=f"one of {', '.join(OUTCOMES)}"
        )
    inputs = _side(exchange, "inputs", version.signature.inputs)
    request = _body("inputs", version.signature.inputs, inputs, batch=version.batch)
    decode_request(request, "application/json", None, version.signature, batch=version.batch)
    response = b""
    if outcome == "ok":
        outputs = _side(exchange, "outputs", version.signature.outputs)
        response = _body("outputs", version.signature.outputs, outputs, batch=version.batch)
        decode_response(response, None, version.signature, batch=version.batch)
    header = RecordHeader(
        request_id=request_id,
        model=version.id.model,
        version=version.id.number,
        received=_received(exchange.get("received"), now),
        latency_ms=_latency(exchange.get("latency_ms")),
        outcome=outcome,
        status=200 if outcome == "ok" else 0,
        error=str(exchange.get("error") or "")[:4000],
        replica=EXTERNAL,
    )
    return Record(header, request, response)


def _side(exchange: Mapping[str, Any], side: str, fields: Sequence[Field]) -> Mapping[str, Any]:
    given = exchange.get(side)
    if not isinstance(given, Mapping):
        raise InvalidInput(f"{side}: missing", field=side, expected="an object with a value for each field")
    known = {f.name for f in fields}
    for name in given:
        if name not in known:
            raise InvalidInput(
                f"{side}: there is no field {str(name)!r}", field=str(name), expected=", ".join(sorted(known))
            )
    for name in sorted(known - given.keys()):
        raise InvalidInput(f"{side}: {name!r} is missing", field=name, expected="a value, or null")
    return given


def _body(side: str, fields: Sequence[Field], values: Mapping[str, Any], *, batch: bool) -> bytes:
    """A v2 body of JSON of one row."""
    tensors = []
    for one in fields:
        value = values[one.name]
        data = [value] if one.is_scalar else _flat(one, value)
        shape = [] if one.is_scalar else _shape(one, len(data))
        tensors.append(
            {"name": one.name, "datatype": one.dtype.wire, "shape": [1, *shape] if batch else shape, "data": data}
        )
    try:
        return orjson.dumps({side: tensors}, option=orjson.OPT_SERIALIZE_NUMPY)
    except TypeError as error:
        raise InvalidInput(f"{side}: {error}", field=side) from error


def _flat(one: Field, value: Any) -> list[Any]:
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str | bytes):
        raise InvalidInput(
            f"{one.name}: {value!r} is not a list", field=one.name, expected=f"a list of shape {list(one.shape)}"
        )
    found: list[Any] = []
    pending = list(reversed(list(value)))
    while pending:
        item = pending.pop()
        if isinstance(item, list | tuple | np.ndarray):
            pending += reversed(list(item))
        else:
            found.append(item)
    return found


def _shape(one: Field, count: int) -> list[int]:
    """The field's shape with its free size worked out."""
    known = int(np.prod([n for n in one.shape if n != -1], initial=1))
    shape = [n if n != -1 else count // max(known, 1) for n in one.shape]
    if int(np.prod(shape)) != count:
        raise InvalidInput(
            f"{one.name}: {count} elements", field=one.name, expected=f"as many as shape {list(one.shape)} has"
        )
    return shape


def _received(given: Any, now: datetime) -> int:
    if given is None:
        moment = now
    elif isinstance(given, datetime):
        moment = given if given.tzinfo is not None else given.replace(tzinfo=UTC)
    elif isinstance(given, str):
        moment = clock.parse(given, field="received")
    else:
        raise InvalidInput(f"received: {given!r} is not a time", field="received", expected="RFC 3339")
    microseconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    if microseconds < 0:
        raise InvalidInput(f"received: {given} is before 1970", field="received", expected="RFC 3339")
    return microseconds * 1000


def _latency(given: Any) -> float | None:
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given < 1e9:
        raise InvalidInput(f"latency_ms: {given!r}", field="latency_ms", expected="milliseconds, 0 or more")
    return float(given)
