"""Signatures: the named inputs and outputs of a function, one row of them.

``shape`` has no batch dimension: ``()`` is a number or a word, ``(28, 28)`` an image, ``-1`` a free size.
On the wire every tensor carries the batch in front, so a request is a batch of n >= 1 rows
(unless the version says ``batch: false``: then wire shapes are the signature's and a request is one row).
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from headrace_functions.errors import InvalidInput, SignatureMismatch
from headrace_functions.names import check_field_name

PROFILES = ("numerical", "categorical", "text", "image", "embedding", "none")
_COLUMN_UNSAFE = str.maketrans(dict.fromkeys(" ,;{}()\n\t=.", "_"))


SENSITIVE: Mapping[str, tuple[str, ...] | None] = {
    "drop": None,
    "hash": ("string", "int64", "uint64"),
    "mask": ("string",),
}
"""What may be kept of a sensitive field, and of which types; None for all."""


@dataclass(frozen=True, slots=True)
class DType:
    """An element type: its name here, on the wire (Open Inference Protocol) and in numpy."""

    name: str
    wire: str
    numpy: np.dtype[Any]
    aliases: tuple[str, ...] = ()

    @property
    def is_number(self) -> bool:
        return self.numpy.kind in "iuf"


DTYPES: tuple[DType, ...] = (
    DType("bool", "BOOL", np.dtype(np.bool_), ("boolean",)),
    DType("uint8", "UINT8", np.dtype(np.uint8)),
    DType("uint16", "UINT16", np.dtype(np.uint16)),
    DType("uint32", "UINT32", np.dtype(np.uint32)),
    DType("uint64", "UINT64", np.dtype(np.uint64)),
    DType("int8", "INT8", np.dtype(np.int8)),
    DType("int16", "INT16", np.dtype(np.int16)),
    DType("int32", "INT32", np.dtype(np.int32), ("int",)),
    DType("int64", "INT64", np.dtype(np.int64), ("long",)),
    DType("float16", "FP16", np.dtype(np.float16), ("half",)),
    DType("float32", "FP32", np.dtype(np.float32), ("float",)),
    DType("float64", "FP64", np.dtype(np.float64), ("double",)),
    DType("string", "BYTES", np.dtype(object), ("str", "object", "bytes", "text")),
)
_BY_NAME = {key: d for d in DTYPES for key in (d.name, d.wire, d.wire.lower(), *d.aliases)}
_BY_NUMPY = {d.numpy: d for d in DTYPES}


def dtype(name: str, *, field: str = "type") -> DType:
    """Find a type by its name, wire name or alias (``double``, ``FP64``, ``DT_DOUBLE``, ``float64`` are one)."""
    found = _BY_NAME.get(name) or _BY_NAME.get(str(name).lower().removeprefix("dt_"))
    if found is None:
        known = ", ".join(d.name for d in DTYPES)
        raise InvalidInput(f"{field}: unknown type {name!r}", field=field, expected=f"one of {known}", got=repr(name))
    return found


def dtype_of(array: np.ndarray[Any, Any]) -> DType:
    """The type of an array; every kind of text, bytes and object array is ``string``."""
    return _BY_NUMPY.get(array.dtype) or (_BY_NAME["string"] if array.dtype.kind in "OSU" else dtype(array.dtype.name))


@dataclass(frozen=True, slots=True)
class Field:
    """One named input or output of a row."""

    name: str
    dtype: DType
    shape: tuple[int, ...] = ()
    profile: str = "none"
    columns: tuple[str, ...] | None = None
    """Names of the elements where ``shape`` is ``(k,)``, e.g. of class probabilities."""
    categories: tuple[str | int | float | bool, ...] | None = None
    range: tuple[float, float] | None = None
    strict: bool = False
    """Refuse values outside ``categories`` or ``range`` with 422 instead of only marking them in the log."""
    sensitive: str = ""
    """``drop``, ``hash`` or ``mask``: what is kept of its values, see ``protection``; empty keeps them."""

    @property
    def is_scalar(self) -> bool:
        return self.shape == ()

    @property
    def size(self) -> int | None:
        """Elements a row, or None where a dimension is free."""
        return None if -1 in self.shape else math.prod(self.shape)

    @property
    def column(self) -> str:
        """The field's column in log tables, without ``in.`` or ``out.``: characters that Delta readers refuse are ``_``."""
        return self.name.translate(_COLUMN_UNSAFE)

    def to_document(self) -> dict[str, Any]:
        document: dict[str, Any] = {
            "name": self.name,
            "type": self.dtype.name,
            "shape": list(self.shape),
            "profile": self.profile,
        }
        if self.columns is not None:
            document["columns"] = list(self.columns)
        if self.categories is not None:
            document["categories"] = list(self.categories)
        if self.range is not None:
            document["range"] = list(self.range)
        if self.strict:
            document["strict"] = True
        if self.sensitive:
            document["sensitive"] = self.sensitive
        return document

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Field":
        """Rebuild a field; raises ``InvalidInput`` for an unknown type, profile or a shape that is none."""
        name = check_field_name(document["name"])
        shape = document.get("shape", ())
        shape = () if shape == "scalar" else tuple(shape)
        if not all(isinstance(n, int) and (n == -1 or n > 0) for n in shape):
            raise InvalidInput(
                f"{name}: {list(shape)} is not a valid shape",
                field=name,
                expected="'scalar' or sizes > 0, or -1 for a variable size",
            )
        profile = document.get("profile", "none")
        if profile not in PROFILES:
            raise InvalidInput(
                f"{name}: unknown profile {profile!r}", field=name, expected=f"one of {', '.join(PROFILES)}"
            )
        columns, categories, bounds = (document.get(k) for k in ("columns", "categories", "range"))
        return cls(
            name,
            dtype(document["type"], field=name),
            shape,
            profile,
            tuple(columns) if columns is not None else None,
            tuple(categories) if categories is not None else None,
            (float(bounds[0]), float(bounds[1])) if bounds is not None else None,
            bool(document.get("strict", False)),
            _sensitive(name, document),
        )


