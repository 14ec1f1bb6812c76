"""The collector as a process of the embedded platform: ``python -m headrace_controller.embedded.collector SETTINGS.json``."""

import fcntl
import logging
import os
import signal
import sys
import threading
import time
from pathlib import Path

import httpx

from headrace_controller.collector.collect import Collector
from headrace_controller.collector.scoring import Scoring
from headrace_controller.collector.scoring_thread import MetricThread
from headrace_controller.embedded.process import settings_of
from headrace_controller.gateway_client import SECONDS, GatewayAsking
from headrace_controller.health.thread import HealthThread
from headrace_controller.health.writer import HealthWriter
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.settings import Settings
from headrace_functions.loop_health import LoopHealth
from headrace_functions.names import VersionId
from headrace_functions.recording.shipper import Shipper
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.collector")

NICE = 5
"""How much lower its priority is than the gateway's: while both want the processors, requests go first and the log a little later."""


def run(settings: Settings, stop: threading.Event) -> None:
    """Collect until ``stop`` is set, or until nothing has come for ``collector_idle`` seconds and no metric lags.

    Metrics whose models did not answer for ``metricthread.PATIENCE`` keep it no longer; it is started again by the next record.
    """
    objects = ObjectStore(settings.storage_url)
    transport = httpx.HTTPTransport(uds=str(settings.gateway_socket))
    gateway = httpx.Client(transport=transport, base_url="http://gateway", timeout=SECONDS)
    counts = HealthThread(HealthWriter(objects))
    asking = GatewayAsking(gateway, settings.purpose.read_text)
    metrics = MetricThread(Scoring(objects, asking, scored=counts.grown))

    def grown(version: VersionId) -> None:
        counts.grown(version)
        metrics.grown(version)

    collector = Collector(objects, Shipper(settings.spool, objects), grown)
    if not stop.is_set():
        metrics.start()
        counts.start()
    last_work = time.monotonic()
    health = LoopHealth("collecting", log)
    while not stop.is_set():
        taken = 0
        with health.guard():
            taken = collector.round()
        if health.failures:
            stop.wait(health.pause)
            continue
        if taken:
            log.info("%d records collected", taken)
            last_work = time.monotonic()
        elif metrics.lags or counts.lags:
            last_work = time.monotonic()
        elif time.monotonic() - last_work > settings.collector_idle:
            metrics.stop()
            counts.stop()
            return
        stop.wait(settings.collect_every)
    metrics.stop()
    with health.guard():
        collector.round()  # what was sealed while we were told to stop
    counts.stop()


def main(path: str, mode: str = "follow") -> int:
    """``once`` does one round and ends; ``follow`` collects until it is told to stop or nothing comes any more."""
    set_up_logging()
    os.nice(NICE)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = settings_of(Path(path))
    with (settings.run / "collector.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # an earlier one may still be finishing its round
        if mode == "once":
            stop.set()
        run(settings, stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
