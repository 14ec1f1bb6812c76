"""Specs in, InferenceServices out: golden files, and what holds for every one of them.

After a wanted change run it with ``HEADRACE_WRITE_GOLDEN=1`` and read the diff.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.manifests import inference_service, selector
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import InvalidInput
from headrace_functions.version import Limits, Scaling
from support.manifests import CASES, CLUSTER, configuration
from support.versions import version

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("name", CASES)
def test_a_version_becomes_the_document_that_was_agreed(name: str) -> None:
    case, file = CASES[name], GOLDEN / f"{name}.yaml"
    document = inference_service(case.spec, CLUSTER, case.configuration)
    if os.environ.get("HEADRACE_WRITE_GOLDEN"):
        file.write_text(yaml.safe_dump(document, sort_keys=False))
    assert document == yaml.safe_load(file.read_text())


def test_every_golden_file_has_a_case() -> None:
    assert {f.stem for f in GOLDEN.iterdir()} == set(CASES)


@given(
    least=st.integers(0, 50),
    most=st.integers(1, 50),
    idle=st.floats(0.001, 1e6),
    start=st.floats(0.1, 1e5),
    predict=st.floats(0.001, 1e5),
)
def test_scaling_stays_within_what_knative_takes(
    least: int, most: int, idle: float, start: float, predict: float
) -> None:
    it = version(scaling=Scaling(least, most, idle), limits=Limits(start_timeout=start, predict_timeout=predict))
    predictor = inference_service(ServiceSpec(it), CLUSTER)["spec"]["predictor"]
    annotations = predictor["annotations"]
    window = int(annotations["autoscaling.knative.dev/window"].removesuffix("s"))
    retention = int(annotations["autoscaling.knative.dev/scale-to-zero-pod-retention-period"].removesuffix("s"))
    assert 0 <= predictor["minReplicas"] <= predictor["maxReplicas"]
    assert predictor["maxReplicas"] >= 1
    assert 6 <= window <= 3600
    assert 0 <= retention <= 3600
    assert window + retention >= min(idle, 3600)
    assert 1 <= predictor["timeout"] <= 600
    assert int(annotations["serving.knative.dev/progress-deadline"].removesuffix("s")) >= 1


@pytest.mark.parametrize("name", CASES)
def test_no_pod_may_more_than_it_needs(name: str) -> None:
    case = CASES[name]
    predictor = inference_service(case.spec, CLUSTER, case.configuration)["spec"]["predictor"]
    container, *others = predictor["containers"]
    assert predictor["automountServiceAccountToken"] is False
    assert predictor["serviceAccountName"] == "headrace-function"
    assert "envFrom" not in container
    references = [v["valueFrom"] for v in container["env"] if "valueFrom" in v]
    assert references == [{"secretKeyRef": {"name": f"{case.version.id.service}-store-token", "key": "token"}}]
    assert container["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert "AWS_" not in str(container["env"]), "credentials come by reference"
    for other in others:
        assert other["securityContext"]["runAsNonRoot"] is True
        assert other["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert not {"envFrom", "volumeMounts", "ports"} & set(other), "nothing of the platform's"


def test_a_variable_may_come_from_a_secret_of_the_namespace_but_not_from_one_of_the_platform() -> None:
    secret = {"secret": "models", "key": "api-key"}
    env = {"MODELS_API_KEY": secret, "LEVEL": "debug"}
    document = inference_service(ServiceSpec(version()), CLUSTER, configuration(container={"env": env}))
    told = {v["name"]: v for v in document["spec"]["predictor"]["containers"][0]["env"]}
    assert {"secretKeyRef": {"name": "models", "key": "api-key"}} == told["MODELS_API_KEY"]["valueFrom"]
    assert "debug" == told["LEVEL"]["value"]
    for name in ("headrace-storage", "headrace-platform", "churn-v3-store-token"):
        with pytest.raises(ValueError, match="the platform's own"):
            configuration(container={"env": {"KEY": {"secret": name, "key": "k"}}})


@pytest.mark.parametrize("name", CASES)
def test_a_configuration_does_not_replace_what_the_platform_tells_a_pod(name: str) -> None:
    case = CASES[name]
    document = inference_service(case.spec, CLUSTER, case.configuration)
    variables = {v["name"]: v.get("value") for v in document["spec"]["predictor"]["containers"][0]["env"]}
    assert variables["HEADRACE_VERSION"] == str(case.version.id)
    assert variables["HEADRACE_ARTIFACT"] == case.version.artifact


def test_what_is_ours_bears_the_marks_by_which_it_is_found() -> None:
    document = inference_service(CASES["plain"].spec, CLUSTER)
    assert selector(CLUSTER).items() <= document["metadata"]["labels"].items()
    other = ClusterSettings("s3://b", platform="other")
    assert selector(CLUSTER) != selector(other)


def unknown(value: Any, kind: str, place: str = "") -> list[str]:
    """Places of a document that the SDK's model of this name has no field for."""
    import kserve
    from kubernetes.client import models

    inner = re.fullmatch(r"(?:list\[|dict[\[(]str, )(\w+)[\])]", kind)
    if inner is not None:
        items = value.values() if isinstance(value, dict) else value
        return [u for item in items for u in unknown(item, inner[1], place)]
    model = getattr(kserve, kind, None) or getattr(models, kind, None)
    if model is None:
        return []
    fields = {model.attribute_map[name]: inner for name, inner in model.openapi_types.items()}
    found = [f"{place}.{key}" for key in value.keys() - fields.keys()]
    return found + [u for k in value.keys() & fields.keys() for u in unknown(value[k], fields[k], f"{place}.{k}")]


