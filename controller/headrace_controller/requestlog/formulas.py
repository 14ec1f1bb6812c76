"""Formulas: one value a row from its inputs and outputs, in the SQL that log filters have.

``amount / income > 0.4`` reads the fields of a signature by their names; ``in.`` and ``out.`` tell an input from an output of the same name.
Whole numbers count as numbers, so ``1 / 2`` of two fields is 0.5. A row for which the formula gives nothing, or no finite number, is one
row: it has an error and no value, and the others have theirs.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from headrace_controller.requestlog.local_table import POSITION, local_table
from headrace_controller.requestlog.reader import execute
from headrace_functions.errors import InvalidInput
from headrace_functions.log_conditions import boolean_expression, of_engine
from headrace_functions.logtable import column_type, input_column, output_column
from headrace_functions.signature import Field, Signature

Results = list[tuple[float | None, str | None]]
"""Value or error of each row."""

MAX_ASKED = 200
"""Failures of the engine after which rows at fault are no longer looked for one by one."""

_KINDS = {"string": pa.string(), "bool": pa.bool_()}
_NOTHING = "the formula gives no value: something that it reads is missing"
_QUOTED = re.compile(r"""('(?:[^']|'')*'|"(?:[^"]|"")*")""")


def check_formula(formula: str, signature: Signature) -> bool:
    """Whether the formula says true or false, rather than a number.

    Raises ``InvalidInput`` where it does not parse, reads no field or one that the signature does not have, or gives something else.
    """
    read, text = _columns_read(formula, signature)
    empty = pa.table({name: pa.array([], _kind(field)) for name, field in read.items()})
    kind = _asked(empty, text, formula).schema.field("value").type
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return False
    raise _refused(formula, f"it gives {_named(kind)}, not a number or true or false")


def evaluate(formula: str, signature: Signature, rows: pa.Table) -> Results:
    """Value or error of each row of a log table; true is 1 and false is 0."""
    read, text = _columns_read(formula, signature)
    columns = {
        name: rows[name].cast(_kind(field)) if name in rows.column_names else pa.nulls(rows.num_rows, _kind(field))
        for name, field in read.items()
    }
    return _values(pa.table(columns), text, formula, [MAX_ASKED])


def _values(rows: pa.Table, text: str, formula: str, left: list[int]) -> Results:
    """Of rows that the engine fails on as a whole halves are asked, until the rows at fault are alone or nothing of ``left`` is."""
    try:
        found = _asked(rows, text, formula).sort_by(POSITION)["value"].to_pylist()
    except InvalidInput as error:
        left[0] -= 1
        if rows.num_rows <= 1 or left[0] <= 0:
            said = error.message.partition(f"{formula!r}: ")[2]
            return [(None, said if rows.num_rows == 1 else f"of this row or one beside it: {said}")] * rows.num_rows
        half = rows.num_rows // 2
        return [*_values(rows.slice(0, half), text, formula, left), *_values(rows.slice(half), text, formula, left)]
    return [_result(value) for value in found]


def _result(value: Any) -> tuple[float | None, str | None]:
    if value is None:
        return None, _NOTHING
    number = float(value)
    if not math.isfinite(number):
        return None, f"the formula gives {number}: it divides by zero, or its values are no finite numbers"
    return number, None


def _asked(rows: pa.Table, text: str, formula: str) -> pa.Table:
    with local_table(rows) as table:
        sql = f"SELECT {POSITION}, ({text}) AS value FROM log"  # noqa: S608 - one checked expression
        try:
            return execute(table, sql, text).read_all()
        except InvalidInput as error:  # of the formula by its columns, so a place in it says nothing
            raise _refused(formula, error.message.removeprefix("where: ").partition(", at character")[0]) from error
        except pa.ArrowException as error:
            raise _refused(formula, of_engine(str(error))) from error


def _columns_read(formula: str, signature: Signature) -> tuple[Mapping[str, Field], str]:
    """The columns that a formula reads with their fields, and the formula by these columns."""
    if not formula.strip():
        raise _refused(formula, "it is empty")
    columns, names = _columns(signature), _names(signature)
    read: dict[str, Field] = {}

    def by_column(match: re.Match[str]) -> str:
        found = names[match["name"]]
        if len(found) > 1:
            raise _refused(formula, f"{match['name']!r} is both an input and an output", expected=" or ".join(found))
        read[found[0]] = columns[found[0]]
        return f'"{found[0]}"{_element(formula, match["name"], columns[found[0]], match["element"])}'

    some = "|".join(re.escape(n) for n in sorted(names, key=len, reverse=True))
    named = re.compile(rf"(?<![\w.])(?P<name>{some})(?![\w.(])(?:\[(?P<element>[^\]]*)\])?")
    parts = _QUOTED.split(formula)
    text = "".join(part if place % 2 else named.sub(by_column, part) for place, part in enumerate(parts))
    try:
        text = boolean_expression(text, ())
    except InvalidInput as error:
        raise _refused(formula, error.message.removeprefix("where: ")) from error
    if not read:
        unknown = re.search(r"[A-Za-z_][\w.]*(?![\w.(])", "".join(parts[::2]))
        said = f"there is no field {unknown[0]!r}" if unknown else "it reads no field"
        raise _refused(formula, said, expected=f"an expression over some of {_known(columns)}")
    return read, text


def _element(formula: str, name: str, field: Field, element: str | None) -> str:
    """Which element of a field is read, from 1 as SQL counts: ``p[yes]`` by its name, ``p[0]`` by its place."""
    if field.is_scalar:
        return "" if element is None else f"[{element}]"
    known = list(field.columns or ()) or [str(place) for place in range(field.size or 0)]
    if element is None or (known and element not in known and not element.isdigit()):
        raise _refused(
            formula,
            f"{name!r} has several elements a row",
            expected=" or ".join(f"{name}[{k}]" for k in known[:10]) or f"{name}[0], {name}[1], …",
        )
    place = known.index(element) if element in known else int(element)
    if known and place >= len(known):
        raise _refused(formula, f"{name!r} has {len(known)} elements a row, so there is no {name}[{element}]")
    return f"[{place + 1}]"


def _columns(signature: Signature) -> dict[str, Field]:
    return {
        **{input_column(f): f for f in signature.inputs},
        **{output_column(f): f for f in signature.outputs},
    }


def _names(signature: Signature) -> dict[str, tuple[str, ...]]:
    """The columns that each way to name a field means."""
    names: dict[str, tuple[str, ...]] = {}
    for side, fields, column in (("in.", signature.inputs, input_column), ("out.", signature.outputs, output_column)):
        for field in fields:
            for name in {field.name, field.column}:
                names[name] = (*names.get(name, ()), column(field))
                names[side + name] = (column(field),)
    return names


def _known(columns: Mapping[str, Field], most: int = 20) -> str:
    names = sorted(columns)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _kind(field: Field) -> pa.DataType:
    """The Arrow type by which a formula reads a field: numbers are float64, so that a quotient is not cut to a whole number."""
    name = column_type(field).removeprefix("list<").removesuffix(">")
    kind = _KINDS.get(name, pa.float64())
    return kind if field.is_scalar else pa.list_(kind)


def _named(kind: pa.DataType) -> str:
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return f"values of type {kind}"


def _refused(formula: str, why: str, *, expected: str = "") -> InvalidInput:
    return InvalidInput(
        f"expression: {formula!r}: {why}",
        field="expression",
        expected=expected
        or "SQL over inputs and outputs that results in a number, or in true or false, e.g. amount / income > 0.4",
    )
