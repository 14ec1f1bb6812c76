"""Logging in at a platform's login provider from a terminal: OAuth 2.0 device authorization (RFC 8628).

The provider's own page asks who it is, in whatever browser a person has; the command waits and gets an ID token, which it shows the platform,
and perhaps a refresh token, by which it gets the next one when that has ended. Nothing of it passes through the platform.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import httpx

from headrace_functions.access.unverified import end_of
from headrace_functions.errors import InvalidInput, Unauthenticated, Unreachable

GRANT = "urn:ietf:params:oauth:grant-type:device_code"
EARLY = 60.0
"""Seconds before its end from which on a token is replaced."""
_SECONDS = 15.0
_SLOWER = 5.0  # what the standard says to add where the provider asks for patience
_LONGEST = 1800.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class Login:
    """What is kept of a login: text for ``credentials``, and back."""

    issuer: str
    client_id: str
    token_endpoint: str
    id_token: str
    refresh_token: str = ""

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Login | None":
        """None for an API key."""
        if not text.startswith("{"):
            return None
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise Unauthenticated("the stored login cannot be read", hint="headrace login --provider") from error

    @property
    def ends(self) -> float:
        """Seconds since the epoch; 0 where the token cannot be read."""
        return end_of(self.id_token, 0.0)


@dataclass(frozen=True, slots=True)
class Asked:
    """A login that waits for a person."""

    issuer: str
    client_id: str
    token_endpoint: str
    device_code: str
    user_code: str
    url: str
    """The page to open; with the code in it where the provider gives such a one."""
    interval: float
    ends: float
    """On the clock."""


class DeviceLogin:
    def __init__(
        self,
        http: httpx.Client,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._http = http
        self._clock = clock
        self._sleep = sleep

    def begin(self, issuer: str, client_id: str, scopes: str) -> Asked:
        """Ask the provider for a code. ``Unreachable`` where it does not answer, ``InvalidInput`` where it has no such logins."""
        document = self._get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        device, token = document.get("device_authorization_endpoint"), document.get("token_endpoint")
        if not device or not token:
            raise InvalidInput(
                f"the login provider {issuer} does not support logins from a terminal",
                field="provider",
                hint="ask an administrator for an API key: headrace access key create NAME --owner user:YOU",
            )
        for url in (str(device), str(token)):
            _check(url)
        status, found = self._post(str(device), {"client_id": client_id, "scope": f"{scopes} offline_access"})
        if status != httpx.codes.OK or not {"device_code", "user_code", "verification_uri"} <= found.keys():
            raise Unauthenticated(f"the login provider refused the login: {_said(found, status)}")
        url = str(found.get("verification_uri_complete") or found["verification_uri"])
        lasts = min(float(found.get("expires_in", _LONGEST)), _LONGEST)
        interval = max(float(found.get("interval", _SLOWER)), 0.0)
        return Asked(
            issuer,
            client_id,
            str(token),
            str(found["device_code"]),
            str(found["user_code"]),
            url,
            interval,
            self._clock() + lasts,
        )

    def wait(self, asked: Asked) -> Login:
        """The login, once the person has said yes. ``Unauthenticated`` where they said no, or took too long."""
        interval = asked.interval
        form = {"grant_type": GRANT, "device_code": asked.device_code, "client_id": asked.client_id}
        while self._clock() < asked.ends:
            self._sleep(interval)
            status, found = self._post(asked.token_endpoint, form)
            if status == httpx.codes.OK:
                return _login(asked.issuer, asked.client_id, asked.token_endpoint, found)
            match found.get("error"):
                case "authorization_pending":
                    pass
                case "slow_down":
                    interval += _SLOWER
                case "access_denied":
                    raise Unauthenticated("the login was denied at the login provider")
                case "expired_token":
                    break
                case _:
                    raise Unauthenticated(f"the login provider refused the login: {_said(found, status)}")
        raise Unauthenticated("nobody logged in at the login provider in time", hint="headrace login --provider")

    def current(self, login: Login) -> Login:
        """The same login with a token that has not ended. ``Unauthenticated`` where there is none any more."""
        if self._clock() < login.ends - EARLY:
            return login
        again = "headrace login --provider"
        if not login.refresh_token:
            raise Unauthenticated("the login has expired", hint=again)
        _check(login.token_endpoint)
        form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": login.client_id}
        status, found = self._post(login.token_endpoint, form)
        if status != httpx.codes.OK:
            raise Unauthenticated(f"the login has expired: {_said(found, status)}", hint=again)
        fresh = _login(login.issuer, login.client_id, login.token_endpoint, found)
        return fresh if fresh.refresh_token else replace(fresh, refresh_token=login.refresh_token)

    def _get(self, url: str) -> Mapping[str, Any]:
        _check(url)
        return self._asked(lambda: self._http.get(url, timeout=_SECONDS), url)[1]

    def _post(self, url: str, form: Mapping[str, str]) -> tuple[int, Mapping[str, Any]]:
        return self._asked(lambda: self._http.post(url, data=dict(form), timeout=_SECONDS), url)

    @staticmethod
    def _asked(ask: Callable[[], httpx.Response], url: str) -> tuple[int, Mapping[str, Any]]:
        try:
            answer = ask()
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"the login provider does not answer at {url}: {error}") from error
        if not isinstance(found, dict):
            raise Unreachable(f"the login provider did not return a JSON object at {url}")
        return answer.status_code, found


def _login(issuer: str, client_id: str, token_endpoint: str, found: Mapping[str, Any]) -> Login:
    token = found.get("id_token")
    if not isinstance(token, str):
        raise Unauthenticated("the login provider's response has no ID token", hint="ask for the scope openid")
    return Login(issuer, client_id, token_endpoint, token, str(found.get("refresh_token") or ""))


def _check(url: str) -> None:
    """Codes and tokens travel by TLS, or stay on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise InvalidInput(f"the login provider refers to {url}, which is not encrypted", field="provider")


def _said(found: Mapping[str, Any], status: int) -> str:
    return str(found.get("error_description") or found.get("error") or f"it answers {status}")[:200]
