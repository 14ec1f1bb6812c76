"""The log of a build: lines as they come, readable from any byte while it grows and after."""

import threading
from dataclasses import dataclass
from pathlib import Path

from headrace_functions.errors import NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.objects import ObjectStore

MAX_LOG = 8 * 1024 * 1024  # bytes; later lines are counted, not kept
TAIL_LINES = 20


class BuildLog:
    """One build's log: a file while the build runs, an object of the store afterwards."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.file = file
        self._lock = threading.Lock()
        self._size = 0
        self._left_out = 0
        file.write_bytes(b"")

    def __call__(self, line: str) -> None:
        data = line.rstrip("\n").encode() + b"\n"
        with self._lock:
            if self._size + len(data) > MAX_LOG:
                self._left_out += 1
                return
            self._size += len(data)
            with self.file.open("ab") as sink:
                sink.write(data)

    def store(self, objects: ObjectStore, version: VersionId) -> None:
        """Keep the log with the version; the file can go afterwards."""
        if self._left_out:
            with self.file.open("ab") as sink:
                sink.write(f"… {self._left_out} lines left out, a build log has at most {MAX_LOG} bytes\n".encode())
        objects.put(layout.build_log(version), self.file.read_bytes())


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a log: ``offset`` is where the next part starts; ``done`` means that nothing will follow."""

    text: str
    offset: int
    done: bool


def read(folder: Path, objects: ObjectStore, version: VersionId, offset: int, *, done: bool) -> Part:
    """What the log holds from byte ``offset`` on. ``done`` says that the build had ended before this was called."""
    file = log_file(folder, version)
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        data = _stored(objects, version)
    whole = data[offset:] if done else data[offset : data.rfind(b"\n") + 1]
    return Part(whole.decode("utf-8", "replace"), offset + len(whole), done)


def log_file(folder: Path, version: VersionId) -> Path:
    return folder / f"{version.service}.log"


def _stored(objects: ObjectStore, version: VersionId) -> bytes:
    try:
        return objects.get(layout.build_log(version))
    except NotFound:
        return b""


def tail(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-TAIL_LINES:])
