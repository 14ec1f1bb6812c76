"""Metrics of versions: what they are, what they said, and attaching one to a version that is there already."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.monitoring.attached import attach, detach, metrics_of
from headrace_controller.monitoring.specs import VALUE, MetricSpec
from headrace_controller.monitoring.values import Health, total
from headrace_controller.requestlog.formulas import check_formula
from headrace_controller.requestlog.literals import literal
from headrace_controller.requestlog.reader import MAX_ROWS, LogQuery, LogReader
from headrace_functions.errors import InvalidInput, NotFound, NotReady
from headrace_functions.names import VersionId
from headrace_functions.signature import Signature
from headrace_functions.version import Version

RECENT = timedelta(days=7)
"""How far back from the last value health is told."""

Values = Sequence[Mapping[str, Any]]


def check_metric_formula(spec: MetricSpec, signature: Signature) -> None:
    """Raises ``InvalidInput`` unless the formula of a metric fits a signature, and its threshold what it gives."""
    spec.check_kind(boolean=check_formula(spec.expression, signature))


@dataclass(frozen=True, slots=True)
class MetricState:
    """A metric and what its values of ``RECENT`` before the last one say."""

    spec: MetricSpec
    health: Health
    last: Mapping[str, Any] | None


class Metrics:
    def __init__(self, catalog: Catalog, values: LogReader) -> None:
        self._catalog = catalog
        self._values = values
        self._attached: Callable[[], None] = lambda: None

    def on_attach(self, attached: Callable[[], None]) -> None:
        """Call ``attached`` after each change of metrics: there may be something in the log to score. It must return at once."""
        self._attached = attached

    def select(self, version: VersionId) -> list[MetricState]:
        """The metrics of a version by name."""
        return [self._state(version, spec) for spec in metrics_of(self._catalog.documents, self._released(version))]

    def get(self, version: VersionId, name: str) -> MetricState:
        return self._state(version, self._spec(version, name))

    def values(self, version: VersionId, name: str, limit: int = 100) -> Values:
        """The newest values first; none where nothing was scored yet."""
        return self._values.query(version, LogQuery(where=f"metric = '{self._spec(version, name).name}'", limit=limit))

    def history(self, version: VersionId, name: str) -> list[Health]:
        """Health by hour of ``RECENT`` before the last value, the first hour first; counted in the table, not here."""
        last = self.values(version, name, 1)
        return self._hours(version, name, last[0]) if last else []

    def of_request(
        self, version: VersionId, request_id: str, since: datetime | None = None, until: datetime | None = None
    ) -> Values:
        """What the metrics said of each row of a request that came in this time."""
        where = f"request_id = {literal(request_id)}"
        return self._values.query(version, LogQuery(since, until, where, limit=MAX_ROWS))

    def attach(self, version: VersionId, spec: MetricSpec) -> MetricState:
        """Score a version by a metric from now on, its log included.

        The metric's model must be there and give ``value``; a formula must fit the version's signature.
        """
        scored = self._released(version)
        if spec.model is None:
            check_metric_formula(spec, scored.signature)
        elif self._released(spec.model).signature.output(VALUE) is None:
            raise InvalidInput(
                f"{spec.model} has no output {VALUE!r}", field="model", expected=f"a model with an output {VALUE!r}"
            )
        attach(self._catalog.documents, version, spec)
        self._attached()
        return self._state(version, spec)

    def detach(self, version: VersionId, name: str) -> None:
        detach(self._catalog.documents, self._released(version), name)

    def _spec(self, version: VersionId, name: str) -> MetricSpec:
        for spec in metrics_of(self._catalog.documents, self._released(version)):
            if spec.name == name:
                return spec
        raise NotFound(f"{version} has no metric {name!r}", field="metric", hint=f"headrace metric list {version}")

    def _state(self, version: VersionId, spec: MetricSpec) -> MetricState:
        found = self._values.query(version, LogQuery(where=f"metric = '{spec.name}'", limit=1))
        hours = self._hours(version, spec.name, found[0]) if found else []
        return MetricState(spec, total(hours), found[0] if found else None)

    def _hours(self, version: VersionId, name: str, last: Mapping[str, Any]) -> list[Health]:
        since = clock.parse(last["received"], field="received") - RECENT
        found = self._values.hourly(version, name, since)
        return [Health(f"{h['start']:%Y-%m-%dT%H}:00:00Z", h["rows"], h["unhealthy"], h["errors"]) for h in found]

    def _released(self, version: VersionId) -> Version:
        found = self._catalog.get(version)
        if found.version is None:
            raise NotReady(f"{version} is {found.state}, so it has no metrics")
        return found.version
