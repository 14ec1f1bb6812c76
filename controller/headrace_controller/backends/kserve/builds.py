"""The build room of a cluster: runtime images and layers instead of virtual environments, Jobs instead of processes."""

import hashlib
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from headrace_controller import archive
from headrace_controller.backends.kserve import layers
from headrace_controller.backends.kserve.allowed_images import check_image
from headrace_controller.backends.kserve.build_job_manifests import ask_job, build_token, layer_job
from headrace_controller.backends.kserve.build_job_run import JobRun, JobsPort, Words
from headrace_controller.backends.kserve.build_settings import BuildSettings
from headrace_controller.backends.kserve.manifests import WORK
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.building import exchange
from headrace_controller.building.room import ANSWERS_TIMEOUT, PROBE_TIMEOUT, Fields, Ground, Needs, Question
from headrace_controller.child_processes import Log
from headrace_controller.environments import images
from headrace_controller.environments.images import RuntimeImage
from headrace_controller.training.tables import Columns
from headrace_functions.building import job_contract
from headrace_functions.errors import Conflict, NotFound, NotReady
from headrace_functions.storage import layout, reach
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Runtime

STALE = 24 * 3600.0
"""Seconds after which what a build left in the store, because its controller was killed, is removed."""
_ARTIFACT = Path(WORK) / "artifact"
_RESULT = Path(WORK) / "result.json"


