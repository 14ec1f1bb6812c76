"""The store as a pod sees it that runs users' code: over HTTP, by a token that opens what the pod needs and nothing else.

The verbs are those of ``objects.ObjectStore`` that such a pod uses; the other side is ``gateway.store_proxy``. Standard library
alone, because a pod reads with it before its libraries are in place.
"""

import contextlib
import hashlib
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, TypeVar
from urllib.parse import quote, urlsplit

from headrace_functions.errors import Conflict, InvalidInput, NotFound, StorageFailed
from headrace_functions.startup import required

PROXY = "HEADRACE_STORE_PROXY"
"""URL of the store proxy, e.g. ``http://headrace-store-proxy.models.svc:8082``."""
TOKEN = "HEADRACE_STORE_TOKEN"  # noqa: S105 -- the name of the variable
"""The pod's token; ``platform_secret.store_token``."""
PATIENCE = 60.0
"""Seconds for which reading is tried again while the proxy or the store is away; a pod that gives up is started anew."""
_SECONDS = 30.0  # that the proxy may be silent
_PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_CHUNK = 1 << 20
_SETTER = "the platform sets it in the pod it makes"

Read = TypeVar("Read")


class _Away(StorageFailed):
    """It may answer later."""


class ProxiedStore:
    """Reads wait for a proxy that is away, up to ``patience`` seconds; writes do not, because who writes tries again by itself.

    Every verb raises ``StorageFailed`` where proxy or store refuse or cannot be reached. Several threads may use it.
    """

    directory: Path | None = None
    """As of a bucket: nothing can be moved there."""

    def __init__(self, url: str, token: str, *, patience: float = PATIENCE) -> None:
        where = urlsplit(url)
        if where.scheme != "http" or not where.hostname:
            raise InvalidInput(f"{PROXY}: {url!r} is not a URL", field=PROXY, expected="http://HOST:PORT", got=url)
        self._host, self._port = where.hostname, where.port or 80
        self._headers = {"authorization": f"Bearer {token}"}
        self._patience = patience

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "ProxiedStore":
        """``InvalidInput`` names the variable that is missing or wrong."""
        return cls(*(required(environment, name, hint=_SETTER) for name in (PROXY, TOKEN)))

    def get(self, key: str) -> bytes:
        """The bytes of ``key``; ``NotFound`` if there are none."""

        def read() -> bytes:
            with self._asked("GET", key) as answer:
                return answer.read()

        return self._patiently(read)

    def download(self, key: str, file: Path) -> str:
        """Write the bytes of ``key`` to a file as they come; their SHA-256, hexadecimal. ``NotFound`` if there are none."""

        def copy() -> str:
            with self._asked("GET", key) as answer, file.open("wb") as sink:
                return _copied(answer, sink)

        return self._patiently(copy)

    def size(self, key: str) -> int:
        """The number of bytes of ``key``; ``NotFound`` if it is not there."""

        def look() -> int:
            with self._asked("HEAD", key) as answer:
                return int(answer.headers["content-length"])

        return self._patiently(look)

    def create(self, key: str, data: bytes) -> None:
        """Write ``key`` only if it is not there; ``Conflict`` if it is. It is durable when this returns."""
        with self._asked("PUT", key, data, {"if-none-match": "*"}):
            return

    def put(self, key: str, data: bytes | Path) -> None:
        """Write ``key``, replacing what was there; a ``Path`` is streamed."""
        if isinstance(data, bytes):
            with self._asked("PUT", key, data):
                return
        with data.open("rb") as source, self._asked("PUT", key, source, {"content-length": str(data.stat().st_size)}):
            return

    def _patiently(self, read: Callable[[], Read]) -> Read:
        """What ``read`` returns, tried again while nobody answers and there is time."""
        end = time.monotonic() + self._patience
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                return read()
            except _Away:
                if time.monotonic() + pause > end:
                    raise
            time.sleep(pause)
        raise AssertionError("the pauses have no end")

    @contextlib.contextmanager
    def _asked(
        self, method: str, key: str, body: bytes | BinaryIO | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[HTTPResponse]:
        connection = HTTPConnection(self._host, self._port, timeout=_SECONDS, blocksize=_CHUNK)
        try:
            connection.request(method, f"/{quote(key)}", body, {**self._headers, **(headers or {})})
            with connection.getresponse() as answer:
                if answer.status >= 300:
                    raise _refused(answer, key)
                yield answer
        except (OSError, HTTPException) as error:
            what = str(error) or type(error).__name__
            raise _Away(f"the store proxy at {self._host}:{self._port} does not answer: {what}") from error
        finally:
            connection.close()


def _copied(answer: HTTPResponse, sink: BinaryIO) -> str:
    digest = hashlib.sha256()
    left = int(answer.headers["content-length"])
    while chunk := answer.read(min(_CHUNK, max(left, 1))):
        left -= len(chunk)
        digest.update(chunk)
        sink.write(chunk)
    if left:
        raise _Away(f"the store proxy ended {left} bytes early")
    return digest.hexdigest()


def _refused(answer: HTTPResponse, key: str) -> Exception:
    try:
        told = json.loads(answer.read(1 << 16))["detail"]
    except (ValueError, KeyError, TypeError):
        told = f"the store proxy answered {answer.status}"
    match answer.status:
        case 404:
            return NotFound(f"no object {key}")
        case 409:
            return Conflict(f"{key} exists already")
        case 401 | 403:
            return StorageFailed(
                f"cannot reach {key}: {told}",
                hint="check whether the platform's secret has changed since this pod started",
            )
        case 429 | 500 | 502 | 503 | 504:
            return _Away(str(told))
    return StorageFailed(str(told))
