"""Analysis jobs: ``python -m headrace_jobs …``, queued, followed, cancelled, timed out; a ``Runner`` says where they run.

States are documents of the store (``queued → running → done | failed``); the log is a file of the home. A job that is not
over has a marker below ``<home>/jobs``; what is found there at start was cut short, so it is marked failed. Where runs outlive
the platform's process (in a cluster) what is not over is taken up again instead.
"""

import logging
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.analysis_runs import Outcome, Run, Runner
from headrace_controller.environments.named import Engine
from headrace_controller.service import batch_places
from headrace_controller.service.paging import Page, PageRequest, page
from headrace_functions.errors import Conflict, DamagedDocument, HeadraceError, InvalidInput, NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret

Kind = Literal[
    "drift",
    "performance",
    "quality",
    "outliers",
    "fairness",
    "explain",
    "attribution",
    "profile",
    "projection",
    "batch",
]
State = Literal["queued", "running", "done", "failed"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ASKING: tuple[Kind, ...] = ("attribution", "batch")
"""Kinds that ask the version through the gateway, whoever starts them; an explanation is told where by whoever starts it."""
ENGINES: tuple[Engine, ...] = ("native", "alibi")
CHOOSING: tuple[Kind, ...] = ("drift", "outliers", "explain")
"""Kinds that have engines to choose from."""
OVER = ("done", "failed")

DEFAULT_TIMEOUT = 1800.0  # seconds a job may run
MAX_QUEUED = 100
_LOOKED_BACK = 2 * MAX_QUEUED  # newest jobs among which those that are not over are looked for
INTERRUPTED = "the platform stopped while this job ran; start it again"
CANCELLED = "cancelled"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What is to be analysed. ``arguments`` are options of ``headrace_jobs`` without their dashes, e.g. ``window``."""

    kind: Kind
    version: VersionId
    engine: Engine = "native"
    arguments: Mapping[str, str] = field(default_factory=dict)
    timeout: float = DEFAULT_TIMEOUT
    by: str = "api"
    """Who asked: ``api`` or ``schedule NAME``."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidInput(
                f"kind: {self.kind!r} is not a valid kind", field="kind", expected=f"one of {', '.join(KINDS)}"
            )
        if self.engine not in ENGINES:
            raise InvalidInput(
                f"engine: {self.engine!r} is not a valid engine",
                field="engine",
                expected=f"one of {', '.join(ENGINES)}",
            )

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "kind": self.kind,
            "model": str(self.version),
            "engine": self.engine,
            "arguments": dict(self.arguments),
            "timeout": self.timeout,
            "by": self.by,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "JobRequest":
        return cls(
            document["kind"],
            VersionId.parse(document["model"]),
            document["engine"],
            document["arguments"],
            document["timeout"],
            document["by"],
        )


@dataclass(frozen=True, slots=True)
class Job:
    """One run as it is now."""

    id: str
    request: Mapping[str, Any]
    state: State
    created: str
    at: str
    """When it entered this state."""
    reason: str = ""
    result: Mapping[str, Any] = field(default_factory=dict)
    """What the run printed last: ``report`` (key of the report), ``verdict``, ``severity``."""


