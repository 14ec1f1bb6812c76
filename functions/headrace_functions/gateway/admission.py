"""Who may ask what at a gateway in a cluster: keys and grants that follow the store, bearer tokens that the controller verifies, and refusals
on their way to the audit.

On one machine ``embedded/admission.py`` of the controller does it, which also knows of a login provider.
"""

from headrace_functions.access.audit import AuditChain, Refusals
from headrace_functions.access.authentication import Authentication, Credentials
from headrace_functions.access.source import PolicySource
from headrace_functions.gateway.tokens import VerifiedByController
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents


class Admission:
    """``open`` and ``close`` block while the store is asked; both do nothing where callers are not asked who they are."""

    def __init__(
        self,
        documents: Documents,
        secret: PlatformSecret,
        tokens: VerifiedByController | None = None,
        *,
        required: bool,
    ) -> None:
        self._source = PolicySource(documents) if required else None
        self._audit = AuditChain(documents.objects)
        self.refusals = Refusals(self._audit)
        self._tokens = tokens
        self.authentication = Authentication(self._source, secret, tokens)

    async def learn(self, credentials: Credentials) -> None:
        """Have the bearer token of a request verified, before anybody is asked who shows it."""
        token = self.authentication.bearer_token(credentials)
        if token is not None and self._tokens is not None:
            await self._tokens.learn(token)

    def open(self) -> None:
        if self._source is not None:
            self._source.open()
            self._audit.open()
            self.refusals.open()

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
            self.refusals.close()
            self._audit.close()