def _sensitive(name: str, document: Mapping[str, Any]) -> str:
    how = document.get("sensitive") or ""
    if how not in ("", *SENSITIVE):
        raise InvalidInput(
            f"{name}: sensitive: {how!r} is not known", field="sensitive", expected=f"one of {', '.join(SENSITIVE)}"
        )
    kinds = SENSITIVE.get(how)
    if kinds is not None and document["type"] not in kinds:
        raise InvalidInput(
            f"{name}: values of type {document['type']} cannot be stored with {how}",
            field="sensitive",
            expected=f"drop, or a field of type {' or '.join(kinds)}",
        )
    if how and (document.get("categories") is not None or document.get("range") is not None):
        raise InvalidInput(
            f"{name}: categories and range of a sensitive field would be readable in the definition",
            field="sensitive",
            hint="leave them out",
        )
    return str(how)


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives, a row at a time."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def __post_init__(self) -> None:
        for side, fields in (("inputs", self.inputs), ("outputs", self.outputs)):
            if not fields:
                raise InvalidInput(f"{side}: a signature needs at least one field", field=side)
            seen: dict[str, str] = {}
            for f in fields:
                other = seen.setdefault(f.column.lower(), f.name)
                if other is not f.name:
                    raise InvalidInput(
                        f"{side}: {f.name!r} and {other!r} would share the log column {f.column!r}",
                        field=f.name,
                        hint="rename one of them",
                    )

    def input(self, name: str) -> Field | None:
        return next((f for f in self.inputs if f.name == name), None)

    def output(self, name: str) -> Field | None:
        return next((f for f in self.outputs if f.name == name), None)

    @property
    def is_table(self) -> bool:
        """True where all inputs are scalars: clients may then send rows packed in one tensor, or as objects."""
        return all(f.is_scalar for f in self.inputs)

    def to_document(self) -> dict[str, Any]:
        return {"inputs": [f.to_document() for f in self.inputs], "outputs": [f.to_document() for f in self.outputs]}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Signature":
        def fields(side: str) -> Iterable[Field]:
            return (Field.from_document(f) for f in document[side])

        return cls(tuple(fields("inputs")), tuple(fields("outputs")))


Tensors = dict[str, np.ndarray[Any, Any]]
"""Named arrays; with ``batch`` their first dimension is the row."""


def check_shape(field: Field, shape: tuple[int, ...], *, batched: bool, side: str = "input") -> None:
    """Raise ``SignatureMismatch`` unless ``shape`` (of the wire) fits the field."""
    row = shape[1:] if batched else shape
    fits = (not batched or len(shape) >= 1) and len(row) == len(field.shape)
    if fits and all(want in (-1, have) for want, have in zip(field.shape, row, strict=True)):
        return
    wanted = (["n"] if batched else []) + ["any" if n == -1 else str(n) for n in field.shape]
    raise SignatureMismatch(
        f"{side} {field.name!r} has the wrong shape",
        field=field.name,
        expected=f"[{', '.join(wanted)}]",
        got=str(list(shape)),
    )