class Jobs:
    """Runs jobs of one queue in order, ``parallel`` at a time; explanations have a queue of their own, for somebody waits."""

    def __init__(
        self,
        documents: Documents,
        runner: Runner,
        storage_url: str,
        home: Path,
        *,
        parallel: int = 1,
        gateway: str = "",
    ) -> None:
        """``gateway`` is the URL at which jobs ask models."""
        self.places: Sequence[str] = ()
        """Where batches may read and write."""
        self._gateway = gateway
        self._documents = documents
        self._runner = runner
        self._storage_url = storage_url
        self._markers = home / "jobs"
        self._logs = home / "log" / "jobs"
        self._parallel = parallel
        self._queues: dict[bool, queue.Queue[tuple[str, JobRequest] | None]] = {
            False: queue.Queue(MAX_QUEUED),
            True: queue.Queue(MAX_QUEUED),
        }
        self._jobs: dict[str, Job] = {}
        self._running: dict[str, Run] = {}
        self._here: set[str] = set()
        """Jobs that wait or run in this process."""
        self._cancelled: set[str] = set()
        self._changed = threading.Condition()
        self._listeners: list[Callable[[Job], None]] = []

    def open(self) -> None:
        """Mark what a crash interrupted and start to work; called once, before the first ``start``."""
        self._logs.mkdir(parents=True, exist_ok=True)
        self._markers.mkdir(parents=True, exist_ok=True)
        for marker in sorted(self._markers.iterdir()):
            if self.get(marker.name).state not in OVER:
                self._enter(marker.name, "failed", INTERRUPTED)
            marker.unlink()
        if self._runner.outlives:
            self._take_up()
        for interactive, work in self._queues.items():
            for number in range(2 if interactive else self._parallel):
                threading.Thread(
                    target=self._work, args=(work,), name=f"jobs {interactive} {number}", daemon=True
                ).start()

    def close(self) -> None:
        """Stop what runs; it is marked failed at the next start."""
        with self._changed:
            running = list(self._running.values())
        for process in running:
            process.stop()

    def on_change(self, listener: Callable[[Job], None]) -> None:
        self._listeners.append(listener)

    def start(self, request: JobRequest) -> Job:
        """Queue a run, or join one that waits and is asked the same; ``Conflict`` where ``MAX_QUEUED`` wait already."""
        self.check(request.kind, request.arguments)
        if request.kind == "batch":  # looked at again by the job, where links lead may have changed
            request = replace(request, arguments={**request.arguments, "within": ",".join(self.places)})
        if request.kind in ASKING:
            request = replace(request, arguments={**request.arguments, "endpoint": self._gateway})
        waiting = self._waiting(request)
        if waiting is not None:
            return waiting
        created = clock.now()
        job_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        document = {"id": job_id, **request.to_document(), "created": created}
        self._documents.create(layout.job_document(job_id), document)
        (self._markers / job_id).touch()
        self._here.add(job_id)
        self._jobs[job_id] = Job(job_id, document, "queued", created, created)
        job = self._enter(job_id, "queued")
        try:
            self._queues[request.kind == "explain"].put_nowait((job_id, request))
        except queue.Full:
            self._enter(job_id, "failed", f"{MAX_QUEUED} jobs are already waiting")
            raise Conflict(
                f"{MAX_QUEUED} jobs are already waiting", hint="wait for some to finish, or cancel them"
            ) from None
        return job

    def check(self, kind: Kind, arguments: Mapping[str, str]) -> None:
        """``InvalidInput`` for arguments of a batch that it may not have."""
        if kind == "batch":
            batch_places.check(arguments, self.places)

    def _waiting(self, request: JobRequest) -> Job | None:
        """A run that waits here for its turn and will find what this one would: it has not begun to read."""
        asked = request.to_document()
        held = (self._jobs[job_id] for job_id in sorted(self._here) if job_id in self._jobs)
        return next((j for j in held if j.state == "queued" and asked.items() <= j.request.items()), None)

    def get(self, job_id: str) -> Job:
        held = self._jobs.get(job_id)
        if held is None or (
            held.state not in OVER and job_id not in self._here
        ):  # another controller brings it forward
            held = self._jobs[job_id] = self._read(job_id)
        return held

    def select(
        self, request: PageRequest, *, kind: str | None = None, model: str | None = None, status: str | None = None
    ) -> Page[Job]:
        """Jobs, the newest first."""
        wanted = {"kind": kind, "model": model}
        return page(
            (j for j in self._all() if _matches(j, wanted) and status in (None, j.state) and _is_seen(j)),
            request,
            lambda j: j.id,
        )

    def unfinished(self) -> list[Job]:
        """Jobs that wait or run."""
        return [job for job in islice(self._all(), _LOOKED_BACK) if job.state not in OVER]

    def wait(self, job_id: str, timeout: float) -> Job:
        """The job when it is over, or as it is after ``timeout`` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.get(job_id).state in OVER, timeout)
        return self.get(job_id)

    def log(self, job_id: str) -> str:
        """Everything the run wrote; empty where it ran on another machine."""
        self.get(job_id)
        file = self._logs / f"{job_id}.log"
        return file.read_text(errors="replace") if file.is_file() else ""

    def cancel(self, job_id: str) -> Job:
        """Stop a job that waits or runs; one that is over stays as it is."""
        job = self.get(job_id)
        with self._changed:
            self._cancelled.add(job_id)
            process = self._running.get(job_id)
        if process is not None:
            process.stop()
        elif job.state == "queued":
            return self._enter(job_id, "failed", CANCELLED)
        return self.wait(job_id, timeout=15.0)

    def _take_up(self) -> None:
        """Follow again what an earlier process of the platform began; starting a run twice is starting it once."""
        for job in islice(self._all(), _LOOKED_BACK):
            if job.state not in OVER:
                self._here.add(job.id)
                self._queues[job.request["kind"] == "explain"].put((job.id, JobRequest.from_document(job.request)))

    def _work(self, work: "queue.Queue[tuple[str, JobRequest] | None]") -> None:
        while (item := work.get()) is not None:
            job_id, request = item
            # Where the store is away the marker stays, so the next start marks the job failed.
            with LoopHealth(f"job {job_id}", _log).guard():
                if job_id not in self._cancelled:
                    self._run(job_id, request)
                (self._markers / job_id).unlink(missing_ok=True)

    def _run(self, job_id: str, request: JobRequest) -> None:
        self._enter(job_id, "running")
        file = self._logs / f"{job_id}.log"
        try:
            arguments = arguments_of(job_id, request, self._storage_url)
            process = self._runner.start(job_id, request.engine, arguments, request.timeout, file)
            with self._changed:
                self._running[job_id] = process
                if job_id in self._cancelled:
                    process.stop()
            outcome = process.wait(request.timeout)
        except (HeadraceError, OSError) as error:
            outcome = Outcome(reason=str(error))
        finally:
            with self._changed:
                self._running.pop(job_id, None)
        reason = CANCELLED if job_id in self._cancelled else outcome.reason
        self._enter(job_id, "failed" if reason else "done", reason, outcome.result)

    def _enter(self, job_id: str, state: State, reason: str = "", result: Mapping[str, Any] | None = None) -> Job:
        at = clock.now()
        found = dict(result or {})
        document = {"schema": 1, "state": state, "reason": reason, "result": found, "at": at}
        self._documents.append(layout.job_status(job_id), document)
        job = replace(self.get(job_id), state=state, reason=reason, result=found, at=at)
        with self._changed:
            self._jobs[job_id] = job
            self._changed.notify_all()
        for listener in self._listeners:
            listener(job)
        return job

    def _all(self) -> Iterator[Job]:
        for job_id in reversed(self._documents.objects.folders(layout.JOBS)):
            try:
                yield self.get(job_id)
            except (NotFound, DamagedDocument) as error:
                _log.error("job %s is left out: %s", job_id, error.message)

    def _read(self, job_id: str) -> Job:
        document = self._documents.find(layout.job_document(job_id))
        if document is None:
            raise NotFound(f"no job {job_id!r}", field="job", hint="'headrace analyze list' shows what there is")
        last = self._documents.last(layout.job_status(job_id)) or {"state": "queued", "at": document.get("created", "")}

        def job(given: dict[str, Any]) -> Job:
            JobRequest.from_document(given)
            state, at = last["state"], last["at"]
            return Job(job_id, given, state, given["created"], at, last.get("reason", ""), last.get("result", {}))

        return interpret(layout.job_document(job_id), document, job)


def arguments_of(job_id: str, request: JobRequest, storage_url: str) -> list[str]:
    """The command line of a run, after the Python: ``-m headrace_jobs KIND --model …``."""
    arguments = ["-m", "headrace_jobs", request.kind, "--model", str(request.version), "--storage", storage_url]
    if request.kind in CHOOSING:
        arguments += ["--engine", request.engine]
    if request.kind == "drift":
        arguments += ["--id", job_id]
    for name, value in sorted(request.arguments.items()):
        arguments += [f"--{name}", value]
    return arguments


def _is_seen(job: Job) -> bool:
    return current.may("view", str(job.request["model"]).partition(":")[0])


def _matches(job: Job, wanted: Mapping[str, str | None]) -> bool:
    return all(value is None or job.request[key] == value for key, value in wanted.items())
