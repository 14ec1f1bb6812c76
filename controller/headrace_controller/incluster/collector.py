"""The collector's process in a cluster: sleeps while nobody tells it of records, collects until none are left.

``python -m headrace_controller.incluster.collector``, a Knative Service. Whoever shipped records, or attached a metric, says so
with ``POST /``, which is answered at once. KServe's logger posts its CloudEvents there, too (``service.kserve_events``). A request that comes while it collects makes it look once more, so nothing waits for
the next. Beside the collecting it asks metric models through the gateway. Knative sees no request of that, so while metrics lag
the process tells itself; what TERM cuts short the next process scores from where the table of values ends.
"""

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

import httpx
import waitress
from werkzeug.wrappers import Request, Response

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.collector.collect import Collector
from headrace_controller.collector.scoring import Scoring
from headrace_controller.collector.scoring_thread import MetricThread
from headrace_controller.gateway_client import SECONDS, GatewayAsking
from headrace_controller.health.thread import HealthThread
from headrace_controller.health.writer import HealthWriter
from headrace_controller.incluster.settings import InCluster
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.service.exchanges import Exchanges
from headrace_controller.service.kserve_events import MAX_EVENT, EventJoin
from headrace_functions.errors import HeadraceError
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.protocol.problems import PROBLEM_TYPE, problem
from headrace_functions.recording.shipper import Shipper
from headrace_functions.recording.shipping import wake
from headrace_functions.startup import cannot_start
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.collector")

KEEP_AWAKE = 20.0
"""Seconds between two words to itself while metrics lag; Knative puts it to sleep after 60 without a request."""
LAST_QUESTION = 10.0
"""Seconds that the question which is on at TERM may take; the grace of the pod is 60."""


class Collecting:
    """``told`` at any time; one thread collects, ``metrics`` is another that scores and ``counts`` one that counts health."""

    def __init__(self, collector: Collector, metrics: MetricThread, counts: HealthThread) -> None:
        self._collector = collector
        self._metrics = metrics
        self._counts = counts
        self.health = LoopHealth("collecting", log)
        self._told = threading.Event()
        self._stopping = threading.Event()
        self._told.set()  # what came while nobody was here
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    @property
    def lags(self) -> bool:
        """Whether metrics are behind the log, and their models answer."""
        return self._metrics.lags or self._counts.lags

    def start(self) -> None:
        self._metrics.start()
        self._counts.start()
        self._thread.start()

    @property
    def problems(self) -> list[str]:
        """What this process fails at now, in words for people."""
        return [p for p in (self.health.problem, *self._metrics.problems, *self._counts.problems) if p]

    def tell(self) -> None:
        """Records have arrived, or a metric was attached; returns at once."""
        self._told.set()
        self._metrics.look()

    def close(self) -> None:
        """Finish the round that is on. What is left stays in the inbox, and what is not scored in the log."""
        self._stopping.set()
        self._told.set()
        self._metrics.stop(LAST_QUESTION)
        self._thread.join()
        self._counts.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._told.wait()
            self._told.clear()
            if self._stopping.is_set():
                return
            with self.health.guard():
                while taken := self._collector.round():
                    log.info("%d records collected", taken)
            if self.health.failures:
                self._told.set()
                self._stopping.wait(self.health.pause)


def application(collecting: Collecting, events: EventJoin) -> "waitress.WSGIApplication":
    @Request.application
    def answer(request: Request) -> Response:
        if request.method == "POST" and _is_event(request):
            return _taken(request, events)
        if request.method == "POST":
            collecting.tell()
            return Response(status=202)
        problems = collecting.problems
        return Response("\n".join(problems or ["collecting"]) + "\n", status=500 if problems else 200)

    return answer


def _is_event(request: Request) -> bool:
    return "ce-type" in request.headers or request.headers.get("content-type", "").startswith(
        "application/cloudevents+json"
    )


def _taken(request: Request, events: EventJoin) -> Response:
    request.max_content_length = MAX_EVENT
    try:
        events.take(dict(request.headers.items()), request.get_data())
    except HeadraceError as error:
        found = problem(error)
        return Response(found.body, status=found.status, content_type=PROBLEM_TYPE)
    return Response(status=202)


def create_events(settings: InCluster, collecting: Collecting) -> EventJoin:
    """What joins KServe's events for the versions of the store; exchanges that are whole are told to the collector."""
    exchanges = Exchanges(Catalog(Documents(ObjectStore(settings.platform.storage_url))))
    exchanges.on_arrival(collecting.tell)
    return EventJoin(exchanges.registered, exchanges.take)


def create_collecting(settings: InCluster) -> Collecting:
    """The collector of one store, with its metrics. Raises ``StorageFailed`` where the store cannot be reached."""
    objects = ObjectStore(settings.platform.storage_url)
    gateway = httpx.Client(base_url=settings.gateway, timeout=SECONDS, trust_env=False)
    counts = HealthThread(HealthWriter(objects))
    metrics = MetricThread(Scoring(objects, GatewayAsking(gateway, lambda: settings.secret), scored=counts.grown))

    def grown(version: VersionId) -> None:
        counts.grown(version)
        metrics.grown(version)

    return Collecting(Collector(objects, Shipper(settings.platform.spool, objects), grown), metrics, counts)


def keep_awake(collecting: Collecting, tell: Callable[[], object], stop: threading.Event) -> None:
    """Tell the collector now and then while its metrics lag, until ``stop``; once more where they lag at the end, so that a new
    process takes over."""
    while not stop.wait(KEEP_AWAKE):
        if collecting.lags:
            tell()
    collecting.close()
    if collecting.lags:
        tell()


def main() -> int:
    set_up_logging()
    try:
        settings = InCluster.from_environment(os.environ)
        collecting = create_collecting(settings)
        events = create_events(settings, collecting)
    except HeadraceError as error:
        sys.exit(cannot_start(error))
    server = waitress.create_server(
        application(collecting, events), host=settings.platform.host, port=settings.platform.port, threads=2, ident=None
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    collecting.start()
    events.open()
    threading.Thread(target=server.run, name="ask", daemon=True).start()
    keep_awake(collecting, lambda: wake(settings.collector), stop)
    server.close()
    events.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
