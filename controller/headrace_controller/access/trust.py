"""What a platform asks its callers by, in one place: keys and grants, sessions, and from credentials to a caller."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from headrace_controller.access.control import AccessControl
from headrace_controller.access.sessions import Sessions
from headrace_functions.access.audit import AuditChain, Head, Refusals
from headrace_functions.access.authentication import Authentication
from headrace_functions.access.source import PolicySource
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents

AUDIT_HEAD = "audit-head"
"""File of a home that remembers the end of the audit, so that it is seen where the end was cut off in the store."""


@dataclass(frozen=True, slots=True)
class Trust:
    control: AccessControl
    sessions: Sessions
    authentication: Authentication
    secret: PlatformSecret
    """Of the platform's own processes; the composition root sets its value."""
    audit: AuditChain
    refusals: Refusals
    heads: Path
    """Where the head of the audit is remembered outside of the store."""
    secure: bool
    """Whether people reach the pages over TLS, so that cookies are marked for it."""

    @property
    def required(self) -> bool:
        """Whether callers are asked who they are."""
        return self.authentication.required

    def open(self) -> None:
        self.audit.open()
        self.refusals.open()
        if self.required:
            self.control.source.open()
            self.control.uses.open("controller")

    def close(self) -> None:
        self.refusals.close()
        self.audit.close()
        self.control.source.close()
        self.control.uses.close()

    def problems(self) -> list[str]:
        return [*(self.control.source.problems if self.required else []), *self.audit.problems]

    def known_head(self) -> Head | None:
        """The head of the audit as this home last saw it; None where it never did."""
        return read_head(self.heads)


def read_head(file: Path) -> Head | None:
    try:
        number, _, digest = file.read_text().strip().partition(":")
        return Head(int(number), digest)
    except (OSError, ValueError):
        return None


def remember_head(file: Path, head: Head) -> None:
    """Keep the newest head: several processes write to the audit."""
    known = read_head(file)
    if known is None or head.number > known.number:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{os.getpid()}")
        temporary.write_text(str(head))
        temporary.replace(file)


def create_trust(
    documents: Documents, home: Path, changed: Callable[[], None], *, required: bool, secure: bool
) -> Trust:
    """``changed`` is called after each change of a key, a grant or a block."""
    source, secret = PolicySource(documents), PlatformSecret()
    control = AccessControl(documents, source, changed=changed)
    authentication = Authentication(source if required else None, secret, used=control.uses.note)
    heads = home / AUDIT_HEAD
    audit = AuditChain(documents.objects, partial(remember_head, heads))
    return Trust(control, Sessions(documents), authentication, secret, audit, Refusals(audit), heads, secure)
