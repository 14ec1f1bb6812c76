"""The collector's process in a cluster: sleeps while nobody tells it of records, collects until none are left.

``python -m headrace_controller.incluster.collecting``, a Knative Service. Whoever shipped records says so with ``POST /``,
which is answered at once. A request that comes while it collects makes it look once more, so nothing waits for the next.
"""

import logging
import os
import signal
import sys
import threading

import waitress
from werkzeug.wrappers import Request, Response

from headrace_controller.collector.collect import Collector
from headrace_controller.diagnostics import set_up_logging
from headrace_controller.incluster.settings import InCluster
from headrace_functions.errors import HeadraceError, StorageFailed
from headrace_functions.recording.shipper import Shipper
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.collector")

AWAY = 2.0
"""Seconds between attempts while the store is away."""


class Collecting:
    """``told`` at any time; one thread collects."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._told = threading.Event()
        self._stopping = threading.Event()
        self._told.set()  # what came while nobody was here
        self._thread = threading.Thread(target=self._run, name="collect", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def tell(self) -> None:
        """Records have arrived; returns at once."""
        self._told.set()

    def close(self) -> None:
        """Finish the round that is on. What is left stays in the inbox."""
        self._stopping.set()
        self._told.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._told.wait()
            self._told.clear()
            if self._stopping.is_set():
                return
            try:
                while taken := self._collector.round():
                    log.info("%d records collected", taken)
            except StorageFailed as error:
                log.warning("%s; trying again", error.message)
                self._told.set()
                self._stopping.wait(AWAY)


def application(collecting: Collecting) -> "waitress.WSGIApplication":
    @Request.application
    def answer(request: Request) -> Response:
        if request.method == "POST":
            collecting.tell()
            return Response(status=202)
        return Response("collecting\n")

    return answer


def main() -> int:
    set_up_logging()
    try:
        settings = InCluster.from_environment(os.environ)
        objects = ObjectStore(settings.platform.storage_url)
    except HeadraceError as error:
        sys.exit(f"cannot start: {error.message}" + "".join(f"\n  {k}: {v}" for k, v in error.details().items()))
    collecting = Collecting(Collector(objects, Shipper(settings.platform.spool, objects)))
    server = waitress.create_server(
        application(collecting), host=settings.platform.host, port=settings.platform.port, threads=2, ident=None
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    collecting.start()
    threading.Thread(target=server.run, name="ask", daemon=True).start()
    stop.wait()
    collecting.close()
    server.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
