"""Evaluations: a version asked the rows of a labelled file, and its figures held against requirements.

The questions are the platform's own: no log has them and health does not count them. An evaluation runs in a thread of the controller, two at a
time, and is kept in the store when it is over; one that a restart cuts short is ``interrupted``. Nothing changes by one: who asked moves aliases.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.evaluation import asking, labelled
from headrace_controller.evaluation.asking import Answers
from headrace_controller.evaluation.labelled import Labelled
from headrace_controller.evaluation.requirements import MAX_REQUIREMENTS, Finding, Requirement, judge
from headrace_controller.evaluation.scoring import figures_of
from headrace_controller.requestlog.model_requests import Ask, Unanswered, nobody_to_ask
from headrace_controller.service.aliases import Aliases
from headrace_functions.errors import HeadraceError, InvalidInput, NotFound, NotReady, Overloaded
from headrace_functions.names import Reference, VersionId
from headrace_functions.storage import layout
from headrace_functions.version import Version

log = logging.getLogger("headrace.evaluations")

AT_ONCE = 2
MOST_OPEN = 8
"""Evaluations that run or wait; one more is refused with 429."""
MOST_LISTED = 100
_AS_THEY_ARE = ("id", "file", "state", "at", "rows", "asked", "refused", "figures", "baseline_figures", "reason")
EVERY_ROW = Requirement.parse("answered>=1")
"""Holds unless something else is required of ``answered``: figures of the few rows that a version takes say little."""


@dataclass(frozen=True, slots=True)
class EvaluationRequest:
    version: VersionId
    requirements: Sequence[Requirement] = ()
    baseline: str = ""
    """A version or alias of the same model; an alias that is not there yet is no baseline yet."""
    target: str = ""
    """The column of labels; the version's own where it is empty."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    id: str
    version: VersionId
    file: str
    baseline: VersionId | None
    state: str
    """``running``, ``done``, ``failed`` or ``interrupted``."""
    at: str
    rows: int
    asked: int = 0
    refused: int = 0
    """Rows that the version answered with an error."""
    first_refused: Sequence[Mapping[str, Any]] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    baseline_figures: Mapping[str, float] = field(default_factory=dict)
    findings: Sequence[Finding] = ()
    reason: str = ""
    """Why it failed."""

    @property
    def passed(self) -> bool | None:
        """Whether every requirement holds; None where it is not over."""
        return all(f.held for f in self.findings) if self.state == "done" else None

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            **{name: getattr(self, name) for name in _AS_THEY_ARE},
            "version": str(self.version),
            "baseline": str(self.baseline) if self.baseline else None,
            "first_refused": list(self.first_refused),
            "requirements": [
                {"requirement": f.requirement, "value": f.value, "limit": f.limit, "held": f.held, "note": f.note}
                for f in self.findings
            ],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Evaluation":
        return cls(
            **{name: document[name] for name in _AS_THEY_ARE},
            version=VersionId.parse(document["version"]),
            baseline=VersionId.parse(document["baseline"]) if document["baseline"] else None,
            first_refused=document["first_refused"],
            findings=[Finding(**found) for found in document["requirements"]],
        )


def _new_id() -> str:
    """Ids sort as they were made, to the millisecond."""
    return f"{time.time_ns() // 1_000_000:011x}{uuid.uuid4().hex[:5]}"


