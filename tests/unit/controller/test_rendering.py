"""``headrace render``: the documents of a version, an alias, a model and a sequence, from the command line to the API."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from controller_support import fail, make_platform, release, serving
from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.cli.entrypoint import front
from headrace_controller.definitions import DeploymentConfiguration, SequenceDefinition
from headrace_controller.service.platform import Platform
from headrace_functions.errors import NotFound


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path / "home")


@pytest.fixture
def url(platform: Platform) -> Iterator[str]:
    with serving(platform) as found:
        yield found


def render(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(front, ["render", *arguments, "--url", url], catch_exceptions=False)


def names(platform: Platform, name: str) -> list[str]:
    return [document["metadata"]["name"] for document in platform.rendering.documents(name)]


def test_a_version_an_alias_and_a_model_are_one_document(platform: Platform) -> None:
    first, second = release(platform.catalog, "churn"), release(platform.catalog, "churn")
    platform.aliases.move(first.model, "prod", first.number)
    assert names(platform, "churn:1") == ["churn-v1"]
    assert names(platform, "churn@prod") == ["churn-v1"]
    assert names(platform, "churn") == [second.service]


def test_a_sequence_is_all_its_versions_with_the_configurations_that_it_names(platform: Platform) -> None:
    for model, inputs, outputs in (("clean", "x", "z"), ("score", "z", "y"), ("score", "z", "y")):
        release(platform.catalog, model, inputs=inputs, outputs=outputs)
    small = DeploymentConfiguration.model_validate({"name": "small", "pod": {"nodeSelector": {"pool": "small"}}})
    platform.deployments.put(small)
    definition = {
        "kind": "Sequence",
        "name": "both",
        "pipeline": [
            [{"model": "clean:1"}],
            [{"model": "score:1", "deployment-configuration": "small"}, {"model": "score:2", "shadow": True}],
        ],
    }
    platform.sequences.apply(SequenceDefinition.model_validate(definition))
    documents = platform.rendering.documents("both")
    assert [d["metadata"]["name"] for d in documents] == ["clean-v1", "score-v1", "score-v2"]
    placed = [d["metadata"]["name"] for d in documents if "nodeSelector" in d["spec"]["predictor"]]
    assert placed == ["score-v1"]


def test_what_is_not_there_or_not_released_is_not_rendered(platform: Platform) -> None:
    fail(platform.catalog, "broken")
    for name in ("nothing", "nothing:1", "broken", "broken:1"):
        with pytest.raises(NotFound):
            platform.rendering.documents(name)


def test_the_yaml_is_what_the_backend_would_apply(platform: Platform, url: str) -> None:
    version = platform.catalog.get(release(platform.catalog, "churn")).version
    assert version is not None
    (printed,) = yaml.safe_load_all(render(url, "churn:1").stdout)
    settings = ClusterSettings(platform.catalog.documents.objects.url)
    agreed = inference_service(ServiceSpec(version), settings)
    for document in (agreed, printed):  # the platform names its store as it was given
        del document["metadata"]["annotations"]["headrace.dev/storage"]
        document["spec"]["predictor"]["containers"][0]["env"] = [
            v for v in document["spec"]["predictor"]["containers"][0]["env"] if v["name"] != "HEADRACE_STORAGE"
        ]
    assert printed == agreed


def test_json_is_the_same_for_programs(platform: Platform, url: str) -> None:
    release(platform.catalog, "churn")
    found = render(url, "churn", "--json")
    assert json.loads(found.stdout) == list(yaml.safe_load_all(render(url, "churn").stdout))


def test_an_unknown_name_is_exit_code_1_with_the_name(url: str) -> None:
    found = render(url, "nothing")
    assert found.exit_code == 1
    assert "nothing" in found.stderr
