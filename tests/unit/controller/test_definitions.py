"""Definitions: what is accepted, and how errors say where they are."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.definitions import (
    DeploymentConfiguration,
    ModelDefinition,
    SequenceDefinition,
    check_document,
    read,
    read_text,
)
from headrace_controller.definitions.fields import parse_duration, show_duration
from headrace_functions.drift_rules import DriftRules
from headrace_functions.errors import InvalidInput, NotFound
from headrace_functions.quality_rules import QualityRule

MODEL = """
kind: Model
name: churn
framework: sklearn
payload: [model.joblib]
requirements: requirements.txt
training-data: train.csv
target: churned
contract:
  name: predict
  inputs: {age: {shape: scalar, type: int64, profile: numerical}, plan: {shape: scalar, type: string, profile: categorical}}
  outputs: {probability: {shape: scalar, type: double, profile: numerical}}
metadata: {team: growth, release: 1.5, urgent: true}
monitoring: [{name: outliers, config: {monitoring-model: churn-outliers:1, threshold: 0.97, operator: "<="}}]
scaling: {min-replicas: 0, max-replicas: 4, idle-timeout: 60s, concurrency: 1}
"""

HYDROSPHERE = """
kind: Model
name: census
runtime: hydrosphere/serving-runtime-python-3.7:3.0.0
install-command: pip install -r requirements.txt
training-data: data/train.csv
payload:
  - src/
  - requirements.txt
contract:
  name: infer
  inputs:
    age: {shape: scalar, type: int64, profile: numerical}
    image: {shape: [28, 28, 1], type: float32, profile: image}
  outputs:
    label: {shape: scalar, type: int64}
monitoring:
  - name: drift
    config: {monitoring-model: census-metric:1, threshold: 0.5, operator: ">="}
---
kind: Application
name: census-app
singular:
  model: census:1
---
kind: Application
name: census-pipeline
pipeline:
  - signature: prepare
    model: prepare:1
  - signature: infer
    modelservices:
      - {model: census:1, weight: 80}
      - {model: census:2, weight: 20}
