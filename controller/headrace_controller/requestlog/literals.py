"""Values as SQL of the log's engine (DataFusion), for conditions over a log."""

from datetime import datetime
from typing import Any

from headrace_controller import clock


def literal(value: Any) -> str:
    """A truth value, a number, a time to the microsecond, or the text of anything else, with its quotes doubled."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, datetime):
        return f"arrow_cast('{clock.show(value, 'microseconds')}', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    return "'" + str(value).replace("'", "''") + "'"
