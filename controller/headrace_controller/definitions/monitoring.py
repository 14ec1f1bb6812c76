"""``monitoring`` of a model: metrics of each row, and when drift counts. A bare list is the metrics alone."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from headrace_controller.definitions.fields import Document, Name, located
from headrace_controller.monitoring.specs import MetricSpec
from headrace_functions.drift_rules import DriftRules


class MetricDefinition(Document):
    """One metric of a version; kept with the version and read by the monitoring that computes it."""

    name: Name
    config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_metric(self) -> "MetricDefinition":
        located(lambda config: MetricSpec.of_config(self.name, config))(self.config)
        return self


class FieldLimits(Document):
    """When a difference of one field counts."""

    effect: float = Field(ge=0, le=1)


class MonitoringDefinition(Document):
    """Metrics, and what ``headrace analyze drift`` goes by."""

    metrics: list[MetricDefinition] = Field(default_factory=list)
    alpha: float = Field(default=0.05, gt=0, le=0.5)
    effect: float = Field(default=0.0, ge=0, le=1)
    exclude: list[str] = Field(default_factory=list, max_length=5000)
    fields: dict[str, FieldLimits] = Field(default_factory=dict, max_length=5000)
    grouping: str | None = None
    time: str = "received"
    window: str = "24h"

    @model_validator(mode="after")
    def _is_possible(self) -> "MonitoringDefinition":
        located(lambda _: self.to_rules())(self)
        return self

    def to_rules(self) -> DriftRules:
        limits = {name: one.effect for name, one in self.fields.items()}
        return DriftRules(self.alpha, self.effect, tuple(self.exclude), limits, self.grouping, self.time, self.window)

    @model_serializer(mode="plain")
    def _as_given(self) -> Any:
        """A list where it holds metrics alone, as it may be written."""
        metrics = [metric.to_document() for metric in self.metrics]
        rules = self.to_rules().to_document()
        if not rules:
            return metrics
        if "fields" in rules:
            rules["fields"] = {name: {"effect": effect} for name, effect in rules["fields"].items()}
        return {"metrics": metrics, **rules} if metrics else rules


def _block(value: Any) -> Any:
    return {"metrics": value} if isinstance(value, list) else value


Monitoring = Annotated[MonitoringDefinition, BeforeValidator(_block)]


def metrics_in(document: Any) -> list[Any]:
    """The metrics of ``monitoring`` as a definition's document has it."""
    return list(document.get("metrics", ())) if isinstance(document, Mapping) else list(document or ())
