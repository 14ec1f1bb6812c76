"""Signed releases: who can write to the store cannot make the platform start something.

A release's signature is an HMAC-SHA256 of its ``version.json``, byte by byte, and of its name and number, kept beside it. The key is
not in the store. What is not signed is one damaged version: it is not started, not answered for, and can be deleted.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace_functions.errors import DamagedDocument, NotFound
from headrace_functions.names import VersionId
from headrace_functions.storage import layout
from headrace_functions.storage.documents import parse
from headrace_functions.storage.objects import ObjectStore

_ALGORITHM = "HMAC-SHA256"


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """The key that signs releases; whoever checks them has it too."""

    value: str = field(repr=False)

    def sign(self, version: VersionId, content: bytes) -> bytes:
        """The signature document of a ``version.json``."""
        return orjson.dumps({"schema": 1, "algorithm": _ALGORITHM, "signature": self._digest(version, content)})

    def check(self, version: VersionId, content: bytes, signature: bytes | None) -> None:
        """``DamagedDocument`` where this is not the signature of this content as this version, or there is none."""
        key = layout.version_document(version)
        hint = f"'headrace version delete {version}' removes it; if you know where it comes from, 'headrace version sign {version}'"
        if signature is None:
            raise DamagedDocument(f"{key} is not signed by this platform", field=key, hint=hint)
        found = parse(layout.release_signature(version), signature, lambda d: str(d["signature"]))
        if not hmac.compare_digest(found.encode(), self._digest(version, content).encode()):
            raise DamagedDocument(
                f"{key} differs from what was signed: something else changed or wrote it", field=key, hint=hint
            )

    def _digest(self, version: VersionId, content: bytes) -> str:
        signed = f"release\0{version}\0".encode() + hashlib.sha256(content).digest()
        return hmac.digest(self.value.encode(), signed, "sha256").hex()


def read_release(objects: ObjectStore, version: VersionId, key: ReleaseKey | None) -> dict[str, Any] | None:
    """``version.json``; None where there is none. ``DamagedDocument`` where it is no JSON object or, with a ``key``, not signed."""
    try:
        content = objects.get(layout.version_document(version))
    except NotFound:
        return None
    if key is not None:
        key.check(version, content, read_signature(objects, version))
    return parse(layout.version_document(version), content, dict)


def read_signature(objects: ObjectStore, version: VersionId) -> bytes | None:
    try:
        return objects.get(layout.release_signature(version))
    except NotFound:
        return None
