"""Erasures: what is kept of one value of one field goes, while the platform serves.

What was received until the erasure began goes; who asks on is not kept from being logged by it.

States of an erasure, documents of the store: ``running`` until a pass finds nothing and nothing waits, ``done`` then, ``failed`` where the
request itself is no good. The request, which has the value, is deleted with the last state; what is kept of it is a keyed digest. What was
not over when a platform stopped goes on when it starts. Asking for the same again joins the one that runs, and finds nothing after it.
"""

import dataclasses
import logging
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from headrace_controller import clock
from headrace_controller.catalog import noting
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.erasure import passes
from headrace_controller.erasure.passes import Busy, Counts, Pass, Place
from headrace_controller.erasure.subject import Subject
from headrace_controller.service.jobs import Jobs
from headrace_functions.errors import NotFound
from headrace_functions.loop_health import LoopHealth
from headrace_functions.storage import layout
from headrace_functions.storage.documents import interpret
from headrace_functions.suggestions import did_you_mean

EVERY = 3.0
"""Seconds between two passes of an erasure that waits for something."""
_MILLISECOND = 1000  # microseconds: times of documents are cut to one
_NAMED = 20
"""Fields that a message names at most."""
SETTLES = 5.0
"""Seconds that an erasure lasts at least: a record is in the spool of its process for two before it can be looked at."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Erasure:
    id: str
    field: str
    digest: str
    """Stands for the value: equal for equal values, and tells nobody the value who has not the platform's hash key."""
    model: str
    state: str
    """``running`` or ``done``."""
    created: str
    at: str
    counts: Counts = dataclasses.field(default_factory=Counts)
    """What all passes so far erased."""
    waits: tuple[str, ...] = ()
    """What has to go away first, a sentence each; it is looked at again every few seconds."""
    kept: tuple[str, ...] = ()
    """Keys of objects that say the value and are not touched."""

    def to_document(self) -> dict[str, Any]:
        return {"schema": 1, **asdict(self), "waits": list(self.waits), "kept": list(self.kept)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Erasure":
        texts = {n: str(document[n]) for n in ("id", "field", "digest", "model", "state", "created", "at")}
        return cls(
            **texts, counts=Counts(**document["counts"]), waits=tuple(document["waits"]), kept=tuple(document["kept"])
        )


class Erasures:
    def __init__(self, catalog: Catalog, jobs: Jobs, home: Path, hash_keys: Callable[[], list[str]]) -> None:
        """``hash_keys`` gives the keys of sensitive fields, hexadecimal, the newest first."""
        self._catalog = catalog
        self._documents = catalog.documents
        self._jobs = jobs
        self._hash_keys = hash_keys
        self._place = Place(catalog.documents.objects, home / "spool", home / "log")
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self.health = LoopHealth("erasing", _log)
        self._thread = threading.Thread(target=self._follow, name="erasures", daemon=True)

    def open(self) -> None:
        """Go on with what is not over."""
        self._wake.set()
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join()

    def look(self, field_name: str, value: str, model: str = "") -> Pass:
        """What would be erased now, and what would stay; changes nothing. ``NotFound`` where no version has the field."""
        subject = self._subject(field_name, value, model)
        self._check_field(field_name, model)
        return passes.run(self._place, subject, _no_notes(), apply=False)

    def digest(self, field_name: str, value: str) -> str:
        return self._subject(field_name, value, "").digest

    def start(self, field_name: str, value: str, model: str = "") -> Erasure:
        """Begin to erase, or join an erasure of the same that is not over. ``NotFound`` where no version has the field."""
        subject = self._subject(field_name, value, model)
        self._check_field(field_name, model)
        with self._lock:
            request = {"schema": 1, "field": field_name, "value": value, "model": model}
            for erasure in self.select():
                if erasure.state == "running" and self._documents.find(layout.erasure_request(erasure.id)) == request:
                    return erasure
            now = clock.now()
            erasure_id = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
            erasure = Erasure(erasure_id, field_name, subject.digest, model, "running", now, now)
            # The request first: what has a state has a request, so it can be done.
            self._documents.create(layout.erasure_request(erasure_id), request)
            self._documents.append(layout.erasure(erasure_id), erasure.to_document())
        noting.note("erasure", erasure_id, None, {"field": field_name, "value": subject.digest, "model": model})
        self._wake.set()
        return erasure

    def get(self, erasure_id: str) -> Erasure:
        folder = layout.erasure(erasure_id)
        known = erasure_id.replace("-", "").isalnum()
        document = self._documents.last(folder) if known else None
        if document is None:
            raise NotFound(f"no erasure {erasure_id!r}", field="id", hint="'headrace erasure list' shows all erasures")
        return interpret(folder, document, Erasure.from_document)

    def select(self) -> list[Erasure]:
        """All there were, the newest first."""
        ids = sorted(self._documents.objects.folders(layout.ERASURES), reverse=True)
        found = (self._documents.last(layout.erasure(i)) for i in ids)
        return [Erasure.from_document(d) for d in found if d is not None]

    def _subject(self, field_name: str, value: str, model: str) -> Subject:
        if model and model not in self._catalog.models():
            raise NotFound(f"there is no model {model!r}", field="model", hint="headrace model list")
        return Subject(field_name, value, model, tuple(map(bytes.fromhex, self._hash_keys())))

    def _check_field(self, field_name: str, model: str) -> None:
        """A mistyped field must not look like a value that is erased."""
        known = passes.field_names(self._place.objects, model)
        if field_name in known:
            return
        names = sorted(known)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        there = f"fields are {', '.join(names[:_NAMED])}{more}" if names else "there is no version yet"
        whose = f"no version of {model!r} has" if model else "no version of any model has"
        raise NotFound(
            f"{whose} an input or output {field_name!r}", field="field", hint=did_you_mean(field_name, names, there)
        )

    def _busy(self) -> Busy:
        """Since when an analysis that is not over reads the log of a version, seconds since the epoch."""
        since: dict[str, float] = {}
        for job in self._jobs.unfinished():
            created, model = clock.parse(job.created, field="created").timestamp(), str(job.request["model"])
            since[model] = min(created, since.get(model, created))
        return lambda version: since.get(str(version), float("inf"))

    def _follow(self) -> None:
        waits = False
        while not self._stop.is_set():
            self._wake.wait(max(EVERY, self.health.pause) if waits or self.health.failures else None)
            self._wake.clear()
            if self._stop.is_set():
                return
            with self.health.guard():
                waits = self._round()

    def _round(self) -> bool:
        """One pass of each that is not over; whether one is left."""
        left = False
        for erasure_id in self._documents.objects.folders(layout.ERASURES):
            if self._documents.objects.exists(layout.erasure_request(erasure_id)) and not self._stop.is_set():
                left |= self._pass(erasure_id)
        return left

    def _pass(self, erasure_id: str) -> bool:
        """Whether it goes on."""
        request = self._documents.get(layout.erasure_request(erasure_id))
        document = self._documents.last(layout.erasure(erasure_id))
        if document is None:  # it was cut short while it began, and nobody was told that it runs
            self._documents.objects.delete(layout.erasure_request(erasure_id))
            return False
        erasure = Erasure.from_document(document)
        if erasure.state == "done":
            self._forget(erasure_id)
            return False
        created = clock.parse(erasure.created, field="created")
        subject = self._subject_of(request, int(created.timestamp() * 1_000_000) + _MILLISECOND)
        place = replace(self._place, busy=self._busy())
        found = passes.run(place, subject, layout.erasure_notes(erasure_id), apply=True)
        age = (datetime.now(UTC) - created).total_seconds()
        over = not found.waits and not found.counts.total and age > SETTLES
        now = Erasure(
            erasure.id,
            erasure.field,
            erasure.digest,
            erasure.model,
            "done" if over else "running",
            erasure.created,
            clock.now(),
            erasure.counts + found.counts,
            tuple(found.waits),
            tuple(found.kept),
        )
        if over or (now.counts, now.waits, now.kept) != (erasure.counts, erasure.waits, erasure.kept):
            self._documents.append(layout.erasure(erasure_id), now.to_document())
        if over:
            self._forget(erasure_id)
        return not over

    def _subject_of(self, request: dict[str, Any], until: int) -> Subject:
        keys = tuple(map(bytes.fromhex, self._hash_keys()))
        return Subject(request["field"], request["value"], request["model"], keys, until)

    def _forget(self, erasure_id: str) -> None:
        """Delete what says the value, the request last: it says that something is left to do."""
        self._documents.objects.delete(layout.erasure_notes(erasure_id))
        self._documents.objects.delete(layout.erasure_request(erasure_id))


def _no_notes() -> str:
    return layout.erasure_notes("none")
