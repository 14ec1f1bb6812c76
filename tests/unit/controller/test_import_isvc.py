"""InferenceServices of KServe become definitions that are checked as any other, and what is not carried over is named."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from headrace_controller.cli.importing import importing
from headrace_controller.definitions import check_document
from headrace_controller.projects.inference_service import convert
from headrace_functions.errors import InvalidInput


def service(predictor: dict[str, Any], name: str = "churn", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": "models", "labels": {"team": "growth"}},
        "spec": {"predictor": predictor, **spec},
    }


MODEL = {
    "model": {
        "modelFormat": {"name": "sklearn", "version": "1"},
        "storageUri": "s3://models/churn",
        "runtime": "kserve-sklearnserver",
    }
}


@pytest.mark.parametrize(
    ("kind", "framework"),
    [
        ("sklearn", "sklearn"),
        ("xgboost", "xgboost"),
        ("lightgbm", "lightgbm"),
        ("onnx", "onnx"),
        ("pytorch", "torch"),
        ("tensorflow", "tensorflow"),
        ("mlflow", "mlflow"),
    ],
)
@pytest.mark.parametrize("style", ["new", "old"])
def test_each_format_has_its_framework_in_either_style(kind: str, framework: str, style: str) -> None:
    told = {"storageUri": "s3://models/churn"}
    predictor = {kind: told} if style == "old" else {"model": {"modelFormat": {"name": kind}, **told}}
    (definition,) = convert(service(predictor)).definitions
    assert (framework, ["s3://models/churn"]) == (definition["framework"], definition["payload"])
    assert {"team": "growth"} == definition["metadata"]
    check_document(definition)


def test_replicas_concurrency_and_timeout_are_carried() -> None:
    found = convert(service({**MODEL, "minReplicas": 0, "maxReplicas": 5, "containerConcurrency": 4, "timeout": 30}))
    (definition,) = found.definitions
    assert {"min-replicas": 0, "max-replicas": 5, "concurrency": 4} == definition["scaling"]
    assert {"predict-timeout": "30s"} == definition["limits"]
    check_document(definition)


def test_kserves_default_of_one_replica_is_kept_and_said() -> None:
    found = convert(service(MODEL))
    assert {"min-replicas": 1} == found.definitions[0]["scaling"]
    assert [s for s in found.to_do if "min-replicas: 1" in s]


def test_every_key_without_a_counterpart_is_named_with_its_path() -> None:
    predictor = {
        "model": {**MODEL["model"], "env": [{"name": "A", "value": "b"}], "resources": {"limits": {"cpu": "1"}}, "args": ["--x"]},
        "serviceAccountName": "s3", "logger": {"mode": "all"}, "batcher": {"maxBatchSize": 32}, "nodeSelector": {"gpu": "yes"},
    }  # fmt: skip
    found = convert(service(predictor, explainer={"alibi": {}}))
    at = {left.path for left in found.left}
    assert {
        "spec.predictor.model.env", "spec.predictor.model.resources", "spec.predictor.model.args", "spec.predictor.model.runtime",
        "spec.predictor.model.modelFormat.version", "spec.predictor.serviceAccountName", "spec.predictor.logger", "spec.predictor.batcher",
        "spec.predictor.nodeSelector", "spec.explainer",
    } == at  # fmt: skip


def test_a_canary_is_a_sequence_of_two_aliases() -> None:
    model, sequence = convert(service({**MODEL, "canaryTrafficPercent": 10})).definitions
    assert "churn-predictor" == model["name"]
    assert {
        "kind": "Sequence",
        "name": "churn",
        "pipeline": [
            [{"model": "churn-predictor@stable", "weight": 90}, {"model": "churn-predictor@canary", "weight": 10}]
        ],
    } == sequence
    check_document(sequence)


def test_a_transformer_is_the_first_stage_of_a_sequence() -> None:
    found = convert(
        service(MODEL, transformer={"containers": [{"name": "kserve-container", "image": "reg/t:1", "args": ["--x"]}]})
    )
    model, transformer, sequence = found.definitions
    assert ("churn-predictor", "churn-transformer", "kserve") == (
        model["name"],
        transformer["name"],
        transformer["framework"],
    )
    assert [[{"model": "churn-transformer"}], [{"model": "churn-predictor"}]] == sequence["pipeline"]
    for definition in found.definitions:
        check_document(definition)
    assert [s for s in found.to_do if "postprocess" in s]


def test_a_custom_container_runs_its_class() -> None:
    found = convert(
        service(
            {"containers": [{"name": "kserve-container", "image": "reg/churn:3", "ports": [{"containerPort": 8080}]}]}
        )
    )
    (definition,) = found.definitions
    assert ("kserve", ["predictor.py"]) == (definition["framework"], definition["payload"])
    assert [s for s in found.to_do if "reg/churn:3" in s]


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"kind": "Deployment"}, "kind"),
        ([1], "kind"),
        (service({}), "spec.predictor"),
        (service({"sklearn": {}, "xgboost": {}}), "spec.predictor"),
        (service({**MODEL, "containers": [{"image": "x"}]}), "spec.predictor"),
        (service({"model": {"modelFormat": {"name": "pmml"}}}), "spec.predictor.model.modelFormat.name"),
        (service({"containers": [{"image": "a"}, {"image": "b"}]}), "spec.predictor.containers"),
        (service({**MODEL, "canaryTrafficPercent": 120}), "spec.predictor.canaryTrafficPercent"),
        (service(MODEL, name="Not_A_Name"), "metadata.name"),
        ({"kind": "InferenceService", "metadata": {"name": "a"}}, "spec.predictor"),
        (service({"model": "sklearn"}), "spec.predictor.model"),
    ],
)
def test_what_is_none_or_two_is_refused_naming_the_key(document: Any, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        convert(document)
    assert field == caught.value.field


@pytest.mark.parametrize(
    ("uri", "left"),
    [
        ("pvc://claim/model", True),
        ("hf://org/model", True),
        ("gs://bucket/model", False),
        ("https://host/model.onnx", False),
    ],
)
def test_places_that_are_not_fetched_are_said(uri: str, left: bool) -> None:
    found = convert(service({"sklearn": {"storageUri": uri}}))
    assert left == bool([s for s in found.to_do if uri in s])
    assert ["model" if left else uri] == found.definitions[0]["payload"]


def test_the_command_writes_what_apply_reads(tmp_path: Path) -> None:
    file, out = tmp_path / "isvc.yaml", tmp_path / "headrace.yaml"
    file.write_text(yaml.safe_dump({"kind": "List", "items": [service(MODEL), service(MODEL, name="other")]}))
    done = CliRunner().invoke(importing, ["isvc", str(file), "--out", str(out)])
    assert 0 == done.exit_code, done.output
    assert ["churn", "other"] == [d["name"] for d in yaml.safe_load_all(out.read_text())]
    assert "not carried: spec.predictor.model.runtime" in done.stderr
    again = CliRunner().invoke(importing, ["isvc", str(file), "--out", str(out)])
    assert 0 != again.exit_code
