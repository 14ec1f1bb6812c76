"""What names led to when the store was last readable, as files of the home: for a gateway that starts while a bucket is away."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson

from headrace_controller.embedded.home import replace_file
from headrace_functions.gateway.routes import Route, route_document, route_from_document
from headrace_functions.names import Reference

log = logging.getLogger(__name__)


class RememberedRoutes:
    """``LastKnown`` in a folder, a file a name. One thread writes, so the newest word on a name is written last."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="remembered routes")

    async def recall(self, reference: Reference) -> Route | None:
        return await asyncio.get_running_loop().run_in_executor(self._disk, self._read, reference)

    def remember(self, reference: Reference, route: Route) -> None:
        self._disk.submit(self._write, self._file(reference), orjson.dumps(route_document(route)))

    def forget(self, reference: Reference) -> None:
        self._disk.submit(self._file(reference).unlink, missing_ok=True)

    def close(self) -> None:
        """Wait for what is being written."""
        self._disk.shutdown()

    def _read(self, reference: Reference) -> Route | None:
        file = self._file(reference)
        if not file.is_file():
            return None
        try:
            return route_from_document(orjson.loads(file.read_bytes()))
        except (OSError, KeyError, TypeError, ValueError, IndexError) as error:
            log.warning("%s is not a definition: %s", file, error)
            return None

    def _write(self, file: Path, content: bytes) -> None:
        try:
            if not file.is_file() or file.read_bytes() != content:
                replace_file(file, content)
        except OSError as error:
            log.warning("%s would not be known while the store is away: %s", file.stem, error)

    def _file(self, reference: Reference) -> Path:
        return self._folder / f"{reference}.json"
