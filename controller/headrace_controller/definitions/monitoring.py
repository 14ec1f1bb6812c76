"""``monitoring`` of a model: metrics of each row, and when drift counts. A bare list is the metrics alone."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from headrace_controller.definitions.fields import Document, Name, Scalar, located
from headrace_controller.monitoring.specs import MetricSpec
from headrace_functions.drift_rules import DriftRules
from headrace_functions.log_conditions import MAX_WHERE
from headrace_functions.quality_rules import MAX_RULES, QualityRule


def _metric_name(value: Any) -> Any:
    """Hydrosphere's metrics are called as people call them: ``Custom Metric`` is ``custom-metric``."""
    return "-".join(value.lower().split()) if isinstance(value, str) else value


class MetricDefinition(Document):
    """One metric of a version; kept with the version and read by the monitoring that computes it."""

    name: Annotated[Name, BeforeValidator(_metric_name)]
    config: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _is_a_metric(self) -> "MetricDefinition":
        located(lambda config: MetricSpec.of_config(self.name, config))(self.config)
        return self


class FieldLimits(Document):
    """When a difference of one field counts."""

    effect: float = Field(ge=0, le=1)


class RuleDefinition(Document):
    """A data-quality rule; which keys it takes depends on ``rule``."""

    rule: str
    name: str = Field(default="", max_length=100)
    field: str = ""
    min: float | None = None
    max: float | None = None
    values: list[Scalar] = Field(default_factory=list)
    pattern: str = ""
    where: str = Field(default="", max_length=MAX_WHERE)
    within: str = ""
    allow: float | None = None
    severity: str = "medium"

    @model_validator(mode="after")
    def _is_possible(self) -> "RuleDefinition":
        located(lambda _: self.to_rule())(self)
        return self

    def to_rule(self) -> QualityRule:
        return QualityRule.from_document(self.model_dump(exclude_defaults=True))


class MonitoringDefinition(Document):
    """Metrics, data-quality rules, and what analyses go by."""

    metrics: list[MetricDefinition] = Field(default_factory=list)
    alpha: float = Field(default=0.05, gt=0, le=0.5)
    effect: float = Field(default=0.0, ge=0, le=1)
    exclude: list[str] = Field(default_factory=list, max_length=5000)
    fields: dict[str, FieldLimits] = Field(default_factory=dict, max_length=5000)
    grouping: str | None = None
    time: str = "received"
    window: str = "24h"
    rules: list[RuleDefinition] = Field(default_factory=list, max_length=MAX_RULES)

    @model_validator(mode="after")
    def _is_possible(self) -> "MonitoringDefinition":
        located(lambda _: self.to_rules())(self)
        return self

    def to_rules(self) -> DriftRules:
        limits = {name: one.effect for name, one in self.fields.items()}
        return DriftRules(self.alpha, self.effect, tuple(self.exclude), limits, self.grouping, self.time, self.window)

    def quality(self) -> tuple[QualityRule, ...]:
        return tuple(rule.to_rule() for rule in self.rules)

    @model_serializer(mode="plain")
    def _as_given(self) -> Any:
        """A list where it holds metrics alone, as it may be written."""
        metrics = [metric.to_document() for metric in self.metrics]
        rules = self.to_rules().to_document()
        if self.rules:
            rules["rules"] = [rule.to_document() for rule in self.quality()]
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
