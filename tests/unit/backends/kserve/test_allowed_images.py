"""A version's pods are made from images of the platform and from those that an operator allows, of no others."""

from dataclasses import replace

import pytest

from headrace_controller.backends.kserve.allowed_images import check_image, repository
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import InvalidInput
from headrace_functions.version import Runtime
from support.versions import version

OWN = ("registry.example:5000/headrace-function-{framework}:{version}",)
CLUSTER = ClusterSettings("s3://b", image=OWN[0], allowed_images=("registry.example:5000/team/*",))


@pytest.mark.parametrize(
    "image",
    [
        "registry.example:5000/headrace-function-sklearn:1.2.3",
        "registry.example:5000/headrace-function-sklearn:0.0.1",
        "registry.example:5000/headrace-function-python@sha256:" + "a" * 64,
        "registry.example:5000/team/churn:7",
        "registry.example:5000/team/deeper/churn@sha256:" + "a" * 64,
    ],
)
def test_images_of_the_platform_and_allowed_ones_may_run(image: str) -> None:
    check_image(image, OWN, CLUSTER.allowed_images)


@pytest.mark.parametrize(
    "image",
    [
        "docker.io/evil/miner:1",
        "registry.example/headrace-function-sklearn:1.2.3",
        "registry.example:5000/headrace-function-sklearn/evil:1",
        "registry.example:5000/headrace-function-:1",
        "evil/registry.example:5000/headrace-function-python:1",
        "registry.example:5000/teams/churn:7",
        "",
    ],
)
def test_others_may_not_and_who_asks_is_told_what_to_do(image: str) -> None:
    with pytest.raises(InvalidInput, match="not an image that this platform may run") as caught:
        check_image(image, OWN, CLUSTER.allowed_images)
    assert "HEADRACE_ALLOWED_IMAGES" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("a:1", "a"),
        ("r:5000/a", "r:5000/a"),
        ("r:5000/a:1", "r:5000/a"),
        ("r/a@sha256:b", "r/a"),
        ("r/a:1@sha256:b", "r/a"),
    ],
)
def test_a_repository_is_a_name_without_tag_and_digest(image: str, expected: str) -> None:
    assert expected == repository(image)


def test_a_version_of_an_earlier_release_runs_in_todays_image_of_its_lock_or_is_left_as_it_is() -> None:
    earlier = replace(version(), runtime=Runtime("registry.example:5000/headrace-function-python:0.9", "a" * 64))
    today = replace(CLUSTER, locks={"a" * 64: "registry.example:5000/headrace-function-python:1.0"})

    assert "registry.example:5000/headrace-function-python:1.0" == today.image_for(earlier)
    with pytest.raises(InvalidInput, match="needs the bucket's key") as caught:
        CLUSTER.image_for(earlier)
    assert "apply the model again" in str(caught.value.hint)


def test_a_version_that_names_an_image_that_is_not_allowed_any_more_is_not_started() -> None:
    made = replace(version(), runtime=Runtime("docker.io/evil/miner:1"), proxied=True)

    with pytest.raises(InvalidInput, match="not an image that this platform may run"):
        CLUSTER.image_for(made)
