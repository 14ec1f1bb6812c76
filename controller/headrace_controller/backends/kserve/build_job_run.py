"""One Job from its creation to its end: its log followed, its failure said in words that a person can act on."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any, Protocol

import orjson

from headrace_controller.backends.kserve import status
from headrace_functions.building import job_contract
from headrace_functions.errors import DeadlineExceeded, HeadraceError, InvalidInput, NotReady, Unreachable

Json = dict[str, Any]
Log = Callable[[str], None]

LOOK_EVERY = 0.5
"""Seconds between two looks at a Job."""
PATIENCE = 15.0
"""Seconds without a pod after which the cluster is asked why."""
_GRACE = 60.0  # seconds beyond the Job's own deadline
_TAIL = 5  # lines of the log in an error

log = logging.getLogger(__name__)


class JobsPort(Protocol):
    """The part of ``jobs.Jobs`` that a run needs."""

    def create(self, document: Json, token: Json | None = None) -> bool: ...

    def find(self, name: str) -> Json | None: ...

    def delete(self, name: str) -> None: ...

    def pod(self, job: str) -> Json | None: ...

    def log(self, pod: str, container: str) -> list[str]: ...

    def refusals(self, job: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Words:
    """What the errors of a Job are about."""

    field: str
    late: str
    """Message where its own time was over."""
    memory: str
    """What a build may use."""
    who: str = "the process that tried the function"


class JobRun:
    """Runs one Job and removes it, whatever happens."""

    def __init__(self, jobs: JobsPort, document: Json, words: Words, tell: Log, token: Json | None = None) -> None:
        """``token`` is the Secret by which its pod reaches the store proxy."""
        self._jobs = jobs
        self._token = token
        self._document = document
        self._name: str = document["metadata"]["name"]
        self._words = words
        self._tell = tell
        self._told: dict[str, int] = {}
        self._lines: list[str] = []
        self._waits_for = ""

    def run(self) -> None:
        """Return when it has succeeded; a ``HeadraceError`` says why it has not.

        A Job of the same name that somebody else began is waited for as if it were ours.
        """
        started = time.monotonic()
        end = started + self._document["spec"]["activeDeadlineSeconds"] + _GRACE
        if not self._jobs.create(self._document, self._token):
            self._tell("another build makes the same; waiting for it")
        try:
            while not self._look(waited=time.monotonic() - started):
                if time.monotonic() > end:
                    raise self._too_late()
                Event().wait(LOOK_EVERY)
        finally:
            self._remove()

    def _look(self, *, waited: float) -> bool:
        """Whether it has succeeded; raises why it cannot. While the API server is away nothing is known."""
        try:
            job = self._jobs.find(self._name)
            pod = self._jobs.pod(self._name)
            if pod is not None:
                self._follow(pod)
            elif waited > PATIENCE and job is not None and not _ended(job):
                self._refuse_without_pod()
        except Unreachable as error:
            log.warning("%s; the build waits", error.message)
            return False
        if job is None:
            return True  # whoever waited for it as well was quicker; the result says how it ended
        if _ended(job) == "Complete":
            return True
        if pod is not None:
            self._judge(pod)
        if _ended(job) == "Failed":
            raise self._too_late() if _reason(job) == "DeadlineExceeded" else self._died(1)
        return False

    def _follow(self, pod: Mapping[str, Any]) -> None:
        for found in _statuses(pod):
            if "waiting" in found.get("state", {}):
                continue
            lines = self._jobs.log(pod["metadata"]["name"], found["name"])
            for line in lines[self._told.get(found["name"], 0) :]:
                if not line.startswith('{"message"'):
                    self._tell(line)
            self._told[found["name"]] = len(lines)
            if lines:
                self._lines = lines

    def _judge(self, pod: Mapping[str, Any]) -> None:
        """Raise why a pod cannot do its work; what may pass by itself is told once."""
        for found in _statuses(pod):
            ended = found.get("state", {}).get("terminated")
            if ended and ended.get("exitCode"):
                self._follow(pod)
                raise self._failed(ended)
        shown = dict(pod) | {"status": dict(pod["status"]) | {"containerStatuses": _statuses(pod)}}
        trouble = status.pod_trouble(shown)
        if trouble is None:
            return
        if trouble.final and not _first_pull(pod):
            raise InvalidInput(trouble.reason, field=self._words.field)
        if trouble.reason != self._waits_for:
            self._waits_for = trouble.reason
            self._tell(trouble.reason)

    def _failed(self, ended: Mapping[str, Any]) -> HeadraceError:
        code = int(ended["exitCode"])
        if code == job_contract.LATE:
            return DeadlineExceeded(self._words.late, field=self._words.field)
        if code == job_contract.KILLED or ended.get("reason") == "OOMKilled":
            return InvalidInput(
                f"{self._words.field}: it ran out of memory, a build may use {self._words.memory}",
                field=self._words.field,
                hint="raise HEADRACE_BUILD_MEMORY of the platform, or make it smaller",
            )
        if code == job_contract.REFUSED and self._lines:
            return _told(self._lines[-1])
        return self._died(code)

    def _died(self, code: int) -> InvalidInput:
        said = "\n".join(self._lines[-_TAIL:])
        foreign = "No module named headrace_functions" in said or "No module named 'headrace_functions" in said
        return InvalidInput(
            f"{self._words.field}: {self._words.who} ended without an answer: {said or f'exit code {code}'}",
            field=self._words.field,
            hint="build the image FROM a runtime image of this platform" if foreign else None,
        )

    def _refuse_without_pod(self) -> None:
        try:
            why = self._jobs.refusals(self._name)
        except InvalidInput as error:  # it may not look: the Job waits until its time is over
            self._waits_for = self._waits_for or error.message
            return
        if why:
            raise NotReady(f"the cluster does not create a pod for the build: {status.advised(why)}")

    def _too_late(self) -> DeadlineExceeded:
        return DeadlineExceeded(
            self._words.late,
            field=self._words.field,
            hint=self._waits_for or "did the pod start? see: kubectl describe job",
        )

    def _remove(self) -> None:
        try:
            self._jobs.delete(self._name)
        except HeadraceError as error:
            log.warning("Job %s stays until the cluster removes it: %s", self._name, error.message)


def _ended(job: Mapping[str, Any]) -> str:
    """``Complete`` or ``Failed``, empty while it runs."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return str(condition["type"])
    return ""


def _reason(job: Mapping[str, Any]) -> str:
    conditions = job.get("status", {}).get("conditions") or []
    return next((str(c.get("reason", "")) for c in conditions if c["type"] == "Failed"), "")


def _statuses(pod: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Containers in the order in which they run."""
    found = pod.get("status", {})
    return [*(found.get("initContainerStatuses") or []), *(found.get("containerStatuses") or [])]


def _first_pull(pod: Mapping[str, Any]) -> bool:
    """Whether an image could not be pulled at the first try: a registry may have been away for a moment."""
    return any(s.get("state", {}).get("waiting", {}).get("reason") == "ErrImagePull" for s in _statuses(pod))


def _told(line: str) -> InvalidInput:
    """The error that a Job of ours wrote as its last line."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return InvalidInput(line)
    return InvalidInput(
        str(found.get("message", line)), **{k: v for k, v in found.items() if k in ("field", "expected", "got", "hint")}
    )
