"""``kind: Sequence`` (Hydrosphere: ``Application``): stages of weighted variants and shadows behind one public name."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from headrace_controller.definitions.fields import Document, Duration, Fields, Name, Text, located, refuse
from headrace_controller.definitions.validation_errors import shown
from headrace_functions.names import Reference

MAX_STAGES = 50
MAX_VARIANTS = 20  # of one stage, shadows included
_STREAMING = ("streaming", "kafka-streaming", "kafkaStreaming")


class VariantDefinition(Document):
    """One version of a stage: its share of 100, or a shadow that gets a copy of every request."""

    also_known: ClassVar[Mapping[str, str]] = {
        "model-version": "model",
        "modelversion": "model",
        "deploymentConfiguration": "deployment-configuration",
    }

    model: Annotated[str, BeforeValidator(located(lambda text: str(Reference.parse(str(text).replace("_", "-")))))]
    weight: int | None = Field(default=None, ge=0, le=100)
    shadow: bool = False
    signature: str | None = None
    deployment_configuration: Name | None = None

    @model_validator(mode="after")
    def _shadow_has_no_weight(self) -> "VariantDefinition":
        if self.shadow and self.weight:
            raise refuse(
                f"{self.model} is a shadow and has the weight {self.weight}",
                hint="a shadow answers nobody: remove its weight",
            )
        return self


def _as_stage(value: Any) -> Any:
    """A stage is written as a list of variants, as one variant, or (Hydrosphere) as a mapping that holds ``modelservices``."""
    if isinstance(value, list):
        return {"variants": value}
    if isinstance(value, StageDefinition):
        return value
    if not isinstance(value, Mapping):
        raise refuse(
            f"{shown(value)} is not a stage", expected="a variant such as {model: churn:1}, or a list of variants"
        )
    for key in ("modelservices", "modelservice", "model-services", "model-variants"):
        if key in value:
            held = value[key]
            rest = {k: v for k, v in value.items() if k not in (key, "signature")}
            return {"variants": held if isinstance(held, list) else [held], **rest}
    return value if "variants" in value else {"variants": [value]}


class StageDefinition(Document):
    """Variants whose weights sum to 100 (a single one needs none) and any number of shadows."""

    variants: list[VariantDefinition] = Field(min_length=1, max_length=MAX_VARIANTS)

    @model_validator(mode="after")
    def _weights_sum_to_100(self) -> "StageDefinition":
        weighted = [v for v in self.variants if not v.shadow]
        if not weighted:
            raise refuse("a stage has only shadows, nobody answers", hint="give one variant no 'shadow'")
        total = sum(self.weight_of(v) for v in weighted)
        if total != 100:
            got = ", ".join(f"{v.model}={self.weight_of(v)}" for v in weighted)
            raise refuse(
                f"weights of a stage sum to {total}, not 100", expected="weights from 0 to 100 that sum to 100", got=got
            )
        return self

    def weight_of(self, variant: VariantDefinition) -> int:
        """The share of a variant; the only one of a stage has all of it."""
        if variant.weight is not None:
            return variant.weight
        return 100 if sum(not v.shadow for v in self.variants) == 1 else 0


class SequenceDefinition(Document):
    """``pipeline`` is the list of stages, ``singular`` the one stage of a sequence that has no other."""

    kind: Literal["Sequence", "Application"] = "Sequence"
    name: Name
    pipeline: list[Annotated[StageDefinition, BeforeValidator(_as_stage)]] = Field(min_length=1, max_length=MAX_STAGES)
    inputs: Fields = Field(default_factory=dict)
    timeout: Duration = 60.0
    metadata: dict[str, Text] = Field(default_factory=dict)
    also_known: ClassVar[Mapping[str, str]] = {"stages": "pipeline"}

    @model_validator(mode="before")
    @classmethod
    def _singular_is_one_stage(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        streaming = next((key for key in _STREAMING if data.get(key)), None)
        if streaming:
            raise refuse(
                f"{streaming} cannot be honoured: a sequence is called over HTTP",
                key=streaming,
                hint=f"remove {streaming}, and read and write topics by a document of kind: Stream (docs/kafka.md)",
            )
        data = {key: value for key, value in data.items() if key not in _STREAMING and value is not None}
        if "singular" not in data:
            return data
        if "pipeline" in data:
            raise refuse("a sequence has either 'singular' or 'pipeline', this one has both", key="singular")
        rest = {k: v for k, v in data.items() if k != "singular"}
        return {**rest, "pipeline": [data["singular"]]}
