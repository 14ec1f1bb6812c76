"""Runs of ``headrace_jobs`` on a cluster: created once under the id of the job, followed to their end, removed."""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import orjson

from headrace_controller.analysis_runs import Outcome
from headrace_controller.backends.kserve import status
from headrace_controller.backends.kserve.analyses import (
    CONTAINER,
    JOB,
    START,
    SUBMITTER,
    Analysis,
    AnalysisSettings,
    job,
    ray_job,
)
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.environments.named import Engine
from headrace_functions.errors import HeadraceError, Unreachable

Json = dict[str, Any]

LOOK_EVERY = 1.0
"""Seconds between two looks at a run."""
_WITHOUT_RAY = ("explain",)
"""Kinds that somebody waits for and that ask nothing of Ray: a cluster of their own would only delay them."""
_TAIL = 5
_RESULT = frozenset(("report", "files", "error"))
"""Members that tell a run's result from other lines in JSON, such as Ray's own."""

log = logging.getLogger(__name__)


class RunsPort(Protocol):
    """The part of ``jobs.Jobs`` that runs need; blocking."""

    def has_ray_jobs(self) -> bool: ...

    def create(self, document: Json) -> bool: ...

    def create_ray(self, document: Json) -> bool: ...

    def find(self, name: str) -> Json | None: ...

    def find_ray(self, name: str) -> Json | None: ...

    def delete(self, name: str) -> None: ...

    def delete_ray(self, name: str) -> None: ...

    def labelled(self, label: str, value: str) -> list[Json]: ...

    def log(self, pod: str, container: str) -> list[str]: ...


class ClusterRunner:
    """``service.jobprocess.Runner`` over RayJobs and Jobs. Runs go on while the controller is away."""

    outlives = True

    def __init__(self, runs: RunsPort, cluster: ClusterSettings, settings: AnalysisSettings) -> None:
        self._runs = runs
        self._cluster = cluster
        self._settings = settings

    def start(self, job_id: str, engine: Engine, arguments: Sequence[str], timeout: float, log: Path) -> "ClusterRun":
        kind = arguments[2]
        ray = kind not in _WITHOUT_RAY and self._runs.has_ray_jobs()
        analysis = Analysis(job_id, self._settings.image_of(engine), arguments, timeout)
        document = (ray_job if ray else job)(analysis, self._cluster, self._settings)
        created = self._runs.create_ray(document) if ray else self._runs.create(document)
        with log.open("a") as sink:
            sink.write(f"{document['kind']} {analysis.name} {'created' if created else 'goes on'}\n")
        return ClusterRun(self._runs, analysis, log, ray=ray)


class ClusterRun:
    """One run. While the API server is away nothing is known and nothing is lost."""

    def __init__(self, runs: RunsPort, analysis: Analysis, file: Path, *, ray: bool) -> None:
        self._runs = runs
        self._analysis = analysis
        self._file = file
        self._ray = ray
        self._lines: list[str] = []
        self._stopping = threading.Event()

    def wait(self, timeout: float) -> Outcome:
        end = time.monotonic() + timeout + START
        while not self._stopping.is_set():
            try:
                outcome = self._look()
            except Unreachable as error:
                log.warning("%s; %s goes on", error.message, self._analysis.name)
                outcome = None
            if outcome is not None or time.monotonic() > end:
                self._remove()
                return outcome or Outcome(f"it took more than {timeout:.0f} s and was stopped", self._result())
            self._stopping.wait(LOOK_EVERY)
        self._remove()
        return Outcome("it was stopped", self._result())

    def stop(self) -> None:
        self._stopping.set()

    def _look(self) -> Outcome | None:
        """How it ended, None while it has not."""
        found = (self._runs.find_ray if self._ray else self._runs.find)(self._analysis.name)
        pods = self._runs.labelled(JOB, self._analysis.job)
        self._follow(pods)
        if found is None:
            return Outcome("somebody deleted it from the cluster", self._result())
        ended, why = (_ray_end if self._ray else _end)(found)
        if not ended:
            return self._cannot_start(pods)
        self._follow(self._runs.labelled(JOB, self._analysis.job))  # its last words may have come meanwhile
        result = self._result()
        if ended == "succeeded":
            return Outcome("" if result else "it ended without a result; its log says more", result)
        return Outcome(self._failure(result, why, pods), result)

    def _cannot_start(self, pods: Sequence[Json]) -> Outcome | None:
        troubles = (status.pod_trouble(_before_it_ran(pod)) for pod in pods)
        final = next((t for t in troubles if t is not None and t.final), None)
        return Outcome(final.reason) if final is not None else None

    def _follow(self, pods: Sequence[Json]) -> None:
        speaking = SUBMITTER if self._ray else CONTAINER
        for pod in pods:
            if any(c["name"] == speaking and "waiting" not in c["state"] for c in _containers(pod)):
                lines = self._runs.log(pod["metadata"]["name"], speaking)
                if len(lines) > len(self._lines):
                    with self._file.open("a") as sink:
                        sink.writelines(line + "\n" for line in lines[len(self._lines) :] if _result_of(line) is None)
                    self._lines = lines

    def _result(self) -> Mapping[str, Any]:
        """What the run printed last as JSON."""
        return next((found for line in reversed(self._lines) if (found := _result_of(line)) is not None), {})

    def _failure(self, result: Mapping[str, Any], why: str, pods: Sequence[Json]) -> str:
        error = result.get("error")
        if isinstance(error, Mapping) and (error.get("detail") or error.get("message")):
            return str(error.get("detail") or error["message"])
        trouble = next((t for t in map(status.pod_trouble, pods) if t is not None), None)
        said = "\n".join(line for line in self._lines[-_TAIL:] if line.strip())
        return (trouble.reason if trouble is not None and trouble.final else "") or said or why or "it failed"

    def _remove(self) -> None:
        remove: Callable[[str], None] = self._runs.delete_ray if self._ray else self._runs.delete
        try:
            remove(self._analysis.name)
        except HeadraceError as error:
            log.warning("%s stays until the cluster removes it: %s", self._analysis.name, error.message)


def _end(found: Json) -> tuple[str, str]:
    for condition in found.get("status", {}).get("conditions") or []:
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed"):
            return ("succeeded" if condition["type"] == "Complete" else "failed"), str(condition.get("message", ""))
    return "", ""


def _ray_end(found: Json) -> tuple[str, str]:
    """Over when KubeRay calls it complete, not when the job has ended: only then has the submitter told its last words."""
    said = found.get("status", {})
    why = str(said.get("message") or said.get("reason") or "")
    if said.get("jobDeploymentStatus") not in ("Complete", "Failed"):
        return "", ""
    return ("succeeded" if said.get("jobStatus") == "SUCCEEDED" else "failed"), why


def _containers(pod: Json) -> Sequence[Json]:
    found: Sequence[Json] = pod.get("status", {}).get("containerStatuses") or []
    return found


def _before_it_ran(pod: Json) -> Json:
    """The pod without containers that ran and ended: how those ended is told by the Job."""
    kept = [c for c in _containers(pod) if "waiting" in c.get("state", {}) and not c.get("lastState")]
    return {**pod, "status": {**pod.get("status", {}), "containerStatuses": kept}}


def _result_of(line: str) -> Mapping[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and not _RESULT.isdisjoint(found) else None