class ClusterBuildRoom:
    """``building.room.BuildRoom`` on a cluster. The controller resolves nothing, installs nothing and loads no user code."""

    def __init__(self, jobs: JobsPort, cluster: ClusterSettings, builds: BuildSettings, documents: Documents) -> None:
        self._jobs = jobs
        self._cluster = cluster
        self._builds = builds
        self._documents = documents
        self._resolving: dict[str, threading.Lock] = {}

    def artifact(self, digest: str, packed: Path, folder: Path) -> Path:
        target = folder / f"artifact-{digest[:12]}"
        archive.unpack(packed, target)
        return target

    def prepare(self, needs: Needs, log: Log) -> Ground:
        if needs.image:
            cluster = self._cluster
            check_image(needs.image, (cluster.image, *cluster.images.values()), cluster.allowed_images)
            log(f"image {needs.image}, as the definition says; requirements are what it holds")
            return Ground(_digest(["image", needs.image])[:20], Runtime(needs.image))
        if needs.container:
            check_image(needs.container, (), self._cluster.allowed_images)
            log(f"container {needs.container}; the function server beside it passes requests on")
        choice = images.choose(self._builds.images, needs.requirements)
        image = choice.image
        if not choice.lacking:
            log(f"runtime image {image.name} ({image.reference}) satisfies the requirements")
            self._keep_lock(image)
            # A standby of this lock would answer without the container.
            return Ground(image.environment, Runtime(image.reference, "" if needs.container else image.listed.lock))
        log(f"runtime image {image.name} ({image.reference}) lacks: {', '.join(choice.lacking)}")
        return replace(self._with_layer(image, needs.requirements, log), lacking=choice.lacking)

    # A Job reads and writes the store; the build's folder on this machine is not for it.
    def signature(
        self,
        ground: Ground,
        question: Question,
        sample: Columns,
        folder: Path,  # noqa: ARG002
        log: Log,
    ) -> tuple[Fields, Fields]:
        request = exchange.probe_request(question, sample, _ARTIFACT, _RESULT)
        return exchange.found_signature(self._ask("probe", ground, question, request, PROBE_TIMEOUT, log))

    def answers(
        self,
        ground: Ground,
        question: Question,
        rows: Columns,
        folder: Path,  # noqa: ARG002
        log: Log,
    ) -> Columns:
        request = exchange.answers_request(question, rows, _ARTIFACT, _RESULT)
        return exchange.answered(
            question, self._ask("training_answers", ground, question, request, ANSWERS_TIMEOUT, log)
        )

    def _ask(
        self, module: str, ground: Ground, question: Question, request: dict[str, Any], timeout: float, log: Log
    ) -> bytes:
        assert ground.runtime is not None
        name = f"headrace-ask-{uuid.uuid4().hex[:12]}"
        keys = (layout.exchange(name, "question.json"), layout.exchange(name, "result.json"))
        artifact, layer = layout.artifact(question.version), layout.layer(ground.environment)
        asked = {
            "module": module,
            "request": request,
            "artifact": artifact,
            "digest": question.digest,
            "timeout": timeout,
            reach.READS: [artifact, *([layer] if ground.runtime.layer else [])],
            reach.WRITES: [keys[1]],
        }
        job = ask_job(name, self._cluster, self._builds, ground.runtime, ground.environment, keys, timeout)
        late = f"payload: the function took more than {timeout:.0f} s to load and answer"
        with self._asked(keys, asked):
            words = Words("payload", late, self._builds.memory)
            JobRun(self._jobs, job, words, log, build_token(job, self._cluster)).run()
            return self._result(keys[1])

    def _with_layer(self, image: RuntimeImage, requirements: Sequence[str], log: Log) -> Ground:
        """The layer that a list of requirements was resolved to, made now if it never was. One at a time a list."""
        digest = _digest([image.listed.lock, *sorted(set(requirements))])
        with self._resolving.setdefault(digest, threading.Lock()):
            known = self._documents.find(layout.resolution(digest))
            if known is not None:
                log(f"environment {known['environment']} is what these requirements were resolved to before")
            else:
                self._make_layer(digest, image, sorted(set(requirements)), log)
                known = self._documents.find(layout.resolution(digest))
            if known is None:
                raise NotReady("the Job that builds the layer was removed before it finished; apply the model again")
        return Ground(known["environment"], Runtime(image.reference, image.listed.lock, known["layer"]))

    def _make_layer(self, digest: str, image: RuntimeImage, requirements: list[str], log: Log) -> None:
        name = f"headrace-layer-{digest[:20]}"
        question, result, packed = (
            layout.exchange(name, part) for part in ("question.json", "result.json", "layer.tar.zst")
        )
        keys = (question, result, packed)
        runtime = Runtime(image.reference, image.listed.lock)
        job = layer_job(name, self._cluster, self._builds, runtime, keys)
        late = f"requirements: resolving and installing took more than {job_contract.LAYER_TIMEOUT:.0f} s; is the index reachable?"
        words = Words("requirements", late, self._builds.memory, "the process that makes the layer")
        with self._asked(keys, {"requirements": requirements, reach.WRITES: list(keys[1:])}):
            JobRun(self._jobs, job, words, log, build_token(job, self._cluster)).run()
            if not self._documents.objects.exists(layout.resolution(digest)):
                layers.keep(self._documents, digest, image.listed.lock, requirements, keys[1:])

    def _keep_lock(self, image: RuntimeImage) -> None:
        """The lock by which a platform on one machine runs the version."""
        try:
            self._documents.objects.create(layout.environment(image.environment) + "lock.txt", image.lock_text.encode())
        except Conflict:
            return  # the key is the hash of what the image holds

    @contextmanager
    def _asked(self, keys: Sequence[str], question: dict[str, Any]) -> Iterator[None]:
        """The question in the store while it is asked; afterwards nothing of it, nor of builds that nobody ended."""
        objects = self._documents.objects
        objects.put(keys[0], orjson.dumps(question, option=orjson.OPT_SERIALIZE_NUMPY))
        try:
            yield
        finally:
            for key in keys:
                objects.delete(key)
            for left in list(objects.walk(layout.BUILDS)):
                if left.modified < time.time() - STALE:
                    objects.delete(left.key)

    def _result(self, key: str) -> bytes:
        try:
            return self._documents.objects.get(key)
        except NotFound as error:
            raise NotReady("the build's Job was removed before it finished; apply the model again") from error


def _digest(parts: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
