"""Charts: round ticks, gaps that stay gaps, everything escaped, a label that says the finding."""

import math
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_functions import charts
from headrace_functions.charts import Cell, Line, Mark, TimeChart

NUMBERS = st.floats(-1e12, 1e12)
VALUES = st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=50)


@given(low=NUMBERS, span=st.floats(1e-6, 1e12))
def test_ticks_are_round_and_enclose_the_values(low: float, span: float) -> None:
    found = charts.ticks(low, low + span)
    step = found[1] - found[0]
    assert found[0] <= low + abs(low) * 1e-9 + step * 1e-6
    assert found[-1] >= low + span - abs(low + span) * 1e-9 - step * 1e-6
    assert 2 <= len(found) <= 7


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.8421, "0.842"), (64.76, "64.8"), (6476, "6,476"), (0, "0"), (-2.5, "−2.5"), (1e6, "1,000,000"), (math.inf, "∞"), (math.nan, "–"), (0.00001234, "1.23e−5")],
)  # fmt: skip
def test_numbers_have_three_significant_digits_and_a_true_minus(value: float, text: str) -> None:
    assert text == charts.number(value)


@given(values=VALUES, label=st.text(max_size=40))
def test_every_chart_is_well_formed_whatever_the_values_and_names(values: list[float | None], label: str) -> None:
    label = "".join(c for c in label if c.isprintable())
    levels = [None if v is None else int(v) % 4 for v in values]
    cells = [Cell(level, label, f"/x?a={label}") for level in levels]
    chart = TimeChart(label, [Line("a", values)], [(0.0, label)], " ms", limit=3.0, marks=[Mark(0.5, label, True)])
    for drawn in (
        charts.strip(cells, label),
        charts.heat_row(label, cells, values),
        charts.spark(values, label),
        charts.time_chart(chart),
        charts.distribution([0.5, 0.5], [v or 0.0 for v in values], [label], label),
    ):
        ElementTree.fromstring(drawn)


def test_a_gap_is_a_gap_and_never_a_line_to_zero() -> None:
    drawn = charts.spark([1.0, 1.0, None, 1.0, 1.0], "x")
    assert 2 == drawn.count('class="ln a"')


def test_a_value_without_neighbours_is_a_dot_and_a_dash_within_the_chart() -> None:
    alone = charts.time_chart(TimeChart("errors", [Line("a", [5.0])], band=[(1.0, 9.0)]))
    assert 1 == alone.count('<circle class="pt a" cx="0%"')
    assert 'd="M0.0 ' in alone
    between = charts.time_chart(TimeChart("errors", [Line("a", [1.0, 2.0, None, 5.0, None, 1.0, 2.0])]))
    assert 1 == between.count("<circle")
    assert 'd="M98.80 8.00L100.00 8.00"' in charts.spark([None, None, 3.0], "x")


def test_a_label_below_a_column_is_where_its_range_begins_and_never_part_of_a_number() -> None:
    drawn = charts.distribution([0.5, 0.5], [0.5, 0.5], ["−0.3706 … −0.1234", "a category with a long name"], "x")
    assert ">−0.3706</text>" in drawn
    assert ">a category wi…</text>" in drawn


def test_quiet_cells_are_one_rectangle_and_each_loud_one_is_a_link() -> None:
    drawn = charts.heat_row("age", [Cell(0)] * 20 + [Cell(3, "age, severe", "/requests"), Cell(3, "age, severe", "/requests")], [0.0] * 22)  # fmt: skip
    assert 1 == drawn.count('class="h0"')
    assert 2 == drawn.count('<a href="/requests"')


def test_a_chart_without_values_says_so() -> None:
    assert "no data" in charts.time_chart(TimeChart("errors", [Line("a", [None, None])]))


def test_a_waterfall_ends_at_its_total() -> None:
    assert 4 == len(charts.waterfall(0.2, [0.3, -0.1, 0.05], 0.45))
