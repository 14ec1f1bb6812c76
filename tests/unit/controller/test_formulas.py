"""Formulas over inputs and outputs give each row a value, and say what is wrong with them in terms of the signature."""

import math
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures_jobs import category, given_log, given_version, number, objects
from headrace_controller.collector.scoring import Scoring
from headrace_controller.monitoring.attached import attach
from headrace_controller.monitoring.specs import MetricSpec
from headrace_controller.requestlog import formulas
from headrace_controller.requestlog.formulas import check_formula, evaluate
from headrace_controller.service.metrics import check_metric_formula
from headrace_functions.errors import InvalidInput
from headrace_functions.signature import Field, Signature, dtype
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Version

__all__ = ["objects"]

LOAN = Signature(
    (
        Field("amount", dtype("int64")),
        Field("income", dtype("int64")),
        Field("plan", dtype("string")),
        Field("x", dtype("int64")),
    ),
    (Field("p", dtype("float64"), (2,), columns=("no", "yes")), Field("x", dtype("int64"))),
)
ROWS = pa.table(
    {
        "in.amount": pa.array([1, 3, None, 4], pa.int64()),
        "in.income": [2, 0, 1, 8],
        "in.plan": ["a", "select", None, "it's"],
        "in.x": [1, 1, 1, 1],
        "out.p": [[0.1, 0.9], [0.8, 0.2], [0.5, 0.5], [0.3, 0.7]],
        "out.x": [5, 6, 7, 8],
    }
)


def values(formula: str) -> list[float | None]:
    return [value for value, _ in evaluate(formula, LOAN, ROWS)]


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("amount / income", [0.5, None, None, 0.5]),
        ("amount / income > 0.4", [1.0, 1.0, None, 1.0]),
        ("in.amount + out.x", [6.0, 9.0, None, 12.0]),
        ("p[yes] > 0.6", [1.0, 0.0, 0.0, 1.0]),
        ("p[0] + out.p[1]", [1.0, 1.0, 1.0, 1.0]),
        ("plan = 'it''s'", [0.0, 0.0, None, 1.0]),
        ("plan = 'select' OR plan IS NULL", [0.0, 1.0, 1.0, 0.0]),
        ("coalesce(amount, 0)", [1.0, 3.0, 0.0, 4.0]),
        ('"in.amount" * 2', None),
    ],
)
def test_a_formula_gives_each_row_its_value_and_none_where_something_is_missing(
    formula: str, expected: list[float | None] | None
) -> None:
    if expected is None:
        with pytest.raises(InvalidInput, match="it reads no field"):
            evaluate(formula, LOAN, ROWS)
    else:
        assert expected == values(formula)


@pytest.mark.parametrize(
    ("formula", "boolean"), [("amount / income", False), ("amount > income", True), ("p[yes]", False)]
)
def test_whether_a_formula_is_true_or_false_is_known_before_any_row(formula: str, boolean: bool) -> None:
    assert boolean is check_formula(formula, LOAN)


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("", "it is empty"),
        ("1 + 1", "it reads no field"),
        ("amountt / 3", "no field 'amountt'"),
        ("x > 1", "both an input and an output"),
        ("p > 0.5", "several elements"),
        ("p[maybe] > 0.5", "several elements"),
        ("p[2] > 0.5", "2 elements a row"),
        ("plan", "it gives text"),
        ("amount +", "it ends where a value or a column is missing"),
        ("amount; drop table log", "';' cannot be part of it"),
        ("amount > (select 1)", "would be a statement or sub-query"),
        ("amount > 1 -- all", "cannot be part of it"),
        ("plan AND amount", "logical boolean operation"),
    ],
)
def test_a_formula_that_cannot_be_is_refused_naming_what_is_wrong(formula: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_formula(formula, LOAN)
    assert caught.value.field == "expression"
    assert said in caught.value.message


def test_a_row_that_the_engine_fails_on_is_one_row() -> None:
    rows = pa.table({**{n: ROWS[n] for n in ROWS.column_names if n != "in.plan"}, "in.plan": ["1", "two", "3", None]})
    found = evaluate("cast(plan as int)", LOAN, rows)
    assert [1.0, None, 3.0, None] == [value for value, _ in found]
    assert "Cannot cast string 'two'" in str(found[1][1])
    assert "is missing" in str(found[3][1])


def test_rows_at_fault_are_looked_for_one_by_one_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formulas, "MAX_ASKED", 5)
    rows = pa.table({"in.plan": ["two"] * 64})
    found = evaluate("cast(plan as int)", LOAN, rows)
    assert 64 == sum(value is None and bool(error) for value, error in found)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(
        st.tuples(st.none() | st.integers(-(2**40), 2**40), st.none() | st.integers(-(2**40), 2**40)),
        min_size=1,
        max_size=20,
    )
)
def test_a_quotient_is_that_of_numbers_row_by_row_in_order(pairs: list[tuple[int | None, int | None]]) -> None:
    rows = pa.table(
        {
            "in.amount": pa.array([a for a, _ in pairs], pa.int64()),
            "in.income": pa.array([b for _, b in pairs], pa.int64()),
        }
    )
    expected = [a / b if a is not None and b else None for a, b in pairs]
    assert expected == [value for value, _ in evaluate("amount / income", LOAN, rows)]


def scored(objects: ObjectStore, version: Version) -> list[dict[str, Any]]:
    return DeltaTable(objects.table_url(layout.metric_table(version.id))).to_pyarrow_table().to_pylist()


def test_each_logged_row_is_scored_by_a_formula_once(objects: ObjectStore) -> None:
    version = given_version(objects, [number("x"), category("plan")], None)
    attach(Documents(objects), version.id, MetricSpec("high", None, "<=", None, "x > 10"))
    attach(Documents(objects), version.id, MetricSpec("double", None, "<=", 10.0, "x * 2"))
    given_log(objects, version, {"x": [1.0, 99.0, math.nan], "plan": ["a"] * 3})

    def nobody(*_: object) -> None:
        raise AssertionError("a formula asks no model")

    scoring = Scoring(objects, nobody)  # type: ignore[arg-type]
    for _ in range(2):
        assert scoring.round() is None
    found = {(r["metric"], r["request_id"]): (r["value"], r["healthy"]) for r in scored(objects, version)}
    assert len(scored(objects, version)) == 6
    assert {
        ("high", "req-0"): (0.0, True),
        ("high", "req-1"): (1.0, False),
        ("double", "req-0"): (2.0, True),
        ("double", "req-1"): (198.0, False),
    }.items() <= found.items()
    assert found["double", "req-2"] == (None, None)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (MetricSpec("m", None, "<=", 1.0, "amount > 2"), "has no threshold"),
        (MetricSpec("m", None, "<=", None, "amount + 2"), "needs a threshold"),
    ],
)
def test_a_threshold_is_given_for_numbers_and_only_for_them(spec: MetricSpec, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        check_metric_formula(spec, LOAN)


def test_a_formula_is_kept_as_it_was_given() -> None:
    spec = MetricSpec("m", None, ">", None, "amount > 2")
    assert MetricSpec.from_document(spec.to_document()) == spec
    assert "not (amount > 2)" == spec.condition
