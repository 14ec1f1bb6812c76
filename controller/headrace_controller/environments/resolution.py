"""A requirement list becomes a lock, once: the same list gives the same lock later, whatever was published since."""

import hashlib
import platform
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_controller import clock
from headrace_controller.child_processes import Log
from headrace_controller.environments import pytorch, tool
from headrace_functions.errors import Conflict, InvalidInput
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents

TIMEOUT = 300.0  # seconds that uv may take to resolve


@dataclass(frozen=True, slots=True)
class Lock:
    """A resolved list. ``key`` names the environment: 20 hexadecimal digits of a hash over lock, Python and platform."""

    key: str
    text: str

    @classmethod
    def of(cls, text: str) -> "Lock":
        return cls(hashlib.sha256(f"{_target()}\0{text}".encode()).hexdigest()[:20], text)


def _target() -> str:
    """What wheels are chosen by: the implementation, minor version and platform that the environment will run on."""
    return f"{sys.implementation.name}-{sys.version_info.major}.{sys.version_info.minor}-{sys.platform}-{platform.machine()}"


def requirements_digest(requirements: Sequence[str]) -> str:
    listed = "\n".join(sorted(set(requirements)))
    return hashlib.sha256(f"{_target()}\0{listed}".encode()).hexdigest()


class Resolver:
    """Resolves through uv and remembers in the store: ``environments/resolutions/<digest>.json`` and ``<key>/lock.txt``."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents

    def resolve(self, requirements: Sequence[str], log: Log) -> Lock:
        """The lock of a list. Raises ``InvalidInput`` with uv's words where the list has no solution."""
        key = layout.resolution(requirements_digest(requirements))
        known = self._documents.find(key)
        if known is None:
            lock = _compile(requirements, log)
            self._keep(lock)
            try:
                self._documents.create(
                    key,
                    {
                        "schema": 1,
                        "environment": lock.key,
                        "requirements": sorted(set(requirements)),
                        "at": clock.now(),
                    },
                )
            except Conflict:
                known = self._documents.get(key)  # another build resolved it meanwhile: one list, one lock
            else:
                log(f"resolved {len(requirements)} requirements to environment {lock.key}")
                return lock
        log(f"environment {known['environment']} is what these requirements were resolved to before")
        return self.lock(known["environment"])

    def lock(self, key: str) -> Lock:
        """The lock of an environment; ``NotFound`` if the store has none of that key."""
        return Lock(key, self._documents.objects.get(_lock_key(key)).decode())

    def _keep(self, lock: Lock) -> None:
        try:
            self._documents.objects.create(_lock_key(lock.key), lock.text.encode())
        except Conflict:
            return  # the key is the content's hash, so it is there already


def _lock_key(key: str) -> str:
    return layout.environment(key) + "lock.txt"


def _compile(requirements: Sequence[str], log: Log) -> Lock:
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "lock.txt"
        arguments = [
            "pip",
            "compile",
            "-",
            "--quiet",
            "--output-file",
            str(target),
            "--python",
            sys.executable,
            "--generate-hashes",
        ]
        arguments += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
        listed = "\n".join(requirements) + "\n"
        build = pytorch.resolving()
        try:
            tool.run([*arguments, *build], log, folder=Path(folder), timeout=TIMEOUT, stdin=listed)
        except InvalidInput as error:
            if not build or not pytorch.unreached(error.message):
                raise
            log(pytorch.UNREACHED)
            tool.run(arguments, log, folder=Path(folder), timeout=TIMEOUT, stdin=listed)
        return Lock.of(target.read_text())
