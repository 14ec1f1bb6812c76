"""What a platform asks its callers by, in one place: keys and grants, sessions, and from credentials to a caller."""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from headrace_controller import clock
from headrace_controller.access.control import AccessControl
from headrace_controller.access.sessions import Sessions
from headrace_controller.settings import Settings
from headrace_functions.access.audit import AuditChain, Entry, Head, Refusals
from headrace_functions.access.authentication import Authentication, Tokens
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import InvalidInput
from headrace_functions.platform_secret import PlatformSecret
from headrace_functions.storage.documents import Documents

CLIENT_SECRET = "HEADRACE_OIDC_CLIENT_SECRET"  # noqa: S105 -- the name of the variable that holds it
CALLBACK = "/login/callback"
"""The path to which a login provider leads people back."""
AUDIT_HEAD = "audit-head"
"""File of a home that remembers the end of the audit, so that it is seen where the end was cut off in the store."""


class Provider(Protocol):
    """A login provider whose keys are kept up; ``headrace_functions.access.tokens.Provider``."""

    @property
    def problems(self) -> list[str]: ...

    def open(self) -> None: ...

    def close(self) -> None: ...


class PeopleLogin(Protocol):
    """Logging in at a provider; ``people.PeopleLogin``."""

    def begin(self, after: str) -> tuple[str, str]: ...

    def finish(self, state: str, code: str) -> tuple[Any, str]: ...


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
    provider: Provider | None
    people: PeopleLogin | None
    """How people log in at a provider; None where none is configured."""
    login: Settings
    """What is set of the login provider."""
    secure: bool
    """Whether people reach the pages over TLS, so that cookies are marked for it."""

    @property
    def required(self) -> bool:
        """Whether callers are asked who they are."""
        return self.authentication.required

    def open(self) -> None:
        self.audit.open()
        self.refusals.open()
        if self.provider is not None:
            self.provider.open()
        if self.required:
            self.control.source.open()
            self.control.uses.open("controller")

    def see_to_an_administrator(self, leave: Callable[[str], object]) -> None:
        """Where callers are asked who they are and nobody may administer, make a key; ``leave`` puts it where the owner finds it."""
        if not self.required or self.control.administrators():
            return
        made = self.control.admin_key()
        leave(made.text)
        name = f"key:{made.key.name}"
        self.audit.write(
            Entry(clock.now(), "platform", "create_key", name, "done", 201, reason="nobody could administer")
        )

    def close(self) -> None:
        if self.provider is not None:
            self.provider.close()
        self.refusals.close()
        self.audit.close()
        self.control.source.close()
        self.control.uses.close()

    def problems(self) -> list[str]:
        provider = self.provider.problems if self.provider is not None else []
        return [*provider, *(self.control.source.problems if self.required else []), *self.audit.problems]

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


def create_trust(settings: Settings, documents: Documents, endpoint: str, changed: Callable[[], None]) -> Trust:
    """``endpoint`` is the platform's URL; ``changed`` is called after each change of a key, a grant or a block."""
    source, secret = PolicySource(documents), PlatformSecret()
    provider = provider_of(settings)
    control = AccessControl(documents, source, people=lambda: provider is not None, changed=changed)
    authentication = Authentication(
        source if settings.auth else None, secret, provider_tokens(provider), used=control.uses.note
    )
    heads = settings.home / AUDIT_HEAD
    audit = AuditChain(documents.objects, partial(remember_head, heads))
    return Trust(
        control,
        Sessions(documents),
        authentication,
        secret,
        audit,
        Refusals(audit),
        heads,
        provider,
        _people(provider, settings, endpoint),
        settings,
        (settings.public_url or f"{settings.scheme}:").startswith("https:"),
    )


def provider_of(settings: Settings) -> Provider | None:
    """The login provider of a platform; ``InvalidInput`` where its libraries are not installed."""
    if not settings.oidc_issuer:
        return None
    tokens = _optional("headrace_functions.access.tokens")
    given = tokens.ProviderSettings(
        settings.oidc_issuer,
        settings.oidc_client_id,
        settings.oidc_audience,
        settings.oidc_groups_claim,
        settings.oidc_name_claim,
        settings.oidc_scopes,
        settings.oidc_cli_client_id,
    )
    provider: Provider = tokens.Provider(given)
    return provider


def provider_tokens(provider: Provider | None) -> Tokens | None:
    if provider is None:
        return None
    found: Tokens = _optional("headrace_functions.access.tokens").ProviderTokens(provider)
    return found


def _people(provider: Provider | None, settings: Settings, endpoint: str) -> PeopleLogin | None:
    if provider is None:
        return None
    redirect = (settings.public_url or endpoint).rstrip("/") + CALLBACK
    secret = os.environ.get(CLIENT_SECRET, "")
    found: PeopleLogin = _optional("headrace_controller.access.people").PeopleLogin(provider, secret, redirect)
    return found


def _optional(module: str) -> Any:
    # Imported where a provider is configured alone: most platforms have none, and the libraries are an extra.
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"a login provider needs the library {error.name}", field="oidc-issuer", hint="pip install 'headrace[oidc]'"
        ) from error
