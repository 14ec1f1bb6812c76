"""The gateway's side of standbys: which versions one covers, and asking it to bring one up.

A standby answers for versions that were built for its runtime image and need nothing else: the same lock, no layer, no
deployment configuration (whose variables and devices only the version's own pod has), no hashed values (whose key only that pod has). What is not known to be covered waits for
its own pod, as everything does on a platform without standbys.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

import orjson

from headrace_functions.errors import HeadraceError, NotFound, NotReady
from headrace_functions.gateway.leases import Endpoint
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.names import VersionId
from headrace_functions.platform_secret import FUNCTION, PlatformSecret, store_token
from headrace_functions.protection import is_hashed
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents
from headrace_functions.version import Version

HEADER = b"x-headrace-standby"
"""On a request: version and digest of its artifact; on an answer: that the standby refused and no function has seen the request."""
TOKEN = b"x-headrace-store-token"
"""On a request: by which the standby reaches what the version needs of the store, and hands over its records. It has nothing else."""
REFUSED = b"refused"
EVERY = 2.0
"""Seconds between two looks at the store's mark of changes, for versions that were given a deployment configuration."""
ASK_LOCKS = 15.0
"""Seconds between two questions to the standbys which lock they have; a new release may bring another one."""
_ASK_SECONDS = 5.0
_OK = 200

log = logging.getLogger(__name__)


class Standbys:
    """The standbys of a platform, by the lock of their image. All methods belong to one event loop."""

    def __init__(
        self, names: Sequence[str], host: Callable[[str], str], upstream: Upstream, secret: PlatformSecret
    ) -> None:
        """``names`` are those of runtime images, ``host`` gives the host name of an image's standby."""
        self._secret = secret
        self._hosts = {name: host(name) for name in names}
        self._upstream = upstream
        self._loop = asyncio.get_running_loop()
        self._by_lock: dict[str, str] = {}
        self._configured: frozenset[VersionId] | None = None

    def endpoint(self, version: Version) -> Endpoint | None:
        """Where the version is answered for while it sleeps; None where nobody does."""
        runtime = version.runtime
        if not self._secret.value or runtime is None or runtime.layer or is_hashed(version.signature):
            return None
        if self._configured is None or version.id in self._configured:
            return None
        host = self._by_lock.get(runtime.lock)
        if host is None:
            return None
        name, _, port = host.partition(":")
        headers = HEADER + f": {version.id} {version.artifact}\r\n".encode() + self._token_line(version)
        return Endpoint(f"tcp:{name}:{port or 80}", "standby", name, headers)

    async def prepare(self, version: Version, endpoint: Endpoint) -> None:
        """Return when the standby answers for the version; ``NotReady`` and ``Unreachable`` where it does not."""
        head = (
            (
                f"PUT /versions/{version.id}/{version.artifact} HTTP/1.1\r\nhost: {endpoint.host}\r\ncontent-length: 0\r\n"
            ).encode()
            + self._token_line(version)
            + b"\r\n"
        )
        end = self._loop.time() + version.limits.start_timeout
        reply = await self._upstream.request(endpoint.address, head, b"", end)
        if reply.status != _OK:
            raise NotReady(f"the standby answered {reply.status}: {reply.body[:300].decode('utf-8', 'replace')}")

    def _token_line(self, version: Version) -> bytes:
        return TOKEN + f": {store_token(self._secret.value, FUNCTION, version.id.service)}\r\n".encode()

    def close(self) -> None:
        self._upstream.close()

    async def follow(self, documents: Documents) -> None:
        """Keep knowing the standbys' locks and what they must not answer for, until cancelled."""
        seen: bytes | None = None
        asked = -ASK_LOCKS
        while True:
            if self._loop.time() - asked >= (ASK_LOCKS if len(self._by_lock) == len(self._hosts) else EVERY):
                asked = self._loop.time()
                found = await asyncio.gather(*(self._lock_of(host) for host in self._hosts.values()))
                self._by_lock = {lock: host for lock, host in zip(found, self._hosts.values(), strict=True) if lock}
            try:
                seen = await self._look(documents, seen)
            except HeadraceError as error:
                self._configured = None  # what is not known to be free of a configuration waits for its own pod
                log.warning("standbys are not used until the store can be read: %s", error.message)
                seen = None
            await asyncio.sleep(EVERY)

    async def _lock_of(self, host: str) -> str:
        name, _, port = host.partition(":")
        head = f"GET /standby HTTP/1.1\r\nhost: {name}\r\n\r\n".encode()
        try:
            reply = await self._upstream.request(
                f"tcp:{name}:{port or 80}", head, b"", self._loop.time() + _ASK_SECONDS
            )
            return str(orjson.loads(reply.body)["lock"]) if reply.status == _OK else ""
        except (HeadraceError, orjson.JSONDecodeError, KeyError, TypeError) as error:
            log.warning("the standby %s does not say what it answers for: %s", name, error)
            return ""

    async def _look(self, documents: Documents, seen: bytes | None) -> bytes:
        mark = await asyncio.to_thread(_mark, documents)
        if mark != seen:
            self._configured = await asyncio.to_thread(configured, documents)
        return mark


def configured(documents: Documents) -> frozenset[VersionId]:
    """The versions that a current sequence gives a deployment configuration."""
    found: set[VersionId] = set()
    for name in documents.objects.folders(layout.SEQUENCES):
        document = documents.last(layout.revisions(name)) or {}
        found |= {VersionId.parse(text) for text in document.get("deployment-configurations", {})}
    return frozenset(found)


def _mark(documents: Documents) -> bytes:
    try:
        return documents.objects.get(layout.CHANGES)
    except NotFound:
        return b""
