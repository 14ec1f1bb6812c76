"""The health of some rows only, such as those of one stage or variant of a sequence: counted from the log when it is asked for."""

from collections.abc import Sequence
from datetime import datetime

from headrace_controller.health.aggregate import of_log
from headrace_controller.health.buckets import Bucket, buckets_of
from headrace_controller.health.plan import Plan
from headrace_controller.health.reader import bucket_starts
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.reader import LogQuery, LogReader
from headrace_functions.errors import InvalidInput
from headrace_functions.version import Version

MOST_ROWS = 200_000
"""Rows that are counted for one answer."""


def health_of_rows(
    logs: LogReader, version: Version, plan: Plan, where: str, since: datetime, until: datetime, step: int
) -> Sequence[Bucket]:
    """As ``HealthReader.series``, of the rows that satisfy ``where``; without metrics, which are not in the log.

    Raises ``InvalidInput`` for what is no condition over the log, or where more than ``MOST_ROWS`` rows satisfy it.
    """
    starts = bucket_starts(since, until, step)
    query = LogQuery(since=since, until=until, where=where)
    rows = logs.table_of(version.id, query, MOST_ROWS + 1)
    if rows is not None and rows.num_rows > MOST_ROWS:
        raise InvalidInput(
            f"where: more than {MOST_ROWS:,} rows of this period satisfy the condition",
            field="since",
            expected="a shorter period, or a narrower condition",
        )
    frame = of_log(plan, version.signature, rows, step) if rows is not None and rows.num_rows else None
    return list(buckets_of(plan, frame, starts, step).values())


def of_stage(sequence: str, stage: int | None, variant: str | None) -> str:
    """The condition of the rows that came through a sequence, one of its stages (from 1) or variants.

    Raises ``InvalidInput`` for a stage or variant without a sequence.
    """
    if not sequence:
        if stage is not None or variant:
            field = "stage" if stage is not None else "variant"
            raise InvalidInput(f"{field}: a sequence is required", field=field, hint="name the sequence as well")
        return ""
    parts = [f"sequence = {literal(sequence)}"]
    if stage is not None:
        parts.append(f"stage = {stage - 1}")
    if variant:
        parts.append(f"variant = {literal(variant)}")
    return " AND ".join(parts)
