"""Builds on a cluster against scripted Jobs: what each end of a Job means, and that nothing is left behind."""

import hashlib
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace_controller.backends.base import ServiceSpec
from headrace_controller.backends.kserve import build_job_run, layers
from headrace_controller.backends.kserve.build_job_manifests import ask_job, layer_job
from headrace_controller.backends.kserve.build_job_run import JobRun, Words
from headrace_controller.backends.kserve.build_settings import BuildSettings
from headrace_controller.backends.kserve.builds import ClusterBuildRoom
from headrace_controller.backends.kserve.manifests import inference_service
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.building.room import Ground, Needs, Question
from headrace_controller.environments.images import ListedImage, RuntimeImage
from headrace_functions.building import job_contract
from headrace_functions.errors import DeadlineExceeded, HeadraceError, InvalidInput, NotReady, Unreachable
from headrace_functions.names import VersionId
from headrace_functions.runtime.probe import ProbeResult
from headrace_functions.signature import Signature
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore
from headrace_functions.version import Runtime
from support.versions import number, version

CLUSTER = ClusterSettings("s3://bucket/prefix")
IMAGE = RuntimeImage(
    "registry/function-plain:1", ListedImage(name="plain", python="3.11", lock="a" * 64, packages={"numpy": "2.1.0"})
)
LAYER = {"lock": "pandas==2\n", "sha256": hashlib.sha256(b"layer").hexdigest(), "size": 5, "packages": "pandas==2"}
BUILDS = BuildSettings(images=(IMAGE,))
WORDS = Words("payload", "payload: it took too long", "4Gi")
DOCUMENT = ask_job("ask", CLUSTER, BUILDS, Runtime("image:1"), "e" * 20, ("q", "r"), 300.0)
Json = dict[str, Any]


class ScriptedJobs:
    """A cluster with one answer a question; the last ``step`` stays."""

    def __init__(self, *steps: Json, on_create: Callable[[Json], None] = lambda _: None) -> None:
        self.steps = list(steps)
        self.on_create = on_create
        self.created: list[Json] = []
        self.tokens: list[Json | None] = []
        self.deleted: list[str] = []
        self.taken = False

    def create(self, document: Json, token: Json | None = None) -> bool:
        self.created.append(document)
        self.tokens.append(token)
        self.on_create(document)
        return not self.taken

    def find(self, name: str) -> Json | None:
        step = self.steps[0]
        if step.get("away"):
            self._next()
            raise Unreachable("the API server does not answer")
        found: Json | None = step.get("job", {"status": {}})
        return found

    def delete(self, name: str) -> None:
        self.deleted.append(name)

    def pod(self, job: str) -> Json | None:
        found: Json | None = self.steps[0].get("pod")
        return found

    def log(self, pod: str, container: str) -> list[str]:
        lines: list[str] = self.steps[0].get("log", [])
        self._next()
        return lines

    def refusals(self, job: str) -> str:
        return str(self.steps[0].get("event", ""))

    def _next(self) -> None:
        if len(self.steps) > 1:
            self.steps.pop(0)


def job(kind: str, reason: str = "") -> Json:
    return {"status": {"conditions": [{"type": kind, "status": "True", "reason": reason}]}}


def pod(**state: Json) -> Json:
    status = {"name": "build", "image": "image:1", "state": state}
    return {"metadata": {"name": "ask-x"}, "status": {"containerStatuses": [status]}}


def ended(code: int, *lines: str, reason: str = "Error") -> Json:
    state = {"exitCode": code, "reason": reason}
    return {"pod": pod(terminated=state), "log": list(lines), "job": job("Failed" if code else "Complete")}


RUNNING = {"pod": pod(running={}), "log": ["one"]}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build_job_run, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(build_job_run, "PATIENCE", -1.0)


def failure(jobs: ScriptedJobs) -> HeadraceError:
    with pytest.raises(HeadraceError) as caught:
        JobRun(jobs, DOCUMENT, WORDS, lambda _: None).run()
    assert jobs.deleted == ["ask"]
    return caught.value


def test_each_line_of_the_log_is_told_once_while_it_grows() -> None:
    told: list[str] = []
    more = {"pod": pod(running={}), "log": ["one", "two"]}
    jobs = ScriptedJobs(RUNNING, {"away": True}, more, ended(0, "one", "two", "three"))
    JobRun(jobs, DOCUMENT, WORDS, told.append).run()
    assert told == ["one", "two", "three"]
    assert jobs.deleted == ["ask"]


