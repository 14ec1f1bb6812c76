"""What is of one value of one field: rows of tables by their columns, bodies by what they decode to, texts by a look for it."""

import dataclasses
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_controller.erasure import spellings
from headrace_functions.errors import InvalidInput
from headrace_functions.logtable import input_column, output_column
from headrace_functions.protection import protect
from headrace_functions.signature import Field, dtype
from headrace_functions.version import Version

MAX_VALUE = 1000
"""Characters of a value."""
DISTINCT = 4
"""Characters from which a value is looked for in texts: shorter ones are in texts that have nothing to do with them."""
CUT = 16
"""Characters of a text from which it may be the beginning of a longer one."""
_WORD = rb"[0-9A-Za-z_]"
_IN_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
"""Bytes of characters with which a word may begin or end."""


@dataclass(frozen=True)
class Subject:
    field: str
    value: str
    model: str = ""
    """One model; all of them where it is empty."""
    hash_keys: tuple[bytes, ...] = dataclasses.field(default=(), repr=False)
    """The platform's key and those before it: old rows have hashes by old keys."""
    until: int = 0
    """Microseconds since the epoch up to which requests were received that are erased; 0 for all."""

    def __post_init__(self) -> None:
        if not 0 < len(self.value) <= MAX_VALUE:
            raise InvalidInput("value: it is empty or too long", field="value", expected=f"1 to {MAX_VALUE} characters")
        if not self.field:
            raise InvalidInput(
                "field: the name of an input or output is required", field="field", expected="as in the contract"
            )

    @cached_property
    def digest(self) -> str:
        """What stands for the value where it must not: keyed, so that nobody can find it out by trying, and another than the hash of a
        sensitive field, which is erased too. By the oldest key, so that it stays when keys are replaced; empty where there is no key."""
        if not self.hash_keys:
            return ""
        said = f"erasure\0{self.field}\0{self.value}".encode()
        return hmac.digest(self.hash_keys[-1], said, "sha256").hex()[:24]

    def came_in_time(self, received: int) -> bool:
        """Whether a request of some nanoseconds since the epoch is erased."""
        return not self.until or received <= self.until * 1000

    def fields(self, version: Version) -> list[tuple[str, Field]]:
        """Columns of a version's log that hold the field, each with its field."""
        found = [(input_column(f), f) for f in version.signature.inputs if f.name == self.field]
        return found + [(output_column(f), f) for f in version.signature.outputs if f.name == self.field]

    def in_time(self, table: pa.Table) -> pa.BooleanArray:
        """Which rows of a log came before ``until``: somebody who goes on asking must not keep an erasure from its end."""
        if "received" not in table.column_names or not self.until:
            return pa.array(np.ones(table.num_rows, bool))
        received = table["received"].cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        return pc.fill_null(pc.less_equal(received, self.until), True).combine_chunks()

    def rows(self, version: Version, table: pa.Table) -> pa.BooleanArray:
        """Which rows of a log hold the value in its field."""
        found = pa.array(np.zeros(table.num_rows, bool))
        for column, of in self.fields(version):
            if column in table.column_names:
                for kept in self._kept(of):
                    found = pc.or_(found, _equal(table[column], kept))
        return pc.and_(found, self.in_time(table))

    def _kept(self, of: Field) -> list[Any]:
        """The value in the field's type as a log has it: in clear, and as the platform's key hashes it."""
        typed = _typed(of, self.value)
        if typed is None:
            return []
        return [typed, *self._hashed(of, typed)] if of.sensitive == "hash" else [typed]

    def _hashed(self, of: Field, typed: Any) -> list[Any]:
        """The value by each of the keys."""
        given = np.array([typed], object if isinstance(typed, str) else of.dtype.numpy)
        hashed = [protect([of], {of.name: given}, key)[of.name][0] for key in self.hash_keys]
        return [h.item() if isinstance(h, np.generic) else h for h in hashed]

    def _hashes(self) -> list[bytes]:
        """The hashes that versions keep in the place of the value, as text."""
        found = []
        for kind in ("string", "int64", "uint64"):
            of = Field(self.field, dtype(kind), sensitive="hash")
            typed = _typed(of, self.value)
            if typed is not None:
                found += [str(hashed).encode() for hashed in self._hashed(of, typed)]
        return found

    @cached_property
    def in_text(self) -> "re.Pattern[bytes] | None":
        """The value as a word of a text whose escapes are read, in UTF-8 or hashed; None where there is nothing to look for: a short
        value in clear is not."""
        forms = set(self._hashes())
        if len(self.value) >= DISTINCT:
            forms.add(self.value.encode("utf-8", "replace"))
        if not forms:
            return None
        return re.compile(b"|".join(map(_as_word, sorted(forms, key=len, reverse=True))))

    def said_in(self, text: bytes) -> bool:
        """Whether a text says the value, however JSON spells it."""
        return self.in_text is not None and spellings.says(self.in_text, text)

    def places_in(self, text: bytes) -> list[spellings.Span]:
        """Where a text says the value, in order and apart."""
        return spellings.spans(self.in_text, text) if self.in_text is not None else []

    def replaced_in(self, text: bytes, by: bytes) -> bytes:
        """A text with ``by`` in the place of the value."""
        pieces, end = [], 0
        for start, after in self.places_in(text):
            pieces += [text[end:start], by]
            end = after
        return b"".join([*pieces, text[end:]])

    def begins_with(self, text: str) -> bool:
        """Whether a text says the value, or may be the beginning of it: of a cut text the last character may be another."""
        start = text[:-1]
        return self.value == text or self.said_in(text.encode()) or (len(start) >= CUT and self.value.startswith(start))

    def said_in_strings(self, column: pa.ChunkedArray) -> pa.BooleanArray:
        """Which texts of a column say the value; a missing text says nothing."""
        return pa.array([text is not None and self.said_in(text.encode()) for text in column.to_pylist()], pa.bool_())


