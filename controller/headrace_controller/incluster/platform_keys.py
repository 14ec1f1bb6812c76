"""The keys of a platform in a cluster: made once, kept in a Secret that only the platform's own parts read, never in the store.

======================= ====================================================================================================
``secret``              what the platform's parts know one another by, and what the tokens of pods that run users' code are made from
``release-key``         signs releases (``storage.releases``)
``hash-key``            hashes values of sensitive fields (``protection``), hexadecimal
``retired-hash-keys``   those before it, the oldest first, by which values are found that somebody wants erased
``documents``           ``signed`` once the documents that decide what runs are signed by ``release-key`` (``storage.signed_documents``); ``adopt``
                        signs all that the store holds once more
======================= ====================================================================================================

The Secret may be made by somebody else, with the first two, before the platform is installed. Where there is none the controller makes
it, and what lacks of the others. What the store has been filled with until then was trusted until then, so it signs those releases before it shows
``release-key``; gateways wait for that. A Secret that is lost and made anew therefore trusts the store as it is: keep a copy.
"""

import logging
import secrets as randomness
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace_controller.backends.kserve.credentials import DOCUMENTS, HASH_KEY, PLATFORM_SECRET, RELEASE_KEY, SECRET
from headrace_controller.backends.kserve.manifests import selector
from headrace_controller.backends.kserve.settings import ClusterSettings
from headrace_functions.errors import InvalidInput, NotReady, Unreachable
from headrace_functions.storage.releases import ReleaseKey

Json = dict[str, Any]

PENDING = "pending-release-key"
RETIRED = "retired-hash-keys"
SIGNED, ADOPT = "signed", "adopt"
FIRST_KEY = "headrace-first-admin-key"
"""The Secret in which the first administrator's API key is left, under ``key``, where callers are asked who they are."""
_SHORTEST = 16
"""Bytes of a key of hashes at least."""
AGAIN = 2.0
"""Seconds between two attempts while the API server is away."""

log = logging.getLogger(__name__)


class Secrets(Protocol):
    """The part of ``backends.kserve.secrets.Secrets`` that is needed."""

    def find(self, name: str) -> dict[str, str] | None: ...

    def create(self, document: Json) -> bool: ...

    def merge(self, name: str, data: dict[str, str | None]) -> None: ...


@dataclass(frozen=True, slots=True, repr=False)
class PlatformKeys:
    secret: str
    release_key: ReleaseKey
    hash_key: str
    retired: tuple[str, ...] = ()
    """Earlier hash keys, the oldest first."""


class AdoptDocuments(Protocol):
    def __call__(self, key: ReleaseKey, *, others: bool) -> None:
        """Sign the documents that the store holds: those without a signature, and with ``others`` those of another key."""


def platform_keys(
    secrets: Secrets, cluster: ClusterSettings, adopt: Callable[[ReleaseKey], None], adopt_documents: AdoptDocuments
) -> PlatformKeys:
    """The keys; made, and the store's releases signed by ``adopt``, where there are none. It may be repeated after a crash anywhere.

    Other documents are signed where the Secret does not say that they are; gateways wait for that word.

    ``NotReady`` where the Secret lacks one, ``InvalidInput`` where a key of hashes is none or the account may not read the Secret, and
    what ``adopt`` raises.
    """
    found = secrets.find(PLATFORM_SECRET)
    if found is None:
        log.info("making the Secret %s", PLATFORM_SECRET)
        secrets.create(_document(cluster))
        found = secrets.find(PLATFORM_SECRET) or {}
    if not found.get(RELEASE_KEY) and found.get(PENDING):
        adopt(ReleaseKey(found[PENDING]))
        secrets.merge(PLATFORM_SECRET, {RELEASE_KEY: found[PENDING], PENDING: None})
        found = found | {RELEASE_KEY: found[PENDING]}
    for key in (SECRET, RELEASE_KEY):
        if not found.get(key):
            raise NotReady(
                f"the Secret {PLATFORM_SECRET} lacks {key}",
                hint="add both keys, or remove the Secret and the controller creates it",
            )
    if not found.get(HASH_KEY):
        secrets.merge(PLATFORM_SECRET, {HASH_KEY: randomness.token_hex(32)})
        found = secrets.find(PLATFORM_SECRET) or {}
    said = found.get(DOCUMENTS, "")
    if said != SIGNED:
        if said not in ("", ADOPT):
            raise InvalidInput(
                f"{DOCUMENTS} in the Secret {PLATFORM_SECRET} says {said!r}",
                field=DOCUMENTS,
                expected=f"{SIGNED}, or {ADOPT} to trust the current contents of the store once",
            )
        adopt_documents(ReleaseKey(found[RELEASE_KEY]), others=said == ADOPT)
        secrets.merge(PLATFORM_SECRET, {DOCUMENTS: SIGNED})
    retired = found.get(RETIRED, "").split()
    for key in (found[HASH_KEY], *retired):
        _check_hash_key(key)
    return PlatformKeys(found[SECRET], ReleaseKey(found[RELEASE_KEY]), found[HASH_KEY], tuple(retired))


class HashKeys:
    """The keys of hashes in the platform's Secret; fills ``service.rotation.KeptElsewhere``."""

    def __init__(self, secrets: Secrets, look: Callable[[], None]) -> None:
        """``look`` makes the controller look at what each service should be, which says another key from then on."""
        self._secrets = secrets
        self._look = look

    def keep(self, key: str, retired: Sequence[str]) -> None:
        self._secrets.merge(PLATFORM_SECRET, {HASH_KEY: key, RETIRED: "\n".join(retired)})

    def renew(self) -> None:
        self._look()


def _check_hash_key(key: str) -> None:
    try:
        length = len(bytes.fromhex(key))
    except ValueError:
        length = 0
    if length < _SHORTEST:
        raise InvalidInput(
            f"a hash key in the Secret {PLATFORM_SECRET} cannot be used",
            field=HASH_KEY,
            expected=f"at least {2 * _SHORTEST} hexadecimal digits",
        )


def patiently(read: Callable[[], PlatformKeys]) -> PlatformKeys:
    """What ``read`` returns, however long the API server is away."""
    while True:
        try:
            return read()
        except Unreachable as error:
            log.warning("the platform's keys cannot be read yet: %s", error.message)
            threading.Event().wait(AGAIN)


def first_key_secret(key: str, cluster: ClusterSettings) -> Json:
    """The Secret with the first administrator's key; whoever has made keys for people deletes it."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": FIRST_KEY, "namespace": cluster.namespace, "labels": selector(cluster)},
        "type": "Opaque",
        "stringData": {"key": key},
    }


def _document(cluster: ClusterSettings) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": PLATFORM_SECRET, "namespace": cluster.namespace, "labels": selector(cluster)},
        "type": "Opaque",
        "stringData": {
            SECRET: randomness.token_urlsafe(32),
            PENDING: randomness.token_urlsafe(32),
            HASH_KEY: randomness.token_hex(32),
        },
    }