---
kind: DeploymentConfiguration
name: large
hpa: {minReplicas: 2, maxReplicas: 10, cpuUtilization: 80}
container: {resources: {limits: {cpu: "4", memory: 4g}}, env: {LEVEL: debug}}
pod: {nodeSelector: {disk: ssd}}
"""


def refused(text: str) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        read_text(text, "file.yaml")
    return caught.value


def test_the_model_of_the_design_page_is_read_with_types_durations_and_text_metadata() -> None:
    [(found, _)] = read_text(MODEL)
    assert isinstance(found, ModelDefinition)
    assert [f.dtype.name for f in found.contract.input_fields()] == ["int64", "string"]
    assert found.scaling.to_scaling().idle_timeout == 60.0
    assert found.metadata == {"team": "growth", "release": "1.5", "urgent": "true"}
    assert found.target == ["churned"]


def test_hydrosphere_definitions_are_accepted_as_they_are() -> None:
    model, single, pipeline, deployment = (d for d, _ in read_text(HYDROSPHERE))
    assert isinstance(model, ModelDefinition)
    assert model.requirement_files() == ("requirements.txt",)
    assert "ignored" in model.notes()[0]
    assert isinstance(single, SequenceDefinition)
    assert [s.weight_of(v) for s in single.pipeline for v in s.variants] == [100]
    assert isinstance(pipeline, SequenceDefinition)
    assert [[s.weight_of(v) for v in s.variants] for s in pipeline.pipeline] == [[100], [80, 20]]
    assert isinstance(deployment, DeploymentConfiguration)
    assert deployment.hpa is not None
    assert deployment.hpa.max_replicas == 10


@pytest.mark.parametrize("text", [MODEL, HYDROSPHERE])
def test_a_definition_sent_as_json_is_the_definition_that_was_read(text: str) -> None:
    for definition, _ in read_text(text):
        assert check_document(definition.to_document()) == definition


def test_an_unknown_key_is_refused_with_document_line_path_and_the_nearest_known_key() -> None:
    error = refused(MODEL + "---\nkind: Model\nname: other\npayload: a\nscaling:\n  idle-timout: 3s\n")
    assert error.message.startswith("file.yaml, document 2, line 21: scaling.idle-timout: unknown key")
    assert error.hint == "did you mean 'idle-timeout'?"


@pytest.mark.parametrize(
    ("text", "field", "says"),
    [
        ("kind: Modle\nname: x", "kind", "unknown kind 'Modle'"),
        ("name: x", "kind", "'kind' is missing"),
        ("- a\n- b", "kind", "not a mapping"),
        ("kind: Model\nname: Churn_1\npayload: a", "name", "not a valid name"),
        ("kind: Model\nname: x", "payload", "required"),
        (
            "kind: Model\nname: x\npayload: a\nscaling: {idle-timeout: 3 parsecs}",
            "scaling.idle-timeout",
            "not a duration",
        ),
        (
            "kind: Model\nname: x\npayload: a\nscaling: {min-replicas: 3, max-replicas: 2}",
            "scaling",
            "below min-replicas",
        ),
        (
            "kind: Model\nname: x\npayload: a\ncontract: {inputs: {q: {type: quaternion}}}",
            "contract.inputs.q",
            "unknown type 'quaternion'",
        ),
        (
            "kind: Model\nname: x\npayload: a\ncontract: {inputs: {q: {type: int, shape: [0]}}}",
            "contract.inputs.q",
            "shape",
        ),
        ("kind: Model\nname: x\npayload: a\ntraining-data: s3://b/train.csv", "training-data", "is not a file"),
        ("kind: Model\nname: x\npayload: a\ninstall-command: apt install jq", "install-command", "cannot be honoured"),
        (
            "kind: Sequence\nname: x\npipeline: [[{model: a:1, weight: 80}, {model: a:2, weight: 30}]]",
            "pipeline.0",
            "sum to 110",
        ),
        ("kind: Sequence\nname: x\npipeline: [[{model: a:1, shadow: true}]]", "pipeline.0", "only shadows"),
        ("kind: Sequence\nname: x\npipeline: [[{model: 'a:0'}]]", "pipeline.0.variants.0.model", "not a version"),
        ("kind: Sequence\nname: x\nsingular: {model: a:1}\npipeline: [[{model: a:1}]]", "singular", "both"),
        (
            "kind: Application\nname: x\nsingular: {model: a:1}\nkafka-streaming: [{source-topic: a}]",
            "kafka-streaming",
            "cannot be honoured",
        ),
        ("kind: Model\nname: x\nname: y\npayload: a", "name", "appears twice"),
    ],
)
def test_a_wrong_definition_is_refused_naming_the_field(text: str, field: str, says: str) -> None:
    error = refused(text)
    assert error.field == field
    assert says in error.message


def test_text_that_is_no_yaml_is_refused_with_its_line() -> None:
    assert "line 3: not YAML" in refused("kind: Model\nname: x\n  : [").message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("kind: Model\nname: \x00", "the character U+0000 may not be in it"),
        ("kind: Model\nname: 2026-13-01", "a value cannot be read"),
        ("kind: [Model]\nname: x", "unknown kind"),
        ("kind: " + "[" * 3000, "nested too deeply"),
    ],
)
def test_yaml_that_its_library_stumbles_over_is_refused_in_words(text: str, says: str) -> None:
    assert says in refused(text).message


def test_yaml_cannot_make_python_objects() -> None:
    assert "not YAML" in refused("kind: !!python/object/apply:os.system ['true']\nname: x").message


def test_a_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "b.yml").write_text("kind: Model\nname: second\npayload: p")
    (tmp_path / "a.yaml").write_text("kind: Model\nname: first\npayload: p")
    (tmp_path / "notes.txt").write_text("not read")
    assert [d.name for d, _ in read(str(tmp_path))] == ["first", "second"]


def test_a_path_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no such file"):
        read(str(tmp_path / "none.yaml"))


@given(st.integers(min_value=1, max_value=10**9).map(lambda ms: ms / 1000))
def test_a_duration_shown_is_the_duration_read(seconds: float) -> None:
    assert parse_duration(show_duration(seconds)) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "0s", "-1", "1 week", True, None, float("inf"), "nan"])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(InvalidInput):
        parse_duration(text)


@pytest.mark.parametrize(
    "image", ["registry.example/churn:3", "localhost:5000/team/churn:v1.2", "churn@sha256:" + "a" * 64, "a/b:1@sha256:" + "0" * 64]
)  # fmt: skip
def test_an_image_with_a_fixed_tag_or_digest_is_taken(image: str) -> None:
    assert ModelDefinition.model_validate({"name": "m", "payload": ["f"], "image": image}).image == image


@pytest.mark.parametrize(
    "image", ["churn", "churn:latest", "localhost:5000/churn", "churn:", "-x:1", "a b:1", "https://registry.example/x:1;rm"]
)  # fmt: skip
def test_an_image_that_may_be_another_one_tomorrow_is_refused(image: str) -> None:
    error = refused(f"kind: Model\nname: m\npayload: [f]\nimage: {image!r}\n")
    assert "fixed tag or digest" in error.message
    assert "must stay what it is" in str(error.hint)


MONITORED = MODEL.replace(
    "monitoring: [", "monitoring:\n  alpha: 0.01\n  exclude: [plan]\n  fields: {age: {effect: 0.2}}\n  metrics: ["
)


def test_monitoring_may_say_when_drift_counts_besides_the_metrics() -> None:
    ((definition, _),) = read_text(MONITORED)

    assert isinstance(definition, ModelDefinition)
    assert definition.monitoring.to_rules() == DriftRules(alpha=0.01, exclude=("plan",), fields={"age": 0.2})
    assert [m.name for m in definition.monitoring.metrics] == ["outliers"]
    assert check_document(definition.to_document()) == definition


def test_monitoring_may_have_data_quality_rules_and_say_which_window_and_time_count() -> None:
    more = "monitoring:\n  window: 10000rows\n  time: caller_time\n  rules: [{rule: range, field: age, min: 0}, {rule: rows, min: 5}]\n  metrics: ["
    ((definition, _),) = read_text(MODEL.replace("monitoring: [", more))

    assert isinstance(definition, ModelDefinition)
    assert definition.monitoring.quality() == (QualityRule("range", "age", min=0), QualityRule("rows", min=5))
    assert definition.monitoring.to_rules() == DriftRules(time="caller_time", window="10000rows")
    assert check_document(definition.to_document()) == definition


def test_a_list_of_metrics_stays_a_list_so_that_the_same_definition_is_the_same_version() -> None:
    ((definition, _),) = read_text(MODEL)

    (metric,) = definition.to_document()["monitoring"]
    assert metric["name"] == "outliers"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("alpha: 0", "monitoring.alpha"),
        ("effect: 2", "monitoring.effect"),
        ("alfa: 0.1", "did you mean 'alpha'?"),
        ("fields: {age: {efect: 0.2}}", "did you mean 'effect'?"),
        ("{exclude: [age], grouping: age}", "monitoring.grouping"),
        ("window: a week", "monitoring.window"),
        ("rules: [{rule: range, field: age}]", "monitoring.rules.min"),
        ("rules: [{rule: rang, field: age}]", "is not a rule: 'rang'"),
        ("rules: [{rule: range, feild: age, min: 0}]", "did you mean 'field'?"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_its_place(rule: str, said: str) -> None:
    text = (
        MODEL.split("monitoring:", maxsplit=1)[0]
        + f"monitoring: {rule if rule.startswith('{') else '{' + rule + '}'}\n"
    )

    with pytest.raises(InvalidInput) as caught:
        read_text(text)

    assert said in f"{caught.value.message} {caught.value.details()}"
