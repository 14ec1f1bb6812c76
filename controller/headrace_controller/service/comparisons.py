"""Comparing two versions on requests that both have answered: as variant and shadow of a sequence, or by a replay."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.comparison.paired import Comparison, Pair, compare
from headrace_controller.comparison.pairs import common_outputs, health_by_row, labels_by_row, paired_rows
from headrace_controller.requestlog.reader import LogReader
from headrace_functions.errors import InvalidInput, NotFound, NotReady
from headrace_functions.names import VersionId
from headrace_functions.signature import Field
from headrace_functions.version import Version


class Comparisons:
    def __init__(self, catalog: Catalog, logs: LogReader, values: LogReader) -> None:
        self._catalog = catalog
        self._logs = logs
        self._values = values

    def of_log(
        self, first: VersionId, second: VersionId, since: datetime | None = None, until: datetime | None = None
    ) -> Comparison:
        """Compare two versions on the newest rows of a window that both have in their logs.

        Raises ``InvalidInput`` for versions without a common output, ``NotFound`` where they share no row.
        """
        a, b = self.versions(first, second)
        outputs = self.outputs(a, b)
        pairs = paired_rows(self._logs, first, second, outputs, (since, until))
        if not pairs:
            raise NotFound(
                f"{first} and {second} have answered no request in common in this period",
                field="second",
                hint=f"make one of them a shadow of the other in a sequence, or: headrace replay {first} --to {second}",
            )
        return compare(outputs, self.completed(a, b, pairs, since), latency=True)

    def completed(self, a: Version, b: Version, pairs: Sequence[Pair], since: datetime | None) -> list[Pair]:
        """The pairs with what metrics and labels say of them."""
        health = [health_by_row(self._values, v.id, since) for v in (a, b)]
        objects = self._catalog.documents.objects
        labels = {**labels_by_row(objects, b), **labels_by_row(objects, a)}
        return [
            replace(
                p,
                healthy=_both(*(h.get((p.request_id, p.row), {}) for h in health)),
                label=labels.get((p.request_id, p.row)),
            )
            for p in pairs
        ]

    def versions(self, first: VersionId, second: VersionId) -> tuple[Version, Version]:
        if first == second:
            raise InvalidInput(
                f"second: {second} is also the first version", field="second", expected="another version"
            )
        return self._released(first), self._released(second)

    @staticmethod
    def outputs(a: Version, b: Version) -> list[Field]:
        """The outputs that are compared."""
        found = common_outputs(a, b)
        if not found:
            raise InvalidInput(
                f"{a.id} and {b.id} have no output with the same name, type and shape",
                field="second",
                expected=f"a version with one of the outputs {', '.join(f.name for f in a.signature.outputs)}",
            )
        return found

    def _released(self, version: VersionId) -> Version:
        found = self._catalog.get(version)
        if found.version is None:
            raise NotReady(f"{version} is {found.state}, so it cannot be compared")
        return found.version


def _both(first: Mapping[str, bool], second: Mapping[str, bool]) -> dict[str, tuple[bool, bool]]:
    return {name: (first[name], second[name]) for name in first if name in second}


def sentence(first: str, second: str, found: Comparison) -> str:
    """What a comparison comes to, the strongest figure first."""
    told = [f for f in (found.quality, *found.metrics, found.latency) if f is not None and f.better]
    agreement = min((o.agreement.value for o in found.outputs), default=1.0)
    agree = f"they agree on {agreement:.1%} of {found.rows:,} rows".replace("%", " %")
    if not told:
        open_figures = [f for f in (found.quality, *found.metrics) if f is not None and f.needed]
        more = (
            f"; a difference of {open_figures[0].name} would take about {open_figures[0].needed:,} rows to tell"
            if open_figures
            else ""
        )
        return f"No difference between {first} and {second} is told beyond chance: {agree}{more}."
    best = told[0]
    better = first if best.better == "first" else second
    unit = " ms" if best.name == "latency" else ""
    return f"{better} has the better {best.name}: {best.first:.4g}{unit} of {first}, {best.second:.4g}{unit} of {second}; {agree}."


def as_document(first: str, second: str, found: Comparison) -> dict[str, Any]:
    """A comparison as JSON: estimates as ``value``, ``low``, ``high``."""
    document = asdict(replace(found, apart={}, answers={}))
    del document["apart"], document["answers"]
    return {"first": first, "second": second, "sentence": sentence(first, second, found), **document}
