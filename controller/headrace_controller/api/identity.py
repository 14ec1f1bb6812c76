"""Who sends a request to the management API or the pages: credentials of a header, or the cookie of a session."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import flask
from werkzeug.datastructures import Headers
from werkzeug.wrappers import Response

from headrace_controller import clock
from headrace_controller.access import current
from headrace_controller.access.trust import Trust
from headrace_controller.api import permissions
from headrace_controller.api.permissions import Requirement
from headrace_controller.catalog import noting
from headrace_controller.service.platform import Platform
from headrace_functions.access.audit import Entry, Outcome
from headrace_functions.access.authentication import CALLER, Credentials
from headrace_functions.access.policy import Policy
from headrace_functions.access.roles import Caller
from headrace_functions.errors import Forbidden, HeadraceError
from headrace_functions.gateway.passthrough import PEER
from headrace_functions.platform_secret import PROOF

SAFE = ("GET", "HEAD", "OPTIONS")
NO_CHANGES = ("exchanges.push_exchanges", "exchanges.take_event", "pages.try_sequence", "pages.check_sequence")
"""Requests that change nothing of the platform though they are no reads: what is logged, and what asks a model."""
NOBODY = Caller("")
"""Who showed no credentials, where that is allowed."""


class Gate:
    """Flask's hooks about a request: who it is from, whether its route may be used, and whose it is while it is answered."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._trust = platform.trust
        self._declared: dict[str, Requirement] = {}

    def declare(self, accesses: dict[str, Requirement]) -> None:
        self._declared |= accesses

    @property
    def declared(self) -> dict[str, Requirement]:
        return self._declared

    def install(self, app: flask.Flask) -> None:
        app.before_request(self.begin)
        app.after_request(self.refresh_session)
        app.after_request(self.audit)
        app.teardown_request(lambda _error: current.end())

    def begin(self) -> None:
        noting.begin()
        current.begin(NOBODY, Policy())  # until it is known who asks, nobody does
        endpoint = flask.request.endpoint
        if endpoint is None:
            return  # there is no such route, which the answer says
        requirement = self._declared.get(endpoint)
        if requirement is None:
            raise Forbidden(f"the route {endpoint} declares no permission, so nobody can use it")
        wanted = permissions.every(requirement)
        caller = self._caller(public=all(access.scope == "anybody" for access in wanted))
        current.begin(caller, self._trust.authentication.policy)
        permissions.check(requirement, self._platform, flask.request.view_args or {}, late=False)

    def audit(self, response: Response) -> Response:
        """Note a change that was made, and a request that was refused."""
        changes, status = noting.taken(), response.status_code
        endpoint = flask.request.endpoint
        if endpoint is None:
            return response
        what = endpoint.rpartition(".")[2]
        if status in (401, 403):
            self._trust.refusals.note(self._entry(what, "refused", status))
        elif changes or (flask.request.method not in SAFE and status < 400 and endpoint not in NO_CHANGES):
            self._trust.audit.write(self._entry(what, "done" if status < 400 else "failed", status, changes))
        return response

    def _entry(self, what: str, outcome: Outcome, status: int, changes: Sequence[Mapping[str, Any]] = ()) -> Entry:
        request, caller = flask.request, current.caller()
        who = str(flask.g.get("logged_in", caller.subject))
        if outcome == "refused" and not who:
            who = self._trust.authentication.who(credentials_of(request.headers))
        origin = request.headers.get(PEER.decode(), request.remote_addr or "")
        request_id = str(flask.g.get("request_id", ""))
        reason = str(flask.g.get("refused", ""))
        return Entry(
            clock.now(), who, what, request.path, outcome, status, request_id, origin, reason, 1, tuple(changes)
        )

    def _caller(self, *, public: bool) -> Caller:
        try:
            return self._identified()
        except HeadraceError:
            if public:
                return NOBODY
            raise

    def _identified(self) -> Caller:
        trust = self._trust
        credentials = credentials_of(flask.request.headers)
        token = flask.request.cookies.get(cookie_name(trust))
        headers = (credentials.authorization, credentials.key, credentials.proof, credentials.purpose)
        if not trust.required or not token or any(h is not None for h in headers):
            return trust.authentication.identify(credentials)
        if flask.request.method not in SAFE and not from_our_pages():
            raise Forbidden(
                "changes with a session are accepted only from this platform's own pages",
                hint="programs send 'Authorization: Bearer KEY'",
            )
        session = trust.sessions.find(token)
        caller = session.caller(trust.authentication.policy)
        if trust.sessions.due(session) and flask.request.method == "GET":
            flask.g.session_token = trust.sessions.rotate(token, session)
        return caller

    def refresh_session(self, response: Response) -> Response:
        fresh = flask.g.get("session_token")
        if fresh:
            set_session(response, self._trust, fresh)
        return response


def credentials_of(headers: Headers) -> Credentials:
    def header(name: str) -> bytes | None:
        value = headers.get(name)
        return None if value is None else value.encode("latin-1", "replace")

    return Credentials(
        header("authorization"),
        header("x-api-key"),
        header("x-headrace-purpose"),
        header(PROOF.decode()),
        header(CALLER.decode()),
    )


def cookie_name(trust: Trust) -> str:
    """With the prefix by which browsers see to it that no other host and no plain connection has set it."""
    return "__Host-headrace" if trust.secure else "headrace"


def set_session(response: Response, trust: Trust, token: str) -> None:
    response.set_cookie(
        cookie_name(trust), token, path="/", httponly=True, samesite="Lax", secure=trust.secure, max_age=None
    )


def clear_session(response: Response, trust: Trust) -> None:
    response.delete_cookie(cookie_name(trust), path="/", httponly=True, samesite="Lax", secure=trust.secure)


def is_ours(origin: str) -> bool:
    """Whether an origin is this platform's own; text that is none is nobody's."""
    try:
        return urlsplit(origin).netloc == flask.request.host
    except ValueError:
        return False


def from_our_pages() -> bool:
    """Whether a browser says that a page of ours sent the request."""
    origin, site = flask.request.headers.get("origin"), flask.request.headers.get("sec-fetch-site")
    if origin and origin != "null":
        return is_ours(origin)
    return site in ("same-origin", "none")
