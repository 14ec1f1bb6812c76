"""Arrays against a signature: what a caller may send, what a function may answer."""

from typing import Any

import numpy as np

from headrace_functions.errors import FunctionFailed, HeadraceError, SignatureMismatch
from headrace_functions.protocol.rows import Array, PackedRows, plan_of
from headrace_functions.protocol.values import flatten, from_json, widen
from headrace_functions.signature import DTYPES, Field, Signature, Tensors, check_shape, dtype_of

_KINDS = {d.numpy: d for d in DTYPES}


def check_inputs(tensors: Tensors, signature: Signature, batch: bool = True) -> Tensors:
    """The tensors in the signature's order, types and shapes, or ``SignatureMismatch`` naming the input.

    Checked are presence, unknown names, type (safe widening is done), full shape (``[n, 1]`` is taken for a scalar),
    the same n >= 1 everywhere, and categories and ranges of strict fields.
    """
    plan = plan_of(signature)
    if type(tensors) is not PackedRows or tensors.keys() != plan.inputs.keys():
        unknown = tensors.keys() - plan.inputs.keys()
        if unknown:
            raise _unknown(min(unknown), "input", plan.names)
        checked: Tensors = {
            f.name: _conform(_of_one(_present(tensors, f, "input")), f, batch, "input") for f in signature.inputs
        }
        if batch:
            check_rows(checked)
    else:
        checked = tensors
    for field in plan.strict:
        check_strict(field, checked[field.name])
    return checked


def check_outputs(tensors: Any, signature: Signature, batch: bool = True, rows: int | None = None) -> Tensors:
    """What a function answered in the signature's order, types and shapes, or ``FunctionFailed`` naming the output.

    ``rows`` is the n of the request (with ``batch``). Values may be arrays or what numpy makes arrays of;
    outputs that the signature does not name are refused, because nobody would ever see them. Packed rows stay packed.
    """
    if batch and type(tensors) is PackedRows and _is_packed_answer(tensors, signature, rows):
        return tensors
    if not isinstance(tensors, dict):
        raise FunctionFailed(
            "the function did not return a dict",
            expected="a dict of arrays by output name",
            got=type(tensors).__name__,
        )
    try:
        unknown = tensors.keys() - {f.name for f in signature.outputs}
        if unknown:
            raise _unknown(min(map(str, unknown)), "output", tuple(f.name for f in signature.outputs))
        checked: Tensors = {}
        for field in signature.outputs:
            value = as_array(_present(tensors, field, "output"), field)
            checked[field.name] = _conform(value, field, batch, "output")
        if batch:
            check_rows(checked, rows, "output")
    except HeadraceError as error:
        raise FunctionFailed(
            f"the function's output does not match its signature: {error.message}",
            field=error.field,
            expected=error.expected,
            got=error.got,
        ) from error
    return checked


def _is_packed_answer(tensors: PackedRows, signature: Signature, rows: int | None) -> bool:
    """Whether one look tells that every output is right; where it does not, each is looked at and the wrong one named."""
    count = len(tensors.matrix)
    return (
        plan_of(signature).answer is not None
        and tensors.matrix.ndim == 2
        and count == (rows or count) > 0
        and tensors.is_for(signature.outputs)
    )


def check_rows(tensors: Tensors, rows: int | None = None, side: str = "input") -> int:
    """The number of rows that all tensors share; ``SignatureMismatch`` where one differs or there is none."""
    for name, array in tensors.items():
        n = array.shape[0]
        if rows is None:
            rows = n
        if n != rows or n == 0:
            wanted = f"{rows} rows" if rows else "at least one row"
            raise SignatureMismatch(
                f"{side} {name!r} has the wrong number of rows", field=name, expected=wanted, got=f"{n} rows"
            )
    return rows or 0


def check_strict(field: Field, array: Array) -> None:
    """``SignatureMismatch`` for a value outside the categories or range of a strict field; NaN is never inside."""
    if field.categories is not None:
        allowed = set(field.categories)
        for value in array.ravel().tolist():
            if value not in allowed:
                some = ", ".join(map(repr, field.categories[:10]))
                more = "…" if len(field.categories) > 10 else ""
                raise SignatureMismatch(
                    f"input {field.name!r}: {value!r} is not a category",
                    field=field.name,
                    expected=f"one of {some}{more}",
                    got=repr(value),
                )
    if field.range is not None and field.dtype.is_number:
        low, high = field.range
        inside = (array >= low) & (array <= high)
        if not inside.all():
            value = array[~inside].ravel()[0].item()
            raise SignatureMismatch(
                f"input {field.name!r}: {value!r} is out of range",
                field=field.name,
                expected=f"{low} to {high}",
                got=repr(value),
            )


def as_array(value: Any, field: Field) -> Array:
    """What user code gave for an output as an array; plain lists and numbers are read by value, as JSON is."""
    if isinstance(value, np.ndarray):
        return value
    if hasattr(value, "__array__"):
        return np.asarray(value)
    if isinstance(value, list | tuple):
        if value and hasattr(value[0], "__array__"):
            return np.asarray(value)
        value = _plain_lists(value)
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    return from_json(flatten(value, tuple(shape), field.name), field.dtype, field.name).reshape(shape)


def _plain_lists(value: Any) -> Any:
    return [_plain_lists(v) for v in value] if isinstance(value, list | tuple) else value


def _of_one(value: Any) -> Array:
    """A row's text, truth value or missing value, which an array of objects gives back bare, as an array without dimensions."""
    if isinstance(value, np.ndarray):
        return value
    if value is not None and not isinstance(value, str | bytes):
        return np.asarray(value)
    array = np.empty((), object)
    array[()] = value
    return array


def is_truth(array: Array) -> bool:
    """Whether an array of objects holds nothing but true, false and missing values."""
    return set(map(type, array.ravel().tolist())) <= {bool, np.bool_, type(None)}


def _conform(array: Array, field: Field, batch: bool, side: str) -> Array:
    have = _KINDS.get(array.dtype)
    if have is None:
        have = dtype_of(array)
    with_gaps = field.dtype.name == "bool" and array.dtype == object and is_truth(array)
    if (have is not field.dtype or have.name == "string") and not with_gaps:
        array = widen(array, have, field, side)
    if field.shape == ():
        shape = array.shape
        if batch and len(shape) == 2 and shape[1] == 1:
            return array.reshape(shape[0])
        if not batch and shape == (1,):
            return array.reshape(())
    check_shape(field, array.shape, batched=batch, side=side)
    return array


def _present(tensors: dict[str, Any], field: Field, side: str) -> Any:
    value = tensors.get(field.name)
    if value is None and (side == "output" or field.name not in tensors):
        raise SignatureMismatch(
            f"{side} {field.name!r} is missing",
            field=field.name,
            expected=f"{field.dtype.wire} {field.name}",
            got=", ".join(map(str, tensors)) or f"no {side}s",
        )
    return value


def _unknown(name: str, side: str, known: tuple[str, ...]) -> SignatureMismatch:
    some = ", ".join(known[:20]) + ("…" if len(known) > 20 else "")
    return SignatureMismatch(
        f"{side} {name!r} is not in the signature", field=name, expected=f"{side}s {some}", got=name
    )