@pytest.mark.parametrize("name", CASES)
def test_every_key_is_a_field_of_kserves_own_types(name: str) -> None:
    """A misspelt key would be dropped, or refused, on its way into the cluster."""
    case = CASES[name]
    document = inference_service(case.spec, CLUSTER, case.configuration)
    assert unknown(document, "V1beta1InferenceService") == []
    document["spec"]["predictor"]["containers"][0]["securityContext"]["runAsNoRoot"] = True
    assert unknown(document, "V1beta1InferenceService") == [".spec.predictor.containers.securityContext.runAsNoRoot"]


@pytest.mark.parametrize("image", ["function", "registry.example:5000/function", "function:latest", "r/f-{framework}"])
def test_an_image_without_a_fixed_tag_is_refused(image: str) -> None:
    with pytest.raises(InvalidInput, match="no fixed tag"):
        ClusterSettings("s3://b", image=image)


@pytest.mark.parametrize("image", ["f:1", "registry.example:5000/f-{framework}:{version}", "f@sha256:" + "0" * 64])
def test_an_image_with_a_fixed_tag_or_digest_is_taken(image: str) -> None:
    assert "{" not in ClusterSettings("s3://b", image=image).image_of("python")


def test_a_framework_may_have_an_image_of_its_own() -> None:
    settings = ClusterSettings.from_environment({"HEADRACE_FUNCTION_IMAGE_SKLEARN": "r.example/s:7"}, "s3://b")
    assert settings.image_of("sklearn") == "r.example/s:7"
    assert settings.image_of("python").startswith("headrace-function-python:")
    with pytest.raises(InvalidInput, match="no fixed tag") as caught:
        ClusterSettings.from_environment({"HEADRACE_FUNCTION_IMAGE_SKLEARN": "headrace-function-sklearn"}, "s3://b")
    assert caught.value.field == "HEADRACE_FUNCTION_IMAGE_SKLEARN"


@pytest.mark.parametrize("ingress", ["127.0.0.1:80", "tcp:host", "http://host:80", "tcp::80", "tcp:host:http"])
def test_an_ingress_that_is_no_address_is_refused(ingress: str) -> None:
    with pytest.raises(InvalidInput, match="ingress"):
        ClusterSettings("s3://b", ingress=ingress)


def test_settings_come_from_variables_and_keep_their_defaults() -> None:
    given = {"HEADRACE_NAMESPACE": "models", "HEADRACE_INGRESS": "tcp:10.0.0.1:80", "HEADRACE_PLATFORM": ""}
    settings = ClusterSettings.from_environment(given, "s3://b")
    assert (settings.namespace, settings.ingress, settings.platform) == ("models", "tcp:10.0.0.1:80", "headrace")
