"""Signed documents: who can write to the store of a cluster cannot change what answers, how it runs, or who may do what. Pure.

Signed are aliases, sequences, deployment configurations, schedules, streams, notification targets, keys, grants, blocks and sessions. Their member
``platform-signature`` is an HMAC-SHA256 of the document without it and of its key in the store, so that none is of use in another place; the
key is not in the store. One that is not signed is damaged. What a signature cannot tell is that documents were *removed*: who removes the
last states of a series makes an earlier one count.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Any

import orjson

from headrace_functions.errors import DamagedDocument
from headrace_functions.storage import layout

SIGNED = (
    layout.ACCESS,
    layout.SESSIONS,
    layout.SEQUENCES,
    layout.DEPLOYMENTS,
    layout.SCHEDULES,
    layout.STREAMS,
    layout.TARGETS,
)
"""Folders all of whose documents are signed; below ``layout.MODELS`` those of aliases are."""
SIGNATURE = "platform-signature"


def is_signed(key: str) -> bool:
    """Whether a document with this key bears a signature where a platform signs."""
    return key.startswith(SIGNED) or (key.startswith(layout.MODELS) and key.split("/")[2:3] == ["aliases"])


def unsigned(key: str, document: dict[str, Any]) -> dict[str, Any]:
    """What was signed, for readers who do not check."""
    return {k: v for k, v in document.items() if k != SIGNATURE} if is_signed(key) else document


@dataclass(frozen=True, slots=True)
class DocumentKey:
    """The key that signs documents; whoever checks them has it too."""

    value: str = field(repr=False)

    def seal(self, key: str, document: dict[str, Any]) -> dict[str, Any]:
        """The document as it is stored under ``key``: with its signature, where it bears one."""
        return {**document, SIGNATURE: self._digest(key, document)} if is_signed(key) else document

    def open(self, key: str, document: dict[str, Any]) -> dict[str, Any]:
        """What was sealed; ``DamagedDocument`` where it is not signed, or not as this document."""
        if not is_signed(key):
            return document
        found, content = document.get(SIGNATURE), unsigned(key, document)
        if not isinstance(found, str) or not hmac.compare_digest(found.encode(), self._digest(key, content).encode()):
            what = "is not signed by this platform" if found is None else "is not what was signed"
            raise DamagedDocument(
                f"{key} {what}: something else wrote or changed it",
                field=key,
                hint="set it again; see docs/security.md, Signed documents",
            )
        return content

    def _digest(self, key: str, document: dict[str, Any]) -> str:
        content = hashlib.sha256(orjson.dumps(document, option=orjson.OPT_SORT_KEYS)).digest()
        return hmac.digest(self.value.encode(), f"document\0{key}\0".encode() + content, "sha256").hex()
