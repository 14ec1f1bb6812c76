"""Numbers and times as pages write them: three significant digits, thousands by comma, a true minus."""

from typing import Any

from headrace_functions.charts import number
from headrace_functions.classes import text_of


def figure(value: Any) -> str:
    """``–`` for what is not known, which is never 0."""
    if value is None:
        return "–"
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else text_of(value)


def chance(p: float | None) -> str:
    """A p-value; one that no test can tell from 0 is never 0."""
    return "–" if p is None else "< 10⁻¹⁶" if p < 1e-16 else f"{p:.1g}"


def short_time(text: Any) -> str:
    """``2026-11-22T09:30:00.125Z`` without fractions, as people read it; the page's title says UTC."""
    return str(text)[:19].replace("T", " ") if text else ""


def change(before: float, after: float) -> str:
    return f"{number(before)} → {number(after)}"


def csv_cell(value: Any) -> str:
    """Text of a cell of a spreadsheet that is never taken for a formula."""
    text = "" if value is None else text_of(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@\t\r" and text else text
