"""Streams of a cluster: a Deployment each, as many pods as the lag asks for, nothing of others touched, no secret in what is written."""

import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace_controller import clock
from headrace_controller.backends.kserve.manifests import STORAGE
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.backends.kserve.streams import CREDENTIALS, ORDER, SCALED, SECRET, STREAM, Order
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.incluster.stream_pod import Told, progress_server
from headrace_controller.incluster.stream_progress import Totals, progress_of
from headrace_controller.incluster.stream_scaling import LONGEST_SLEEP, Look
from headrace_controller.incluster.streams import EVERY, INCOMPLETE, ClusterStreams
from headrace_controller.service.streams import Streams
from headrace_controller.streams.running import GatewayCalls, StreamRun
from headrace_functions.errors import InvalidInput, Unreachable
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

CLUSTER = ClusterSettings("s3://store", secret="platform-secret")
PASSWORD = "correct-horse"


def definition(name: str = "scores", **more: Any) -> StreamDefinition:
    topics = {"source": "in", "destination": "out", "errors": "bad"}
    return StreamDefinition.model_validate({"name": name, "model": "churn", "brokers": ["b:1"], **topics, **more})


WITH_PASSWORD = {"properties": {"sasl.username": "scoring", "sasl.password": "${KAFKA_PASSWORD}"}}


class Deployments:
    """A cluster's Deployments; none of their pods runs."""

    def __init__(self) -> None:
        self.held: dict[str, Any] = {}
        self.writes = 0
        self.away = False
        self.refused = ""

    def apply(self, document: dict[str, Any]) -> None:
        if self.away:
            raise Unreachable("the API server does not answer")
        if document["metadata"]["name"] == self.refused:
            raise InvalidInput("a quota is used up")
        self.writes += 1
        self.held[document["metadata"]["name"]] = document

    def find(self) -> list[dict[str, Any]]:
        if self.away:
            raise Unreachable("the API server does not answer")
        return list(self.held.values())

    def pods(self) -> list[dict[str, Any]]:
        return []

    def delete(self, name: str) -> None:
        self.held.pop(name, None)

    def replicas(self) -> dict[str, int]:
        return {d["metadata"]["labels"][STREAM]: d["spec"]["replicas"] for d in self.held.values()}


class Watch:
    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.reason = ""
        self.look: Look | None = Look({0: 0}, begun=True)
        self.ended = False

    def start(self, arrived: Callable[[], None]) -> None:
        pass

    def stop(self) -> None:
        self.ended = True


class World:
    """A store, a cluster, brokers and a clock."""

    def __init__(self, folder: Path) -> None:
        self.store = folder
        self.catalog = Catalog(Documents(ObjectStore(str(folder))))
        self.deployments = Deployments()
        self.secret: dict[str, str] | None = None
        self.time = 1000.0
        self.watches: dict[str, Watch] = {}
        self.streams = self.controller()
        self.cases = Streams(self.catalog, self.streams)

    def controller(self) -> ClusterStreams:
        def watched(stream: StreamDefinition, _resets: int, variables: Mapping[str, str]) -> Watch:
            self.watches[stream.name] = Watch(variables)
            return self.watches[stream.name]

        own = Catalog(Documents(ObjectStore(str(self.store))))
        return ClusterStreams(
            own, self.deployments, lambda: self.secret, CLUSTER, "headrace-controller:1", watched, lambda: self.time
        )

    def put(self, stream: StreamDefinition, **more: Any) -> None:
        document = {"schema": 1, "definition": stream.to_document(), "resets": 0, **more}
        self.catalog.streams.append(stream.name, document)
        self.streams.changed()

    def looks(self, seconds: float = 1.0) -> dict[str, int]:
        self.time += seconds
        self.streams.once()
        return self.deployments.replicas()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "store")


def test_a_stream_is_a_deployment_that_follows_its_lag(world: World) -> None:
    world.put(definition(scaling={"max-replicas": 3, "lag-per-replica": 100}))
    assert {"scores": 0} == world.looks()
    world.watches["scores"].look = Look({0: 150, 1: 150}, begun=True)
    assert {"scores": 2} == world.looks()
    world.watches["scores"].look = Look({0: 0, 1: 0}, begun=True)
    assert {"scores": 2} == world.looks()
    assert {"scores": 0} == world.looks(61)


