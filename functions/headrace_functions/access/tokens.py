"""Bearer tokens of an OpenID Connect provider: who shows one, by the provider's own keys. The one adapter of joserfc.

The provider's document and keys are read by a thread, at once and every ``KEYS_EVERY`` seconds, so that no request waits for the provider.
A token with a key that is not known makes the thread look soon, at most every ``SOON`` seconds; that token is refused. While the provider
is away the keys that were read last count; before they were read nobody is let in by a token.
"""

import json
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from headrace_functions.access.roles import Caller, check_subject, is_subject
from headrace_functions.access.unverified import HEADER, said_by
from headrace_functions.errors import InvalidInput, Unauthenticated, Unreachable
from headrace_functions.loop_health import LoopHealth

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures with a key pair alone: with a shared secret whoever checks a token could make one, and ``none`` is no signature."""
LEEWAY = 60
"""Seconds by which clocks may differ."""
KEYS_EVERY = 600.0
SOON = 10.0
MAX_GROUPS = 200
_ANSWER_SECONDS = 5.0
_MAX_DOCUMENT = 1024 * 1024
_LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    issuer: str
    client_id: str
    audience: str = ""
    """Of bearer tokens of machines; empty takes none."""
    groups_claim: str = "groups"
    name_claim: str = "email"
    """The claim of an ID token that a person is called by."""
    scopes: str = "openid email profile"
    cli_client_id: str = ""
    """The public client at which people log in from a terminal; empty takes none of its ID tokens."""

    def __post_init__(self) -> None:
        check_url(self.issuer, "oidc-issuer")
        if not self.client_id:
            raise InvalidInput("oidc-client-id: it is missing", field="oidc-client-id", expected="the client's id")


def check_url(url: str, field: str) -> None:
    """Tokens and keys travel by TLS, or stay on this machine."""
    parts = urlsplit(url)
    if not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)) or not parts.hostname:
        raise InvalidInput(
            f"{field}: {url!r} is not usable", field=field, expected="an https URL, or http on this machine"
        )


class Provider:
    """A provider's document and keys, kept up by a thread."""

    def __init__(self, settings: ProviderSettings, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self.clock = clock
        self._document: Mapping[str, Any] = {}
        self._keys: KeySet | None = None
        self._known: frozenset[str] = frozenset()
        self._soon = threading.Event()
        self._stop = False
        self._looked = 0.0
        self._health = LoopHealth(f"reading the keys of {settings.issuer}", log)
        self._thread = threading.Thread(target=self._follow, name="provider's keys", daemon=True)

    @property
    def problems(self) -> list[str]:
        return [self._health.problem] if self._health.problem else []

    def open(self) -> None:
        with self._health.guard():
            self.refresh()
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        self._soon.set()
        if self._thread.is_alive():
            self._thread.join()

    def refresh(self) -> None:
        """Read document and keys now. Raises ``Unreachable``, and keeps what was known."""
        issuer = self.settings.issuer
        self._looked = self.clock()
        document = _get(issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document.get("issuer") != issuer:
            raise Unreachable(f"{issuer} identifies itself as {document.get('issuer')!r}", hint="correct --oidc-issuer")
        for name in ("jwks_uri", "authorization_endpoint", "token_endpoint"):
            check_url(str(document.get(name, "")), name)
        found = _get(document["jwks_uri"])
        try:
            keys = KeySet.import_key_set(found)  # type: ignore[arg-type]
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise Unreachable(f"the keys of {issuer} cannot be read: {error}") from error
        self._document, self._keys = document, keys
        self._known = frozenset(str(k.get("kid")) for k in found.get("keys", ()) if isinstance(k, dict))

    def endpoint(self, name: str) -> str:
        """A URL of the provider's document; ``Unreachable`` before it was read."""
        if not self._document:
            self._soon.set()
            raise Unreachable(
                f"the login provider {self.settings.issuer} does not answer", hint="try again in a moment"
            )
        return str(self._document[name])

    def userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        """What the provider says of a person beyond the ID token; nothing where it has no such endpoint."""
        endpoint = self._document.get("userinfo_endpoint")
        if not endpoint:
            return {}
        check_url(str(endpoint), "userinfo_endpoint")
        found = _get(str(endpoint), {"authorization": f"Bearer {access_token}"})
        return found if found.get("sub") == subject else {}

    def claims(self, token: str, audience: str) -> dict[str, Any]:
        """What a token says, if the provider signed it, for this audience, for now. ``Unauthenticated`` says what is wrong."""
        if self._keys is None:
            self._soon.set()
            raise Unauthenticated("the keys of the login provider could not be read yet", hint="try again in a moment")
        try:
            found = jwt.decode(token, self._keys, algorithms=list(ALGORITHMS))
            registry = jwt.JWTClaimsRegistry(
                now=int(self.clock()),
                leeway=LEEWAY,
                iss={"essential": True, "value": self.settings.issuer},
                aud={"essential": True, "value": audience},
                sub={"essential": True},
                exp={"essential": True},
            )
            registry.validate(found.claims)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            if "." in token and str(said_by(token, HEADER).get("kid")) not in self._known:
                self._soon.set()  # the provider may have another key by now
            raise Unauthenticated(
                f"the token is refused: {_words(error)}", hint="get another one from the provider"
            ) from error
        return dict(found.claims)

    def groups(self, claims: Mapping[str, Any]) -> tuple[str, ...]:
        """The groups of a token that may stand in a grant; others are left out."""
        found = claims.get(self.settings.groups_claim, ())
        named = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return tuple(sorted({g for g in named[:MAX_GROUPS] if isinstance(g, str) and is_subject(f"group:{g}")}))

    def _follow(self) -> None:
        while not self._stop:
            asked = self._soon.wait(max(SOON, self._health.pause) if self._keys is None else KEYS_EVERY)
            self._soon.clear()
            if self._stop:
                return
            if asked and self.clock() - self._looked < SOON:
                continue  # whoever shows unknown keys again and again does not make us ask the provider as often
            with self._health.guard():
                self.refresh()


class ProviderTokens:
    """Tokens that programs show: access tokens of machines (``machine:<sub>``), and ID tokens of people who logged in from a terminal
    (``user:<name>``); with the groups that the token names."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def verify(self, token: str) -> tuple[Caller, float]:
        settings = self._provider.settings
        if settings.cli_client_id and settings.cli_client_id in _audiences(token):
            claims = self._provider.claims(token, settings.cli_client_id)
            return Caller(person(settings, claims), self._provider.groups(claims)), float(claims["exp"])
        if not settings.audience:
            raise Unauthenticated("this platform does not accept bearer tokens", hint="that requires --oidc-audience")
        claims = self._provider.claims(token, settings.audience)
        subject = f"machine:{claims['sub']}"
        if not is_subject(subject):
            raise Unauthenticated("the token's subject cannot be read")
        return Caller(subject, self._provider.groups(claims)), float(claims["exp"])


def person(settings: ProviderSettings, claims: Mapping[str, Any]) -> str:
    """The subject of a person of whom the provider says this. ``Unauthenticated`` where it says no name that can be used."""
    name = claims.get(settings.name_claim)
    if not isinstance(name, str) or not name:
        raise Unauthenticated(
            f"the login provider's token has no {settings.name_claim!r}",
            hint="request that scope, or set --oidc-name-claim",
        )
    if settings.name_claim == "email" and claims.get("email_verified") is False:
        raise Unauthenticated(f"the login provider has not verified the address {name!r}")
    try:
        return check_subject(f"user:{name}")
    except InvalidInput as error:
        raise Unauthenticated(f"the name {name!r} cannot be used") from error


def _audiences(token: str) -> list[Any]:
    """Whom a token says that it is for; what it says is believed of nothing but which check it is given to."""
    found = said_by(token).get("aud")
    return found if isinstance(found, list) else [found]


def _get(url: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    try:
        asked = urllib.request.Request(url, headers=dict(headers or {}))  # noqa: S310 - check_url was asked
        with urllib.request.urlopen(asked, timeout=_ANSWER_SECONDS) as answer:  # noqa: S310
            body = answer.read(_MAX_DOCUMENT + 1)
        found = json.loads(body[:_MAX_DOCUMENT])
    except (OSError, ValueError) as error:
        raise Unreachable(f"{url} does not answer: {error}") from error
    if not isinstance(found, dict):
        raise Unreachable(f"{url} did not return a JSON object")
    return found


def _words(error: Exception) -> str:
    said = getattr(error, "description", "") or str(error)
    return f"{getattr(error, 'error', type(error).__name__)}: {said}"[:200]
