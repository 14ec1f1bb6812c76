"""API keys: their text, and what is kept of them. The text is shown once; kept are a look-up prefix and a SHA-256."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headrace_functions.access.roles import Caller, RoleOn, check_subject

PREFIX = "hrk_"
"""How every key begins, so that scanners of source code can find one."""
_ID_BYTES = 6
_SECRET_BYTES = 32
LENGTH = len(PREFIX) + 2 * _ID_BYTES + 1 + 2 * _SECRET_BYTES
"""Characters of a key: the prefix, 12 hexadecimal digits to look it up by, ``_``, and 64 that are the secret (256 bits)."""


def new_key() -> str:
    return f"{PREFIX}{secrets.token_hex(_ID_BYTES)}_{secrets.token_hex(_SECRET_BYTES)}"


def id_of(text: str) -> str | None:
    """The look-up prefix of a key's text; None for what is no key."""
    if len(text) != LENGTH or not text.startswith(PREFIX):
        return None
    found, _, _ = text.removeprefix(PREFIX).partition("_")
    return found


def digest(text: str) -> str:
    # A plain SHA-256 is enough: the secret has 256 random bits, so there is nothing to guess.
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Key:
    """What is kept of a key. Times are seconds since the epoch."""

    name: str
    id: str
    sha256: str
    owner: str
    roles: tuple[RoleOn, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None

    @property
    def caller(self) -> Caller:
        return Caller(f"key:{self.name}", own=self.roles, owner=self.owner)

    def matches(self, text: str) -> bool:
        return hmac.compare_digest(self.sha256, digest(text))

    def usable(self, now: float) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)

    def to_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "id": self.id,
            "sha256": self.sha256,
            "owner": self.owner,
            "roles": [r.to_document() for r in self.roles],
            "created": self.created,
            "expires": self.expires,
            "revoked": self.revoked,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Key":
        expires, revoked = document.get("expires"), document.get("revoked")
        return cls(
            str(document["name"]),
            str(document["id"]),
            str(document["sha256"]),
            check_subject(document["owner"], field="owner"),
            tuple(RoleOn.from_document(r) for r in document["roles"]),
            float(document["created"]),
            None if expires is None else float(expires),
            None if revoked is None else float(revoked),
        )
