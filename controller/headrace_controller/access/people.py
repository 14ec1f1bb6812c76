"""People who log in at an OpenID Connect provider: authorization code with PKCE. The one adapter of Authlib.

A login that is begun is held here for ``LASTS`` seconds: its state is also in a cookie of the browser that began it, so that nobody can be
logged in by a link that somebody else made. A controller that is started again meanwhile knows it no more, and the person begins anew.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from headrace_functions.access.tokens import Provider, person
from headrace_functions.errors import Overloaded, Unauthenticated, Unreachable

LASTS = 600.0
MOST = 1000
"""Logins that are begun at once."""
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Begun:
    """A login on its way to the provider and back."""

    verifier: str
    nonce: str
    after: str
    """The path of this platform to go to."""
    ends: float


@dataclass(frozen=True, slots=True)
class Person:
    subject: str
    groups: tuple[str, ...]


class _Session:
    """What Authlib's client asks by, over httpx: it adds the client's credentials itself."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def request(
        self, method: str, url: str, *, data: Any = None, headers: Any = None, auth: Any = None, **_more: Any
    ) -> httpx.Response:
        body = urlencode(data or {})
        if auth is not None:
            url, headers, body = auth.prepare(method, url, headers, body)
        return self._http.request(method, url, content=body, headers=headers)

    def post(self, url: str, **more: Any) -> httpx.Response:
        return self.request("POST", url, **more)


class PeopleLogin:
    def __init__(self, provider: Provider, secret: str, redirect: str, clock: Callable[[], float] = time.time) -> None:
        """``secret`` is the client's, empty for a public client; ``redirect`` is the URL that the provider leads back to."""
        self._provider = provider
        self._secret = secret
        self._redirect = redirect
        self._clock = clock
        self._begun: dict[str, Begun] = {}
        self._lock = threading.Lock()

    def begin(self, after: str) -> tuple[str, str]:
        """The provider's URL to go to, and the state of the login. ``Unreachable`` where the provider is away."""
        endpoint = self._provider.endpoint("authorization_endpoint")
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        now = self._clock()
        with self._lock:
            self._begun = {s: b for s, b in self._begun.items() if b.ends > now}
            if len(self._begun) >= MOST:
                raise Overloaded(f"{MOST} logins are already in progress", retry_after=10)
            self._begun[state] = Begun(verifier, nonce, after, now + LASTS)
        with httpx.Client(timeout=SECONDS) as session:
            url, _ = self._client(session).create_authorization_url(
                endpoint, state=state, code_verifier=verifier, nonce=nonce, response_type="code"
            )
        return str(url), state

    def finish(self, state: str, code: str) -> tuple[Person, str]:
        """Who came back from the provider, and the path to go to. A state is taken once. ``Unauthenticated`` for everything odd."""
        with self._lock:
            begun = self._begun.pop(state, None)
        if begun is None or begun.ends <= self._clock():
            raise Unauthenticated("this login was not started here, or took too long", hint="log in again")
        endpoint = self._provider.endpoint("token_endpoint")
        try:
            with httpx.Client(timeout=SECONDS) as session:
                answer = self._client(session).fetch_token(
                    endpoint, code=code, code_verifier=begun.verifier, grant_type="authorization_code"
                )
        except httpx.HTTPError as error:
            raise Unreachable(f"the login provider does not answer: {error}", hint="try again in a moment") from error
        except (OAuth2Error, ValueError) as error:
            raise Unauthenticated(f"the login provider refused the login: {error}", hint="log in again") from error
        return self._person(answer, begun), begun.after

    def _person(self, answer: Mapping[str, Any], begun: Begun) -> Person:
        settings, token = self._provider.settings, answer.get("id_token")
        if not isinstance(token, str):
            raise Unauthenticated("the login provider's response has no ID token")
        claims = self._provider.claims(token, settings.client_id)
        if claims.get("nonce") != begun.nonce:
            raise Unauthenticated("the ID token belongs to another login", hint="log in again")
        if not {settings.name_claim, settings.groups_claim} <= claims.keys():
            # Some providers say of a person only at their userinfo endpoint more than that it is one.
            claims = {**self._provider.userinfo(str(answer.get("access_token")), str(claims["sub"])), **claims}
        return Person(person(settings, claims), self._provider.groups(claims))

    def _client(self, session: httpx.Client) -> Any:
        settings = self._provider.settings
        return OAuth2Client(
            _Session(session),
            client_id=settings.client_id,
            client_secret=self._secret or None,
            token_endpoint_auth_method="client_secret_basic" if self._secret else "none",
            scope=settings.scopes,
            redirect_uri=self._redirect,
            code_challenge_method="S256",
        )
