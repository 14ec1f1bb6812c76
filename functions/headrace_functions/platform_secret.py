"""The secret that the platform's own processes share: who shows it is one of them."""

import hmac
import time
from dataclasses import dataclass

PROOF = b"x-headrace-proof"
"""On a request from the gateway to a function: the secret, so that the function believes what the gateway says of the request."""

OLD_SECONDS = 1800.0
"""Seconds for which a secret is taken after another one came: as long as an analysis that knows it may run."""


FUNCTION, BUILD = "function", "build"
"""Kinds of work that run users' code in a pod."""


def store_token(secret: str, kind: str, name: str) -> str:
    """What a pod that runs users' code shows to the store proxy, and all that it holds: ``<kind>.<name>.<HMAC>``.

    ``kind`` is ``function`` (``name`` is a service) or ``build`` (a build Job). It is a secret of this one pod's work: what it opens
    is in ``storage.reach``.
    """
    return f"{kind}.{name}.{_digest(secret, f'store:{kind}:{name}')}"


def function_proof(secret: str, service: str) -> str:
    """What the gateway proves itself by to one service alone, so that model code which reads it can show it nowhere else."""
    return proof_from(store_token(secret, FUNCTION, service)) if secret else ""


def proof_from(token: str) -> str:
    """The gateway's proof to the pod that holds this token, which therefore need not be told both."""
    return _digest(token, "proof")


def _digest(key: str, message: str) -> str:
    return hmac.digest(key.encode(), message.encode(), "sha256").hex()


def proof_line(proof: str) -> bytes:
    """The header line that shows a proof."""
    return b"%s: %s\r\n" % (PROOF, proof.encode()) if proof else b""


@dataclass(slots=True)
class PlatformSecret:
    """``value`` is empty while it is not known, as in a gateway that started while the store was away."""

    value: str = ""
    hash_key: bytes = b""
    """By which sensitive fields are hashed; empty drops them."""
    previous: str = ""
    """The one before, which is taken until ``until``; tokens of pods that still run are known by it for as long as it is there."""
    until: float = 0.0
    """On the monotonic clock."""

    def rotate(self, value: str, *, at_once: bool = False) -> None:
        """Put another secret in the place of this one. The old one is taken for ``OLD_SECONDS`` more, unless ``at_once``. Twice is once."""
        if value != self.value:
            self.previous, self.until = self.value, time.monotonic() + OLD_SECONDS
            self.value = value
        if at_once:
            self.previous = ""

    def proof_line(self) -> bytes:
        """The header line for the platform's own processes."""
        return proof_line(self.value)

    def function_line(self, service: str) -> bytes:
        """The header line by which one service knows the gateway; nothing that it could show elsewhere."""
        return proof_line(function_proof(self.value, service))

    def is_purpose(self, header: bytes | None) -> bool:
        """Whether an ``x-headrace-purpose`` comes from the platform itself."""
        return self._equals(header, b"explain ")

    def is_proof(self, header: bytes | None) -> bool:
        """Whether an ``x-headrace-proof`` comes from the gateway."""
        return self._equals(header, b"")

    def holder_of(self, token: str) -> tuple[str, str] | None:
        """Kind and name in a store token of this platform; None for any other text."""
        kind, _, rest = token.partition(".")
        name, _, _ = rest.rpartition(".")
        if not self.value or not token.isascii():
            return None
        secrets = filter(None, (self.value, self.previous))
        return (kind, name) if any(hmac.compare_digest(token, store_token(s, kind, name)) for s in secrets) else None

    def _equals(self, header: bytes | None, prefix: bytes) -> bool:
        if header is None:
            return False
        if self._is(self.value, header, prefix):
            return True
        return bool(self.previous) and time.monotonic() < self.until and self._is(self.previous, header, prefix)

    @staticmethod
    def _is(value: str, header: bytes, prefix: bytes) -> bool:
        # In constant time: a caller must not learn the secret letter by letter.
        return bool(value) and hmac.compare_digest(header, prefix + value.encode())
