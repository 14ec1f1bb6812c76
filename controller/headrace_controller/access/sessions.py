"""Sessions of people who use the pages: a random token in a cookie, of which only the SHA-256 is kept.

A session that an API key began holds as long as the key does and may do what the key may; one that a provider's login began names the
person and their groups, and holds for ``LASTS`` whatever becomes of the provider. A token is given anew at each login and every
``ROTATE`` seconds; the one before it holds ``GRACE`` seconds more, for requests that are under way.
"""

import hashlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import Caller
from headrace_functions.errors import DamagedDocument, NotFound, Unauthenticated
from headrace_functions.storage import layout
from headrace_functions.storage.documents import Documents, interpret

LASTS = 12 * 3600.0
"""Seconds after which a person logs in again."""
ROTATE = 3600.0
GRACE = 60.0
REMEMBER = 2.0
"""Seconds for which a session is taken without a look at the store; so soon a log-out holds everywhere."""
_REMEMBERED = 10_000
_LONGEST = 200


@dataclass(frozen=True, slots=True)
class Session:
    """Who a cookie stands for. ``key`` is the name of the API key that began it, empty for a provider's login."""

    subject: str
    groups: tuple[str, ...]
    key: str
    began: float
    given: float
    """When this token was given."""
    ends: float

    def caller(self, policy: Policy) -> Caller:
        """``Unauthenticated`` where the key or the person is refused by now."""
        if not self.key:
            caller = Caller(self.subject, self.groups)
            policy.check_blocked(*caller.subjects)
            return caller
        key = policy.keys.get(self.key)
        if key is None:
            raise Unauthenticated("the API key of this session no longer exists", hint="log in again")
        policy.check_key(key, time.time())
        return key.caller

    def to_document(self) -> dict[str, Any]:
        return {
            "schema": 1,
            "subject": self.subject,
            "groups": list(self.groups),
            "key": self.key,
            "began": self.began,
            "given": self.given,
            "ends": self.ends,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Session":
        return cls(
            document["subject"],
            tuple(document["groups"]),
            document["key"],
            float(document["began"]),
            float(document["given"]),
            float(document["ends"]),
        )


class Sessions:
    def __init__(self, documents: Documents, now: Callable[[], float] = time.time) -> None:
        self._documents = documents
        self._now = now
        self._known: dict[str, tuple[float, Session]] = {}

    def begin(self, subject: str, *, groups: tuple[str, ...] = (), key: str = "") -> tuple[str, Session]:
        """A new session and its token, which was never anybody's before: what a browser brought along is not taken over."""
        now = self._now()
        return self._give(Session(subject, groups, key, now, now, now + LASTS))

    def find(self, token: str) -> Session:
        """The session of a token; ``Unauthenticated`` where it has ended or never was."""
        now, digest = self._now(), _digest(token)
        held = self._known.get(digest)
        if held is None or now - held[0] > REMEMBER:
            held = now, self._read(digest)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[digest] = held
        if now >= held[1].ends:
            self.end(token)
            raise _over()
        return held[1]

    def due(self, session: Session) -> bool:
        """Whether its token is to be given anew."""
        return self._now() - session.given > ROTATE and session.ends - self._now() > GRACE

    def rotate(self, token: str, session: Session) -> str:
        """Another token for the same session; this one ends soon."""
        now = self._now()
        fresh, _ = self._give(replace(session, given=now))
        # Given now, so that requests which come with the old one meanwhile do not rotate it again.
        ending = replace(session, given=now, ends=now + GRACE)
        self._documents.replace(layout.session(_digest(token)), ending.to_document())
        self._known.pop(_digest(token), None)
        return fresh

    def end(self, token: str) -> None:
        """Log out. What is not there has ended already."""
        self._documents.objects.delete(layout.session(_digest(token)))
        self._known.pop(_digest(token), None)

    def end_all(self, subject: str) -> int:
        """Log a subject out everywhere; how many sessions that were."""
        ended = 0
        for key, session in self._all():
            if session is None or session.subject == subject or self._now() >= session.ends:
                self._documents.objects.delete(key)
                ended += session is not None and session.subject == subject
        self._known.clear()
        return ended

    def _all(self) -> list[tuple[str, Session | None]]:
        found: list[tuple[str, Session | None]] = []
        for info in self._documents.objects.walk(layout.SESSIONS):
            try:
                found.append((info.key, self._at(info.key)))
            except Unauthenticated:
                found.append((info.key, None))
        return found

    def _give(self, session: Session) -> tuple[str, Session]:
        token = secrets.token_urlsafe(32)
        self._documents.create(layout.session(_digest(token)), session.to_document())
        return token, session

    def _read(self, digest: str) -> Session:
        return self._at(layout.session(digest))

    def _at(self, key: str) -> Session:
        try:
            return interpret(key, self._documents.get(key), Session.from_document)
        except (NotFound, DamagedDocument):
            raise _over() from None


def _digest(token: str) -> str:
    return hashlib.sha256(token[:_LONGEST].encode()).hexdigest()


def _over() -> Unauthenticated:
    return Unauthenticated("the session has ended", hint="log in again")
