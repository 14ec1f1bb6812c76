"""What a platform asks its callers by, in one place: keys and grants, sessions, and from credentials to a caller."""

from collections.abc import Callable
from dataclasses import dataclass

from headrace_controller.access.control import AccessControl
from headrace_controller.access.sessions import Sessions
from headrace_functions.access.authentication import Authentication
from headrace_functions.access.source import PolicySource
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents


@dataclass(frozen=True, slots=True)
class Trust:
    control: AccessControl
    sessions: Sessions
    authentication: Authentication
    secret: PlatformSecret
    """Of the platform's own processes; the composition root sets its value."""
    secure: bool
    """Whether people reach the pages over TLS, so that cookies are marked for it."""

    @property
    def required(self) -> bool:
        """Whether callers are asked who they are."""
        return self.authentication.required

    def open(self) -> None:
        if self.required:
            self.control.source.open()
            self.control.uses.open("controller")

    def close(self) -> None:
        self.control.source.close()
        self.control.uses.close()

    def problems(self) -> list[str]:
        return self.control.source.problems if self.required else []


def create_trust(documents: Documents, changed: Callable[[], None], *, required: bool, secure: bool) -> Trust:
    """``changed`` is called after each change of a key, a grant or a block."""
    source, secret = PolicySource(documents), PlatformSecret()
    control = AccessControl(documents, source, changed=changed)
    authentication = Authentication(source if required else None, secret, used=control.uses.note)
    return Trust(control, Sessions(documents), authentication, secret, secure)
