"""What is different about some rows: the conditions that set a selection of a log apart from the rest of its time.

A selection is a filter of the log, the rows that a metric calls unhealthy, or those whose answer the labels call wrong; the worst slice by
error, metric or realised performance is the first condition of the right selection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.comparison.paired import wrong_answers
from headrace_controller.comparison.pairs import health_by_row, labels_by_row
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery, LogReader
from headrace_controller.requestlog.segments import COMPARED, Segment, segments
from headrace_functions.errors import InvalidInput, NotReady
from headrace_functions.names import VersionId
from headrace_functions.version import Version

Key = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows; one of ``where``, ``metric`` and ``wrong``."""

    where: str = ""
    metric: str = ""
    """Rows that this metric calls unhealthy."""
    wrong: bool = False
    """Rows whose answer is not their label; of a number, the tenth that is furthest off."""
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        given = sum(map(bool, (self.where.strip(), self.metric, self.wrong)))
        if given != 1:
            raise InvalidInput(
                "where: no rows are selected" if not given else "where: more than one selection is given",
                field="where",
                expected="one of where (a boolean SQL expression), metric (a metric's name) and wrong (rows with a wrong answer)",
            )


@dataclass(frozen=True, slots=True)
class Apart:
    """``rows`` that were looked at (the newest), those ``selected``, and what sets them apart, the most telling first."""

    rows: int
    selected: int
    segments: Sequence[Segment]


class Segmentation:
    def __init__(self, catalog: Catalog, logs: LogReader, values: LogReader) -> None:
        self._catalog = catalog
        self._logs = logs
        self._values = values

    def of(self, version_id: VersionId, selection: Selection, most: int = 10) -> Apart:
        """Raises ``InvalidInput`` for a condition that does not parse, an unknown metric, or ``wrong`` without labels."""
        version = self._released(version_id)
        held = self._logs.columns(version_id)
        columns = tuple(c for c in held if c.startswith(("in.", "out.")) or c in COMPARED)
        window = (selection.since, selection.until)
        every = self._logs.rows(version_id, LogQuery(*window, "", ("request_id", "row", *columns), MAX_ROWS))
        if selection.where:
            query = LogQuery(*window, selection.where, ("request_id", "row"), MAX_ROWS)
            chosen = {(r["request_id"], r["row"]) for r in self._logs.rows(version_id, query)}
        elif selection.metric:
            chosen = self._unhealthy(version_id, selection)
        else:
            every, chosen = self._wrong(version, every)
        selected = np.array([(r["request_id"], r["row"]) in chosen for r in every], bool)
        said = selection.where + (" outcome" if selection.wrong else "")
        named = [c for c in columns if c not in said]
        found = segments({c: [r[c] for r in every] for c in named}, selected, most) if every else []
        return Apart(len(every), int(selected.sum()), found)

    def _unhealthy(self, version: VersionId, selection: Selection) -> set[Key]:
        health = health_by_row(self._values, version, selection.since)
        found = {key for key, said in health.items() if said.get(selection.metric) is False}
        if not any(selection.metric in said for said in health.values()):
            raise InvalidInput(
                f"metric: {version} has no value of a metric {selection.metric!r} in this period",
                field="metric",
                hint=f"headrace metric list {version}",
            )
        return found

    def _wrong(self, version: Version, every: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], set[Key]]:
        """The rows that have a label, and those of them whose answer is wrong."""
        labels = labels_by_row(self._catalog.documents.objects, version)
        known = [r for r in every if (r["request_id"], r["row"]) in labels]
        wrong = wrong_answers(version.signature.outputs, known, [labels[r["request_id"], r["row"]] for r in known])
        if not known or wrong is None:
            raise InvalidInput(
                f"wrong: no label says which answers of {version.id} are wrong in this period",
                field="wrong",
                hint=f"headrace labels push {version.id} FILE",
            )
        return known, {(r["request_id"], r["row"]) for r, bad in zip(known, wrong.tolist(), strict=True) if bad}

    def _released(self, version: VersionId) -> Version:
        found = self._catalog.get(version)
        if found.version is None:
            raise NotReady(f"{version} is {found.state}, so it has no log")
        return found.version
