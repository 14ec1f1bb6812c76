"""Streams kept as the catalogue says, each a Deployment that has as many pods as its lag asks for: level-triggered.

===================== ==========================================================================================================
a new or changed one  its Deployment is made so; pods of another revision end before the new ones begin
lag                   looked at every second by a thread a stream; the number of pods follows (``stream_scaling``)
paused                no pods, and its lag is still looked at
deleted               its Deployment goes, by the mark of this platform and this store; topics and group stay
the store is away     what is known goes on, and nothing is removed
the API server away   pods go on; tried again
a second controller   makes the same: what is wanted comes from the store and the brokers, and each write is the whole document
===================== ==========================================================================================================

Streams ask for their secrets by reference; the controller reads the same Secret to ask the brokers for the lag.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from headrace_controller import clock
from headrace_controller.backends.kserve.manifests import STORAGE
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_controller.backends.kserve.streams import (
    PORT,
    SCALED,
    SECRET,
    STREAM,
    Order,
    credentials_mark,
    deployment,
    name_of,
)
from headrace_controller.catalog.catalog import Catalog
from headrace_controller.definitions.stream import StreamDefinition
from headrace_controller.incluster.stream_progress import Totals, progress_of
from headrace_controller.incluster.stream_scaling import Look, Scaler
from headrace_controller.incluster.stream_watch import LagWatch
from headrace_controller.service.streams import Stream, of_state
from headrace_functions.errors import HeadraceError, InvalidInput
from headrace_functions.loop_health import LoopHealth
from headrace_functions.platform_secret import PROOF

Json = dict[str, Any]

EVERY = 60.0
"""Seconds between two looks at the catalogue and the Secret, in case a change was missed."""
INCOMPLETE = 5.0
"""The same while a stream lacks something."""
TICK = 1.0
"""Seconds between two looks at Deployments and pods; messages that arrive where there was no lag are seen to at once."""
_SECONDS = 2.0
_TOGETHER = 8

log = logging.getLogger("headrace.streams")


class DeploymentsPort(Protocol):
    """``backends.kserve.deployments.Deployments``; blocking."""

    def apply(self, document: Json) -> None: ...

    def find(self) -> list[Json]: ...

    def pods(self) -> list[Json]: ...

    def delete(self, name: str) -> None: ...


class Watch(Protocol):
    """The part of ``stream_watch.LagWatch`` that is needed."""

    reason: str

    @property
    def look(self) -> Look | None: ...

    def start(self, arrived: Callable[[], None]) -> None: ...

    def stop(self) -> None: ...


NewWatch = Callable[[StreamDefinition, int, Mapping[str, str]], Watch]


@dataclass
class _Kept:
    """One stream as it is wanted, and what is known of it."""

    stream: Stream
    variables: Mapping[str, str]
    lacking: str
    watch: Watch
    scaler: Scaler
    applied: tuple[int, str] | None = None
    """Replicas and credentials of the Deployment as it was last applied for this revision."""
    trouble: str = ""
    totals: Totals = field(default_factory=Totals)


class ClusterStreams:
    """Fills ``service.streams.Runner`` in a cluster; ``image`` is the controller's own."""

    def __init__(
        self,
        catalog: Catalog,
        deployments: DeploymentsPort,
        secret: Callable[[], Mapping[str, str] | None],
        cluster: ClusterSettings,
        image: str,
        watch: NewWatch = LagWatch,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``catalog`` is for this alone; ``secret`` gives the texts of the Secret ``SECRET``, None where there is none."""
        self._catalog = catalog
        self._deployments = deployments
        self._secret = secret
        self._cluster = cluster
        self._image = image
        self._new_watch = watch
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._progress: dict[str, Json] = {}
        self._due = 0.0
        self._read = False
        """Whether the catalogue was ever read; until then nobody knows what is not wanted."""
        self._to_write = False
        """Whether all of it is to be written, and what is not wanted removed."""
        self._changed = True
        self._wake = threading.Event()
        self._stopping = False
        self._client = httpx.Client(timeout=_SECONDS, trust_env=False, headers={PROOF.decode(): cluster.secret})
        self._callers = ThreadPoolExecutor(_TOGETHER, thread_name_prefix="stream pods")
        self.reading = LoopHealth("reading the streams", log)
        self.keeping = LoopHealth("keeping the streams", log)
        self._thread = threading.Thread(target=self._run, name="keep streams", daemon=True)

    # -- ``service.streams.Runner``

    def check(self, definition: StreamDefinition) -> None:
        """``InvalidInput`` for what pods of streams do not have."""
        for key in definition.properties:
            if key.endswith(".location"):
                raise InvalidInput(
                    f"properties: {key} names a file, and pods of streams have no files of yours",
                    field="properties",
                    expected="the text itself from a variable, e.g. ssl.ca.pem: ${KAFKA_CA}",
                    got=key,
                    hint=f"put the file's contents under that name into the Secret {SECRET}",
                )

    def changed(self) -> None:
        """A stream was made, changed or deleted; returns at once."""
        self._changed = True
        self._wake.set()

    def progress(self, name: str) -> Mapping[str, Any] | None:
        return self._progress.get(name)

    # -- life

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let go; the pods go on."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        for kept in self._kept.values():
            kept.watch.stop()
        self._callers.shutdown()
        self._client.close()

    @property
    def problems(self) -> list[str]:
        return [p for p in (self.reading.problem, self.keeping.problem) if p]

    def _run(self) -> None:
        while not self._stopping:
            self._wake.clear()
            self.once()
            self._wake.wait(max(TICK, self.keeping.pause))

    def once(self) -> None:
        """One look. Never raises."""
        if self._changed or self._now() >= self._due:
            self._changed = False
            with self.reading.guard():
                self._read_catalog()
                self._read = self._to_write = True
            incomplete = self.reading.failures or any(k.lacking for k in self._kept.values())
            self._due = self._now() + (INCOMPLETE if incomplete else EVERY)
        if not self._read:
            return
        with self.keeping.guard():
            if self._kept or self._to_write:
                self._keep(whole=self._to_write)
            self._to_write = False
        if self.keeping.failures:
            self._note_unseen()

    # -- what is wanted

    def _read_catalog(self) -> None:
        """Raises where store or API server do not answer; then what is known stays."""
        streams = self._catalog.streams
        streams.reload()
        wanted = {s.name: s for s in (of_state(streams.get(n)) for n in streams.names())}
        texts = (self._secret() or {}) if any(s.definition.variables for s in wanted.values()) else {}
        for name in self._kept.keys() - wanted.keys():
            self._kept.pop(name).watch.stop()
            self._progress.pop(name, None)
        for name, stream in wanted.items():
            variables = {v: texts[v] for v in stream.definition.variables if v in texts}
            before = self._kept.get(name)
            if before is not None and (before.stream, before.variables) == (stream, variables):
                continue
            if before is not None:
                before.watch.stop()
            self._kept[name] = self._begun(stream, variables, before)

    def _begun(self, stream: Stream, variables: Mapping[str, str], before: _Kept | None) -> _Kept:
        definition = stream.definition
        missing = [v for v in definition.variables if v not in variables]
        lacking = f"the Secret {SECRET} lacks {', '.join(missing)}, which the stream's settings name" if missing else ""
        watch = self._new_watch(definition, stream.resets, variables)
        if not missing:
            watch.start(self._wake.set)
        kept = _Kept(stream, variables, lacking, watch, Scaler(definition.scaling, earliest=stream.start == "earliest"))
        if before is not None:
            kept.totals = before.totals
        return kept

    # -- what is there

    def _keep(self, *, whole: bool) -> None:
        there = {d["metadata"]["labels"][STREAM]: d for d in self._deployments.find() if self._is_ours(d)}
        pods: dict[str, list[Json]] = {}
        if any(d["spec"].get("replicas") or d.get("status", {}).get("replicas") for d in there.values()):
            for pod in self._deployments.pods():
                pods.setdefault(pod["metadata"]["labels"][STREAM], []).append(pod)
        said = self._asked([pod for some in pods.values() for pod in some])
        for name, kept in self._kept.items():
            replicas = self._scale(kept, there.get(name), whole=whole)
            self._note(kept, replicas, pods.get(name, []), said)
        for name in there.keys() - self._kept.keys():
            log.info("stream %s is gone: its Deployment goes", name)
            self._deployments.delete(name_of(name))

    def _is_ours(self, found: Json) -> bool:
        annotations = found["metadata"].get("annotations") or {}
        return bool(annotations.get(STORAGE) == self._cluster.storage)

    def _scale(self, kept: _Kept, there: Json | None, *, whole: bool) -> int:
        """Make the Deployment what it should be; how many replicas it has then. One that fails is for the next look."""
        now = there["spec"].get("replicas", 1) if there is not None else 0
        since = (there["metadata"]["annotations"].get(SCALED) if there is not None else "") or clock.now()
        wanted = self._wanted(kept, now, since)
        mark = credentials_mark(kept.variables, self._cluster.secret)
        if there is not None and wanted == now and kept.applied == (wanted, mark) and not whole:
            return wanted
        if wanted != now:
            log.info("stream %s: %d pods instead of %d", kept.stream.name, wanted, now)
            since = clock.now()
        stream = kept.stream
        try:
            self._deployments.apply(
                deployment(
                    Order(stream.definition, stream.resets, stream.start),
                    self._image,
                    self._cluster,
                    replicas=wanted,
                    scaled=since,
                    credentials=mark,
                )
            )
        except HeadraceError as error:
            if kept.trouble != error.message:
                log.error("stream %s is left as it is: %s", stream.name, error.message)
            kept.trouble, kept.applied = error.message, None
            return now
        kept.trouble, kept.applied = "", (wanted, mark)
        return wanted

    def _wanted(self, kept: _Kept, now: int, since: str) -> int:
        if kept.stream.paused or kept.lacking:
            return 0
        asleep = (clock.parse(clock.now(), field="now") - clock.parse(since, field=SCALED)).total_seconds()
        return kept.scaler.wanted(kept.watch.look, self._now(), now, 0.0 if now else asleep)

    def _note(self, kept: _Kept, replicas: int, pods: list[Json], said: Mapping[str, Json]) -> None:
        names = [pod["metadata"]["name"] for pod in pods]
        words = {name: said[name] for name in names if name in said}
        kept.totals.add(words, names)
        self._progress[kept.stream.name] = (
            progress_of(
                paused=kept.stream.paused,
                replicas=replicas,
                look=kept.watch.look,
                trouble=kept.lacking or kept.trouble or kept.watch.reason,
                pods=pods,
                said=words.values(),
            )
            | kept.totals.counts()
        )

    def _note_unseen(self) -> None:
        """While the API server is away the pods go on as far as anybody knows; the lag is still looked at."""
        for name, kept in self._kept.items():
            look, before = kept.watch.look, self._progress.get(name, {"state": "starting"})
            lag = {str(p): n for p, n in look.lag.items()} if look is not None else {}
            self._progress[name] = {**before, "lag": lag, "reason": self.keeping.problem, "at": clock.now()}

    def _asked(self, pods: list[Json]) -> dict[str, Json]:
        """What pods say of themselves, by name; those that do not answer say nothing."""
        addresses = {p["metadata"]["name"]: p.get("status", {}).get("podIP") for p in pods}
        running = {name: address for name, address in addresses.items() if address}
        answers = zip(running, self._callers.map(self._ask, running.values()), strict=True)
        return {name: answer for name, answer in answers if answer is not None}

    def _ask(self, address: str) -> Json | None:
        host = f"[{address}]" if ":" in address else address
        try:
            response = self._client.get(f"http://{host}:{PORT}/progress")
            response.raise_for_status()
            answer: Json = response.json()
        except (httpx.HTTPError, ValueError):
            return None
        return answer