@pytest.mark.parametrize(
    ("step", "kind", "words"),
    [
        (ended(job_contract.LATE), DeadlineExceeded, "it took too long"),
        (ended(job_contract.KILLED), InvalidInput, "ran out of memory, a build may use 4Gi"),
        (ended(1, reason="OOMKilled"), InvalidInput, "ran out of memory"),
        (ended(job_contract.ENDED, "a", "Segmentation fault"), InvalidInput, "ended without an answer: a\nSegmentation fault"),
        (ended(1), InvalidInput, "exit code 1"),
        (ended(job_contract.REFUSED, '{"message":"no such object","field":"artifact"}'), InvalidInput, "no such object"),
        ({"pod": pod(waiting={"reason": "ImagePullBackOff", "message": "no such tag"})}, InvalidInput, "image:1 cannot be pulled"),
        ({"pod": pod(waiting={"reason": "CreateContainerConfigError", "message": "secret x not found"})}, InvalidInput, "secret x"),
        ({"job": job("Failed", "DeadlineExceeded")}, DeadlineExceeded, "it took too long"),
        ({"event": 'pods "x" is forbidden: exceeded quota'}, NotReady, "raise the namespace's ResourceQuota"),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_said_in_words_and_the_job_is_removed(
    step: Json, kind: type[HeadraceError], words: str
) -> None:
    error = failure(ScriptedJobs(step))
    assert isinstance(error, kind)
    assert words in error.message


def test_an_image_without_the_function_server_is_told_what_it_must_be_built_from() -> None:
    error = failure(ScriptedJobs(ended(1, "python: No module named headrace_functions")))
    assert "FROM a runtime image" in str(error.hint)


def test_a_pull_that_failed_once_and_a_full_node_may_pass() -> None:
    told: list[str] = []
    full = {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}
    waits = {"pod": {"metadata": {"name": "p"}, "status": {"conditions": [full]}}}
    looks = [{"pod": pod(waiting={"reason": "ErrImagePull"})}, waits, waits, ended(0)]

    class Looks(ScriptedJobs):
        def find(self, name: str) -> Json | None:
            self.steps[0] = looks.pop(0)
            return super().find(name)

    jobs = Looks({})
    JobRun(jobs, DOCUMENT, WORDS, told.append).run()
    assert [line.split(":")[0] for line in told] == ["the image image", "no node takes the pod"]


def test_a_job_that_another_controller_began_is_waited_for_and_may_be_removed_by_it() -> None:
    told: list[str] = []
    jobs = ScriptedJobs(RUNNING, {"job": None})
    jobs.taken = True
    JobRun(jobs, DOCUMENT, WORDS, told.append).run()
    assert told == ["another build makes the same; waiting for it", "one"]


@given(st.floats(1, 5000), st.sampled_from(["", "d" * 64]))
def test_every_job_is_confined_bounded_and_removed_by_the_cluster(timeout: float, layer: str) -> None:
    runtime = Runtime("image:1", "a" * 64, layer)
    for document, work in (
        (ask_job("n", CLUSTER, BUILDS, runtime, "e" * 20, ("q", "r"), timeout), timeout),
        (layer_job("n", CLUSTER, BUILDS, runtime, ("q", "r", "a")), job_contract.LAYER_TIMEOUT),
    ):
        spec = document["spec"]
        inner = spec["template"]["spec"]
        assert spec["backoffLimit"] == 0
        assert spec["activeDeadlineSeconds"] > work
        assert spec["ttlSecondsAfterFinished"] > 0
        assert inner["automountServiceAccountToken"] is False
        assert inner["serviceAccountName"] == "headrace-function"
        assert CLUSTER.storage_secret not in str(document)
        for container in [*inner["containers"], *inner.get("initContainers", [])]:
            security = container["securityContext"]
            assert security["runAsNonRoot"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert container["resources"]["limits"]["memory"]


# -- the room


@pytest.fixture
def documents(tmp_path: Path) -> Documents:
    return Documents(ObjectStore(str(tmp_path / "store")))


def variables(document: Json) -> dict[str, str]:
    env = document["spec"]["template"]["spec"]["containers"][0]["env"]
    return {e["name"]: e["value"] for e in env if "value" in e}


def question(tmp_path: Path) -> Question:
    return Question(VersionId("m", 1), "d" * 64, "python", tmp_path, {}, (number("x"),), (), batch=True)


def test_an_image_that_satisfies_needs_no_job_and_any_platform_can_install_its_lock(documents: Documents) -> None:
    jobs = ScriptedJobs({})
    room = ClusterBuildRoom(jobs, CLUSTER, BUILDS, documents)
    ground = room.prepare(Needs(("numpy>=2",)), lambda _: None)
    assert ground.runtime == Runtime(IMAGE.reference, "a" * 64)
    assert jobs.created == []
    assert documents.objects.get(layout.environment(ground.environment) + "lock.txt") == b"numpy==2.1.0\n"


def test_a_container_s_function_server_has_an_image_and_no_lock_that_a_standby_could_have(documents: Documents) -> None:
    allowing = replace(CLUSTER, allowed_images=("registry.example/churn:*",))
    room = ClusterBuildRoom(ScriptedJobs({}), allowing, BUILDS, documents)
    plain = room.prepare(Needs(("numpy",)), lambda _text: None)
    ground = room.prepare(Needs(("numpy",), container="registry.example/churn:3"), lambda _text: None)
    assert ground.runtime is not None
    assert plain.runtime is not None
    with pytest.raises(InvalidInput, match="is not an image that this platform may run"):
        room.prepare(Needs(("numpy",), container="registry.example/miner:1"), lambda _text: None)
    assert (plain.runtime.image, "", "") == (ground.runtime.image, ground.runtime.lock, ground.runtime.layer)


def test_one_layer_is_made_for_builds_of_one_list_and_remembered(documents: Documents) -> None:
    def make(document: Json) -> None:
        told = variables(document)
        assert set(documents.get(told[job_contract.QUESTION])["writes"]) == {
            told[job_contract.RESULT],
            told[job_contract.ARCHIVE],
        }
        documents.objects.put(told[job_contract.ARCHIVE], b"layer")
        documents.create(told[job_contract.RESULT], LAYER)

    jobs = ScriptedJobs(ended(0), on_create=make)
    room = ClusterBuildRoom(jobs, CLUSTER, BUILDS, documents)
    found: list[Ground] = []
    orders = (("pandas", "numpy"), ("numpy", "pandas"), ("pandas", "numpy"))
    threads = [
        threading.Thread(target=lambda o=o: found.append(room.prepare(Needs(o), lambda _: None))) for o in orders
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [found[0]] * 3
    assert found[0].runtime == Runtime(IMAGE.reference, "a" * 64, LAYER["sha256"])
    assert b"layer" == documents.objects.get(layout.layer(found[0].environment))
    assert LAYER["lock"] == documents.objects.get(layout.environment(found[0].environment) + "lock.txt").decode()
    assert len(jobs.created) == 1
    assert list(documents.objects.walk(layout.BUILDS)) == []


def made_layer(documents: Documents, archive: bytes = b"layer", **says: Any) -> None:
    documents.objects.put("archive", archive)
    documents.objects.put("result", orjson.dumps(LAYER | says))
    layers.keep(documents, "digest", "a" * 64, ["pandas"], ("result", "archive"))


@pytest.mark.parametrize(
    ("archive", "says"),
    [
        (b"other bytes", {}),
        (b"layer", {"sha256": "f" * 64}),
        (b"layer", {"sha256": "../../models"}),
        (b"layer", {"lock": 7}),
        (b"layer", {"lock": "x" * 4_000_000}),
        (b"layer", {"size": "large"}),
        (b"layer", {"packages": None}),
    ],
)
def test_a_layer_that_is_not_what_its_job_says_is_not_kept(
    documents: Documents, archive: bytes, says: dict[str, Any]
) -> None:
    with pytest.raises(HeadraceError):
        made_layer(documents, archive, **says)
    assert [] == list(documents.objects.walk(layout.ENVIRONMENTS))


def test_a_layer_cannot_take_the_place_of_another_one_by_what_its_job_says_of_it(documents: Documents) -> None:
    """A source distribution that claims the lock of somebody else's environment, with other files."""
    made_layer(documents)
    honest = documents.get(layout.resolution("digest"))
    documents.objects.delete(layout.resolution("digest"))

    made_layer(documents, b"hostile", sha256=hashlib.sha256(b"hostile").hexdigest())

    assert documents.get(layout.resolution("digest"))["environment"] != honest["environment"]
    assert b"layer" == documents.objects.get(layout.layer(honest["environment"]))


def test_a_layer_whose_job_somebody_removed_is_no_layer(documents: Documents) -> None:
    room = ClusterBuildRoom(ScriptedJobs({"job": None}), CLUSTER, BUILDS, documents)
    with pytest.raises(NotReady, match="apply the model again"):
        room.prepare(Needs(("pandas",)), lambda _: None)


def test_a_question_goes_through_the_store_and_leaves_nothing_there(documents: Documents, tmp_path: Path) -> None:
    signature = Signature((number("x"),), (number("y"),))

    def answer(document: Json) -> None:
        asked = documents.get(variables(document)[job_contract.QUESTION])
        assert asked["request"]["sample"] == {"x": [1.0, 2.0]}
        assert asked["artifact"] == layout.artifact(VersionId("m", 1))
        result = ProbeResult(True, signature.to_document()).to_document()
        documents.objects.put(variables(document)[job_contract.RESULT], orjson.dumps(result))

    jobs = ScriptedJobs(ended(0), on_create=answer)
    room = ClusterBuildRoom(jobs, CLUSTER, BUILDS, documents)
    ground = Ground("e" * 20, Runtime("image:1"))
    found = room.signature(ground, question(tmp_path), {"x": np.array([1.0, 2.0])}, tmp_path, lambda _: None)
    assert found == (signature.inputs, signature.outputs)
    assert list(documents.objects.walk(layout.BUILDS)) == []
    [document] = jobs.created
    assert jobs.deleted == [document["metadata"]["name"]]
    [token] = jobs.tokens
    assert token is not None
    assert token["metadata"]["name"] == f"{document['metadata']['name']}-store-token"


def test_a_failed_question_leaves_nothing_either(documents: Documents, tmp_path: Path) -> None:
    jobs = ScriptedJobs(ended(job_contract.KILLED))
    room = ClusterBuildRoom(jobs, CLUSTER, BUILDS, documents)
    with pytest.raises(InvalidInput, match="out of memory"):
        room.signature(Ground("e" * 20, Runtime("image:1")), question(tmp_path), {}, tmp_path, lambda _: None)
    assert list(documents.objects.walk(layout.BUILDS)) == []


def test_an_image_that_the_platform_is_not_told_of_is_never_chosen(tmp_path: Path) -> None:
    file = tmp_path / "images.json"
    entries = [{"name": n, "python": "3.11", "lock": "a" * 64, "packages": {n: "1.0"}} for n in ("python", "torch")]
    file.write_text(orjson.dumps({"images": [*entries, {**entries[0], "name": "own", "image": "reg/own:1"}]}).decode())
    told = {"HEADRACE_RUNTIME_IMAGES": str(file), "HEADRACE_FUNCTION_IMAGE_PYTHON": "reg/python:1"}
    one_by_one = BuildSettings.from_environment(told, ClusterSettings.from_environment(told, "s3://b"))
    assert ["python", "own"] == [i.name for i in one_by_one.images]
    by_pattern = BuildSettings.from_environment(told, ClusterSettings("s3://b", image="reg/{framework}:1"))
    assert ["python", "torch", "own"] == [i.name for i in by_pattern.images]


def test_without_listed_images_a_build_says_what_to_set(documents: Documents) -> None:
    room = ClusterBuildRoom(ScriptedJobs({}), CLUSTER, BuildSettings(), documents)
    with pytest.raises(InvalidInput, match="no runtime images are configured"):
        room.prepare(Needs(("numpy",)), lambda _: None)


def test_a_version_is_served_in_the_image_and_with_the_layer_it_was_built_for() -> None:
    runtime = Runtime("old/image:1", "a" * 64, "f" * 64)
    made = replace(version(), environment="k" * 20, runtime=runtime, proxied=True)
    cluster = replace(CLUSTER, locks={"b" * 64: "old/image:2"})
    container = inference_service(ServiceSpec(made), cluster)["spec"]["predictor"]["containers"][0]
    assert container["image"] == "old/image:1"
    env = {e["name"]: e.get("value") for e in container["env"]}
    assert env["HEADRACE_LAYER"] == f"environments/{'k' * 20}/layer.tar.zst"
    assert env["HEADRACE_LAYER_DIGEST"] == "f" * 64
