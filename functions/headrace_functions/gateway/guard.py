"""Who may send a request for a name, before anything tells whether the name exists."""

from collections.abc import Callable, Mapping

from headrace_functions.access.audit import Entry, refusal
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.roles import Permission
from headrace_functions.errors import Forbidden, InvalidInput, Unauthenticated
from headrace_functions.gateway.allowance import Allowance
from headrace_functions.gateway.passthrough import Scope, peer_of
from headrace_functions.gateway.replies import request_id_of
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.protocol.problems import status_of

LOG = b"x-headrace-log"
"""``off`` asks for a request to be left out of the log, by who may analyze the model."""


class Guard:
    """``refused`` is called with each request that was refused for its caller; ``forwarded``: a proxy tells the caller's address."""

    def __init__(
        self,
        authentication: Authentication,
        allowance: Allowance | None,
        secret: PlatformSecret,
        refused: Callable[[Entry], None],
        *,
        forwarded: bool,
    ) -> None:
        self._authentication = authentication
        self._allowance = allowance
        self._secret = secret
        self._refused = refused
        self._forwarded = forwarded

    def identify(self, scope: Scope) -> str:
        """The subject that sent a request, whatever it may do; noted as the request's caller."""
        subject: str = self._authentication.identify(Credentials.of(dict(scope["headers"]))).subject
        scope["caller"] = subject
        return subject

    def admit(self, scope: Scope, name: str, *permissions: Permission) -> None:
        """``Unauthenticated`` or ``Forbidden`` if the caller has none of the permissions on the name.

        A call that is not to be logged requires the permission to analyze as well.
        """
        headers = dict(scope["headers"])
        credentials = Credentials.of(headers)
        try:
            caller = self._authentication.admit(credentials, name, *permissions)
        except (Unauthenticated, Forbidden) as error:
            who = self._authentication.who(credentials)
            peer = peer_of(scope, forwarded=self._forwarded)
            entry = refusal(error, who, permissions[0], name, peer, request_id_of(scope), status_of(error))
            self._refused(entry)
            raise
        scope["caller"] = caller.subject
        if permissions[0] == "call" and scope["method"] == "POST":
            if self._allowance is not None:
                self._allowance.take_for(scope, caller.subject, self._secret)
            if _unlogged(headers):
                self.admit(scope, name, "analyze")


def _unlogged(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the caller asks for the request to be left out of the log."""
    wanted = headers.get(LOG, b"on")
    if wanted not in (b"on", b"off"):
        raise InvalidInput(
            "x-headrace-log is neither on nor off",
            field="x-headrace-log",
            expected="on or off",
            got=repr(wanted.decode("latin-1")[:40]),
        )
    return wanted == b"off"