class Requests:
    """Rows of requests that hold the value: by request id, which rows. Everything that is kept of them goes."""

    def __init__(self, pairs: Iterable[tuple[str, int]] = ()) -> None:
        self._rows: dict[str, set[int]] = {}
        for request, row in pairs:
            self.add(request, row)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    @property
    def ids(self) -> set[str]:
        return set(self._rows)

    def add(self, request: str, row: int) -> None:
        self._rows.setdefault(request, set()).add(row)

    def add_all(self, table: pa.Table) -> None:
        for request, row in zip(table["request_id"].to_pylist(), table["row"].to_pylist(), strict=True):
            self.add(request, row)

    def pairs(self) -> list[tuple[str, int]]:
        return [(request, row) for request, rows in self._rows.items() for row in sorted(rows)]

    def rows(self, table: pa.Table) -> pa.BooleanArray:
        """Which rows of a table with ``request_id`` and ``row`` are among them."""
        if not self._rows or not table.num_rows:
            return pa.array(np.zeros(table.num_rows, bool))
        ids = pc.is_in(table["request_id"].cast(pa.string()), pa.array(sorted(self._rows), pa.string()))
        found = np.asarray(ids).copy()
        rows = table["row"].to_pylist()
        requests = table["request_id"].to_pylist()
        for at in np.flatnonzero(found):
            found[at] = rows[at] in self._rows[requests[at]]
        return pa.array(found)


def _as_word(form: bytes) -> bytes:
    """A pattern for it, not within a longer word; where it begins or ends with a sign no word goes on."""
    before = b"(?<!" + _WORD + b")" if _IN_WORD.match(form[:1]) else b""
    after = b"(?!" + _WORD + b")" if _IN_WORD.match(form[-1:]) else b""
    return before + re.escape(form) + after


def _typed(of: Field, value: str) -> Any:
    """The value in a field's type, None where it cannot be of it."""
    try:
        if of.dtype.name == "string":
            return value
        if of.dtype.name == "bool":
            return {"true": True, "false": False}.get(value.lower())
        if of.dtype.name.startswith(("int", "uint")):
            number = int(value)
            limits = np.iinfo(of.dtype.numpy)
            return number if limits.min <= number <= limits.max else None
        return float(value)
    except ValueError:
        return None


def _equal(column: pa.ChunkedArray, value: Any) -> pa.BooleanArray:
    """Which rows are the value, or have it among their elements."""
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.array([found is not None and value in found for found in column.to_pylist()], pa.bool_())
    try:
        wanted = pa.scalar(value).cast(kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array(np.zeros(len(column), bool))
    return pc.fill_null(pc.equal(column, wanted), False).combine_chunks()
