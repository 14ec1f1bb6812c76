"""A service on a cluster is written with the token that its pods need: before it, again now and then, and removed with it."""

from dataclasses import replace
from typing import Any

import pytest

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.service_writer import REPEAT, ServiceWriter
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import Conflict, Unreachable
from headrace_functions.platform_secret import FUNCTION, store_token
from headrace_functions.signature import Field, dtype
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


def test_a_version_that_hashes_is_told_the_key_and_no_other_version_is() -> None:
    keys = ["01" * 32]
    settings = replace(SETTINGS, hash_key=lambda: keys[0])
    email = Field("email", dtype("string"), sensitive="hash")
    hashing = inference_service(ServiceSpec(version("churn", 3, inputs=(email,))), settings)
    api = Api()
    api.settings = settings
    writer = ServiceWriter(api, api, lambda: 0.0)
    writer.apply(hashing)
    writer.apply(DOCUMENT | {"metadata": DOCUMENT["metadata"] | {"name": "other-v1"}})

    secrets = [d["stringData"] for d in api.written if d["kind"] == "Secret"]
    assert [{"token", "hash-key"}, {"token"}] == [set(s) for s in secrets]
    assert keys[0] == secrets[0]["hash-key"]
    variable = hashing["spec"]["predictor"]["containers"][0]["env"][-1]
    reference = {"secretKeyRef": {"name": "churn-v3-store-token", "key": "hash-key"}}
    assert {"name": "HEADRACE_HASH_KEY", "valueFrom": reference} == variable
    assert keys[0] not in str(hashing)


def test_another_key_of_hashes_is_written_at_once_and_starts_new_pods() -> None:
    keys = ["01" * 32]
    settings = replace(SETTINGS, hash_key=lambda: keys[0])
    email = Field("email", dtype("string"), sensitive="hash")
    spec = ServiceSpec(version("churn", 3, outputs=(email,)))
    api = Api()
    api.settings = settings
    writer = ServiceWriter(api, api, lambda: 0.0)
    before = inference_service(spec, settings)
    writer.apply(before)
    keys[0] = "02" * 32
    after = inference_service(spec, settings)
    writer.apply(after)

    assert ["01" * 32, "02" * 32] == [d["stringData"]["hash-key"] for d in api.written if d["kind"] == "Secret"]
    assert before["spec"]["predictor"]["annotations"] != after["spec"]["predictor"]["annotations"]


def test_both_are_removed_but_not_the_token_of_a_service_that_is_not_ours() -> None:
    api = Api()
    ServiceWriter(api, api).delete("churn-v3")
    assert ["delete churn-v3", "delete churn-v3-store-token"] == api.asked

    foreign = Api()
    foreign.fails = Conflict("it does not belong to this platform")
    with pytest.raises(Conflict):
        ServiceWriter(foreign, foreign).delete("churn-v3")
    assert ["delete churn-v3"] == foreign.asked


def test_what_the_api_server_refuses_is_said() -> None:
    api = Api()
    api.fails = Unreachable("the API server does not answer")
    with pytest.raises(Unreachable):
        ServiceWriter(api, api).apply(DOCUMENT)
