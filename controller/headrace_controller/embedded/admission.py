"""Who may ask what at the gateway of one machine: keys and grants that follow the store, and refusals on their way to the audit."""

from functools import partial

from headrace_controller.access.trust import AUDIT_HEAD, provider_of, provider_tokens, remember_head
from headrace_controller.access.uses import KeyUses
from headrace_controller.settings import Settings
from headrace_functions.access.audit import AuditChain, Refusals
from headrace_functions.access.authentication import Authentication
from headrace_functions.access.source import PolicySource
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents
from headrace_functions.storage.objects import ObjectStore


class Admission:
    """Opened and closed with the gateway; does nothing where callers are not asked who they are."""

    def __init__(self, settings: Settings, documents: Documents, objects: ObjectStore, secret: PlatformSecret) -> None:
        self._source = PolicySource(documents) if settings.auth else None
        self._uses = KeyUses(objects)
        self._audit = AuditChain(objects, partial(remember_head, settings.home / AUDIT_HEAD))
        self.refusals = Refusals(self._audit)
        self._provider = provider_of(settings)
        tokens = provider_tokens(self._provider)
        self.authentication = Authentication(self._source, secret, tokens, used=self._uses.note)

    def open(self) -> None:
        if self._provider is not None:
            self._provider.open()
        if self._source is not None:
            self._source.open()
            self._uses.open("gateway")
            self._audit.open()
            self.refusals.open()

    def learn(self) -> None:
        """Read now who may do what: something changed."""
        if self._source is not None:
            self._source.refresh()

    def close(self) -> None:
        if self._provider is not None:
            self._provider.close()
        if self._source is not None:
            self._source.close()
            self._uses.close()
            self.refusals.close()
            self._audit.close()
