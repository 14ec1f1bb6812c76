"""Reads what a pod serves from the store while the interpreter imports the libraries that serve it.

Begun before numpy is imported, so nothing here imports more than the client of the store.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from headrace_functions.names import VersionId
from headrace_functions.startup import STORAGE, WORK, required
from headrace_functions.storage import layout
from headrace_functions.storage.proxied import PROXY, ProxiedStore

VERSION = "HEADRACE_VERSION"
"""``churn:3``"""
FOLDER = "artifact"
"""Of the unpacked artifact, below ``HEADRACE_WORK``."""
SETTER = "the platform sets it in the pod it makes"


class Store(Protocol):
    """What is asked of object storage; reading is enough."""

    def get(self, key: str) -> bytes: ...


class ReadAhead:
    """A store some of whose objects are on their way already, each in a thread of its own; each is kept for one ``get``."""

    def __init__(self, store: Store, keys: Iterable[str]) -> None:
        self._store = store
        self._reads = {key: _begin(store.get, key) for key in keys}

    def get(self, key: str) -> bytes:
        """The bytes of ``key``, or what the store raised when it was read."""
        read = self._reads.pop(key, None)
        return self._store.get(key) if read is None else read.result()


def _begin(get: Callable[[str], bytes], key: str) -> "Future[bytes]":
    future: Future[bytes] = Future()

    def read() -> None:
        try:
            future.set_result(get(key))
        except Exception as error:  # noqa: BLE001 - who asks for it raises it
            future.set_exception(error)

    # A daemon: a store that does not answer must not keep a process that has found another reason to end.
    threading.Thread(target=read, name=f"read {key}", daemon=True).start()
    return future


class PodStore(Store, Protocol):
    """What a pod does with the store beyond reading small objects."""

    @property
    def directory(self) -> Path | None: ...

    def download(self, key: str, file: Path) -> str: ...

    def create(self, key: str, data: bytes) -> None: ...

    def put(self, key: str, data: bytes | Path) -> None: ...


def open_store(environment: Mapping[str, str]) -> PodStore:
    """What the environment names: the store proxy, as in every pod of a platform, or a store whose credentials are there, as for a
    function server that somebody starts by hand.

    ``InvalidInput`` and ``StorageFailed`` as of ``begin``.
    """
    if environment.get(PROXY):
        return ProxiedStore.from_environment(environment)
    # Imported here alone: a function's environment on one machine has no client for object storage, its image has.
    from headrace_functions.storage.objects import ObjectStore  # noqa: PLC0415

    return ObjectStore(required(environment, STORAGE, hint=SETTER))


def begin(environment: Mapping[str, str]) -> ReadAhead:
    """The store that the environment names, with its version and artifact on their way.

    ``InvalidInput`` for a variable that is missing or makes no sense, ``StorageFailed`` for a store that cannot be opened.
    """
    version_id = VersionId.parse(required(environment, VERSION, hint=SETTER), field=VERSION)
    store = open_store(environment)
    keys = [layout.version_document(version_id)]
    if not (
        Path(required(environment, WORK, hint=SETTER)) / FOLDER
    ).is_dir():  # else an earlier container of the pod left it
        keys.append(layout.artifact(version_id))
    return ReadAhead(store, keys)
