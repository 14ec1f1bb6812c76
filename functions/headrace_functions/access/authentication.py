"""From credentials to a caller: one place for every front door, be it HTTP, gRPC or a queue's consumer.

A front door makes ``Credentials`` of what its protocol has and asks ``identify`` who that is and ``admit`` whether they may. Both
are meant for the hot path: what was verified is remembered until the policy changes, at most ``REMEMBER`` seconds.
"""

import contextlib
import hmac
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from headrace_functions.access.keys import PREFIX, id_of
from headrace_functions.access.policy import Policy, refusal
from headrace_functions.access.roles import ANYBODY, PLATFORM, Caller, Permission, check_subject
from headrace_functions.access.source import PolicySource
from headrace_functions.errors import HeadraceError, Unauthenticated
from headrace_functions.platform_secret import PROOF, PlatformSecret

REMEMBER = 5.0
"""Seconds for which a verified credential is taken without a look at it, so that one that expires is refused soon."""
MAX_CREDENTIAL = 16 * 1024
"""Bytes of an ``Authorization`` header; a longer one is refused unread."""
CALLER = b"x-headrace-caller"
"""From one of the platform's own processes, beside the proof: on whose behalf it asks."""
_REMEMBERED = 20_000


class Tokens(Protocol):
    """Verifies bearer tokens that are no API keys."""

    def verify(self, token: str) -> tuple[Caller, float]:
        """Who shows the token, and until when (seconds since the epoch) that holds. ``Unauthenticated`` says what is wrong with it."""
        ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows of who sends it; None for what it lacks."""

    authorization: bytes | None = None
    """``Bearer KEY-OR-TOKEN``."""
    key: bytes | None = None
    """An API key by itself (``x-api-key``), where something before the platform uses ``Authorization``."""
    purpose: bytes | None = None
    proof: bytes | None = None
    caller: bytes | None = None

    @classmethod
    def of(cls, headers: Mapping[bytes, bytes]) -> "Credentials":
        """Of headers with lower-case names."""
        get = headers.get
        return cls(get(b"authorization"), get(b"x-api-key"), get(b"x-headrace-purpose"), get(PROOF), get(CALLER))


class Authentication:
    """``source`` None asks nobody who they are: every caller is ``ANYBODY``."""

    def __init__(
        self,
        source: PolicySource | None,
        secret: PlatformSecret,
        tokens: Tokens | None = None,
        used: Callable[[str], None] = lambda _name: None,
    ) -> None:
        """``used`` hears the name of each key that is verified, at most once in ``REMEMBER`` seconds of each."""
        self._source = source
        self._secret = secret
        self.tokens = tokens
        """Verifies what is no API key; None where this platform does not accept bearer tokens. The composition root may set it later."""
        self._used = used
        self._known: dict[bytes, tuple[Caller, float]] = {}
        self._of: Policy | None = None

    @property
    def required(self) -> bool:
        return self._source is not None

    @property
    def policy(self) -> Policy:
        """What holds now; an empty one where nobody is asked who they are."""
        return self._source.policy if self._source is not None else _NOTHING

    def admit(self, credentials: Credentials, name: str, *permissions: Permission) -> Caller:
        """The caller, if they have one of the permissions on a model or sequence (``*`` for the platform as a whole).

        ``Unauthenticated`` without a credential or with a wrong one, ``Forbidden`` where it is not enough, ``StorageFailed`` where
        nothing is known of who may do what yet.
        """
        if self._source is None:
            return ANYBODY
        caller = self.identify(credentials)
        policy = self._source.policy
        if not any(policy.allows(caller, permission, name) for permission in permissions):
            raise refusal(caller, permissions[0], name)
        return caller

    def identify(self, credentials: Credentials) -> Caller:
        """Who shows these credentials."""
        if self._source is None:
            return ANYBODY
        if credentials.purpose is not None and self._secret.is_purpose(credentials.purpose):
            return PLATFORM
        if credentials.proof is not None and self._secret.is_proof(credentials.proof):
            return _vouched(credentials.caller)
        shown = credentials.authorization if credentials.authorization is not None else credentials.key
        if shown is None:
            raise Unauthenticated(
                "authentication is required, and the request has no credentials",
                hint="send 'Authorization: Bearer KEY'; on the command line set HEADRACE_API_KEY, or: headrace login",
            )
        policy = self._source.policy
        if policy is not self._of:
            self._of = policy
            self._known = {}
        known = self._known.get(shown)
        if known is not None and self._source.clock() < known[1]:
            return known[0]
        return self._verify(shown, policy, bare=credentials.authorization is None)

    def bearer_token(self, credentials: Credentials) -> str | None:
        """The bearer token that ``identify`` will have verified; None where it will not: for API keys, and what cannot be read."""
        shown = credentials.authorization if credentials.authorization is not None else credentials.key
        if self.tokens is None or self._source is None or shown is None or b"." not in shown:
            return None
        with contextlib.suppress(Unauthenticated):
            return _token(shown, bare=credentials.authorization is None)
        return None

    def verify_token(self, token: str) -> tuple[Caller, float]:
        """Who shows a bearer token, whatever it may be asked for, and until when that holds. ``Unauthenticated`` says what is wrong."""
        if self.tokens is None:
            raise Unauthenticated("this platform does not accept bearer tokens", hint="use an API key")
        return self.tokens.verify(token)

    def who(self, credentials: Credentials) -> str:
        """Whom credentials belong to, for the audit of a refusal; where that is not known, the key's look-up prefix."""
        try:
            return self.identify(credentials).subject
        except HeadraceError:
            shown = credentials.authorization or credentials.key or b""
            found = id_of(shown[:MAX_CREDENTIAL].decode("latin-1").rpartition(" ")[2])
            return f"{PREFIX}{found}" if found else ""

    def _verify(self, shown: bytes, policy: Policy, *, bare: bool) -> Caller:
        token = _token(shown, bare=bare)
        now = self._source.clock() if self._source is not None else time.time()
        if self.tokens is not None and "." in token:
            caller, until = self.tokens.verify(token)
            policy.check_blocked(*caller.subjects)
        else:
            key = policy.key_of(token, now)
            caller, until = key.caller, key.expires if key.expires is not None else now + REMEMBER
            self._used(key.name)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[shown] = caller, min(until, now + REMEMBER)
        return caller


def _vouched(on_behalf: bytes | None) -> Caller:
    """Who one of the platform's processes asks for; what they may was checked by it."""
    if on_behalf is None:
        return PLATFORM
    try:
        return Caller(check_subject(on_behalf.decode("latin-1")), own=PLATFORM.own)
    except HeadraceError as error:
        raise Unauthenticated("the name of the caller cannot be read") from error


def _token(shown: bytes, *, bare: bool) -> str:
    if len(shown) > MAX_CREDENTIAL:
        raise Unauthenticated("the credentials are too long", expected=f"at most {MAX_CREDENTIAL} bytes")
    text = shown.decode("latin-1").strip()
    if bare:
        return text
    scheme, _, token = text.partition(" ")
    if not hmac.compare_digest(scheme.lower().encode("latin-1"), b"bearer") or not token.strip():
        raise Unauthenticated("the Authorization header cannot be read", expected="Authorization: Bearer KEY")
    return token.strip()


_NOTHING = Policy()
