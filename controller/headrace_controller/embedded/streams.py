"""The process that runs streams: ``python -m headrace_controller.embedded.streams SETTINGS.json GATEWAY PARENT``.

It reads the streams from the store when it starts and whenever ``run/streams/changed`` is touched, runs one thread a stream, and writes how each
is doing to ``run/streams/<name>.json``. ``GATEWAY`` is the URL of the front door. It ends when there is no stream.
"""

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import orjson

from headrace_controller.catalog.catalog import Catalog
from headrace_controller.embedded.home import replace_file
from headrace_controller.embedded.process import die_with, settings_of
from headrace_controller.logging_setup import set_up_logging
from headrace_controller.service.streams import Stream, of_state
from headrace_controller.settings import Settings
from headrace_controller.streams.running import GatewayCalls, StreamRun
from headrace_functions.loop_health import LoopHealth
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore

log = logging.getLogger("headrace.streams")

EXIT_STUCK = 75
_TICK = 0.2
_WRITE_EVERY = 5  # ticks


class StreamsProcess:
    def __init__(self, settings: Settings, gateway: str) -> None:
        self._folder = settings.run / "streams"
        self._folder.mkdir(exist_ok=True)
        self._catalog = Catalog(Documents(ObjectStore(settings.storage_url)))
        self._asking = GatewayCalls(gateway, settings.purpose.read_text)
        self._runs: dict[str, tuple[int, StreamRun]] = {}
        self._seen: int | None = -1

    def run(self, stop: threading.Event) -> None:
        """Until ``stop``, or until there is no stream."""
        health = LoopHealth("streams", log)
        ticks = 0
        while not stop.is_set():
            with health.guard():
                self._end_if_stuck()
                if self._touched() and not self._reconcile():
                    break
                if ticks % _WRITE_EVERY == 0:
                    self._write()
            ticks += 1
            stop.wait(health.pause if health.failures else _TICK)
        for name in list(self._runs):
            self._end(name)
        self._asking.close()

    def _end_if_stuck(self) -> None:
        """End at once where a stream's client does not come back: the supervisor starts another, which reads again what is not committed."""
        for name, (_, run) in self._runs.items():
            if run.is_stuck:
                log.error("stream %s: the Kafka client does not come back from a write; this process begins anew", name)
                os._exit(EXIT_STUCK)

    def _touched(self) -> bool:
        try:
            mark: int | None = (self._folder / "changed").stat().st_mtime_ns
        except OSError:
            mark = None
        if mark == self._seen:
            return False
        self._seen = mark
        return True

    def _reconcile(self) -> bool:
        """Run what should run as it is defined now; whether there is a stream at all."""
        self._catalog.streams.reload()
        wanted = {s.name: s for s in (of_state(self._catalog.streams.get(n)) for n in self._catalog.streams.names())}
        for name, (revision, _) in list(self._runs.items()):
            if name not in wanted or wanted[name].revision != revision:
                self._end(name)
        for name, stream in wanted.items():
            if name not in self._runs:
                self._begin(stream)
        for file in self._folder.glob("*.json"):
            if file.stem not in wanted:
                file.unlink()
        return bool(wanted)

    def _begin(self, stream: Stream) -> None:
        log.info("stream %s: revision %d%s", stream.name, stream.revision, ", paused" if stream.paused else "")
        run = StreamRun(stream.definition, stream.resets, stream.start, self._asking, paused=stream.paused)
        self._runs[stream.name] = stream.revision, run
        run.start()

    def _end(self, name: str) -> None:
        self._runs.pop(name)[1].stop()

    def _write(self) -> None:
        for name, (_, run) in self._runs.items():
            replace_file(self._folder / f"{name}.json", orjson.dumps(run.progress.to_document()))


def main(path: str, gateway: str, parent: str) -> int:
    set_up_logging()
    die_with(int(parent))
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    StreamsProcess(settings_of(Path(path)), gateway).run(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
