"""A service on a cluster is written with the token that its pods need: before it, again now and then, and removed with it."""

from typing import Any

import pytest

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.service_writer import REPEAT, ServiceWriter
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import Conflict, Unreachable
from headrace_functions.platform_secret import FUNCTION, store_token
from support.versions import version

Json = dict[str, Any]
SETTINGS = ClusterSettings("s3://bucket", secret="the platform's secret")


class Api:
    """Both sides of the API server, in the order in which they were asked."""

    def __init__(self) -> None:
        self.settings = SETTINGS
        self.asked: list[str] = []
        self.written: list[Json] = []
        self.fails: Exception | None = None

    def apply(self, document: Json) -> Json:
        self.asked.append(f"apply {document['kind']} {document['metadata']['name']}")
        self.written.append(document)
        if self.fails is not None and document["kind"] == "InferenceService":
            raise self.fails
        return document

    def delete(self, name: str) -> None:
        self.asked.append(f"delete {name}")
        if self.fails is not None:
            raise self.fails


DOCUMENT = inference_service(ServiceSpec(version("churn", 3)), SETTINGS)


def test_the_token_is_there_before_the_service() -> None:
    api = Api()
    ServiceWriter(api, api).apply(DOCUMENT)

    assert ["apply Secret churn-v3-store-token", "apply InferenceService churn-v3"] == api.asked
    token = api.written[0]
    assert {"token": store_token(SETTINGS.secret, FUNCTION, "churn-v3")} == token["stringData"]
    assert DOCUMENT["metadata"]["labels"] == token["metadata"]["labels"]
    assert SETTINGS.secret not in str(token)
    assert SETTINGS.secret not in repr(SETTINGS)
    assert token["stringData"]["token"] not in str(DOCUMENT)


def test_it_is_written_again_now_and_then_and_after_a_removal() -> None:
    api, now = Api(), [0.0]
    writer = ServiceWriter(api, api, lambda: now[0])
    for seconds in (0.0, REPEAT - 1, REPEAT):
        now[0] = seconds
        writer.apply(DOCUMENT)
    assert 2 == api.asked.count("apply Secret churn-v3-store-token")

    writer.delete("churn-v3")
    writer.apply(DOCUMENT)
    assert 3 == api.asked.count("apply Secret churn-v3-store-token")


def test_both_are_removed_but_not_the_token_of_a_service_that_is_not_ours() -> None:
    api = Api()
    ServiceWriter(api, api).delete("churn-v3")
    assert ["delete churn-v3", "delete churn-v3-store-token"] == api.asked

    foreign = Api()
    foreign.fails = Conflict("it is not ours")
    with pytest.raises(Conflict):
        ServiceWriter(foreign, foreign).delete("churn-v3")
    assert ["delete churn-v3"] == foreign.asked


def test_what_the_api_server_refuses_is_said() -> None:
    api = Api()
    api.fails = Unreachable("the API server does not answer")
    with pytest.raises(Unreachable):
        ServiceWriter(api, api).apply(DOCUMENT)