def test_a_look_that_finds_nothing_new_writes_nothing(world: World) -> None:
    world.put(definition())
    world.looks()
    for _ in range(5):
        world.looks()
    assert 1 == world.deployments.writes
    world.looks(EVERY)  # now and then all of it is written, in case somebody changed it
    assert 2 == world.deployments.writes


def test_a_paused_stream_has_no_pods_and_its_lag_is_looked_at(world: World) -> None:
    world.put(definition(), paused=True)
    world.looks()
    world.watches["scores"].look = Look({0: 5}, begun=True)
    assert {"scores": 0} == world.looks()
    assert ("paused", {"0": 5}) == (world.streams.progress("scores")["state"], world.streams.progress("scores")["lag"])  # type: ignore[index]


def test_a_deleted_stream_takes_its_deployment_along_and_those_of_others_stay(world: World) -> None:
    world.put(definition("gone"))
    world.put(definition("kept"))
    world.looks()
    foreign = json.loads(json.dumps(world.deployments.held["headrace-stream-gone"]))
    foreign["metadata"] |= {"name": "other", "annotations": {STORAGE: "s3://other"}, "labels": {STREAM: "other"}}
    world.deployments.held["other"] = foreign
    world.cases.delete("gone")
    assert {"kept", "other"} == world.looks().keys()
    assert None is world.streams.progress("gone")


def test_a_second_controller_and_one_that_begins_anew_change_nothing(world: World) -> None:
    world.put(definition())
    world.looks()
    world.watches["scores"].look = Look({0: 5}, begun=True)
    world.looks()
    before = json.dumps(world.deployments.held, sort_keys=True)
    second = world.controller()
    second.once()
    assert before == json.dumps(world.deployments.held, sort_keys=True)


def test_a_variable_that_the_secret_lacks_is_said_and_taken_up_once_it_is_there(world: World) -> None:
    world.put(definition(**WITH_PASSWORD))
    assert {"scores": 0} == world.looks()
    told = world.streams.progress("scores") or {}
    assert ("failed", f"the Secret {SECRET} lacks KAFKA_PASSWORD, which the stream's settings name") == (
        told["state"],
        told["reason"],
    )
    world.secret = {"KAFKA_PASSWORD": PASSWORD, "OTHER": "not asked for"}
    world.looks(INCOMPLETE)
    assert {"KAFKA_PASSWORD": PASSWORD} == world.watches["scores"].variables
    assert "asleep" == (world.streams.progress("scores") or {})["state"]


def test_secrets_are_references_and_pods_start_anew_with_another(world: World) -> None:
    world.secret = {"KAFKA_PASSWORD": PASSWORD}
    world.put(definition(**WITH_PASSWORD))
    world.looks()
    [first] = world.deployments.held.values()
    [container] = first["spec"]["template"]["spec"]["containers"]
    assert PASSWORD not in json.dumps(first)
    assert {"secretKeyRef": {"name": SECRET, "key": "KAFKA_PASSWORD"}} in [e.get("valueFrom") for e in container["env"]]
    world.secret = {"KAFKA_PASSWORD": "another"}
    world.looks(EVERY)
    [second] = world.deployments.held.values()
    marks = [d["spec"]["template"]["metadata"]["annotations"][CREDENTIALS] for d in (first, second)]
    assert 2 == len(set(marks))


def test_a_reset_is_another_group_in_the_same_deployment(world: World) -> None:
    world.put(definition())
    world.looks()
    first = world.watches["scores"]
    world.cases.reset("scores", "latest")
    world.looks()
    [made] = world.deployments.held.values()
    [told] = [e["value"] for e in made["spec"]["template"]["spec"]["containers"][0]["env"] if e["name"] == ORDER]
    assert Order(definition(), 1, "latest") == Order.from_text(told)
    assert first.ended


def test_a_cluster_that_is_away_and_a_stream_that_is_refused_stop_nobody_else(world: World) -> None:
    world.put(definition("one"))
    world.put(definition("two"))
    world.deployments.refused = "headrace-stream-one"
    assert {"two": 0} == world.looks()
    assert ("failed", "a quota is used up") == (
        (world.streams.progress("one") or {})["state"],
        (world.streams.progress("one") or {})["reason"],
    )
    world.deployments.away = True
    world.looks()
    assert ["keeping the streams"] == [p[:19] for p in world.streams.problems]
    unseen = world.cases.get("two").progress
    assert ("asleep", True) == (unseen["state"], "the API server does not answer" in unseen["reason"])
    world.cases.delete("two")
    world.looks()
    world.deployments.away, world.deployments.refused = False, ""
    assert {"one": 0} == world.looks(), "what was deleted meanwhile goes, too"
    assert [] == world.streams.problems