@dataclass(slots=True)
class Evaluations:
    catalog: Catalog
    aliases: Aliases
    ask: Ask = nobody_to_ask
    """How versions are asked, unrecorded."""
    sleep: Callable[[float], None] = time.sleep
    _open: dict[str, Evaluation] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _room: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def start(self, request: EvaluationRequest, file: Path) -> Evaluation:
        """Read the file and begin. Raises as ``labelled.read`` does, ``NotReady`` for a version that is not released, ``Overloaded``."""
        version = self._released(request.version)
        if len(request.requirements) > MAX_REQUIREMENTS:
            raise InvalidInput(
                f"require: more than {MAX_REQUIREMENTS}", field="require", got=str(len(request.requirements))
            )
        baseline = self._baseline(request)
        target = labelled.target_of(version, request.target)
        objects = self.catalog.documents.objects
        data = [
            labelled.read(file, v, target, objects, self.catalog.get(v.id).missing_values)
            for v in (version, baseline)
            if v is not None
        ]
        made = Evaluation(
            _new_id(),
            version.id,
            file.name,
            baseline.id if baseline else None,
            "running",
            clock.now(),
            data[0].rows.num_rows,
        )
        with self._lock:
            if len(self._open) >= MOST_OPEN:
                raise Overloaded(
                    f"{MOST_OPEN} evaluations are already running or waiting", retry_after=5.0, hint="try again later"
                )
            self._open[made.id] = made
        try:
            self.catalog.documents.create(layout.evaluation(version.id, made.id), made.to_document())
            arguments = (made.id, version, baseline, data, tuple(request.requirements))
            threading.Thread(target=self._work, args=arguments, name=f"evaluation {made.id}", daemon=True).start()
        except BaseException:
            self._forget(made.id)
            raise
        return made

    def get(self, version: VersionId, evaluation_id: str) -> Evaluation:
        """An evaluation as it is now."""
        with self._lock:
            running = self._open.get(evaluation_id)
        if running is not None and running.version == version:
            return running
        documents = self.catalog.documents
        found = documents.find(layout.evaluation(version, evaluation_id)) if evaluation_id.isalnum() else None
        if found is None:
            raise NotFound(f"{version} has no evaluation {evaluation_id!r}", field="id")
        over = documents.find(layout.evaluation_result(version, evaluation_id))
        if over is not None:
            return Evaluation.from_document(over)
        return replace(Evaluation.from_document(found), state="interrupted")

    def select(self, version: VersionId, most: int = MOST_LISTED) -> list[Evaluation]:
        """The last ones of a version, the newest first."""
        self.catalog.get(version)
        names = self.catalog.documents.objects.names(layout.evaluations(version))
        ids = sorted((name.removesuffix(".json") for name in names if name.endswith(".json")), reverse=True)
        return [self.get(version, i) for i in ids[:most]]

    def _released(self, version: VersionId) -> Version:
        found = self.catalog.get(version)
        if found.version is None or not found.released:
            raise NotReady(
                f"{version} is {found.state}, so it cannot be evaluated", hint=f"see: headrace version log {version}"
            )
        if not found.version.served:
            raise InvalidInput(f"{version} is not served here, so it cannot be evaluated", field="version")
        return found.version

    def _baseline(self, request: EvaluationRequest) -> Version | None:
        if not request.baseline:
            relative = next((r for r in request.requirements if r.relative), None)
            if relative is not None:
                raise InvalidInput(
                    f"require: {relative.text} needs a baseline", field="baseline", expected="e.g. MODEL@production"
                )
            return None
        reference = Reference.parse(request.baseline, field="baseline")
        model = request.version.model
        if reference.name != model or (reference.number is None and reference.alias is None):
            raise InvalidInput(
                f"baseline: {request.baseline!r} is not a version or alias of {model}",
                field="baseline",
                expected=f"{model}:NUMBER or {model}@ALIAS",
            )
        if reference.alias is None:
            assert reference.number is not None
            return self._released(VersionId(model, reference.number))
        known = {a.name: a.version for a in self.aliases.select(model)}
        number = known.get(reference.alias)
        return self._released(VersionId(model, number)) if number is not None else None

    def _work(self, evaluation_id: str, *arguments: Any) -> None:
        """One evaluation, once there is room; whatever goes wrong is the end of it alone, and is told."""
        try:
            with self._room:
                self._end(evaluation_id, state="done", **self._found(evaluation_id, *arguments))
        except Exception as error:
            log.exception("evaluation %s", evaluation_id)
            plain = (
                error.message
                if isinstance(error, HeadraceError)
                else str(error)
                if isinstance(error, Unanswered)
                else ""
            )
            self._end(evaluation_id, state="failed", reason=plain or f"{type(error).__name__}: {error}")

    def _found(
        self,
        evaluation_id: str,
        version: Version,
        baseline: Version | None,
        data: Sequence[Labelled],
        requirements: Sequence[Requirement],
    ) -> dict[str, Any]:
        answers = self._answers(evaluation_id, version, data[0], counted=True)
        figures = figures_of(version, data[0], answers)
        before = None
        if baseline is not None:
            before = figures_of(baseline, data[1], self._answers(evaluation_id, baseline, data[1], counted=False))
        every = () if any(r.figure == EVERY_ROW.figure for r in requirements) else (EVERY_ROW,)
        findings = [judge(r, figures, before) for r in (*every, *requirements)]
        return {"figures": figures, "baseline_figures": before or {}, "findings": findings}

    def _answers(self, evaluation_id: str, version: Version, data: Labelled, *, counted: bool) -> Answers:
        def told(now: Answers) -> None:
            if counted:
                with self._lock:
                    found = self._open[evaluation_id]
                    shown = replace(found, asked=now.asked, refused=now.refused, first_refused=tuple(now.first_refused))
                    self._open[evaluation_id] = shown

        return asking.answers(self.ask, version, data.rows, self.sleep, told)

    def _end(self, evaluation_id: str, **more: Any) -> None:
        with self._lock:
            over = replace(self._open[evaluation_id], **more)
        try:
            self.catalog.documents.create(layout.evaluation_result(over.version, over.id), over.to_document())
        except HeadraceError:
            log.exception("the result of evaluation %s could not be kept", evaluation_id)
        self._forget(evaluation_id)

    def _forget(self, evaluation_id: str) -> None:
        with self._lock:
            self._open.pop(evaluation_id, None)
