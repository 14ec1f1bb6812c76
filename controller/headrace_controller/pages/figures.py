"""Numbers and times as pages write them: three significant digits, thousands by comma, a true minus."""

from typing import Any

from headrace_functions.charts import number


def figure(value: Any) -> str:
    """``–`` for what is not known, which is never 0."""
    if value is None:
        return "–"
    return number(float(value)) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def short_time(text: Any) -> str:
    """``2026-11-22T09:30:00.125Z`` without fractions, as people read it; the page's title says UTC."""
    return str(text)[:19].replace("T", " ") if text else ""


def change(before: float, after: float) -> str:
    return f"{number(before)} → {number(after)}"


def csv_cell(value: Any) -> str:
    """Text of a cell of a spreadsheet that is never taken for a formula."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in "=+-@\t\r" and text else text