def test_a_store_that_is_away_removes_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.put(definition())
    world.looks()

    def away() -> None:
        raise Unreachable("the store does not answer")

    monkeypatch.setattr(world.streams._catalog.streams, "reload", away)
    world.watches["scores"].look = Look({0: 1}, begun=True)
    assert {"scores": 1} == world.looks(EVERY)
    assert ["reading the streams"] == [p[:19] for p in world.streams.problems]


def test_a_stream_that_sleeps_too_long_is_woken(world: World) -> None:
    world.put(definition())
    world.looks()
    [made] = world.deployments.held.values()
    made["metadata"]["annotations"][SCALED] = clock.show(clock.ago(LONGEST_SLEEP + 60))
    assert {"scores": 1} == world.looks()
    assert {"scores": 0} == world.looks(61)


def test_a_setting_that_names_a_file_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match=r"ssl\.ca\.location names a file") as caught:
        world.streams.check(definition(properties={"ssl.ca.location": "/ca.pem"}))
    assert "ssl.ca.pem" in str(caught.value.expected)


def test_counts_add_up_over_pods_that_come_and_go() -> None:
    totals = Totals()
    totals.add({"a": {"answered": 5, "refused": 1}, "b": {"answered": 2}}, ["a", "b"])
    totals.add({"a": {"answered": 7, "refused": 1}}, ["a"])  # b is gone
    totals.add({"a": {"answered": 1}}, ["a"])  # a's container began anew
    assert {"answered": 10, "refused": 1} == totals.counts()


READY = {"metadata": {"name": "a"}, "status": {}}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"paused": True, "pods": []}, ("paused", "")),
        ({"pods": [], "replicas": 0}, ("asleep", "")),
        ({"pods": [], "replicas": 1}, ("starting", "")),
        ({"pods": [], "replicas": 0, "look": Look({0: 3}, True)}, ("starting", "")),
        ({"said": [{"state": "waiting", "reason": "asleep"}, {"state": "running"}]}, ("running", "")),
        ({"said": [{"state": "failed", "reason": "no topic"}]}, ("failed", "no topic")),
        ({"pods": [], "replicas": 0, "look": None, "trouble": "brokers are away"}, ("failed", "brokers are away")),
        ({"said": [{"state": "running"}], "trouble": "brokers are away"}, ("running", "")),
        ({"paused": True, "pods": [], "trouble": "brokers are away"}, ("paused", "brokers are away")),
    ],
)
def test_the_state_of_a_stream_is_that_of_its_best_pod_or_says_why_there_is_none(
    more: dict[str, Any], expected: tuple[str, str]
) -> None:
    given: dict[str, Any] = {"paused": False, "replicas": 1, "look": Look({0: 0}, True), "trouble": "", "said": []}
    found = progress_of(**{**given, "pods": [READY], **more})
    assert expected == (found["state"], found["reason"])


def test_a_pod_says_how_it_is_doing_to_the_platform_alone() -> None:
    run = StreamRun(definition(), 0, "earliest", GatewayCalls("http://gateway", lambda: ""), identity="pod-1")
    server = progress_server(run, PlatformSecret("platform-secret"), ("127.0.0.1", 0))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", trust_env=False) as client:
        assert 401 == client.get("/progress").status_code
        assert 401 == client.get("/progress", headers={"x-headrace-proof": "another"}).status_code
        answer = client.get("/progress", headers={"x-headrace-proof": "platform-secret"})
        assert "starting" == answer.json()["state"]
        assert (200, 404) == (client.get("/healthz").status_code, client.get("/").status_code)
    server.shutdown()
    server.server_close()


def test_a_pod_names_the_variable_that_is_wrong() -> None:
    told = {"HEADRACE_POD": "p", "HEADRACE_NAMESPACE": "n", "HEADRACE_PLATFORM_SECRET": "s"}
    with pytest.raises(InvalidInput, match=ORDER):
        Told.from_environment({**told, ORDER: "{}"})
    found = Told.from_environment({**told, ORDER: Order(definition(), 2, "latest").to_text()})
    assert ("http://headrace-gateway.n.svc", 2, "p") == (found.gateway, found.order.resets, found.identity)
    assert "'s'" not in repr(found)
