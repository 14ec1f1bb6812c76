"""Bearer tokens at a gateway in a cluster: the controller verifies them, and the gateway remembers its word.

So no gateway asks a login provider or the Kubernetes API, and none has their libraries. States of a token here: not known → asked (all who
show it meanwhile wait for one question) → known until it ends, or refused for ``REFUSED_SECONDS``. A known one is asked about again
once ``FRESH_SECONDS`` are over; while the controller is away it goes on to count until it ends, and one that is not known is answered
with 502. Blocking a subject is the policy's and counts at once. Limits: ``MAX_TOKENS``, ``MAX_QUESTIONS``.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson

from headrace_functions.access.roles import Caller, check_subject
from headrace_functions.errors import HeadraceError, Overloaded, Unauthenticated, Unreachable
from headrace_functions.gateway.upstream import Upstream
from headrace_functions.platform_secret import PlatformSecret

PATH = "/bearer-token"
"""Where the controller answers whose token the body is."""
FRESH_SECONDS = 30.0
REFUSED_SECONDS = 5.0
MAX_TOKENS = 10_000
MAX_QUESTIONS = 64
"""Questions to the controller at once; one more token that is not known is answered with 429."""
_ASK_SECONDS = 10.0
_OK, _UNAUTHENTICATED = 200, 401

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Known:
    """What the controller said of a token; ``caller`` None where it is refused."""

    caller: Caller | None
    until: float
    fresh: float
    """Until when it is not asked about again, on the same clock: seconds since the epoch."""
    why: str = ""
    hint: str = ""


class VerifiedByController:
    """Fills ``access.authentication.Tokens``. All methods belong to one event loop."""

    def __init__(
        self, upstream: Upstream, controller: str, secret: PlatformSecret, clock: Callable[[], float] = time.time
    ) -> None:
        """``controller`` is the URL of the management API, ``secret`` what it knows the gateway by."""
        where = urlsplit(controller)
        self._upstream = upstream
        self._host = where.hostname
        self._address = f"tcp:{where.hostname}:{where.port or 80}"
        self._secret = secret
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, asyncio.Task[_Known]] = {}

    async def learn(self, token: str) -> None:
        """Have an answer for ``verify``. ``Unreachable`` where the controller is away and nothing is known, ``Overloaded`` past a limit."""
        known = self._known.get(token)
        now = self._clock()
        if known is not None and now < min(known.fresh, known.until):
            return
        asking = self._asking.get(token)
        if asking is None:
            if len(self._asking) >= MAX_QUESTIONS:
                if known is not None and now < known.until:
                    return
                raise Overloaded(f"{MAX_QUESTIONS} bearer tokens are already being verified", retry_after=1)
            asking = self._asking[token] = self._loop.create_task(self._ask(token))
            asking.add_done_callback(lambda _done: self._asking.pop(token, None))
        try:
            found = await asyncio.shield(asking)
        except (HeadraceError, OSError) as error:
            if known is not None and known.caller is not None and now < known.until:
                return
            why = error.message if isinstance(error, HeadraceError) else str(error)
            log.warning("a bearer token cannot be verified: %s", why)
            raise Unreachable(
                f"bearer tokens cannot be verified at the moment: {why}",
                hint="try again in a moment, or use an API key",
            ) from error
        self._known[token] = found
        self._known.move_to_end(token)
        while len(self._known) > MAX_TOKENS:
            self._known.popitem(last=False)

    def verify(self, token: str) -> tuple[Caller, float]:
        """Who shows the token, and until when that holds. ``Unauthenticated`` where ``learn`` heard that it is refused, or nothing yet."""
        known = self._known.get(token)
        if known is None or self._clock() >= known.until:
            raise Unauthenticated("the token has not been verified yet", hint="send the request again")
        if known.caller is None:
            raise Unauthenticated(known.why, hint=known.hint)
        return known.caller, known.until

    async def _ask(self, token: str) -> _Known:
        body = token.encode("latin-1")
        head = f"POST {PATH} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n".encode()
        head += self._secret.proof_line() + b"\r\n"
        reply = await self._upstream.request(self._address, head, body, self._loop.time() + _ASK_SECONDS)
        return _understood(reply.status, reply.body, self._clock())


def _understood(status: int, body: bytes, now: float) -> _Known:
    """The controller's answer; ``Unreachable`` where it is none."""
    try:
        found = orjson.loads(body)
        if status == _UNAUTHENTICATED:
            until = now + REFUSED_SECONDS
            return _Known(None, until, until, str(found["detail"])[:300], str(found.get("hint") or "")[:300])
        if status == _OK:
            caller = Caller(check_subject(found["subject"]), tuple(map(str, found["groups"])))
            return _Known(caller, float(found["until"]), now + FRESH_SECONDS)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, HeadraceError) as error:
        raise Unreachable(f"the controller's answer about a token cannot be read: {error}") from error
    said = found.get("detail", "") if isinstance(found, dict) else ""
    raise Unreachable(f"the controller answers {status}{': ' if said else ''}{str(said)[:300]}")
